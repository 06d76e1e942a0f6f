//! The rows of the review desk: consumes decided payments, produces bytes and back.
//!
//! A row of table `decisions`:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | position of the payment's event, big-endian |
//! | 1 + n | evidence, as the journal has it |
//! | rest | the payment, as in table `payments` of the read model, without balances |
//!
//! A row of table `open`: 16 bytes of payment id, then who has claimed it, as text.

use millrace_ledger::{EventSeq, PaymentEvent, PaymentId, Timestamp};
use millrace_risk::{desk::Decided, evidence::Evidence};
use serde::{Serialize, de::DeserializeOwned};

use crate::graphql::row::{self, RowError};

/// Writes a row of table `decisions`.
pub(crate) fn put_decided(
    out: &mut Vec<u8>,
    event: &PaymentEvent,
    time: Timestamp,
    context: &[u8],
    evidence: &[u8],
) {
    out.extend_from_slice(&event.seq.0.to_be_bytes());
    // The journal keeps at most 255 bytes of it.
    let evidence = &evidence[..evidence.len().min(usize::from(u8::MAX))];
    out.push(evidence.len() as u8);
    out.extend_from_slice(evidence);
    row::put_payment(out, &PaymentEvent { balances: None, ..*event }, time, context);
}

/// Reads a row of table `decisions`; the standing is in another table.
pub(crate) fn decided(stored: &[u8]) -> Result<Decided, RowError> {
    let (seq, rest) = stored.split_at_checked(8).ok_or(RowError)?;
    let (&evidence_len, rest) = rest.split_first().ok_or(RowError)?;
    let (evidence, payment) = rest.split_at_checked(usize::from(evidence_len)).ok_or(RowError)?;
    let (event, time, context) = row::payment(EventSeq(row::position(seq)?), payment)?;
    let evidence = Evidence::read(evidence);
    Ok(Decided { event, time, context: context.to_vec(), evidence, standing: None })
}

/// Writes a row of table `open`.
pub(crate) fn open_row(payment: PaymentId, claimed_by: Option<&str>) -> Vec<u8> {
    let mut row = payment.0.to_be_bytes().to_vec();
    row.extend_from_slice(claimed_by.unwrap_or_default().as_bytes());
    row
}

/// Reads a row of table `open`: the payment, and who has claimed it; empty for nobody.
pub(crate) fn open(stored: &[u8]) -> Result<(PaymentId, &str), RowError> {
    let (id, claimed_by) = stored.split_first_chunk().ok_or(RowError)?;
    let claimed_by = str::from_utf8(claimed_by).map_err(|_| RowError)?;
    Ok((PaymentId(u128::from_be_bytes(*id)), claimed_by))
}

/// Writes a row that is JSON.
pub(crate) fn json(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("text and numbers become JSON")
}

/// Reads a row that is JSON.
pub(crate) fn from_json<T: DeserializeOwned>(stored: &[u8]) -> Result<T, RowError> {
    serde_json::from_slice(stored).map_err(|_| RowError)
}
