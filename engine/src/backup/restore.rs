//! Restores a backup: consumes its files, produces a journal that a server can start on.
//!
//! Guarantees that the journal has its name only when every byte of it was compared with the
//! manifest, recovery has read all that it needs of it, and it ends where it should. Until then it
//! is beside that place as `<name>.restoring`, which a failure removes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use millrace_ledger::{EventSeq, Gate, GateStateError, Judged, Timestamp, Verdict};

use super::{
    BackupError, Progress, RestoreReport, Until,
    cut::{self, CutEnd},
    manifest::{self, DIRECTORIES, Entry, Manifest, Place},
    shelf,
    store::{self, sync_directory},
};
use crate::{
    EngineConfig, JournalError, RecoveryReport, deleted_note, lock::DirectoryLock, recover,
    segment_frames::ChainEnd, snapshot,
};

/// Restores the backup in `backup` to the directory `journal`, which must be empty or not there, and
/// what is on its shelf to the directory `shelf`.
///
/// # Errors
/// When the backup is damaged, does not reach to the point that is asked for, or the journal can't
/// be written. Nothing is left of it then.
pub fn restore(
    backup: &Path,
    journal: &Path,
    shelf: &Path,
    until: Option<Until>,
    progress: &dyn Fn(Progress),
) -> Result<RestoreReport, BackupError> {
    let none = |what| BackupError::NoBackup { path: backup.to_owned(), what };
    match fs::metadata(backup) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(none("it is no directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(none("there is no such directory"));
        }
        Err(error) => return Err(BackupError::io("can't read", backup)(error)),
    }
    let manifest = Manifest::read(backup)?.ok_or_else(|| {
        none("it has no backup.manifest, which is written last, when all else is there")
    })?;
    store::check_no_strays(backup, &manifest)?;
    let point = Point::new(&manifest, until)?;
    let building = Building::begin(journal)?;
    let mut restoring = Restoring {
        backup,
        manifest: &manifest,
        directory: &building.directory,
        written: BTreeSet::new(),
        bytes: 0,
        snapshots: 0,
        progress,
    };
    let end = match point {
        Point::End => restoring.all()?,
        Point::Event(_) | Point::Time(_) => restoring.up_to(point)?,
    };
    let Restoring { bytes, snapshots, .. } = restoring;
    if manifest.first_seq > EventSeq::FIRST {
        // Nothing is lost that the backup did not have.
        deleted_note::write(&building.directory, manifest.journal, manifest.first_seq)?;
    }
    let (found, state_hash) = verify(&building.directory, snapshots > 0)?;
    let last_seq = EventSeq(end.end.next_seq.0 - 1);
    if (found.last_seq, found.head) != (last_seq, end.end.head) {
        return Err(BackupError::WrongEnd { expected: last_seq, found: found.last_seq });
    }
    // Before the journal has its name: whoever starts on it needs what it names.
    let bytes = bytes + shelf::give(backup, &manifest, shelf)?;
    building.finish()?;
    Ok(RestoreReport {
        journal: manifest.journal,
        taken: manifest.taken,
        first_seq: manifest.first_seq,
        last_seq,
        last_time: end.last_time,
        head: found.head,
        state_hash,
        snapshot: found.snapshot,
        segments: end.segments,
        artefacts: manifest.shelf.len(),
        bytes,
        cut_from: (last_seq < manifest.last_seq).then_some(manifest.last_seq),
        passed_over: found.snapshots_passed_over,
    })
}

/// Where the journal is to end.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// Where the backup ends.
    End,
    /// With this event, before that.
    Event(EventSeq),
    /// With the last event until this time, before that.
    Time(Timestamp),
}

impl Point {
    fn new(manifest: &Manifest, until: Option<Until>) -> Result<Self, BackupError> {
        let (first, last) = (manifest.first_seq, manifest.last_seq);
        let taken = manifest.taken.max(manifest.last_time);
        match until {
            None => Ok(Self::End),
            Some(Until::Event(asked)) if asked > last => {
                Err(BackupError::BeyondEnd { asked, last })
            }
            Some(Until::Event(asked)) if asked == last && asked.0 > 0 => Ok(Self::End),
            Some(Until::Event(asked)) => check_reach(manifest, asked).map(|()| Self::Event(asked)),
            Some(Until::Time(asked)) if asked > taken => Err(BackupError::NotYet { last, taken }),
            Some(Until::Time(asked)) => match first_time(manifest) {
                Some(time) if time > asked => {
                    Err(BackupError::BeforeBeginning { first, time: Some(time) })
                }
                None => Err(BackupError::BeforeBeginning { first, time: None }),
                Some(_) if asked >= manifest.last_time => Ok(Self::End),
                Some(_) => Ok(Self::Time(asked)),
            },
        }
    }

    /// Whether a segment has something of before.
    fn includes(self, place: &Place) -> bool {
        match self {
            Self::End => true,
            Self::Event(seq) => place.begin.next_seq <= seq,
            Self::Time(time) => place.has_frames() && place.first_time <= time,
        }
    }
}

/// Time of the first event that the backup has.
fn first_time(manifest: &Manifest) -> Option<Timestamp> {
    let segments = manifest.segments();
    let first = segments.iter().find(|(_, _, place)| place.has_frames());
    first.map(|(_, _, place)| place.first_time)
}

/// Whether a journal that ends with this event can be recovered: from its beginning, or from a
/// snapshot.
fn check_reach(manifest: &Manifest, asked: EventSeq) -> Result<(), BackupError> {
    let first = manifest.first_seq;
    let oldest = manifest.snapshots().last().map(|(seq, _)| *seq);
    let earliest = match first {
        EventSeq::FIRST => Some(first),
        _ => oldest.map(|seq| seq.max(first)),
    };
    match earliest.is_some_and(|earliest| asked >= earliest) {
        true => Ok(()),
        false => Err(BackupError::TooEarly { asked, first, earliest }),
    }
}

/// Where the journal ends that was written.
struct End {
    end: ChainEnd,
    last_time: Timestamp,
    segments: usize,
}

struct Restoring<'a> {
    backup: &'a Path,
    manifest: &'a Manifest,
    directory: &'a Path,
    /// Names of files that are there.
    written: BTreeSet<String>,
    bytes: u64,
    snapshots: usize,
    progress: &'a dyn Fn(Progress),
}

impl Restoring<'_> {
    fn all(&mut self) -> Result<End, BackupError> {
        for (name, entry) in &self.manifest.files {
            self.copy(name, entry)?;
        }
        self.snapshots = self.manifest.snapshots().len();
        Ok(End {
            end: ChainEnd { head: self.manifest.head, next_seq: self.manifest.last_seq.next() },
            last_time: self.manifest.last_time,
            segments: self.manifest.segments().len(),
        })
    }

    /// Copies what is before a point, and cuts the segment that it is in.
    fn up_to(&mut self, point: Point) -> Result<End, BackupError> {
        let mut segments = self.manifest.segments();
        segments.retain(|(_, _, place)| point.includes(place));
        for (name, entry, _) in &segments {
            self.copy(name, entry)?;
        }
        let Some((name, entry, place)) = segments.last() else {
            let (first, time) = (self.manifest.first_seq, first_time(self.manifest));
            return Err(BackupError::BeforeBeginning { first, time });
        };
        let path = self.directory.join(name);
        let last = match point {
            Point::Event(seq) => seq,
            Point::Time(time) => {
                let last = cut::last_until(&path, time)?;
                check_reach(self.manifest, last)?;
                last
            }
            Point::End => self.manifest.last_seq,
        };
        let CutEnd { end, last_time, bytes } = self.cut(&path, place, last)?;
        self.bytes = self.bytes - entry.len + bytes;
        for (seq, name) in self.manifest.snapshots() {
            if seq <= last {
                self.snapshot(name)?;
            }
        }
        Ok(End { end, last_time, segments: segments.len() })
    }

    /// Cuts a segment that was copied. What remains is the newest, so it is not an archived one.
    fn cut(&self, path: &Path, place: &Place, last: EventSeq) -> Result<CutEnd, BackupError> {
        let cut_path = self.directory.join("cut.unfinished");
        let end = cut::cut(path, last, &cut_path)?;
        fs::remove_file(path).map_err(BackupError::io("can't remove", path))?;
        let name = format!("{:020}.segment", place.begin.next_seq.0);
        let path = self.directory.join(name);
        fs::rename(&cut_path, &path).map_err(BackupError::io("can't create", &path))?;
        Ok(end)
    }

    /// Copies a snapshot and the runs that it names.
    fn snapshot(&mut self, name: &str) -> Result<(), BackupError> {
        self.copy_named(name)?;
        self.snapshots += 1;
        let (_, runs) = snapshot::read_names(&self.directory.join(name))?;
        runs.iter().try_for_each(|run| self.copy_named(&format!("runs/{run}")))
    }

    fn copy_named(&mut self, name: &str) -> Result<(), BackupError> {
        match self.manifest.files.get(name) {
            Some(entry) => self.copy(name, entry),
            None => {
                let path = self.backup.join(manifest::FILE_NAME);
                Err(BackupError::damaged(&path, "it does not name a run that a snapshot needs"))
            }
        }
    }

    /// Copies a file, unless it is there, and compares it with what the manifest says.
    fn copy(&mut self, name: &str, entry: &Entry) -> Result<(), BackupError> {
        if !self.written.insert(name.to_owned()) {
            return Ok(());
        }
        let stored = self.backup.join(entry.stored_name(name));
        let file = match File::open(&stored) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::damaged(&stored, "it is missing"));
            }
            file => file.map_err(BackupError::io("can't open", &stored))?,
        };
        let len = file.metadata().map_err(BackupError::io("can't read", &stored))?.len();
        if len != entry.len {
            return Err(BackupError::damaged(&stored, "it is longer or shorter than it was"));
        }
        let path = self.directory.join(name);
        let (_, hash) = store::write_pieces(&path, store::pieces(&file, &stored))?;
        if hash != entry.hash {
            return Err(BackupError::damaged(&stored, "its bytes are not those that were written"));
        }
        self.bytes += len;
        (self.progress)(Progress { done: self.bytes, total: self.manifest.bytes() });
        Ok(())
    }
}

/// A journal under a temporary name. Removed unless it is finished.
struct Building {
    directory: PathBuf,
    journal: PathBuf,
    /// The directory above, if it was made for this.
    made: Option<PathBuf>,
    lock: Option<DirectoryLock>,
}

impl Building {
    fn begin(journal: &Path) -> Result<Self, BackupError> {
        match fs::read_dir(journal).map(Iterator::count) {
            Ok(0) => {}
            Ok(_) => return Err(BackupError::NotEmpty { path: journal.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(BackupError::io("can't list", journal)(error)),
        }
        let mut directory = journal.as_os_str().to_owned();
        directory.push(".restoring");
        let directory = PathBuf::from(directory);
        let above = above(journal);
        let made = (!above.exists()).then(|| above.to_owned());
        fs::create_dir_all(&directory).map_err(BackupError::io("can't create", &directory))?;
        let lock = DirectoryLock::take(&directory).map_err(|error| match error {
            JournalError::InUse { path } => BackupError::InUse { path },
            other => other.into(),
        })?;
        let building = Self { directory, journal: journal.to_owned(), made, lock: Some(lock) };
        // What an interrupted restore left. It held the lock, so it has ended.
        let directory = &building.directory;
        let left = fs::read_dir(directory).map_err(BackupError::io("can't list", directory))?;
        for entry in left {
            let path = entry.map_err(BackupError::io("can't list", directory))?.path();
            let removed = match path.is_dir() {
                _ if path.ends_with("LOCK") => Ok(()),
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(BackupError::io("can't remove", &path))?;
        }
        for below in DIRECTORIES.iter().filter(|below| !below.is_empty()) {
            let path = directory.join(below);
            fs::create_dir(&path).map_err(BackupError::io("can't create", &path))?;
        }
        Ok(building)
    }

    /// Gives it its name.
    fn finish(mut self) -> Result<(), BackupError> {
        for below in DIRECTORIES {
            let path = self.directory.join(below);
            // An archive without segments is none.
            if !below.is_empty() && fs::remove_dir(&path).is_ok() {
                continue;
            }
            sync_directory(&path)?;
        }
        sync_directory(&self.directory)?;
        let journal = &self.journal;
        fs::rename(&self.directory, journal).map_err(BackupError::io("can't create", journal))?;
        self.lock = None;
        self.made = None;
        let above = above(journal);
        sync_directory(above)?;
        let above = above.canonicalize().map_err(BackupError::io("can't read", above))?;
        above.parent().map_or(Ok(()), sync_directory)
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if self.lock.take().is_some() {
            // What went wrong before matters more than what can't be removed.
            let _ = fs::remove_dir_all(&self.directory);
            if let Some(made) = &self.made {
                let _ = fs::remove_dir(made);
            }
        }
    }
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a journal as a start would. Without a snapshot that is all of it, so payments that are not
/// recent are kept in files meanwhile.
fn verify(directory: &Path, has_snapshot: bool) -> Result<(RecoveryReport, [u8; 32]), BackupError> {
    if has_snapshot {
        let config = EngineConfig::new(directory);
        return Ok(recover::verify_recovery(&config, &AnyPolicy)?);
    }
    let scratch = directory.join("scratch");
    fs::create_dir(&scratch).map_err(BackupError::io("can't create", &scratch))?;
    let (report, ledger) = recover::verify_within(directory, &scratch, &mut AnyPolicy)?;
    let hash = ledger.state_hash();
    drop(ledger);
    fs::remove_dir_all(&scratch).map_err(BackupError::io("can't remove", &scratch))?;
    Ok((report, hash))
}

/// Takes over the memory of whatever risk policy the journal was written with, and forgets it: the
/// ledger's state does not depend on it.
#[derive(Clone, Copy)]
pub(crate) struct AnyPolicy;

impl Gate for AnyPolicy {
    fn judge(&mut self, _: Judged<'_>) -> Verdict {
        Verdict::APPROVE
    }

    fn observe(&mut self, _: Judged<'_>) {}

    fn begin_group(&mut self) {}

    fn end_group(&mut self, _: bool) {}

    fn restore(&mut self, _: &[u8]) -> Result<(), GateStateError> {
        Ok(())
    }
}
