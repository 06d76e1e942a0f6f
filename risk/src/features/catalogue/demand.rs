//! Features on demand: consumes a catalogue and names, produces the catalogue that keeps these always,
//! or none that is on demand.

use super::{Catalogue, Feature, Statistic};

impl Catalogue {
    /// The same, but that of the features on demand these are kept always. For replays of the past
    /// with rules that speak of them: there, everything is known from the first payment on. The digest
    /// stays, because no feature means anything else.
    #[must_use]
    pub fn keeping<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Self {
        let mut catalogue = self.clone();
        for name in names {
            if let Some(place) = self.index_of(name.as_ref()) {
                catalogue.features[place].on_demand = false;
            }
        }
        catalogue
    }

    /// Those of its features that are always kept, in their order: what models are trained on. Its
    /// digest is that of the whole, because a feature means the same in both.
    #[must_use]
    pub fn for_models(&self) -> Self {
        let kept = |feature: &&Feature| !feature.on_demand;
        let mut features: Vec<_> = self.features.iter().filter(kept).cloned().collect();
        let places: Vec<_> = (0..self.len()).filter(|it| kept(&&self.features[*it])).collect();
        for feature in features.iter_mut().filter(|it| it.statistic == Statistic::Quotient) {
            // Both parts come before it, and neither is on demand.
            feature.of.iter_mut().for_each(|of| *of = places.partition_point(|place| place < of));
        }
        Self { entities: self.entities.clone(), features, digest: self.digest }
    }

    /// Whether rows of both hold the same: so many features, in the same order, of the same meaning.
    #[must_use]
    pub fn makes_rows_of(&self, other: &Self) -> bool {
        let named = |catalogue: &Self| -> Vec<(String, bool)> {
            catalogue.features.iter().map(|it| (it.name.clone(), it.on_demand)).collect()
        };
        let mut names = self.features.iter().map(|feature| &feature.name);
        named(self) == named(other) && names.all(|name| self.difference(other, name).is_none())
    }

    /// Of these names, those of features on demand, in the order of the catalogue.
    #[must_use]
    pub fn on_demand<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Vec<String> {
        let places = names.into_iter().filter_map(|name| self.index_of(name.as_ref()));
        let mut places: Vec<_> = places.filter(|place| self.features[*place].on_demand).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| self.features[place].name.clone()).collect()
    }
}
