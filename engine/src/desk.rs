//! The desk: consumes commands one after the other, carries them out on the ledger, produces the open batch:
//! a frame of events, and answers that wait until it is durable.
//!
//! Guarantees that an answer is released with what it tells of, or behind it. A batch has one time; the holds
//! that are due by then expire before anything else happens in it.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use millrace_ledger::{
    AccountEvent, AccountOutcome, Contexts, Decision, EventSeq, Gate, HoldExpired, Ledger, LookUp,
    Payment, PaymentFlags, Requested, Timestamp,
};

use crate::{
    AccountReply, Command, JournalError, PaymentReadError, PaymentReply,
    clock::Clock,
    commit::{Batch, Release},
    crew::Crew,
    frame::FrameBuffer,
    readers::{Readers, Recalled},
    record,
    stats::{EngineStats, Tally},
    upkeep::Upkeep,
};

/// A batch is full at so many events, or so many bytes, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    pub(crate) events_max: u32,
    pub(crate) bytes_max: usize,
    /// Nothing but overdue holds goes into a batch whose time is further behind the clock: a hold that was made
    /// in it would expire so much too early.
    pub(crate) behind_max: Duration,
}

/// What [`BatchLimits::behind_max`] is but in tests.
pub(crate) const BEHIND_MAX: Duration = Duration::from_secs(1);

/// A hold that expires takes so much of a frame, as a rule.
const HOLD_EXPIRED_BYTES: usize = 128;

/// Holds that expire late by so much are twice as many in a batch.
const LATE_STEP: Duration = Duration::from_millis(125);
/// They are doubled so often at most.
const LATE_STEPS_MAX: u32 = 4;

impl BatchLimits {
    /// Holds that may expire in a batch, where the first of them is late by so much: a quarter of it, so
    /// that payments don't wait. Where they come due faster than that, they are late by more and more,
    /// and so is the journal's time; the later, the more of them go first, and payments wait instead.
    fn holds_max(self, late: Duration) -> usize {
        let steps = (late.as_millis() / LATE_STEP.as_millis()).min(LATE_STEPS_MAX.into());
        let holds = (self.events_max as usize / 4) << steps;
        holds.min(self.bytes_max / HOLD_EXPIRED_BYTES).max(1)
    }
}

/// Where commands are carried out.
pub(crate) struct Desk<G> {
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) gate: G,
    workers: Crew,
    limits: BatchLimits,
    pub(crate) upkeep: Upkeep,
    pub(crate) readers: Readers,
    spares: Receiver<Batch>,
    pub(crate) batch: Batch,
    /// Whether the ledger was told of the batch that is open.
    begun: bool,
    expired: Vec<HoldExpired>,
    /// How many in the batch that is open, and their bytes: there is as much room for payments as without
    /// them.
    expired_count: u32,
    expired_bytes: usize,
    /// How far the time of the batch that is open was behind the clock when it was begun, and when that was.
    behind: Duration,
    begun_at: Instant,
    stats: EngineStats,
    /// Why nothing can be decided any more.
    pub(crate) failed: Option<JournalError>,
}

/// What the sequencer works on, as recovery left it.
pub(crate) struct Recovered<G> {
    pub(crate) ledger: Ledger,
    pub(crate) gate: G,
    pub(crate) workers: Crew,
    pub(crate) upkeep: Upkeep,
}

impl<G: Gate> Desk<G> {
    pub(crate) fn new(
        state: Recovered<G>,
        limits: BatchLimits,
        readers: Readers,
        spares: Receiver<Batch>,
        stats: EngineStats,
    ) -> Self {
        let Recovered { ledger, gate, workers, upkeep } = state;
        Self {
            clock: Clock::after(ledger.time()),
            ledger,
            gate,
            workers,
            limits,
            upkeep,
            readers,
            spares,
            batch: empty_batch(),
            begun: false,
            expired: Vec::new(),
            expired_count: 0,
            expired_bytes: 0,
            behind: Duration::ZERO,
            begun_at: Instant::now(),
            stats,
            failed: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.frame.event_count() == 0 && self.batch.releases.is_empty()
    }

    /// A desk that failed takes no more: what it decides from then on is never handed over.
    pub(crate) fn is_full(&self) -> bool {
        self.failed.is_some()
            || self.batch.answers >= self.limits.events_max
            || self.batch.frame.event_count() - self.expired_count >= self.limits.events_max
            || self.batch.frame.len() - self.expired_bytes >= self.limits.bytes_max
    }

    /// Begins a batch, unless one is open: sets its time, and expires the holds that are due.
    pub(crate) fn begin(&mut self) {
        if self.begun {
            return;
        }
        self.batch.first_seq = self.ledger.last_seq().next();
        let now = self.clock.tell();
        let since = |at: Timestamp| Duration::from_nanos(now.0.saturating_sub(at.0));
        let late = self.ledger.next_expiry().map_or(Duration::ZERO, since);
        let holds_max = self.limits.holds_max(late);
        self.batch.time = self.ledger.batch_time(now, holds_max);
        self.behind = since(self.batch.time);
        self.begun_at = Instant::now();
        self.stats.note_clock(self.clock.ahead(), self.behind);
        self.ledger.begin_batch_within(self.batch.time, holds_max, &mut self.expired);
        self.expired_count = self.expired.len() as u32;
        let bytes_before = self.batch.frame.len();
        for event in self.expired.drain(..) {
            record::encode_hold_expired(&event, self.batch.frame.begin_event().0);
        }
        self.expired_bytes = self.batch.frame.len() - bytes_before;
        // If nothing was due, the next message begins anew, at its own time.
        self.begun = self.batch.frame.event_count() > 0;
    }

    /// Whether more holds are to expire before anything else happens: others of the moment that the batch has,
    /// or too many of later ones.
    pub(crate) fn is_behind(&self) -> bool {
        let more_due = self.ledger.next_expiry().is_some_and(|due| due <= self.batch.time);
        more_due || self.behind > self.limits.behind_max
    }

    /// Whether the time of the batch that is open is too far behind the clock by now: syncing the one before it
    /// takes that long.
    pub(crate) fn is_stale(&self) -> bool {
        let left = self.limits.behind_max.saturating_sub(self.behind);
        self.begun && self.begun_at.elapsed() > left
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Closes the batch and puts an empty one in its place, made of a spent one where there is one.
    pub(crate) fn close(&mut self) -> Batch {
        (self.begun, self.expired_count, self.expired_bytes) = (false, 0, 0);
        self.stats.note_batch();
        self.ledger.end_batch();
        let upkeep = self.upkeep.between_batches(&mut self.ledger, &mut self.gate, &mut self.batch);
        if let Err(error) = upkeep {
            // What comes of a failure tells less than the failure.
            self.failed.get_or_insert(error);
        }
        let mut next = self.spares.try_recv().unwrap_or_else(|_| empty_batch());
        next.frame.clear();
        next.answers = 0;
        next.head_wanted = None;
        std::mem::replace(&mut self.batch, next)
    }

    pub(crate) fn carry_out(&mut self, command: Command) {
        self.begun = true;
        let weight = command.weight();
        let release = match command {
            Command::Payments { payments, contexts, reply } => {
                Release::Payments(reply, self.decide(&payments, &contexts))
            }
            Command::CreateAccounts { specs, acts, reply } => {
                if !acts.is_empty() && specs.iter().any(|spec| self.ledger.may_open(spec).is_ok()) {
                    for act in &acts {
                        self.record_act(act);
                    }
                }
                let replies = specs.iter().map(|spec| {
                    let (outcome, event) = self.ledger.create_account(spec);
                    record_account(&mut self.batch.frame, spec.id, outcome, event)
                });
                Release::Accounts(reply, replies.collect())
            }
            Command::UpdateAccount { id, change, act, reply } => {
                if let Some(act) = act.filter(|_| self.ledger.would_change(id, change)) {
                    self.record_act(&act);
                }
                let (outcome, event) = self.ledger.update_account(id, change);
                let outcome = record_account(&mut self.batch.frame, id, outcome, event);
                Release::Account(reply, outcome)
            }
            Command::Act { act, reply } => {
                let done = self.gate.act(&act, self.batch.time);
                Release::Act(reply, done.map(|()| self.record_act(&act)))
            }
            Command::GetAccounts { ids, reply } => {
                let found = ids.into_iter().map(|id| self.ledger.account(id));
                Release::FoundAccounts(reply, found.collect())
            }
            Command::GetPayment { id, reply } => match self.ledger.look_up(id) {
                LookUp::InMemory(view) => {
                    Release::FoundPayment(reply, Box::new(Ok(view.map(|view| *view))))
                }
                LookUp::InHistory(history) => match self.readers.ask(id, history, reply) {
                    Ok(()) => {
                        // Nothing came of it yet: the next message may begin the batch anew.
                        self.begun = !self.is_empty();
                        return;
                    }
                    Err(reply) => {
                        Release::FoundPayment(reply, Box::new(Err(PaymentReadError::Busy)))
                    }
                },
            },
        };
        self.release(release, weight);
    }

    /// Takes what the readers found into the batch: it is released in turn.
    pub(crate) fn answer(&mut self, Recalled { found, reply }: Recalled) {
        let view = found.map(|stored| stored.map(|stored| self.ledger.view(&stored)));
        self.release(Release::FoundPayment(reply, Box::new(view)), 1);
    }

    fn release(&mut self, release: Release, weight: u32) {
        self.batch.answers = self.batch.answers.saturating_add(weight);
        self.batch.releases.push(release);
    }

    fn record_act(&mut self, act: &[u8]) -> EventSeq {
        let (events, contexts) = self.batch.frame.begin_event();
        record::encode_act(act, events, contexts);
        self.ledger.record_act().seq
    }

    fn decide(&mut self, payments: &[Payment], contexts: &[bytes::Bytes]) -> Vec<PaymentReply> {
        let frame = &mut self.batch.frame;
        let mut replies = Vec::with_capacity(payments.len());
        let mut tally = Tally::default();
        // Whether the group that is open has an event: replays leave none.
        let mut group_has_event = false;
        let decided = |decision: &Decision, gate: &G| {
            let position = replies.len();
            let continues_group = group_has_event;
            let goes_on = payments[position].flags.has(PaymentFlags::LINKED);
            let is_event = matches!(decision, Decision::New(_));
            group_has_event = goes_on && (group_has_event || is_event);
            replies.push(match decision {
                Decision::New(event) => {
                    tally.add(event);
                    let context = Beside(contexts);
                    let context = context.context(position);
                    let evidence = gate.evidence(position as u32);
                    let (records, contexts) = frame.begin_event();
                    record::encode_payment(
                        event,
                        context,
                        evidence,
                        continues_group,
                        records,
                        contexts,
                    );
                    PaymentReply {
                        id: event.payment.id,
                        seq: event.seq,
                        outcome: event.outcome,
                        verdict: event.verdict,
                        replayed: false,
                    }
                }
                Decision::Replay { id, seq, outcome, verdict } => PaymentReply {
                    id: *id,
                    seq: *seq,
                    outcome: *outcome,
                    verdict: *verdict,
                    replayed: true,
                },
            });
        };
        let request = Requested { payments, contexts: &Beside(contexts) };
        let gate = &mut self.gate;
        if let Err(error) = self.ledger.decide_with(&self.workers, &request, gate, decided) {
            self.failed.get_or_insert(error.into());
        }
        self.stats.note_request(replies.len(), &tally);
        replies
    }
}

/// Contexts beside their payments; none at all when no payment has one.
struct Beside<'a>(&'a [bytes::Bytes]);

impl Contexts for Beside<'_> {
    fn context(&self, position: usize) -> &[u8] {
        self.0.get(position).map_or(&[], |context| context)
    }
}

fn record_account(
    frame: &mut FrameBuffer,
    id: millrace_ledger::AccountId,
    outcome: AccountOutcome,
    event: Option<AccountEvent>,
) -> AccountReply {
    if let Some(event) = &event {
        record::encode_account(event, frame.begin_event().0);
    }
    AccountReply { id, seq: event.map(|event| event.seq), outcome }
}

fn empty_batch() -> Batch {
    let mut frame = FrameBuffer::default();
    frame.clear();
    Batch {
        frame,
        first_seq: EventSeq(0),
        time: Timestamp(0),
        releases: Vec::new(),
        answers: 0,
        head_wanted: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_holds_are_the_more_of_them_go_first() {
        let ms = Duration::from_millis;
        for (events_max, late, expected) in [
            (16_384, ms(0), 4_096),
            (16_384, ms(124), 4_096),
            (16_384, ms(125), 8_192),
            (16_384, ms(499), 32_768),
            (16_384, ms(500), 65_536),
            (16_384, Duration::MAX, 65_536),
            (1, ms(0), 1),
            (4, ms(500), 16),
            (1 << 20, Duration::MAX, 65_536),
        ] {
            let limits = BatchLimits { events_max, bytes_max: 8 << 20, behind_max: BEHIND_MAX };
            assert_eq!(limits.holds_max(late), expected, "{events_max}, {late:?}");
        }
    }
}
