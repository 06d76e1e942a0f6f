//! The specification: the ledger's semantics again, short and slow, for tests to compare with.
//!
//! It lists *every* reason that applies to a payment and takes the first in order of precedence,
//! where the ledger stops at the first it meets; it copies the whole state to take a group back,
//! where the ledger undoes postings; and it looks at every hold when time passes.

use std::collections::BTreeMap;

use crate::{
    Account, AccountChange, AccountId, AccountOutcome, AccountSpec, AccountState, Amount, Balances,
    Code, EventSeq, Gate, Judged, LedgerId, NO_ACCOUNT, Operation, Outcome, Payment, PaymentFlags,
    PaymentId, RejectReason, RiskDecision, Stage, Status, StoredPayment, Timestamp, Verdict, admin,
    resolve, state::state_hash,
};

#[derive(Clone, Debug)]
struct Known {
    payment: Payment,
    /// Numbers of its accounts. One that was unknown then may have been opened since.
    sides: [u32; 2],
    outcome: Outcome,
    /// `None` for what is no hold, `Some(None)` for an open hold, and else how the hold ended.
    ended: Option<Option<RejectReason>>,
    left: u128,
    expires_at: Option<Timestamp>,
    order: usize,
    /// Zero until it is known.
    seq: EventSeq,
}

#[derive(Clone, Debug, Default)]
struct State {
    accounts: BTreeMap<AccountId, Account>,
    /// In the order of opening.
    opened: Vec<AccountId>,
    known: BTreeMap<PaymentId, Known>,
    now: Timestamp,
    last_seq: u64,
}

/// The naive ledger. Its answers are the specification.
#[derive(Clone, Debug, Default)]
pub struct NaiveLedger {
    state: State,
}

/// What became of a payment, and whether its id was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NaiveDecision {
    /// The payment; what it left to its original is filled in where that is known.
    pub payment: Payment,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether this is the first outcome of a known id again.
    pub replayed: bool,
    /// What risk said now.
    pub verdict: Verdict,
}

impl NaiveLedger {
    /// An account's state.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.state.accounts.get(&id)
    }

    /// All balances, in the order of account ids.
    pub fn balances(&self) -> impl Iterator<Item = (AccountId, Balances)> {
        self.state.accounts.iter().map(|(id, account)| (*id, account.balances))
    }

    /// [`crate::Ledger::payment_count`].
    #[must_use]
    pub fn payment_count(&self) -> u64 {
        self.state.known.len() as u64
    }

    /// [`crate::Ledger::state_hash`], of what is here.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        let State { accounts, opened, known, last_seq, .. } = &self.state;
        let payments = known.values().map(|known| self.state.stored(known).digest());
        let payments = payments.fold(0, u128::wrapping_add);
        state_hash(opened.iter().map(|id| accounts[id]), payments, EventSeq(*last_seq))
    }

    /// Opens an account, which must not exist. Unlike [`crate::Ledger::create_account`] it checks
    /// nothing.
    pub fn open(&mut self, spec: AccountSpec) {
        let account = Account { spec, state: AccountState::Open, balances: Balances::default() };
        if self.state.accounts.insert(spec.id, account).is_none() {
            self.state.opened.push(spec.id);
            self.state.last_seq += 1;
        }
    }

    /// Changes an account.
    pub fn update_account(&mut self, id: AccountId, change: AccountChange) -> AccountOutcome {
        let Some(account) = self.state.accounts.get_mut(&id) else {
            return AccountOutcome::Rejected(crate::AccountRejectReason::AccountUnknown);
        };
        match admin::changed(account, change) {
            Err(reason) => AccountOutcome::Rejected(reason),
            Ok(after) if after == *account => AccountOutcome::Unchanged,
            Ok(after) => {
                *account = after;
                self.state.last_seq += 1;
                AccountOutcome::Updated
            }
        }
    }

    /// Lets time pass: releases every open hold whose time-out is over. Returns the holds, in the
    /// order of time-out and making.
    pub fn begin_batch(&mut self, now: Timestamp) -> Vec<PaymentId> {
        self.state.now = now;
        let mut due: Vec<_> = self
            .state
            .known
            .values()
            .filter(|known| known.ended == Some(None))
            .filter_map(|known| Some((known.expires_at?, known.order, known.payment.id)))
            .filter(|(expires_at, ..)| *expires_at <= now)
            .collect();
        due.sort_unstable();
        for (_, _, id) in &due {
            self.state.release(*id, RejectReason::HoldExpired);
            self.state.last_seq += 1;
        }
        due.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Decides the payments of one request.
    pub fn decide(&mut self, payments: &[Payment], gate: &mut impl Gate) -> Vec<NaiveDecision> {
        let mut decisions = Vec::new();
        let linked = |payment: &Payment| payment.flags.has(PaymentFlags::LINKED);
        let mut start = 0;
        while start < payments.len() {
            let group = payments[start..].iter().take_while(|payment| linked(payment)).count();
            let closed = start + group < payments.len();
            let end = if closed { start + group + 1 } else { payments.len() };
            let members = &payments[start..end];
            let group = self.decide_group(members, closed, gate);
            for (at, (member, decision)) in members.iter().zip(&group).enumerate() {
                let formed = resolve::is_well_formed;
                let again = |(it, decided): (&Payment, &NaiveDecision)| {
                    it.id == member.id && formed(it) && !decided.replayed
                };
                let again = members[..at].iter().zip(&group).any(again);
                let observed = !member.operation.needs_original();
                if formed(member) && observed && !decision.replayed && !again {
                    gate.attempted(member, &[], self.state.now);
                }
            }
            group.iter().for_each(|decision| self.state.number(decision));
            decisions.extend(group);
            start = end;
        }
        decisions
    }

    fn decide_alone(&mut self, payment: &Payment, gate: &mut impl Gate) -> NaiveDecision {
        gate.begin_group();
        let decision = self.state.decide(payment, gate);
        gate.end_group(decision.outcome.is_accepted());
        decision
    }

    fn decide_group(
        &mut self,
        members: &[Payment],
        closed: bool,
        gate: &mut impl Gate,
    ) -> Vec<NaiveDecision> {
        if let ([alone], true) = (members, closed) {
            // Refused or not, it leaves nothing to take back.
            return vec![self.decide_alone(alone, gate)];
        }
        let before = self.state.clone();
        let mut decisions = Vec::new();
        gate.begin_group();
        if closed {
            for member in members {
                decisions.push(self.state.decide(member, gate));
                if !decisions[decisions.len() - 1].outcome.is_accepted() {
                    break;
                }
            }
        }
        let failed = decisions.last().is_none_or(|last| !last.outcome.is_accepted());
        gate.end_group(!failed);
        if !failed {
            return decisions;
        }
        self.state = before;
        let culprit = if closed { decisions.len() - 1 } else { members.len() - 1 };
        let with_group = |position: usize| match (closed, position == culprit) {
            (false, true) => RejectReason::GroupUnclosed,
            _ => RejectReason::GroupMemberFailed,
        };
        for (position, member) in members.iter().enumerate() {
            let decision = match self.state.first_use(member) {
                Some(Ok(outcome)) => {
                    let verdict = Verdict::default();
                    NaiveDecision { payment: *member, outcome, replayed: true, verdict }
                }
                _ if closed && position == culprit => decisions[culprit],
                _ => NaiveDecision {
                    payment: Payment {
                        code: member.code,
                        ..decisions.get(position).map_or(*member, |it| it.payment)
                    },
                    outcome: Outcome::rejected(with_group(position)),
                    replayed: false,
                    verdict: decisions.get(position).map_or(Verdict::default(), |it| it.verdict),
                },
            };
            if let Status::Rejected(reason) = decision.outcome.status
                && reason.burns_id()
                && !decision.replayed
            {
                self.state.remember(&decision.payment, decision.outcome, None, 0);
            }
            match position < decisions.len() {
                true => decisions[position] = decision,
                false => decisions.push(decision),
            }
        }
        decisions
    }
}

impl State {
    fn decide(&mut self, payment: &Payment, gate: &mut impl Gate) -> NaiveDecision {
        if let Some(Ok(outcome)) = self.first_use(payment) {
            let verdict = Verdict::default();
            return NaiveDecision { payment: *payment, outcome, replayed: true, verdict };
        }
        let mut reasons = self.reasons_before_risk(payment);
        let mut verdict = Verdict::default();
        let amount = self.amount(payment);
        if reasons.is_empty() && !payment.operation.needs_original() {
            verdict = gate.judge(self.judged(payment, amount));
            if verdict.decision == RiskDecision::Decline {
                reasons.push(RejectReason::RiskDeclined);
            }
        }
        if reasons.is_empty() {
            reasons.extend(self.funds_reason(payment, amount));
        }
        if let Some(reason) = reasons.into_iter().min() {
            let outcome = Outcome::rejected(reason);
            let payment = match reason.burns_id() {
                true => self.with_original(payment),
                false => *payment,
            };
            if reason.burns_id() {
                self.remember(&payment, outcome, None, 0);
            }
            return NaiveDecision { payment, outcome, replayed: false, verdict };
        }
        let outcome = self.post(payment, amount, verdict);
        if !payment.operation.needs_original() {
            gate.observe(self.judged(payment, amount));
        }
        let payment = self.known[&payment.id].payment;
        NaiveDecision { payment, outcome, replayed: false, verdict }
    }

    /// The payment with what it left to its original, where that is known and happened.
    fn with_original(&self, payment: &Payment) -> Payment {
        let original = self.known.get(&payment.original).filter(|it| it.outcome.is_accepted());
        let Some(original) = original.filter(|_| payment.operation.needs_original()) else {
            return *payment;
        };
        let (debit, credit) = self.sides(payment);
        let or = |given: AccountId, of_original| if given.0 == 0 { of_original } else { given };
        Payment {
            debit: or(payment.debit, debit),
            credit: or(payment.credit, credit),
            ledger: if payment.ledger.0 == 0 { original.payment.ledger } else { payment.ledger },
            ..*payment
        }
    }

    /// Gives a decision its place in the sequence.
    fn number(&mut self, decision: &NaiveDecision) {
        if decision.replayed {
            return;
        }
        self.last_seq += 1;
        let known = self.known.get_mut(&decision.payment.id).filter(|known| known.seq.0 == 0);
        if let Some(known) = known {
            known.seq = EventSeq(self.last_seq);
        }
    }

    /// What the ledger would keep of a payment.
    fn stored(&self, known: &Known) -> StoredPayment {
        let Known { payment, outcome, sides: [debit, credit], .. } = *known;
        let stage = match (outcome.status, known.ended) {
            (Status::Rejected(reason), _) => Stage::Refused(reason),
            (Status::Voided, _) => Stage::Released,
            (_, None) => Stage::Settled,
            (_, Some(None)) => Stage::HoldOpen,
            (_, Some(Some(RejectReason::HoldCaptured))) => Stage::HoldCaptured,
            (_, Some(Some(RejectReason::HoldVoided))) => Stage::HoldVoided,
            (_, Some(Some(_))) => Stage::HoldExpired,
        };
        let accepted = outcome.is_accepted();
        StoredPayment {
            id: payment.id,
            amount: payment.amount,
            applied: outcome.amount.0,
            left: known.left,
            original: if accepted { payment.original } else { PaymentId::ZERO },
            seq: known.seq,
            expires_at: known.expires_at.filter(|_| accepted).unwrap_or_default(),
            context_digest: payment.context_digest,
            debit,
            credit,
            timeout_s: payment.timeout_s,
            code: payment.code,
            verdict: 0,
            operation: payment.operation,
            flags: payment.flags,
            stage,
        }
    }

    /// The first use of this id: its outcome, or the first field that differs now.
    fn first_use(&self, payment: &Payment) -> Option<Result<Outcome, RejectReason>> {
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
            Some(R::CodeTooLarge) => Some(R::IdReusedCodeDiffers),
            _ => None,
        };
        let differing = checks.into_iter().filter(|(same, _)| !same).map(|(_, reason)| reason);
        Some(differing.chain(unreadable).min().map_or(Ok(known.outcome), Err))
    }

    fn reasons_before_risk(&self, payment: &Payment) -> Vec<RejectReason> {
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
        ]
        .into_iter()
        .filter_map(|(applies, reason)| applies.then_some(reason))
        .chain(refund.then(|| self.funds_reason(payment, amount)).flatten())
        .collect()
    }

    fn funds_reason(&self, payment: &Payment, amount: u128) -> Option<RejectReason> {
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

    fn amount(&self, payment: &Payment) -> u128 {
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

    fn judged<'a>(&self, payment: &'a Payment, amount: u128) -> Judged<'a> {
        let payer = self.opened.iter().position(|id| *id == payment.debit);
        let payer = payer.expect("a payment that is judged has its accounts") as u32;
        Judged { payment, amount: Amount(amount), at: self.now, position: 0, payer }
    }

    fn sides(&self, payment: &Payment) -> (AccountId, AccountId) {
        match (payment.operation, self.known.get(&payment.original)) {
            (Operation::Pay | Operation::Authorize, _) | (_, None) => {
                (payment.debit, payment.credit)
            }
            (Operation::Refund, Some(first)) => (first.payment.credit, first.payment.debit),
            (_, Some(first)) => (first.payment.debit, first.payment.credit),
        }
    }

    fn post(&mut self, payment: &Payment, amount: u128, verdict: Verdict) -> Outcome {
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
        if verdict.decision.holds() && verdict.hold_s > 0 {
            let limit = self.now.checked_add_s(verdict.hold_s);
            let known = self.known.get_mut(&payment.id).expect("was remembered just now");
            known.expires_at = known.expires_at.into_iter().chain(limit).min();
        }
        outcome
    }

    fn release(&mut self, hold: PaymentId, how: RejectReason) {
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

    fn remember(
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
        let seq = EventSeq(0);
        let known =
            Known { payment: *payment, sides, outcome, ended, left, expires_at, order, seq };
        self.known.insert(payment.id, known);
    }

    fn number_of(&self, id: AccountId) -> u32 {
        let place = self.opened.iter().position(|opened| *opened == id);
        place.map_or(NO_ACCOUNT, |place| place as u32)
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
