//! Post: consumes a resolved payment, checks what depends on balances (families 6 to 10 of the
//! reject reasons), asks the gate, and moves the money.
//!
//! Guarantees that a posting changes both sides by the same amount and can be taken back exactly.

use std::cmp::Reverse;

use crate::{
    Account, AccountState, Amount, Balances, Code, Gate, HoldExpired, Judged, Ledger, LedgerId,
    Operation, Payment, PaymentFlags, RejectReason, RiskDecision, Timestamp, Verdict,
    resolve::{Resolved, Sides},
    state::{AccountRow, NO_SLOT, Stage, StoredPayment},
};

/// A movement of money that passed every check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posting {
    pub(crate) operation: Operation,
    /// Reserve instead of post: an authorization, or a payment under review.
    pub(crate) held: bool,
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    pub(crate) original: u32,
    pub(crate) amount: u128,
    pub(crate) code: Code,
    pub(crate) expires_at: Timestamp,
}

/// What deciding one payment came to, before anything was changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Evaluation {
    Replay(u32),
    Refused { reason: RejectReason, accounts: Option<(u32, u32)>, verdict: Verdict },
    Accepted { posting: Posting, verdict: Verdict },
}

impl Ledger {
    pub(crate) fn evaluate(
        &self,
        payment: &Payment,
        sides: Sides,
        gate: &mut impl Gate,
    ) -> Evaluation {
        match self.resolve(payment, sides) {
            Resolved::Replay(slot) => Evaluation::Replay(slot),
            Resolved::Refused(reason, accounts) => {
                Evaluation::Refused { reason, accounts, verdict: Verdict::default() }
            }
            Resolved::Transfer { debit, credit } => {
                self.evaluate_transfer(payment, debit, credit, gate)
            }
            Resolved::FollowUp { original } => match self.evaluate_follow_up(payment, original) {
                Ok(posting) => Evaluation::Accepted { posting, verdict: Verdict::default() },
                Err((reason, accounts)) => Evaluation::Refused {
                    reason,
                    accounts: Some(accounts),
                    verdict: Verdict::default(),
                },
            },
        }
    }

    fn evaluate_transfer(
        &self,
        payment: &Payment,
        debit: u32,
        credit: u32,
        gate: &mut impl Gate,
    ) -> Evaluation {
        let accounts = Some((debit, credit));
        let refused = |reason, verdict| Evaluation::Refused { reason, accounts, verdict };
        let (payer, payee) = (&self.accounts[debit as usize], &self.accounts[credit as usize]);
        if let Some(reason) = both_open(payer, payee) {
            return refused(reason, Verdict::default());
        }
        let amount = balanced_amount(payment, payer, payee);
        let holds = payment.operation == Operation::Authorize;
        if let Some(reason) = overflow(amount, payer, payee, holds) {
            return refused(reason, Verdict::default());
        }
        let Some(expires_at) = StoredPayment::expiry(payment.timeout_s, self.time) else {
            return refused(RejectReason::OverflowTimeout, Verdict::default());
        };
        let judged = Judged { payment, amount: Amount(amount), at: self.time, payer: debit };
        let verdict = gate.judge(judged);
        if verdict.decision == RiskDecision::Decline {
            return refused(RejectReason::RiskDeclined, verdict);
        }
        if let Some(reason) = funds_reason(payment, amount, payer, payee) {
            return refused(reason, verdict);
        }
        let posting = Posting {
            operation: payment.operation,
            held: holds || verdict.decision == RiskDecision::Review,
            debit,
            credit,
            original: NO_SLOT,
            amount,
            code: payment.code,
            expires_at,
        };
        Evaluation::Accepted { posting, verdict }
    }

    fn evaluate_follow_up(
        &self,
        payment: &Payment,
        original: u32,
    ) -> Result<Posting, (RejectReason, (u32, u32))> {
        let first = self.payments.get(original);
        // A refund goes the other way.
        let (debit, credit) = match payment.operation {
            Operation::Refund => (first.credit, first.debit),
            _ => (first.debit, first.credit),
        };
        let refused = |reason| (reason, (debit, credit));
        let (payer, payee) = (&self.accounts[debit as usize], &self.accounts[credit as usize]);
        if let Some(reason) = original_reason(payment, first, payer, payee) {
            return Err(refused(reason));
        }
        let amount = match payment.amount {
            Amount::ALL => first.left,
            Amount(amount) => amount,
        };
        match payment.operation {
            Operation::Capture => both_open(payer, payee).map_or(Ok(()), Err),
            Operation::Refund => refund_reason(amount, payer, payee).map_or(Ok(()), Err),
            Operation::Void | Operation::Pay | Operation::Authorize => Ok(()),
        }
        .map_err(refused)?;
        Ok(Posting {
            operation: payment.operation,
            held: false,
            debit,
            credit,
            original,
            amount,
            code: first.code,
            expires_at: Timestamp(0),
        })
    }

    /// Moves the money and takes the id. Returns the payment's slot.
    pub(crate) fn post(&mut self, payment: &Payment, posting: &Posting, verdict: Verdict) -> u32 {
        let verdict = self.verdict_place(verdict);
        self.move_money(posting, Direction::Forth);
        if posting.original != NO_SLOT {
            let original = self.payments.get_mut(posting.original);
            original.left -= posting.amount;
            match posting.operation {
                Operation::Capture if original.left == 0 => original.stage = Stage::HoldCaptured,
                Operation::Void => original.stage = Stage::HoldVoided,
                _ => {}
            }
        }
        let (stage, left) = match (posting.operation, posting.held) {
            (_, true) => (Stage::HoldOpen, posting.amount),
            (Operation::Void, _) => (Stage::Released, 0),
            (Operation::Refund, _) => (Stage::Settled, 0),
            _ => (Stage::Settled, posting.amount),
        };
        self.remember(StoredPayment {
            id: payment.id,
            amount: payment.amount,
            applied: posting.amount,
            left,
            seq: self.last_seq,
            expires_at: posting.expires_at,
            context_digest: payment.context_digest,
            debit: posting.debit,
            credit: posting.credit,
            original: posting.original,
            timeout_s: payment.timeout_s,
            code: posting.code,
            operation: posting.operation,
            flags: payment.flags,
            stage,
            verdict,
        })
    }

    /// Takes back the posting that was made last.
    pub(crate) fn unpost(&mut self, slot: u32, posting: &Posting) {
        let stored = self.payments.pop().expect("the posting to take back is there");
        self.payment_index.remove(stored.id.0, slot);
        if posting.original != NO_SLOT {
            let original = self.payments.get_mut(posting.original);
            original.left += posting.amount;
            if matches!(posting.operation, Operation::Capture | Operation::Void) {
                original.stage = Stage::HoldOpen;
            }
        }
        self.move_money(posting, Direction::Back);
    }

    /// Makes the posting final: gives it its place in the sequence, and its hold a time-out.
    pub(crate) fn settle_sequence(&mut self, slot: u32) {
        let seq = self.take_seq();
        let stored = self.payments.get_mut(slot);
        stored.seq = seq;
        if stored.stage == Stage::HoldOpen && stored.expires_at > Timestamp(0) {
            self.expiries.push(Reverse((stored.expires_at, slot)));
        }
    }

    /// Releases what a hold still holds because its time-out passed.
    pub(crate) fn expire(&mut self, slot: u32) -> HoldExpired {
        let hold = self.payments.get_mut(slot);
        let released = std::mem::take(&mut hold.left);
        hold.stage = Stage::HoldExpired;
        let (payment, debit, credit) = (hold.id, hold.debit, hold.credit);
        let posting = Posting {
            operation: Operation::Void,
            held: false,
            debit,
            credit,
            original: slot,
            amount: released,
            code: Code(0),
            expires_at: Timestamp(0),
        };
        self.move_money(&posting, Direction::Forth);
        HoldExpired {
            seq: self.take_seq(),
            payment,
            debit: self.accounts[debit as usize].id,
            credit: self.accounts[credit as usize].id,
            released: Amount(released),
            balances: self.balances_of(debit, credit),
        }
    }

    /// Takes the id of a payment that happened, or of one whose refusal burns it.
    pub(crate) fn remember(&mut self, stored: StoredPayment) -> u32 {
        let id = stored.id.0;
        let slot = self.payments.push(stored);
        let payments = &self.payments;
        self.payment_index.insert(id, slot, |other| payments.get(other).id.0);
        slot
    }

    fn move_money(&mut self, posting: &Posting, direction: Direction) {
        let (debit, credit) = (posting.debit as usize, posting.credit as usize);
        let movement = Movement::of(posting);
        let payer = &mut self.accounts[debit];
        movement.on_debits(&mut payer.balances, direction);
        movement.on_debits(&mut self.totals[payer.totals_slot as usize].sums, direction);
        let payee = &mut self.accounts[credit];
        movement.on_credits(&mut payee.balances, direction);
        movement.on_credits(&mut self.totals[payee.totals_slot as usize].sums, direction);
    }
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Forth,
    Back,
}

/// What a posting adds to the posted counters, and adds to or takes from the pending ones.
#[derive(Clone, Copy, Debug)]
struct Movement {
    posted: u128,
    reserved: u128,
    released: u128,
}

impl Movement {
    fn of(posting: &Posting) -> Self {
        let amount = posting.amount;
        match posting.operation {
            Operation::Pay | Operation::Authorize if posting.held => {
                Self { posted: 0, reserved: amount, released: 0 }
            }
            Operation::Pay | Operation::Authorize | Operation::Refund => {
                Self { posted: amount, reserved: 0, released: 0 }
            }
            Operation::Capture => Self { posted: amount, reserved: 0, released: amount },
            Operation::Void => Self { posted: 0, reserved: 0, released: amount },
        }
    }

    fn on_debits(self, balances: &mut Balances, direction: Direction) {
        self.on(&mut balances.debits_pending, &mut balances.debits_posted, direction);
    }

    fn on_credits(self, balances: &mut Balances, direction: Direction) {
        self.on(&mut balances.credits_pending, &mut balances.credits_posted, direction);
    }

    /// Wraps, because the totals do. An account's counters can't: overflow was checked.
    fn on(self, pending: &mut u128, posted: &mut u128, direction: Direction) {
        match direction {
            Direction::Forth => {
                *pending = pending.wrapping_add(self.reserved).wrapping_sub(self.released);
                *posted = posted.wrapping_add(self.posted);
            }
            Direction::Back => {
                *pending = pending.wrapping_sub(self.reserved).wrapping_add(self.released);
                *posted = posted.wrapping_sub(self.posted);
            }
        }
    }
}

/// Family 6: what is wrong with the payment that this one refers to.
fn original_reason(
    payment: &Payment,
    first: &StoredPayment,
    payer: &AccountRow,
    payee: &AccountRow,
) -> Option<RejectReason> {
    use RejectReason as R;
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
        (payment.debit.0 != 0 && payment.debit != payer.id, R::OriginalDebitAccountDiffers),
        (payment.credit.0 != 0 && payment.credit != payee.id, R::OriginalCreditAccountDiffers),
        (payment.ledger != LedgerId(0) && payment.ledger != payer.ledger, R::OriginalLedgerDiffers),
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

/// Family 7 where both sides must be open.
fn both_open(payer: &AccountRow, payee: &AccountRow) -> Option<RejectReason> {
    use RejectReason as R;
    match (payer.state, payee.state) {
        (AccountState::Open, AccountState::Open) => None,
        (AccountState::Frozen, _) => Some(R::DebitAccountFrozen),
        (_, AccountState::Frozen) => Some(R::CreditAccountFrozen),
        (AccountState::Closed, _) => Some(R::DebitAccountClosed),
        (_, AccountState::Closed) => Some(R::CreditAccountClosed),
    }
}

/// Families 7, 8 and 10 of a refund. Money may come back to a frozen account, which keeps it where
/// its owner can't move it; it may not leave one.
fn refund_reason(amount: u128, payer: &AccountRow, payee: &AccountRow) -> Option<RejectReason> {
    use RejectReason as R;
    match (payer.state, payee.state) {
        (AccountState::Frozen, _) => return Some(R::DebitAccountFrozen),
        (AccountState::Closed, _) => return Some(R::DebitAccountClosed),
        (_, AccountState::Closed) => return Some(R::CreditAccountClosed),
        (AccountState::Open, AccountState::Open | AccountState::Frozen) => {}
    }
    overflow(amount, payer, payee, false).or_else(|| limit_reason(amount, payer, payee))
}

/// Family 8: the counters that the amount would not fit into.
fn overflow(
    amount: u128,
    payer: &AccountRow,
    payee: &AccountRow,
    holds: bool,
) -> Option<RejectReason> {
    use RejectReason as R;
    let (debits, credits) = (&payer.balances, &payee.balances);
    let too_much = |counter: u128| counter.checked_add(amount).is_none();
    [
        (holds && too_much(debits.debits_pending), R::OverflowDebitsPending),
        (holds && too_much(credits.credits_pending), R::OverflowCreditsPending),
        (!holds && too_much(debits.debits_posted), R::OverflowDebitsPosted),
        (!holds && too_much(credits.credits_posted), R::OverflowCreditsPosted),
        (too_much(debits.debits_pending + debits.debits_posted), R::OverflowDebits),
        (too_much(credits.credits_pending + credits.credits_posted), R::OverflowCredits),
    ]
    .into_iter()
    .find_map(|(applies, reason)| applies.then_some(reason))
}

/// What a balancing payment moves: as much as is there, up to its amount.
fn balanced_amount(payment: &Payment, payer: &AccountRow, payee: &AccountRow) -> u128 {
    let mut amount = payment.amount.0;
    if payment.flags.has(PaymentFlags::BALANCING_DEBIT) {
        amount = amount.min(payer.available_to_debit());
    }
    if payment.flags.has(PaymentFlags::BALANCING_CREDIT) {
        amount = amount.min(payee.available_to_credit());
    }
    amount
}

/// Family 10: the side that the money is not there for.
fn funds_reason(
    payment: &Payment,
    amount: u128,
    payer: &AccountRow,
    payee: &AccountRow,
) -> Option<RejectReason> {
    if amount == 0 {
        let debit_side =
            payment.flags.has(PaymentFlags::BALANCING_DEBIT) && payer.available_to_debit() == 0;
        return Some(match debit_side {
            true => RejectReason::InsufficientFunds,
            false => RejectReason::CreditsExceedDebits,
        });
    }
    limit_reason(amount, payer, payee)
}

fn limit_reason(amount: u128, payer: &AccountRow, payee: &AccountRow) -> Option<RejectReason> {
    use crate::AccountFlags as F;
    let over_debit =
        payer.flags.has(F::DEBITS_MUST_NOT_EXCEED_CREDITS) && amount > payer.available_to_debit();
    let over_credit =
        payee.flags.has(F::CREDITS_MUST_NOT_EXCEED_DEBITS) && amount > payee.available_to_credit();
    match (over_debit, over_credit) {
        (true, _) => Some(RejectReason::InsufficientFunds),
        (_, true) => Some(RejectReason::CreditsExceedDebits),
        _ => None,
    }
}

impl AccountRow {
    /// Posted credits and the credit limit, less all debits: pending debits count as spent,
    /// pending credits are not yet funds.
    fn available_to_debit(&self) -> u128 {
        let balances = &self.balances;
        balances
            .credits_posted
            .saturating_add(self.credit_limit)
            .saturating_sub(balances.debits_pending + balances.debits_posted)
    }

    fn available_to_credit(&self) -> u128 {
        let balances = &self.balances;
        balances
            .debits_posted
            .saturating_add(self.credit_limit)
            .saturating_sub(balances.credits_pending + balances.credits_posted)
    }
}

impl Account {
    /// Whether nothing is pending and debits equal credits, so that it can be closed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Balances { debits_pending, debits_posted, credits_pending, credits_posted } =
            self.balances;
        debits_pending == 0 && credits_pending == 0 && debits_posted == credits_posted
    }
}
