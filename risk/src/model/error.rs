//! What can be wrong with a model, each a sentence for who uploads, trains or imports it.

use crate::features::{CatalogueError, catalogue::Difference};

/// Why a model is refused. What runs stays in force.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The file begins with something else.
    #[error(
        "this is no model of Millrace (its first 8 bytes say so): train one with `millrace risk \
         train`, or import a LightGBM or XGBoost model"
    )]
    Foreign,
    /// Written by a later release.
    #[error(
        "the model's format is version {found}, and this release reads version {known}: update \
         Millrace, or train the model again with this release"
    )]
    Newer {
        /// The file's version.
        found: u32,
        /// The version that this code writes.
        known: u32,
    },
    /// Shorter or longer than it says.
    #[error(
        "the model file should have {expected} bytes and has {found}: it was cut short or added to; \
         copy it again"
    )]
    Length {
        /// Bytes according to its header.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The checksum is another.
    #[error("the model file was altered (its checksum doesn't match): copy it again")]
    Altered,
    /// Right by checksum, wrong by content: made by other software, or by a mistake in ours.
    #[error("the model file can't be read at byte {offset}: {reason}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A model without features, with too many, or with one twice.
    #[error("feature {place} of the model, {name:?}, {reason}")]
    Feature {
        /// Its place, from 0.
        place: usize,
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A tree that is none.
    #[error("tree {tree} of the model {reason}")]
    Tree {
        /// Its place, from 0.
        tree: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A weight, mean or scale of a logistic regression.
    #[error(
        "{} of the logistic regression is no usable number: weights and means must be finite, scales \
         above zero",
        place.map_or("the intercept".to_owned(), |place| format!("term {place}"))
    )]
    Weight {
        /// Place of the term; none for the intercept.
        place: Option<usize>,
    },
    /// The link's parameter.
    #[error("the model's link has the parameter {number}: it must be above zero and finite")]
    Link {
        /// It.
        number: f64,
    },
    /// A calibration that is no ascending function to probabilities.
    #[error(
        "the model's calibration is no ascending function from scores to probabilities of 0 to 1: fit \
         it again"
    )]
    Calibration,
    /// The catalogue lacks a feature of the model.
    #[error(
        "the model needs the feature {feature:?}, and the catalogue has none of that name: name \
         the catalogue that the model was trained on (on a server, risk.features.catalogue), add the \
         feature as it was then, or train the model again on this catalogue"
    )]
    NoFeature {
        /// Its name.
        feature: String,
    },
    /// A feature of the model means something else in the catalogue.
    #[error(
        "the model was trained on another {:?} than the catalogue has: {} is {} in the model and {} in \
         the catalogue. Keep the feature as the model knows it and give the new one a name of its own, \
         or train the model again on this catalogue",
        _0.feature, _0.what, _0.own, _0.other
    )]
    OtherMeaning(Box<Difference>),
    /// The model's catalogue is another one, and it is not in its file.
    #[error(
        "the model was trained on another catalogue, and its file does not tell which: train it again \
         with `millrace risk train`, which puts the catalogue into the file"
    )]
    OtherCatalogue,
    /// The catalogue in the file can't be read.
    #[error("the catalogue in the model can't be read; train the model again: {0}")]
    Catalogue(CatalogueError),
}
