//! The I/O shell around the pure ledger.

pub mod feed;
