//! Commit: consumes decided batches in order, makes each durable, then releases it: to the feed, to
//! those who asked, and to the feeds of other processes.
//!
//! Guarantees that nothing is released before it is durable, and that who has an answer finds its
//! events in the engine's own feed. A failed write or sync ends the loop with its error: nothing of
//! that batch or a later one is ever released, and it is not retried, because after a failed sync
//! nobody knows what the disk holds.

use std::path::Path;

use crossbeam_channel::{Receiver, Sender};
use millrace_ledger::{Account, EventSeq, GateActError, HistoryError, PaymentView, Timestamp};

use crate::{
    AccountReply, Feed, JournalError, PaymentReply,
    frame::{FrameBuffer, FrameHash},
    segment::{Disk, SegmentWriter},
    submission::Reply,
    suspect_runs,
};

/// Where batches are made durable.
pub(crate) trait Log: Send + 'static {
    /// Writes a frame and waits until it is durable. Returns its hash.
    fn append(
        &mut self,
        frame: &mut FrameBuffer,
        first_seq: EventSeq,
        time: Timestamp,
    ) -> Result<FrameHash, JournalError>;

    /// Hash of the last frame that is durable.
    fn head(&self) -> FrameHash;
}

impl<D: Disk> Log for SegmentWriter<D> {
    fn append(
        &mut self,
        frame: &mut FrameBuffer,
        first_seq: EventSeq,
        time: Timestamp,
    ) -> Result<FrameHash, JournalError> {
        Self::append(self, frame, first_seq, time)
    }

    fn head(&self) -> FrameHash {
        Self::head(self)
    }
}

/// An answer that waits for its batch to be durable.
#[derive(Debug)]
pub(crate) enum Release {
    Payments(Reply<Vec<PaymentReply>>, Vec<PaymentReply>),
    Accounts(Reply<Vec<AccountReply>>, Vec<AccountReply>),
    Account(Reply<AccountReply>, AccountReply),
    Act(Reply<Result<EventSeq, GateActError>>, Result<EventSeq, GateActError>),
    FoundAccounts(Reply<Vec<Option<Account>>>, Vec<Option<Account>>),
    FoundPayment(
        Reply<Result<Option<PaymentView>, HistoryError>>,
        Box<Result<Option<PaymentView>, HistoryError>>,
    ),
}

impl Release {
    fn send(self, journal: &Path) {
        // Whoever does not wait any more will ask again: outcomes are kept by id.
        match self {
            Self::Payments(reply, replies) => drop(reply.send(Ok(replies))),
            Self::Accounts(reply, replies) => drop(reply.send(Ok(replies))),
            Self::Account(reply, outcome) => drop(reply.send(Ok(outcome))),
            Self::Act(reply, done) => drop(reply.send(Ok(done))),
            Self::FoundAccounts(reply, found) => drop(reply.send(Ok(found))),
            Self::FoundPayment(reply, found) => {
                if let Err(error) = &*found {
                    suspect_runs::mark(journal, &error.to_string());
                }
                drop(reply.send(Ok(*found)));
            }
        }
    }
}

/// A decided batch. Without events it needs no frame, but its answers wait their turn.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) frame: FrameBuffer,
    pub(crate) first_seq: EventSeq,
    pub(crate) time: Timestamp,
    pub(crate) releases: Vec<Release>,
    /// Items asked for, whether or not they made events: replays and reads fill a batch as well.
    pub(crate) answers: u32,
    /// Who wants to know the hash of the last frame once that is durable: the batch's own, if it has
    /// one.
    pub(crate) head_wanted: Option<Sender<FrameHash>>,
}

/// Runs until there are no more batches. Spent batches go back through `spares`.
pub(crate) fn run(
    mut log: impl Log,
    batches: &Receiver<Batch>,
    spares: &Sender<Batch>,
    feed: &Feed,
) -> Result<(), JournalError> {
    for mut batch in batches {
        let event_count = batch.frame.event_count();
        if event_count > 0 {
            log.append(&mut batch.frame, batch.first_seq, batch.time)?;
        }
        if let Some(wanted) = batch.head_wanted.take() {
            // Whoever takes a snapshot may have given it up.
            let _ = wanted.send(log.head());
        }
        let last_seq =
            (event_count > 0).then(|| EventSeq(batch.first_seq.0 + u64::from(event_count) - 1));
        last_seq.inspect(|seq| feed.advance(*seq));
        batch.releases.drain(..).for_each(|release| release.send(feed.directory()));
        // A system call, for which no answer waits.
        last_seq.inspect(|seq| feed.announce(*seq));
        // The sequencer may be gone already.
        drop(spares.try_send(batch));
    }
    Ok(())
}
