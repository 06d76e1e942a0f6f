//! What the engine does with payments that left memory, with random ids and with ids in time: sealing a
//! generation into a run, finding ids among 1, 8, 64 and 256 runs, and merging runs.
//!
//! Runs are in a temporary directory. Those that ids are sought in are in the page cache, as those of late
//! are in an engine; those in order leave it while they are merged, so the disk is part of that.

use std::{fs, hint::black_box, time::Duration};

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group,
    measurement::WallTime,
};
use millrace_benches::Numbers;
use millrace_engine::{bench::Runs, huge_pages::ask_for_huge_pages};
use millrace_ledger::{Amount, Code, EventSeq, PaymentId, Stage, StoredPayment};
use tempfile::TempDir;

/// One filter's worth.
const ROWS_SOUGHT_AMONG: u32 = 1 << 17;
/// Half a generation.
const ROWS_MERGED: u32 = 1 << 18;
const LOOK_UPS: usize = 1_024;

/// How ids are made: of a payment's number.
#[derive(Clone, Copy)]
enum Ids {
    Random,
    /// As UUIDv7, 512 to a millisecond.
    InTime,
}

impl Ids {
    const ALL: [Self; 2] = [Self::Random, Self::InTime];

    fn name(self) -> &'static str {
        match self {
            Self::Random => "random ids",
            Self::InTime => "ids in time",
        }
    }

    fn id(self, number: u64) -> PaymentId {
        let mut numbers = Numbers(number);
        let random = u128::from(numbers.draw()) << 64 | u128::from(numbers.draw());
        match self {
            Self::Random => PaymentId(random & !1),
            Self::InTime => {
                let ms = 1_800_000_000_000 + u128::from(number / 512);
                PaymentId(ms << 80 | (random >> 48 & !1))
            }
        }
    }

    /// An id near this one that nobody has: those that [`Self::id`] makes are even.
    fn missing(self, number: u64) -> PaymentId {
        PaymentId(self.id(number).0 | 1)
    }

    /// Settled payments with these numbers.
    fn payments(self, first: u64, count: u32) -> Vec<StoredPayment> {
        let payment = |number: u64| {
            let amount = 100 + number % 1_000_000;
            StoredPayment {
                id: self.id(number),
                amount: Amount(amount.into()),
                applied: amount.into(),
                left: amount.into(),
                seq: EventSeq(number + 1),
                debit: Numbers(number).draw_below(1_000_000),
                credit: Numbers(number).draw_below(50_000),
                code: Code(200),
                stage: Stage::Settled,
                ..StoredPayment::default()
            }
        };
        (first..first + u64::from(count)).map(payment).collect()
    }
}

/// So many runs of so many payments each, with numbers that go on from run to run.
fn sealed(ids: Ids, runs: u32, rows: u32) -> (TempDir, Runs) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sealed = Runs::create(directory.path()).expect("can be written");
    for run in 0..runs {
        let first = u64::from(run) * u64::from(rows);
        sealed.seal(&ids.payments(first, rows)).expect("can be written");
    }
    (directory, sealed)
}

fn seal(group: &mut BenchmarkGroup<'_, WallTime>, ids: Ids, rows: u32) {
    let (_directory, runs) = sealed(ids, 0, 0);
    let payments = ids.payments(0, rows);
    let bytes = runs.seal(&payments).expect("can be written");
    group.throughput(Throughput::ElementsAndBytes { elements: rows.into(), bytes });
    group.bench_function(format!("seal {rows}, {}", ids.name()), |bencher| {
        bencher.iter(|| runs.seal(&payments).expect("can be written"));
    });
}

fn find(group: &mut BenchmarkGroup<'_, WallTime>, ids: Ids, run_count: u32) {
    let (directory, runs) = sealed(ids, run_count, ROWS_SOUGHT_AMONG);
    read_all(&directory);
    let mut numbers = Numbers(7);
    let mut drawn = || {
        let rows = run_count * ROWS_SOUGHT_AMONG;
        let draw = |_| u64::from(numbers.draw_below(rows));
        (0..LOOK_UPS).map(draw).collect::<Vec<_>>()
    };
    group.throughput(Throughput::Elements(LOOK_UPS as u64));
    let name = |what| format!("find an id that is {what}, {}, runs {run_count}", ids.name());
    group.bench_function(name("there"), |bencher| {
        let sought = || drawn().into_iter().map(|number| ids.id(number)).collect::<Vec<_>>();
        let find = |sought: Vec<_>| look_up(&runs, sought, true);
        bencher.iter_batched(sought, find, BatchSize::PerIteration);
    });
    group.bench_function(name("not there"), |bencher| {
        let sought = || drawn().into_iter().map(|number| ids.missing(number)).collect::<Vec<_>>();
        let find = |sought: Vec<_>| look_up(&runs, sought, false);
        bencher.iter_batched(sought, find, BatchSize::PerIteration);
    });
}

/// Puts all files into the page cache.
fn read_all(directory: &TempDir) {
    for entry in fs::read_dir(directory.path()).expect("can be listed") {
        black_box(fs::read(entry.expect("can be listed").path()).expect("can be read"));
    }
}

fn look_up(runs: &Runs, sought: Vec<PaymentId>, is_there: bool) {
    for id in sought {
        let found = black_box(runs.find(id)).expect("runs can be read");
        assert_eq!(found.is_some(), is_there, "{id:?}");
    }
}

fn merge(group: &mut BenchmarkGroup<'_, WallTime>, ids: Ids, run_count: u32) {
    let (_directory, runs) = sealed(ids, run_count, ROWS_MERGED);
    let rows = u64::from(run_count) * u64::from(ROWS_MERGED);
    group.throughput(Throughput::Elements(rows));
    let how = match ids {
        Ids::Random => "whose ids lie among each other's",
        Ids::InTime => "whose ids follow each other",
    };
    group.bench_function(format!("merge {run_count} runs of {ROWS_MERGED} {how}"), |bencher| {
        // The file of the merge before is replaced.
        let again = || runs.opened_again().expect("can be read");
        let merge = |runs: Runs| {
            runs.merge_all().expect("can be written");
            runs
        };
        bencher.iter_batched(again, merge, BatchSize::PerIteration);
    });
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("runs");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for ids in Ids::ALL {
        for rows in [1 << 18, 1 << 19] {
            seal(&mut group, ids, rows);
        }
        for runs in [1, 8, 64, 256] {
            find(&mut group, ids, runs);
        }
        merge(&mut group, ids, 4);
    }
}

criterion_group!(benches, all);

/// As `criterion_main!`, with the memory that the engine has.
fn main() {
    ask_for_huge_pages();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
