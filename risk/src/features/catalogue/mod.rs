//! The catalogue: consumes a TOML file, produces the features that a row has, in their order.
//!
//! Guarantees that each feature can be computed and that its name is unique. What a feature means
//! is in [`Catalogue::digest`]; its unit and its description are not.

mod check;
mod demand;
mod meaning;
mod read;
mod statistic;

use std::fmt;

pub use self::{
    meaning::Difference,
    read::{CatalogueError, CatalogueProblem},
    statistic::Statistic,
};
pub use super::span::Span;

/// Most kinds of entities that a catalogue may have.
pub const ENTITIES_MAX: usize = 16;

/// The features of a row, and the kinds of entities that they are kept for.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    entities: Vec<Entity>,
    features: Vec<Feature>,
    digest: [u8; 32],
}

/// A kind of entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Such as `payer`.
    pub name: String,
    /// Where a payment has its key.
    pub source: EntitySource,
    /// Entities of this kind that are remembered; else the default of the profiles.
    pub entities_max: Option<u32>,
    /// Runs: a payment that nobody reported as fraud in this time is taken for honest, and labels
    /// that say so are ignored. Without it, a label must say so of each.
    pub honest_after: Option<Span>,
    /// What waits to be honest is kept in buckets of this length, and is honest as soon as all of
    /// its bucket is. Zero without `honest_after`.
    pub honest_bucket: Span,
}

/// Where a payment has the key of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntitySource {
    /// The debit account.
    Payer,
    /// The credit account.
    Payee,
    /// Two other entities of the payment together, by their places among the entities.
    Pair(usize, usize),
    /// A field of the payment's context, by its key.
    Context(String),
}

/// How a window forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Each payment counts `exp(-age / window)`, so that a steady stream gives what a sharp window
    /// would. Cheapest, and best for models.
    Decayed,
    /// Exact to a bucket, for rules that must be explained: the current bucket and as many full
    /// ones before it as fit.
    Ring,
    /// All payments of the window are kept: `(t - window, t]`. For use off-line.
    Exact,
}

/// One number of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Such as `payer.count_7d`.
    pub name: String,
    /// The place of its entity among [`Catalogue::entities`].
    pub entity: Option<usize>,
    /// What is measured.
    pub statistic: Statistic,
    /// How far back.
    pub window: Option<Span>,
    /// How the window forgets.
    pub form: Form,
    /// Length of a bucket: of a ring, or of what waits for a delay.
    pub bucket: Span,
    /// How far the window is shifted back, because labels come late.
    pub delay: Span,
    /// Whether this payment counts, too.
    pub current: bool,
    /// `distinct`: the place of the counted entity. `quotient`: the places of the two features.
    pub of: Vec<usize>,
    /// `count_above` and `share_above`: the amount.
    pub above: f64,
    /// What is unusual (`count_unusual`, `share_unusual`, `except`): more than so many means.
    pub times: f64,
    /// The window of that mean, and of the one of `max_ratio`.
    pub usual: Span,
    /// Runs: the place of another entity. A fraud that is unusual for it points at it, and is left
    /// out.
    pub except: Option<usize>,
    /// `fraud_average`: the weight of the newest label.
    pub step: f64,
    /// Shares: what is assumed of entities without payments.
    pub prior: f64,
    /// Shares: as many payments the assumption is worth.
    pub prior_weight: f64,
    /// What it counts: `money`, `payments`, `seconds`, `share` and so on. For those who read it.
    pub unit: String,
    /// One sentence for analysts.
    pub description: String,
    /// Its value when there is none. NaN unless the catalogue says otherwise.
    pub missing: f32,
    /// Whether it is kept only while a policy needs it, see [`super::Profiles::demand`]. Models are not
    /// trained on it.
    pub on_demand: bool,
}

impl Catalogue {
    /// The text of [`Self::book`].
    pub const BOOK: &str = include_str!("../../../../configs/risk/book.toml");
    /// The text of [`Self::standard`].
    pub const STANDARD: &str = include_str!("../../../../configs/risk/standard.toml");

    /// The text of [`Self::devices`].
    pub const DEVICES: &str = include_str!("../../../../configs/risk/devices.toml");

    /// The shipped catalogues, by name, each with its text.
    pub const SHIPPED: [(&str, &str); 3] =
        [("standard", Self::STANDARD), ("devices", Self::DEVICES), ("book", Self::BOOK)];

    /// Reads a catalogue.
    ///
    /// # Errors
    /// With everything that is wrong with it, each with its line.
    pub fn parse(toml: &str) -> Result<Self, CatalogueError> {
        let (entities, features) = check::catalogue(toml)?;
        let digest = digest(&entities, &features);
        Ok(Self { entities, features, digest })
    }

    /// The 15 features of "Reproducible Machine Learning for Credit Card Fraud Detection"
    /// (Le Borgne et al., chapter 3), with its seven days of delay.
    #[must_use]
    pub fn book() -> Self {
        Self::parse(Self::BOOK).expect("a test reads it")
    }

    /// The features that models are trained on unless another catalogue is named.
    #[must_use]
    pub fn standard() -> Self {
        Self::parse(Self::STANDARD).expect("a test reads it")
    }

    /// Those of [`Self::standard`], and what is known of devices and of who was seen together: for
    /// payments whose context names the device.
    #[must_use]
    pub fn devices() -> Self {
        Self::parse(Self::DEVICES).expect("a test reads it")
    }

    /// A shipped catalogue with its text; `None` where there is none of this name.
    #[must_use]
    pub fn shipped(name: &str) -> Option<(Self, &'static str)> {
        let (_, text) = Self::SHIPPED.iter().find(|(own, _)| *own == name)?;
        Some((Self::parse(text).expect("a test reads it"), text))
    }

    /// The features, in the order of a row.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The kinds of entities, in the order of an attempt's keys.
    #[must_use]
    pub fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// Features in a row.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a catalogue has a feature")]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// The place of a feature in a row.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name == name)
    }

    /// BLAKE3 of what the features mean that are always kept, in their order. A snapshot of another
    /// digest does not fit; a model may, see [`Self::difference`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Fills in the keys of pairs, once the keys that they are made of are there.
    pub fn pair_keys(&self, keys: &mut [super::EntityKey]) {
        for (place, entity) in self.entities.iter().enumerate() {
            if let EntitySource::Pair(first, second) = entity.source {
                keys[place] = super::EntityKey::pair(keys[first], keys[second]);
            }
        }
    }
}

impl Form {
    pub(super) const NAMES: [(&'static str, Self); 3] =
        [("decayed", Self::Decayed), ("ring", Self::Ring), ("exact", Self::Exact)];
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = Self::NAMES.iter().find(|(_, form)| form == self);
        f.write_str(own.map_or("", |(name, _)| name))
    }
}

/// One line per entity and feature, so that no two catalogues with different meanings agree. The
/// limit of entities is no part of it: it may grow while a model is in force.
fn digest(entities: &[Entity], features: &[Feature]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    hash.update(b"millrace feature catalogue 1\n");
    for Entity { name, source, entities_max: _, honest_after, honest_bucket } in entities {
        hash.update(format!("{name} {source:?}").as_bytes());
        if let Some(after) = honest_after {
            hash.update(format!(" honest after {after} in {honest_bucket}").as_bytes());
        }
        hash.update(b"\n");
    }
    for feature in features.iter().filter(|feature| !feature.on_demand) {
        let Feature { name, entity, statistic, window, form, bucket, delay, current, of, .. } =
            feature;
        let Feature { above, times, usual, except, step, .. } = feature;
        let Feature { prior, prior_weight, missing, .. } = feature;
        let window = window.map_or(String::new(), |window| window.to_string());
        let numbers = [above, times, prior, prior_weight, step].map(|number| number.to_bits());
        // Any NaN means the same.
        let missing = if missing.is_nan() { f32::NAN.to_bits() } else { missing.to_bits() };
        let statistic = statistic.name();
        let line = format!(
            "{name} {entity:?} {statistic} {window} {form} {bucket} {delay} {current} {of:?} \
             {numbers:?} {usual} {except:?} {missing}\n"
        );
        hash.update(line.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
