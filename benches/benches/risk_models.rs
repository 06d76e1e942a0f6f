//! Scoring payments of 15 features on one core: boosting of 100 trees of depth 3, a forest of 100
//! of depth 10, in blocks of 1,024 and one by one.

use std::{hint::black_box, iter::repeat_with};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_risk::model::{Kind, Link, Missing, Model, Node, Side, Term, Tree};

const FEATURES: usize = 15;
const ROWS: usize = 1_024;
/// So many blocks that no branch can be learned by heart.
const BLOCKS: usize = 64;

/// Numbers of 0 to 1 that look random: SplitMix64.
fn numbers(mut state: u64) -> impl FnMut() -> f32 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}

fn names() -> Vec<String> {
    (0..FEATURES).map(|number| format!("feature.{number}")).collect()
}

/// A full tree, as data of many kinds would grow it.
fn tree(depth: u32, next: &mut impl FnMut() -> f32) -> Tree {
    let splits = (1 << depth) - 1;
    let node = |at: usize| match at < splits {
        true => Node::Split {
            feature: (next() * FEATURES as f32) as usize,
            threshold: next(),
            missing: Missing::NanGoes(if next() < 0.5 { Side::Left } else { Side::Right }),
            left: 2 * at + 1,
            right: 2 * at + 2,
        },
        false => Node::Leaf { value: next() / 100.0, cover: 1.0 },
    };
    Tree { nodes: (0..2 * splits + 1).map(node).collect() }
}

fn trees(depth: u32) -> Model {
    let mut next = numbers(u64::from(depth));
    let trees: Vec<_> = repeat_with(|| tree(depth, &mut next)).take(100).collect();
    let link = Link::Sigmoid { slope: 1.0 };
    Model::of_trees(Kind::Forest, names(), &trees, 0.0, link).expect("right trees")
}

fn logistic() -> Model {
    let terms = vec![Term { weight: 0.3, mean: 0.5, scale: 0.2 }; FEATURES];
    Model::of_weights(names(), terms, -3.0).expect("right weights")
}

fn score(criterion: &mut Criterion, name: &str, model: &Model) {
    let rows: Vec<f32> = repeat_with(numbers(7)).take(BLOCKS * ROWS * FEATURES).collect();
    let mut blocks = rows.chunks_exact(ROWS * FEATURES).cycle();
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(ROWS as u64));
    let mut scores = vec![0.0; ROWS];
    group.bench_function(format!("{name}, a block of 1,024"), |bencher| {
        bencher.iter(|| {
            let block = blocks.next().unwrap_or_default();
            model.score(black_box(block), &mut scores);
            black_box(&scores);
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut rows = rows.chunks_exact(FEATURES).cycle();
    group.bench_function(format!("{name}, one row"), |bencher| {
        bencher.iter(|| {
            let row = rows.next().unwrap_or_default();
            model.score(black_box(row), &mut scores[..1]);
            black_box(&scores);
        });
    });
}

fn all(criterion: &mut Criterion) {
    for depth in [3, 4, 5, 6, 10] {
        score(criterion, &format!("100 trees of depth {depth}"), &trees(depth));
    }
    score(criterion, "logistic regression", &logistic());
}

criterion_group!(benches, all);
criterion_main!(benches);
