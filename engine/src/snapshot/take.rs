//! Takes snapshots on a thread of its own: consumes slices of the ledger, produces snapshot files.
//!
//! Guarantees that the engine never waits for it: a slice that finds no room is asked for again
//! later. A snapshot gets its name when the frame that it stands after is durable, so it is never
//! ahead of the journal. The two newest are kept; what only older ones needed is removed.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use millrace_ledger::{Account, EventSeq, SnapshotBegun, StoredPayment};

use super::write::SnapshotWriter;
use crate::{
    JournalError,
    frame::FrameHash,
    pace::{Hurry, Pace},
    past::Run,
    retention::Aftercare,
    segment::JournalId,
    threads,
};

/// Slices that wait to be written at most.
const SLICES_MAX: usize = 4;

/// Holds of a section, as many as a slice has.
const HOLDS_SECTION_MAX: usize = 4_096;

/// Snapshots that are kept.
const KEPT_MAX: usize = 2;

/// A piece of the ledger and its gate as they stood when the snapshot was begun. Written ones come back,
/// so that the next is filled without asking the system for memory: between batches that takes longer than
/// filling it.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) accounts: Vec<Account>,
    pub(crate) holds: Vec<StoredPayment>,
    pub(crate) gate: Vec<u8>,
}

impl Slice {
    pub(crate) fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.holds.is_empty() && self.gate.is_empty()
    }

    fn clear(&mut self) {
        self.accounts.clear();
        self.holds.clear();
        self.gate.clear();
    }
}

/// A snapshot that is there, with the runs that it needs: as long as it is kept, so are they.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) seq: EventSeq,
    pub(crate) path: PathBuf,
    pub(crate) runs: Vec<Arc<Run>>,
}

impl Kept {
    /// Names of the runs that it needs.
    pub(crate) fn run_names(&self) -> impl Iterator<Item = String> {
        self.runs.iter().map(|run| run.name().to_owned())
    }
}

/// Takes one snapshot after the other.
#[derive(Clone, Debug)]
pub(crate) struct Snapshotter {
    directory: PathBuf,
    journal: JournalId,
    /// Newest first.
    kept: Arc<Mutex<Vec<Kept>>>,
    /// 0 for as fast as it gets.
    bytes_per_s: u64,
    aftercare: Aftercare,
    hurry: Hurry,
}

/// A snapshot that is being taken. Dropped before its end, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Taking {
    slices: Option<Sender<Slice>>,
    /// Slices that were written, empty again.
    spares: Receiver<Slice>,
    /// A slice that found no room.
    waiting: Option<Slice>,
    thread: JoinHandle<Result<EventSeq, JournalError>>,
}

impl Snapshotter {
    pub(crate) fn new(
        journal: JournalId,
        kept: Vec<Kept>,
        bytes_per_s: u64,
        aftercare: Aftercare,
    ) -> Self {
        let directory = super::directory(&aftercare.journal);
        let kept = Arc::new(Mutex::new(kept));
        Self { directory, journal, kept, bytes_per_s, aftercare, hurry: Hurry::default() }
    }

    /// There are no payments any more that a snapshot could hold up: one that is under way is
    /// written as fast as it gets, and what could follow it is left for the next time.
    pub(crate) fn hurry(&self) {
        self.hurry.begin();
    }

    /// The last event that the newest snapshot knows; 0 where there is none.
    pub(crate) fn newest_seq(&self) -> EventSeq {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.first().map_or(EventSeq(0), |kept| kept.seq)
    }

    /// The last event that the older of both kept snapshots knows: recovery never reads further
    /// back.
    fn oldest_seq(&self) -> Option<EventSeq> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last().filter(|_| kept.len() == KEPT_MAX).map(|kept| kept.seq)
    }

    /// Starts taking a snapshot. `runs` and `head` arrive when history has all of its generations,
    /// and when its frame is durable.
    pub(crate) fn take(
        &self,
        begun: SnapshotBegun,
        runs: Receiver<Vec<Arc<Run>>>,
        head: Receiver<FrameHash>,
    ) -> Result<Taking, JournalError> {
        let (slices, incoming) = bounded(SLICES_MAX);
        let (written, spares) = bounded(SLICES_MAX);
        let this = self.clone();
        let take = move || this.write(begun, &runs, (&incoming, &written), &head);
        let thread = threads::spawn("snapshot", take)?;
        Ok(Taking { slices: Some(slices), spares, waiting: None, thread })
    }

    fn write(
        &self,
        begun: SnapshotBegun,
        runs: &Receiver<Vec<Arc<Run>>>,
        (slices, spares): (&Receiver<Slice>, &Sender<Slice>),
        head: &Receiver<FrameHash>,
    ) -> Result<EventSeq, JournalError> {
        let given_up = |_| JournalError::snapshot(&self.directory, "it was given up".to_owned());
        let (begun, uncarried) = begun.into_head();
        let (seq, accounts) = (begun.last_seq, begun.accounts);
        let pace = Pace::new(self.bytes_per_s, self.hurry.clone());
        let mut writer = SnapshotWriter::create(&self.directory, self.journal, &begun, pace)?;
        let runs = runs.recv().map_err(given_up)?;
        writer.runs(runs.iter().map(|run| run.name()))?;
        uncarried.chunks(HOLDS_SECTION_MAX).try_for_each(|holds| writer.holds(holds))?;
        drop(uncarried);
        let mut written = 0;
        for mut slice in slices {
            let Slice { accounts, holds, gate } = &slice;
            written += accounts.len() as u64;
            writer.accounts(accounts)?;
            writer.holds(holds)?;
            writer.gate(gate)?;
            slice.clear();
            let _ = spares.try_send(slice);
        }
        if written != accounts {
            return Err(JournalError::snapshot(&self.directory, "it was given up".to_owned()));
        }
        let path = writer.finish(head.recv().map_err(given_up)?)?;
        self.keep(Kept { seq, path, runs });
        if let Some(covered) = self.oldest_seq() {
            self.aftercare.attend(covered, || self.hurry.is_on());
        }
        Ok(seq)
    }

    fn keep(&self, newest: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.seq != newest.seq);
        kept.insert(0, newest);
        let stay = kept.len().min(KEPT_MAX);
        let gone = kept.split_off(stay);
        drop(kept);
        for snapshot in gone {
            if let Err(error) = fs::remove_file(&snapshot.path) {
                tracing::warn!(snapshot = %snapshot.path.display(), %error, "can't remove an old snapshot");
            }
        }
    }
}

impl Taking {
    /// Whether a slice has room now. One that waited goes first.
    pub(crate) fn has_room(&mut self) -> bool {
        match self.waiting.take() {
            None => true,
            Some(slice) => self.offer(slice),
        }
    }

    /// A slice to be filled with so many accounts at most.
    pub(crate) fn spare(&self, accounts_max: usize) -> Slice {
        let mut slice = self.spares.try_recv().unwrap_or_default();
        slice.accounts.reserve_exact(accounts_max);
        slice
    }

    /// Hands in a slice. `false` when it has to wait, or nobody takes it any more.
    pub(crate) fn offer(&mut self, slice: Slice) -> bool {
        let Some(slices) = &self.slices else { return false };
        match slices.try_send(slice) {
            Ok(()) => true,
            Err(TrySendError::Full(slice)) => {
                self.waiting = Some(slice);
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// No more slices come. To be called when none waits.
    pub(crate) fn end(&mut self) {
        self.slices = None;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.slices.is_none()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the file.
    pub(crate) fn join(self) -> Result<EventSeq, JournalError> {
        let Self { slices, thread, .. } = self;
        drop(slices);
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
