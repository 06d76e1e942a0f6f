//! Decide: consumes the payments of one request in order, produces one decision for each.
//!
//! Guarantees: a linked group happens whole or not at all; only the member that failed carries its
//! own reason; an id that is taken keeps its first outcome, whatever group it turns up in again.

use crate::{
    AccountId, Amount, Balances, EventSeq, Gate, Judged, Ledger, LedgerId, Operation, Outcome,
    Payment, PaymentEvent, PaymentFlags, PaymentId, RejectReason, Timestamp, Verdict,
    post::{Evaluation, Posting},
    resolve::Sides,
    state::{NO_SLOT, Stage, StoredPayment},
};

/// Payments whose accounts are looked up together, ahead of deciding them: enough for their cache
/// misses to overlap, few enough for what they fetched to be there still.
const LOOK_AHEAD: usize = 64;

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

/// A group member that was posted, until its group is complete.
struct Step {
    slot: u32,
    posting: Posting,
    verdict: Verdict,
    balances: [Balances; 2],
}

impl Ledger {
    /// Decides the payments of one request. A linked group ends with its first member that is not
    /// linked; one that is still open at the end of `payments` fails.
    ///
    /// Hands out one decision per payment, in order. A decision is large, and is best used up while
    /// it is in the nearest cache.
    pub fn decide(
        &mut self,
        payments: &[Payment],
        gate: &mut impl Gate,
        mut decided: impl FnMut(&Decision),
    ) {
        let mut sides = Vec::with_capacity(payments.len());
        let mut start = 0;
        while let Some(first) = payments.get(start) {
            let rest = &payments[start..];
            let end = match first.flags.has(PaymentFlags::LINKED) {
                false => start + 1,
                true => {
                    let last = rest.iter().position(|it| !it.flags.has(PaymentFlags::LINKED));
                    let Some(last) = last else {
                        return self.refuse_unclosed(rest, &mut decided);
                    };
                    start + last + 1
                }
            };
            while sides.len() < end {
                let ahead = payments[sides.len()..].iter().take(LOOK_AHEAD);
                sides.extend(ahead.map(|payment| self.sides(payment)));
            }
            match end - start {
                1 => decided(&self.decide_one(first, sides[start], gate)),
                _ => {
                    let (members, sides) = (&payments[start..end], &sides[start..end]);
                    self.decide_group(members, sides, gate, &mut decided);
                }
            }
            start = end;
        }
    }

    fn decide_one(&mut self, payment: &Payment, sides: Sides, gate: &mut impl Gate) -> Decision {
        match self.evaluate(payment, sides, gate) {
            Evaluation::Replay(slot) => self.replay(slot),
            Evaluation::Refused { reason, accounts, verdict } => {
                self.refuse(payment, reason, accounts, verdict)
            }
            Evaluation::Accepted { posting, verdict } => {
                let step = self.take_step(payment, posting, verdict, gate);
                self.accept(payment, &step)
            }
        }
    }

    fn decide_group(
        &mut self,
        members: &[Payment],
        sides: &[Sides],
        gate: &mut impl Gate,
        decided: &mut impl FnMut(&Decision),
    ) {
        let mut steps: Vec<Result<Step, u32>> = Vec::with_capacity(members.len());
        let mut culprit = None;
        gate.begin_group();
        for (member, sides) in members.iter().zip(sides) {
            match self.evaluate(member, *sides, gate) {
                Evaluation::Accepted { posting, verdict } => {
                    steps.push(Ok(self.take_step(member, posting, verdict, gate)));
                }
                Evaluation::Replay(slot) if self.payments.get(slot).outcome().is_accepted() => {
                    steps.push(Err(slot));
                }
                failed => {
                    culprit = Some(failed);
                    break;
                }
            }
        }
        gate.end_group(culprit.is_none());
        match culprit {
            None => {
                for (member, step) in members.iter().zip(&steps) {
                    decided(&match step {
                        Ok(step) => self.accept(member, step),
                        Err(slot) => self.replay(*slot),
                    });
                }
            }
            Some(culprit) => self.fail_group(members, &steps, culprit, decided),
        }
    }

    fn fail_group(
        &mut self,
        members: &[Payment],
        steps: &[Result<Step, u32>],
        culprit: Evaluation,
        decided: &mut impl FnMut(&Decision),
    ) {
        for step in steps.iter().rev().flatten() {
            self.unpost(step.slot, &step.posting);
        }
        for (position, member) in members.iter().enumerate() {
            decided(&match (steps.get(position), &culprit) {
                (Some(Ok(step)), _) => {
                    let accounts = Some((step.posting.debit, step.posting.credit));
                    let reason = RejectReason::GroupMemberFailed;
                    self.refuse(member, reason, accounts, step.verdict)
                }
                (None, Evaluation::Refused { reason, accounts, verdict })
                    if position == steps.len() =>
                {
                    self.refuse(member, *reason, *accounts, *verdict)
                }
                (Some(Err(_)) | None, _) => {
                    self.refuse_with_group(member, RejectReason::GroupMemberFailed)
                }
            });
        }
    }

    fn refuse_unclosed(&mut self, members: &[Payment], decided: &mut impl FnMut(&Decision)) {
        let last = members.len() - 1;
        for (position, member) in members.iter().enumerate() {
            let reason = match position == last {
                true => RejectReason::GroupUnclosed,
                false => RejectReason::GroupMemberFailed,
            };
            decided(&self.refuse_with_group(member, reason));
        }
    }

    /// Refuses a member for its group's sake, unless its id is taken already.
    fn refuse_with_group(&mut self, member: &Payment, reason: RejectReason) -> Decision {
        match self.replay_of(member) {
            Some(slot) => self.replay(slot),
            None => self.refuse(member, reason, None, Verdict::default()),
        }
    }

    fn take_step(
        &mut self,
        payment: &Payment,
        posting: Posting,
        verdict: Verdict,
        gate: &mut impl Gate,
    ) -> Step {
        let slot = self.post(payment, &posting, verdict);
        if is_observed(payment.operation) {
            gate.observe(Judged {
                payment,
                amount: Amount(posting.amount),
                at: self.time,
                payer: posting.debit,
            });
        }
        let balances = self.balances_of(posting.debit, posting.credit);
        Step { slot, posting, verdict, balances }
    }

    fn accept(&mut self, payment: &Payment, step: &Step) -> Decision {
        self.settle_sequence(step.slot);
        let stored = self.payments.get(step.slot);
        let [debit, credit] =
            [stored.debit, stored.credit].map(|slot| &self.accounts[slot as usize]);
        Decision::New(PaymentEvent {
            seq: stored.seq,
            payment: Payment {
                debit: debit.id,
                credit: credit.id,
                ledger: debit.ledger,
                code: stored.code,
                ..*payment
            },
            outcome: stored.outcome(),
            verdict: step.verdict,
            balances: Some(step.balances),
        })
    }

    fn refuse(
        &mut self,
        payment: &Payment,
        reason: RejectReason,
        accounts: Option<(u32, u32)>,
        verdict: Verdict,
    ) -> Decision {
        let seq = self.take_seq();
        let payment = self.with_accounts_filled_in(payment, accounts);
        if reason.burns_id() {
            self.burn(&payment, reason, verdict);
        }
        Decision::New(PaymentEvent {
            seq,
            payment,
            outcome: Outcome::rejected(reason),
            verdict,
            balances: accounts.map(|(debit, credit)| self.balances_of(debit, credit)),
        })
    }

    /// What a refused payment left to its original, so that readers know whose money it was.
    fn with_accounts_filled_in(&self, payment: &Payment, accounts: Option<(u32, u32)>) -> Payment {
        let mut filled_in = *payment;
        if let Some((debit, credit)) = accounts.filter(|_| payment.operation.needs_original()) {
            let (debit, credit) = (&self.accounts[debit as usize], &self.accounts[credit as usize]);
            let or = |given: AccountId, of_original: AccountId| match given {
                AccountId::ZERO => of_original,
                given => given,
            };
            filled_in.debit = or(payment.debit, debit.id);
            filled_in.credit = or(payment.credit, credit.id);
            if payment.ledger == LedgerId(0) {
                filled_in.ledger = debit.ledger;
            }
        }
        filled_in
    }

    /// Takes the id of a refused payment, so that a retry gets the same refusal.
    pub(crate) fn burn(&mut self, payment: &Payment, reason: RejectReason, verdict: Verdict) {
        let verdict = self.verdict_place(verdict);
        let slot = |id: AccountId| self.account_slot(id).unwrap_or(NO_SLOT);
        let (debit, credit) = (slot(payment.debit), slot(payment.credit));
        self.remember(StoredPayment {
            id: payment.id,
            amount: payment.amount,
            applied: 0,
            left: 0,
            seq: self.last_seq,
            expires_at: Timestamp(0),
            context_digest: payment.context_digest,
            debit,
            credit,
            original: NO_SLOT,
            timeout_s: payment.timeout_s,
            code: payment.code,
            operation: payment.operation,
            flags: payment.flags,
            stage: Stage::Refused(reason),
            verdict,
        });
    }

    fn replay(&self, slot: u32) -> Decision {
        let stored = self.payments.get(slot);
        Decision::Replay {
            id: stored.id,
            seq: stored.seq,
            outcome: stored.outcome(),
            verdict: self.verdict_of(stored),
        }
    }
}

/// Whether the gate saw this accepted payment.
pub(crate) fn is_observed(operation: Operation) -> bool {
    !operation.needs_original()
}
