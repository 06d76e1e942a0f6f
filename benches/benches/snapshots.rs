//! Snapshots of a ledger of a million accounts: handing out all slices of it, with and without payments
//! between them; writing the file, as fast as it gets; checking it; making a ledger of it.
//!
//! Files are in a temporary directory, and in the page cache when they are read.

use std::time::{Duration, Instant};

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group,
    measurement::WallTime,
};
use millrace_benches::{ledger, payments};
use millrace_engine::{bench::Snapshots, huge_pages::ask_for_huge_pages};
use millrace_ledger::{ApproveAll, Ledger, Timestamp};

const ACCOUNTS: u32 = 1_000_000;
/// Accounts in a slice: as many as the engine hands out between two batches.
const SLICE_ROWS: usize = 4_096;
const BATCH: u32 = 4_096;

/// Begins a snapshot and hands out all of it, without anybody who writes it down. Decides a batch of
/// payments before each slice, if they are wanted; returns how long all but those took.
fn hand_out(ledger: &mut Ledger, mut batches: Option<&mut Batches>) -> Duration {
    let mut began = Instant::now();
    drop(ledger.begin_snapshot());
    let (mut took, mut handed_out, mut goes_on) = (began.elapsed(), 0, true);
    while goes_on {
        if let Some(batches) = &mut batches {
            batches.decide_next(ledger);
        }
        began = Instant::now();
        let (mut accounts, mut holds) = (Vec::new(), Vec::new());
        goes_on = ledger.snapshot_slice(SLICE_ROWS, &mut accounts, &mut holds);
        handed_out += accounts.len();
        took += began.elapsed();
    }
    assert_eq!(handed_out, ACCOUNTS as usize);
    took
}

/// Batches of new payments.
#[derive(Default)]
struct Batches {
    decided: u64,
}

impl Batches {
    fn decide_next(&mut self, ledger: &mut Ledger) {
        let payments = payments(BATCH, ACCOUNTS, self.decided);
        self.decided += u64::from(BATCH);
        ledger.begin_batch(Timestamp(1 + self.decided), &mut Vec::new());
        let decided = ledger.decide(&payments, &mut ApproveAll, |_| {});
        decided.expect("there is no history to read");
        ledger.end_batch();
    }
}

fn slices(group: &mut BenchmarkGroup<'_, WallTime>, ledger: &mut Ledger) {
    group.throughput(Throughput::Elements(ACCOUNTS.into()));
    group.bench_function("hand out all slices, nothing else happens", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| hand_out(ledger, None)).sum());
    });
    let mut batches = Batches::default();
    group.bench_function("hand out all slices, a batch of 4096 before each", |bencher| {
        bencher.iter_custom(|times| {
            let once = |_| {
                let took = hand_out(ledger, Some(&mut batches));
                // The next snapshot needs it closed. The ids are new, so nobody asks for it.
                drop(ledger.close_generation());
                ledger.let_go(0);
                took
            };
            (0..times).map(once).sum()
        });
    });
}

fn files(group: &mut BenchmarkGroup<'_, WallTime>, ledger: &mut Ledger) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let snapshots = Snapshots::new(directory.path());
    snapshots.take(ledger, SLICE_ROWS).expect("can be written");
    let bytes = snapshots.file_bytes().expect("is there");
    group.throughput(Throughput::ElementsAndBytes { elements: ACCOUNTS.into(), bytes });
    group.bench_function("write", |bencher| {
        bencher.iter(|| snapshots.take(ledger, SLICE_ROWS).expect("can be written"));
    });
    group.bench_function("read and check", |bencher| {
        bencher.iter(|| snapshots.check().expect("is whole"));
    });
    group.bench_function("read and restore", |bencher| {
        // Whoever restores a ledger does not drop it.
        let restore = |()| snapshots.load().expect("is whole");
        bencher.iter_batched(|| (), restore, BatchSize::PerIteration);
    });
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshots");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(2));
    let mut ledger = ledger(ACCOUNTS, 1);
    slices(&mut group, &mut ledger);
    files(&mut group, &mut ledger);
}

criterion_group!(benches, all);

/// As `criterion_main!`, with the memory that the engine has.
fn main() {
    ask_for_huge_pages();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
