//! Apply: consumes recorded events in sequence and brings the ledger to where it was, without
//! deciding anything again.
//!
//! Guarantees that state after replay equals state before the stop, or an error that names the
//! event at which the record and the ledger part.

use crate::{
    AccountEvent, AccountId, Event, EventSeq, Gate, HistoryError, HoldExpired, Judged, Ledger,
    Payment, PaymentEvent, PaymentId, RiskDecision, Stage, Status, StoredPayment, Timestamp,
    decide::is_observed, post::Posting, recent::Place, resolve, stored::NO_ACCOUNT,
};

/// A recorded event that does not follow from the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} does not fit the events before it: {what}")]
pub struct Divergence {
    /// The event.
    pub seq: EventSeq,
    /// What does not fit.
    pub what: String,
}

/// Why an event does not fit.
struct Misfit(String);

impl From<&'static str> for Misfit {
    fn from(what: &'static str) -> Self {
        Self(what.to_owned())
    }
}

impl From<HistoryError> for Misfit {
    fn from(error: HistoryError) -> Self {
        Self(error.to_string())
    }
}

/// The accounts that an event is about. Of holds that expire, none: they are few.
fn accounts_of(event: &Event) -> impl Iterator<Item = AccountId> {
    let (first, second) = match event {
        Event::Payment(event) => (Some(event.payment.debit), Some(event.payment.credit)),
        Event::Account(event) => (Some(event.account.spec.id), None),
        Event::Act(_) | Event::HoldExpired(_) => (None, None),
    };
    first.into_iter().chain(second)
}

impl Ledger {
    /// Begins a recorded batch: sets its time. Holds that expired in it follow as events.
    pub fn begin_recorded_batch(&mut self, time: Timestamp) {
        self.books.time = self.books.time.max(time);
    }

    /// Has memory fetched that says where the accounts of a recorded event are. Waits for nothing: for
    /// [`Self::prefetch_accounts`], some events later.
    pub fn prefetch_index(&self, event: &Event) {
        for id in accounts_of(event) {
            self.shards.prefetch_account(id);
        }
    }

    /// Has the accounts of a recorded event fetched. Waits for nothing but what says where they are: it
    /// is applied some events later.
    pub fn prefetch_accounts(&self, event: &Event) {
        for slot in accounts_of(event).filter_map(|id| self.shards.account_candidate(id)) {
            self.books.accounts.prefetch(slot);
        }
    }

    /// Applies one recorded event that has nothing beside it and is no member of a linked group, or
    /// a gate that does not look at either.
    ///
    /// # Errors
    /// As [`Self::apply_recorded`].
    pub fn apply(&mut self, event: &Event, gate: &mut impl Gate) -> Result<(), Divergence> {
        self.apply_recorded(event, &[], false, gate)
    }

    /// Applies one recorded event with what lies beside it: a payment's context, or an act.
    /// `continues_group` tells that it is of the linked group of the event before it.
    ///
    /// # Errors
    /// When the event does not follow from those before it. The ledger must not be used then.
    pub fn apply_recorded(
        &mut self,
        event: &Event,
        beside: &[u8],
        continues_group: bool,
        gate: &mut impl Gate,
    ) -> Result<(), Divergence> {
        let seq = event.seq();
        let diverged = |Misfit(what)| Divergence { seq, what };
        if seq != self.books.last_seq.next() {
            return Err(diverged("its sequence does not continue theirs".into()));
        }
        if gate.looks_ahead()
            && let Event::Payment(event) = event
        {
            self.attempted(&event.payment, beside, continues_group, gate);
        }
        match event {
            Event::Act(_) => {
                self.books.take_seq();
                gate.acted(beside, self.books.time).map_err(|error| Misfit(error.to_string()))
            }
            Event::Payment(event) => self.apply_payment(event, gate),
            Event::HoldExpired(event) => self.apply_expiry(event),
            Event::Account(event) => self.apply_account(event),
        }
        .map_err(diverged)?;
        debug_assert_eq!(self.books.last_seq, seq);
        Ok(())
    }

    /// Tells the gate of a payment that it looked at before it was decided. An id that a group names
    /// twice was one attempt.
    fn attempted(
        &mut self,
        payment: &Payment,
        context: &[u8],
        continues_group: bool,
        gate: &mut impl Gate,
    ) {
        if !continues_group {
            self.group_ids.clear();
        }
        if resolve::is_well_formed(payment)
            && self.group_ids.insert(payment.id)
            && is_observed(payment.operation)
        {
            gate.attempted(payment, context, self.books.time);
        }
    }

    fn apply_payment(&mut self, event: &PaymentEvent, gate: &mut impl Gate) -> Result<(), Misfit> {
        let payment = &event.payment;
        if let Status::Rejected(reason) = event.outcome.status {
            self.books.take_seq();
            if reason.burns_id() {
                let first = self.take_id(payment.id)?;
                let slot = |id: AccountId| self.account_slot(id).unwrap_or(NO_ACCOUNT);
                let sides = (slot(payment.debit), slot(payment.credit));
                self.books.burn(payment, sides, reason, event.verdict, first);
            }
            return Ok(());
        }
        let posting = self.recorded_posting(event)?;
        let first = self.take_id(payment.id)?;
        let books = &mut self.books;
        let (place, balances) = books.post(payment, &posting, event.verdict, first);
        books.settle_sequence(place, &posting);
        books.payments_taken += 1;
        if is_observed(payment.operation) && event.verdict.decision != RiskDecision::NotJudged {
            gate.observe(Judged {
                payment,
                amount: event.outcome.amount,
                at: books.time,
                position: 0,
                payer: posting.debit,
            });
        }
        match event.balances == Some(balances) {
            true => Ok(()),
            false => Err("its balances are not those that the ledger comes to".into()),
        }
    }

    fn recorded_posting(&mut self, event: &PaymentEvent) -> Result<Posting, Misfit> {
        let payment = &event.payment;
        let debit = self.account_slot(payment.debit).ok_or("its debit account is unknown")?;
        let credit = self.account_slot(payment.credit).ok_or("its credit account is unknown")?;
        let amount = event.outcome.amount.0;
        let original = match payment.operation.needs_original() {
            false => None,
            true => {
                let place = self.place(payment.original)?.ok_or("its original is unknown")?;
                if self.books.recent.get(place).left < amount {
                    return Err("it takes more than its original has left".into());
                }
                Some((place, payment.original))
            }
        };
        let now = self.books.time;
        let asked_expiry = StoredPayment::expiry(payment.timeout_s, now);
        let asked_expiry = asked_expiry.ok_or("its time-out does not fit")?;
        Ok(Posting {
            operation: payment.operation,
            held: event.outcome.status == Status::Held,
            debit,
            credit,
            original,
            amount,
            code: payment.code,
            expires_at: StoredPayment::expiry_under(event.verdict, asked_expiry, now),
        })
    }

    fn apply_expiry(&mut self, event: &HoldExpired) -> Result<(), Misfit> {
        let place = self.place(event.payment)?.ok_or("its hold is unknown")?;
        if self.books.recent.get(place).stage != Stage::HoldOpen {
            return Err("its hold is not open".into());
        }
        match self.books.expire(place) == *event {
            true => Ok(()),
            false => Err("the hold that expires is not as recorded".into()),
        }
    }

    fn apply_account(&mut self, event: &AccountEvent) -> Result<(), Misfit> {
        let spec = &event.account.spec;
        let slot = match (self.account_slot(spec.id), event.change) {
            (None, None) => self.open_account(spec),
            (Some(slot), Some(_)) => slot,
            (Some(_), None) => return Err("its account was opened before".into()),
            (None, Some(_)) => return Err("its account is unknown".into()),
        };
        self.books.accounts.set_account(slot, &event.account);
        self.books.take_seq();
        match self.books.accounts.account(slot) == event.account {
            true => Ok(()),
            false => Err("its account is not what the ledger comes to".into()),
        }
    }

    /// Gives an id, which must be free, to the next row. Returns the row that met it first, where
    /// that did not take it.
    fn take_id(&mut self, id: PaymentId) -> Result<Option<u32>, Misfit> {
        if self.shards.past().find(id)?.is_some() {
            return Err("its id is taken".into());
        }
        let first = self.shards.meet(id, self.books.recent.len());
        match first.and_then(|first| self.books.recent.generation.taker(first)) {
            None => Ok(first),
            Some(_) => Err("its id is taken".into()),
        }
    }

    /// Where a payment is kept that is about to change.
    pub(crate) fn place(&mut self, id: PaymentId) -> Result<Option<Place>, HistoryError> {
        if let Some(first) = self.shards.row(id) {
            return Ok(self.books.recent.generation.taker(first).map(Place::Row));
        }
        let old = self.shards.past().find(id)?;
        Ok(old.map(|old| self.books.place_of_old(&old)))
    }
}
