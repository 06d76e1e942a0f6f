//! Post: consumes a resolved payment, checks what depends on balances (families 6 to 10 of the
//! reject reasons), asks the gate, and moves the money.
//!
//! Guarantees that a posting changes both sides by the same amount and can be taken back exactly.

use crate::{
    Amount, Balances, Code, EventSeq, Gate, HoldExpired, Judged, LedgerId, Operation, Outcome,
    Payment, PaymentFlags, PaymentId, RejectReason, RiskDecision, Stage, Status, StoredPayment,
    Timestamp, Verdict,
    books::{Books, Expiry},
    funds::{balanced_amount, both_open, funds_reason, overflow, refund_reason},
    movement::{Direction, Movement},
    recent::Place,
    resolve::{Request, Resolved},
};

/// A movement of money that passed every check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posting {
    pub(crate) operation: Operation,
    /// Reserve instead of post: an authorization, or a payment under review.
    pub(crate) held: bool,
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    /// The payment that it follows up: where it is kept, and its id.
    pub(crate) original: Option<(Place, PaymentId)>,
    pub(crate) amount: u128,
    pub(crate) code: Code,
    pub(crate) expires_at: Timestamp,
}

/// What deciding one payment came to, before anything was changed.
///
/// What differs is small, and a verdict is none of it: an enum of large parts that overlap is copied
/// in pieces, whose reads wait for the writes before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluation {
    /// What risk said, if it was asked.
    pub(crate) verdict: Verdict,
    pub(crate) posting: Result<Posting, Stopped>,
}

/// Why nothing is posted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stopped {
    /// The id is known: see [`Books::replay_of`].
    Replay,
    /// The accounts are named where both are known.
    Refused(RejectReason, Option<(u32, u32)>),
}

impl Posting {
    /// What the posting makes of its payment, and how much of it is left to capture or to refund.
    #[inline]
    fn stage(&self) -> (Stage, u128) {
        match (self.operation, self.held) {
            (_, true) => (Stage::HoldOpen, self.amount),
            (Operation::Void, _) => (Stage::Released, 0),
            (Operation::Refund, _) => (Stage::Settled, 0),
            _ => (Stage::Settled, self.amount),
        }
    }

    /// What the payment's sender is told.
    #[inline]
    pub(crate) fn outcome(&self) -> Outcome {
        let status = match (self.operation, self.held) {
            (_, true) => Status::Held,
            (Operation::Void, _) => Status::Voided,
            _ => Status::Settled,
        };
        Outcome { status, amount: Amount(self.amount) }
    }
}

impl Books {
    #[inline(always)]
    pub(crate) fn evaluate(
        &mut self,
        request: &Request<'_>,
        position: usize,
        gate: &mut impl Gate,
    ) -> Evaluation {
        let payment = &request.payments[position];
        let not_judged = |posting| Evaluation { verdict: Verdict::default(), posting };
        match self.resolve(request, position) {
            Resolved::Transfer { debit, credit } => {
                self.evaluate_transfer(payment, position, debit, credit, gate)
            }
            Resolved::FollowUp { original } => {
                not_judged(self.evaluate_follow_up(payment, original))
            }
            Resolved::Replay => not_judged(Err(Stopped::Replay)),
            Resolved::Refused(reason, accounts) => {
                let accounts = accounts.or_else(|| self.original_sides(request, position));
                not_judged(Err(Stopped::Refused(reason, accounts)))
            }
        }
    }

    #[inline(always)]
    fn evaluate_transfer(
        &self,
        payment: &Payment,
        position: usize,
        debit: u32,
        credit: u32,
        gate: &mut impl Gate,
    ) -> Evaluation {
        let accounts = Some((debit, credit));
        let refused = |reason, verdict| Evaluation {
            verdict,
            posting: Err(Stopped::Refused(reason, accounts)),
        };
        let (payer, payee) = (&self.accounts.view(debit), &self.accounts.view(credit));
        if let Some(reason) = both_open(payer, payee) {
            return refused(reason, Verdict::default());
        }
        let amount = balanced_amount(payment, payer, payee);
        let holds = payment.operation == Operation::Authorize;
        if let Some(reason) = overflow(amount, payer, payee, holds) {
            return refused(reason, Verdict::default());
        }
        let Some(asked_expiry) = StoredPayment::expiry(payment.timeout_s, self.time) else {
            return refused(RejectReason::OverflowTimeout, Verdict::default());
        };
        let judged = Judged {
            payment,
            amount: Amount(amount),
            at: self.time,
            position: position as u32,
            payer: debit,
        };
        let verdict = gate.judge(judged);
        if verdict.decision == RiskDecision::Decline {
            return refused(RejectReason::RiskDeclined, verdict);
        }
        if let Some(reason) = funds_reason(payment, amount, payer, payee) {
            return refused(reason, verdict);
        }
        let posting = Posting {
            operation: payment.operation,
            held: holds || verdict.decision.holds(),
            debit,
            credit,
            original: None,
            amount,
            code: payment.code,
            expires_at: StoredPayment::expiry_under(verdict, asked_expiry, self.time),
        };
        Evaluation { verdict, posting: Ok(posting) }
    }

    #[inline(never)]
    fn evaluate_follow_up(&self, payment: &Payment, original: Place) -> Result<Posting, Stopped> {
        let first = self.recent.get(original);
        // A refund goes the other way.
        let (debit, credit) = match payment.operation {
            Operation::Refund => (first.credit, first.debit),
            _ => (first.debit, first.credit),
        };
        let refused = |reason| Stopped::Refused(reason, Some((debit, credit)));
        let (payer, payee) = (&self.accounts.view(debit), &self.accounts.view(credit));
        if let Some(reason) = self.original_reason(payment, first, debit, credit) {
            return Err(refused(reason));
        }
        let amount = match payment.amount {
            Amount::ALL => first.left,
            Amount(amount) => amount,
        };
        match payment.operation {
            Operation::Capture => both_open(payer, payee)
                .or_else(|| self.review_reason(payment, first))
                .map_or(Ok(()), Err),
            Operation::Refund => refund_reason(amount, payer, payee).map_or(Ok(()), Err),
            Operation::Void | Operation::Pay | Operation::Authorize => Ok(()),
        }
        .map_err(refused)?;
        Ok(Posting {
            operation: payment.operation,
            held: false,
            debit,
            credit,
            original: Some((original, first.id)),
            amount,
            code: first.code,
            expires_at: Timestamp(0),
        })
    }

    /// Family 9: only who reviews a payment lets it through. Anybody may give the money back.
    fn review_reason(&self, payment: &Payment, first: &StoredPayment) -> Option<RejectReason> {
        let in_review = self.verdict(first.verdict).decision == RiskDecision::Review;
        let resolves = payment.flags.has(PaymentFlags::RESOLVES_REVIEW);
        (in_review && !resolves).then_some(RejectReason::RiskReviewOpen)
    }

    /// Moves the money and takes the id. Returns the payment's row, and the balances of both sides
    /// after it. `first` is the row that met the id first, where that was another one.
    #[inline(always)]
    pub(crate) fn post(
        &mut self,
        payment: &Payment,
        posting: &Posting,
        verdict: Verdict,
        first: Option<u32>,
    ) -> (Place, [Balances; 2]) {
        let verdict = self.verdict_place(verdict);
        let balances = self.move_money(posting, Direction::Forth);
        if let Some((original, _)) = posting.original {
            let original = self.recent.get_mut(original);
            original.left -= posting.amount;
            match posting.operation {
                Operation::Capture if original.left == 0 => original.stage = Stage::HoldCaptured,
                Operation::Void => original.stage = Stage::HoldVoided,
                _ => {}
            }
        }
        let (stage, left) = posting.stage();
        let stored = StoredPayment {
            id: payment.id,
            amount: payment.amount,
            applied: posting.amount,
            left,
            original: posting.original.map_or(PaymentId::ZERO, |(_, id)| id),
            seq: EventSeq(0),
            expires_at: posting.expires_at,
            context_digest: payment.context_digest,
            debit: posting.debit,
            credit: posting.credit,
            timeout_s: payment.timeout_s,
            code: posting.code,
            verdict,
            operation: posting.operation,
            flags: payment.flags,
            stage,
        };
        (self.recent.push(stored, first), balances)
    }

    /// Takes back a posting. All that were made after it have been taken back already.
    pub(crate) fn unpost(&mut self, place: Place, posting: &Posting, first: Option<u32>) {
        if let Place::Row(row) = place {
            self.recent.vacate(row, first);
        }
        if let Some((original, _)) = posting.original {
            let original = self.recent.get_mut(original);
            original.left += posting.amount;
            if matches!(posting.operation, Operation::Capture | Operation::Void) {
                original.stage = Stage::HoldOpen;
            }
        }
        self.move_money(posting, Direction::Back);
    }

    /// Makes the posting final: gives it its place in the sequence, and its hold a time-out.
    #[inline(always)]
    pub(crate) fn settle_sequence(&mut self, place: Place, posting: &Posting) -> EventSeq {
        let seq = self.take_seq();
        let stored = self.recent.get_mut(place);
        stored.seq = seq;
        // A later member of its group may have ended it.
        if posting.held && stored.stage == Stage::HoldOpen {
            self.expiries.extend(Expiry::of(stored));
        }
        if let (Operation::Capture | Operation::Void, Some((hold, _))) =
            (posting.operation, posting.original)
        {
            self.settle_hold(hold);
        }
        seq
    }

    /// A hold that has ended has no time-out any more, and is carried no longer.
    fn settle_hold(&mut self, place: Place) {
        let hold = match place {
            // An earlier member of the same group may have ended it, and released it since.
            Place::Carried(slot) => self.recent.carried_at(slot),
            Place::Row(_) | Place::Newer(_) => Some(self.recent.get(place)),
        };
        let Some(ended) = hold.filter(|hold| hold.stage != Stage::HoldOpen) else { return };
        if let Some(expiry) = Expiry::of(ended) {
            self.expiries.remove(&expiry);
        }
        if let Place::Carried(slot) = place {
            self.recent.release_carried(slot);
        }
    }

    /// Releases what a hold still holds because its time-out passed.
    pub(crate) fn expire(&mut self, place: Place) -> HoldExpired {
        let hold = self.recent.get_mut(place);
        if let Some(expiry) = Expiry::of(hold) {
            self.expiries.remove(&expiry);
        }
        let released = std::mem::take(&mut hold.left);
        hold.stage = Stage::HoldExpired;
        let (payment, debit, credit) = (hold.id, hold.debit, hold.credit);
        let posting = Posting {
            operation: Operation::Void,
            held: false,
            debit,
            credit,
            original: None,
            amount: released,
            code: Code(0),
            expires_at: Timestamp(0),
        };
        let balances = self.move_money(&posting, Direction::Forth);
        if let Place::Carried(slot) = place {
            self.recent.release_carried(slot);
        }
        HoldExpired {
            seq: self.take_seq(),
            payment,
            debit: self.accounts.id(debit),
            credit: self.accounts.id(credit),
            released: Amount(released),
            balances,
        }
    }

    /// Returns the balances of both sides after it.
    #[inline(always)]
    fn move_money(&mut self, posting: &Posting, direction: Direction) -> [Balances; 2] {
        let movement = Movement::of(posting);
        let (debit, credit) = (posting.debit, posting.credit);
        [
            self.accounts.change(debit, |balances| movement.on_debits(balances, direction)),
            self.accounts.change(credit, |balances| movement.on_credits(balances, direction)),
        ]
    }

    /// Family 6: what is wrong with the payment that this one refers to.
    fn original_reason(
        &self,
        payment: &Payment,
        first: &StoredPayment,
        debit: u32,
        credit: u32,
    ) -> Option<RejectReason> {
        use RejectReason as R;
        let [payer, payee] = [debit, credit].map(|slot| self.accounts.id(slot));
        let ledger = self.accounts.ledger(debit);
        let refund = payment.operation == Operation::Refund;
        let was_hold = matches!(
            first.stage,
            Stage::HoldOpen | Stage::HoldCaptured | Stage::HoldVoided | Stage::HoldExpired
        );
        let refundable = first.stage == Stage::Settled && first.operation != Operation::Refund;
        let asked = match payment.amount {
            Amount::ALL => 0,
            Amount(amount) => amount,
        };
        [
            (!refund && !was_hold, R::OriginalNotAHold),
            (refund && !refundable, R::OriginalNotSettled),
            (payment.debit.0 != 0 && payment.debit != payer, R::OriginalDebitAccountDiffers),
            (payment.credit.0 != 0 && payment.credit != payee, R::OriginalCreditAccountDiffers),
            (payment.ledger != LedgerId(0) && payment.ledger != ledger, R::OriginalLedgerDiffers),
            (payment.code != Code(0) && payment.code != first.code, R::OriginalCodeDiffers),
            (asked > first.applied, R::ExceedsOriginalAmount),
            (first.stage == Stage::HoldCaptured, R::HoldCaptured),
            (first.stage == Stage::HoldVoided, R::HoldVoided),
            (first.stage == Stage::HoldExpired, R::HoldExpired),
            (refund && first.left == 0, R::AlreadyRefunded),
            (asked > first.left, R::ExceedsRemainingAmount),
        ]
        .into_iter()
        .find_map(|(applies, reason)| applies.then_some(reason))
    }
}
