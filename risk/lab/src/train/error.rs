//! What can be wrong with rows and settings, each a sentence for who trains.

use millrace_risk::model::ModelError;

/// Why no model was trained.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// No rows, or no features.
    #[error("there is nothing to train on: {rows} rows of {features} features")]
    Empty {
        /// Rows.
        rows: usize,
        /// Features.
        features: usize,
    },
    /// One thing per row, and there are other than that.
    #[error("there are {found} {what}, and there must be {expected}: one per {per}")]
    Shape {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
        /// What there is one of each for.
        per: &'static str,
    },
    /// Infinite. NaN is a missing value, and fine.
    #[error(
        "{feature} of row {row} is infinite: a feature must be a number, or NaN where it is missing"
    )]
    Infinite {
        /// Row, from 0.
        row: usize,
        /// Name of the feature.
        feature: String,
    },
    /// A weight below zero or none at all.
    #[error("the weight of row {row} is {weight}: it must be above zero and finite")]
    Weight {
        /// Row, from 0.
        row: usize,
        /// Its weight.
        weight: f32,
    },
    /// Nothing to tell apart.
    #[error(
        "{frauds} of the {rows} payments are fraud: a model needs both kinds; train on a longer \
         period, check the column of labels (in a journal, payments are fraud once they are reported \
         with `millrace risk report-fraud`), or train an isolation forest, which needs none"
    )]
    OneClass {
        /// Frauds.
        frauds: usize,
        /// Rows.
        rows: usize,
    },
    /// Nothing to tell apart in what the calibration needs.
    #[error(
        "the calibration needs payments of both kinds, and {part} have one kind only: train on a \
         longer period, take a larger share or fewer pieces, or train without calibration"
    )]
    OneClassInPart {
        /// Which rows.
        part: &'static str,
    },
    /// A setting out of range.
    #[error("{name} is {value}: it must be {least} to {greatest}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Least that is allowed.
        least: f64,
        /// Greatest that is allowed.
        greatest: f64,
    },
    /// Said by smartcore.
    #[error("smartcore can't train on these rows: {0}")]
    Smartcore(String),
    /// What was trained makes no model.
    #[error("the trained model is refused: {0}")]
    Model(#[from] ModelError),
}

impl From<smartcore::error::Failed> for TrainError {
    fn from(failed: smartcore::error::Failed) -> Self {
        Self::Smartcore(failed.to_string())
    }
}

/// A setting in its range.
pub(super) fn within(
    name: &'static str,
    value: f64,
    least: f64,
    greatest: f64,
) -> Result<(), TrainError> {
    let right = (least..=greatest).contains(&value);
    right.then_some(()).ok_or(TrainError::Setting { name, value, least, greatest })
}
