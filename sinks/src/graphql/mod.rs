//! The read model: consumes every event, produces tables of accounts and payments in an embedded
//! store, and answers GraphQL queries from them. Guarantees that a query sees the state after some
//! event, never a mixture, and that a restart continues where the store stands.
//!
//! The way of an event: [`GraphqlSink`] projects it (`project`), encodes rows (`row`) and commits
//! them with the cursor as one batch (`tables`). The way of a query: [`serve`] takes it over HTTP
//! (`server`), the schema resolves it (`schema` and the objects), and [`ReadStore`] reads a
//! snapshot.
//!
//! # Tables
//!
//! | table | key | value |
//! |---|---|---|
//! | `payments` | position in the journal | the payment as decided, its context; never changes |
//! | `payment_ids` | payment id | position, and what later events change: hold state, amount left |
//! | `postings` | account id, first position | positions of up to 1,024 payments of the account |
//! | `accounts` | account id | what opened it, its state |
//! | `balances` | account id | its four counters, and the event after which they hold |
//! | `history` | account id, position | the account's balances after that event, what it was |
//! | `history_accounts` | account id | nothing: its history is kept |
//! | `expiries` | position of the expiry | the hold's position, what was released, when |
//! | `account_expiries` | account id, position of the expiry | nothing |
//! | `meta` | `cursor`, `format` | next event and its batch's time; version of this layout |
//!
//! Positions are big-endian, so that they sort. The server has no access control of its own: keep
//! it on a loopback address, or behind a gateway that has.

mod account_object;
mod config;
mod enums;
mod history_object;
mod history_row;
pub mod model;
mod money;
mod page;
mod payment_object;
mod project;
mod read;
mod read_history;
pub(crate) mod row;
mod schema;
mod server;
mod sink;
mod tables;

pub use config::GraphqlConfig;
pub use history_row::{BalanceChange, HistoryRow};
pub use read::{AccountView, LedgerConservation, PaymentView, ReadError, ReadStore};
pub use read_history::{HistoryRange, TimedOutHold};
pub use row::{PaymentState, PaymentStateRow};
pub use schema::{FIRST_DEFAULT, FIRST_MAX, schema_definition};
pub use server::serve;
pub use sink::GraphqlSink;
