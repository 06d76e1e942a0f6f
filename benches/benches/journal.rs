//! What the committer and the sequencer do for the journal with batches of 1 to 8,189 payments: encoding the
//! events into a frame; hashing the frame and writing it; the same, and waiting for the disk.
//!
//! The journal is in a temporary directory: in memory, if TMPDIR is, and then a sync costs nothing.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, measurement::WallTime};
use millrace_benches::{ledger, payments};
use millrace_engine::{
    bench::{Frame, Journal},
    huge_pages::ask_for_huge_pages,
};
use millrace_ledger::{ApproveAll, Decision, PaymentEvent, Timestamp};

const ACCOUNTS: u32 = 10_000;
const BATCHES: [u32; 4] = [1, 100, 1_024, 8_189];
/// Sealed segments are removed each time so much was written.
const BYTES_KEPT: usize = 512 << 20;

/// What a ledger says of so many payments that it accepts.
fn events(count: u32) -> Vec<PaymentEvent> {
    let mut ledger = ledger(ACCOUNTS, 1);
    ledger.begin_batch(Timestamp(1), &mut Vec::new());
    let mut events = Vec::new();
    let decided = |decision: &Decision| match decision {
        Decision::New(event) if event.outcome.is_accepted() => events.push(*event),
        other => panic!("{other:?} is not a new payment that was accepted"),
    };
    let payments = payments(count, ACCOUNTS, 0);
    ledger.decide(&payments, &mut ApproveAll, decided).expect("there is no history to read");
    events
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, events: &[PaymentEvent]) {
    let mut frame = Frame::default();
    let bytes = frame.encode(events) as u64;
    group.throughput(Throughput::ElementsAndBytes { elements: events.len() as u64, bytes });
    group.bench_function(format!("encode, batches of {}", events.len()), |bencher| {
        bencher.iter(|| frame.encode(events));
    });
}

fn append(group: &mut BenchmarkGroup<'_, WallTime>, events: &[PaymentEvent], syncs: bool) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut journal = Journal::create(directory.path(), syncs).expect("can be written");
    let (mut frame, mut written) = (Frame::default(), 0);
    let what = if syncs { "append and sync" } else { "append without sync" };
    group.bench_function(format!("{what}, batches of {}", events.len()), |bencher| {
        bencher.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                written += frame.encode(events);
                let began = Instant::now();
                journal.append(&mut frame).expect("can be written");
                took += began.elapsed();
                if written > BYTES_KEPT {
                    remove_sealed(directory.path());
                    written = 0;
                }
            }
            took
        });
    });
}

/// Removes all segments but the newest.
fn remove_sealed(directory: &Path) {
    let entries = fs::read_dir(directory).expect("can be listed");
    let paths = entries.map(|entry| entry.expect("can be listed").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
    // They are named after their first events.
    segments.sort();
    segments.pop();
    for path in segments {
        fs::remove_file(path).expect("can be removed");
    }
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for batch in BATCHES {
        let events = events(batch);
        encode(&mut group, &events);
        append(&mut group, &events, false);
        append(&mut group, &events, true);
    }
}

criterion_group!(benches, all);

/// As `criterion_main!`, with the memory that the engine has.
fn main() {
    ask_for_huge_pages();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
