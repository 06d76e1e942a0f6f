//! The quarantine's files: where they are, and how they are read, written and removed so that a
//! stop at any moment leaves the old or the new.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{Ask, Entry, order::Request};
use crate::{SinkError, held_file::HeldFile, line_file};

/// Who looks whether a sink runs holds its lock for a moment.
const LOCK_TRIES: u32 = 40;
const LOCK_RETRY: Duration = Duration::from_millis(25);

/// The directory of one sink's quarantine.
#[derive(Clone, Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(super) fn new(root: &Path, sink: &str) -> Self {
        Self { dir: root.join(sink) }
    }

    pub(super) fn create(&self) -> Result<(), SinkError> {
        line_file::create_dir(&self.dir)?;
        line_file::sync_dir_of(&self.dir)
    }

    /// Digits enough that names sort as numbers.
    pub(super) fn entry_path(&self, seq: u64) -> PathBuf {
        self.dir.join(format!("{seq:020}.json"))
    }

    fn request_path(&self, seq: u64, ask: Ask) -> PathBuf {
        self.dir.join(format!("{seq:020}.{}", ask.name()))
    }

    fn lock_file(&self) -> Result<(PathBuf, File), SinkError> {
        let path = self.dir.join("LOCK");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(SinkError::io("open", &path))?;
        Ok((path, file))
    }

    /// Holds the quarantine until the file is dropped, or the process dies however it does.
    pub(super) fn lock(&self) -> Result<HeldFile, SinkError> {
        for _ in 0..LOCK_TRIES {
            let (path, file) = self.lock_file()?;
            match HeldFile::try_hold(file) {
                Ok(file) => return Ok(file),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_RETRY),
                Err(TryLockError::Error(source)) => {
                    return Err(SinkError::io("lock", path)(source));
                }
            }
        }
        Err(SinkError::InUse { path: self.dir.clone() })
    }

    /// Holds it if nobody else does.
    pub(super) fn try_lock(&self) -> Result<Option<HeldFile>, SinkError> {
        let (path, file) = self.lock_file()?;
        match HeldFile::try_hold(file) {
            Ok(file) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(SinkError::io("lock", path)(source)),
        }
    }

    /// Sequences of the files that end so, in order.
    fn seqs(&self, extension: &str) -> Result<Vec<u64>, SinkError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(SinkError::io("list", &self.dir))?,
        };
        let mut seqs = Vec::new();
        for entry in entries {
            let path = entry.map_err(SinkError::io("list", &self.dir))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path.extension().is_some_and(|found| found == extension) {
                seqs.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
            }
        }
        seqs.sort_unstable();
        Ok(seqs)
    }

    pub(super) fn entries(&self) -> Result<Vec<u64>, SinkError> {
        self.seqs("json")
    }

    pub(super) fn requests(&self, ask: Ask) -> Result<Vec<u64>, SinkError> {
        self.seqs(ask.name())
    }

    pub(super) fn is_asked(&self, seq: u64, ask: Ask) -> bool {
        self.request_path(seq, ask).exists()
    }

    pub(super) fn write(&self, entry: &Entry) -> Result<(), SinkError> {
        let mut text = serde_json::to_vec_pretty(entry).expect("text and numbers are valid JSON");
        text.push(b'\n');
        line_file::replace(&self.entry_path(entry.seq), &text)
    }

    pub(super) fn read(&self, seq: u64) -> Result<Option<Entry>, SinkError> {
        let path = self.entry_path(seq);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(SinkError::io("read", &path))?,
        };
        let entry = serde_json::from_slice(&text).map_err(|error| SinkError::Damaged {
            path,
            place: format!("line {}", error.line()),
            problem: error.to_string(),
            remedy: "Somebody changed it: put it back as it was, or remove it; the event itself \
                     is in the journal",
        })?;
        Ok(Some(entry))
    }

    pub(super) fn remove(&self, seq: u64) -> Result<(), SinkError> {
        self.remove_file(&self.entry_path(seq))
    }

    pub(super) fn ask(&self, seq: u64, ask: Ask, request: Request) -> Result<(), SinkError> {
        let text = serde_json::to_vec(&request).expect("a number is valid JSON");
        line_file::replace(&self.request_path(seq, ask), &text)
    }

    /// The request; `None` where the file does not hold one.
    pub(super) fn request(&self, seq: u64, ask: Ask) -> Result<Option<Request>, SinkError> {
        let path = self.request_path(seq, ask);
        let text = fs::read(&path).map_err(SinkError::io("read", &path))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    pub(super) fn answered(&self, seq: u64, ask: Ask) -> Result<(), SinkError> {
        self.remove_file(&self.request_path(seq, ask))
    }

    fn remove_file(&self, path: &Path) -> Result<(), SinkError> {
        match fs::remove_file(path) {
            Ok(()) => line_file::sync_dir_of(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(SinkError::io("remove", path)(error)),
        }
    }
}
