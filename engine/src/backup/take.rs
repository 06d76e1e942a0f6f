//! Makes a backup: consumes the files of a journal, produces those of a backup and its manifest.
//!
//! Snapshots and their runs are opened first, segments are read next: so no snapshot knows more than
//! the segments have. Every frame that is copied was checked, and continues the one before it.
//! Segments that are there already are told by where they stand in the chain, without being read.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use millrace_ledger::{EventSeq, Timestamp};

use super::{
    BackupError, BackupOptions, BackupReport, Progress,
    manifest::{Entry, Manifest, Place},
    shelf,
    source::{self, OpenSnapshot, file_name},
    store::Store,
};
use crate::{
    JournalError, archive_file, deleted_note,
    recover::Known,
    segment::{self, JournalId, SegmentReader},
    segment_frames::{ChainEnd, SegmentFrames},
};

/// How often the directory is listed before it is given up. Each attempt has less to copy.
const ATTEMPTS: u32 = 20;

/// Backs up the journal in `journal` to `target`, which may hold an earlier backup of it.
///
/// # Errors
/// When the journal is damaged or can't be read, the target holds something else, or can't be
/// written. An earlier backup in the target is as it was then.
pub fn backup(
    journal: &Path,
    target: &Path,
    options: &BackupOptions<'_>,
) -> Result<BackupReport, BackupError> {
    let id = journal_id(journal)?;
    let store = Store::open(target, id, options.recheck)?;
    let progress = Progress::default();
    let mut taking = Taking { journal, id, store, options, progress, passed_over: Vec::new() };
    let mut attempts = 1;
    let mut manifest = loop {
        match taking.attempt() {
            Err(BackupError::Journal(last)) if may_be_change(&last) && attempts < ATTEMPTS => {
                tracing::debug!(%last, "the journal changed; looking again");
                thread::sleep(Duration::from_millis(5));
                attempts += 1;
            }
            Err(BackupError::Journal(last)) if is_gone(&last) => {
                let (path, last) = (target.to_owned(), Box::new(last));
                return Err(BackupError::KeepsChanging { path, attempts, last });
            }
            result => break result?,
        }
    };
    let shelf::Taken { artefacts, passed_over: artefacts_passed_over } = taking.shelf()?;
    manifest.shelf = artefacts;
    let Taking { store, passed_over, .. } = taking;
    let report = BackupReport {
        journal: manifest.journal,
        first_seq: manifest.first_seq,
        last_seq: manifest.last_seq,
        last_time: manifest.last_time,
        head: manifest.head,
        segments: manifest.segments().len(),
        snapshots: manifest.snapshots().iter().map(|(seq, _)| *seq).collect(),
        runs: manifest.files.keys().filter(|name| name.starts_with("runs/")).count(),
        artefacts: manifest.shelf.len(),
        artefacts_passed_over,
        bytes_copied: store.bytes_copied,
        bytes_present: store.bytes_present(&manifest),
        passed_over,
        attempts,
    };
    store.finish(&manifest)?;
    Ok(report)
}

fn journal_id(journal: &Path) -> Result<JournalId, BackupError> {
    let none = || BackupError::NoJournal { path: journal.to_owned() };
    if !journal.is_dir() {
        return Err(none());
    }
    let segments = segment::list(journal)?;
    let (_, newest) = segments.last().ok_or_else(none)?;
    Ok(SegmentReader::open(newest)?.header.journal)
}

/// Whether a look at a directory that changes meanwhile may end like this.
fn may_be_change(error: &JournalError) -> bool {
    is_gone(error) || matches!(error, JournalError::WrongSegment { .. })
}

fn is_gone(error: &JournalError) -> bool {
    matches!(error, JournalError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

struct Taking<'a> {
    journal: &'a Path,
    id: JournalId,
    store: Store,
    options: &'a BackupOptions<'a>,
    progress: Progress,
    passed_over: Vec<String>,
}

impl Taking<'_> {
    /// Copies what the directory holds now.
    fn attempt(&mut self) -> Result<Manifest, BackupError> {
        let (snapshots, passed_over) = source::open_snapshots(self.journal, self.id)?;
        self.passed_over = passed_over;
        let known = Known::by_note(self.journal)?;
        let segments = segment::list(self.journal)?;
        let sizes = segments.iter().filter_map(|(_, path)| fs::metadata(path).ok());
        let total = sizes.map(|file| file.len()).sum::<u64>();
        let total = total + snapshots.iter().map(OpenSnapshot::len).sum::<u64>();
        self.progress = Progress { done: 0, total };
        self.check_beginning(&segments)?;
        let mut manifest = self.segments(&segments)?;
        known.end(Some(self.id), manifest.last_seq, None)?;
        let mut usable = 0;
        for snapshot in &snapshots {
            self.check_place(snapshot, &manifest)?;
            match self.snapshot(snapshot) {
                // Recovery can't go on from it: what comes after it is gone.
                Ok(_) if snapshot.seq.next() < manifest.first_seq => {}
                Ok(files) => {
                    usable += 1;
                    manifest.files.extend(files);
                }
                Err(BackupError::Journal(error @ JournalError::WrongRun { .. })) => {
                    self.passed_over.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        if manifest.first_seq > EventSeq::FIRST && usable == 0 {
            let (path, first) = (self.journal.to_owned(), manifest.first_seq);
            let passed_over = std::mem::take(&mut self.passed_over);
            return Err(BackupError::NoBeginning { path, first, passed_over });
        }
        Ok(manifest)
    }

    fn shelf(&mut self) -> Result<shelf::Taken, BackupError> {
        let (progress, options) = (&mut self.progress, self.options);
        shelf::take(&mut self.store, options.shelf, |bytes| {
            progress.done += bytes;
            progress.total = progress.total.max(progress.done);
            (options.progress)(*progress);
        })
    }

    fn told(&mut self, bytes: u64) {
        self.progress.done += bytes;
        self.progress.total = self.progress.total.max(self.progress.done);
        (self.options.progress)(self.progress);
    }

    /// A journal that lost its beginning is not backed up over a backup that has it. What retention
    /// deleted goes from the backup, too.
    fn check_beginning(&self, listed: &[(EventSeq, PathBuf)]) -> Result<(), BackupError> {
        let (Some(old), Some((first, _))) = (&self.store.old, listed.first()) else {
            return Ok(());
        };
        let (had, first) = (old.first_seq, *first);
        match had < first && deleted_note::kept_from(self.journal, self.id)? < first {
            false => Ok(()),
            true => {
                let (path, journal) = (self.store.directory.clone(), self.journal.to_owned());
                Err(BackupError::HasMore { path, journal, had, first })
            }
        }
    }

    /// A journal that lost its end is not backed up over a backup that has it.
    fn check_place(&self, snapshot: &OpenSnapshot, manifest: &Manifest) -> Result<(), BackupError> {
        let (known, last) = (snapshot.seq, manifest.last_seq);
        match known > last {
            false => Ok(()),
            true => {
                let path = snapshot.path.clone();
                Err(JournalError::SnapshotAhead { path, known, last, broken: None }.into())
            }
        }
    }

    /// Copies the segments. The manifest that is returned has them, and nothing else yet.
    fn segments(&mut self, listed: &[(EventSeq, PathBuf)]) -> Result<Manifest, BackupError> {
        let mut files = BTreeMap::new();
        let mut before: Option<Place> = None;
        let (mut first_seq, mut last_time) = (EventSeq::FIRST, Timestamp(0));
        let mut known_end = self.old_end(listed)?;
        for (at, (first, path)) in listed.iter().enumerate() {
            let next = listed.get(at + 1).map(|(_, path)| path.as_path());
            let wanted = known_end.filter(|(seq, _)| seq == first).map(|(_, end)| end);
            let (name, entry, place) = match self.unchanged(path, next, wanted)? {
                Some(unchanged) => unchanged,
                None => self.segment(path, next.is_none(), wanted)?,
            };
            check_follows(path, *first, &place, before.as_ref())?;
            if wanted.is_some() {
                known_end = None;
            }
            if before.is_none() {
                first_seq = place.begin.next_seq;
            }
            if place.has_frames() {
                last_time = place.last_time;
            }
            before = Some(place);
            files.insert(name, entry);
            self.told(fs::metadata(path).map_or(0, |file| file.len()));
        }
        let end = before.map_or(ChainEnd::GENESIS, |place| place.end);
        Ok(Manifest {
            journal: self.id,
            taken: self.options.taken,
            first_seq,
            last_seq: EventSeq(end.next_seq.0 - 1),
            last_time,
            head: end.head,
            files,
            shelf: BTreeMap::new(),
        })
    }

    /// Where the backup that is there ended: the first event of that segment, and what came after
    /// it. `None` when there is none, or the journal no longer has that segment because it was
    /// deleted.
    fn old_end(
        &self,
        listed: &[(EventSeq, PathBuf)],
    ) -> Result<Option<(EventSeq, ChainEnd)>, BackupError> {
        let Some(old) = self.store.old.as_ref().filter(|old| old.last_seq.0 > 0) else {
            return Ok(None);
        };
        let end = ChainEnd { head: old.head, next_seq: old.last_seq.next() };
        let after = listed.partition_point(|(first, _)| *first <= old.last_seq);
        match after.checked_sub(1).map(|at| listed[at].0) {
            Some(first) => Ok(Some((first, end))),
            None => Ok(None),
        }
    }

    /// A segment that is there already, if its place in the chain says that it is the same.
    fn unchanged(
        &self,
        path: &Path,
        next: Option<&Path>,
        wanted: Option<ChainEnd>,
    ) -> Result<Option<(String, Entry, Place)>, BackupError> {
        let name = segment_name(path);
        let Some(entry) = self.store.known(&name) else { return Ok(None) };
        let (Some(place), Some(next)) = (entry.segment, next) else { return Ok(None) };
        // Frames of an earlier backup end within it: whether they do is for its frames to say.
        if wanted.is_some_and(|end| end != place.end) {
            return Ok(None);
        }
        let is_same = if archive_file::is_archived(path) {
            let kept = archive_file::open(&self.store.path(&name, entry))?.1;
            archive_file::open(path)?.1 == kept
        } else if archive_file::is_archived(next) {
            false
        } else {
            let begins = SegmentReader::open(path)?.header == place.header(self.id);
            let ends = ChainEnd::before(&SegmentReader::open(next)?) == place.end;
            begins && ends
        };
        Ok(is_same.then(|| (name, entry.clone(), place)))
    }

    /// Reads a segment and copies it: an archived one as it is, another one up to its last frame.
    /// `wanted` has to be among the places between its frames.
    fn segment(
        &mut self,
        path: &Path,
        is_last: bool,
        wanted: Option<ChainEnd>,
    ) -> Result<(String, Entry, Place), BackupError> {
        let segment = SegmentReader::open(path)?;
        if segment.is_archived() && is_last {
            // Only a sealed segment is archived: another one has been started since.
            let gone = io::Error::from(io::ErrorKind::NotFound);
            return Err(JournalError::io("can't open", path)(gone).into());
        }
        let name = segment_name(&segment.path);
        let mut frames = SegmentFrames::new(segment, is_last);
        let (begin, mut times, mut is_met) = (frames.end, None, wanted.is_none());
        is_met |= wanted == Some(begin);
        while let Some(frame) = frames.next()? {
            let time = frame.header.time;
            times = Some((times.map_or(time, |(first, _)| first), time));
            is_met |= wanted == Some(frames.end);
        }
        if let (false, Some(old)) = (is_met, &self.store.old) {
            let (path, last) = (self.store.directory.clone(), old.last_seq);
            return Err(BackupError::OtherFuture { path, last });
        }
        let (first_time, last_time) = times.unwrap_or_default();
        let SegmentFrames { segment, offset, end, .. } = frames;
        let place = Place { begin, end, first_time, last_time };
        let known = self.store.known(&name);
        let same = known.filter(|known| known.segment == Some(place) && !segment.is_archived());
        let mut entry = match same {
            Some(same) => same.clone(),
            None if segment.is_archived() => self.archived(&name, &segment.path)?,
            None => {
                let pieces = segment.pieces(0, offset).map(|(_, piece)| piece);
                self.store.put(&name, pieces)?
            }
        };
        entry.segment = Some(place);
        self.store.remember(&name, &entry);
        Ok((name, entry, place))
    }

    fn archived(&mut self, name: &str, path: &Path) -> Result<Entry, BackupError> {
        let file = File::open(path).map_err(JournalError::io("can't open", path))?;
        Ok(self.store.put_file(name, &file)?.0)
    }

    /// Copies a snapshot and its runs. Of a run that was copied now, every page is checked.
    fn snapshot(
        &mut self,
        snapshot: &OpenSnapshot,
    ) -> Result<BTreeMap<String, Entry>, BackupError> {
        let mut files = BTreeMap::new();
        for run in &snapshot.runs {
            let name = format!("runs/{}", run.name());
            let (entry, is_new) = self.store.put_file(&name, run.file())?;
            if is_new && let Err(error) = run.verify() {
                self.store.forget(&name);
                return Err(error.into());
            }
            files.insert(name, entry);
            self.told(run.len());
        }
        let name = snapshot.name();
        let (entry, _) = self.store.put_file(&name, &snapshot.file)?;
        self.told(entry.len);
        files.insert(name, entry);
        Ok(files)
    }
}

/// What a segment's file is called, seen from the journal's directory.
fn segment_name(path: &Path) -> String {
    match archive_file::is_archived(path) {
        true => format!("archive/{}", file_name(path)),
        false => file_name(path),
    }
}

/// Whether a segment is the one that comes next.
fn check_follows(
    path: &Path,
    named: EventSeq,
    place: &Place,
    before: Option<&Place>,
) -> Result<(), JournalError> {
    let genesis = (named == EventSeq::FIRST).then_some(ChainEnd::GENESIS);
    let expected = before.map(|before| before.end).or(genesis);
    let what = match expected {
        _ if place.begin.next_seq != named => "its name and its header tell different first events",
        Some(end) if end.next_seq != named => "a segment before it is missing, or it is here twice",
        Some(end) if end != place.begin => {
            "the segment before it ends with another frame than it should"
        }
        _ => return Ok(()),
    };
    let expected = expected.map_or(named, |end| end.next_seq);
    Err(JournalError::WrongSegment { path: path.to_owned(), what, expected })
}
