//! Logistic regression without its link: consumes a row of features, produces a weighted sum.

use super::ModelError;

/// A feature's part in the sum: `weight * (value - mean) / scale`, a missing value taken for the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Weight of the standardised feature.
    pub weight: f64,
    /// Mean in the training data.
    pub mean: f64,
    /// Standard deviation in the training data; above zero.
    pub scale: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Linear {
    pub(super) terms: Vec<Term>,
    pub(super) intercept: f64,
}

impl Linear {
    pub(super) fn new(terms: Vec<Term>, intercept: f64) -> Result<Self, ModelError> {
        let right = |t: &Term| {
            let parts = [t.weight, t.mean, t.weight / t.scale];
            parts.iter().all(|part| part.is_finite() && part.abs() < 1e100) && t.scale > 0.0
        };
        match terms.iter().position(|term| !right(term)) {
            None if intercept.is_finite() => Ok(Self { terms, intercept }),
            place => Err(ModelError::Weight { place }),
        }
    }

    pub(super) fn sum(&self, row: &[f32]) -> f64 {
        self.terms.iter().zip(row).fold(self.intercept, |sum, (term, value)| sum + term.of(*value))
    }

    pub(super) fn contributions(&self, row: &[f32], moved: &mut [f64]) {
        for ((moved, term), value) in moved.iter_mut().zip(&self.terms).zip(row) {
            *moved += term.of(*value);
        }
    }
}

impl Term {
    /// An infinite value counts as the greatest finite one, so that sums stay numbers.
    fn of(&self, value: f32) -> f64 {
        let value = f64::from(value.clamp(f32::MIN, f32::MAX));
        let moved = self.weight / self.scale * (value - self.mean);
        if value.is_nan() { 0.0 } else { moved }
    }
}
