//! Look-up: consumes the id of a payment, produces what memory knows of it, or whom to ask for it.
//!
//! Guarantees that a history that is asked later, by whomever, answers as of the look-up: a payment
//! that is not in memory has not changed since it was let go, or its newest version would be in the
//! open generation or in a closed one; and what is let go later is not in a history as of now.

use std::sync::Arc;

use crate::{
    AccountId, Amount, History, HistoryError, HoldState, Ledger, LedgerId, Payment, PaymentId,
    PaymentView, Stage, StoredPayment, stored::NO_ACCOUNT,
};

/// Where what is known of a payment is.
#[derive(Clone, Debug)]
pub enum LookUp {
    /// Here it is; `None` where no payment took the id.
    InMemory(Option<Box<PaymentView>>),
    /// Not in memory: if a payment took the id, this history has it, and [`Ledger::view`] makes it
    /// readable, at any time.
    InHistory(Arc<dyn History>),
}

impl Ledger {
    /// Looks for a payment whose id is taken, without reading history.
    #[must_use]
    pub fn look_up(&self, id: PaymentId) -> LookUp {
        let history = &self.shards.past().history;
        match self.in_memory(id) {
            Some(found) => LookUp::InMemory(found.map(|stored| Box::new(self.view(stored)))),
            None if history.spans().gap(id).is_some() => LookUp::InMemory(None),
            None => LookUp::InHistory(history.as_of_now()),
        }
    }

    /// What is known of a payment whose id is taken.
    ///
    /// # Errors
    /// When history can't be read.
    pub fn payment(&self, id: PaymentId) -> Result<Option<PaymentView>, HistoryError> {
        match self.in_memory(id) {
            Some(found) => Ok(found.map(|stored| self.view(stored))),
            None => {
                let stored = self.shards.past().find(id)?;
                Ok(stored.map(|stored| self.view(&stored)))
            }
        }
    }

    /// `Some(None)` where memory alone tells that the id is not taken.
    fn in_memory(&self, id: PaymentId) -> Option<Option<&StoredPayment>> {
        let recent = &self.books.recent;
        if let Some(first) = self.shards.row(id) {
            let row = recent.generation.taker(first);
            return Some(row.map(|row| recent.generation.rows.get(row)));
        }
        if let Some(place) = recent.find_old(id) {
            return Some(Some(recent.get(place)));
        }
        let closed = self.closed_generations().iter().rev();
        closed
            .filter(|closed| closed.gap(id).is_none())
            .find_map(|closed| closed.find(id))
            .map(Some)
    }

    /// A payment of this ledger's history, as a reader sees it. Accounts keep their numbers and ids for
    /// ever, and so do verdicts, so it does not matter when this is asked.
    #[must_use]
    pub fn view(&self, stored: &StoredPayment) -> PaymentView {
        let accounts = &self.books.accounts;
        let account = |slot: u32| match slot {
            NO_ACCOUNT => (AccountId::ZERO, LedgerId(0)),
            slot => (accounts.id(slot), accounts.ledger(slot)),
        };
        let ((debit, ledger), (credit, _)) = (account(stored.debit), account(stored.credit));
        PaymentView {
            payment: Payment {
                id: stored.id,
                debit,
                credit,
                original: stored.original,
                amount: stored.amount,
                ledger,
                code: stored.code,
                operation: stored.operation,
                flags: stored.flags,
                timeout_s: stored.timeout_s,
                ..Payment::default()
            },
            outcome: stored.outcome(),
            verdict: self.books.verdict(stored.verdict),
            seq: stored.seq,
            hold: match stored.stage {
                Stage::HoldOpen => Some(HoldState::Open),
                Stage::HoldCaptured => Some(HoldState::Captured),
                Stage::HoldVoided => Some(HoldState::Voided),
                Stage::HoldExpired => Some(HoldState::Expired),
                Stage::Settled | Stage::Released | Stage::Refused(_) | Stage::Vacant => None,
            },
            left: Amount(stored.left),
        }
    }
}
