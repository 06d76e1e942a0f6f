//! The read model in PostgreSQL, beside the embedded one of `millrace-sinks`: consumes batches of
//! durable events, produces tables that people read with psql, and answers the queries of the
//! GraphQL service from them. Guarantees that rows and cursor are one commit: whatever dies, each
//! event is in the tables once, in order.
//!
//! The way of an event: [`PostgresSink`] takes those that are due (`sink`), reads how the payments
//! that they name stand, works out what changes (`project`), and writes it (`write`, `payment_row`,
//! `copy`) in one transaction. The way of a query: [`PostgresStore`] answers it with one statement,
//! over a pool of connections, from a replica where one is named.
//!
//! The schema is in `migrations/`; every table and column in it says what it is.

mod applied;
mod config;
mod copy;
mod database;
mod migrate;
mod names;
mod numeric;
mod partitions;
mod payment_row;
mod project;
mod rebuild;
mod schema;
mod session;
mod sink;
mod sql_time;
mod store;
mod tls;
mod worker;
mod write;

pub use config::PostgresConfig;
pub use database::connect;
pub use rebuild::{PostgresRebuild, Runs};
pub use sink::PostgresSink;
pub use store::PostgresStore;
