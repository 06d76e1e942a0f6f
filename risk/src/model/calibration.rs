//! From a model's sum to a probability: the link that belongs to the kind of model, then a
//! calibration that was fitted on payments that the model hadn't seen.
//!
//! Guarantees that a higher sum never gives a lower score (of an isolation forest: never a higher
//! one), and that a score is a number of 0 to 1.

use super::{
    ModelError,
    exp::{exp, sigmoid, sigmoid_all},
};

/// What is made of a model's sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// The sum as it is: a mean of probabilities, or boosting on squared errors.
    Identity,
    /// `1 / (1 + exp(-slope * sum))`.
    Sigmoid {
        /// Mostly 1. Above zero.
        slope: f64,
    },
    /// `2^(-sum / path)`: the score of an isolation forest whose sum is the mean path length (F. T.
    /// Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", 2008).
    Anomaly {
        /// Mean path length of an unsuccessful search in as many rows as a tree was grown from. Above
        /// zero.
        path: f64,
    },
}

impl Link {
    /// The uncalibrated score for a model's sum; outside 0 to 1 where the link is the identity.
    #[must_use]
    pub fn apply(self, sum: f64) -> f64 {
        match self {
            Self::Identity => sum,
            Self::Sigmoid { slope } => sigmoid(slope * sum),
            Self::Anomaly { path } => exp(-sum / path * std::f64::consts::LN_2),
        }
    }

    /// Makes of each sum what [`Self::apply`] makes of it.
    pub(super) fn apply_all(self, sums: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::Sigmoid { slope } => sigmoid_all(slope, sums),
            Self::Anomaly { .. } => sums.iter_mut().for_each(|sum| *sum = self.apply(*sum)),
        }
    }

    pub(super) fn check(self) -> Result<Self, ModelError> {
        match self {
            Self::Sigmoid { slope: number } | Self::Anomaly { path: number }
                if !(number > 0.0 && number.is_finite()) =>
            {
                Err(ModelError::Link { number })
            }
            _ => Ok(self),
        }
    }
}

/// What makes a probability of an uncalibrated score, so that a threshold means the same after the
/// next training.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Calibration {
    /// The score as it is.
    #[default]
    None,
    /// `1 / (1 + exp(-(slope * score + intercept)))` (J. Platt, 1999).
    Platt {
        /// Not negative.
        slope: f64,
        /// Log-odds at a score of 0.
        intercept: f64,
    },
    /// Straight lines between knots of (score, probability); beyond the outer ones, theirs. Scores
    /// ascend, probabilities don't descend.
    PiecewiseLinear(Vec<(f64, f64)>),
}

impl Calibration {
    /// The probability for an uncalibrated score.
    #[must_use]
    pub fn apply(&self, score: f64) -> f64 {
        match self {
            Self::None => score.clamp(0.0, 1.0),
            Self::Platt { slope, intercept } => sigmoid(slope * score + intercept),
            Self::PiecewiseLinear(knots) => interpolate(knots, score),
        }
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        let right = match self {
            Self::None => true,
            Self::Platt { slope, intercept } => {
                *slope >= 0.0 && slope.is_finite() && intercept.is_finite()
            }
            Self::PiecewiseLinear(knots) => {
                let ascend = |w: &[(f64, f64)]| w[0].0 < w[1].0 && w[0].1 <= w[1].1;
                let proper = |(x, y): &(f64, f64)| x.is_finite() && (0.0..=1.0).contains(y);
                !knots.is_empty() && knots.iter().all(proper) && knots.windows(2).all(ascend)
            }
        };
        right.then_some(()).ok_or(ModelError::Calibration)
    }
}

fn interpolate(knots: &[(f64, f64)], score: f64) -> f64 {
    let above = knots.partition_point(|(x, _)| *x <= score);
    let [below, above] = [above.saturating_sub(1), above.min(knots.len() - 1)].map(|k| knots[k]);
    if above.0 <= below.0 {
        return below.1;
    }
    let share = ((score - below.0) / (above.0 - below.0)).clamp(0.0, 1.0);
    (below.1 + share * (above.1 - below.1)).clamp(below.1, above.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_between_knots() {
        let knots = Calibration::PiecewiseLinear(vec![(0.0, 0.1), (1.0, 0.3), (2.0, 0.3)]);
        assert_eq!(knots.check(), Ok(()));
        for (score, expected) in [(-1.0, 0.1), (0.0, 0.1), (0.5, 0.2), (1.5, 0.3), (9.0, 0.3)] {
            assert!((knots.apply(score) - expected).abs() < 1e-15, "{score}");
        }
    }

    #[test]
    fn what_would_turn_scores_round_is_refused() {
        let lines = Calibration::PiecewiseLinear;
        for wrong in [
            lines(vec![]),
            lines(vec![(0.0, 0.5), (0.0, 0.6)]),
            lines(vec![(0.0, 0.5), (1.0, 0.4)]),
            lines(vec![(0.0, f64::NAN)]),
            lines(vec![(f64::INFINITY, 0.5)]),
            lines(vec![(0.0, 1.5)]),
            Calibration::Platt { slope: -1.0, intercept: 0.0 },
            Calibration::Platt { slope: f64::NAN, intercept: 0.0 },
        ] {
            assert_eq!(wrong.check(), Err(ModelError::Calibration), "{wrong:?}");
        }
        for number in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Link::Sigmoid { slope: number }.check().is_err());
            assert!(Link::Anomaly { path: number }.check().is_err());
        }
    }

    proptest! {
        #[test]
        fn never_turns_an_order_round(
            mut knots in prop::collection::vec((-3.0..3.0_f64, 0.0..=1.0_f64), 1..9),
            mut scores in prop::collection::vec(-4.0..4.0_f64, 2),
        ) {
            knots.sort_by(|a, b| a.0.total_cmp(&b.0));
            knots.dedup_by_key(|knot| knot.0);
            let mut heights: Vec<_> = knots.iter().map(|knot| knot.1).collect();
            heights.sort_by(f64::total_cmp);
            knots.iter_mut().zip(heights).for_each(|(knot, height)| knot.1 = height);
            scores.sort_by(f64::total_cmp);
            let calibration = Calibration::PiecewiseLinear(knots);
            prop_assert_eq!(calibration.check(), Ok(()));
            prop_assert!(calibration.apply(scores[0]) <= calibration.apply(scores[1]));
        }
    }
}
