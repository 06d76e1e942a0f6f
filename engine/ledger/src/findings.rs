//! Findings: what the shards found for each payment of a request, one line of it per payment.
//!
//! Written by the group of shards that an id belongs to, and read when all of them are done with
//! that payment: the writes need no order of their own.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use crate::{RejectReason, stored::NO_ACCOUNT};

/// Nothing was found.
pub(crate) const NOT_FOUND: u32 = NO_ACCOUNT;
/// Found in history: see [`crate::shard::Recalled`].
pub(crate) const IN_HISTORY: u32 = u32::MAX - 1;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

/// What was found for one payment.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    first: AtomicU32,
    original: AtomicU32,
    debit: AtomicU32,
    credit: AtomicU32,
    defect: AtomicU8,
}

impl Findings {
    /// Makes room for so many payments. What was found before has no meaning any more.
    pub(crate) fn reserve(&mut self, payments: usize) {
        if self.0.len() < payments {
            self.0.resize_with(payments, Finding::default);
        }
    }

    #[inline]
    pub(crate) fn of(&self, position: usize) -> &Finding {
        &self.0[position]
    }
}

impl Finding {
    /// Row that met the payment's id first: [`NOT_FOUND`] if it is new, or [`IN_HISTORY`].
    #[inline]
    pub(crate) fn first(&self) -> u32 {
        self.first.load(Relaxed)
    }

    /// Row that met the original's id first. Only of payments that need one.
    #[inline]
    pub(crate) fn original(&self) -> u32 {
        self.original.load(Relaxed)
    }

    /// Numbers of both accounts, for posting to confirm: see [`crate::account_index`].
    #[inline]
    pub(crate) fn accounts(&self) -> [u32; 2] {
        [self.debit.load(Relaxed), self.credit.load(Relaxed)]
    }

    /// The envelope or static reason to refuse the payment with.
    #[inline]
    pub(crate) fn defect(&self) -> Option<RejectReason> {
        match self.defect.load(Relaxed) {
            0 => None,
            number => RejectReason::from_number(number),
        }
    }

    #[inline]
    pub(crate) fn set_first(&self, first: u32, defect: Option<RejectReason>) {
        self.first.store(first, Relaxed);
        self.defect.store(defect.map_or(0, |reason| reason as u8), Relaxed);
    }

    #[inline]
    pub(crate) fn set_original(&self, original: u32) {
        self.original.store(original, Relaxed);
    }

    #[inline]
    pub(crate) fn set_account(&self, credit_side: bool, account: u32) {
        let side = if credit_side { &self.credit } else { &self.debit };
        side.store(account, Relaxed);
    }
}
