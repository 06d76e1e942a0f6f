//! Whether both sides of a payment let its amount through: states, overflow and funds (families 7, 8
//! and 10 of the reject reasons). Consumes the two accounts as they stand; nothing is changed.

use crate::{
    Account, AccountState, Balances, Payment, PaymentFlags, RejectReason, book::AccountView,
    resolve::first_that_applies,
};

/// Family 7 where both sides must be open.
#[inline]
pub(crate) fn both_open(payer: &AccountView, payee: &AccountView) -> Option<RejectReason> {
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
pub(crate) fn refund_reason(
    amount: u128,
    payer: &AccountView,
    payee: &AccountView,
) -> Option<RejectReason> {
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
#[inline]
pub(crate) fn overflow(
    amount: u128,
    payer: &AccountView,
    payee: &AccountView,
    holds: bool,
) -> Option<RejectReason> {
    use RejectReason as R;
    let (debits, credits) = (&payer.balances, &payee.balances);
    let too_much = |counter: u128| counter.checked_add(amount).is_none();
    first_that_applies([
        (holds && too_much(debits.debits_pending), R::OverflowDebitsPending),
        (holds && too_much(credits.credits_pending), R::OverflowCreditsPending),
        (!holds && too_much(debits.debits_posted), R::OverflowDebitsPosted),
        (!holds && too_much(credits.credits_posted), R::OverflowCreditsPosted),
        (too_much(debits.debits_pending + debits.debits_posted), R::OverflowDebits),
        (too_much(credits.credits_pending + credits.credits_posted), R::OverflowCredits),
    ])
}

/// What a balancing payment moves: as much as is there, up to its amount.
#[inline]
pub(crate) fn balanced_amount(payment: &Payment, payer: &AccountView, payee: &AccountView) -> u128 {
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
#[inline]
pub(crate) fn funds_reason(
    payment: &Payment,
    amount: u128,
    payer: &AccountView,
    payee: &AccountView,
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

#[inline]
fn limit_reason(amount: u128, payer: &AccountView, payee: &AccountView) -> Option<RejectReason> {
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

impl Account {
    /// Whether nothing is pending and debits equal credits, so that it can be closed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Balances { debits_pending, debits_posted, credits_pending, credits_posted } =
            self.balances;
        debits_pending == 0 && credits_pending == 0 && debits_posted == credits_posted
    }
}
