//! Model files: consumes a model and the catalogue that its rows are made by, produces one file that
//! needs nothing else to score payments.
//!
//! The catalogue's text and the delay of labels are among the model's training facts, so that the
//! file is a plain model to all who don't ask for them.

use std::{fs, path::Path};

use millrace_risk::{
    features::Catalogue,
    model::{
        CATALOGUE_SETTING, Link, Model, ModelError,
        import::{ImportError, import},
    },
    reasons,
};
use serde::Serialize;

use crate::data::LabelDelay;

const LABEL_DELAY: &str = "label_delay";

/// Longest catalogue that fits into a model: what the format has room for.
const CATALOGUE_LEN_MAX: usize = u16::MAX as usize;

/// A model and the catalogue that its rows are made by.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// The model, for rows of the catalogue.
    pub model: Model,
    /// The catalogue; it may have more than the model needs.
    pub catalogue: Catalogue,
    /// When labels were known in training, if that is told.
    pub label_delay: Option<LabelDelay>,
}

/// Why a model can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// Not readable.
    #[error("{file}: can't be read: {error}; check the path and its permissions")]
    Io {
        /// Its path.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// No model, or a damaged one.
    #[error("{file}: {error}")]
    Model {
        /// Its path.
        file: String,
        /// What is wrong.
        error: ModelError,
    },
    /// Neither a model of Millrace nor one that can be imported.
    #[error("{file}: {error}")]
    Import {
        /// Its path.
        file: String,
        /// What is wrong.
        error: ImportError,
    },
    /// None in it, and none named.
    #[error(
        "{file}: the model does not tell the catalogue that its features come from; name it with \
         --catalogue"
    )]
    NoCatalogue {
        /// Its path.
        file: String,
    },
    /// Too long for the format.
    #[error(
        "the catalogue has {bytes} bytes, and a model has room for 65,535: shorten its comments"
    )]
    CatalogueTooLong {
        /// How many it has.
        bytes: usize,
    },
}

impl ModelFile {
    /// Puts a catalogue's text and the delay of labels into a model.
    ///
    /// # Errors
    /// When the catalogue is too long.
    pub fn embed(
        mut model: Model,
        catalogue: (&Catalogue, &str),
        label_delay: LabelDelay,
    ) -> Result<Model, ModelFileError> {
        let (catalogue, text) = catalogue;
        if text.len() > CATALOGUE_LEN_MAX {
            return Err(ModelFileError::CatalogueTooLong { bytes: text.len() });
        }
        let mut facts = model.facts().clone();
        facts.settings.retain(|(name, _)| name != CATALOGUE_SETTING && name != LABEL_DELAY);
        facts.settings.push((LABEL_DELAY.to_owned(), label_delay.to_string()));
        facts.settings.push((CATALOGUE_SETTING.to_owned(), text.to_owned()));
        model = model.with_facts(facts).with_catalogue(catalogue.digest());
        Ok(model)
    }

    /// Reads a model: one of Millrace's, or one of LightGBM's or XGBoost's. `catalogue` goes before
    /// the one in the file.
    ///
    /// # Errors
    /// When it can't be read, is no model, is damaged, or needs a feature that the catalogue lacks or
    /// means something else by.
    pub fn load(path: &Path, catalogue: Option<Catalogue>) -> Result<Self, ModelFileError> {
        let file = path.display().to_string();
        let bytes =
            fs::read(path).map_err(|error| ModelFileError::Io { file: file.clone(), error })?;
        Self::read(file, &bytes, catalogue)
    }

    /// The same of a file's bytes; `file` is what it is called in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn read(
        file: String,
        bytes: &[u8],
        catalogue: Option<Catalogue>,
    ) -> Result<Self, ModelFileError> {
        let model = match Model::from_bytes(bytes) {
            // Text and JSON are not what a model of Millrace begins with.
            Err(ModelError::Foreign) if looks_imported(bytes) => match import(bytes, &file) {
                Ok(model) => model,
                Err(error) => return Err(ModelFileError::Import { file, error }),
            },
            Err(error) => return Err(ModelFileError::Model { file, error }),
            Ok(model) => model,
        };
        let wrong = |error| ModelFileError::Model { file: file.clone(), error };
        let settings = &model.facts().settings;
        let label_delay = settings.iter().find(|(name, _)| name == LABEL_DELAY);
        let label_delay = label_delay.and_then(|(_, delay)| delay.parse().ok());
        let catalogue = match catalogue {
            Some(catalogue) => Some(catalogue),
            None => model.own_catalogue().map_err(wrong)?,
        };
        let Some(catalogue) = catalogue else { return Err(ModelFileError::NoCatalogue { file }) };
        let catalogue = catalogue.keeping(model.features());
        let model = model.fitted_to(&catalogue).map_err(wrong)?;
        Ok(Self { model, catalogue, label_delay })
    }

    /// Settings for people: all that were told but the catalogue's text.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.model.facts().settings.iter();
        settings
            .filter(|(name, _)| name != CATALOGUE_SETTING)
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Scores rows that lie one after the other.
    #[must_use]
    pub fn scores(&self, rows: &[f32]) -> Vec<f32> {
        let mut scores = vec![0.0; rows.len() / self.catalogue.len()];
        self.model.score(rows, &mut scores);
        scores
    }
}

/// What moved a payment's score, the farthest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// The feature.
    pub feature: String,
    /// Its value; `None` if it is missing.
    pub value: Option<f32>,
    /// Its share in all that moved the score up.
    pub share: f32,
    /// For people.
    pub words: String,
}

impl ModelFile {
    /// The features that moved the score of a row up most.
    ///
    /// # Panics
    /// When the row is none of the catalogue's.
    #[must_use]
    pub fn reasons(&self, row: &[f32], most: usize) -> Vec<Reason> {
        let mut moved = vec![0.0; self.model.features().len()];
        self.model.contributions(row, &mut moved);
        if matches!(self.model.link(), Link::Anomaly { .. }) {
            moved.iter_mut().for_each(|by| *by = -*by);
        }
        let reason = |(feature, share): (usize, f32)| {
            let place = self.model.place_of(feature);
            Reason {
                feature: self.model.features()[feature].clone(),
                value: Some(row[place]).filter(|value| value.is_finite()),
                share,
                words: reasons::in_words(&self.catalogue, place, row),
            }
        };
        reasons::strongest(&moved, most).into_iter().map(reason).collect()
    }
}

/// Whether this may be a model of another library: LightGBM's text begins with `tree`, JSON with a
/// brace.
#[must_use]
pub fn looks_imported(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    start.starts_with(b"tree") || start.starts_with(b"{")
}
