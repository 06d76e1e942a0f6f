//! What the tests of the ledger share: ledgers that are kept in different ways, and random input.
//!
//! Every test is a crate of its own and uses its part of it.

#![allow(dead_code, reason = "every test uses its part")]

mod chains;
pub(crate) mod cut;
pub(crate) mod dice;
pub(crate) mod gate;
pub(crate) mod mix;
pub(crate) mod reuse;
mod snapshots;
pub(crate) mod split;
