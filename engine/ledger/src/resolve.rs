//! Resolve: consumes one payment with what its shards found, names its accounts, its original or its
//! first use, and the reason if it is refused so far (families 2 to 5 of the reject reasons).
//!
//! Guarantees that no money moves, and that what comes out ready names slots and places that exist.

use crate::{
    AccountId, Amount, LedgerId, Operation, Payment, PaymentFlags, PaymentId, RejectReason, Stage,
    StoredPayment,
    books::Books,
    findings::{Findings, IN_HISTORY, NOT_FOUND},
    recent::Place,
    shard::Recalled,
};

/// A payment with its look-ups done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resolved {
    /// The id is known, with this content or burned: the first outcome holds.
    Replay,
    /// The accounts are named where both are known.
    Refused(RejectReason, Option<(u32, u32)>),
    /// A PAY or AUTHORIZE between two accounts.
    Transfer { debit: u32, credit: u32 },
    /// A CAPTURE, VOID or REFUND of the payment in this place.
    FollowUp { original: Place },
}

/// The payments of one request, with all that was found for them.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) payments: &'a [Payment],
    pub(crate) findings: &'a Findings,
    /// By position.
    pub(crate) recalled: Vec<Recalled>,
}

impl Request<'_> {
    /// The row of the open generation that met this payment's id first, where that was not its own.
    #[inline]
    pub(crate) fn first_row(&self, position: usize) -> Option<u32> {
        let first = self.findings.of(position).first();
        (first < IN_HISTORY).then_some(first)
    }

    fn recalled(&self, position: usize, as_original: bool) -> &StoredPayment {
        let key = (position as u32, as_original);
        let at = self.recalled.binary_search_by_key(&key, Recalled::key);
        &self.recalled[at.expect("a payment that was found in history was brought along")].payment
    }
}

impl Books {
    #[inline(always)] // into the one place where nearly all payments go
    pub(crate) fn resolve(&mut self, request: &Request<'_>, position: usize) -> Resolved {
        let payment = &request.payments[position];
        let defect = request.findings.of(position).defect();
        if let Some(reason) = defect.filter(|reason| reason.is_before_lookup_of_id()) {
            return Resolved::Refused(reason, None);
        }
        if let Some(first) = self.first_use(request, position) {
            return match self.reuse_conflict(payment, &first) {
                Some(reason) => Resolved::Refused(reason, None),
                None => Resolved::Replay,
            };
        }
        if let Some(reason) = defect {
            return Resolved::Refused(reason, None);
        }
        if payment.operation.needs_original() {
            match self.original(request, position) {
                Some(original) if self.recent.get(original).is_original() => {
                    Resolved::FollowUp { original }
                }
                _ => Resolved::Refused(RejectReason::OriginalUnknown, None),
            }
        } else {
            let [debit, credit] = request.findings.of(position).accounts();
            self.resolve_accounts(payment, debit, credit)
        }
    }

    /// The first use of this payment's id, if it was the same payment or burned it.
    pub(crate) fn replay_of(
        &self,
        request: &Request<'_>,
        position: usize,
    ) -> Option<StoredPayment> {
        let payment = &request.payments[position];
        let defect = request.findings.of(position).defect();
        let envelope = defect.is_some_and(RejectReason::is_before_lookup_of_id);
        let first = self.first_use(request, position).filter(|_| !envelope)?;
        self.reuse_conflict(payment, &first).is_none().then_some(first)
    }

    #[inline]
    fn first_use(&self, request: &Request<'_>, position: usize) -> Option<StoredPayment> {
        match request.findings.of(position).first() {
            NOT_FOUND => None,
            IN_HISTORY => Some(*request.recalled(position, false)),
            first => {
                let taker = self.recent.generation.taker(first)?;
                Some(*self.recent.generation.rows.get(taker))
            }
        }
    }

    /// The place of the payment that this one follows up. One of history is brought back: it is
    /// about to change.
    fn original(&mut self, request: &Request<'_>, position: usize) -> Option<Place> {
        match request.findings.of(position).original() {
            NOT_FOUND => None,
            IN_HISTORY => {
                let original = request.recalled(position, true);
                Some(self.place_of_old(original))
            }
            // One that comes later in the sequence is not there yet.
            first if first >= self.recent.len() => None,
            first => self.recent.generation.taker(first).map(Place::Row),
        }
    }

    /// The payment that this one refers to, as it was found and as far as it never changes, if it
    /// happened. Brings none back.
    pub(crate) fn original_as_found<'a>(
        &'a self,
        request: &'a Request<'_>,
        position: usize,
    ) -> Option<&'a StoredPayment> {
        let original = match request.findings.of(position).original() {
            NOT_FOUND => return None,
            IN_HISTORY => request.recalled(position, true),
            first if first >= self.recent.len() => return None,
            first => self.recent.get(Place::Row(self.recent.generation.taker(first)?)),
        };
        original.is_original().then_some(original)
    }

    /// Where an older payment is kept while it may change.
    pub(crate) fn place_of_old(&mut self, old: &StoredPayment) -> Place {
        match self.recent.find_old(old.id) {
            Some(place) => place,
            // Open holds live on here, and are no part of history's digest.
            None if old.stage == Stage::HoldOpen => self.recent.carry(*old),
            None => {
                self.past_digest = self.past_digest.wrapping_sub(old.digest());
                self.recent.recall(*old)
            }
        }
    }

    #[inline(always)]
    fn resolve_accounts(&self, payment: &Payment, debit: u32, credit: u32) -> Resolved {
        use RejectReason as R;
        let Some(debit) = self.accounts.confirmed(debit, payment.debit) else {
            return Resolved::Refused(R::DebitAccountUnknown, None);
        };
        let Some(credit) = self.accounts.confirmed(credit, payment.credit) else {
            return Resolved::Refused(R::CreditAccountUnknown, None);
        };
        let ledger = self.accounts.ledger(debit);
        if ledger != self.accounts.ledger(credit) {
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
        let [debit, credit] = [stored.debit, stored.credit].map(|slot| self.accounts.id(slot));
        let ledger = self.accounts.ledger(stored.debit);
        let account_differs = |given: AccountId, first: AccountId| {
            given != first && !(follow_up && given == AccountId::ZERO)
        };
        let ledger_differs =
            payment.ledger != ledger && !(follow_up && payment.ledger == LedgerId(0));
        let code_differs = payment.code != stored.code && !(follow_up && payment.code.0 == 0);
        // What could not be read is not what was sent first, whatever it reads as.
        let malformed = |reason| payment.defect == Some(reason);
        let original_differs =
            payment.original != stored.original || malformed(R::OriginalMalformed);
        let debit_differs =
            account_differs(payment.debit, debit) || malformed(R::DebitAccountIdMalformed);
        let credit_differs =
            account_differs(payment.credit, credit) || malformed(R::CreditAccountIdMalformed);
        let amount_differs = payment.amount != stored.amount || malformed(R::AmountTooLarge);
        let code_differs = code_differs || malformed(R::CodeTooLarge);
        [
            (payment.operation != stored.operation, R::IdReusedOperationDiffers),
            (payment.flags != stored.flags, R::IdReusedFlagsDiffer),
            (original_differs, R::IdReusedOriginalDiffers),
            (debit_differs, R::IdReusedDebitAccountDiffers),
            (credit_differs, R::IdReusedCreditAccountDiffers),
            (amount_differs, R::IdReusedAmountDiffers),
            (ledger_differs, R::IdReusedLedgerDiffers),
            (code_differs, R::IdReusedCodeDiffers),
            (payment.timeout_s != stored.timeout_s, R::IdReusedTimeoutDiffers),
            (payment.context_digest != stored.context_digest, R::IdReusedContextDiffers),
        ]
        .into_iter()
        .find_map(|(differs, reason)| differs.then_some(reason))
    }
}

/// Whether nothing is wrong with the payment in itself. Gates are told of such payments ahead.
pub(crate) fn is_well_formed(payment: &Payment) -> bool {
    envelope_reason(payment).is_none() && static_reason(payment).is_none()
}

/// What is wrong with the payment before its id can be looked up.
pub(crate) fn envelope_reason(payment: &Payment) -> Option<RejectReason> {
    let id = match payment.id {
        PaymentId::ZERO => Some(RejectReason::PaymentIdZero),
        PaymentId::MAX => Some(RejectReason::PaymentIdMax),
        _ => None,
    };
    match payment.defect.filter(|reason| reason.is_before_lookup_of_id()) {
        Some(defect) => Some(id.map_or(defect, |id| defect.min(id))),
        None => id,
    }
}

/// The first thing that is wrong with the payment itself, whatever the ledger holds. The front
/// door's findings and ours are of one family; the one listed first counts.
#[inline]
pub(crate) fn static_reason(payment: &Payment) -> Option<RejectReason> {
    if is_plain_payment(payment) { None } else { any_static_reason(payment) }
}

/// Whether it is a PAY that nothing is wrong with: nearly all are, and few questions tell.
#[inline]
fn is_plain_payment(payment: &Payment) -> bool {
    // Neither zero nor all ones.
    let proper = |number: u128| number.wrapping_add(1) > 1;
    (payment.operation == Operation::Pay)
        & payment.defect.is_none()
        & proper(payment.debit.0)
        & proper(payment.credit.0)
        & proper(payment.amount.0)
        & (payment.debit != payment.credit)
        & (payment.original == PaymentId::ZERO)
        & (payment.timeout_s == 0)
        & (payment.ledger != LedgerId(0))
        & (payment.code.0 != 0)
}

fn any_static_reason(payment: &Payment) -> Option<RejectReason> {
    match (payment.defect, own_static_reason(payment)) {
        (Some(defect), Some(own)) => Some(defect.min(own)),
        (defect, own) => defect.or(own),
    }
}

fn own_static_reason(payment: &Payment) -> Option<RejectReason> {
    use RejectReason as R;
    let follow_up = payment.operation.needs_original();
    let named = |id: AccountId| id != AccountId::ZERO || !follow_up;
    let has_original = payment.original != PaymentId::ZERO;
    first_that_applies([
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
    ])
}

/// The first reason that applies. Nearly always none does: that is found out without a branch for
/// each.
#[inline]
pub(crate) fn first_that_applies<const N: usize>(
    reasons: [(bool, RejectReason); N],
) -> Option<RejectReason> {
    if !reasons.iter().fold(false, |any, (applies, _)| any | applies) {
        return None;
    }
    reasons.into_iter().find_map(|(applies, reason)| applies.then_some(reason))
}

const _: () = assert!(PaymentFlags::LINKED.0 == 1, "the linked bit is no balancing bit");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    /// Every combination of what the shortcut looks at.
    #[test]
    fn nothing_is_wrong_with_a_plain_payment() {
        let plain = Payment {
            id: PaymentId(1),
            debit: AccountId(1),
            credit: AccountId(2),
            amount: Amount(1),
            ledger: LedgerId(203),
            code: Code(1),
            ..Payment::default()
        };
        let changes: [fn(&mut Payment); 13] = [
            |payment| payment.operation = Operation::Authorize,
            |payment| payment.operation = Operation::Refund,
            |payment| payment.flags = PaymentFlags::BALANCING_DEBIT,
            |payment| payment.defect = Some(RejectReason::CodeTooLarge),
            |payment| payment.debit = AccountId::ZERO,
            |payment| payment.debit = AccountId::MAX,
            |payment| payment.credit = payment.debit,
            |payment| payment.credit = AccountId::MAX,
            |payment| payment.original = PaymentId(9),
            |payment| payment.timeout_s = 5,
            |payment| payment.amount = Amount::ZERO,
            |payment| payment.ledger = LedgerId(0),
            |payment| payment.code = Code(0),
        ];
        let mut plain_ones = 0;
        for set in 0_u32..1 << changes.len() {
            let mut payment = plain;
            let chosen = changes.iter().enumerate().filter(|(at, _)| set & 1 << at != 0);
            chosen.for_each(|(_, change)| change(&mut payment));
            if is_plain_payment(&payment) {
                plain_ones += 1;
                assert_eq!(any_static_reason(&payment), None, "{payment:?}");
            }
        }
        assert!(is_plain_payment(&plain));
        assert_eq!(plain_ones, 2, "the plain one, balancing or not");
    }
}
