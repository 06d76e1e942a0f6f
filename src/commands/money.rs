//! Ids and money as people type and read them.

use millrace_ledger::{Amount, Currency, LedgerId, Sum};
use uuid::Uuid;

/// Decimal text with its currency, such as `2452.00 CZK`; minor units where the ledger is none of
/// ISO 4217.
pub(crate) fn text(minor: u128, ledger: u32) -> String {
    match Currency::of_ledger(LedgerId(ledger)) {
        Some(currency) => format!("{} {}", currency.format(Amount(minor)), currency.code),
        None => format!("{minor} minor units of ledger {ledger}"),
    }
}

/// A sum of a ledger, as [`text`] tells an amount.
pub(crate) fn sum_text(sum: Sum, ledger: LedgerId) -> String {
    match Currency::of_ledger(ledger) {
        Some(currency) => format!("{} {}", currency.format_sum(sum), currency.code),
        None => format!("{sum} minor units of ledger {}", ledger.0),
    }
}

/// A number whose halves travel apart.
pub(crate) fn joined(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// Lower and upper 64 bits.
pub(crate) fn halves(minor: u128) -> (u64, u64) {
    (minor as u64, (minor >> 64) as u64)
}

/// An id's 16 bytes, for the wire.
pub(crate) fn id_bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// An id from the wire, as text.
pub(crate) fn id_text(bytes: &[u8]) -> String {
    Uuid::from_slice(bytes).map_or_else(|_| "(none)".to_owned(), |id| id.to_string())
}

/// Reads a currency argument.
pub(crate) fn parse_currency(code: &str) -> Result<Currency, String> {
    let upper = code.to_ascii_uppercase();
    Currency::of_code(&upper).ok_or_else(|| "is no ISO 4217 code, such as EUR or CZK".to_owned())
}

/// Decimal text of a currency as minor units.
pub(crate) fn parse_amount(currency: Currency, text: &str) -> Result<u128, String> {
    let amount = currency.parse(text);
    amount.map(|amount| amount.0).map_err(|error| format!("the amount {text:?} {error}"))
}
