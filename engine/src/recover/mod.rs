//! Recovery: consumes the newest usable snapshot and the journal's segments after it, produces the
//! ledger as it was and the place to go on.
//!
//! Guarantees that every acknowledged event is applied or the start is refused. What is found
//! decides, row by row:
//!
//! | found | where | what happens |
//! |---|---|---|
//! | nothing | the directory has no segment and no snapshot | a new journal is started |
//! | a whole snapshot of this journal, with its runs | newest first | the journal is read from there on |
//! | a snapshot that is damaged, foreign, of a later version, without its runs, or of another risk policy | anywhere; of the second, only whether its runs are known and there is looked at | told, passed over and renamed to `.unusable`: the one before it, or the whole journal, comes to the same |
//! | a snapshot or a run that can't be opened or read for now: no permission, no open file left, no memory | wherever it is looked at | refused; nothing is renamed or removed |
//! | a third snapshot | before the two that are kept: a process ended before it removed it | removed, before the runs that only it names |
//! | a snapshot that names a run with a damaged page | where reading the journal met it; or at the next start, where an engine stopped at it or could not answer a read | as one without its runs; a page that nobody read is not looked at |
//! | a snapshot that knows more than the journal | the newest usable one | acknowledged events are missing or damaged: refused |
//! | a snapshot at whose place the journal has another frame | the newest usable one | refused |
//! | a whole frame that continues the chain | anywhere | its events are applied |
//! | zeros to the end | the last segment | the journal ends here |
//! | zeros, then the next segment continues the chain | a sealed segment | go on there |
//! | bytes that are no whole frame, no whole frame after them, and nobody knows of an event there | the last segment | a torn tail: it was never acknowledged, so it is blanked and reported |
//! | an end before an event that the durable note tells, or no segment and such a note | the last segment | acknowledged events are missing or damaged: refused |
//! | bytes that are no whole frame, a whole frame after them | the last segment | damaged: refused |
//! | bytes that are no whole frame | a sealed segment | damaged: refused |
//! | a whole frame that does not continue the chain | anywhere | damaged: refused |
//! | a segment whose name, header or chain does not follow | after another | missing, swapped, duplicated or foreign segment: refused; foreign to each other, before a snapshot or run is touched |
//! | a first segment that starts after the one that the note of what was deleted tells, or after event 1 without such a note | first | told as an error; goes on, if it is not the row below. `verify` and a backup that has more refuse |
//! | a first segment that starts after the event to go on with | first; with event 1, if no snapshot is usable | what is missing was deleted or lost: refused before a snapshot or run is touched |
//! | a frame or segment of a later version | anywhere | refused |
//! | events that do not follow from each other | anywhere | refused: a defect |
//! | a segment or snapshot without its final name | anywhere | was never used: removed |
//! | no space | anywhere | refused before anything is acknowledged; nothing is lost |
//! | another process holds the directory | before reading | refused |
//!
//! A whole frame is one of this journal: its header names the journal, which no client knows, so
//! nothing that a client sent is ever mistaken for one. What was read last is synced again before
//! anything is answered, because a process that was killed may have left it in memory only.
//!
//! Frames that the snapshot knows are passed by: in the last segment, which is written on, all of their
//! bytes are checked, in a sealed one their headers. Older segments are not read. Damage there is for
//! [`verify`] to find, which reads all that there is.
//!
//! A note of another journal is none, and one that tells less, as after a power loss, is fine.
//!
//! A frame that was torn can't be followed by a whole one, because a frame is written only when
//! the one before it is durable.

mod begin;
mod known;
mod origin;
mod tail;
mod verify;

use std::{
    fs,
    path::{Path, PathBuf},
};

use millrace_ledger::{EventSeq, Gate, Ledger};

use crate::{
    EngineConfig, JournalError, deleted_note,
    directory::{remove_unfinished, sync_directory},
    frame::FrameHash,
    past::Runs,
    retention::{Aftercare, ReadersNeed},
    sealer::Sealer,
    segment::{self, JournalId, SegmentReader, SegmentWriter},
    snapshot::{self, Kept, Snapshotter},
    suspect_runs,
};
use begin::{Beginning, begin, ledger_config, open_runs, runs_directory};
pub(crate) use known::{Known, another_frame};
pub(crate) use origin::{Origin, origin};
use tail::{End, check_begins, check_of_one_journal};
pub(crate) use verify::known;

pub use verify::{verify, verify_recovery, verify_within};

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The last event of the snapshot that it began with, if there was one.
    pub snapshot: Option<EventSeq>,
    /// Snapshots that were passed over, and why.
    pub snapshots_passed_over: Vec<String>,
    /// The first event whose frame was read: 1, unless the beginning is gone or a start had no need
    /// of it.
    pub first_seq: EventSeq,
    /// Segments read.
    pub segments: usize,
    /// Frames applied.
    pub frames: u64,
    /// Bytes of segment headers and frames in the segments that were read.
    pub bytes: u64,
    /// The last event; 0 in a new journal.
    pub last_seq: EventSeq,
    /// Hash of the last frame.
    pub head: FrameHash,
    /// A torn tail: the segment, and where in it.
    pub torn_tail: Option<(String, u64)>,
}

/// The state as it was, and where to go on.
#[derive(Debug)]
pub(crate) struct Recovery<G> {
    pub(crate) report: RecoveryReport,
    pub(crate) ledger: Ledger,
    pub(crate) gate: G,
    pub(crate) writer: SegmentWriter,
    pub(crate) runs: Runs,
    pub(crate) snapshotter: Snapshotter,
}

/// Loads the newest usable snapshot, reads the journal after it, cuts a torn tail, and opens the
/// journal for writing. Where a run can't be read, all are checked, and that is tried again.
pub(crate) fn recover<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    gate: &G,
    readers: &ReadersNeed,
) -> Result<Recovery<G>, JournalError> {
    let checks_runs = suspect_runs::is_marked(&config.directory);
    match recover_once(config, hash_seed, gate, readers, checks_runs) {
        // A look-up that fails while events are applied shows as an event that does not follow.
        Err(
            error @ (JournalError::WrongRun { .. }
            | JournalError::History(_)
            | JournalError::Diverged { .. }),
        ) if !checks_runs => {
            tracing::warn!(%error, "checking all runs of older payments, and reading again");
            recover_once(config, hash_seed, gate, readers, true)
        }
        result => result,
    }
}

fn recover_once<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    gate: &G,
    readers: &ReadersNeed,
    checks_runs: bool,
) -> Result<Recovery<G>, JournalError> {
    let directory = &config.directory;
    remove_unfinished(directory)?;
    remove_unfinished(&snapshot::directory(directory))?;
    fs::create_dir_all(runs_directory(config))
        .map_err(JournalError::io("can't create", runs_directory(config)))?;
    let known = Known::by_note(directory)?;
    let journal = newest_journal(directory)?;
    let mut report = RecoveryReport::default();
    let mut beginning = begin(config, hash_seed, journal, gate, checks_runs, &mut report)?;
    let segments = segment::list(directory)?;
    check_begins(&segments, directory, beginning.from.next_seq, &report)?;
    if !beginning.passed_over.is_empty() {
        check_of_one_journal(&segments, beginning.from.next_seq)?;
    }
    match deleted_note::check_beginning(directory, &segments) {
        Ok(()) => {}
        // Payments have no need of it. Who reads the past does, and is to know in time.
        Err(error @ JournalError::BeginningLost { .. }) => {
            tracing::error!(%error, "the beginning of the journal is missing; going on without it");
        }
        Err(error) => {
            tracing::warn!(%error, "can't tell whether the journal begins where it should");
        }
    }
    put_aside(&beginning.passed_over)?;
    remove(&beginning.superfluous)?;
    // What a process that ended left behind, or a snapshot needed that is no more.
    let keep: Vec<_> = beginning.kept.iter().flat_map(Kept::run_names).collect();
    Runs::remove_unlisted(&runs_directory(config), &keep)?;
    // A start that fails leaves the snapshots as they are, so what they name has to stay.
    let files = KeepsFiles(beginning.runs.clone());
    let mut sealing = beginning.runs.clone().map(Sealing::start).transpose()?;
    let end = beginning.read_on(directory, known, &mut report, |ledger| match &mut sealing {
        Some(sealing) => sealing.after_frame(ledger),
        None => Ok(()),
    })?;
    if let Some(sealing) = sealing {
        sealing.finish(&mut beginning.ledger)?;
    }
    let Beginning { mut ledger, mut gate, runs, kept, .. } = beginning;
    // What is declared last is dropped first: before `kept` lets go of runs that were merged away.
    let files = files;
    gate.recovered().map_err(JournalError::Policy)?;
    let writer = open_for_writing(config, end, &report)?;
    suspect_runs::clear(directory)?;
    let runs = match runs {
        Some(runs) => runs,
        // A new journal has its name only now. Its ledger, which is empty still, must look into the
        // same runs that its payments will go to, or it would forget them.
        None => {
            let runs = open_runs(config, writer.journal(), &[])?;
            ledger = Ledger::with_config(ledger_config(config, hash_seed, Some(&runs)));
            runs
        }
    };
    runs.delete_after_use(kept.iter().flat_map(|kept| &kept.runs));
    files.disarm();
    let aftercare = Aftercare {
        journal: directory.clone(),
        archive: config.archive,
        retention: config.retention,
        readers: readers.clone(),
    };
    let snapshotter =
        Snapshotter::new(writer.journal(), kept, config.snapshot_bytes_per_s, aftercare);
    Ok(Recovery { report, ledger, gate, writer, runs, snapshotter })
}

fn open_for_writing(
    config: &EngineConfig,
    end: Option<End>,
    report: &RecoveryReport,
) -> Result<SegmentWriter, JournalError> {
    let (directory, segment_bytes) = (&config.directory, config.segment_bytes);
    let Some(End { segment, last_frame, offset }) = end else {
        return SegmentWriter::create(directory, segment_bytes);
    };
    let mut writer =
        SegmentWriter::resume(directory, segment_bytes, &segment, offset, report.head)?;
    if report.torn_tail.is_some() {
        writer.blank_rest()?;
    }
    writer.settle(last_frame)?;
    Ok(writer)
}

fn newest_journal(directory: &Path) -> Result<Option<JournalId>, JournalError> {
    match segment::list(directory)?.last() {
        Some((_, path)) => Ok(Some(SegmentReader::open(path)?.header.journal)),
        None => Ok(None),
    }
}

/// Writes generations to runs beside the ledger that goes on.
struct Sealing(Sealer);

impl Sealing {
    fn start(runs: Runs) -> Result<Self, JournalError> {
        Sealer::start(runs).map(Self)
    }

    fn after_frame(&mut self, ledger: &mut Ledger) -> Result<(), JournalError> {
        while let Some(digest) = self.0.next_sealed()? {
            ledger.let_go(digest);
        }
        if ledger.generation_is_full()
            && let Some(generation) = ledger.close_generation()
        {
            self.0.seal(generation)?;
        }
        Ok(())
    }

    /// Waits until all of them are written.
    fn finish(self, ledger: &mut Ledger) -> Result<(), JournalError> {
        while !ledger.closed_generations().is_empty() {
            ledger.let_go(self.0.wait_sealed()?);
        }
        Ok(())
    }
}

/// Where it is dropped without having been disarmed, no file of a run is deleted any more.
pub(crate) struct KeepsFiles(Option<Runs>);

impl KeepsFiles {
    pub(crate) fn of(runs: &Runs) -> Self {
        Self(Some(runs.clone()))
    }

    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for KeepsFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(Runs::keep_files);
    }
}

/// Removes snapshots for good, before the runs go that only they name.
fn remove(superfluous: &[PathBuf]) -> Result<(), JournalError> {
    for path in superfluous {
        fs::remove_file(path).map_err(JournalError::io("can't remove", path))?;
        sync_directory(path.parent().unwrap_or(path))?;
    }
    Ok(())
}

/// Renames snapshots that can't be used, before runs are written anew: one of them might take those
/// for the ones that it needs.
fn put_aside(passed_over: &[PathBuf]) -> Result<(), JournalError> {
    for path in passed_over {
        let aside = path.with_extension("unusable");
        fs::rename(path, &aside).map_err(JournalError::io("can't rename", path))?;
        sync_directory(path.parent().unwrap_or(path))?;
    }
    Ok(())
}
