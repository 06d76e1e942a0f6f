//! Decisions: consumes what posting did with a payment, or why it was refused, produces what is
//! recorded and answered. Guarantees that a refused payment's id is taken where its reason says so.

use super::Step;
use crate::{
    AccountId, Balances, EventSeq, LedgerId, Operation, Outcome, Payment, PaymentEvent, PaymentId,
    RejectReason, Stage, StoredPayment, Timestamp, Verdict, books::Books, resolve::Request,
    stored::NO_ACCOUNT,
};

/// What became of one payment of a batch.
#[allow(clippy::large_enum_variant)] // nearly all are `New`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Decided now: an event to be journaled.
    New(PaymentEvent),
    /// The id was taken: its first outcome, and nothing happened.
    Replay {
        /// The payment.
        id: PaymentId,
        /// Position of its event.
        seq: EventSeq,
        /// Its first outcome.
        outcome: Outcome,
        /// What risk said.
        verdict: Verdict,
    },
}

/// Whether a refused payment has its row already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Next,
    Given,
}

impl Books {
    #[inline(always)]
    pub(super) fn accept(&mut self, payment: &Payment, step: &Step) -> Decision {
        let posting = &step.posting;
        let seq = self.settle_sequence(step.place, posting);
        self.payments_taken += 1;
        let payment = match payment.operation.needs_original() {
            false => *payment,
            true => Payment {
                debit: self.accounts.id(posting.debit),
                credit: self.accounts.id(posting.credit),
                ledger: self.accounts.ledger(posting.debit),
                code: posting.code,
                ..*payment
            },
        };
        Decision::New(PaymentEvent {
            seq,
            payment,
            outcome: posting.outcome(),
            verdict: step.verdict,
            balances: Some(step.balances),
        })
    }

    pub(super) fn refuse(
        &mut self,
        request: &Request<'_>,
        position: usize,
        slot: Slot,
        reason: RejectReason,
        accounts: Option<(u32, u32)>,
        verdict: Verdict,
    ) -> Decision {
        let seq = self.take_seq();
        let payment = &request.payments[position];
        let payment = self.with_accounts_filled_in(payment, accounts);
        let sides = self.sides_of(request, position, &payment, accounts);
        match (reason.burns_id(), slot) {
            (true, _) => {
                self.burn(&payment, sides, reason, verdict, request.first_row(position));
            }
            (false, Slot::Next) => self.recent.push_vacant(),
            (false, Slot::Given) => {}
        }
        Decision::New(PaymentEvent {
            seq,
            payment,
            outcome: Outcome::rejected(reason),
            verdict,
            balances: self.balances_where_known(sides),
        })
    }

    /// The accounts of the payment that this one refers to, as it would take them: what a payment
    /// that is refused before its original counts leaves to it. An account that it names, if only
    /// unreadably, is not left to it.
    #[cold]
    pub(crate) fn original_sides(
        &self,
        request: &Request<'_>,
        position: usize,
    ) -> Option<(u32, u32)> {
        use RejectReason as R;
        let payment = &request.payments[position];
        let unreadable = [R::DebitAccountIdMalformed, R::CreditAccountIdMalformed];
        let names_some = payment.defect.is_some_and(|defect| unreadable.contains(&defect));
        let follow_up = payment.operation.needs_original();
        if !follow_up || payment.original == PaymentId::ZERO || names_some {
            return None;
        }
        let original = self.original_as_found(request, position)?;
        // A refund goes the other way.
        Some(match payment.operation {
            Operation::Refund => (original.credit, original.debit),
            _ => (original.debit, original.credit),
        })
    }

    /// Balances of both sides, where both are accounts.
    fn balances_where_known(&self, (debit, credit): (u32, u32)) -> Option<[Balances; 2]> {
        let known = debit != NO_ACCOUNT && credit != NO_ACCOUNT;
        known.then(|| self.balances_of(debit, credit))
    }

    /// The accounts that a refused payment names, now that it is filled in.
    fn sides_of(
        &self,
        request: &Request<'_>,
        position: usize,
        filled_in: &Payment,
        accounts: Option<(u32, u32)>,
    ) -> (u32, u32) {
        let payment = &request.payments[position];
        let (of_debit, of_credit) = accounts.unwrap_or((NO_ACCOUNT, NO_ACCOUNT));
        let side =
            |given: AccountId, filled_in: AccountId, found, of_original| match (given, filled_in) {
                (AccountId::ZERO, AccountId::ZERO) => NO_ACCOUNT,
                (AccountId::ZERO, _) => of_original,
                _ => self.accounts.confirmed(found, given).unwrap_or(NO_ACCOUNT),
            };
        let [debit, credit] = request.findings.of(position).accounts();
        (
            side(payment.debit, filled_in.debit, debit, of_debit),
            side(payment.credit, filled_in.credit, credit, of_credit),
        )
    }

    /// What a refused payment left to its original, so that readers know whose money it was. Not
    /// where that would name one account twice: deciding it again would find that at fault.
    fn with_accounts_filled_in(&self, payment: &Payment, accounts: Option<(u32, u32)>) -> Payment {
        let mut filled_in = *payment;
        if let Some((debit, credit)) = accounts.filter(|_| payment.operation.needs_original()) {
            let or = |given: AccountId, of_original: AccountId| match given {
                AccountId::ZERO => of_original,
                given => given,
            };
            filled_in.debit = or(payment.debit, self.accounts.id(debit));
            filled_in.credit = or(payment.credit, self.accounts.id(credit));
            if filled_in.debit == filled_in.credit {
                (filled_in.debit, filled_in.credit) = (payment.debit, payment.credit);
            }
            if payment.ledger == LedgerId(0) {
                filled_in.ledger = self.accounts.ledger(debit);
            }
        }
        filled_in
    }

    /// Takes the id of a refused payment, so that a retry gets the same refusal.
    pub(crate) fn burn(
        &mut self,
        payment: &Payment,
        (debit, credit): (u32, u32),
        reason: RejectReason,
        verdict: Verdict,
        first: Option<u32>,
    ) {
        let verdict = self.verdict_place(verdict);
        self.payments_taken += 1;
        let stored = StoredPayment {
            id: payment.id,
            amount: payment.amount,
            applied: 0,
            left: 0,
            original: PaymentId::ZERO,
            seq: self.last_seq,
            expires_at: Timestamp(0),
            context_digest: payment.context_digest,
            debit,
            credit,
            timeout_s: payment.timeout_s,
            code: payment.code,
            verdict,
            operation: payment.operation,
            flags: payment.flags,
            stage: Stage::Refused(reason),
        };
        self.recent.push(stored, first);
    }

    pub(super) fn replay(&self, first: &StoredPayment) -> Decision {
        Decision::Replay {
            id: first.id,
            seq: first.seq,
            outcome: first.outcome(),
            verdict: self.verdict(first.verdict),
        }
    }
}
