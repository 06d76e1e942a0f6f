//! Decide: consumes the payments of one request in order, produces one decision for each.
//!
//! Guarantees: a linked group happens whole or not at all; only the member that failed carries its
//! own reason; an id that is taken keeps its first outcome, whatever group it turns up in again.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::{
    AccountId, Alone, Amount, Balances, Block, Contexts, EventSeq, Gate, HistoryError, Judged,
    Ledger, LedgerId, NoContexts, Operation, Outcome, Payment, PaymentEvent, PaymentFlags,
    PaymentId, RejectReason, Stage, StoredPayment, Timestamp, Verdict, Workers,
    books::Books,
    post::{Evaluation, Posting},
    recent::Place,
    resolve::Request,
    shard::{IN_HISTORY, NOT_FOUND, Stretch},
    stored::NO_ACCOUNT,
};

/// Payments that are resolved together, ahead of posting them: enough for their cache misses to
/// overlap, few enough for what was fetched to be there still.
const STRETCH: usize = 512;
/// As many beside posting, where waking another thread has to be worth it.
const STRETCH_BESIDE: usize = 2_048;

/// Payments ahead of the one that is posted whose account rows are being fetched.
const ROWS_AHEAD: usize = 512;

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

impl Ledger {
    /// Decides the payments of one request. A linked group ends with its first member that is not
    /// linked; one that is still open at the end of `payments` fails.
    ///
    /// Hands out one decision per payment, in order. A decision is large, and is best used up while
    /// it is in the nearest cache.
    ///
    /// # Errors
    /// When history can't be read. Some of the payments may have been decided then; the ledger must
    /// not be used any more.
    pub fn decide(
        &mut self,
        payments: &[Payment],
        gate: &mut impl Gate,
        mut decided: impl FnMut(&Decision),
    ) -> Result<(), HistoryError> {
        let request = Requested::without_contexts(payments);
        self.decide_with(&Alone, &request, gate, |decision, _| decided(decision))
    }

    /// Decides payments that are what a journal knows of one linked group: the last of them ends it,
    /// although it may be linked. The member that ended it then was a replay, which leaves no event.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_group_again(
        &mut self,
        members: &[Payment],
        gate: &mut impl Gate,
        mut decided: impl FnMut(&Decision),
    ) -> Result<(), HistoryError> {
        let request = Requested::without_contexts(members);
        self.decide_to_end(&Alone, &request, End::OfGroup, gate, |decision, _| decided(decision))
    }

    /// Decides as [`Self::decide`] does, resolving one stretch of the request beside posting the
    /// one before it, and with all shards side by side. The decisions are the same. They are handed
    /// out with the gate, which may have more to say of them.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_with<G: Gate>(
        &mut self,
        workers: &impl Workers,
        request: &Requested<'_>,
        gate: &mut G,
        decided: impl FnMut(&Decision, &G),
    ) -> Result<(), HistoryError> {
        self.decide_to_end(workers, request, End::OfRequest, gate, decided)
    }

    fn decide_to_end<G: Gate>(
        &mut self,
        workers: &impl Workers,
        request: &Requested<'_>,
        end: End,
        gate: &mut G,
        decided: impl FnMut(&Decision, &G),
    ) -> Result<(), HistoryError> {
        let &Requested { payments, contexts } = request;
        self.findings.reserve(payments.len());
        let (shards, books, findings) = (&mut self.shards, &mut self.books, &self.findings);
        let first_row = books.recent.len();
        let request = Request { payments, findings, recalled: Vec::new() };
        let looks_ahead = gate.looks_ahead();
        if looks_ahead {
            gate.begin_request(payments.len());
        }
        // A gate that looks ahead is given as much as another thread would be.
        let long = workers.side_by_side() || looks_ahead;
        let stretch_max = if long { STRETCH_BESIDE } else { STRETCH };
        let attempts =
            Attempts { looks_ahead, contexts, first_row, until: 0, positions: Vec::new() };
        let mut deciding = Deciding { books, request, end, gate, decided, attempts, at: 0 };
        let mut resolved = 0;
        while deciding.at < payments.len() {
            let positions = resolved..payments.len().min(resolved + stretch_max);
            let stretch = Stretch { payments, positions, first_row, findings };
            let ready = resolved;
            resolved = stretch.positions.end;
            let (mut recalled, mut result) = (Vec::new(), Ok(()));
            let resolve = || result = shards.resolve(&stretch, workers, &mut recalled);
            let beside = workers.side_by_side() && resolved > ready;
            match beside {
                true => workers.beside(resolve, || deciding.post_until(ready)),
                false => Alone.beside(resolve, || ()),
            }
            result?;
            deciding.request.recalled.append(&mut recalled);
            if !beside {
                deciding.post_until(resolved);
            }
        }
        Ok(())
    }
}

/// The payments of one request, in order.
#[derive(Clone, Copy)]
pub struct Requested<'a> {
    /// The payments.
    pub payments: &'a [Payment],
    /// Their contexts.
    pub contexts: &'a dyn Contexts,
}

impl<'a> Requested<'a> {
    /// Payments without contexts.
    #[must_use]
    pub fn without_contexts(payments: &'a [Payment]) -> Self {
        Self { payments, contexts: &NoContexts }
    }
}

/// What the end of the payments means for a linked group that is still open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was never closed.
    OfRequest,
    /// It ends here.
    OfGroup,
}

/// A request on its way through posting.
struct Deciding<'a, G, D> {
    books: &'a mut Books,
    request: Request<'a>,
    end: End,
    gate: &'a mut G,
    decided: D,
    attempts: Attempts<'a>,
    /// Position of the payment that is next.
    at: usize,
}

/// What the gate was told of the request so far.
struct Attempts<'a> {
    looks_ahead: bool,
    contexts: &'a dyn Contexts,
    /// Row of the request's first payment.
    first_row: u32,
    /// Position up to which it was told.
    until: usize,
    /// Scratch.
    positions: Vec<u32>,
}

/// A group member that was posted, until its group is complete.
struct Step {
    place: Place,
    posting: Posting,
    verdict: Verdict,
    balances: [Balances; 2],
}

impl<G: Gate, D: FnMut(&Decision, &G)> Deciding<'_, G, D> {
    /// Decides payments and groups that are resolved to their ends. `resolved` payments are.
    fn post_until(&mut self, resolved: usize) {
        let payments = self.request.payments;
        for position in self.at..resolved.min(self.at + ROWS_AHEAD) {
            self.prefetch_accounts(position);
        }
        while self.at < resolved {
            if self.attempts.looks_ahead && self.at == self.attempts.until {
                self.look_ahead(resolved);
            }
            let linked = |payment: &&Payment| payment.flags.has(PaymentFlags::LINKED);
            let group = payments[self.at..resolved].iter().take_while(linked).count();
            let end = self.at + group + 1;
            if end <= resolved {
                for ahead in self.at + ROWS_AHEAD..resolved.min(end + ROWS_AHEAD) {
                    self.prefetch_accounts(ahead);
                }
                match group {
                    0 => self.decide_one(),
                    _ => self.decide_group(end),
                }
                self.at = end;
            } else if resolved == payments.len() {
                match self.end {
                    End::OfRequest => self.refuse_unclosed(),
                    End::OfGroup => self.decide_group(resolved),
                }
                self.at = resolved;
            } else {
                return;
            }
        }
    }

    /// Tells the gate of the payments that are next, as far as it is certain now which of them will
    /// leave an event: a known id ends the block, and begins the next one, when all before it is
    /// posted.
    fn look_ahead(&mut self, resolved: usize) {
        let (payments, findings) = (self.request.payments, self.request.findings);
        let mut positions = std::mem::take(&mut self.attempts.positions);
        positions.clear();
        let mut start = self.at;
        while start < resolved {
            let linked = |payment: &&Payment| payment.flags.has(PaymentFlags::LINKED);
            let members = payments[start..resolved].iter().take_while(linked).count() + 1;
            let end = (start + members).min(payments.len());
            if end > resolved {
                break;
            }
            let first = |position: usize| findings.first[position].load(Relaxed);
            let formed = |position: usize| findings.defect[position].load(Relaxed) == 0;
            let in_order =
                |position: &usize| formed(*position) && is_observed(payments[*position].operation);
            let own_rows = self.attempts.first_row + start as u32..IN_HISTORY;
            if start > self.at
                && (start..end).filter(in_order).any(|position| {
                    first(position) != NOT_FOUND && !own_rows.contains(&first(position))
                })
            {
                break;
            }
            for position in (start..end).filter(in_order) {
                let counts = match first(position) {
                    NOT_FOUND => true,
                    row if own_rows.contains(&row) => false,
                    _ => {
                        let id = payments[position].id;
                        let is_event = |at| self.books.replay_of(&self.request, at).is_none();
                        let again = |earlier: usize| {
                            payments[earlier].id == id && formed(earlier) && is_event(earlier)
                        };
                        is_event(position) && !(start..position).any(again)
                    }
                };
                if counts {
                    positions.push(position as u32);
                }
            }
            start = end;
        }
        self.attempts.until = start;
        if !positions.is_empty() {
            let (contexts, at) = (self.attempts.contexts, self.books.time);
            self.gate.look_ahead(&Block { payments, positions: &positions, contexts, at });
        }
        self.attempts.positions = positions;
    }

    /// Has the rows of a payment's accounts fetched.
    #[inline]
    fn prefetch_accounts(&self, position: usize) {
        let findings = self.request.findings;
        for side in [&findings.debit, &findings.credit] {
            self.books.accounts.prefetch(side[position].load(Relaxed));
        }
    }

    #[inline]
    fn decide_one(&mut self) {
        let decision = match self.books.evaluate(&self.request, self.at, self.gate) {
            Evaluation::Replay(first) => {
                self.books.recent.push_vacant();
                self.books.replay(&first)
            }
            Evaluation::Refused { reason, accounts, verdict } => {
                self.books.refuse(&self.request, self.at, Slot::Next, reason, accounts, verdict)
            }
            Evaluation::Accepted { posting, verdict } => {
                let step = self.take_step(self.at, posting, verdict);
                self.books.accept(&self.request.payments[self.at], &step)
            }
        };
        (self.decided)(&decision, self.gate);
    }

    fn decide_group(&mut self, end: usize) {
        let start = self.at;
        let mut steps: Vec<Result<Step, StoredPayment>> = Vec::with_capacity(end - start);
        let mut culprit = None;
        self.gate.begin_group();
        for position in start..end {
            match self.books.evaluate(&self.request, position, self.gate) {
                Evaluation::Accepted { posting, verdict } => {
                    steps.push(Ok(self.take_step(position, posting, verdict)));
                }
                Evaluation::Replay(first) if first.outcome().is_accepted() => {
                    self.books.recent.push_vacant();
                    steps.push(Err(first));
                }
                failed => {
                    culprit = Some(failed);
                    break;
                }
            }
        }
        self.gate.end_group(culprit.is_none());
        match culprit {
            None => {
                for (position, step) in (start..end).zip(&steps) {
                    let decision = match step {
                        Ok(step) => self.books.accept(&self.request.payments[position], step),
                        Err(first) => self.books.replay(first),
                    };
                    (self.decided)(&decision, self.gate);
                }
            }
            Some(culprit) => self.fail_group(end, &steps, culprit),
        }
    }

    fn fail_group(
        &mut self,
        end: usize,
        steps: &[Result<Step, StoredPayment>],
        culprit: Evaluation,
    ) {
        let start = self.at;
        for (offset, step) in steps.iter().enumerate().rev() {
            if let Ok(step) = step {
                let first = self.request.first_row(start + offset);
                self.books.unpost(step.place, &step.posting, first);
            }
        }
        let member_failed = RejectReason::GroupMemberFailed;
        for position in start..end {
            let offset = position - start;
            let decision = match (steps.get(offset), &culprit) {
                (Some(Ok(step)), _) => {
                    let accounts = Some((step.posting.debit, step.posting.credit));
                    let verdict = step.verdict;
                    let slot = Slot::Given;
                    self.books.refuse(
                        &self.request,
                        position,
                        slot,
                        member_failed,
                        accounts,
                        verdict,
                    )
                }
                (None, Evaluation::Refused { reason, accounts, verdict })
                    if offset == steps.len() =>
                {
                    let slot = Slot::Next;
                    self.books.refuse(&self.request, position, slot, *reason, *accounts, *verdict)
                }
                (Some(Err(_)), _) => self.refuse_with_group(position, Slot::Given, member_failed),
                (None, _) => self.refuse_with_group(position, Slot::Next, member_failed),
            };
            (self.decided)(&decision, self.gate);
        }
    }

    fn refuse_unclosed(&mut self) {
        let last = self.request.payments.len() - 1;
        for position in self.at..=last {
            let reason = match position == last {
                true => RejectReason::GroupUnclosed,
                false => RejectReason::GroupMemberFailed,
            };
            let decision = self.refuse_with_group(position, Slot::Next, reason);
            (self.decided)(&decision, self.gate);
        }
    }

    /// Refuses a member for its group's sake, unless its id is taken already.
    fn refuse_with_group(&mut self, position: usize, slot: Slot, reason: RejectReason) -> Decision {
        match self.books.replay_of(&self.request, position) {
            Some(first) => {
                if slot == Slot::Next {
                    self.books.recent.push_vacant();
                }
                self.books.replay(&first)
            }
            None => {
                let verdict = Verdict::default();
                self.books.refuse(&self.request, position, slot, reason, None, verdict)
            }
        }
    }

    #[inline]
    fn take_step(&mut self, position: usize, posting: Posting, verdict: Verdict) -> Step {
        let payment = &self.request.payments[position];
        let first = self.request.first_row(position);
        let (place, balances) = self.books.post(payment, &posting, verdict, first);
        if is_observed(payment.operation) {
            self.gate.observe(Judged {
                payment,
                amount: Amount(posting.amount),
                at: self.books.time,
                position: position as u32,
                payer: posting.debit,
            });
        }
        Step { place, posting, verdict, balances }
    }
}

/// Whether a refused payment has its row already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Next,
    Given,
}

impl Books {
    #[inline]
    fn accept(&mut self, payment: &Payment, step: &Step) -> Decision {
        self.settle_sequence(step.place, &step.posting);
        self.payments_taken += 1;
        let stored = self.recent.get(step.place);
        let payment = match payment.operation.needs_original() {
            false => *payment,
            true => Payment {
                debit: self.accounts.id(stored.debit),
                credit: self.accounts.id(stored.credit),
                ledger: self.accounts.ledger(stored.debit),
                code: stored.code,
                ..*payment
            },
        };
        Decision::New(PaymentEvent {
            seq: stored.seq,
            payment,
            outcome: stored.outcome(),
            verdict: step.verdict,
            balances: Some(step.balances),
        })
    }

    fn refuse(
        &mut self,
        request: &Request<'_>,
        position: usize,
        slot: Slot,
        reason: RejectReason,
        accounts: Option<(u32, u32)>,
        verdict: Verdict,
    ) -> Decision {
        let seq = self.take_seq();
        let payment = &request.payments[position];
        let payment = self.with_accounts_filled_in(payment, accounts);
        match (reason.burns_id(), slot) {
            (true, _) => {
                let sides = self.sides_of(request, position, accounts);
                self.burn(&payment, sides, reason, verdict, request.first_row(position));
            }
            (false, Slot::Next) => self.recent.push_vacant(),
            (false, Slot::Given) => {}
        }
        Decision::New(PaymentEvent {
            seq,
            payment,
            outcome: Outcome::rejected(reason),
            verdict,
            balances: accounts.map(|(debit, credit)| self.balances_of(debit, credit)),
        })
    }

    /// The accounts that a refused payment names, or leaves to its original.
    fn sides_of(
        &self,
        request: &Request<'_>,
        position: usize,
        accounts: Option<(u32, u32)>,
    ) -> (u32, u32) {
        let payment = &request.payments[position];
        let (of_debit, of_credit) = accounts.unwrap_or((NO_ACCOUNT, NO_ACCOUNT));
        let named = |id: AccountId, found: &[AtomicU32], of_original| match id {
            AccountId::ZERO => of_original,
            _ => found[position].load(Relaxed),
        };
        (
            named(payment.debit, &request.findings.debit, of_debit),
            named(payment.credit, &request.findings.credit, of_credit),
        )
    }

    /// What a refused payment left to its original, so that readers know whose money it was.
    fn with_accounts_filled_in(&self, payment: &Payment, accounts: Option<(u32, u32)>) -> Payment {
        let mut filled_in = *payment;
        if let Some((debit, credit)) = accounts.filter(|_| payment.operation.needs_original()) {
            let or = |given: AccountId, of_original: AccountId| match given {
                AccountId::ZERO => of_original,
                given => given,
            };
            filled_in.debit = or(payment.debit, self.accounts.id(debit));
            filled_in.credit = or(payment.credit, self.accounts.id(credit));
            if payment.ledger == LedgerId(0) {
                filled_in.ledger = self.accounts.ledger(debit);
            }
        }
        filled_in
    }

    /// Takes the id of a refused payment, so that a retry gets the same refusal.
    pub(crate) fn burn(
        &mut self,
        payment: &Payment,
        (debit, credit): (u32, u32),
        reason: RejectReason,
        verdict: Verdict,
        first: Option<u32>,
    ) {
        let verdict = self.verdict_place(verdict);
        self.payments_taken += 1;
        let stored = StoredPayment {
            id: payment.id,
            amount: payment.amount,
            applied: 0,
            left: 0,
            original: PaymentId::ZERO,
            seq: self.last_seq,
            expires_at: Timestamp(0),
            context_digest: payment.context_digest,
            debit,
            credit,
            timeout_s: payment.timeout_s,
            code: payment.code,
            verdict,
            operation: payment.operation,
            flags: payment.flags,
            stage: Stage::Refused(reason),
        };
        self.recent.push(stored, first);
    }

    fn replay(&self, first: &StoredPayment) -> Decision {
        Decision::Replay {
            id: first.id,
            seq: first.seq,
            outcome: first.outcome(),
            verdict: self.verdict(first.verdict),
        }
    }
}

/// Whether the gate saw this accepted payment.
pub(crate) fn is_observed(operation: Operation) -> bool {
    !operation.needs_original()
}
