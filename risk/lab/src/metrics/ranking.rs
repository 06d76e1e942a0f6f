//! Rankings: consumes scores and labels, produces the area under the ROC curve and average
//! precision.
//!
//! The rows are sorted once; every figure is then one walk over groups of equal scores. A walk can
//! count each row several times, which is how a bootstrap resamples without sorting again.

use super::{MetricError, error::same_length};

/// Rows from the highest score to the lowest.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Row numbers by falling score; equal scores in order of rows.
    order: Vec<u32>,
    scores: Vec<f32>,
    is_fraud: Vec<bool>,
    /// Where in the order each group of equal scores ends.
    group_ends: Vec<u32>,
}

/// What has been counted down to a score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Step {
    /// The score of the group that was just counted.
    pub(crate) score: f32,
    /// Frauds with this score or a higher one.
    pub(crate) frauds: u64,
    /// Legitimate payments with this score or a higher one.
    pub(crate) legit: u64,
}

/// Numbers that order as the scores do, from the highest on; the two zeros are one score.
pub(crate) fn falling_key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !rising
}

/// Row numbers by falling score; equal scores stay in order of rows.
pub(crate) fn falling_order(scores: &[f32]) -> Result<Vec<u32>, MetricError> {
    if let Some(row) = scores.iter().position(|score| score.is_nan()) {
        return Err(MetricError::ScoreNotANumber { row });
    }
    let key = |(row, score): (usize, &f32)| u64::from(falling_key(*score)) << 32 | row as u64;
    let mut keys: Vec<u64> = scores.iter().enumerate().map(key).collect();
    keys.sort_unstable();
    Ok(keys.into_iter().map(|key| key as u32).collect())
}

impl Ranking {
    /// Ranks payments by their scores.
    ///
    /// # Errors
    /// When a score is NaN, the lengths differ, or all payments are of one class.
    pub fn new(scores: &[f32], is_fraud: &[bool]) -> Result<Self, MetricError> {
        same_length(scores.len(), is_fraud.len(), "labels")?;
        let order = falling_order(scores)?;
        let frauds = is_fraud.iter().filter(|is_fraud| **is_fraud).count();
        if frauds == 0 || frauds == is_fraud.len() {
            return Err(MetricError::OneClass { rows: is_fraud.len(), frauds });
        }
        let ranked: Vec<f32> = order.iter().map(|row| scores[*row as usize] + 0.0).collect();
        let mut group_ends: Vec<u32> = (1..ranked.len())
            .filter(|at| ranked[*at] != ranked[at - 1])
            .map(|at| at as u32)
            .collect();
        group_ends.push(ranked.len() as u32);
        let is_fraud = order.iter().map(|row| is_fraud[*row as usize]).collect();
        Ok(Self { order, scores: ranked, is_fraud, group_ends })
    }

    /// How many payments are ranked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Calls `each` once per group of equal scores, from the highest, with what is counted so far.
    pub(crate) fn walk(&self, count: impl Fn(u32) -> u32, mut each: impl FnMut(Step)) {
        let (mut step, mut start) = (Step::default(), 0);
        for end in &self.group_ends {
            let end = *end as usize;
            for at in start..end {
                let times = u64::from(count(self.order[at]));
                let fraud = u64::from(self.is_fraud[at]) * times;
                step.frauds += fraud;
                step.legit += times - fraud;
            }
            step.score = self.scores[start];
            each(step);
            start = end;
        }
    }

    /// Area under the ROC curve: the probability that a fraud scores higher than a legitimate
    /// payment, where a tie counts half (Hanley and McNeil 1982; the Mann-Whitney statistic).
    #[must_use]
    pub fn roc_auc(&self) -> f64 {
        self.roc_auc_of(|_| 1).unwrap_or(f64::NAN)
    }

    /// The same, where each row counts so often; `None` if one class is gone.
    #[must_use]
    pub fn roc_auc_resampled(&self, times: &[u32]) -> Option<f64> {
        self.roc_auc_of(|row| times[row as usize])
    }

    fn roc_auc_of(&self, count: impl Fn(u32) -> u32) -> Option<f64> {
        // Twice the number of pairs in the right order, so that halves stay whole numbers.
        let (mut before, mut pairs_twice) = (Step::default(), 0_u128);
        self.walk(count, |step| {
            let legit = u128::from(step.legit - before.legit);
            pairs_twice += legit * u128::from(before.frauds + step.frauds);
            before = step;
        });
        let pairs = u128::from(before.frauds) * u128::from(before.legit);
        (pairs > 0).then(|| pairs_twice as f64 / 2.0 / pairs as f64)
    }

    /// Average precision: the sum over thresholds of the gain in recall times the precision there,
    /// without interpolation (`average_precision_score` of scikit-learn).
    #[must_use]
    pub fn average_precision(&self) -> f64 {
        self.average_precision_of(|_| 1).unwrap_or(f64::NAN)
    }

    /// The same, where each row counts so often; `None` if one class is gone.
    #[must_use]
    pub fn average_precision_resampled(&self, times: &[u32]) -> Option<f64> {
        self.average_precision_of(|row| times[row as usize])
    }

    fn average_precision_of(&self, count: impl Fn(u32) -> u32) -> Option<f64> {
        let (mut before, mut sum) = (Step::default(), 0.0);
        self.walk(count, |step| {
            let gained = step.frauds - before.frauds;
            if gained > 0 {
                sum += gained as f64 * (step.frauds as f64 / (step.frauds + step.legit) as f64);
            }
            before = step;
        });
        (before.frauds > 0 && before.legit > 0).then(|| sum / before.frauds as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every pair of a fraud and a legitimate payment.
    fn naive_auc(scores: &[f32], is_fraud: &[bool]) -> f64 {
        let (mut right, mut pairs) = (0.0, 0.0);
        for (fraud, _) in scores.iter().zip(is_fraud).filter(|(_, is_fraud)| **is_fraud) {
            for (legit, _) in scores.iter().zip(is_fraud).filter(|(_, is_fraud)| !**is_fraud) {
                pairs += 1.0;
                right +=
                    f64::from(u8::from(fraud > legit)) + f64::from(u8::from(fraud == legit)) / 2.0;
            }
        }
        right / pairs
    }

    /// For each fraud, the precision of taking all that score at least as high.
    fn naive_ap(scores: &[f32], is_fraud: &[bool]) -> f64 {
        let frauds: Vec<f32> =
            scores.iter().zip(is_fraud).filter(|it| *it.1).map(|it| *it.0).collect();
        let precision = |threshold: f32| {
            let taken = scores.iter().filter(|score| **score >= threshold).count();
            frauds.iter().filter(|score| **score >= threshold).count() as f64 / taken as f64
        };
        frauds.iter().map(|score| precision(*score)).sum::<f64>() / frauds.len() as f64
    }

    #[test]
    fn known_figures() {
        // The examples in scikit-learn's documentation of the two metrics.
        let ranking = Ranking::new(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]);
        let ranking = ranking.expect("two classes");
        assert!((ranking.roc_auc() - 0.75).abs() < 1e-12);
        assert!((ranking.average_precision() - 0.833_333_333_333_333_3).abs() < 1e-12);
        let tied = Ranking::new(&[0.5; 8], &[true, false, false, true, false, false, false, false]);
        let tied = tied.expect("two classes");
        assert!((tied.roc_auc() - 0.5).abs() < 1e-12, "all equal scores tell nothing");
        assert!((tied.average_precision() - 0.25).abs() < 1e-12, "the share of fraud");
    }

    #[test]
    fn what_can_not_be_ranked_is_told() {
        for (scores, is_fraud, expected) in [
            (vec![0.1, f32::NAN], vec![true, false], MetricError::ScoreNotANumber { row: 1 }),
            (vec![0.1, 0.2], vec![false, false], MetricError::OneClass { rows: 2, frauds: 0 }),
            (vec![0.1], vec![true], MetricError::OneClass { rows: 1, frauds: 1 }),
            (vec![], vec![], MetricError::OneClass { rows: 0, frauds: 0 }),
            (vec![0.1], vec![], MetricError::Lengths { scores: 1, others: 0, what: "labels" }),
        ] {
            assert_eq!(Ranking::new(&scores, &is_fraud).err(), Some(expected));
        }
    }

    proptest! {
        /// Scores of a coarse grid, so that ties are common; both zeros and infinities among them.
        #[test]
        fn equals_the_naive_forms(
            rows in prop::collection::vec((-4_i8..5, any::<bool>(), 0_u32..4), 2..60),
        ) {
            let score = |n: i8| match n { -4 => f32::NEG_INFINITY, 4 => f32::INFINITY, 3 => -0.0, n => f32::from(n) / 8.0 };
            let scores: Vec<f32> = rows.iter().map(|row| score(row.0)).collect();
            let is_fraud: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let times: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let Ok(ranking) = Ranking::new(&scores, &is_fraud) else { return Ok(()) };
            prop_assert!((ranking.roc_auc() - naive_auc(&scores, &is_fraud)).abs() < 1e-9);
            prop_assert!((ranking.average_precision() - naive_ap(&scores, &is_fraud)).abs() < 1e-9);

            let repeated = |values: Vec<(f32, bool)>| values.into_iter().zip(&times)
                .flat_map(|(value, times)| vec![value; *times as usize]).collect::<Vec<_>>();
            let both = repeated(scores.iter().copied().zip(is_fraud.iter().copied()).collect());
            let (scores, is_fraud): (Vec<f32>, Vec<bool>) = both.into_iter().unzip();
            let expected = Ranking::new(&scores, &is_fraud).ok();
            prop_assert_eq!(ranking.roc_auc_resampled(&times), expected.as_ref().map(Ranking::roc_auc));
            let ap = expected.as_ref().map(Ranking::average_precision);
            let resampled = ranking.average_precision_resampled(&times);
            prop_assert_eq!(ap.is_some(), resampled.is_some());
            prop_assert!((ap.unwrap_or(0.0) - resampled.unwrap_or(0.0)).abs() < 1e-9);
        }
    }
}
