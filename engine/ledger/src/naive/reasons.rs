//! Every reason that speaks against a payment, and how much it would move.

use super::State;
use crate::{
    Account, AccountId, AccountState, Amount, Balances, Code, LedgerId, Operation, Outcome,
    Payment, PaymentFlags, PaymentId, RejectReason, RiskDecision, Status,
};

impl State {
    /// The first use of this id: its outcome, or the first field that differs now.
    pub(super) fn first_use(&self, payment: &Payment) -> Option<Result<Outcome, RejectReason>> {
        use RejectReason as R;
        if payment.defect.is_some_and(RejectReason::is_before_lookup_of_id) {
            return None;
        }
        let known = self.known.get(&payment.id)?;
        if !known.outcome.is_accepted() {
            return Some(Ok(known.outcome));
        }
        let first = &known.payment;
        let follow_up = payment.operation.needs_original();
        let either = |same: bool, absent: bool| same || (follow_up && absent);
        let checks = [
            (payment.operation == first.operation, R::IdReusedOperationDiffers),
            (payment.flags == first.flags, R::IdReusedFlagsDiffer),
            (payment.original == first.original, R::IdReusedOriginalDiffers),
            (
                either(payment.debit == first.debit, payment.debit.0 == 0),
                R::IdReusedDebitAccountDiffers,
            ),
            (
                either(payment.credit == first.credit, payment.credit.0 == 0),
                R::IdReusedCreditAccountDiffers,
            ),
            (payment.amount == first.amount, R::IdReusedAmountDiffers),
            (
                either(payment.ledger == first.ledger, payment.ledger.0 == 0),
                R::IdReusedLedgerDiffers,
            ),
            (either(payment.code == first.code, payment.code.0 == 0), R::IdReusedCodeDiffers),
            (payment.timeout_s == first.timeout_s, R::IdReusedTimeoutDiffers),
            (payment.context_digest == first.context_digest, R::IdReusedContextDiffers),
        ];
        let unreadable = match payment.defect {
            Some(R::OriginalMalformed) => Some(R::IdReusedOriginalDiffers),
            Some(R::DebitAccountIdMalformed) => Some(R::IdReusedDebitAccountDiffers),
            Some(R::CreditAccountIdMalformed) => Some(R::IdReusedCreditAccountDiffers),
            Some(R::AmountTooLarge) => Some(R::IdReusedAmountDiffers),
            Some(R::CodeTooLarge) => Some(R::IdReusedCodeDiffers),
            _ => None,
        };
        let differing = checks.into_iter().filter(|(same, _)| !same).map(|(_, reason)| reason);
        Some(differing.chain(unreadable).min().map_or(Ok(known.outcome), Err))
    }

    pub(super) fn reasons_before_risk(&self, payment: &Payment) -> Vec<RejectReason> {
        use RejectReason as R;
        let mut reasons: Vec<R> = payment.defect.into_iter().collect();
        let mut check = |applies: bool, reason: R| reasons.extend(applies.then_some(reason));
        check(payment.id == PaymentId::ZERO, R::PaymentIdZero);
        check(payment.id == PaymentId::MAX, R::PaymentIdMax);
        if let Some(Err(reason)) = self.first_use(payment) {
            check(true, reason);
        }
        let follow_up = payment.operation.needs_original();
        let all = payment.amount == Amount::ALL;
        check(follow_up && payment.flags.balancing(), R::FlagsExclusive);
        check(!follow_up && payment.debit.0 == 0, R::DebitAccountIdZero);
        check(payment.debit == AccountId::MAX, R::DebitAccountIdMax);
        check(!follow_up && payment.credit.0 == 0, R::CreditAccountIdZero);
        check(payment.credit == AccountId::MAX, R::CreditAccountIdMax);
        let both_absent = follow_up && payment.debit.0 == 0;
        check(payment.debit == payment.credit && !both_absent, R::AccountsEqual);
        check(follow_up && payment.original.0 == 0, R::OriginalMissing);
        check(!follow_up && payment.original.0 != 0, R::OriginalSuperfluous);
        check(payment.original.0 != 0 && payment.original == payment.id, R::OriginalIsItself);
        let authorize = payment.operation == Operation::Authorize;
        check(!authorize && payment.timeout_s != 0, R::TimeoutSuperfluous);
        check(payment.amount.0 == 0, R::AmountZero);
        check(!follow_up && all && !payment.flags.balancing(), R::AmountMissing);
        check(payment.operation == Operation::Void && !all, R::AmountSuperfluous);
        check(!follow_up && payment.ledger == LedgerId(0), R::LedgerZero);
        check(!follow_up && payment.code == Code(0), R::CodeZero);
        if reasons.is_empty() {
            reasons = match follow_up {
                true => self.original_reasons(payment),
                false => self.look_up_reasons(payment),
            };
        }
        if reasons.is_empty() {
            reasons = self.state_reasons(payment);
        }
        reasons
    }

    fn look_up_reasons(&self, payment: &Payment) -> Vec<RejectReason> {
        use RejectReason as R;
        match (self.accounts.get(&payment.debit), self.accounts.get(&payment.credit)) {
            (None, _) => vec![R::DebitAccountUnknown],
            (_, None) => vec![R::CreditAccountUnknown],
            (Some(debit), Some(credit)) if debit.spec.ledger != credit.spec.ledger => {
                vec![R::AccountsOnDifferentLedgers]
            }
            (Some(debit), _) if debit.spec.ledger != payment.ledger => vec![R::LedgerDiffers],
            _ => vec![],
        }
    }

    fn original_reasons(&self, payment: &Payment) -> Vec<RejectReason> {
        use RejectReason as R;
        let Some(first) = self.known.get(&payment.original).filter(|it| it.outcome.is_accepted())
        else {
            return vec![R::OriginalUnknown];
        };
        let (debit, credit) = self.sides(payment);
        let refund = payment.operation == Operation::Refund;
        let refundable = first.outcome.status == Status::Settled
            && matches!(first.payment.operation, Operation::Pay | Operation::Capture);
        let asked = if payment.amount == Amount::ALL { 0 } else { payment.amount.0 };
        [
            (!refund && first.ended.is_none(), R::OriginalNotAHold),
            (refund && !refundable, R::OriginalNotSettled),
            (payment.debit.0 != 0 && payment.debit != debit, R::OriginalDebitAccountDiffers),
            (payment.credit.0 != 0 && payment.credit != credit, R::OriginalCreditAccountDiffers),
            (
                payment.ledger.0 != 0 && payment.ledger != first.payment.ledger,
                R::OriginalLedgerDiffers,
            ),
            (payment.code.0 != 0 && payment.code != first.payment.code, R::OriginalCodeDiffers),
            (asked > first.outcome.amount.0, R::ExceedsOriginalAmount),
            (refund && first.left == 0, R::AlreadyRefunded),
            (asked > first.left, R::ExceedsRemainingAmount),
        ]
        .into_iter()
        .filter_map(|(applies, reason)| applies.then_some(reason))
        .chain(first.ended.flatten())
        .collect()
    }

    fn state_reasons(&self, payment: &Payment) -> Vec<RejectReason> {
        use RejectReason as R;
        let (debit, credit) = self.sides(payment);
        let (payer, payee) = (&self.accounts[&debit], &self.accounts[&credit]);
        let refund = payment.operation == Operation::Refund;
        if payment.operation == Operation::Void {
            return vec![];
        }
        let new_money = payment.operation != Operation::Capture;
        let holds = payment.operation == Operation::Authorize;
        let amount = self.amount(payment);
        let (debits, credits) = (payer.balances, payee.balances);
        let over = |counter: u128| new_money && counter.checked_add(amount).is_none();
        let timeout_over = self.now.checked_add_s(payment.timeout_s).is_none();
        let original = self.known.get(&payment.original);
        let in_review = payment.operation == Operation::Capture
            && original.is_some_and(|it| it.verdict.decision == RiskDecision::Review)
            && !payment.flags.has(PaymentFlags::RESOLVES_REVIEW);
        [
            (payer.state == AccountState::Frozen, R::DebitAccountFrozen),
            (payee.state == AccountState::Frozen && !refund, R::CreditAccountFrozen),
            (payer.state == AccountState::Closed, R::DebitAccountClosed),
            (payee.state == AccountState::Closed, R::CreditAccountClosed),
            (holds && over(debits.debits_pending), R::OverflowDebitsPending),
            (holds && over(credits.credits_pending), R::OverflowCreditsPending),
            (!holds && over(debits.debits_posted), R::OverflowDebitsPosted),
            (!holds && over(credits.credits_posted), R::OverflowCreditsPosted),
            (over(debits.debits_pending + debits.debits_posted), R::OverflowDebits),
            (over(credits.credits_pending + credits.credits_posted), R::OverflowCredits),
            (holds && timeout_over, R::OverflowTimeout),
            (in_review, R::RiskReviewOpen),
        ]
        .into_iter()
        .filter_map(|(applies, reason)| applies.then_some(reason))
        .chain(refund.then(|| self.funds_reason(payment, amount)).flatten())
        .collect()
    }

    pub(super) fn funds_reason(&self, payment: &Payment, amount: u128) -> Option<RejectReason> {
        if !matches!(payment.operation, Operation::Pay | Operation::Authorize | Operation::Refund) {
            return None;
        }
        let (debit, credit) = self.sides(payment);
        let (payer, payee) = (&self.accounts[&debit], &self.accounts[&credit]);
        let limited = |account: &Account, flag| account.spec.flags.has(flag);
        let nothing_there = amount == 0
            && payment.flags.has(PaymentFlags::BALANCING_DEBIT)
            && debits_left(payer) == 0;
        if nothing_there
            || limited(payer, crate::AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS)
                && amount > debits_left(payer)
        {
            return Some(RejectReason::InsufficientFunds);
        }
        (amount == 0
            || limited(payee, crate::AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS)
                && amount > credits_left(payee))
        .then_some(RejectReason::CreditsExceedDebits)
    }

    pub(super) fn amount(&self, payment: &Payment) -> u128 {
        if payment.operation.needs_original() {
            return match payment.amount {
                Amount::ALL => self.known.get(&payment.original).map_or(0, |first| first.left),
                Amount(amount) => amount,
            };
        }
        let mut amount = payment.amount.0;
        let left = |id, left: fn(&Account) -> u128| self.accounts.get(&id).map_or(0, left);
        if payment.flags.has(PaymentFlags::BALANCING_DEBIT) {
            amount = amount.min(left(payment.debit, debits_left));
        }
        if payment.flags.has(PaymentFlags::BALANCING_CREDIT) {
            amount = amount.min(left(payment.credit, credits_left));
        }
        amount
    }
}

fn debits_left(account: &Account) -> u128 {
    let Balances { debits_pending, debits_posted, credits_posted, .. } = account.balances;
    let funds = credits_posted.saturating_add(account.spec.credit_limit.0);
    funds.saturating_sub(debits_pending + debits_posted)
}

fn credits_left(account: &Account) -> u128 {
    let Balances { credits_pending, credits_posted, debits_posted, .. } = account.balances;
    let funds = debits_posted.saturating_add(account.spec.credit_limit.0);
    funds.saturating_sub(credits_pending + credits_posted)
}
