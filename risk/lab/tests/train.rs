//! Models score as their trainers do, trainers find what there is to find, and what can't be trained
//! on is named.

use std::{fs::File, io::Read, path::PathBuf};

use flate2::read::GzDecoder;
use millrace_risk::model::{Calibration, Model};
use millrace_risk_lab::train::{
    Boosting, Calibrate, Dataset, Isolation, Logistic, Loss, Settings, SmartBoosting, SmartForest,
    TrainError, Trainer, scores_are_ranks, train,
};
use smartcore::{
    ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters},
    linalg::basic::matrix::DenseMatrix,
    xgboost::{XGRegressor, XGRegressorParameters},
};

/// Rows that an owner keeps.
struct Rows {
    features: Vec<String>,
    rows: Vec<f32>,
    labels: Vec<bool>,
}

impl Rows {
    fn dataset(&self) -> Dataset<'_> {
        let Self { features, rows, labels } = self;
        Dataset { features, rows, labels, weights: None }
    }

    fn matrix(&self) -> (DenseMatrix<f64>, Vec<f64>) {
        let values = self.rows.iter().map(|value| f64::from(*value)).collect();
        let matrix = DenseMatrix::new(self.labels.len(), self.features.len(), values, false);
        let labels = self.labels.iter().map(|label| f64::from(u8::from(*label))).collect();
        (matrix.expect("the right shape"), labels)
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("feature.{number}")).collect()
}

/// A stream of numbers of 0 to 1 that look random: SplitMix64.
fn shares(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Shaped as payments: an amount in cents, counts, a share that is mostly 0, flags. Fraud is likelier
/// with large amounts and shares; `shift` moves how likely.
fn payments(count: usize, seed: u64, shift: f64) -> Rows {
    let mut share = shares(seed);
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let amount = (-share().ln() * 6_000.0).round() / 100.0;
        let often = (share() * share() * 20.0).floor();
        let fraud_share = if share() < 0.9 { 0.0 } else { share() };
        let night = f64::from(u8::from(share() < 0.2));
        let age = share() * 1e6;
        let row = [amount, often, fraud_share, night, age, share()];
        rows.extend(row.map(|value| value as f32));
        let odds = shift + amount / 60.0 + 5.0 * fraud_share + night * often / 10.0;
        labels.push(share() < 1.0 / (1.0 + (-odds).exp()));
    }
    Rows { features: names(6), rows, labels }
}

fn settings(trainer: Trainer) -> Settings {
    Settings { trainer, calibrate: Calibrate::None, ..Settings::default() }
}

fn trained(rows: &Rows, settings: &Settings) -> Model {
    train(&rows.dataset(), settings, &mut |_| {}).expect("right rows and settings")
}

fn sums(model: &Model, rows: &[f32]) -> Vec<f64> {
    let mut sums = vec![f64::NAN; rows.len() / model.features().len()];
    model.score_raw(rows, &mut sums);
    sums
}

fn scores(model: &Model, rows: &Rows) -> Vec<f32> {
    let mut scores = vec![f32::NAN; rows.labels.len()];
    model.score(&rows.rows, &mut scores);
    scores
}

/// Share of pairs of a fraud and a legitimate payment that are in the right order.
fn roc_auc(scores: &[f32], labels: &[bool]) -> f64 {
    let of = |wanted| {
        let labelled = scores.iter().zip(labels).filter(move |(_, label)| **label == wanted);
        labelled.map(|(score, _)| *score).collect::<Vec<_>>()
    };
    let (frauds, others) = (of(true), of(false));
    let wins = frauds.iter().flat_map(|fraud| {
        others.iter().map(move |other| match fraud.total_cmp(other) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
    });
    wins.sum::<f64>() / (frauds.len() * others.len()) as f64
}

fn brier(scores: &[f32], labels: &[bool]) -> f64 {
    let miss =
        |(score, label): (&f32, &bool)| (f64::from(*score) - f64::from(u8::from(*label))).powi(2);
    scores.iter().zip(labels).map(miss).sum::<f64>() / scores.len() as f64
}

fn assert_near(found: &[f64], expected: &[f64], near: f64) {
    assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= near, "row {row}: {found} for {expected}");
    }
}

/// What smartcore predicts, our form of it predicts to within 1e-6, on rows that it was trained on
/// and on others.
fn assert_equals_smartcore(known: &Rows, others: &Rows) {
    let (matrix, labels) = known.matrix();
    let (other_matrix, _) = others.matrix();

    let parameters = XGRegressorParameters::default().with_n_estimators(30).with_max_depth(3);
    let theirs = XGRegressor::fit(&matrix, &labels, parameters.with_seed(1)).expect("it trains");
    let ours = SmartBoosting { trees: 30, ..SmartBoosting::default() };
    let ours = trained(known, &settings(Trainer::SmartBoosting(ours)));
    for (rows, matrix) in [(known, &matrix), (others, &other_matrix)] {
        let expected = theirs.predict(matrix).expect("it predicts");
        assert_near(&sums(&ours, &rows.rows), &expected, 1e-6);
    }

    // Forests are trained in parts of 10 trees.
    let forest = |trees, first: u64| {
        let parameters = RandomForestRegressorParameters::default();
        let parameters = parameters.with_n_trees(trees).with_max_depth(10);
        let parameters = parameters.with_seed(1_000_003 + first);
        RandomForestRegressor::fit(&matrix, &labels, parameters).expect("it trains")
    };
    let theirs = [(10.0, forest(10, 0)), (10.0, forest(10, 10)), (5.0, forest(5, 20))];
    let ours = SmartForest { trees: 25, ..SmartForest::default() };
    let ours = trained(known, &settings(Trainer::SmartForest(ours)));
    for (rows, matrix) in [(known, &matrix), (others, &other_matrix)] {
        let mut expected = vec![0.0; rows.labels.len()];
        for (trees, part) in &theirs {
            let predicted = part.predict(matrix).expect("it predicts");
            expected.iter_mut().zip(predicted).for_each(|(sum, p)| *sum += p * trees / 25.0);
        }
        assert_near(&sums(&ours, &rows.rows), &expected, 1e-6);
    }
}

#[test]
fn scores_are_those_of_smartcore() {
    assert_equals_smartcore(&payments(3_000, 1, -3.0), &payments(3_000, 2, -3.0));
}

/// On real payments: amount, time of day and week, and who they are of and to.
#[test]
fn scores_are_those_of_smartcore_on_card_payments() {
    let path = "../../../shared/data/card-payments/payments.csv.gz";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    let Ok(file) = File::open(&path) else {
        println!("skipped: there is no {}", path.display());
        return;
    };
    let mut text = String::new();
    let head = GzDecoder::new(file).take(2_000_000).read_to_string(&mut text);
    head.expect("gzipped text");
    let mut all = Rows { features: names(5), rows: Vec::new(), labels: Vec::new() };
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let [_, time, customer, terminal, amount, fraud @ ("0" | "1")] = fields[..] else {
            continue;
        };
        let digits: String = time.chars().filter(char::is_ascii_digit).collect();
        let number = |text: &str| {
            text.trim_start_matches(char::is_alphabetic).parse::<f32>().unwrap_or(-1.0)
        };
        let hour = digits.get(8..10).map_or(0.0, number);
        let day = digits.get(6..8).map_or(0.0, number);
        all.rows.extend([number(amount), hour, day, number(customer), number(terminal)]);
        all.labels.push(fraud == "1");
    }
    let half = all.labels.len() / 2;
    let other_rows = all.rows.split_off(half * 5);
    let other_labels = all.labels.split_off(half);
    let others = Rows { features: names(5), rows: other_rows, labels: other_labels };
    let frauds = all.labels.iter().filter(|label| **label).count();
    assert!(half > 10_000 && frauds > 10, "{half} rows, {frauds} frauds");
    assert_equals_smartcore(&all, &others);
}

/// Our boosting on squared errors grows smartcore's trees: the same mathematics, another way. With
/// as many frauds as others, both start from one half.
#[test]
fn boosting_is_smartcores_but_faster() {
    let mut rows = payments(2_000, 3, -1.0);
    let frauds = rows.labels.iter().filter(|label| **label).count();
    let mut surplus = frauds.abs_diff(1_000);
    let common = frauds > 1_000;
    for label in rows.labels.iter_mut().filter(|label| **label == common) {
        if surplus > 0 {
            (*label, surplus) = (!common, surplus - 1);
        }
    }
    let smart = SmartBoosting { trees: 20, ..SmartBoosting::default() };
    let smart = trained(&rows, &settings(Trainer::SmartBoosting(smart)));
    let exact = Boosting {
        loss: Loss::Squared,
        trees: 20,
        depth: 3,
        learning_rate: 0.3,
        ..Boosting::default()
    };
    let exact = trained(&rows, &settings(Trainer::Boosting(exact)));
    assert_near(&sums(&exact, &rows.rows), &sums(&smart, &rows.rows), 1e-4);
}

#[test]
fn each_trainer_finds_the_fraud() {
    let (known, others) = (payments(6_000, 5, -4.0), payments(6_000, 6, -4.0));
    for trainer in [
        Trainer::default(),
        Trainer::SmartBoosting(SmartBoosting { trees: 30, ..SmartBoosting::default() }),
        Trainer::SmartForest(SmartForest { trees: 30, depth: 6, leaf_rows_min: 5 }),
        Trainer::Logistic(Logistic::default()),
    ] {
        let model = trained(&known, &settings(trainer.clone()));
        let auc = roc_auc(&scores(&model, &others), &others.labels);
        assert!(auc > 0.7, "{auc} by {trainer:?}");
    }
}

/// Where a value is missing tells all here, on the one side or the other.
#[test]
fn missing_values_are_learned_from() {
    for missing_is_fraud in [true, false] {
        let mut rows = payments(3_000, 7, -2.0);
        for (row, label) in rows.labels.iter_mut().enumerate() {
            *label = row % 5 == 0;
            if *label == missing_is_fraud {
                rows.rows[row * 6 + 1] = f32::NAN;
            }
        }
        for trainer in [
            Trainer::default(),
            Trainer::SmartBoosting(SmartBoosting::default()),
            Trainer::SmartForest(SmartForest { trees: 20, depth: 5, leaf_rows_min: 1 }),
        ] {
            let model = trained(&rows, &settings(trainer.clone()));
            let auc = roc_auc(&scores(&model, &rows), &rows.labels);
            assert!(auc > 0.999, "{auc} by {trainer:?}, {missing_is_fraud}");
        }
        let logistic = trained(&rows, &settings(Trainer::Logistic(Logistic::default())));
        assert!(scores(&logistic, &rows).iter().all(|score| (0.0..=1.0).contains(score)));
    }
}

#[test]
fn the_same_settings_give_the_same_bytes() {
    let rows = payments(2_000, 8, -3.0);
    let boosting =
        Boosting { trees: 20, row_share: 0.7, feature_share: 0.5, ..Boosting::default() };
    for trainer in [
        Trainer::Boosting(boosting),
        Trainer::SmartForest(SmartForest { trees: 25, depth: 5, leaf_rows_min: 1 }),
        Trainer::Isolation(Isolation::default()),
    ] {
        let settings = Settings { trainer, legitimate_share: 0.5, ..Settings::default() };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("threads").install(|| trained(&rows, &settings).to_bytes())
        };
        assert!(on(1) == on(3), "{:?}", settings.trainer);
        let other = Settings { seed: 2, ..settings.clone() };
        assert!(trained(&rows, &other).to_bytes() != on(1), "the seed counts");
    }
}

/// Probabilities are right on payments that were never seen, and rankings stay.
#[test]
fn calibration_makes_probabilities() {
    let (known, others) = (payments(12_000, 9, -4.0), payments(12_000, 10, -4.0));
    // Stopped early: all its scores are near the mean.
    let timid = Boosting { trees: 60, learning_rate: 0.02, ..Boosting::default() };
    let trainer = Trainer::Boosting(timid);
    let plain = trained(&known, &settings(trainer.clone()));
    let before = scores(&plain, &others);
    for calibrate in [Calibrate::Tail(0.25), Calibrate::CrossFitted(3)] {
        let settings = Settings { trainer: trainer.clone(), calibrate, ..Settings::default() };
        let model = trained(&known, &settings);
        let after = scores(&model, &others);
        let [miss_after, miss_before] = [&after, &before].map(|it| brier(it, &others.labels));
        assert!(miss_after < miss_before * 0.98, "{miss_after} after {miss_before}");
        let mean = after.iter().sum::<f32>() / after.len() as f32;
        let frauds = others.labels.iter().filter(|label| **label).count() as f32 / 12_000.0;
        assert!((mean / frauds - 1.0).abs() < 0.1, "{mean} for {frauds}");

        let Calibration::PiecewiseLinear(knots) = model.calibration() else { panic!("none") };
        assert!(knots.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{knots:?}");
        assert_near(&sums(&model, &others.rows), &sums(&plain, &others.rows), 0.0);
        let mut ranked: Vec<_> = sums(&model, &others.rows).into_iter().zip(after).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(ranked.windows(2).all(|w| w[0].1 <= w[1].1));
    }
}

/// Fewer legitimate payments, each counting for more: the probabilities stay what they are.
#[test]
fn thinned_payments_stand_for_the_rest() {
    let rows = payments(20_000, 11, -5.0);
    let frauds = rows.labels.iter().filter(|label| **label).count() as f32;
    for (legitimate_share, calibrate) in
        [(0.2, Calibrate::None), (0.2, Calibrate::Tail(0.3)), (1.0, Calibrate::None)]
    {
        let trainer = Trainer::Boosting(Boosting { trees: 40, depth: 3, ..Boosting::default() });
        let settings = Settings { trainer, calibrate, legitimate_share, seed: 3 };
        let mean = scores(&trained(&rows, &settings), &rows).iter().sum::<f32>() / 20_000.0;
        let expected = frauds / 20_000.0;
        assert!((mean / expected - 1.0).abs() < 0.15, "{mean} for {expected}: {settings:?}");
    }
}

#[test]
fn an_isolation_forest_needs_no_labels() {
    let mut rows = payments(5_000, 12, -3.0);
    rows.labels.fill(false);
    for row in 0..20 {
        rows.rows[row * 6..row * 6 + 3].copy_from_slice(&[9_000.0, 300.0, 5.0]);
        rows.rows[row * 6 + 4] = f32::NAN;
    }
    let trainer = Trainer::Isolation(Isolation::default());
    let model = trained(&rows, &Settings { trainer, ..Settings::default() });
    let odd: Vec<_> = (0..5_000).map(|row| row < 20).collect();
    let scores = scores(&model, &rows);
    let auc = roc_auc(&scores, &odd);
    assert!(auc > 0.99, "{auc}");
    assert!(scores_are_ranks(&model), "{:?}", model.facts());
    for part in [0.5, 0.9, 0.99] {
        let below = scores.iter().filter(|score| **score < part).count() as f32 / 5_000.0;
        assert!((below - part).abs() < 0.01, "{below} are below {part}");
    }
    // As the trees have it, one half is neither odd nor common.
    let trainer = Trainer::Isolation(Isolation::default());
    let model = trained(&rows, &settings(trainer));
    assert!(!scores_are_ranks(&model), "{:?}", model.facts());
    let mean = self::scores(&model, &rows).iter().sum::<f32>() / 5_000.0;
    assert!((0.3..0.55).contains(&mean), "{mean}");
}

/// At the minimum, predicted and true frauds are as many, along each feature too.
#[test]
fn logistic_regression_reaches_the_minimum() {
    let rows = payments(4_000, 13, -3.0);
    let model = trained(&rows, &settings(Trainer::Logistic(Logistic { alpha: 0.0 })));
    let scores = scores(&model, &rows);
    for feature in 0..6 {
        let mean = rows.rows.iter().skip(feature).step_by(6).sum::<f32>() / 4_000.0;
        let (mut predicted, mut found) = (0.0, 0.0);
        for (row, (score, label)) in scores.iter().zip(&rows.labels).enumerate() {
            let value = f64::from(rows.rows[row * 6 + feature] / mean);
            predicted += value * f64::from(*score);
            found += value * f64::from(u8::from(*label));
        }
        assert!((predicted / found - 1.0).abs() < 1e-3, "{feature}: {predicted} for {found}");
    }
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let rows = payments(200, 14, -1.0);
    let whole = rows.dataset();
    let with = |dataset: &Dataset<'_>, settings: &Settings| {
        train(dataset, settings, &mut |_| {}).map(|_| ()).map_err(|error| error.to_string())
    };
    let plain = settings(Trainer::Boosting(Boosting { trees: 2, ..Boosting::default() }));
    assert_eq!(with(&whole, &plain), Ok(()));
    let mut infinite = rows.rows.clone();
    infinite[6 * 3 + 2] = f32::INFINITY;
    let (none, all, mut late) = (vec![false; 200], vec![true; 200], vec![false; 200]);
    late[199] = true;
    let (weights, short) = (vec![0.0; 200], vec![1.0; 3]);
    for (dataset, message) in [
        (Dataset { rows: &[], labels: &[], ..whole }, "0 rows of 6 features"),
        (Dataset { rows: &rows.rows[1..], ..whole }, "there are 1199 numbers"),
        (Dataset { weights: Some(&short), ..whole }, "there are 3 weights"),
        (Dataset { weights: Some(&weights), ..whole }, "the weight of row 0 is 0"),
        (Dataset { rows: &infinite, ..whole }, "feature.2 of row 3 is infinite"),
        (Dataset { labels: &none, ..whole }, "0 of the 200 payments are fraud"),
        (Dataset { labels: &all, ..whole }, "200 of the 200 payments are fraud"),
    ] {
        let error = with(&dataset, &plain).expect_err(message);
        assert!(error.contains(message), "{message:?} in {error}");
    }
    let of = |trainer| Settings { trainer, ..plain.clone() };
    let boosting = |boosting| of(Trainer::Boosting(boosting));
    let forest = SmartForest { depth: 0, ..SmartForest::default() };
    for (settings, message) in [
        (boosting(Boosting { depth: 15, ..Boosting::default() }), "depth is 15"),
        (boosting(Boosting { trees: 0, ..Boosting::default() }), "trees is 0"),
        (boosting(Boosting { lambda: f64::NAN, ..Boosting::default() }), "lambda is"),
        (of(Trainer::SmartForest(forest)), "depth is 0"),
        (of(Trainer::Isolation(Isolation { sample: 1, trees: 5 })), "sample is 1"),
        (Settings { legitimate_share: 0.0, ..plain.clone() }, "legitimate_share is 0"),
        (Settings { calibrate: Calibrate::Tail(1.0), ..plain.clone() }, "share of the tail is 1"),
        (Settings { calibrate: Calibrate::CrossFitted(1), ..plain.clone() }, "pieces is 1"),
    ] {
        let error = with(&whole, &settings).expect_err(message);
        assert!(error.contains(message), "{message:?} in {error}");
    }
    let tail = Settings { calibrate: Calibrate::Tail(0.25), ..plain };
    let error = train(&Dataset { labels: &late, ..whole }, &tail, &mut |_| {});
    assert!(matches!(error, Err(TrainError::OneClassInPart { .. })), "{error:?}");
}
