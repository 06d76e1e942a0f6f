//! Scenarios that a payments expert can proof-read: one row per command, with what it must come to.
//!
//! Columns: operation, id, then what the operation needs, then `->` and the outcome.
//!
//! ```text
//! open   NAME CURRENCY [option…] [-> created | unchanged | REASON]
//! limit  NAME AMOUNT -> updated | unchanged | REASON
//! freeze|reopen|close NAME -> updated | unchanged | REASON
//! pay|authorize ID PAYER PAYEE [AMOUNT] [option…] -> settled N | held N | REASON
//! capture|void|refund ID ORIGINAL [AMOUNT] [option…] -> settled N | voided N | REASON
//! wait   SECONDS -> expired [ID AMOUNT, …]
//! balance NAME -> debits pending/posted credits pending/posted
//! event  ID -> payer's balance, payee's balance, as of the last event of this payment
//! view   ID -> outcome, and what is left of it
//! ```
//!
//! Options of accounts: `no-overdraft`, `no-surplus`, `keeps-history`, `limit=N`, `code=N`,
//! `tenant=N`, `owner=NAME`. Options of payments: `linked`, `up-to-payer` and `up-to-payee`
//! (balancing), `resolves` (a review), `timeout=S`, `code=N`, `ledger=CURRENCY`, `context=N`, `from=NAME`, `to=NAME`,
//! `original=ID`. `defect=REASON` is what the front door found. An id of `-` is absent.
//!
//! A replay is written `again OUTCOME`. Rows that follow a `linked` one belong to its request;
//! `end` ends a request whose group is not closed. Rows between `request` and `end` are one
//! request.
//!
//! An outcome that ends with `*` leaves the rest open.
//!
//! Every table is run with ledgers that are kept in different ways, so that rows read what came
//! before them from memory, from closed generations and from history; and by the naive ledger.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod amounts;
mod coverage;
mod exchange;
mod front_door;
mod groups;
mod holds;
mod ids;
mod money;
mod order;
mod pairs;
mod refunds;
mod rows;
mod scene;
mod table;
mod verdicts;
mod ways;
