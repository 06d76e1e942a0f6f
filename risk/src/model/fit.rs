//! Fitting: consumes a model and a catalogue, produces the same model, which reads its features out of
//! rows of that catalogue.
//!
//! Guarantees that scores and contributions are those that the model gives for rows of its own: each
//! of its features is in the catalogue under the same name, with the same meaning. What else is there,
//! and in which order, does not matter. Places are looked up here, once; a payment costs what it cost.

use super::{Model, ModelError, Scorer};
use crate::features::Catalogue;

/// The setting among a model's [`super::TrainingFacts`] that holds the text of its catalogue.
pub const CATALOGUE_SETTING: &str = "catalogue";

/// Where rows have a model's features.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    /// Numbers in a row.
    len: usize,
    /// The place of each feature in a row.
    places: Vec<u32>,
}

impl Rows {
    /// Rows of the model's own features, in its order.
    pub(super) fn own(features: usize) -> Self {
        Self { len: features, places: (0..features as u32).collect() }
    }
}

impl Model {
    /// The model for rows of this catalogue. One that does not tell the meaning of its features, such
    /// as an imported one, is held against their names alone.
    ///
    /// # Errors
    /// When the catalogue lacks a feature of the model, or has one of the same name with another
    /// meaning.
    pub fn fitted_to(self, catalogue: &Catalogue) -> Result<Self, ModelError> {
        let place = |feature: &String| {
            let place = catalogue.index_of(feature).map(|place| place as u32);
            place.ok_or_else(|| ModelError::NoFeature { feature: feature.clone() })
        };
        let places: Vec<_> = self.features.iter().map(place).collect::<Result<_, _>>()?;
        if self.catalogue != [0; 32] && self.catalogue != catalogue.digest() {
            self.check_meanings(catalogue)?;
        }
        let scorer = match self.scorer {
            Scorer::Forest(forest) => Scorer::Forest(forest.reading(&places)),
            Scorer::Linear(linear) => Scorer::Linear(linear.reading(&places)),
        };
        Ok(Self { rows: Rows { len: catalogue.len(), places }, scorer, ..self })
    }

    fn check_meanings(&self, catalogue: &Catalogue) -> Result<(), ModelError> {
        let own = self.own_catalogue()?.ok_or(ModelError::OtherCatalogue)?;
        for feature in &self.features {
            if own.index_of(feature).is_none() {
                return Err(ModelError::OtherCatalogue);
            }
            if let Some(difference) = own.difference(catalogue, feature) {
                return Err(ModelError::OtherMeaning(Box::new(difference)));
            }
        }
        Ok(())
    }

    /// The catalogue that its features come from, where its file tells it.
    ///
    /// # Errors
    /// When this release can't read the catalogue.
    pub fn own_catalogue(&self) -> Result<Option<Catalogue>, ModelError> {
        let mut settings = self.facts.settings.iter();
        let text = settings.find(|(name, _)| name == CATALOGUE_SETTING);
        text.map(|(_, text)| Catalogue::parse(text)).transpose().map_err(ModelError::Catalogue)
    }

    /// Numbers in a row.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.rows.len
    }

    /// Where a row has the model's feature of this number.
    ///
    /// # Panics
    /// When there is no such feature.
    #[must_use]
    pub fn place_of(&self, feature: usize) -> usize {
        self.rows.places[feature] as usize
    }
}
