//! Evaluation: consumes scored payments, produces all that a report on one model shows.

use serde::Serialize;

use super::{
    Bootstrap, Calibration, CardPrecision, Confusion, DailyCards, HistogramBin, Interval,
    MetricError, PrPoint, Ranking, Resample, RocPoint, calibration, confusion, error::same_length,
    precision_recall_curve, roc_curve, score_histogram,
};
use crate::data::{Day, Payments};

/// How many customers the headline's card precision looks at per day.
const CARDS_PER_DAY: u32 = 100;

/// Shares of all payments that the table of thresholds stops.
const STOPPED_SHARES: [f64; 7] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05];

/// Payments with their scores, one entry per payment in each column, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// Higher is more likely fraud.
    pub scores: Vec<f32>,
    /// Labels.
    pub is_fraud: Vec<bool>,
    /// In major units.
    pub amount: Vec<f64>,
    /// Of UTC.
    pub day: Vec<Day>,
    /// Numbers of payers.
    pub customer: Vec<u32>,
}

impl Scored {
    /// These rows of the payments, with one score per row.
    ///
    /// # Errors
    /// When there are more or fewer scores than rows.
    pub fn of(payments: &Payments, rows: &[u32], scores: Vec<f32>) -> Result<Self, MetricError> {
        same_length(scores.len(), rows.len(), "rows")?;
        let each = || rows.iter().map(|row| *row as usize);
        Ok(Self {
            scores,
            is_fraud: each().map(|row| payments.is_fraud()[row]).collect(),
            amount: each().map(|row| payments.amount()[row]).collect(),
            day: each().map(|row| Day::of(payments.at()[row])).collect(),
            customer: each().map(|row| payments.payer()[row]).collect(),
        })
    }

    /// How many payments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Days from the first payment's to the last one's, both included; days without payments
    /// count, as analysts work on them, too.
    #[must_use]
    pub fn days(&self) -> u32 {
        let (first, last) = (self.day.iter().min(), self.day.iter().max());
        first.zip(last).map_or(0, |(first, last)| last.0 - first.0 + 1)
    }

    /// Checks that each column has one entry per score.
    pub(crate) fn check(&self) -> Result<(), MetricError> {
        same_length(self.len(), self.is_fraud.len(), "labels")?;
        same_length(self.len(), self.amount.len(), "amounts")?;
        same_length(self.len(), self.day.len(), "days")?;
        same_length(self.len(), self.customer.len(), "customers")
    }
}

/// How good a model's scores are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Payments scored.
    pub rows: usize,
    /// Frauds among them.
    pub frauds: usize,
    /// Area under the ROC curve.
    pub roc_auc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Card precision at 100.
    pub card_precision_at_100: f64,
    /// The interval of the area; `None` without a bootstrap.
    pub roc_auc_interval: Option<Interval>,
    /// The interval of average precision.
    pub average_precision_interval: Option<Interval>,
    /// The interval of card precision.
    pub card_precision_interval: Option<Interval>,
    /// Card precision by day.
    pub card_precision: CardPrecision,
    /// Money of all frauds, in major units.
    pub money_frauds: f64,
    /// What thresholds do that stop given shares of the payments.
    pub thresholds: Vec<Confusion>,
    /// `None` where the scores are no probabilities.
    pub calibration: Option<Calibration>,
    /// Scores of fraud and of legitimate payments.
    pub histogram: Vec<HistogramBin>,
    /// The ROC curve, thinned.
    pub roc_curve: Vec<RocPoint>,
    /// The precision-recall curve, thinned.
    pub precision_recall_curve: Vec<PrPoint>,
}

/// Evaluates scores; with `bootstrap`, the headline figures get intervals.
///
/// # Errors
/// When a score is NaN, columns differ in length, or all payments are of one class.
pub fn evaluate(scored: &Scored, bootstrap: Option<Bootstrap>) -> Result<Evaluation, MetricError> {
    scored.check()?;
    let Scored { scores, is_fraud, amount, day, customer } = scored;
    let ranking = Ranking::new(scores, is_fraud)?;
    let cards = DailyCards::new(scores, is_fraud, day, customer)?;
    let card_precision = cards.precision(CARDS_PER_DAY);
    let auc = |sample: &Resample| ranking.roc_auc_resampled(&sample.rows);
    let ap = |sample: &Resample| ranking.average_precision_resampled(&sample.rows);
    let card =
        |sample: &Resample| Some(cards.precision_resampled(CARDS_PER_DAY, &sample.customers));
    let mut intervals = bootstrap
        .map(|bootstrap| bootstrap.intervals(customer, &[&auc, &ap, &card]))
        .unwrap_or_default()
        .into_iter();
    let mut interval = || intervals.next().flatten();
    let thresholds: Result<Vec<_>, _> = stopping_thresholds(scores)
        .into_iter()
        .map(|threshold| confusion(scores, is_fraud, amount, threshold))
        .collect();
    Ok(Evaluation {
        rows: scores.len(),
        frauds: is_fraud.iter().filter(|is_fraud| **is_fraud).count(),
        roc_auc: ranking.roc_auc(),
        average_precision: ranking.average_precision(),
        card_precision_at_100: card_precision.mean,
        roc_auc_interval: interval(),
        average_precision_interval: interval(),
        card_precision_interval: interval(),
        card_precision,
        money_frauds: amount.iter().zip(is_fraud).filter(|it| *it.1).map(|it| *it.0).sum(),
        thresholds: thresholds?,
        calibration: calibration(scores, is_fraud).ok(),
        histogram: score_histogram(scores, is_fraud)?,
        roc_curve: roc_curve(&ranking),
        precision_recall_curve: precision_recall_curve(&ranking),
    })
}

/// The scores at which the given shares of the payments are stopped, each once.
fn stopping_thresholds(scores: &[f32]) -> Vec<f32> {
    let mut falling = scores.to_vec();
    falling.sort_unstable_by(|a, b| b.total_cmp(a));
    let at = |share: &f64| falling[((scores.len() as f64 * share) as usize).min(scores.len() - 1)];
    let mut thresholds: Vec<f32> = STOPPED_SHARES.iter().map(at).collect();
    thresholds.dedup();
    thresholds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_agrees_with_its_parts() {
        let rows = 3_000_u32;
        let is_fraud: Vec<bool> = (0..rows).map(|n| n % 50 == 7).collect();
        let noise = |n: u32| (n.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let score = |n: u32| noise(n) * 0.7 + if n % 50 == 7 { 0.3 } else { 0.0 };
        let scored = Scored {
            scores: (0..rows).map(score).collect(),
            is_fraud,
            amount: (0..rows).map(|n| f64::from(n % 90)).collect(),
            day: (0..rows).map(|n| Day(17_000 + n / 1_000)).collect(),
            customer: (0..rows).map(|n| n % 331).collect(),
        };
        let bootstrap = Some(Bootstrap { samples: 100, ..Bootstrap::default() });
        let evaluation = evaluate(&scored, bootstrap).expect("two classes");
        assert_eq!((evaluation.rows, evaluation.frauds, scored.days()), (3_000, 60, 3));
        for (value, interval) in [
            (evaluation.roc_auc, evaluation.roc_auc_interval),
            (evaluation.average_precision, evaluation.average_precision_interval),
            (evaluation.card_precision_at_100, evaluation.card_precision_interval),
        ] {
            let interval = interval.expect("a bootstrap was asked for");
            assert_eq!(interval.value, value);
            assert!(interval.low < value && value < interval.high, "{interval:?}");
        }
        assert_eq!(evaluation.thresholds.len(), STOPPED_SHARES.len());
        assert!(evaluation.thresholds.iter().all(|it| it.money_frauds == evaluation.money_frauds));
        let json = serde_json::to_value(&evaluation).expect("it serialises");
        for field in ["rows", "frauds", "roc_auc", "average_precision", "card_precision_at_100"] {
            assert!(json[field].is_number(), "{field}");
        }
        let short = Scored { day: Vec::new(), ..scored };
        let error = evaluate(&short, None).expect_err("no days");
        assert_eq!(error, MetricError::Lengths { scores: 3_000, others: 0, what: "days" });
    }
}
