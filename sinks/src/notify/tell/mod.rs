//! From events to the outbox: consumes every event, produces a notification for each owner, kind and
//! channel that the rules ask for, and guarantees that notifications and the place in the feed are
//! one durable commit.
//!
//! The way of an event: what it means to whom ([`story`]), who holds the accounts ([`holders`]),
//! which rule fits ([`choice`]), what the owner wants and in which words ([`teller`], [`locales`]).
//! Holds are noted, so that their end can be announced ([`holds`]).

mod choice;
pub(super) mod holders;
pub(super) mod holds;
pub(super) mod locales;
mod sink;
mod story;
pub(super) mod teller;
mod words;

pub use sink::OutboxSink;
