//! Records: one event as bytes. Consumes and produces [`Event`](millrace_ledger::Event)s; the layout
//! is a table in `docs/JOURNAL.md`, and a golden file guards it.
//!
//! Numbers take 8 bytes each, or 16 when one of the record's numbers needs more.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub(crate) use decode::{count_max, decode_body, decode_each, first_of_body, operation};
pub(crate) use encode::{encode_account, encode_act, encode_hold_expired, encode_payment};

const PAYMENT: u8 = 1;
const HOLD_EXPIRED: u8 = 2;
const ACCOUNT: u8 = 3;
const ACT: u8 = 4;

/// Which optional parts of a record are there.
mod present {
    pub(super) const WIDE: u8 = 1;
    pub(super) const BALANCES: u8 = 2;
    pub(super) const ORIGINAL: u8 = 4;
    pub(super) const EVENT_TIME: u8 = 8;
    pub(super) const AMOUNT_ALL: u8 = 16;
    pub(super) const CONTINUES_GROUP: u8 = 32;
    pub(super) const EVIDENCE: u8 = 64;
}
