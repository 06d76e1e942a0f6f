//! Sequence: consumes submissions from the queue, has the `desk` carry them out, produces batches.
//!
//! Guarantees one order for everything. A batch closes by itself: it takes what is queued, up to a
//! maximum, and is handed over as soon as the committer is free; while that one is being synced,
//! the next fills. There is no timer but for holds that expire and, while nobody asks for anything,
//! for the snapshot that is due. Holds whose time has come expire before any payment of a later time is
//! decided; where they are many, time goes on in steps, and payments go on between them, unless time is a
//! second behind: then they wait.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, never, select};
use millrace_ledger::Gate;

use crate::{
    Command, JournalError,
    commit::Batch,
    desk::{BatchLimits, Desk, Recovered},
    readers::{Readers, Recalled},
    stats::EngineStats,
    submission::{Message, Submission},
};

/// Takes commands from the queue and hands batches over.
pub(crate) struct Sequencer<G> {
    queue: Receiver<Message>,
    /// What was asked of the readers.
    recalled: Receiver<Recalled>,
    committer: Sender<Batch>,
    desk: Desk<G>,
    stopping: bool,
}

impl<G: Gate> Sequencer<G> {
    pub(crate) fn new(
        state: Recovered<G>,
        limits: BatchLimits,
        queue: Receiver<Message>,
        committer: Sender<Batch>,
        spares: Receiver<Batch>,
        stats: EngineStats,
    ) -> Result<Self, JournalError> {
        let (readers, recalled) = Readers::start()?;
        let desk = Desk::new(state, limits, readers, spares, stats);
        Ok(Self { queue, recalled, committer, desk, stopping: false })
    }

    /// Runs until it is told to stop and the queue is empty, or the committer is gone.
    ///
    /// # Errors
    /// When history can't be read or written. Nothing of the batch that was open is released then.
    pub(crate) fn run(mut self) -> Result<(), JournalError> {
        loop {
            while !self.desk.is_full()
                && let Ok(recalled) = self.recalled.try_recv()
            {
                self.desk.answer(recalled);
            }
            while !self.desk.is_full()
                && let Ok(message) = self.queue.try_recv()
            {
                self.take(message);
            }
            if let Some(error) = self.desk.failed.take() {
                return Err(error);
            }
            let open = if self.desk.is_empty() { self.wait_for_work() } else { self.hand_over() };
            if !open {
                return self.desk.failed.take().map_or(Ok(()), Err);
            }
        }
    }

    /// Waits for a message, an answer of the readers, a hold that expires or a snapshot that is due.
    /// `false` when there is nothing left to do.
    fn wait_for_work(&mut self) -> bool {
        let desk = &mut self.desk;
        if self.stopping {
            // Whoever asked before the stop is answered, however long reading takes.
            desk.readers.end();
            if let Ok(recalled) = self.recalled.recv() {
                desk.answer(recalled);
                return true;
            }
            // A snapshot that is under way is finished: the next start is quicker for it.
            desk.upkeep.hurry();
            while desk.upkeep.go_on(&mut desk.ledger, &mut desk.gate) {}
            return false;
        }
        let expiry = desk.ledger.next_expiry().map(|at| desk.clock.until(at));
        if expiry == Some(Duration::ZERO) {
            desk.begin();
            return true;
        }
        // A snapshot that is under way goes on while nobody asks for anything.
        if desk.upkeep.go_on(&mut desk.ledger, &mut desk.gate) {
            return true;
        }
        // The clock may be set forward, or the machine may sleep.
        let expiry = expiry.map(|left| left.min(Duration::from_secs(1)));
        let snapshot = desk.upkeep.snapshot_due_in(&desk.ledger);
        let timer = expiry.into_iter().chain(snapshot).min().map_or_else(never, after);
        select! {
            recv(self.queue) -> message => match message {
                Ok(message) => self.take(message),
                Err(_) => return false,
            },
            recv(self.recalled) -> recalled => {
                recalled.into_iter().for_each(|recalled| desk.answer(recalled));
            }
            recv(timer) -> _ => {
                desk.begin();
                // A snapshot is begun where a batch ends: an empty one will do.
                let due = desk.upkeep.snapshot_due_in(&desk.ledger);
                if desk.is_empty() && due == Some(Duration::ZERO) {
                    return self.committer.send(desk.close()).is_ok();
                }
            }
        }
        true
    }

    /// Hands the batch to the committer, filling it on while that one is busy. `false` when the
    /// committer is gone.
    fn hand_over(&mut self) -> bool {
        let desk = &mut self.desk;
        if desk.is_full() || self.stopping {
            return self.committer.send(desk.close()).is_ok();
        }
        select! {
            recv(self.queue) -> message => {
                self.take(message.unwrap_or(Message::Stop));
                true
            }
            recv(self.recalled) -> recalled => {
                recalled.into_iter().for_each(|recalled| self.desk.answer(recalled));
                true
            }
            send(self.committer, desk.close()) -> sent => sent.is_ok(),
        }
    }

    fn take(&mut self, message: Message) {
        let Submission { command, deadline, .. } = match message {
            Message::Submission(submission) => submission,
            Message::Stop => {
                self.stopping = true;
                return;
            }
        };
        let Some(command) = still_wanted(command, deadline) else { return };
        let command = match self.begin() {
            Begun::AtOnce => Some(command),
            Begun::Later => still_wanted(command, deadline),
            Begun::Never => None,
        };
        if let Some(command) = command {
            self.desk.carry_out(command);
        }
    }

    /// Sees to it that a batch is open whose time is near the clock's.
    fn begin(&mut self) -> Begun {
        let desk = &mut self.desk;
        let mut begun = Begun::AtOnce;
        if desk.is_stale() {
            begun = Begun::Later;
            if self.committer.send(desk.close()).is_err() {
                return Begun::Never;
            }
        }
        desk.begin();
        // Holds that are overdue go first, in batches of their own.
        while desk.is_behind() {
            begun = Begun::Later;
            if desk.has_failed() || self.committer.send(desk.close()).is_err() {
                return Begun::Never;
            }
            desk.begin();
        }
        begun
    }
}

/// How long it took to begin a batch.
enum Begun {
    AtOnce,
    /// It may have taken seconds.
    Later,
    /// Nothing can be decided any more.
    Never,
}

/// A command that somebody waits for and whose deadline has not passed. The others are told so.
fn still_wanted(command: Command, deadline: Option<Instant>) -> Option<Command> {
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        command.expire();
        return None;
    }
    (!command.is_abandoned()).then_some(command)
}
