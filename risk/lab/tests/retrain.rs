//! A threshold survives a retrain: models of other weeks, of another seed and of another kind, on
//! generated payments, mean the same by a score.
//!
//! What is promised, and held here: of payments with a calibrated score from the threshold on, the
//! share that is fraud is the mean score, give or take `PRECISION_WITHIN`, whichever the model; a
//! model of one kind that is trained again, on the four weeks after, stops the same share of payments
//! from 0.3 on, within a factor of `SHARE_WITHIN`; without labels, a score from 0.99 on stops one payment in a hundred, within a factor
//! of `RANK_WITHIN`.

use millrace_risk::{features::Catalogue, model::Model};
use millrace_risk_lab::{
    data::{Day, DaySpan, LabelDelay, Payment, Payments, PaymentsBuilder},
    dataset::{FeatureTable, Replay},
    generate::{Generator, Settings as Generate},
    train::{
        Boosting, Calibrate, Dataset, Isolation, Logistic, Settings, SmartForest, Trainer, train,
    },
};

const PRECISION_WITHIN: f64 = 0.12;
const SHARE_WITHIN: f64 = 2.2;
const RANK_WITHIN: f64 = 1.6;

fn payments() -> Payments {
    let settings =
        Generate { payments: 150_000, days: 120, fraud_share: 0.02, ..Generate::default() };
    let mut builder = PaymentsBuilder::new(&[], true);
    for payment in Generator::new(&settings).expect("settings are right") {
        let row = Payment {
            id: "",
            at: payment.at,
            payer: &payment.payer.to_string(),
            payee: &payment.payee.to_string(),
            amount: payment.amount_minor as f64 / 100.0,
            is_fraud: payment.label.is_some(),
            reported_at: payment.label_known_at,
        };
        builder.push(&row, &[]);
    }
    builder.finish()
}

fn days(from: &str, days: u32) -> DaySpan {
    let first: DaySpan = from.parse().expect("a day");
    DaySpan::new(first.first(), Day(first.first().0 + days - 1)).expect("a span")
}

struct Bench {
    names: Vec<String>,
    payments: Payments,
    table: FeatureTable,
}

impl Bench {
    fn new() -> Self {
        let (payments, catalogue) = (payments(), Catalogue::standard().for_models());
        let replay =
            Replay { payments: &payments, catalogue: &catalogue, label_delay: LabelDelay::days(7) };
        let rows: Vec<u32> = (0..payments.len() as u32).collect();
        let table = replay.table(&rows, &mut |_| {});
        let names = catalogue.features().iter().map(|it| it.name.clone()).collect();
        Self { names, payments, table }
    }

    fn rows(&self, span: &DaySpan) -> (&[f32], &[bool]) {
        let rows = self.payments.rows_of(span).expect("there are payments");
        let stride = self.table.stride;
        (
            &self.table.values[rows.start * stride..rows.end * stride],
            &self.payments.is_fraud()[rows],
        )
    }

    fn trained(&self, span: &DaySpan, trainer: &Trainer, seed: u64, calibrate: Calibrate) -> Model {
        let (rows, labels) = self.rows(span);
        let dataset = Dataset { features: &self.names, rows, labels, weights: None };
        let trainer = trainer.clone();
        let settings = Settings { trainer, seed, calibrate, ..Settings::default() };
        train(&dataset, &settings, &mut |_| {}).expect("right rows and settings")
    }

    fn scores(&self, model: &Model, test: &DaySpan) -> Vec<f32> {
        let (rows, labels) = self.rows(test);
        let mut scores = vec![0.0; labels.len()];
        model.score(rows, &mut scores);
        scores
    }
}

/// What a threshold stops.
#[derive(Debug)]
struct Stopped {
    share: f64,
    precision: f64,
    mean_score: f64,
}

fn stopped(scores: &[f32], labels: &[bool], from: f32) -> Stopped {
    let above = || scores.iter().zip(labels).filter(|(score, _)| **score >= from);
    let count = above().count().max(1) as f64;
    Stopped {
        share: above().count() as f64 / scores.len() as f64,
        precision: above().filter(|(_, fraud)| **fraud).count() as f64 / count,
        mean_score: above().map(|(score, _)| f64::from(*score)).sum::<f64>() / count,
    }
}

fn within_factor(one: f64, other: f64, factor: f64) -> bool {
    one > 0.0 && other > 0.0 && one / other <= factor && other / one <= factor
}

fn kinds() -> [(&'static str, Trainer); 4] {
    [
        ("boosting", Trainer::Boosting(Boosting { trees: 60, depth: 3, ..Boosting::default() })),
        ("forest", Trainer::SmartForest(SmartForest { trees: 20, depth: 7, leaf_rows_min: 5 })),
        ("logistic", Trainer::Logistic(Logistic::default())),
        ("isolation", Trainer::Isolation(Isolation::default())),
    ]
}

#[test]
fn a_threshold_keeps_its_meaning_through_a_retrain() {
    let bench = Bench::new();
    // The first weeks only feed the profiles.
    let (first, second) = (days("2026-02-05", 28), days("2026-03-05", 28));
    let test = days("2026-04-02", 28);
    let (_, labels) = bench.rows(&test);
    for (kind, trainer) in kinds() {
        let calibrate = Calibrate::CrossFitted(3);
        let models = [(&first, 1), (&second, 2)]
            .map(|(span, seed)| bench.trained(span, &trainer, seed, calibrate));
        let scores = models.each_ref().map(|model| bench.scores(model, &test));
        for from in [0.1, 0.2, 0.3] {
            let stopped = scores.each_ref().map(|scores| stopped(scores, labels, from));
            println!("{kind} from {from}: {stopped:?}");
            for it in &stopped {
                let miss = (it.precision - it.mean_score).abs();
                assert!(miss <= PRECISION_WITHIN, "{kind} from {from}: {stopped:?}");
            }
        }
        let [one, other] = scores.each_ref().map(|scores| stopped(scores, labels, 0.3));
        let factor = SHARE_WITHIN;
        assert!(within_factor(one.share, other.share, factor), "{kind}: {one:?} {other:?}");
    }
}

/// What the calibration is for: without it, one threshold is a different share with each kind.
#[test]
fn without_calibration_a_threshold_means_something_else_with_each_kind() {
    let bench = Bench::new();
    let (span, test) = (days("2026-01-15", 25), days("2026-02-28", 20));
    let (_, labels) = bench.rows(&test);
    let misses = kinds().map(|(kind, trainer)| {
        let model = bench.trained(&span, &trainer, 1, Calibrate::None);
        let it = stopped(&bench.scores(&model, &test), labels, 0.4);
        println!("{kind}: {it:?}");
        (it.precision - it.mean_score).abs()
    });
    assert!(misses.iter().any(|miss| *miss > 2.0 * PRECISION_WITHIN), "{misses:?}");
}

#[test]
fn without_labels_a_score_is_a_rank_whatever_the_model() {
    let mut bench = Bench::new();
    bench.payments = {
        // The same payments, of which nobody knows anything.
        let mut builder = PaymentsBuilder::new(&[], false);
        for row in 0..bench.payments.len() {
            let payments = &bench.payments;
            let payment = Payment {
                id: "",
                at: payments.at()[row],
                payer: payments.payers().name(payments.payer()[row]),
                payee: payments.payees().name(payments.payee()[row]),
                amount: payments.amount()[row],
                is_fraud: false,
                reported_at: None,
            };
            builder.push(&payment, &[]);
        }
        builder.finish()
    };
    let test = days("2026-02-28", 20);
    for (span, seed, trees, sample) in [
        (days("2026-02-01", 25), 1, 100, 256),
        (days("2026-02-05", 20), 2, 100, 256),
        (days("2026-02-01", 25), 3, 40, 1_024),
    ] {
        let trainer = Trainer::Isolation(Isolation { trees, sample });
        let model = bench.trained(&span, &trainer, seed, Calibrate::Tail(0.25));
        let scores = bench.scores(&model, &test);
        for from in [0.9, 0.99] {
            let share = scores.iter().filter(|score| **score >= from).count() as f64;
            let (share, expected) = (share / scores.len() as f64, 1.0 - f64::from(from));
            println!("seed {seed}, from {from}: {share}");
            assert!(within_factor(share, expected, RANK_WITHIN), "{seed} from {from}: {share}");
        }
        let raw = bench.trained(&span, &trainer, seed, Calibrate::None);
        let raw = bench.scores(&raw, &test).into_iter().filter(|score| *score >= 0.9).count();
        assert_eq!(raw, 0, "uncalibrated, 0.9 stops nothing at all");
    }
}
