//! Sequence: consumes submissions from the queue, decides them on the ledger, produces batches.
//!
//! Guarantees one order for everything. A batch closes by itself: it takes what is queued, up to a
//! maximum, and is handed over as soon as the committer is free; while that one is being synced,
//! the next fills. There is no timer but for holds that expire.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};
use millrace_ledger::{
    AccountEvent, AccountOutcome, Decision, Gate, HoldExpired, Ledger, Payment, Timestamp,
};

use crate::{
    AccountReply, Command, JournalError, PaymentReply,
    commit::{Batch, Release},
    frame::FrameBuffer,
    record,
    submission::{Message, Submission},
};

/// A batch is full at so many events, or so many bytes, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    pub(crate) events_max: u32,
    pub(crate) bytes_max: usize,
}

pub(crate) struct Sequencer<G> {
    pub(crate) ledger: Ledger,
    pub(crate) gate: G,
    pub(crate) limits: BatchLimits,
    pub(crate) queue: Receiver<Message>,
    pub(crate) committer: Sender<Batch>,
    pub(crate) spares: Receiver<Batch>,
    batch: Batch,
    /// Whether the ledger was told of the batch that is open.
    begun: bool,
    stopping: bool,
    expired: Vec<HoldExpired>,
    /// Why nothing can be decided any more.
    failed: Option<JournalError>,
}

impl<G: Gate> Sequencer<G> {
    pub(crate) fn new(
        ledger: Ledger,
        gate: G,
        limits: BatchLimits,
        queue: Receiver<Message>,
        committer: Sender<Batch>,
        spares: Receiver<Batch>,
    ) -> Self {
        let batch = empty_batch();
        Self {
            ledger,
            gate,
            limits,
            queue,
            committer,
            spares,
            batch,
            begun: false,
            stopping: false,
            expired: Vec::new(),
            failed: None,
        }
    }

    /// Runs until it is told to stop and the queue is empty, or the committer is gone.
    ///
    /// # Errors
    /// When history can't be read. Nothing of the batch that was open is released then.
    pub(crate) fn run(mut self) -> Result<(), JournalError> {
        loop {
            while !self.is_full()
                && self.failed.is_none()
                && let Ok(message) = self.queue.try_recv()
            {
                self.take(message);
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let open = if self.is_empty() { self.wait_for_work() } else { self.hand_over() };
            if !open {
                return Ok(());
            }
        }
    }

    /// Waits for a message or a hold that expires. `false` when there is nothing left to do.
    fn wait_for_work(&mut self) -> bool {
        if self.stopping {
            return false;
        }
        let message = match self.ledger.next_expiry() {
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => {
                let wait = Duration::from_nanos(at.0.saturating_sub(now().0));
                self.queue.recv_timeout(wait)
            }
        };
        match message {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => self.begin(),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    /// Hands the batch to the committer, filling it on while that one is busy. `false` when the
    /// committer is gone.
    fn hand_over(&mut self) -> bool {
        if self.is_full() || self.stopping {
            let batch = self.close();
            return self.committer.send(batch).is_ok();
        }
        select! {
            recv(self.queue) -> message => {
                self.take(message.unwrap_or(Message::Stop));
                true
            }
            send(self.committer, close(&self.ledger, &self.spares, &mut self.batch)) -> sent => {
                self.begun = false;
                sent.is_ok()
            }
        }
    }

    fn close(&mut self) -> Batch {
        self.begun = false;
        close(&self.ledger, &self.spares, &mut self.batch)
    }

    fn is_empty(&self) -> bool {
        self.batch.frame.event_count() == 0 && self.batch.releases.is_empty()
    }

    fn is_full(&self) -> bool {
        self.batch.answers >= self.limits.events_max
            || self.batch.frame.event_count() >= self.limits.events_max
            || self.batch.frame.len() >= self.limits.bytes_max
    }

    fn take(&mut self, message: Message) {
        let Submission { command, deadline, .. } = match message {
            Message::Submission(submission) => submission,
            Message::Stop => {
                self.stopping = true;
                return;
            }
        };
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            command.expire();
        } else if !command.is_abandoned() {
            self.begin();
            // More holds are due than fit into one batch: they go first, in batches of their own.
            while self.ledger.next_expiry().is_some_and(|due| due <= self.batch.time) {
                let batch = self.close();
                if self.committer.send(batch).is_err() {
                    return;
                }
                self.begin();
            }
            self.carry_out(command);
        }
    }

    /// Begins a batch, unless one is open: sets its time, and expires the holds that are due.
    fn begin(&mut self) {
        if self.begun {
            return;
        }
        self.batch.first_seq = self.ledger.last_seq().next();
        self.batch.time = now().max(self.ledger.time());
        let holds_max = self.limits.events_max as usize;
        self.ledger.begin_batch_within(self.batch.time, holds_max, &mut self.expired);
        for event in self.expired.drain(..) {
            record::encode_hold_expired(&event, self.batch.frame.begin_event().0);
        }
        // If nothing was due, the next message begins anew, at its own time.
        self.begun = self.batch.frame.event_count() > 0;
    }

    fn carry_out(&mut self, command: Command) {
        self.begun = true;
        self.batch.answers = self.batch.answers.saturating_add(command.weight());
        let release = match command {
            Command::Payments { payments, contexts, reply } => {
                Release::Payments(reply, self.decide(&payments, &contexts))
            }
            Command::CreateAccounts { specs, reply } => {
                let replies = specs.iter().map(|spec| {
                    let (outcome, event) = self.ledger.create_account(spec);
                    record_account(&mut self.batch.frame, spec.id, outcome, event)
                });
                Release::Accounts(reply, replies.collect())
            }
            Command::UpdateAccount { id, change, reply } => {
                let (outcome, event) = self.ledger.update_account(id, change);
                let outcome = record_account(&mut self.batch.frame, id, outcome, event);
                Release::Account(reply, outcome)
            }
            Command::GetAccounts { ids, reply } => {
                let found = ids.into_iter().map(|id| self.ledger.account(id));
                Release::FoundAccounts(reply, found.collect())
            }
            Command::GetPayment { id, reply } => {
                let found = self.ledger.payment(id).unwrap_or_else(|error| {
                    self.failed = Some(error.into());
                    None
                });
                Release::FoundPayment(reply, Box::new(found))
            }
        };
        self.batch.releases.push(release);
    }

    fn decide(&mut self, payments: &[Payment], contexts: &[bytes::Bytes]) -> Vec<PaymentReply> {
        let frame = &mut self.batch.frame;
        let mut replies = Vec::with_capacity(payments.len());
        let decided = |decision: &Decision| {
            let position = replies.len();
            replies.push(match decision {
                Decision::New(event) => {
                    let context = contexts.get(position).map_or(&[][..], |context| &context[..]);
                    let (events, frame_contexts) = frame.begin_event();
                    record::encode_payment(event, context, events, frame_contexts);
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
        if let Err(error) = self.ledger.decide(payments, &mut self.gate, decided) {
            self.failed = Some(error.into());
        }
        replies
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

/// Closes the batch and puts an empty one in its place, made of a spent one where there is one.
fn close(ledger: &Ledger, spares: &Receiver<Batch>, batch: &mut Batch) -> Batch {
    ledger.end_batch();
    let mut next = spares.try_recv().unwrap_or_else(|_| empty_batch());
    next.frame.clear();
    next.answers = 0;
    std::mem::replace(batch, next)
}

fn empty_batch() -> Batch {
    let mut frame = FrameBuffer::default();
    frame.clear();
    Batch {
        frame,
        first_seq: millrace_ledger::EventSeq(0),
        time: Timestamp(0),
        releases: Vec::new(),
        answers: 0,
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_epoch.as_nanos() as u64)
}
