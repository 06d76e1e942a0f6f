//! Deciding a batch of 8,192 new payments: without a policy, and with limits on.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use millrace_benches::{account_id, ledger, payments};
use millrace_engine::{Crew, huge_pages::ask_for_huge_pages};
use millrace_ledger::{
    AccountId, ApproveAll, Decision, Gate, Ledger, Payment, Requested, Timestamp,
};
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
    Policy::new(&RiskConfig { limits, ..RiskConfig::default() }, None).expect("right limits")
}

/// Keeps memory bounded, as the engine does. The ids are new, so nobody asks for what is forgotten.
fn forget_when_full(ledger: &mut Ledger) {
    if ledger.generation_is_full() {
        drop(ledger.close_generation());
        ledger.let_go(0);
    }
}

/// Decides batches on so many shards, and as many threads.
fn decide(
    criterion: &mut Criterion,
    name: &str,
    mut ledger: Ledger,
    shards: usize,
    mut gate: impl Gate,
) {
    let crew = Crew::new(shards).expect("starts");
    let accounts = ledger.account_count() as u32;
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(u64::from(BATCH))).sample_size(30);
    let (mut first, mut now) = (0, Timestamp(1));
    let hot = name.contains("merchant");
    group.bench_function(format!("{name}, {accounts} accounts, shards {shards}"), |bencher| {
        let fresh = || {
            first += u64::from(BATCH);
            let mut payments = payments(BATCH, accounts, first);
            if hot {
                payments
                    .iter_mut()
                    .step_by(2)
                    .for_each(|payment| payment.credit = merchant(payment));
            }
            payments
        };
        let decide = |payments: Vec<_>| {
            now.0 += 1_000_000;
            forget_when_full(&mut ledger);
            ledger.begin_batch(now, &mut Vec::new());
            let decided = |decision: &Decision, _: &_| {
                black_box(decision);
            };
            let request = Requested::without_contexts(&payments);
            let decided = ledger.decide_with(&crew, &request, &mut gate, decided);
            decided.expect("there is no history to read");
            ledger.end_batch();
        };
        bencher.iter_batched(fresh, decide, BatchSize::PerIteration);
    });
}

/// One account that half of the payments go to, and another for its own.
fn merchant(payment: &Payment) -> AccountId {
    let [one, other] = [0, 1].map(account_id);
    if payment.debit == one { other } else { one }
}

fn all(criterion: &mut Criterion) {
    for accounts in [10_000, 1_000_000] {
        decide(criterion, "no policy", ledger(accounts, 1), 1, ApproveAll);
        decide(criterion, "limits", ledger(accounts, 1), 1, limits());
    }
    decide(criterion, "half to one merchant", ledger(1_000_000, 1), 1, ApproveAll);
    for accounts in [10_000, 1_000_000] {
        decide(criterion, "no policy", ledger(accounts, 2), 2, ApproveAll);
    }
}

criterion_group!(benches, all);

/// As `criterion_main!`, with the memory that the engine has.
fn main() {
    ask_for_huge_pages();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
