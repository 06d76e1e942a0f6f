//! What the ledger asks of the policy for each block of 1,024 payments: features alone, and features,
//! three rules and 100 trees of depth 3, with the verdicts and the evidence that go to the journal.

use std::{hint::black_box, iter::repeat_with, sync::Arc, time::Instant};

use criterion::{Criterion, Throughput, criterion_group};
use millrace_benches::{LEDGER, Numbers, account_id};
use millrace_engine::huge_pages::ask_for_huge_pages;
use millrace_ledger::{Amount, Block, Gate, Judged, NoContexts, Payment, PaymentId, Timestamp};
use millrace_risk::{
    Policy, RiskConfig,
    acts::{Act, ActKind},
    features::{Catalogue, ProfileLimits},
    model::{Kind, Link, Missing, Model, Node, Side, Tree},
    policy::{Library, ScoringConfig},
    shelf::Shelf,
};

const BLOCK: u64 = 1_024;
const START: u64 = 1_527_638_400_000_000_000;
/// Those of `benches/scoring.sh`.
const RULES: &str = include_str!("../scoring_rules.toml");

/// Full trees over the features that models are trained on. Nothing scores above 0.6.
fn model() -> Model {
    let catalogue = Catalogue::standard().for_models();
    let names: Vec<_> = catalogue.features().iter().map(|it| it.name.clone()).collect();
    let mut numbers = Numbers(3);
    let mut next = |bound| numbers.draw_below(bound);
    let mut node = |at: usize| match at < 7 {
        true => Node::Split {
            feature: next(names.len() as u32) as usize,
            threshold: next(50_000) as f32 / 100.0,
            missing: Missing::NanGoes(if next(2) == 0 { Side::Left } else { Side::Right }),
            left: 2 * at + 1,
            right: 2 * at + 2,
        },
        false => Node::Leaf { value: next(1_000) as f32 / 200_000.0, cover: 1.0 },
    };
    let tree = || Tree { nodes: (0..15).map(&mut node).collect() };
    let trees: Vec<_> = repeat_with(tree).take(100).collect();
    let link = Link::Sigmoid { slope: 1.0 };
    Model::of_trees(Kind::Boosting, names.clone(), &trees, 0.0, link).expect("right trees")
}

/// Payments between 10,000 accounts, a thousand a second: as under load, next to none has waited long enough
/// to be taken for honest.
struct Stream {
    numbers: Numbers,
    at: u64,
    id: u128,
}

impl Stream {
    fn take(&mut self) -> Vec<Payment> {
        let payment = |_| {
            self.id += 1;
            let mut account = || account_id(self.numbers.draw_below(10_000));
            let (debit, credit) = (account(), account());
            Payment {
                id: PaymentId(self.id),
                debit,
                credit,
                amount: Amount(u128::from(self.numbers.draw_below(50_000) + 1)),
                ledger: LEDGER,
                ..Payment::default()
            }
        };
        self.at += BLOCK * 1_000_000;
        (0..BLOCK).map(payment).collect()
    }
}

fn set_policy(policy: &mut Policy, library: &Library) {
    let put = |bytes: &[u8]| library.shelf().put(bytes).expect("the shelf can be written");
    let (model, rules) = (put(&model().to_bytes()), put(RULES.as_bytes()));
    let document = format!(
        "name = \"bench\"\nmodel = \"{model}\"\nrules = \"{rules}\"\n[thresholds]\ndecline = 0.99\n\
         [budget]\nrequest_ms = 0\nthen = \"approve\"\n"
    );
    let policy_name = put(document.as_bytes());
    let act = ActKind::SetPolicy { policy: policy_name, features: Vec::new() };
    let act = Act { actor: "bench".to_owned(), why: "bench".to_owned(), act };
    policy.act(&act.to_bytes(), Timestamp(START)).expect("a right policy");
}

fn look(policy: &mut Policy, payments: &[Payment], positions: &[u32], at: Timestamp) {
    policy.begin_request(payments.len());
    policy.look_ahead(&Block { payments, positions, contexts: &NoContexts, at });
    for (payment, position) in payments.iter().zip(positions) {
        let judged = Judged { payment, amount: payment.amount, at, position: *position, payer: 0 };
        black_box(policy.judge(judged));
        black_box(policy.evidence(*position));
    }
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy");
    group.throughput(Throughput::Elements(BLOCK)).sample_size(30);
    for (name, has_policy) in
        [("features alone", false), ("features, 3 rules, 100 trees of depth 3", true)]
    {
        let shelf = tempfile::tempdir().expect("a temporary directory");
        let library = Library::new(Shelf::new(shelf.path()), Arc::new(Catalogue::standard()));
        let limits = ProfileLimits::default();
        let scoring = ScoringConfig { library: library.clone(), limits, threads: 1 };
        let mut policy =
            Policy::new(&RiskConfig::default(), Some(scoring)).expect("no limit is wrong");
        if has_policy {
            set_policy(&mut policy, &library);
        }
        let mut stream = Stream { numbers: Numbers(7), at: START, id: 0 };
        let positions: Vec<u32> = (0..BLOCK as u32).collect();
        let mut block = || {
            let payments = stream.take();
            let at = Timestamp(stream.at);
            let begun = Instant::now();
            look(&mut policy, &payments, &positions, at);
            begun.elapsed()
        };
        (0..100).for_each(|_| _ = block());
        group.bench_function(format!("{name}, a block of 1,024"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| block()).sum());
        });
    }
}

criterion_group!(benches, all);

/// As `criterion_main!`, with the memory that the engine has.
fn main() {
    ask_for_huge_pages();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
