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
//! | a snapshot that is damaged, foreign, of a later version, without its runs, or of another risk policy | anywhere | told, passed over and renamed to `.unusable`: the one before it, or the whole journal, comes to the same |
//! | a snapshot that knows more than the journal | the newest usable one | acknowledged events are missing: refused |
//! | a snapshot at whose place the journal has another frame | the newest usable one | refused |
//! | a whole frame that continues the chain | anywhere | its events are applied |
//! | zeros to the end | the last segment | the journal ends here |
//! | zeros, then the next segment continues the chain | a sealed segment | go on there |
//! | bytes that are no whole frame, no whole frame after them | the last segment | a torn tail: it was never acknowledged, so it is blanked and reported |
//! | bytes that are no whole frame, a whole frame after them | the last segment | damaged: refused |
//! | bytes that are no whole frame | a sealed segment | damaged: refused |
//! | a whole frame that does not continue the chain | anywhere | damaged: refused |
//! | a segment whose name, header or chain does not follow | after another | missing, swapped, duplicated or foreign segment: refused |
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
//! A frame that was torn can't be followed by a whole one, because a frame is written only when
//! the one before it is durable.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use millrace_ledger::{EventSeq, Gate, Ledger, LedgerConfig};

use crate::{
    EngineConfig, FeedEvent, JournalError,
    frame::FrameHash,
    past::Runs,
    record,
    retention::{Aftercare, ReadersNeed},
    scan::check_follows,
    segment::{self, JournalId, SegmentReader, SegmentWriter},
    segment_frames::{ChainEnd, Frame, SegmentFrames},
    snapshot::{self, Kept, Snapshotter},
};

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The last event of the snapshot that it began with, if there was one.
    pub snapshot: Option<EventSeq>,
    /// Snapshots that were passed over, and why.
    pub snapshots_passed_over: Vec<String>,
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

/// Reads the whole journal of a directory, applies it, and checks that money is conserved. Changes
/// nothing.
///
/// # Errors
/// See the decision table above.
pub fn verify(
    directory: &Path,
    ledger: &mut Ledger,
    gate: &mut impl Gate,
) -> Result<RecoveryReport, JournalError> {
    let mut report = RecoveryReport::default();
    Tail { directory, ledger, gate, report: &mut report, after_frame: |_: &mut Ledger| Ok(()) }
        .read(ChainEnd::GENESIS, None)?;
    Ok(report)
}

/// Reads the whole journal as [`verify`] does, with bounded memory: payments that are not recent
/// are kept in files in `scratch`.
///
/// # Errors
/// As [`verify`], and when `scratch` can't be used.
pub fn verify_within(
    directory: &Path,
    scratch: &Path,
    gate: &mut impl Gate,
) -> Result<(RecoveryReport, Ledger), JournalError> {
    let runs =
        Runs::open(scratch, JournalId::default(), &[], EngineConfig::new("").filter_memory_max)?;
    let history = std::sync::Arc::new(runs.clone());
    let mut ledger = Ledger::with_config(LedgerConfig { history, ..LedgerConfig::default() });
    let mut report = RecoveryReport::default();
    let after_frame = |ledger: &mut Ledger| seal_if_full(ledger, &runs);
    Tail { directory, ledger: &mut ledger, gate, report: &mut report, after_frame }
        .read(ChainEnd::GENESIS, None)?;
    Ok((report, ledger))
}

/// Recovers as a start would, but changes nothing, and tells the hash of the state that it comes to:
/// the same as [`verify`]'s, or a snapshot is wrong.
///
/// # Errors
/// As for a start.
pub fn verify_recovery<G: Gate + Clone>(
    config: &EngineConfig,
    gate: &G,
) -> Result<(RecoveryReport, [u8; 32]), JournalError> {
    let directory = &config.directory;
    let mut report = RecoveryReport::default();
    let journal = newest_journal(directory)?;
    let Beginning { mut ledger, mut gate, from, snapshot, .. } =
        begin(config, 0, journal, gate, &mut report)?;
    let after_frame = |_: &mut Ledger| Ok(());
    Tail { directory, ledger: &mut ledger, gate: &mut gate, report: &mut report, after_frame }
        .read(from, snapshot.as_deref())?;
    Ok((report, ledger.state_hash()))
}

fn newest_journal(directory: &Path) -> Result<Option<JournalId>, JournalError> {
    match segment::list(directory)?.last() {
        Some((_, path)) => Ok(Some(SegmentReader::open(path)?.header.journal)),
        None => Ok(None),
    }
}

/// Loads the newest usable snapshot, reads the journal after it, cuts a torn tail, and opens the
/// journal for writing.
pub(crate) fn recover<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    gate: &G,
    readers: &ReadersNeed,
) -> Result<Recovery<G>, JournalError> {
    let directory = &config.directory;
    remove_unfinished(directory)?;
    remove_unfinished(&snapshot::directory(directory))?;
    fs::create_dir_all(runs_directory(config))
        .map_err(JournalError::io("can't create", runs_directory(config)))?;
    let journal = newest_journal(directory)?;
    let mut report = RecoveryReport::default();
    let Beginning { mut ledger, mut gate, runs, from, snapshot, mut kept, passed_over } =
        begin(config, hash_seed, journal, gate, &mut report)?;
    check_begins(&segment::list(directory)?, directory, from.next_seq, &report)?;
    put_aside(&passed_over)?;
    // What a process that ended left behind, or a snapshot that was passed over needed.
    let keep: Vec<_> = kept.iter().flat_map(Kept::run_names).collect();
    Runs::remove_unlisted(&runs_directory(config), &keep)?;
    let after_frame = |ledger: &mut Ledger| match &runs {
        Some(runs) => seal_if_full(ledger, runs),
        None => Ok(()),
    };
    let end =
        Tail { directory, ledger: &mut ledger, gate: &mut gate, report: &mut report, after_frame }
            .read(from, snapshot.as_deref())?;
    gate.recovered().map_err(JournalError::Policy)?;
    let writer = open_for_writing(config, end, &report)?;
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
    kept.truncate(2);
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

/// Where recovery begins.
struct Beginning<G> {
    ledger: Ledger,
    gate: G,
    /// `None` in a new journal, which has no name yet.
    runs: Option<Runs>,
    from: ChainEnd,
    snapshot: Option<PathBuf>,
    kept: Vec<Kept>,
    /// Snapshots that can't be used.
    passed_over: Vec<PathBuf>,
}

/// Begins with the newest usable snapshot, or with nothing.
fn begin<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    journal: Option<JournalId>,
    gate: &G,
    report: &mut RecoveryReport,
) -> Result<Beginning<G>, JournalError> {
    let snapshots = snapshot::list(&config.directory)?;
    let Some(journal) = journal else {
        if let Some((known, path)) = snapshots.into_iter().next() {
            return Err(JournalError::SnapshotAhead { path, known, last: EventSeq(0) });
        }
        let (ledger, gate) =
            (Ledger::with_config(ledger_config(config, hash_seed, None)), gate.clone());
        let (runs, from, snapshot) = (None, ChainEnd::GENESIS, None);
        let (kept, passed_over) = (Vec::new(), Vec::new());
        return Ok(Beginning { ledger, gate, runs, from, snapshot, kept, passed_over });
    };
    let mut passed_over = Vec::new();
    for (at, (seq, path)) in snapshots.iter().enumerate() {
        match load(config, hash_seed, journal, path, gate) {
            Ok((runs, loaded, gate)) => {
                report.snapshot = Some(*seq);
                let kept = kept(config, journal, &snapshots[at..], &runs);
                let from = ChainEnd { head: loaded.head, next_seq: seq.next() };
                let (ledger, runs, snapshot) = (loaded.ledger, Some(runs), Some(path.clone()));
                return Ok(Beginning { ledger, gate, runs, from, snapshot, kept, passed_over });
            }
            Err(error) => {
                tracing::warn!(%error, "passing over a snapshot");
                report.snapshots_passed_over.push(error.to_string());
                passed_over.push(path.clone());
            }
        }
    }
    let runs = open_runs(config, journal, &[])?;
    let ledger = Ledger::with_config(ledger_config(config, hash_seed, Some(&runs)));
    let (gate, from) = (gate.clone(), ChainEnd::GENESIS);
    let (runs, snapshot, kept) = (Some(runs), None, Vec::new());
    Ok(Beginning { ledger, gate, runs, from, snapshot, kept, passed_over })
}

fn load<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    journal: JournalId,
    path: &Path,
    gate: &G,
) -> Result<(Runs, snapshot::Loaded, G), JournalError> {
    let (of_journal, names) = snapshot::read_names(path)?;
    if of_journal != journal {
        return Err(JournalError::snapshot(path, "it is of another journal".to_owned()));
    }
    let runs = open_runs(config, journal, &names)?;
    let mut gate = gate.clone();
    let ledger_config = ledger_config(config, hash_seed, Some(&runs));
    let loaded = snapshot::load(path, ledger_config, &mut gate)?;
    Ok((runs, loaded, gate))
}

/// The snapshots that stay, with their runs. The first of them was loaded; the next is only asked
/// for what it needs.
fn kept(
    config: &EngineConfig,
    journal: JournalId,
    snapshots: &[(EventSeq, PathBuf)],
    runs: &Runs,
) -> Vec<Kept> {
    let mut kept = Vec::new();
    for (at, (seq, path)) in snapshots.iter().take(2).enumerate() {
        let needed = match at {
            0 => Ok(runs.list()),
            _ => snapshot::read_names(path)
                .and_then(|(_, names)| open_runs(config, journal, &names))
                .map(|runs| runs.list()),
        };
        if let Ok(runs) = needed {
            kept.push(Kept { seq: *seq, path: path.clone(), runs });
        }
    }
    kept
}

fn open_runs(
    config: &EngineConfig,
    journal: JournalId,
    names: &[String],
) -> Result<Runs, JournalError> {
    Runs::open(&runs_directory(config), journal, names, config.filter_memory_max)
}

fn runs_directory(config: &EngineConfig) -> PathBuf {
    config.directory.join("runs")
}

fn ledger_config(config: &EngineConfig, hash_seed: u64, runs: Option<&Runs>) -> LedgerConfig {
    let defaults = LedgerConfig::default();
    LedgerConfig {
        hash_seed,
        shards: config.shards,
        account_hash_bits: defaults.account_hash_bits,
        generation_payments_max: config.generation_payments_max,
        history: match runs {
            Some(runs) => std::sync::Arc::new(runs.clone()),
            None => defaults.history,
        },
    }
}

fn seal_if_full(ledger: &mut Ledger, runs: &Runs) -> Result<(), JournalError> {
    if ledger.generation_is_full()
        && let Some(generation) = ledger.close_generation()
    {
        runs.seal(&generation)?;
        ledger.let_go(generation.digest());
        while runs.merge_if_due(&|| false)? {}
    }
    Ok(())
}

/// The journal, read to its end.
struct End {
    segment: SegmentReader,
    /// Where its last frame starts; the segment's header, if it has none.
    last_frame: u64,
    offset: u64,
}

/// Applies what the journal has after some place.
struct Tail<'a, G, F> {
    directory: &'a Path,
    ledger: &'a mut Ledger,
    gate: &'a mut G,
    report: &'a mut RecoveryReport,
    after_frame: F,
}

impl<G: Gate, F: FnMut(&mut Ledger) -> Result<(), JournalError>> Tail<'_, G, F> {
    fn read(
        mut self,
        from: ChainEnd,
        snapshot: Option<&Path>,
    ) -> Result<Option<End>, JournalError> {
        let segments = segment::list(self.directory)?;
        let first = segments.partition_point(|(first, _)| *first <= from.next_seq);
        let first = first.saturating_sub(1);
        check_begins(&segments, self.directory, from.next_seq, self.report)?;
        self.report.head = from.head;
        let mut before: Option<(JournalId, ChainEnd)> = None;
        let mut end = None;
        let mut said = Instant::now();
        for (position, (named, path)) in segments.iter().enumerate().skip(first) {
            let segment = SegmentReader::open(path)?;
            let journal = segment.header.journal;
            // What a snapshot or nothing comes before is known as well as what a segment does.
            let begins_here = before.is_none() && *named >= from.next_seq;
            check_follows(
                &segment,
                *named,
                if begins_here { Some((journal, from)) } else { before },
            )?;
            let is_last = position + 1 == segments.len();
            let mut frames = SegmentFrames::new(segment, is_last);
            if before.is_none() && !begins_here {
                skip_known(&mut frames, from, is_last, snapshot)?;
            }
            let last_frame = self.apply(&mut frames)?;
            before = Some((journal, frames.end));
            if frames.is_torn {
                let path = frames.segment.path.display().to_string();
                self.report.torn_tail = Some((path, frames.offset));
            }
            self.report.segments += 1;
            self.report.bytes += frames.offset;
            self.report.head = frames.end.head;
            let SegmentFrames { segment, offset, .. } = frames;
            end = Some(End { segment, last_frame, offset });
            if said.elapsed().as_secs() >= 2 {
                said = Instant::now();
                let (segment, events) = (position + 1, self.ledger.last_seq().0);
                tracing::info!(segment, of = segments.len(), events, "reading the journal");
            }
        }
        self.report.last_seq = self.ledger.last_seq();
        self.ledger.end_batch();
        Ok(end)
    }

    /// Applies the frames of a segment that are left. Returns where the last one starts.
    fn apply(&mut self, frames: &mut SegmentFrames) -> Result<u64, JournalError> {
        let fresh = frames.offset == segment::FIRST_FRAME;
        let mut last_frame = if fresh { 0 } else { frames.offset };
        while let Some(Frame { offset, header, body, .. }) = frames.next()? {
            let events_len = (header.events_len as usize).min(body.len());
            let events_max = record::count_max(events_len, header.event_count);
            let mut events = Vec::with_capacity(events_max);
            record::decode_each(
                &body,
                header.events_len as usize,
                header.first_seq,
                header.event_count,
                |event, continues_group| events.push((event, continues_group)),
            )
            .map_err(|_| JournalError::Damaged {
                path: frames.segment.path.clone(),
                offset,
                what: "a frame's body holds no valid events",
            })?;
            self.ledger.begin_recorded_batch(header.time);
            for (FeedEvent { event, context, .. }, continues_group) in &events {
                let applied =
                    self.ledger.apply_recorded(event, context, *continues_group, self.gate);
                applied.map_err(|divergence| JournalError::Diverged {
                    path: frames.segment.path.clone(),
                    divergence,
                })?;
            }
            (self.after_frame)(self.ledger)?;
            self.report.frames += 1;
            last_frame = offset;
        }
        Ok(last_frame)
    }
}

/// Whether the journal reaches back to the event that recovery goes on with.
fn check_begins(
    segments: &[(EventSeq, PathBuf)],
    directory: &Path,
    wanted: EventSeq,
    report: &RecoveryReport,
) -> Result<(), JournalError> {
    match segments.first() {
        Some((first, _)) if *first > wanted => Err(JournalError::BeginningGone {
            path: directory.to_owned(),
            first: *first,
            wanted,
            snapshots: report.snapshots_passed_over.clone(),
        }),
        _ => Ok(()),
    }
}

/// Passes by the frames that a snapshot knows, and checks that it is of this very history.
fn skip_known(
    frames: &mut SegmentFrames,
    from: ChainEnd,
    is_last: bool,
    snapshot: Option<&Path>,
) -> Result<(), JournalError> {
    frames.skip_while(|header| header.next_seq() <= from.next_seq)?;
    let path = snapshot.unwrap_or(&frames.path).to_owned();
    let last = EventSeq(frames.end.next_seq.0 - 1);
    let known = EventSeq(from.next_seq.0 - 1);
    if frames.end == from {
        return Ok(());
    }
    if last < known && is_last && frames.next()?.is_none() {
        return Err(JournalError::SnapshotAhead { path, known, last });
    }
    let what = "the journal has another frame at its place. Nothing was changed. Put the journal \
                that it was taken of back, or move the snapshot away";
    Err(JournalError::snapshot(path, what.to_owned()))
}

/// Renames snapshots that can't be used, before runs are written anew: one of them might take those
/// for the ones that it needs.
fn put_aside(passed_over: &[PathBuf]) -> Result<(), JournalError> {
    for path in passed_over {
        let aside = path.with_extension("unusable");
        fs::rename(path, &aside).map_err(JournalError::io("can't rename", path))?;
        let above = path.parent().unwrap_or(path);
        let synced = fs::File::open(above).and_then(|directory| directory.sync_all());
        synced.map_err(JournalError::io("can't sync", above))?;
    }
    Ok(())
}

fn remove_unfinished(directory: &Path) -> Result<(), JournalError> {
    if !directory.exists() {
        return Ok(());
    }
    let entries = fs::read_dir(directory).map_err(JournalError::io("can't list", directory))?;
    for entry in entries {
        let path = entry.map_err(JournalError::io("can't list", directory))?.path();
        if path.extension().is_some_and(|suffix| suffix == "unfinished") {
            fs::remove_file(&path).map_err(JournalError::io("can't remove", &path))?;
        }
    }
    Ok(())
}
