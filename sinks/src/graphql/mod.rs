//! The read model: consumes every event, produces tables of accounts and payments in an embedded
//! store, and answers GraphQL queries from them, or from another store of the same form. Guarantees
//! that a query sees the state after some event, never a mixture, and that a restart continues
//! where the store stands.
//!
//! The way of an event: [`GraphqlSink`] projects it (`project`, `index`), encodes rows (`row`) and
//! commits them with the cursor as one batch (`tables`), then says where it is (`applied`). The way
//! of a query: [`serve`] takes it over HTTP (`server`) or a WebSocket (`socket`), measures it
//! (`guard`, `persisted`), and runs it (`executor`); the schema resolves it (`schema` and the
//! objects) through a cache and a loader (`reader`), and a [`ReadModel`] answers: [`ReadStore`],
//! from a snapshot (`find`, `read_history`), or another store.
//!
//! # Tables
//!
//! | table | key | value |
//! |---|---|---|
//! | `payments` | position in the journal | the payment as decided, its context, its evidence; never changes |
//! | `payment_ids` | payment id | position, and what later events change: hold state, amount left |
//! | `postings` | account id, first position | positions of up to 1,024 payments of the account |
//! | `lists` | outcome, reason, decision or ledger; first position | positions of up to 1,024 |
//! | `references` | hash of the reference, first position | positions of up to 1,024 |
//! | `follow_ups` | original payment, position | nothing: the payment there names the original |
//! | `open_holds` | account id or 0, position of the hold | nothing: of the hold is something left |
//! | `accounts` | account id | what opened it, its state |
//! | `balances` | account id | its four counters, and the event after which they hold |
//! | `history` | account id, position | the account's balances after that event, what it was |
//! | `history_accounts` | account id | nothing: its history is kept |
//! | `expiries` | position of the expiry | the hold's position, what was released, when, balances |
//! | `account_expiries` | account id, position of the expiry | nothing |
//! | `totals` | ledger, hour | count and sum of the payments, by outcome |
//! | `times` | time of a batch | position of its last event |
//! | `meta` | `cursor`, `format` | next event and its batch's time; version of this layout |
//!
//! Positions are big-endian, so that they sort. The server has no access control of its own: keep
//! it on a loopback address, or behind a gateway that has.

mod account_object;
mod acts;
mod applied;
mod audit_object;
mod config;
mod connection;
mod embedded;
mod enums;
mod error;
mod executor;
mod find;
mod graphiql;
mod guard;
mod history_object;
mod history_row;
mod index;
mod keys;
mod list;
mod lists;
pub mod model;
mod money;
mod mutation;
mod notification_object;
mod paging;
mod payment_object;
mod persisted;
mod project;
mod read;
mod read_cache;
mod read_history;
mod reader;
mod review_object;
mod risk_object;
pub(crate) mod row;
mod schema;
mod server;
mod services;
mod sink;
mod socket;
mod standing;
mod subscription;
mod tables;
mod totals_object;
mod totals_row;

pub use acts::{ActError, Acts, NotificationAct};
pub use config::{GraphqlConfig, LimitsConfig, Profile};
pub use history_row::{BalanceChange, HistoryRow};
pub use model::ReadModel;
pub use paging::{FIRST_DEFAULT, FIRST_MAX};
pub use persisted::PersistedError;
pub use read::{AccountView, LedgerConservation, PaymentView, ReadError, ReadStore};
pub use read_history::TimedOutHold;
pub use row::{PaymentState, PaymentStateRow};
pub use schema::schema_definition;
pub use server::serve;
pub use services::Services;
pub use sink::GraphqlSink;
