//! What runs cost. `cargo test --release -p millrace-engine past::tests::figures -- --ignored
//! --nocapture` prints the figures that `docs/decisions/0012-runs.md` quotes.

use std::{hint::black_box, time::Instant};

use millrace_ledger::{Code, History as _, PaymentFlags, Stage};

use super::*;

const RUNS: u64 = 8;
const RUN_ROWS: u64 = 1 << 19;
const LOOK_UPS: u64 = 400_000;

fn usual(id: u128, number: u64) -> StoredPayment {
    let amount = 100 + number % 1_000_000;
    StoredPayment {
        id: PaymentId(id),
        amount: Amount(amount.into()),
        applied: amount.into(),
        left: amount.into(),
        seq: EventSeq(100_000_000 + number),
        context_digest: scrambled(number) as u64,
        debit: (scrambled(number) >> 32) as u32 % 1_000_000,
        credit: (scrambled(number) >> 64) as u32 % 50_000,
        code: Code(200),
        verdict: 1,
        flags: PaymentFlags::NONE,
        stage: Stage::Settled,
        ..StoredPayment::default()
    }
}

fn random(number: u64) -> u128 {
    scrambled(number)
}

/// As UUIDv7: 48 bits of milliseconds, the rest random.
fn in_time(number: u64) -> u128 {
    u128::from(1_790_000_000_000 + number / 500) << 80 | scrambled(number) >> 48
}

fn ns_each(count: u64, what: impl FnOnce()) -> u64 {
    let started = Instant::now();
    what();
    started.elapsed().as_nanos() as u64 / count
}

fn sealed(directory: &TempDir, ids: impl Fn(u64) -> u128) -> Runs {
    let runs =
        Runs::open(directory.path(), JOURNAL, &[], u64::MAX, Room::reserving(0)).expect("opens");
    for run in 0..RUNS {
        let rows = run * RUN_ROWS..(run + 1) * RUN_ROWS;
        let payments: Vec<_> = rows.map(|number| usual(ids(number), number)).collect();
        let seal_ns = ns_each(RUN_ROWS, || drop(seal(&runs, run + 1, &payments)));
        println!("  seal: {seal_ns} ns per row");
    }
    runs
}

fn look_up(runs: &Runs, what: &str, ids: impl Fn(u64) -> u128) {
    let all = RUNS * RUN_ROWS;
    let number = |look_up: u64| scrambled(look_up) as u64 % all;
    let hit_ns = ns_each(LOOK_UPS, || {
        for at in 0..LOOK_UPS {
            assert!(black_box(runs.find(PaymentId(ids(number(at))))).expect("read").is_some());
        }
    });
    let miss_ns = ns_each(LOOK_UPS, || {
        for at in 0..LOOK_UPS {
            assert!(black_box(runs.find(PaymentId(ids(number(at)) ^ 1))).expect("read").is_none());
        }
    });
    println!("  {what}: {hit_ns} ns per hit, {miss_ns} ns per miss");
}

#[test]
#[ignore = "prints figures; slow without --release"]
fn figures() {
    let kinds = [("random ids", random as fn(u64) -> u128), ("ids in time", in_time)];
    for (kind, ids) in kinds {
        println!("{kind}: {RUNS} runs of {RUN_ROWS} payments");
        let directory = directory();
        let runs = sealed(&directory, ids);
        let all = (RUNS * RUN_ROWS) as f64;
        let sum = |of: fn(&super::super::Run) -> u64| {
            runs.list().iter().map(|run| of(run)).sum::<u64>() as f64 / all
        };
        look_up(&runs, "first look-ups, which load the filters", ids);
        look_up(&runs, "with filters", ids);
        println!(
            "  per payment: {:.2} bytes on disk, {:.3} bytes of fences, {:.3} bytes of filters",
            sum(super::super::Run::len),
            sum(super::super::Run::memory),
            runs.filter_memory() as f64 / all,
        );
        let opening = Instant::now();
        let without = Runs::open(directory.path(), JOURNAL, &names(&runs), 0, Room::reserving(0))
            .expect("opens");
        println!("  open: {} us per run", opening.elapsed().as_micros() / u128::from(RUNS));
        look_up(&without, "without filters", ids);
        let merge_ns = ns_each(RUNS * RUN_ROWS, || {
            runs.merge(0..RUNS as usize, &|_| false).expect("merged");
        });
        println!("  merge of all: {merge_ns} ns per row");
        look_up(&runs, "in one run, filters loaded first", ids);
        look_up(&runs, "in one run", ids);
    }
}
