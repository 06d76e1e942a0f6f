//! Reading and counting the features of 8,192 payments: the shape that models begin with, the
//! catalogues that are shipped, and rings; in blocks and one by one; with features on demand that nobody
//! demands and with one that a rule does; on several threads.

use std::{hint::black_box, time::Instant};

use criterion::{Criterion, Throughput, criterion_group};
use millrace_engine::huge_pages::ask_for_huge_pages;
use millrace_ledger::Timestamp;
use millrace_risk::features::{Attempt, Catalogue, EntityKey, ProfileLimits, Profiles};

const PAYMENTS: usize = 8_192;
const BLOCK: usize = 1_024;
const START: u64 = 1_527_638_400_000_000_000;
const DAY_NS: u64 = 86_400_000_000_000;

/// Amount, and count and mean of payer and payee over three windows.
fn two_entities(form: &str) -> Catalogue {
    let mut text = "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\n\
                    [[feature]]\nname = \"amount\"\nstatistic = \"amount\"\n"
        .to_owned();
    for entity in ["payer", "payee"] {
        for statistic in ["count", "mean"] {
            for window in ["1d", "7d", "30d"] {
                text += &format!(
                    "[[feature]]\nname = \"{entity}.{statistic}_{window}\"\nentity = \"{entity}\"\n\
                     statistic = \"{statistic}\"\nwindow = \"{window}\"\nform = \"{form}\"\n"
                );
            }
        }
    }
    Catalogue::parse(&text).expect("a right catalogue")
}

/// Payments between entities drawn evenly, five a day for each payer.
struct Stream {
    entities: u64,
    state: u64,
    at: u64,
}

impl Stream {
    /// Splitmix64 (Steele et al., 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Times, amounts and keys of the next payments.
    fn take(&mut self, count: usize) -> Vec<Paid> {
        let payment = |_| {
            self.at += DAY_NS / 5 / self.entities;
            let amount = (self.draw() % 50_000) as f64 / 100.0;
            let keys = ["payer", "payee"].map(|kind| {
                let number = self.draw() % self.entities;
                EntityKey::of(kind, &number.to_le_bytes())
            });
            (self.at, amount, keys)
        };
        (0..count).map(payment).collect()
    }
}

/// Time, amount and keys of a payment.
type Paid = (u64, f64, [EntityKey; 2]);

fn attempts(payments: &[Paid]) -> Vec<Attempt<'_>> {
    let attempts = payments.iter().map(|(at, amount, keys)| Attempt {
        at: Timestamp(*at),
        amount: *amount,
        entities: keys,
    });
    attempts.collect()
}

/// Most entities where nothing is measured: `cargo test` runs each bench once, to see that it runs.
const ENTITIES_OF_A_TEST: u64 = 1_000;

/// As `cargo bench` asks for it.
fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

fn observe(
    criterion: &mut Criterion,
    name: &str,
    catalogue: &Catalogue,
    entities: u64,
    block: usize,
) {
    observe_with(criterion, name, catalogue, entities, block, (&[], 1));
}

/// Also with features that are demanded, and with so many threads.
fn observe_with(
    criterion: &mut Criterion,
    name: &str,
    catalogue: &Catalogue,
    entities: u64,
    block: usize,
    (demanded, threads): (&[&str], usize),
) {
    let named = entities;
    let entities = if is_measured() { entities } else { entities.min(ENTITIES_OF_A_TEST) };
    let mut stream = Stream { entities, state: 7, at: START };
    let mut profiles = Profiles::new(catalogue.clone(), ProfileLimits::default());
    profiles.demand(demanded);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.expect("threads can be started");
    let columns = catalogue.len();
    let mut rows = vec![0.0; block.max(BLOCK) * columns];
    let mut observe = |payments: &[Paid]| {
        let attempts = attempts(payments);
        let begun = Instant::now();
        for attempts in attempts.chunks(block) {
            let rows = &mut rows[..attempts.len() * columns];
            match threads {
                1 => profiles.observe_block(attempts, rows),
                _ => profiles.observe_block_on(&pool, attempts, rows),
            }
            black_box(rows);
        }
        begun.elapsed()
    };
    // Ten payments of each entity, so that all are there; ten days of them where payments wait to be
    // honest, so that some are due.
    let waits = catalogue.entities().iter().any(|entity| entity.honest_after.is_some());
    let payments_each = if waits { 50 } else { 10 };
    for _ in 0..entities as usize * payments_each / PAYMENTS {
        observe(&stream.take(PAYMENTS));
    }
    let mut group = criterion.benchmark_group("features");
    group.throughput(Throughput::Elements(PAYMENTS as u64)).sample_size(30);
    group.bench_function(format!("{name}, {named} entities, blocks of {block}"), |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| observe(&stream.take(PAYMENTS))).sum());
    });
}

fn all(criterion: &mut Criterion) {
    let decayed = two_entities("decayed");
    for entities in [10_000, 100_000, 1_000_000] {
        observe(criterion, "decayed", &decayed, entities, BLOCK);
    }
    observe(criterion, "decayed", &decayed, 10_000, 1);
    observe(criterion, "decayed", &decayed, 1_000_000, 1);
    for entities in [10_000, 1_000_000] {
        observe(criterion, "standard", &Catalogue::standard(), entities, BLOCK);
        let lean = Catalogue::standard().for_models();
        observe(criterion, "standard without those on demand", &lean, entities, BLOCK);
        let demanded = (&["payer.count_1h"][..], 1);
        let (name, standard) = ("standard and count_1h", Catalogue::standard());
        observe_with(criterion, name, &standard, entities, BLOCK, demanded);
    }
    for (threads, block) in [(1, BLOCK), (2, BLOCK), (1, PAYMENTS), (2, PAYMENTS)] {
        let name = format!("sharded standard, {threads} threads");
        let standard = Catalogue::standard();
        observe_with(criterion, &name, &standard, 1_000_000, block, (&[], threads));
    }
    observe(criterion, "book", &Catalogue::book(), 10_000, BLOCK);
    observe(criterion, "ring", &two_entities("ring"), 10_000, BLOCK);
}

criterion_group!(benches, all);

/// As `criterion_main!`, with the memory that the engine has.
fn main() {
    ask_for_huge_pages();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
