//! The engine, wired up: one function starts recovery, sequencer, committer and feed.
//!
//! Threads: the sequencer owns the ledger and the gate, the committer owns the journal's end.
//! Between them is a rendezvous: a batch changes hands when the committer is free.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{bounded, unbounded};
use millrace_ledger::{Gate, Ledger};

use crate::{
    Feed, JournalError, RecoveryReport, Submitter,
    commit::{self, Log},
    lock::DirectoryLock,
    recover,
    sequence::{BatchLimits, Sequencer},
};

/// Where the engine keeps its journal, and how much it takes at once.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Directory of the journal; made if it is not there.
    pub directory: PathBuf,
    /// Size of a new segment, in bytes.
    pub segment_bytes: u64,
    /// Events after which a batch is full.
    pub batch_events_max: u32,
    /// Payments, accounts and 128-byte pieces of context that may wait to be sequenced.
    pub queue_weight_max: u32,
}

impl EngineConfig {
    /// The defaults, for a journal in this directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 128 << 20,
            batch_events_max: 16_384,
            queue_weight_max: 65_536,
        }
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    submitter: Submitter,
    feed: Feed,
    sequencer: JoinHandle<()>,
    committer: JoinHandle<Result<(), JournalError>>,
    _lock: Option<DirectoryLock>,
}

impl Engine {
    /// Recovers the journal and starts the engine.
    ///
    /// # Errors
    /// When the journal can't be used; see [`recover`] for what is refused.
    pub fn start<G: Gate + Send + 'static>(
        config: &EngineConfig,
        mut gate: G,
    ) -> Result<(Self, RecoveryReport), JournalError> {
        let directory = &config.directory;
        fs::create_dir_all(directory).map_err(JournalError::io("can't create", directory))?;
        let lock = DirectoryLock::take(directory)?;
        let mut ledger = Ledger::new(hash_seed(directory)?);
        let (report, log) =
            recover::recover(directory, config.segment_bytes, &mut ledger, &mut gate)?;
        let feed = Feed::new(directory, report.last_seq);
        let engine = Self::start_with(config, gate, ledger, log, feed, Some(lock));
        Ok((engine, report))
    }

    fn start_with<G: Gate + Send + 'static>(
        config: &EngineConfig,
        gate: G,
        ledger: Ledger,
        log: impl Log,
        feed: Feed,
        lock: Option<DirectoryLock>,
    ) -> Self {
        // 1. The queue; bounded by the weight that the submitter lets in.
        let (queue_in, queue_out) = unbounded();
        let submitter = Submitter::new(queue_in, config.queue_weight_max);
        // 2. Sequencer and committer meet; spent batches come back to be filled again.
        let (batches_in, batches_out) = bounded(0);
        let (spares_in, spares_out) = bounded(2);
        let limits = BatchLimits { events_max: config.batch_events_max, bytes_max: 8 << 20 };
        let sequencer = Sequencer::new(ledger, gate, limits, queue_out, batches_in, spares_out);
        let sequencer = spawn("sequencer", move || sequencer.run());
        // 3. The committer, which releases replies and feed.
        let committer_feed = feed.clone();
        let committer =
            spawn("committer", move || commit::run(log, &batches_out, &spares_in, &committer_feed));
        Self { submitter, feed, sequencer, committer, _lock: lock }
    }

    /// Puts commands into the engine's queue.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        self.submitter.clone()
    }

    /// The durable tail of the journal.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Whether the engine stopped by itself, which it does when the journal can't be written.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.committer.is_finished()
    }

    /// Decides what is queued, makes it durable, and stops.
    ///
    /// # Errors
    /// When the journal could not be written. Nothing was released then that is not durable.
    ///
    /// # Panics
    /// If a thread of the engine panicked, with its panic.
    pub fn stop(self) -> Result<(), JournalError> {
        self.submitter.stop();
        if let Err(panic) = self.sequencer.join() {
            std::panic::resume_unwind(panic);
        }
        match self.committer.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("the system has a thread for us")
}

/// Random, so that nobody can choose ids that meet in one bucket. Outcomes do not depend on it.
fn hash_seed(directory: &Path) -> Result<u64, JournalError> {
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| JournalError::io("can't seed the index of", directory)(error.into()))?;
    Ok(u64::from_le_bytes(seed))
}
