//! What is known of payments that are no longer in the ledger's memory.
//!
//! The ledger asks; where the answers are kept is another crate's matter. It hands out closed
//! [`Generation`](crate::Generation)s of payments, and asks here for those that it has let go.

use std::sync::Arc;

use crate::{PaymentId, Spans, StoredPayment};

/// Payments that the ledger has let go. Answers must be exact: a payment that was handed over is
/// found, as it was in the newest generation that held it.
pub trait History: Send + Sync + std::fmt::Debug {
    /// Where the ids lie that are known here: an id in a gap is told to be new by this alone. What
    /// was handed over since may be missing, as long as it was not let go.
    fn spans(&self) -> Arc<Spans>;

    /// The payment with this id.
    ///
    /// # Errors
    /// When the history can't be read. Nothing can be decided then.
    fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError>;

    /// These payments will be sought, one after the other. A history that has to wait for a disk may
    /// begin to read for all of them now, so that it waits once. Tells nothing, and waits for nothing.
    fn expect(&self, _ids: &[PaymentId]) {}

    /// This history as it is now: what is handed over later is not known there.
    fn as_of_now(&self) -> Arc<dyn History>;
}

/// The history can't be read, so nobody knows whether an id is new.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't tell whether payment {id} is known: {why}")]
pub struct HistoryError {
    /// The payment that was looked for.
    pub id: PaymentId,
    /// What went wrong, where, and what to do.
    pub why: String,
}

/// The history of a ledger that has let nothing go.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHistory;

impl History for NoHistory {
    fn spans(&self) -> Arc<Spans> {
        Arc::default()
    }

    fn find(&self, _: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        Ok(None)
    }

    fn as_of_now(&self) -> Arc<dyn History> {
        Arc::new(Self)
    }
}
