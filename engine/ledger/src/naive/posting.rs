//! What becomes of the state when nothing speaks against a payment, and of a hold that ends.

use super::{Known, State};
use crate::{
    AccountId, Amount, EventSeq, NO_ACCOUNT, Operation, Outcome, Payment, PaymentId, RejectReason,
    Status, Verdict,
};

impl State {
    pub(super) fn post(&mut self, payment: &Payment, amount: u128, verdict: Verdict) -> Outcome {
        let (debit, credit) = self.sides(payment);
        let held = verdict.decision.holds() || payment.operation == Operation::Authorize;
        let mut filled_in = Payment { debit, credit, ..*payment };
        let status = match payment.operation {
            Operation::Void => Status::Voided,
            _ if held => Status::Held,
            _ => Status::Settled,
        };
        if let Some(first) = self.known.get(&payment.original) {
            filled_in.ledger = first.payment.ledger;
            filled_in.code = first.payment.code;
        }
        match payment.operation {
            Operation::Void => self.release(payment.original, RejectReason::HoldVoided),
            Operation::Capture => {
                self.add(debit, credit, 0, amount.wrapping_neg());
                self.add(debit, credit, amount, 0);
            }
            _ if held => self.add(debit, credit, 0, amount),
            _ => self.add(debit, credit, amount, 0),
        }
        if let Some(first) = self.known.get_mut(&payment.original)
            && payment.operation != Operation::Void
        {
            first.left -= amount;
            if payment.operation == Operation::Capture && first.left == 0 {
                first.ended = Some(Some(RejectReason::HoldCaptured));
            }
        }
        let left = match payment.operation {
            Operation::Void | Operation::Refund => 0,
            _ => amount,
        };
        let outcome = Outcome { status, amount: Amount(amount) };
        self.remember(&filled_in, outcome, held.then_some(None), left);
        let known = self.known.get_mut(&payment.id).expect("was remembered just now");
        known.verdict = verdict;
        if verdict.decision.holds() && verdict.hold_s > 0 {
            let limit = self.now.checked_add_s(verdict.hold_s);
            known.expires_at = known.expires_at.into_iter().chain(limit).min();
        }
        outcome
    }

    pub(super) fn release(&mut self, hold: PaymentId, how: RejectReason) {
        let Some(known) = self.known.get_mut(&hold) else { return };
        known.ended = Some(Some(how));
        let released = std::mem::take(&mut known.left);
        let (debit, credit) = (known.payment.debit, known.payment.credit);
        self.add(debit, credit, 0, released.wrapping_neg());
    }

    fn add(&mut self, debit: AccountId, credit: AccountId, posted: u128, pending: u128) {
        if let Some(payer) = self.accounts.get_mut(&debit) {
            payer.balances.debits_posted += posted;
            payer.balances.debits_pending = payer.balances.debits_pending.wrapping_add(pending);
        }
        if let Some(payee) = self.accounts.get_mut(&credit) {
            payee.balances.credits_posted += posted;
            payee.balances.credits_pending = payee.balances.credits_pending.wrapping_add(pending);
        }
    }

    pub(super) fn remember(
        &mut self,
        payment: &Payment,
        outcome: Outcome,
        ended: Option<Option<RejectReason>>,
        left: u128,
    ) {
        let expires_at = match payment.timeout_s {
            0 => None,
            seconds => self.now.checked_add_s(seconds),
        };
        let sides = [payment.debit, payment.credit].map(|id| self.number_of(id));
        let order = self.known.len();
        let (seq, verdict) = (EventSeq(0), Verdict::default());
        let payment = *payment;
        let known = Known { payment, sides, outcome, ended, left, verdict, expires_at, order, seq };
        self.known.insert(payment.id, known);
    }

    fn number_of(&self, id: AccountId) -> u32 {
        let place = self.opened.iter().position(|opened| *opened == id);
        place.map_or(NO_ACCOUNT, |place| place as u32)
    }
}
