//! Consumers of the feed: each takes durable events in sequence, produces an effect outside the
//! ledger, and keeps its place durably.
//!
//! All sinks have one anatomy. A [`Sink`] applies batches of events and commits effect and cursor
//! together, so that a restart, at whatever moment it comes, neither loses nor doubles an effect.
//! [`spawn`] drives one sink on a thread of its own, at the lowest priority: a slow or dead sink
//! costs disk, never payments.
//!
//! | sink | effect | cursor | after a crash |
//! |---|---|---|---|
//! | [`audit`] | entries of a signed Merkle tree | the log | a torn last line is cut |
//! | [`notify`] | notifications in an outbox | a row of the store | a batch is all or nothing |
//! | [`notify`], as lines | messages in a file or on stdout | the file, and a hint | a torn group is cut |
//! | [`graphql`] | tables that queries read | a row of the store | a batch is all or nothing |
//! | [`reviews`] | tables that analysts read | a row of the store | a batch is all or nothing |

// Unit tests share the histories of the integration tests, which name this crate.
#[cfg(test)]
extern crate self as millrace_sinks;

pub mod audit;
mod config;
pub mod graphql;
mod held_file;
mod line_file;
pub mod notify;
mod quarantine;
pub mod rebuild;
pub mod reviews;
mod runner;
mod sink;
pub mod span;
mod store;
mod text;

pub use audit::{AuditConfig, AuditSink};
pub use config::SinksConfig;
pub use graphql::{GraphqlConfig, GraphqlSink, ReadStore};
pub use notify::{NotifyConfig, NotifyService, NotifySink};
pub use quarantine::{Ask, Done, ENTRIES_MAX, Entry, Quarantine, QuarantineDesk};
pub use reviews::{ReviewStore, ReviewsConfig, ReviewsSink};
pub use runner::{
    Backoff, Head, Pace, Progress, Replacement, Replacer, SinkHandle, SinkState, SinkStatus,
    SinkWatch, Source, SourceError, Switch, Switched, run_when_idle, spawn, spawn_with,
    yield_to_payments,
};
pub use sink::{Blame, Sink, SinkError};
