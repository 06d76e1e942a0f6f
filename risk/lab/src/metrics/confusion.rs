//! Confusion: consumes scores, labels, amounts and a threshold, produces what is caught and what
//! it takes.

use serde::Serialize;

use super::{MetricError, error::same_length};

/// What becomes of payments when all that score at least a threshold are stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Confusion {
    /// The lowest score that is stopped.
    pub threshold: f32,
    /// Frauds that are stopped.
    pub caught: u64,
    /// Legitimate payments that are stopped.
    pub false_alarms: u64,
    /// Frauds that pass.
    pub missed: u64,
    /// Legitimate payments that pass.
    pub passed: u64,
    /// Money of the frauds that are stopped, in major units.
    pub money_caught: f64,
    /// Money of all frauds.
    pub money_frauds: f64,
}

impl Confusion {
    /// Payments that are stopped.
    #[must_use]
    pub fn alerts(&self) -> u64 {
        self.caught + self.false_alarms
    }

    /// The share of what is stopped that is fraud; 0 where nothing is stopped, as in scikit-learn.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.caught as f64 / self.alerts().max(1) as f64
    }

    /// The share of the frauds that is stopped; 0 where there is none.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.caught as f64 / (self.caught + self.missed).max(1) as f64
    }

    /// The share of the legitimate payments that is stopped; 0 where there is none.
    #[must_use]
    pub fn false_positive_rate(&self) -> f64 {
        self.false_alarms as f64 / (self.false_alarms + self.passed).max(1) as f64
    }
}

/// Counts what a threshold does.
///
/// # Errors
/// When a score is NaN, or the lengths differ.
pub fn confusion(
    scores: &[f32],
    is_fraud: &[bool],
    amounts: &[f64],
    threshold: f32,
) -> Result<Confusion, MetricError> {
    same_length(scores.len(), is_fraud.len(), "labels")?;
    same_length(scores.len(), amounts.len(), "amounts")?;
    let mut all = Confusion { threshold, ..Confusion::default() };
    for (row, score) in scores.iter().enumerate() {
        if score.is_nan() {
            return Err(MetricError::ScoreNotANumber { row });
        }
        match (is_fraud[row], *score >= threshold) {
            (true, true) => {
                all.caught += 1;
                all.money_caught += amounts[row];
            }
            (true, false) => all.missed += 1,
            (false, true) => all.false_alarms += 1,
            (false, false) => all.passed += 1,
        }
        all.money_frauds += if is_fraud[row] { amounts[row] } else { 0.0 };
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_payment_is_of_one_kind() {
        let scores = [0.9, 0.5, 0.5, 0.1, 0.2];
        let is_fraud = [true, true, false, true, false];
        let amounts = [10.0, 20.0, 1.0, 5.0, 2.0];
        let all = confusion(&scores, &is_fraud, &amounts, 0.5).expect("right columns");
        let expected = Confusion {
            threshold: 0.5,
            caught: 2,
            false_alarms: 1,
            missed: 1,
            passed: 1,
            money_caught: 30.0,
            money_frauds: 35.0,
        };
        assert_eq!(all, expected);
        assert_eq!((all.precision(), all.recall()), (2.0 / 3.0, 2.0 / 3.0));
        assert_eq!((all.false_positive_rate(), all.alerts()), (0.5, 3));
        let none = confusion(&scores, &is_fraud, &amounts, 2.0).expect("right columns");
        assert_eq!((none.precision(), none.recall(), none.money_caught), (0.0, 0.0, 0.0));
        assert!(confusion(&[f32::NAN], &[true], &[1.0], 0.5).is_err());
    }
}
