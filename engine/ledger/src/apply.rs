//! Apply: consumes recorded events in sequence and brings the ledger to where it was, without
//! deciding anything again.
//!
//! Guarantees that state after replay equals state before the stop, or an error that names the
//! event at which the record and the ledger part.

use crate::{
    AccountEvent, Event, EventSeq, Gate, HoldExpired, Judged, Ledger, PaymentEvent, PaymentId,
    RiskDecision, Status, Timestamp,
    decide::is_observed,
    post::Posting,
    state::{NO_SLOT, Stage, StoredPayment},
};

/// A recorded event that does not follow from the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} does not fit the events before it: {what}")]
pub struct Divergence {
    /// The event.
    pub seq: EventSeq,
    /// What does not fit.
    pub what: &'static str,
}

impl Ledger {
    /// Begins a recorded batch: sets its time. Holds that expired in it follow as events.
    pub fn begin_recorded_batch(&mut self, time: Timestamp) {
        self.time = self.time.max(time);
    }

    /// Applies one recorded event.
    ///
    /// # Errors
    /// When the event does not follow from those before it. The ledger must not be used then.
    pub fn apply(&mut self, event: &Event, gate: &mut impl Gate) -> Result<(), Divergence> {
        let seq = event.seq();
        let diverged = |what| Divergence { seq, what };
        if seq != self.last_seq.next() {
            return Err(diverged("its sequence does not continue theirs"));
        }
        match event {
            Event::Payment(event) => self.apply_payment(event, gate),
            Event::HoldExpired(event) => self.apply_expiry(event),
            Event::Account(event) => self.apply_account(event),
        }
        .map_err(diverged)?;
        debug_assert_eq!(self.last_seq, seq);
        Ok(())
    }

    fn apply_payment(
        &mut self,
        event: &PaymentEvent,
        gate: &mut impl Gate,
    ) -> Result<(), &'static str> {
        let payment = &event.payment;
        if let Status::Rejected(reason) = event.outcome.status {
            self.take_seq();
            if reason.burns_id() {
                self.check_id_is_free(payment.id)?;
                self.burn(payment, reason, event.verdict);
            }
            return Ok(());
        }
        self.check_id_is_free(payment.id)?;
        let posting = self.recorded_posting(event)?;
        let slot = self.post(payment, &posting, event.verdict);
        self.settle_sequence(slot);
        if is_observed(payment.operation) && event.verdict.decision != RiskDecision::NotJudged {
            gate.observe(Judged {
                payment,
                amount: event.outcome.amount,
                at: self.time,
                payer: posting.debit,
            });
        }
        match event.balances == Some(self.balances_of(posting.debit, posting.credit)) {
            true => Ok(()),
            false => Err("its balances are not those that the ledger comes to"),
        }
    }

    fn recorded_posting(&self, event: &PaymentEvent) -> Result<Posting, &'static str> {
        let payment = &event.payment;
        let debit = self.account_slot(payment.debit).ok_or("its debit account is unknown")?;
        let credit = self.account_slot(payment.credit).ok_or("its credit account is unknown")?;
        let original = match payment.operation.needs_original() {
            false => NO_SLOT,
            true => self.payment_slot(payment.original).ok_or("its original is unknown")?,
        };
        let amount = event.outcome.amount.0;
        if original != NO_SLOT && self.payments.get(original).left < amount {
            return Err("it takes more than its original has left");
        }
        let expires_at = StoredPayment::expiry(payment.timeout_s, self.time);
        Ok(Posting {
            operation: payment.operation,
            held: event.outcome.status == Status::Held,
            debit,
            credit,
            original,
            amount,
            code: payment.code,
            expires_at: expires_at.ok_or("its time-out does not fit")?,
        })
    }

    fn apply_expiry(&mut self, event: &HoldExpired) -> Result<(), &'static str> {
        let slot = self.payment_slot(event.payment).ok_or("its hold is unknown")?;
        if self.payments.get(slot).stage != Stage::HoldOpen {
            return Err("its hold is not open");
        }
        match self.expire(slot) == *event {
            true => Ok(()),
            false => Err("the hold that expires is not as recorded"),
        }
    }

    fn apply_account(&mut self, event: &AccountEvent) -> Result<(), &'static str> {
        let spec = &event.account.spec;
        let slot = match (self.account_slot(spec.id), event.change) {
            (None, None) => self.open_account(spec),
            (Some(slot), Some(_)) => slot,
            (Some(_), None) => return Err("its account was opened before"),
            (None, Some(_)) => return Err("its account is unknown"),
        };
        self.set_account(slot, &event.account);
        self.take_seq();
        match self.account_at(slot) == event.account {
            true => Ok(()),
            false => Err("its account is not what the ledger comes to"),
        }
    }

    fn check_id_is_free(&self, id: PaymentId) -> Result<(), &'static str> {
        match self.payment_slot(id) {
            None => Ok(()),
            Some(_) => Err("its id is taken"),
        }
    }
}
