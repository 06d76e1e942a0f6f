//! Models score as their plain trees do, one row as in a block, and survive being written and read;
//! what was damaged on the way is refused.

use std::iter::repeat_with;

use millrace_risk::model::{
    Calibration, Kind, Link, Missing, Model, ModelError, Node, Side, Term, TrainingFacts, Tree,
    VERSION,
};
use proptest::prelude::*;

const FEATURES: usize = 5;

fn names() -> Vec<String> {
    (0..FEATURES).map(|number| format!("feature.{number}")).collect()
}

/// A stream of numbers that look random: SplitMix64.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Few values, so that thresholds are met exactly, and all that is odd among them.
fn value(number: u64) -> f32 {
    const ODD: [f32; 9] =
        [f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-36, -1e-36, f32::MAX, f32::MIN];
    match number % 40 {
        odd @ 0..9 => ODD[odd as usize],
        other => other as f32 * 0.1 - 2.5,
    }
}

/// A tree that is as deep as it gets, with nodes in depth-first order.
fn grow(
    depth: u32,
    features: usize,
    next: &mut impl FnMut() -> u64,
    nodes: &mut Vec<Node>,
) -> usize {
    let at = nodes.len();
    let number = next();
    let leaf = Node::Leaf {
        value: (number % 2_001) as f32 / 1_000.0 - 1.0,
        cover: (number >> 20) as u8 as f32,
    };
    nodes.push(leaf);
    if depth > 0 && !number.is_multiple_of(7) {
        let number = next();
        let side = if number & 1 == 0 { Side::Left } else { Side::Right };
        let missing = match (number >> 1) % 3 {
            0 => Missing::NanGoes(side),
            1 => Missing::NanIsZero,
            _ => Missing::ZeroGoes(side),
        };
        let threshold = value(number >> 8);
        let threshold = if threshold.is_nan() { 0.5 } else { threshold.min(f32::MAX) };
        let left = grow(depth - 1, features, next, nodes);
        let right = grow(depth - 1, features, next, nodes);
        let feature = (number >> 40) as usize % features;
        nodes[at] = Node::Split { feature, threshold, missing, left, right };
    }
    at
}

fn trees(seed: u64, count: usize, depth: u32) -> Vec<Tree> {
    trees_of(FEATURES, seed, count, depth)
}

fn trees_of(features: usize, seed: u64, count: usize, depth: u32) -> Vec<Tree> {
    let mut next = numbers(seed);
    let tree = || {
        let mut nodes = Vec::new();
        grow(depth, features, &mut next, &mut nodes);
        Tree { nodes }
    };
    repeat_with(tree).take(count).collect()
}

fn rows(seed: u64, count: usize) -> Vec<f32> {
    let mut next = numbers(seed);
    repeat_with(|| value(next())).take(count * FEATURES).collect()
}

fn boosting(trees: &[Tree]) -> Model {
    let link = Link::Sigmoid { slope: 1.0 };
    Model::of_trees(Kind::Boosting, names(), trees, 0.25, link).expect("right trees")
}

fn logistic() -> Model {
    let term = |number: usize| Term { weight: number as f64 - 1.5, mean: 0.3, scale: 2.0 };
    Model::of_weights(names(), (0..FEATURES).map(term).collect(), -4.0).expect("right weights")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the depth, the missing values and the number of rows, to the last bit.
    #[test]
    fn sums_are_those_of_the_plain_trees(
        seed: u64, count in 1_usize..20, depth in 0_u32..9, row_count in 1_usize..60,
    ) {
        let (trees, rows) = (trees(seed, count, depth), rows(seed ^ 1, row_count));
        let model = boosting(&trees);
        let mut sums = vec![f64::NAN; row_count];
        model.score_raw(&rows, &mut sums);
        for (row, sum) in rows.chunks_exact(FEATURES).zip(&sums) {
            let naive = trees.iter().fold(0.25, |sum, tree| sum + f64::from(tree.value_of(row)));
            prop_assert_eq!(*sum, naive, "{:?}", row);
            let mut alone = [f64::NAN];
            model.score_raw(row, &mut alone);
            prop_assert_eq!(alone[0], naive, "alone: {:?}", row);
            let (least, greatest) = model.sum_range();
            prop_assert!((least..=greatest).contains(sum));
        }
    }

    /// More columns than the short form of a node has bits for, and fewer.
    #[test]
    fn wide_rows_alone_have_the_sums_of_the_plain_trees(
        seed: u64, features in 10_usize..90, count in 1_usize..20,
    ) {
        let trees = trees_of(features, seed, count, 7);
        let names = (0..features).map(|number| number.to_string()).collect();
        let link = Link::Sigmoid { slope: 1.0 };
        let model = Model::of_trees(Kind::Boosting, names, &trees, 0.25, link).expect("right trees");
        let mut next = numbers(seed ^ 1);
        let row: Vec<_> = repeat_with(|| value(next())).take(features).collect();
        let naive = trees.iter().fold(0.25, |sum, tree| sum + f64::from(tree.value_of(&row)));
        let mut alone = [f64::NAN];
        model.score_raw(&row, &mut alone);
        prop_assert_eq!(alone[0], naive);
    }

    #[test]
    fn contributions_add_up(seed: u64, depth in 0_u32..9) {
        let rows = rows(seed, 20);
        for model in [boosting(&trees(seed, 9, depth)), logistic()] {
            let mut sums = [0.0; 20];
            model.score_raw(&rows, &mut sums);
            for (row, sum) in rows.chunks_exact(FEATURES).zip(sums) {
                let mut moved = [0.0; FEATURES];
                model.contributions(row, &mut moved);
                let added: f64 = moved.iter().map(|moved| f64::from(*moved)).sum();
                let missed = added + model.expected_raw() - sum;
                prop_assert!(moved.iter().all(|moved| moved.is_finite()));
                // Near the greatest float, the others are lost in rounding.
                if moved.iter().any(|moved| moved.abs() > 1e30) {
                    continue;
                }
                prop_assert!(missed.abs() <= 1e-5 * sum.abs().max(1.0), "{} at {:?}", missed, row);
            }
        }
    }

    #[test]
    fn a_score_is_a_probability_whatever_the_row(seed: u64, depth in 0_u32..9) {
        let rows = rows(seed, 50);
        let trees = trees(seed, 9, depth);
        for link in [Link::Identity, Link::Sigmoid { slope: 2.0 }, Link::Anomaly { path: 0.5 }] {
            let model = Model::of_trees(Kind::Forest, names(), &trees, 0.0, link).expect("trees");
            for model in [model, logistic()] {
                let mut scores = [f32::NAN; 50];
                model.score(&rows, &mut scores);
                prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
            }
        }
    }
}

/// Also across the blocks in which rows are taken.
#[test]
fn a_row_scores_the_same_in_any_company() {
    for (depth, count) in [(3, 2_500), (5, 2_500), (8, 2_500)] {
        let (model, rows) = (boosting(&trees(3, 40, depth)), rows(4, count));
        let mut together = vec![0.0; count];
        model.score(&rows, &mut together);
        for piece in [1, 2, 5, 16, 17, 100, 1_024, 1_025] {
            let mut apart = vec![0.0; count];
            for (rows, scores) in rows.chunks(piece * FEATURES).zip(apart.chunks_mut(piece)) {
                model.score(rows, scores);
            }
            assert_eq!(apart, together, "pieces of {piece}");
        }
    }
}

fn examples() -> Vec<Model> {
    let facts = TrainingFacts {
        trainer: "a test".to_owned(),
        source: "payments.csv, ž".to_owned(),
        span: Some((millrace_ledger::Timestamp(5), millrace_ledger::Timestamp(6))),
        rows: 7,
        frauds: 2,
        settings: vec![("depth".to_owned(), "3".to_owned())],
    };
    let knots = Calibration::PiecewiseLinear(vec![(0.0, 0.0), (0.4, 0.01), (1.0, 0.9)]);
    let platt = Calibration::Platt { slope: 3.0, intercept: -2.0 };
    let anomaly = Link::Anomaly { path: 10.2 };
    let isolation = Model::of_trees(Kind::IsolationForest, names(), &trees(2, 3, 5), 7.5, anomaly);
    vec![
        boosting(&trees(1, 4, 3)).with_facts(facts).with_catalogue([7; 32]),
        boosting(&trees(1, 4, 3)).with_calibration(knots).expect("it ascends"),
        isolation.expect("trees"),
        logistic().with_calibration(platt).expect("it ascends"),
    ]
}

#[test]
fn a_model_survives_being_written() {
    for model in examples() {
        let bytes = model.to_bytes();
        let read = Model::from_bytes(&bytes).expect("whole");
        assert_eq!(read, model);
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.digest(), *bytes.last_chunk().expect("long enough"));
    }
}

#[test]
fn every_truncation_is_an_error() {
    for bytes in examples().iter().map(Model::to_bytes) {
        for len in 0..bytes.len() {
            let error = Model::from_bytes(&bytes[..len]).expect_err("cut short");
            assert!(matches!(error, ModelError::Length { .. }), "{len}: {error}");
        }
        let longer = [bytes.as_slice(), b"!"].concat();
        assert!(matches!(Model::from_bytes(&longer), Err(ModelError::Length { .. })));
    }
}

#[test]
fn every_flipped_byte_is_an_error() {
    let mut next = numbers(9);
    for bytes in examples().iter().map(Model::to_bytes) {
        for _ in 0..2_500 {
            let (place, flip) = (next() as usize % bytes.len(), next() % 255 + 1);
            let mut bytes = bytes.clone();
            bytes[place] ^= flip as u8;
            Model::from_bytes(&bytes).expect_err("altered");
        }
    }
}

/// What passes the checksum may still be nonsense: whoever writes it can compute one, too.
#[test]
fn nonsense_with_a_right_checksum_gives_an_error_or_a_model() {
    let mut next = numbers(10);
    let mut refused = 0;
    for bytes in examples().iter().map(Model::to_bytes) {
        for _ in 0..2_500 {
            let content_len = bytes.len() - 32;
            let place = 24 + next() as usize % (content_len - 24);
            let mut content = bytes[..content_len].to_vec();
            content[place] ^= (next() % 255 + 1) as u8;
            let digest = blake3::hash(&content);
            content.extend_from_slice(digest.as_bytes());
            match Model::from_bytes(&content) {
                Err(ModelError::Altered) => panic!("the checksum is right"),
                Err(_) => refused += 1,
                Ok(model) => {
                    let mut scores = [f32::NAN; 3];
                    model.score(&vec![0.5; 3 * model.features().len()], &mut scores);
                    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
                }
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn other_files_are_told_from_damaged_ones() {
    let bytes = examples()[0].to_bytes();
    let with = |at: usize, new: u32| {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
        Model::from_bytes(&bytes).expect_err("altered")
    };
    assert_eq!(with(0, 0), ModelError::Foreign);
    assert_eq!(with(8, VERSION + 1), ModelError::Newer { found: VERSION + 1, known: VERSION });
    assert_eq!(with(72, 1), ModelError::Altered);
    assert_eq!(
        with(8, 9).to_string(),
        "the model's format is version 9, and this release reads version 1: update Millrace, or \
         train the model again with this release"
    );
}

#[test]
fn names_and_weights_that_make_no_sense_are_named() {
    let of = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let terms = vec![Term { weight: 1.0, mean: 0.0, scale: 1.0 }; names.len()];
        Model::of_weights(names, terms, 0.0).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(of(&["a", "b"]), Ok(()));
    for (names, message) in [
        (&[][..], "feature 0 of the model, \"\", is missing: a model has at least one"),
        (&["a", "b", "a"], "feature 2 of the model, \"a\", is there twice"),
        (&["a", ""], "feature 1 of the model, \"\", must have a name of 1 to 255 bytes"),
    ] {
        assert_eq!(of(names), Err(message.to_owned()));
    }
    for (term, place) in [
        (Term { weight: f64::NAN, mean: 0.0, scale: 1.0 }, 1),
        (Term { weight: 1.0, mean: f64::INFINITY, scale: 1.0 }, 1),
        (Term { weight: 1.0, mean: 0.0, scale: 0.0 }, 1),
    ] {
        let terms = vec![Term { weight: 1.0, mean: 0.0, scale: 1.0 }, term];
        let error = Model::of_weights(vec!["a".to_owned(), "b".to_owned()], terms, 0.0);
        assert_eq!(error, Err(ModelError::Weight { place: Some(place) }));
    }
}
