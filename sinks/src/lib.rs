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
//! | [`audit`] | hash-chained lines in one file | the file itself | a torn last line is cut |
//! | [`notify`] | rendered messages in a file or on standard output | the file itself, and a hint | a torn group of lines is cut |
//! | [`graphql`] | tables that queries read | a row of the same store | the store's batch is all or nothing |

pub mod audit;
mod config;
pub mod graphql;
mod line_file;
pub mod notify;
mod runner;
mod sink;
mod text;

pub use audit::{AuditConfig, AuditSink};
pub use config::SinksConfig;
pub use graphql::{GraphqlConfig, GraphqlSink, ReadStore};
pub use notify::{NotifyConfig, NotifySink};
pub use runner::{SinkHandle, spawn, yield_to_payments};
pub use sink::{Sink, SinkError};
