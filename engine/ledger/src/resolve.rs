//! Resolve: consumes one payment, finds its id, its accounts and its original, and checks all that
//! needs no balance (families 2 to 5 of the reject reasons).
//!
//! Guarantees that nothing is changed, and that what comes out ready names slots that exist.

use crate::{
    AccountId, Amount, LedgerId, Operation, Payment, PaymentId, RejectReason, Timestamp,
    payment::PaymentFlags,
    state::{Ledger, NO_SLOT, Stage, StoredPayment},
};

/// A payment with its look-ups done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resolved {
    /// The id is known, with this content or burned: the first outcome holds.
    Replay(u32),
    /// The accounts are named where both are known.
    Refused(RejectReason, Option<(u32, u32)>),
    /// A PAY or AUTHORIZE between two accounts.
    Transfer { debit: u32, credit: u32 },
    /// A CAPTURE, VOID or REFUND of the payment in this slot.
    FollowUp { original: u32 },
}

/// The slots of a payment's accounts; [`NO_SLOT`] where there is no such account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    pub(crate) debit: u32,
    pub(crate) credit: u32,
}

impl Ledger {
    /// Looks up the accounts of a PAY or AUTHORIZE. Changes nothing and depends on no payment, so
    /// it can be done ahead, for many payments at once: their cache misses overlap then.
    pub(crate) fn sides(&self, payment: &Payment) -> Sides {
        if payment.operation.needs_original() {
            return Sides { debit: NO_SLOT, credit: NO_SLOT };
        }
        let slot = |id| self.account_slot(id).unwrap_or(NO_SLOT);
        Sides { debit: slot(payment.debit), credit: slot(payment.credit) }
    }

    pub(crate) fn resolve(&self, payment: &Payment, sides: Sides) -> Resolved {
        if let Some(reason) = envelope_reason(payment) {
            return Resolved::Refused(reason, None);
        }
        if let Some(slot) = self.payment_slot(payment.id) {
            return match self.reuse_conflict(payment, self.payments.get(slot)) {
                Some(reason) => Resolved::Refused(reason, None),
                None => Resolved::Replay(slot),
            };
        }
        // The front door's findings and ours are of one family; the one listed first counts.
        if let Some(reason) = payment.defect.into_iter().chain(static_reason(payment)).min() {
            return Resolved::Refused(reason, None);
        }
        if payment.operation.needs_original() {
            match self.payment_slot(payment.original) {
                Some(original) if self.payments.get(original).is_original() => {
                    Resolved::FollowUp { original }
                }
                _ => Resolved::Refused(RejectReason::OriginalUnknown, None),
            }
        } else {
            self.resolve_accounts(payment, sides)
        }
    }

    /// The slot of the first use of this payment's id, if it was the same payment or burned it.
    pub(crate) fn replay_of(&self, payment: &Payment) -> Option<u32> {
        match self.resolve(payment, self.sides(payment)) {
            Resolved::Replay(slot) => Some(slot),
            _ => None,
        }
    }

    fn resolve_accounts(&self, payment: &Payment, sides: Sides) -> Resolved {
        use RejectReason as R;
        let Sides { debit, credit } = sides;
        if debit == NO_SLOT {
            return Resolved::Refused(R::DebitAccountUnknown, None);
        }
        if credit == NO_SLOT {
            return Resolved::Refused(R::CreditAccountUnknown, None);
        }
        let ledger = self.accounts[debit as usize].ledger;
        if ledger != self.accounts[credit as usize].ledger {
            return Resolved::Refused(R::AccountsOnDifferentLedgers, Some((debit, credit)));
        }
        if ledger != payment.ledger {
            return Resolved::Refused(R::LedgerDiffers, Some((debit, credit)));
        }
        Resolved::Transfer { debit, credit }
    }

    /// Why a known id may not be used for this content: the first field that differs. What a
    /// payment leaves to its original matches whatever it took from it.
    fn reuse_conflict(&self, payment: &Payment, stored: &StoredPayment) -> Option<RejectReason> {
        use RejectReason as R;
        if matches!(stored.stage, Stage::Refused(_)) {
            return None;
        }
        let follow_up = payment.operation.needs_original();
        let (debit, credit) =
            (&self.accounts[stored.debit as usize], &self.accounts[stored.credit as usize]);
        let original = match stored.original {
            NO_SLOT => PaymentId::ZERO,
            slot => self.payments.get(slot).id,
        };
        let account_differs = |given: AccountId, first: AccountId| {
            given != first && !(follow_up && given == AccountId::ZERO)
        };
        let ledger_differs =
            payment.ledger != debit.ledger && !(follow_up && payment.ledger == LedgerId(0));
        let code_differs = payment.code != stored.code && !(follow_up && payment.code.0 == 0);
        // What could not be read is not what was sent first, whatever it reads as.
        let malformed = |reason| payment.defect == Some(reason);
        let original_differs = payment.original != original || malformed(R::OriginalMalformed);
        let debit_differs =
            account_differs(payment.debit, debit.id) || malformed(R::DebitAccountIdMalformed);
        let credit_differs =
            account_differs(payment.credit, credit.id) || malformed(R::CreditAccountIdMalformed);
        let code_differs = code_differs || malformed(R::CodeTooLarge);
        [
            (payment.operation != stored.operation, R::IdReusedOperationDiffers),
            (payment.flags != stored.flags, R::IdReusedFlagsDiffer),
            (original_differs, R::IdReusedOriginalDiffers),
            (debit_differs, R::IdReusedDebitAccountDiffers),
            (credit_differs, R::IdReusedCreditAccountDiffers),
            (payment.amount != stored.amount, R::IdReusedAmountDiffers),
            (ledger_differs, R::IdReusedLedgerDiffers),
            (code_differs, R::IdReusedCodeDiffers),
            (payment.timeout_s != stored.timeout_s, R::IdReusedTimeoutDiffers),
            (payment.context_digest != stored.context_digest, R::IdReusedContextDiffers),
        ]
        .into_iter()
        .find_map(|(differs, reason)| differs.then_some(reason))
    }
}

impl StoredPayment {
    /// Whether the payment happened, so that others can refer to it.
    fn is_original(&self) -> bool {
        !matches!(self.stage, Stage::Refused(_))
    }

    /// When a hold made now would expire; zero for never. `None` when that does not fit.
    pub(crate) fn expiry(timeout_s: u32, now: Timestamp) -> Option<Timestamp> {
        match timeout_s {
            0 => Some(Timestamp(0)),
            seconds => now.checked_add_s(seconds),
        }
    }
}

/// What is wrong with the payment before its id can be looked up.
fn envelope_reason(payment: &Payment) -> Option<RejectReason> {
    let id = match payment.id {
        PaymentId::ZERO => Some(RejectReason::PaymentIdZero),
        PaymentId::MAX => Some(RejectReason::PaymentIdMax),
        _ => None,
    };
    let defect = payment.defect.filter(|reason| reason.is_before_lookup_of_id());
    defect.into_iter().chain(id).min()
}

/// The first thing that is wrong with the payment itself, whatever the ledger holds.
fn static_reason(payment: &Payment) -> Option<RejectReason> {
    use RejectReason as R;
    let follow_up = payment.operation.needs_original();
    let named = |id: AccountId| id != AccountId::ZERO || !follow_up;
    let has_original = payment.original != PaymentId::ZERO;
    [
        (follow_up && payment.flags.balancing(), R::FlagsExclusive),
        (named(payment.debit) && payment.debit == AccountId::ZERO, R::DebitAccountIdZero),
        (payment.debit == AccountId::MAX, R::DebitAccountIdMax),
        (named(payment.credit) && payment.credit == AccountId::ZERO, R::CreditAccountIdZero),
        (payment.credit == AccountId::MAX, R::CreditAccountIdMax),
        (payment.debit == payment.credit && named(payment.debit), R::AccountsEqual),
        (follow_up && !has_original, R::OriginalMissing),
        (!follow_up && has_original, R::OriginalSuperfluous),
        (has_original && payment.original == payment.id, R::OriginalIsItself),
        (
            payment.timeout_s != 0 && payment.operation != Operation::Authorize,
            R::TimeoutSuperfluous,
        ),
        (payment.amount == Amount::ZERO, R::AmountZero),
        (
            payment.amount == Amount::ALL && !follow_up && !payment.flags.balancing(),
            R::AmountMissing,
        ),
        (
            payment.amount != Amount::ALL && payment.operation == Operation::Void,
            R::AmountSuperfluous,
        ),
        (payment.ledger == LedgerId(0) && !follow_up, R::LedgerZero),
        (payment.code.0 == 0 && !follow_up, R::CodeZero),
    ]
    .into_iter()
    .find_map(|(applies, reason)| applies.then_some(reason))
}

const _: () = assert!(PaymentFlags::LINKED.0 == 1, "the linked bit is no balancing bit");
