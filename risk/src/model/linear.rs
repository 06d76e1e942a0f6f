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
    /// Where a row has each term's value; none where it has the terms' values alone, in their order.
    places: Option<Vec<u32>>,
}

impl Linear {
    pub(super) fn new(terms: Vec<Term>, intercept: f64) -> Result<Self, ModelError> {
        let right = |t: &Term| {
            let parts = [t.weight, t.mean, t.weight / t.scale];
            parts.iter().all(|part| part.is_finite() && part.abs() < 1e100) && t.scale > 0.0
        };
        match terms.iter().position(|term| !right(term)) {
            None if intercept.is_finite() => Ok(Self { terms, intercept, places: None }),
            place => Err(ModelError::Weight { place }),
        }
    }

    /// The same, for rows that have the values of its terms in these places.
    pub(super) fn reading(self, places: &[u32]) -> Self {
        let in_order = places.iter().copied().eq(0..places.len() as u32);
        Self { places: (!in_order).then(|| places.to_vec()), ..self }
    }

    pub(super) fn sum(&self, row: &[f32]) -> f64 {
        let add = |sum, (term, value): (&Term, f32)| sum + term.of(value);
        match &self.places {
            None => self.terms.iter().zip(row.iter().copied()).fold(self.intercept, add),
            Some(places) => {
                let values = places.iter().map(|place| row[*place as usize]);
                self.terms.iter().zip(values).fold(self.intercept, add)
            }
        }
    }

    /// By term, wherever the row has its value.
    pub(super) fn contributions(&self, row: &[f32], moved: &mut [f64]) {
        for (number, (moved, term)) in moved.iter_mut().zip(&self.terms).enumerate() {
            let place = self.places.as_ref().map_or(number, |places| places[number] as usize);
            *moved += term.of(row[place]);
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
