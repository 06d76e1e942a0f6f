//! Evaluating a set of 20 typical rules, with lists, for one payment.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_benches::Numbers;
use millrace_ledger::Timestamp;
use millrace_risk::rules::{
    List, ListEntry, ListKind, ListLimits, ListSpec, Lists, RuleInput, RuleSet, Vocabulary,
};

const PAYMENTS: usize = 4_096;
const FEATURES: [(&str, &str); 14] = [
    ("amount", "money"),
    ("weekend", "flag"),
    ("night", "flag"),
    ("payer.count_1h", "count"),
    ("payer.count_1d", "count"),
    ("payer.count_30d", "count"),
    ("payer.mean_30d", "money"),
    ("payer.max_30d", "money"),
    ("payer.age", "days"),
    ("payer.since_last", "seconds"),
    ("payee.count_1h", "count"),
    ("payee.mean_30d", "money"),
    ("payee.fraud_share_30d", "share"),
    ("pair.count_30d", "count"),
];
const TEXTS: [&str; 6] =
    ["payer", "payee", "context.country", "context.channel", "context.mcc", "context.device"];

/// Conditions such as analysts write. The payments below meet few of them.
const RULES: [(&str, &str); 20] = [
    ("allow", "payee in trusted_payees and amount < 10_000"),
    ("allow", "pair.count_30d > 12 and amount < 1.5 * payer.mean_30d and payer.age > 5000d"),
    ("block", "payer in block_list or payee in block_list"),
    ("block", "context.device in block_list"),
    ("block", "context.country in ['KP', 'IR', 'SY', 'CU']"),
    ("block", "payer.count_1h > 20 && amount > 5 * payer.mean_30d"),
    ("block", "payee.fraud_share_30d > 30% and payee.count_1h > 10"),
    ("block", "amount > 100_000 and payer.age < 2d"),
    ("challenge", "amount > 10 * payer.max_30d and payer.count_30d >= 5"),
    ("challenge", "payer.since_last < 10s and payer.count_1h > 8"),
    ("challenge", "night and weekend and amount > 2_000"),
    ("challenge", "context.mcc in ['7995', '6051', '4829'] and amount > 500"),
    ("challenge", "is_missing(context.device) and amount > 1_500"),
    ("review", "amount > 50_000"),
    ("review", "pair.count_30d == 1 and amount > max(3_000, 8 * payee.mean_30d)"),
    ("review", "abs(amount - payer.mean_30d) > 30 * coalesce(payer.mean_30d, 100)"),
    ("review", "payer.count_1d > 40 or payee.count_1h > 400"),
    ("review", "payer in watch_list and amount > 100"),
    ("review", "payee.fraud_share_30d > 5% and amount > 250 and payer.age < 30d"),
    ("review", "context.channel == 'branch' and amount / payer.mean_30d > 20"),
];

/// UUIDs of payers and payees.
fn account(index: u64) -> String {
    format!("{:08x}-73a1-4c1e-9f00-{:012x}", index.wrapping_mul(0x9e37_79b9) as u32, index)
}

fn list(name: &str, values: impl Iterator<Item = String>) -> List {
    let spec = ListSpec { name: name.to_owned(), kind: ListKind::Block, of: Vec::new() };
    let mut list = List::new(spec, ListLimits::default()).expect("a right name");
    for value in values {
        let entry = ListEntry { value: &value, expires_at: None, reason: "", added_by: "" };
        list.add(&entry).expect("there is room");
    }
    list
}

fn rules(block_list: u64) -> RuleSet {
    let mut lists = Lists::new();
    lists.insert(list("block_list", (1..=block_list).map(|index| account(index << 32))));
    lists.insert(list("trusted_payees", (1..=1_000).map(|index| account(index << 33))));
    lists.insert(list("watch_list", (1..=10_000).map(|index| account(index << 34))));
    let mut file = String::new();
    for (index, (action, when)) in RULES.iter().enumerate() {
        file += &format!("[[rule]]\nname = 'rule {index}'\nwhen = \"{when}\"\n");
        file += &format!("action = '{action}'\nreason = '{{amount}}'\n");
    }
    let set = RuleSet::compile(&file, &Vocabulary::new(FEATURES, TEXTS), &lists);
    set.unwrap_or_else(|errors| panic!("{}", errors[0]))
}

struct Payments {
    rows: Vec<[f32; FEATURES.len()]>,
    accounts: Vec<(String, String)>,
}

/// Ordinary payments, a few of them odd.
fn payments() -> Payments {
    let mut numbers = Numbers(1);
    let (mut rows, mut accounts) = (Vec::new(), Vec::new());
    for _ in 0..PAYMENTS {
        let mut upto = |bound: u32| numbers.draw_below(bound) as f32;
        let odd = if upto(50) == 0.0 { 20.0 } else { 1.0 };
        let mean = 20.0 + upto(200);
        let amount = (10.0 + upto(400)) * odd;
        let (weekend, night) = (f32::from(upto(7) < 2.0), f32::from(upto(24) < 7.0));
        let since_last = if upto(20) == 0.0 { f32::NAN } else { upto(86_400) };
        rows.push([
            amount,
            weekend,
            night,
            upto(4) * odd,
            upto(10),
            upto(100),
            mean,
            mean * 5.0,
            upto(2_000),
            since_last,
            upto(20),
            mean * 1.2,
            upto(100) / 4_000.0,
            1.0 + upto(10),
        ]);
        let [payer, payee] = [0, 1].map(|_| account(u64::from(numbers.draw_below(50_000))));
        accounts.push((payer, payee));
    }
    Payments { rows, accounts }
}

fn evaluate(criterion: &mut Criterion) {
    let payments = payments();
    let texts: Vec<[Option<&str>; 6]> = payments
        .accounts
        .iter()
        .map(|(payer, payee)| {
            [Some(&**payer), Some(&**payee), Some("CZ"), Some("card"), Some("5411"), Some(&**payer)]
        })
        .collect();
    let mut group = criterion.benchmark_group("risk_rules");
    group.throughput(Throughput::Elements(PAYMENTS as u64)).sample_size(50);
    for block_list in [1_000, 1_000_000] {
        let rules = rules(block_list);
        let input = |index: usize| RuleInput {
            row: &payments.rows[index],
            texts: &texts[index],
            at: Timestamp(1),
        };
        let hits = (0..PAYMENTS).filter(|index| rules.evaluate(&input(*index)).is_some()).count();
        println!("cost {}, {hits} of {PAYMENTS} payments hit", rules.cost());
        group.bench_function(format!("20 rules, {block_list} on the block list"), |bencher| {
            bencher.iter(|| {
                for index in 0..PAYMENTS {
                    black_box(rules.evaluate(&input(index)));
                }
            });
        });
    }
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
