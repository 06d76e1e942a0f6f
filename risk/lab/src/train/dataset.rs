//! What is trained on: rows of features with labels, and maybe weights, checked once.

use std::ops::Range;

use super::error::TrainError;
use crate::random::Random;

/// Labelled rows, in the order of time.
#[derive(Clone, Copy, Debug)]
pub struct Dataset<'a> {
    /// Names of the features.
    pub features: &'a [String],
    /// One number per feature and row, row after row; NaN is a missing value.
    pub rows: &'a [f32],
    /// Of each row, whether it is fraud.
    pub labels: &'a [bool],
    /// For how many payments each row stands, 1 without.
    pub weights: Option<&'a [f32]>,
}

impl<'a> Dataset<'a> {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(super) fn stride(&self) -> usize {
        self.features.len()
    }

    pub(super) fn frauds(&self) -> usize {
        self.labels.iter().filter(|label| **label).count()
    }

    pub(super) fn has_both_classes(&self) -> bool {
        self.labels.contains(&true) && self.labels.contains(&false)
    }

    pub(super) fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Dataset<'a> {
        Self {
            rows: &self.rows[range.start * self.stride()..range.end * self.stride()],
            labels: &self.labels[range.clone()],
            weights: self.weights.map(|weights| &weights[range]),
            ..*self
        }
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let (rows, features) = (self.len(), self.stride());
        if rows == 0 || features == 0 {
            return Err(TrainError::Empty { rows, features });
        }
        let shape = |what, found, expected, per| match found == expected {
            true => Ok(()),
            false => Err(TrainError::Shape { what, found, expected, per }),
        };
        shape("numbers", self.rows.len(), rows * features, "row and feature")?;
        shape("weights", self.weights.map_or(rows, <[_]>::len), rows, "row")?;
        if rows > u32::MAX as usize / 2 {
            return shape("rows", rows, u32::MAX as usize / 2, "place in 31 bits");
        }
        if let Some(place) = self.rows.iter().position(|number| number.is_infinite()) {
            let feature = self.features[place % features].clone();
            return Err(TrainError::Infinite { row: place / features, feature });
        }
        let wrong = |weight: &f32| !(*weight > 0.0 && weight.is_finite());
        match self.weights.and_then(|weights| weights.iter().position(wrong)) {
            Some(row) => Err(TrainError::Weight { row, weight: self.weight(row) }),
            None => Ok(()),
        }
    }
}

/// Rows that were picked out of others.
pub(super) struct Picked {
    rows: Vec<f32>,
    labels: Vec<bool>,
    weights: Vec<f32>,
}

impl Picked {
    /// The names stay where they were.
    pub(super) fn as_dataset<'a>(&'a self, features: &'a [String]) -> Dataset<'a> {
        let Self { rows, labels, weights } = self;
        Dataset { features, rows, labels, weights: Some(weights) }
    }

    fn of(from: &Dataset<'_>, picked: impl Iterator<Item = (usize, f32)>) -> Self {
        let mut result = Self { rows: Vec::new(), labels: Vec::new(), weights: Vec::new() };
        for (row, times) in picked {
            result.rows.extend_from_slice(&from.rows[row * from.stride()..][..from.stride()]);
            result.labels.push(from.labels[row]);
            result.weights.push(from.weight(row) * times);
        }
        result
    }
}

/// All rows but these.
pub(super) fn without(rows: &Dataset<'_>, range: Range<usize>) -> Picked {
    Picked::of(rows, (0..rows.len()).filter(|row| !range.contains(row)).map(|row| (row, 1.0)))
}

/// All frauds and a share of the others, which then stand for the rest. None when all are taken.
pub(super) fn thin(rows: &Dataset<'_>, share: f64, seed: u64) -> Option<Picked> {
    if share >= 1.0 {
        return None;
    }
    let mut random = Random::new(seed, 1);
    let times = (1.0 / share) as f32;
    let picked = (0..rows.len()).filter_map(|row| {
        let taken = random.share() < share;
        let fraud = rows.labels[row];
        (fraud || taken).then_some((row, if fraud { 1.0 } else { times }))
    });
    Some(Picked::of(rows, picked))
}
