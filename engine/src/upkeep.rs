//! Upkeep: what is done between batches so that memory stays bounded and a restart is quick.
//!
//! Consumes the ledger's closed generations, hands them to a thread that writes them to runs, and
//! lets go what is written; carries on their open holds piece by piece; begins snapshots when they are
//! due and hands them on in slices.
//! Guarantees that what it does between two batches takes no longer than a batch may take; only
//! when writing can't keep up with deciding does deciding wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use millrace_ledger::{EventSeq, Gate, Ledger};

use crate::{
    JournalError,
    commit::Batch,
    memory::MemorySupply,
    past::Runs,
    recover::KeepsFiles,
    sealer::Sealer,
    snapshot::{Snapshotter, Taking},
};

/// Accounts and holds in a slice of a snapshot at least: about a megabyte, a third of a millisecond. After a
/// larger batch, as many as that had answers, or the snapshots of many accounts would fall far behind.
const SLICE_ROWS: usize = 4_096;

/// What an account takes in a snapshot.
const ACCOUNT_BYTES: u64 = 86;

/// How often it is looked whether a snapshot is written, while nothing happens.
const WRITTEN_POLL: Duration = Duration::from_secs(1);

/// When snapshots are taken, and how much stays in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpkeepLimits {
    /// Closed generations that stay in memory although they are written.
    pub(crate) closed_kept: usize,
    /// Journal bytes between two snapshots; 0 takes none.
    pub(crate) snapshot_bytes: u64,
    /// Time between two snapshots, if anything happened.
    pub(crate) snapshot_interval: Duration,
}

/// Figures about upkeep, for whoever watches. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct UpkeepStats {
    shared: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    snapshots: AtomicU64,
    snapshot_is_under_way: AtomicBool,
    generations: AtomicU64,
    pause_max_us: AtomicU64,
    waited_us: AtomicU64,
}

impl UpkeepStats {
    /// Snapshots taken since the start.
    #[must_use]
    pub fn snapshots(&self) -> u64 {
        self.shared.snapshots.load(Ordering::Relaxed)
    }

    /// Whether a snapshot was begun that is not in its place yet.
    #[must_use]
    pub fn snapshot_is_under_way(&self) -> bool {
        self.shared.snapshot_is_under_way.load(Ordering::Relaxed)
    }

    /// Generations closed since the start.
    #[must_use]
    pub fn generations(&self) -> u64 {
        self.shared.generations.load(Ordering::Relaxed)
    }

    /// Longest time that upkeep took between two batches, waiting for writing apart.
    #[must_use]
    pub fn pause_max(&self) -> Duration {
        Duration::from_micros(self.shared.pause_max_us.load(Ordering::Relaxed))
    }

    /// How long deciding waited because writing could not keep up, in all.
    #[must_use]
    pub fn waited(&self) -> Duration {
        Duration::from_micros(self.shared.waited_us.load(Ordering::Relaxed))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// `None` where nothing is kept on disk.
    store: Option<Store>,
    stats: UpkeepStats,
}

#[derive(Debug)]
struct Store {
    limits: UpkeepLimits,
    runs: Runs,
    sealer: Sealer,
    memory: MemorySupply,
    snapshotter: Snapshotter,
    taking: Option<Taking>,
    /// What the gate has to say is being handed out.
    gate_due: bool,
    bytes_since: u64,
    /// When a snapshot was begun last, or the engine started.
    last_snapshot: Instant,
    /// The last event that a snapshot knows.
    covered: EventSeq,
}

impl Upkeep {
    /// Keeps all in memory, and takes no snapshot.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { store: None, stats: UpkeepStats::default() }
    }

    /// `bytes_since` are journal bytes that the newest snapshot does not cover.
    pub(crate) fn new(
        limits: UpkeepLimits,
        runs: Runs,
        snapshotter: Snapshotter,
        bytes_since: u64,
    ) -> Result<Self, JournalError> {
        // Without a thread there is no engine, and what the snapshots name has to stay.
        let files = KeepsFiles::of(&runs);
        let store = Store {
            limits,
            sealer: Sealer::start(runs.clone())?,
            memory: MemorySupply::start()?,
            runs,
            taking: None,
            gate_due: false,
            bytes_since,
            last_snapshot: Instant::now(),
            covered: snapshotter.newest_seq(),
            snapshotter,
        };
        files.disarm();
        Ok(Self { store: Some(store), stats: UpkeepStats::default() })
    }

    pub(crate) fn stats(&self) -> UpkeepStats {
        self.stats.clone()
    }

    /// Does what is due after a batch was decided, before it is handed over.
    pub(crate) fn between_batches(
        &mut self,
        ledger: &mut Ledger,
        gate: &mut impl Gate,
        batch: &mut Batch,
    ) -> Result<(), JournalError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        let (started, mut waited) = (Instant::now(), Duration::ZERO);
        let counters = &self.stats.shared;
        store.bytes_since += batch.frame.len() as u64;
        store.let_go(ledger)?;
        if ledger.generation_is_full() {
            waited += store.close_generation(ledger, counters)?;
        }
        store.finish_snapshot(counters);
        store.memory.supply(ledger);
        // No fewer than the batch had payments: an answer weighs one at least.
        let rows_max = SLICE_ROWS.max(batch.answers as usize);
        // Holds that expire fill the open generation, too, and are no answers.
        let carrying = ledger.carry_on(rows_max.max(batch.frame.event_count() as usize));
        // Closing another generation would carry on at once all that is left.
        if !carrying && store.snapshot_is_due(ledger) {
            waited += store.close_generation(ledger, counters)?;
            let (head, arrives) = bounded(1);
            batch.head_wanted = Some(head);
            let begun = ledger.begin_snapshot();
            gate.begin_snapshot();
            let asked = Instant::now();
            let runs = store.sealer.runs()?;
            waited += asked.elapsed();
            match store.snapshotter.take(begun, runs, arrives) {
                Ok(taking) => {
                    (store.taking, store.gate_due) = (Some(taking), true);
                    counters.snapshot_is_under_way.store(true, Ordering::Relaxed);
                }
                Err(error) => tracing::warn!(%error, "could not take a snapshot"),
            }
            (store.bytes_since, store.last_snapshot) = (0, Instant::now());
        }
        store.hand_out_slice(ledger, gate, rows_max);
        let micros = |time: Duration| time.as_micros() as u64;
        counters.waited_us.fetch_add(micros(waited), Ordering::Relaxed);
        let pause = micros(started.elapsed().saturating_sub(waited));
        counters.pause_max_us.fetch_max(pause, Ordering::Relaxed);
        Ok(())
    }

    /// How long it takes, while nothing happens, until a snapshot is due; `None` where none will be.
    pub(crate) fn snapshot_due_in(&mut self, ledger: &Ledger) -> Option<Duration> {
        let store = self.store.as_mut()?;
        store.finish_snapshot(&self.stats.shared);
        if store.limits.snapshot_bytes == 0 || store.covered == ledger.last_seq() {
            return None;
        }
        let left = store.limits.snapshot_interval.saturating_sub(store.last_snapshot.elapsed());
        // One that is being written still may cover all, or fail.
        Some(if store.taking.is_some() { WRITTEN_POLL } else { left })
    }

    /// Nothing is decided any more: a snapshot that is under way need not spare the disk.
    pub(crate) fn hurry(&self) {
        if let Some(store) = &self.store {
            store.snapshotter.hurry();
        }
    }

    /// Goes on with a snapshot while there is nothing else to do. `false` when there is none.
    pub(crate) fn go_on(&mut self, ledger: &mut Ledger, gate: &mut impl Gate) -> bool {
        let Some(store) = &mut self.store else { return false };
        store.finish_snapshot(&self.stats.shared);
        if ledger.carry_on(SLICE_ROWS) {
            return true;
        }
        match store.taking.as_ref().is_some_and(|taking| !taking.is_ended()) {
            false => false,
            true => {
                if !store.hand_out_slice(ledger, gate, SLICE_ROWS) {
                    // Writing is behind; payments that come meanwhile find us soon enough.
                    std::thread::sleep(Duration::from_micros(100));
                }
                true
            }
        }
    }
}

impl Store {
    fn let_go(&mut self, ledger: &mut Ledger) -> Result<(), JournalError> {
        while ledger.closed_generations().len() > self.limits.closed_kept {
            match self.sealer.next_sealed()? {
                Some(sealed) => ledger.let_go(sealed),
                None => break,
            }
        }
        Ok(())
    }

    /// Closes the open generation and hands it to the sealer. Returns how long that took to accept
    /// it.
    fn close_generation(
        &mut self,
        ledger: &mut Ledger,
        counters: &Counters,
    ) -> Result<Duration, JournalError> {
        match ledger.close_generation() {
            Some(generation) => {
                let started = Instant::now();
                self.sealer.seal(generation)?;
                counters.generations.fetch_add(1, Ordering::Relaxed);
                Ok(started.elapsed())
            }
            None => Ok(Duration::ZERO),
        }
    }

    /// A snapshot of many accounts is taken less often: it is never more than half of what is
    /// written.
    fn snapshot_is_due(&self, ledger: &Ledger) -> bool {
        let accounts = ledger.account_count() as u64;
        let bytes = self.limits.snapshot_bytes.max(accounts * ACCOUNT_BYTES);
        self.taking.is_none()
            && self.limits.snapshot_bytes > 0
            && ledger.last_seq() > self.covered
            && (self.bytes_since >= bytes
                || self.last_snapshot.elapsed() >= self.limits.snapshot_interval)
    }

    /// `false` when there was no room for one, or none is wanted.
    fn hand_out_slice(
        &mut self,
        ledger: &mut Ledger,
        gate: &mut impl Gate,
        rows_max: usize,
    ) -> bool {
        let Some(taking) = self.taking.as_mut().filter(|taking| !taking.is_ended()) else {
            return false;
        };
        if !taking.has_room() {
            return false;
        }
        let mut slice = taking.spare(rows_max);
        let goes_on = ledger.snapshot_slice(rows_max, &mut slice.accounts, &mut slice.holds);
        if !goes_on {
            self.gate_due = self.gate_due && gate.snapshot_slice(rows_max, &mut slice.gate);
        }
        match slice.is_empty() {
            false => taking.offer(slice),
            true if goes_on || self.gate_due => true,
            true => {
                taking.end();
                true
            }
        }
    }

    /// A snapshot that failed is tried again when the next one is due: the journal alone is enough.
    fn finish_snapshot(&mut self, counters: &Counters) {
        if let Some(taking) = self.taking.take_if(|taking| taking.is_finished()) {
            match taking.join() {
                Ok(seq) => {
                    self.covered = seq;
                    counters.snapshots.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(event = seq.0, "took a snapshot");
                }
                Err(error) => tracing::warn!(%error, "could not take a snapshot"),
            }
            counters.snapshot_is_under_way.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Store {
    /// A snapshot that is whole but for its end is finished; another one is given up.
    fn drop(&mut self) {
        self.snapshotter.hurry();
        if let Some(taking) = self.taking.take()
            && let Err(error) = taking.join()
        {
            tracing::debug!(%error, "a snapshot was not finished");
        }
        self.runs.keep_files();
    }
}
