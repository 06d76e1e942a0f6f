//! Submissions: consumes what the front door hands over, produces the queue that the sequencer
//! takes it from.
//!
//! Guarantees that the queue is bounded, by weight: one per payment or account, and one more per
//! 128 bytes of context. A submission that finds no room waits for it, for as long as its sender
//! allows.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;
use millrace_ledger::{
    Account, AccountChange, AccountId, AccountOutcome, AccountSpec, EventSeq, GateActError,
    HistoryError, Outcome, Payment, PaymentId, PaymentView, Verdict,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What became of a payment, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentReply {
    /// The payment.
    pub id: PaymentId,
    /// Position of its event.
    pub seq: EventSeq,
    /// What became of it.
    pub outcome: Outcome,
    /// What risk said.
    pub verdict: Verdict,
    /// The id was known: this is its first outcome again.
    pub replayed: bool,
}

/// What became of an account command, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountReply {
    /// The account.
    pub id: AccountId,
    /// Position of its event; `None` when nothing happened.
    pub seq: Option<EventSeq>,
    /// What became of it.
    pub outcome: AccountOutcome,
}

/// The submission was dropped before it was sequenced, because its deadline had passed: nothing
/// happened and nothing will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

/// Where an answer goes. It arrives once what it tells is durable.
pub type Reply<T> = oneshot::Sender<Result<T, Expired>>;

/// What is asked of the engine.
#[derive(Debug)]
pub enum Command {
    /// Decide the payments of one request.
    Payments {
        /// In order; linked groups end within.
        payments: Vec<Payment>,
        /// The encoded context of each payment; empty when no payment has one.
        contexts: Vec<Bytes>,
        /// One reply per payment, in order.
        reply: Reply<Vec<PaymentReply>>,
    },
    /// Open accounts.
    CreateAccounts {
        /// In order.
        specs: Vec<AccountSpec>,
        /// Acts that say who asks for it and why, at most 64 KiB each: journaled before the accounts,
        /// in their batch, if any of them is new. The gate has no part in them.
        acts: Vec<Bytes>,
        /// One reply per account, in order.
        reply: Reply<Vec<AccountReply>>,
    },
    /// Change an account.
    UpdateAccount {
        /// The account.
        id: AccountId,
        /// What to change.
        change: AccountChange,
        /// The act that says who asks for it and why, as with [`Command::CreateAccounts`].
        act: Option<Bytes>,
        /// What became of it.
        reply: Reply<AccountReply>,
    },
    /// Carry out an analyst's act.
    Act {
        /// What to do, as the gate understands it. At most 64 KiB.
        act: Bytes,
        /// Position of its event, or why it was not carried out.
        reply: Reply<Result<EventSeq, GateActError>>,
    },
    /// Read accounts as they stand after all that was submitted before.
    GetAccounts {
        /// Which ones.
        ids: Vec<AccountId>,
        /// One answer per id, in order.
        reply: Reply<Vec<Option<Account>>>,
    },
    /// Read a payment as it stands after all that was submitted before.
    GetPayment {
        /// Which one.
        id: PaymentId,
        /// What is known of it, or why that can't be read. Nothing else waits for this answer: a
        /// payment that needs what can't be read is another matter, and stops the engine.
        reply: Reply<Result<Option<PaymentView>, HistoryError>>,
    },
}

impl Command {
    /// Room that the command takes in the queue.
    pub(crate) fn weight(&self) -> u32 {
        let weight = match self {
            Self::Payments { payments, contexts, .. } => {
                let context_bytes: usize = contexts.iter().map(Bytes::len).sum();
                payments.len() + context_bytes / 128
            }
            Self::CreateAccounts { specs, acts, .. } => {
                specs.len() + acts.iter().map(Bytes::len).sum::<usize>() / 128
            }
            Self::GetAccounts { ids, .. } => ids.len(),
            Self::Act { act, .. } => act.len() / 128,
            Self::UpdateAccount { .. } | Self::GetPayment { .. } => 1,
        };
        u32::try_from(weight.max(1)).unwrap_or(u32::MAX)
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Payments { reply, .. } => reply.is_closed(),
            Self::CreateAccounts { reply, .. } => reply.is_closed(),
            Self::UpdateAccount { reply, .. } => reply.is_closed(),
            Self::Act { reply, .. } => reply.is_closed(),
            Self::GetAccounts { reply, .. } => reply.is_closed(),
            Self::GetPayment { reply, .. } => reply.is_closed(),
        }
    }

    /// Tells whoever waits that the command was dropped.
    pub(crate) fn expire(self) {
        // A reply that nobody waits for goes nowhere, and that is fine.
        match self {
            Self::Payments { reply, .. } => drop(reply.send(Err(Expired))),
            Self::CreateAccounts { reply, .. } => drop(reply.send(Err(Expired))),
            Self::UpdateAccount { reply, .. } => drop(reply.send(Err(Expired))),
            Self::Act { reply, .. } => drop(reply.send(Err(Expired))),
            Self::GetAccounts { reply, .. } => drop(reply.send(Err(Expired))),
            Self::GetPayment { reply, .. } => drop(reply.send(Err(Expired))),
        }
    }
}

/// A command in the queue.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) command: Command,
    pub(crate) deadline: Option<Instant>,
    /// Its room in the queue, given back when the command is taken out.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What travels to the sequencer.
#[derive(Debug)]
pub(crate) enum Message {
    Submission(Submission),
    /// Decide what is queued, then stop.
    Stop,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue had no room within the time allowed.
    QueueFull,
    /// The engine is stopping or has stopped.
    Stopped,
}

/// Puts commands into the engine's queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Submitter {
    queue: Sender<Message>,
    room: Arc<Semaphore>,
    room_max: u32,
}

impl Submitter {
    pub(crate) fn new(queue: Sender<Message>, room_max: u32) -> Self {
        Self { queue, room: Arc::new(Semaphore::new(room_max as usize)), room_max }
    }

    /// Queues a command. A command that is still queued at `deadline` is dropped and its reply is
    /// [`Expired`]; one that was taken out before is carried out, whatever its sender does.
    ///
    /// # Errors
    /// When there is no room until `room_deadline`, or the engine has stopped.
    pub async fn submit(
        &self,
        command: Command,
        deadline: Option<Instant>,
        room_deadline: Instant,
    ) -> Result<(), SubmitError> {
        let weight = command.weight().min(self.room_max);
        let room = match self.room.clone().try_acquire_many_owned(weight) {
            Ok(room) => room,
            Err(_) => {
                let room = self.room.clone().acquire_many_owned(weight);
                tokio::time::timeout_at(room_deadline.into(), room)
                    .await
                    .map_err(|_| SubmitError::QueueFull)?
                    .map_err(|_| SubmitError::Stopped)?
            }
        };
        self.queue
            .send(Message::Submission(Submission { command, deadline, _room: room }))
            .map_err(|_| SubmitError::Stopped)
    }

    /// Room that waiting commands take, and how much there is.
    #[must_use]
    pub fn queue_weight(&self) -> (u32, u32) {
        let free = u32::try_from(self.room.available_permits()).unwrap_or(self.room_max);
        (self.room_max.saturating_sub(free), self.room_max)
    }

    pub(crate) fn stop(&self) {
        self.room.close();
        // An engine that is gone has stopped.
        drop(self.queue.send(Message::Stop));
    }
}
