//! The engine, wired up: one function starts recovery, sequencer, committer and feed.
//!
//! Threads: the sequencer owns the ledger and the gate, the committer owns the journal's end.
//! Between them is a rendezvous: a batch changes hands when the committer is free.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{bounded, unbounded};
use millrace_ledger::{EventSeq, Gate};

use crate::{
    Feed, JournalError, RecoveryReport, Retention, Submitter,
    commit::{self, Log},
    crew::Crew,
    desk::{BEHIND_MAX, BatchLimits, Recovered},
    directory::sync_directory,
    lock::DirectoryLock,
    recover::{self, Recovery},
    retention::ReadersNeed,
    sequence::Sequencer,
    stats::EngineStats,
    suspect_runs,
    threads::spawn,
    upkeep::{Upkeep, UpkeepLimits, UpkeepStats},
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
    /// Shards that ids are split over. More than one takes as many threads beside the sequencer.
    pub shards: usize,
    /// Recent payments after which a generation is closed and written to a run. Two to five
    /// generations are in memory, 150 bytes a payment.
    pub generation_payments_max: u32,
    /// Bytes of memory for the filters of runs.
    pub filter_memory_max: u64,
    /// Journal bytes after which a snapshot is taken; 0 takes none.
    pub snapshot_bytes: u64,
    /// Time after which a snapshot is taken, if anything happened.
    pub snapshot_interval: Duration,
    /// Bytes of a snapshot that are written in a second, at most; 0 for as fast as it gets.
    pub snapshot_bytes_per_s: u64,
    /// Compress segments that both kept snapshots cover.
    pub archive: bool,
    /// Which archived segments are deleted; see [`crate::retention`].
    pub retention: Retention,
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
            shards: default_shards(),
            generation_payments_max: 1 << 19,
            filter_memory_max: 256 << 20,
            snapshot_bytes: 1 << 30,
            snapshot_interval: Duration::from_secs(600),
            snapshot_bytes_per_s: 64 << 20,
            archive: false,
            retention: Retention::default(),
        }
    }
}

/// What fits this machine: the committer, the front door and the sinks want processors, too. One
/// thread beside posting is enough, because resolving takes no longer than posting does.
fn default_shards() -> usize {
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if processors < 8 { 1 } else { 2 }
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    submitter: Submitter,
    feed: Feed,
    sequencer: JoinHandle<Result<(), JournalError>>,
    committer: JoinHandle<Result<(), JournalError>>,
    stats: UpkeepStats,
    counted: EngineStats,
    readers: ReadersNeed,
    _lock: Option<DirectoryLock>,
}

impl Engine {
    /// Recovers the journal and starts the engine.
    ///
    /// # Errors
    /// When the journal can't be used; see [`recover`] for what is refused.
    pub fn start<G: Gate + Clone + Send + 'static>(
        config: &EngineConfig,
        gate: &G,
    ) -> Result<(Self, RecoveryReport), JournalError> {
        let directory = &config.directory;
        fs::create_dir_all(directory).map_err(JournalError::io("can't create", directory))?;
        // A directory that was made just now is durable when the one above it is.
        for above in directory.ancestors().skip(1).take(2).filter(|it| it.is_dir()) {
            sync_directory(above)?;
        }
        let lock = DirectoryLock::take(directory)?;
        let readers = ReadersNeed::default();
        let Recovery { report, ledger, gate, writer, runs, snapshotter } =
            recover::recover(config, hash_seed(directory)?, gate, &readers)?;
        let feed = Feed::announced(directory, writer.journal(), report.last_seq);
        // Without an engine, the snapshots stay as they are, so what they name has to stay.
        let feed = feed.inspect_err(|_| runs.keep_files())?;
        let limits = UpkeepLimits {
            closed_kept: 1,
            snapshot_bytes: config.snapshot_bytes,
            snapshot_interval: config.snapshot_interval,
        };
        let upkeep = Upkeep::new(limits, runs, snapshotter, report.bytes)?;
        let state = Recovered { ledger, gate, workers: Crew::new(config.shards)?, upkeep };
        let engine = Self::start_with(config, state, writer, feed, Some(lock))?;
        Ok((Self { readers, ..engine }, report))
    }

    /// Starts the engine on a state and a log, wherever they come from.
    pub(crate) fn start_with<G: Gate + Send + 'static>(
        config: &EngineConfig,
        state: Recovered<G>,
        log: impl Log,
        feed: Feed,
        lock: Option<DirectoryLock>,
    ) -> Result<Self, JournalError> {
        let stats = state.upkeep.stats();
        // 1. The queue; bounded by the weight that the submitter lets in.
        let (queue_in, queue_out) = unbounded();
        let submitter = Submitter::new(queue_in, config.queue_weight_max);
        // 2. Sequencer and committer meet; spent batches come back to be filled again.
        let (batches_in, batches_out) = bounded(0);
        let (spares_in, spares_out) = bounded(2);
        let limits = BatchLimits {
            events_max: config.batch_events_max,
            bytes_max: 8 << 20,
            behind_max: BEHIND_MAX,
        };
        let counted = EngineStats::default();
        let sequencer =
            Sequencer::new(state, limits, queue_out, batches_in, spares_out, counted.clone())?;
        let journal = config.directory.clone();
        let sequencer = spawn("sequencer", move || {
            let stopped = sequencer.run();
            stopped.inspect_err(|error| suspect_runs::mark_if_due(&journal, error))
        })?;
        // 3. The committer, which releases replies and feed.
        let committer_feed = feed.clone();
        let committer =
            spawn("committer", move || commit::run(log, &batches_out, &spares_in, &committer_feed));
        let committer = match committer {
            Ok(committer) => committer,
            Err(error) => {
                // It must not touch the directory when another engine may hold it.
                drop(submitter);
                let _ = sequencer.join();
                return Err(error);
            }
        };
        let readers = ReadersNeed::default();
        Ok(Self { submitter, feed, sequencer, committer, stats, counted, readers, _lock: lock })
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

    /// Readers of the journal need its events from this one on; what is before may be deleted, if
    /// the settings ask for that. Until this is told for the first time, nothing is deleted; it is to
    /// be told again as the slowest reader moves on.
    pub fn retain_from(&self, seq: EventSeq) {
        self.readers.set(seq);
    }

    /// Figures about snapshots and generations.
    #[must_use]
    pub fn stats(&self) -> UpkeepStats {
        self.stats.clone()
    }

    /// Figures about payments and batches.
    #[must_use]
    pub fn counted(&self) -> EngineStats {
        self.counted.clone()
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
        let joined = |thread: JoinHandle<_>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let decided = joined(self.sequencer);
        joined(self.committer).and(decided)
    }
}

/// Random, so that nobody can choose ids that meet in one bucket. Outcomes do not depend on it.
fn hash_seed(directory: &Path) -> Result<u64, JournalError> {
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| JournalError::io("can't seed the index of", directory)(error.into()))?;
    Ok(u64::from_le_bytes(seed))
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
        time::{Duration, Instant},
    };

    use millrace_ledger::{ApproveAll, EventSeq, Ledger, Status, Timestamp};
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        Command, PaymentReply,
        frame::{FrameBuffer, FrameHash},
        submission::{Expired, Reply},
        two_accounts::{payment, two_accounts},
    };

    /// A log in memory that fails when it has taken so many frames.
    struct FailingLog {
        frames_left: usize,
        events: Arc<Mutex<u64>>,
    }

    impl Log for FailingLog {
        fn append(
            &mut self,
            frame: &mut FrameBuffer,
            _: EventSeq,
            _: Timestamp,
        ) -> Result<FrameHash, JournalError> {
            if self.frames_left == 0 {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                return Err(JournalError::io("can't write", "journal")(full));
            }
            self.frames_left -= 1;
            *self.events.lock().unwrap() += u64::from(frame.event_count());
            Ok(FrameHash::default())
        }

        fn head(&self) -> FrameHash {
            FrameHash::default()
        }
    }

    fn engine(frames_left: usize) -> (Engine, Arc<Mutex<u64>>) {
        let events = Arc::new(Mutex::new(0));
        let log = FailingLog { frames_left, events: events.clone() };
        let config = EngineConfig::new("unused");
        let feed = Feed::new(Path::new("unused"), EventSeq(0));
        let (ledger, gate) = (Ledger::new(0), ApproveAll);
        let state = Recovered {
            ledger,
            gate,
            workers: Crew::new(1).expect("starts"),
            upkeep: Upkeep::none(),
        };
        let engine = Engine::start_with(&config, state, log, feed, None).expect("starts");
        (engine, events)
    }

    async fn ask<T>(
        engine: &Engine,
        deadline: Option<Instant>,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Option<Result<T, Expired>> {
        let (reply, answer) = oneshot::channel();
        let room = Instant::now() + Duration::from_secs(120);
        engine.submitter().submit(command(reply), deadline, room).await.ok()?;
        answer.await.ok()
    }

    async fn pay(
        engine: &Engine,
        id: u128,
        deadline: Option<Instant>,
    ) -> Option<Result<Vec<PaymentReply>, Expired>> {
        let (payments, contexts) = (vec![payment(id)], Vec::new());
        ask(engine, deadline, |reply| Command::Payments { payments, contexts, reply }).await
    }

    /// The disk fills up at the third frame. What was answered before is durable; nothing is
    /// answered after, and nothing is tried again.
    #[tokio::test]
    async fn a_failed_write_stops_the_engine_before_any_answer() {
        let (engine, events) = engine(2);
        let created = ask(&engine, None, |reply| Command::CreateAccounts {
            specs: two_accounts(),
            acts: Vec::new(),
            reply,
        });
        assert!(created.await.expect("answered").is_ok());
        let replies = pay(&engine, 1, None).await.expect("answered").expect("in time");
        assert_eq!(replies[0].outcome.status, Status::Settled);
        assert_eq!(pay(&engine, 2, None).await, None, "not durable, so not answered");
        assert_eq!(pay(&engine, 3, None).await, None, "the engine has stopped");
        assert_eq!(engine.feed().durable_seq(), EventSeq(3));
        assert_eq!(*events.lock().unwrap(), 3);
        let error = engine.stop().expect_err("tells why").to_string();
        assert!(error.contains("Free space on the file system"), "{error}");
    }

    #[tokio::test]
    async fn an_expired_request_is_dropped_and_says_so() {
        let (engine, events) = engine(usize::MAX);
        let past = Instant::now();
        assert_eq!(pay(&engine, 1, Some(past)).await, Some(Err(Expired)));
        let soon = Instant::now() + Duration::from_secs(600);
        assert!(pay(&engine, 1, Some(soon)).await.expect("answered").is_ok());
        engine.stop().expect("stops");
        assert_eq!(*events.lock().unwrap(), 1, "the dropped request left no event");
    }

    #[tokio::test]
    async fn what_is_queued_when_the_engine_stops_is_answered() {
        let (engine, events) = engine(usize::MAX);
        let mut answers = Vec::new();
        for _ in 0..100 {
            let (reply, answer) = oneshot::channel();
            let command =
                Command::CreateAccounts { specs: two_accounts(), acts: Vec::new(), reply };
            let room = Instant::now() + Duration::from_secs(120);
            engine.submitter().submit(command, None, room).await.expect("there is room");
            answers.push(answer);
        }
        tokio::task::spawn_blocking(|| engine.stop()).await.unwrap().expect("stops");
        for answer in answers {
            assert!(answer.await.expect("answered").is_ok());
        }
        assert_eq!(*events.lock().unwrap(), 2, "two accounts, opened once");
    }
}
