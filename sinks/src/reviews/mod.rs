//! The review desk: consumes every event, keeps what analysts ask about in an embedded store:
//! payments that risk did not approve, reviews that are open, reports of fraud, policies that were
//! set. Guarantees that a reader sees the state after some event, never a mixture, and that a
//! restart continues where the store stands.
//!
//! The way of an event: [`ReviewsSink`] projects it (`project`), encodes rows (`row`) and commits
//! them with the cursor as one batch (`tables`). The way of a question: [`ReviewStore`] reads a
//! snapshot.
//!
//! # Tables
//!
//! | table | key | value |
//! |---|---|---|
//! | `decisions` | payment id | the payment that was not approved, evidence, context; never changes |
//! | `standings` | payment id | where its review stands, as JSON: claim, resolution, amount left, end |
//! | `open` | kind, position | payment id, and who has claimed it; removed when the hold has ended |
//! | `reports` | payment id | whether it was fraud, as reported last, as JSON |
//! | `policies` | number | the policy that was set: name, who, why, when, as JSON |
//! | `meta` | `cursor`, `format` | next event and its batch's time; version of this layout |
//!
//! Numbers and positions are big-endian, so that they sort. A review is open until all of its money
//! was captured or released: one that was resolved, but whose capture was refused, still is.

mod config;
mod project;
mod read;
mod row;
mod sink;
mod tables;

pub use config::ReviewsConfig;
pub use read::ReviewStore;
pub use sink::ReviewsSink;
