//! Decide: consumes the payments of one request in order, produces one decision for each.
//!
//! Guarantees: a linked group happens whole or not at all; only the member that failed carries its
//! own reason; an id that is taken keeps its first outcome, whatever group it turns up in again.
//!
//! [`stretches`] resolves and posts, in turn or side by side, [`look_ahead`] tells the gate of what
//! comes next, [`decision`] writes down what became of it.

mod decision;
mod look_ahead;
mod stretches;

use crate::{
    Alone, Amount, Balances, Contexts, EventSeq, Gate, HistoryError, Judged, Ledger, NoContexts,
    Payment, PaymentFlags, RejectReason, StoredPayment, Verdict, Workers,
    books::Books,
    post::{Evaluation, Posting, Stopped},
    recent::Place,
    resolve::Request,
};

use decision::Slot;
use look_ahead::Attempts;
use stretches::{BESIDE_MIN, Stretches};

pub use decision::Decision;
pub(crate) use look_ahead::is_observed;

/// Payments ahead of the one that is posted whose account rows are being fetched.
const ROWS_AHEAD: usize = 64;

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
        let looks_ahead = gate.looks_ahead();
        if looks_ahead {
            gate.begin_request(payments.len());
        }
        let beside = workers.threads_beside() > 0 && payments.len() >= BESIDE_MIN;
        let known = shards.look_back(&books.recent, payments);
        let stretches = Stretches::new(payments, first_row, findings, &known, looks_ahead, beside);
        let request = Request { payments, findings, recalled: Vec::new() };
        let attempts =
            Attempts { looks_ahead, contexts, first_row, until: 0, positions: Vec::new() };
        let deciding = Deciding { books, request, end, gate, decided, attempts, at: 0 };
        match beside {
            true => deciding.decide_beside(shards, &stretches, workers),
            false => deciding.decide_alone(shards, &stretches),
        }
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

    /// Has the rows of a payment's accounts fetched.
    #[inline]
    fn prefetch_accounts(&self, position: usize) {
        for account in self.request.findings.of(position).accounts() {
            self.books.accounts.prefetch(account);
        }
    }

    #[inline]
    fn decide_one(&mut self) {
        let Evaluation { verdict, posting } =
            self.books.evaluate(&self.request, self.at, self.gate);
        let decision = match posting {
            Ok(posting) => {
                let step = self.take_step(self.at, posting, verdict);
                self.books.accept(&self.request.payments[self.at], &step)
            }
            Err(stopped) => self.stop(stopped, verdict),
        };
        (self.decided)(&decision, self.gate);
    }

    /// The decision on a payment that is not posted.
    #[inline(never)]
    fn stop(&mut self, stopped: Stopped, verdict: Verdict) -> Decision {
        match stopped {
            Stopped::Replay => {
                self.books.recent.push_vacant();
                self.books.replay(&self.first_use(self.at))
            }
            Stopped::Refused(reason, accounts) => {
                self.books.refuse(&self.request, self.at, Slot::Next, reason, accounts, verdict)
            }
        }
    }

    /// The first use of an id that is known.
    fn first_use(&self, position: usize) -> StoredPayment {
        let first = self.books.replay_of(&self.request, position);
        first.expect("what is replayed was decided before")
    }

    fn decide_group(&mut self, end: usize) {
        let start = self.at;
        let mut steps: Vec<Result<Step, StoredPayment>> = Vec::with_capacity(end - start);
        let mut culprit = None;
        self.gate.begin_group();
        for position in start..end {
            let Evaluation { verdict, posting } =
                self.books.evaluate(&self.request, position, self.gate);
            let first = match posting {
                Err(Stopped::Replay) => Some(self.first_use(position)),
                _ => None,
            };
            match (posting, first) {
                (Ok(posting), _) => steps.push(Ok(self.take_step(position, posting, verdict))),
                (Err(_), Some(first)) if first.outcome().is_accepted() => {
                    self.books.recent.push_vacant();
                    steps.push(Err(first));
                }
                (Err(stopped), _) => {
                    culprit = Some((stopped, verdict));
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
                        // Its first use is of this group, and has its place in the sequence since.
                        Err(first) if first.seq == EventSeq(0) => {
                            self.books.replay(&self.first_use(position))
                        }
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
        culprit: (Stopped, Verdict),
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
                (None, (Stopped::Refused(reason, accounts), verdict)) if offset == steps.len() => {
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
                let accounts = self.books.original_sides(&self.request, position);
                let verdict = Verdict::default();
                self.books.refuse(&self.request, position, slot, reason, accounts, verdict)
            }
        }
    }

    #[inline(always)]
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
