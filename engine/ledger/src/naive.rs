//! The specification: the ledger's semantics again, short and slow, for tests to compare with.
//!
//! It lists *every* reason that applies to a payment and takes the first in order of precedence,
//! where the ledger stops at the first it meets; it copies the whole state to take a group back,
//! where the ledger undoes postings; and it looks at every hold when time passes.
//!
//! `reasons` lists what speaks against a payment, `posting` does what nothing speaks against.

mod posting;
mod reasons;

use std::collections::BTreeMap;

use crate::{
    Account, AccountChange, AccountId, AccountOutcome, AccountSpec, AccountState, Amount, Balances,
    EventSeq, Gate, Judged, Operation, Outcome, Payment, PaymentFlags, PaymentId, RejectReason,
    RiskDecision, Stage, Status, StoredPayment, Timestamp, Verdict, admin, resolve,
    state::state_hash,
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
    /// What risk said when it was decided.
    verdict: Verdict,
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
    /// Its place in the sequence; that of the first use where this is a replay.
    pub seq: EventSeq,
    /// What risk said now.
    pub verdict: Verdict,
    /// The balances of both accounts that the payment names right after it, where both are there.
    /// None of a replay.
    pub balances: Option<[Balances; 2]>,
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
            decisions.extend(group.into_iter().map(|it| self.state.numbered(it)));
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
                Some(Ok(outcome)) => NaiveDecision::replay(member, outcome),
                _ if closed && position == culprit => {
                    let decision = decisions[culprit];
                    NaiveDecision { balances: self.state.balances(&decision.payment), ..decision }
                }
                _ => {
                    let payment = decisions.get(position).map_or(*member, |it| it.payment);
                    let payment = Payment { code: member.code, ..payment };
                    let payment = self.state.with_original(&payment);
                    NaiveDecision {
                        payment,
                        outcome: Outcome::rejected(with_group(position)),
                        replayed: false,
                        seq: EventSeq(0),
                        verdict: decisions
                            .get(position)
                            .map_or_else(Verdict::default, |it| it.verdict),
                        balances: self.state.balances(&payment),
                    }
                }
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

impl NaiveDecision {
    fn replay(payment: &Payment, outcome: Outcome) -> Self {
        let (seq, verdict) = (EventSeq(0), Verdict::default());
        Self { payment: *payment, outcome, replayed: true, seq, verdict, balances: None }
    }
}

impl State {
    fn decide(&mut self, payment: &Payment, gate: &mut impl Gate) -> NaiveDecision {
        if let Some(Ok(outcome)) = self.first_use(payment) {
            return NaiveDecision::replay(payment, outcome);
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
            let payment = self.with_original(payment);
            if reason.burns_id() {
                self.remember(&payment, outcome, None, 0);
            }
            let balances = self.balances(&payment);
            let (replayed, seq) = (false, EventSeq(0));
            return NaiveDecision { payment, outcome, replayed, seq, verdict, balances };
        }
        let outcome = self.post(payment, amount, verdict);
        if !payment.operation.needs_original() {
            gate.observe(self.judged(payment, amount));
        }
        let payment = self.known[&payment.id].payment;
        let balances = self.balances(&payment);
        NaiveDecision { payment, outcome, replayed: false, seq: EventSeq(0), verdict, balances }
    }

    /// The balances of both accounts that a payment names, where both are there.
    fn balances(&self, payment: &Payment) -> Option<[Balances; 2]> {
        let balances = |id| Some(self.accounts.get(&id)?.balances);
        Some([balances(payment.debit)?, balances(payment.credit)?])
    }

    /// The payment with what it left to its original, where that is known and happened.
    fn with_original(&self, payment: &Payment) -> Payment {
        let original = self.known.get(&payment.original).filter(|it| it.outcome.is_accepted());
        let unreadable = matches!(
            payment.defect,
            Some(RejectReason::DebitAccountIdMalformed | RejectReason::CreditAccountIdMalformed)
        );
        let follow_up = payment.operation.needs_original() && !unreadable;
        let Some(original) = original.filter(|_| follow_up) else { return *payment };
        let (debit, credit) = self.sides(payment);
        let or = |given: AccountId, of_original| if given.0 == 0 { of_original } else { given };
        let (mut debit, mut credit) = (or(payment.debit, debit), or(payment.credit, credit));
        if debit == credit {
            (debit, credit) = (payment.debit, payment.credit);
        }
        Payment {
            debit,
            credit,
            ledger: if payment.ledger.0 == 0 { original.payment.ledger } else { payment.ledger },
            ..*payment
        }
    }

    /// Gives a decision its place in the sequence. A replay has that of the first use.
    fn numbered(&mut self, decision: NaiveDecision) -> NaiveDecision {
        let known = self.known.get_mut(&decision.payment.id);
        if decision.replayed {
            let first = known.expect("what is replayed is known");
            return NaiveDecision { seq: first.seq, ..decision };
        }
        self.last_seq += 1;
        let seq = EventSeq(self.last_seq);
        if let Some(known) = known.filter(|known| known.seq.0 == 0) {
            known.seq = seq;
        }
        NaiveDecision { seq, ..decision }
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
}
