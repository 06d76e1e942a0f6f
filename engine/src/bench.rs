//! What benches measure alone: consumes events, payments and ledgers, drives the parts of the engine that
//! are not public with them, and produces nothing that an engine reads.
//!
//! Guarantees that each of its functions takes the way that the engine takes, so that what is measured
//! here is what an engine spends. Only there with the feature `bench`, and no part of the interface.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crossbeam_channel::bounded;
use millrace_ledger::{
    ApproveAll, EventSeq, History as _, HistoryError, Ledger, LedgerConfig, PaymentEvent,
    PaymentId, StoredPayment, Timestamp,
};

use crate::{
    JournalError, Retention,
    frame::{FrameBuffer, FrameHash},
    past, record,
    retention::{Aftercare, ReadersNeed},
    segment::{Disk, JournalId, SegmentWriter, SystemDisk},
    snapshot::{self, Snapshotter},
};

/// The journal that runs and snapshots say they are of.
const JOURNAL: JournalId = *b"journal of bench";
/// As much as an engine has by default.
const FILTER_MEMORY_MAX: u64 = 256 << 20;
const SEGMENT_BYTES: u64 = 128 << 20;

/// A frame in the making, as the sequencer fills it.
#[derive(Debug, Default)]
pub struct Frame(FrameBuffer);

impl Frame {
    /// Encodes the events of a batch in place of those before, without contexts and evidence. Returns
    /// the length of it.
    pub fn encode(&mut self, events: &[PaymentEvent]) -> usize {
        self.0.clear();
        for event in events {
            let (records, contexts) = self.0.begin_event();
            record::encode_payment(event, &[], &[], false, records, contexts);
        }
        self.0.len()
    }
}

/// The end of a journal, as the committer has it.
#[derive(Debug)]
pub struct Journal {
    writer: SegmentWriter<BenchDisk>,
    next_seq: EventSeq,
}

/// A disk whose syncs can be left out, so that they can be told from all else.
#[derive(Debug)]
struct BenchDisk {
    syncs: bool,
}

impl Disk for BenchDisk {
    fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        SystemDisk.write(file, bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        if self.syncs { SystemDisk.sync(file) } else { Ok(()) }
    }
}

impl Journal {
    /// A new journal in this directory, which is there and empty. Without `syncs`, nothing of it is
    /// durable.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub fn create(directory: &Path, syncs: bool) -> Result<Self, JournalError> {
        let writer = SegmentWriter::create_on(BenchDisk { syncs }, directory, SEGMENT_BYTES)?;
        Ok(Self { writer, next_seq: EventSeq::FIRST })
    }

    /// Hashes a frame, writes it and waits for the disk: all that the committer does to a batch before
    /// it is released. A frame is appended once after it was encoded.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn append(&mut self, frame: &mut Frame) -> Result<(), JournalError> {
        let first_seq = self.next_seq;
        self.writer.append(&mut frame.0, first_seq, Timestamp(first_seq.0))?;
        self.next_seq = EventSeq(first_seq.0 + u64::from(frame.0.event_count()));
        Ok(())
    }
}

/// Runs of older payments. Their files stay where they are, merged or not.
#[derive(Debug)]
pub struct Runs {
    directory: PathBuf,
    runs: past::Runs,
}

impl Runs {
    /// No runs yet, in this directory.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn create(directory: &Path) -> Result<Self, JournalError> {
        Self::open(directory, &[])
    }

    fn open(directory: &Path, names: &[String]) -> Result<Self, JournalError> {
        let room = past::Room::reserving(0);
        let runs = past::Runs::open(directory, JOURNAL, names, FILTER_MEMORY_MAX, room)?;
        runs.keep_files();
        Ok(Self { directory: directory.to_owned(), runs })
    }

    /// The same files, opened anew: what was merged here is not merged there, and no filter is in
    /// memory.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn opened_again(&self) -> Result<Self, JournalError> {
        let names: Vec<_> = self.runs.list().iter().map(|run| run.name().to_owned()).collect();
        Self::open(&self.directory, &names)
    }

    /// Does what the sealer does to a closed generation: packs and sorts its payments, makes filters,
    /// writes the run and waits until it is durable. Returns the length of the file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn seal(&self, payments: &[StoredPayment]) -> Result<u64, JournalError> {
        let newest = self.runs.list().last().map_or(0, |run| *run.generations().end());
        Ok(self.runs.seal_payments(newest + 1, payments.iter())?.len())
    }

    /// Looks an id up as the ledger does when it is in no generation in memory.
    ///
    /// # Errors
    /// When a run can't be read.
    pub fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        self.runs.find(id)
    }

    /// Merges all runs into one, which is durable then. There are at least two.
    ///
    /// # Errors
    /// When a run can't be read or written.
    pub fn merge_all(&self) -> Result<(), JournalError> {
        self.runs.merge(0..self.runs.list().len(), &|_| false).map(drop)
    }
}

/// Takes snapshots as an engine does that has nothing else to do.
#[derive(Debug)]
pub struct Snapshots {
    snapshotter: Snapshotter,
    journal: PathBuf,
}

impl Snapshots {
    /// Of a journal in this directory, written as fast as it gets: an engine keeps a pace.
    #[must_use]
    pub fn new(journal: &Path) -> Self {
        let aftercare = Aftercare {
            journal: journal.to_owned(),
            archive: false,
            retention: Retention::default(),
            readers: ReadersNeed::default(),
        };
        let snapshotter = Snapshotter::new(JOURNAL, Vec::new(), 0, aftercare);
        Self { snapshotter, journal: journal.to_owned() }
    }

    /// Takes a snapshot from its beginning to the durable file: hands slices of so many rows to the
    /// thread that writes them. The ledger's open generation is empty.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn take(&self, ledger: &mut Ledger, slice_rows: usize) -> Result<(), JournalError> {
        let begun = ledger.begin_snapshot();
        let (runs_in, runs) = bounded(1);
        let (head_in, head) = bounded(1);
        let mut taking = self.snapshotter.take(begun, runs, head)?;
        // An end that is gone has failed, and tells why when it is joined.
        let _ = (runs_in.send(Vec::new()), head_in.send(FrameHash::default()));
        loop {
            while !taking.has_room() {
                thread::sleep(Duration::from_micros(100));
            }
            let mut slice = taking.spare(slice_rows);
            let (accounts, holds) = (&mut slice.accounts, &mut slice.holds);
            let goes_on = ledger.snapshot_slice(slice_rows, accounts, holds);
            match slice.is_empty() {
                false => drop(taking.offer(slice)),
                true if goes_on => {}
                true => break,
            }
        }
        taking.end();
        taking.join().map(drop)
    }

    /// Reads the newest snapshot and checks every byte of it, as a backup does.
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    pub fn check(&self) -> Result<(), JournalError> {
        let path = self.newest()?;
        let file = File::open(&path).map_err(JournalError::io("can't open", &path))?;
        snapshot::check(file, &path).map(drop)
    }

    /// Reads the newest snapshot and makes a ledger of it, as a restart does.
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    pub fn load(&self) -> Result<Ledger, JournalError> {
        let path = self.newest()?;
        let loaded = snapshot::load(&path, LedgerConfig::default(), &mut ApproveAll)?;
        Ok(loaded.ledger)
    }

    /// Length of the newest snapshot, in bytes.
    ///
    /// # Errors
    /// When there is none.
    pub fn file_bytes(&self) -> Result<u64, JournalError> {
        let path = self.newest()?;
        let metadata = fs::metadata(&path).map_err(JournalError::io("can't read", &path))?;
        Ok(metadata.len())
    }

    fn newest(&self) -> Result<PathBuf, JournalError> {
        let newest = snapshot::list(&self.journal)?.into_iter().next();
        newest.map(|(_, path)| path).ok_or_else(|| {
            JournalError::snapshot(&self.journal, "no snapshot was taken".to_owned())
        })
    }
}
