//! Deciding a batch of 8,192 new payments: without a policy, and with limits on.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use millrace_benches::{ledger, payments};
use millrace_ledger::{ApproveAll, Decision, Gate, Ledger, Timestamp};
use millrace_risk::{Action, LimitConfig, Measure, Policy, RiskConfig};

const BATCH: u32 = 8_192;

fn limits() -> Policy {
    let limit = |name: &str, measure, above: &str| LimitConfig {
        name: name.to_owned(),
        measure,
        currency: Some("CZK".to_owned()),
        above: above.to_owned(),
        action: Action::Review,
    };
    let limits = vec![
        limit("amount", Measure::PaymentAmount, "100000.00"),
        limit("count", Measure::PayerCountPerHour, "1000000000"),
        limit("sum", Measure::PayerSumPerHour, "100000000000.00"),
    ];
    Policy::new(&RiskConfig { limits, ..RiskConfig::default() }).expect("right limits")
}

/// Keeps memory bounded, as the engine does. The ids are new, so nobody asks for what is forgotten.
fn forget_when_full(ledger: &mut Ledger) {
    if ledger.generation_is_full() {
        drop(ledger.close_generation());
        ledger.let_go(0);
    }
}

fn decide(criterion: &mut Criterion, name: &str, accounts: u32, mut gate: impl Gate) {
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(u64::from(BATCH))).sample_size(30);
    let mut ledger = ledger(accounts);
    let (mut first, mut now) = (0, Timestamp(1));
    group.bench_function(format!("{name}, {accounts} accounts"), |bencher| {
        let fresh = || {
            first += u64::from(BATCH);
            payments(BATCH, accounts, first)
        };
        let decide = |payments: Vec<_>| {
            now.0 += 1_000_000;
            forget_when_full(&mut ledger);
            ledger.begin_batch(now, &mut Vec::new());
            let decided = |decision: &Decision| {
                black_box(decision);
            };
            ledger.decide(&payments, &mut gate, decided).expect("there is no history to read");
        };
        bencher.iter_batched(fresh, decide, BatchSize::PerIteration);
    });
}

fn all(criterion: &mut Criterion) {
    for accounts in [10_000, 1_000_000] {
        decide(criterion, "no policy", accounts, ApproveAll);
        decide(criterion, "limits", accounts, limits());
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
