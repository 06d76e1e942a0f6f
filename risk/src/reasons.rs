//! Reasons in words: consumes a feature and a payment's row, produces what an analyst reads: "amount
//! is 6.2 times the payer's 30-day mean".
//!
//! Guarantees a sentence for every feature of every catalogue; what has no wording of its own here
//! is told by its description and its value.

#[cfg(test)]
mod tests;
mod words;

use words::Words;

use crate::features::{Catalogue, EntitySource, Statistic};

/// What the value of a feature says of a payment.
///
/// # Panics
/// When the catalogue has no such feature, or the row is not one of its rows.
#[must_use]
pub fn in_words(catalogue: &Catalogue, feature: usize, row: &[f32]) -> String {
    value_in_words(catalogue, feature, row[feature])
}

/// What this value of a feature says of a payment.
///
/// # Panics
/// When the catalogue has no such feature.
#[must_use]
pub fn value_in_words(catalogue: &Catalogue, feature: usize, value: f32) -> String {
    let feature_is = &catalogue.features()[feature];
    let name_of = |place: usize| catalogue.entities()[place].name.as_str();
    let entity = feature_is.entity.map_or("payment", name_of);
    let pair = feature_is.entity.and_then(|place| match catalogue.entities()[place].source {
        EntitySource::Pair(one, other) => Some((name_of(one), name_of(other))),
        _ => None,
    });
    let counted = match feature_is.statistic {
        Statistic::Distinct => feature_is.of.first().map_or("", |place| name_of(*place)),
        _ => "",
    };
    let words = Words { feature: feature_is, entity, pair, counted, value };
    match value.is_nan() {
        true => words.missing(),
        false => words.known().unwrap_or_else(|| words.described()),
    }
}

/// The features that moved a payment's score up most, the farthest first, and by what share of all
/// that moved it up. `contributions` are those of [`crate::model::Model::contributions`]; where a
/// lower sum is the higher score, turn their signs.
#[must_use]
pub fn strongest(contributions: &[f32], most: usize) -> Vec<(usize, f32)> {
    let up = contributions.iter().copied().enumerate().filter(|(_, by)| *by > 0.0);
    let mut up: Vec<_> = up.collect();
    let all: f32 = up.iter().map(|(_, by)| by).sum();
    up.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    up.truncate(most);
    up.iter_mut().for_each(|(_, by)| *by /= all);
    up
}
