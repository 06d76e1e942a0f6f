//! What rules can speak of: consumes the names of features and of texts, produces their places in a
//! row and their units.

use std::collections::BTreeMap;

use super::unit::Unit;

/// The names that rules may use, in the order of the values that they are evaluated with.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    features: Vec<(String, Unit)>,
    texts: Vec<String>,
    places: BTreeMap<String, Place>,
    /// Texts that have no other values than these, by their places.
    values: BTreeMap<u16, Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Feature(u16),
    Text(u16),
}

impl Vocabulary {
    /// Features as (name, unit), in the order of [`super::RuleInput::row`], and texts in the order
    /// of [`super::RuleInput::texts`]. Of several with one name, the first is meant.
    ///
    /// Units that mean something: `money` or a currency's code; `count`, `payments`, `entities`; `share` (0 to 1); `ratio`;
    /// `flag` (a condition: yes unless it is 0); `seconds`, `minutes`, `hours`, `days`, `weeks`
    /// (durations). Any other is only shown.
    ///
    /// # Panics
    ///
    /// If there are more than 65,535 of either.
    #[must_use]
    pub fn new<N: Into<String>, U: AsRef<str>, T: Into<String>>(
        features: impl IntoIterator<Item = (N, U)>,
        texts: impl IntoIterator<Item = T>,
    ) -> Self {
        let features: Vec<(String, Unit)> = features
            .into_iter()
            .map(|(name, unit)| (name.into(), Unit::named(unit.as_ref())))
            .collect();
        let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
        assert!(features.len().max(texts.len()) <= usize::from(u16::MAX), "too many names");
        let mut places = BTreeMap::new();
        for (index, (name, _)) in features.iter().enumerate() {
            places.entry(name.clone()).or_insert(Place::Feature(index as u16));
        }
        for (index, name) in texts.iter().enumerate() {
            places.entry(name.clone()).or_insert(Place::Text(index as u16));
        }
        Self { features, texts, places, values: BTreeMap::new() }
    }

    /// The same, where a text is one of these values, or missing: rules that compare it with another are
    /// warned of. A text of another name changes nothing.
    #[must_use]
    pub fn with_values(mut self, text: &str, values: &[&str]) -> Self {
        if let Some(Place::Text(slot)) = self.find(text) {
            self.values.insert(slot, values.iter().map(|value| (*value).to_owned()).collect());
        }
        self
    }

    pub(crate) fn values(&self, text: u16) -> Option<&[String]> {
        self.values.get(&text).map(Vec::as_slice)
    }

    /// The values in a row.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.features.len()
    }

    /// The texts beside a row.
    #[must_use]
    pub fn text_count(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Place> {
        self.places.get(name).copied()
    }

    pub(crate) fn unit(&self, feature: u16) -> &Unit {
        &self.features[usize::from(feature)].1
    }

    pub(crate) fn feature_name(&self, feature: u16) -> &str {
        &self.features[usize::from(feature)].0
    }

    pub(crate) fn text_name(&self, text: u16) -> &str {
        &self.texts[usize::from(text)]
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let features = self.features.iter().map(|(name, _)| name.as_str());
        features.chain(self.texts.iter().map(String::as_str))
    }
}
