//! Why a metric does not exist.

/// Why a metric does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// A score is NaN.
    #[error(
        "the score of row {row} is not a number; a model must score every row: look for missing values that it can't take"
    )]
    ScoreNotANumber {
        /// The first such row, counted from 0.
        row: usize,
    },
    /// Columns of different lengths.
    #[error("there are {scores} scores for {others} {what}; both must be of the same rows")]
    Lengths {
        /// How many scores.
        scores: usize,
        /// How many of the other.
        others: usize,
        /// What the other is.
        what: &'static str,
    },
    /// No fraud, or nothing but fraud.
    #[error(
        "all {rows} payments are of one class ({frauds} frauds); both fraud and legitimate payments are needed: take a longer span"
    )]
    OneClass {
        /// How many payments.
        rows: usize,
        /// How many of them are fraud.
        frauds: usize,
    },
    /// A score that can't be a probability.
    #[error(
        "the score of row {row} is not between 0 and 1; calibrate the model before asking how well it is calibrated"
    )]
    NotAProbability {
        /// The first such row, counted from 0.
        row: usize,
    },
}

/// Checks that there is one of these per score.
pub(crate) fn same_length(
    scores: usize,
    others: usize,
    what: &'static str,
) -> Result<(), MetricError> {
    match scores == others {
        true => Ok(()),
        false => Err(MetricError::Lengths { scores, others, what }),
    }
}
