//! Features: consumes payments in sequence order and the labels that arrive between them, produces
//! a row of numbers for each payment.
//!
//! Guarantees that a row and what is remembered are functions of the catalogue and of the events
//! seen so far alone: there is no clock, no random number and no platform's arithmetic in it. The
//! work per payment does not grow with what was seen (but for the form `exact`), and memory is
//! bounded per kind of entity.

mod arithmetic;
pub mod catalogue;
mod key;
mod profiles;
mod span;

pub use self::{
    catalogue::{
        Catalogue, CatalogueError, ENTITIES_MAX, Entity, EntitySource, Feature, Form, Statistic,
    },
    key::{EntityKey, KeyMaker},
    profiles::{Attempt, Label, ProfileCounts, ProfileLimits, Profiles},
    span::Span,
};
