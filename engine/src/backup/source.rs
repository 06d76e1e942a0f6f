//! The journal that is backed up: consumes its directory, produces snapshots and runs that are open,
//! so that they can't vanish while they are copied.
//!
//! An engine that runs meanwhile removes a snapshot first and then the runs that only it needed. A
//! run that is missing while its snapshot is still there was lost; if the snapshot is gone as well,
//! the directory has changed and must be listed again.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use millrace_ledger::EventSeq;

use crate::{
    JournalError,
    past::{Run, Runs},
    segment::JournalId,
    snapshot,
};

/// Snapshots that are copied: the newest one, and the one that serves if that is damaged later.
const SNAPSHOTS: usize = 2;

/// A snapshot whose bytes are whole, and the runs that it names.
#[derive(Debug)]
pub(super) struct OpenSnapshot {
    pub(super) seq: EventSeq,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) runs: Vec<Arc<Run>>,
}

impl OpenSnapshot {
    pub(super) fn name(&self) -> String {
        format!("snapshots/{}", file_name(&self.path))
    }

    /// Bytes of it and of its runs.
    pub(super) fn len(&self) -> u64 {
        let own = self.file.metadata().map_or(0, |file| file.len());
        own + self.runs.iter().map(|run| run.len()).sum::<u64>()
    }
}

/// What a file is called in its directory.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The newest usable snapshots of a journal, newest first, and why others are not usable.
///
/// # Errors
/// When a file vanished, which is worth another look, or can't be read.
pub(super) fn open_snapshots(
    directory: &Path,
    journal: JournalId,
) -> Result<(Vec<OpenSnapshot>, Vec<String>), JournalError> {
    let (mut open, mut passed_over) = (Vec::new(), Vec::new());
    for (_, path) in snapshot::list(directory)? {
        if open.len() == SNAPSHOTS {
            break;
        }
        match open_snapshot(directory, journal, &path) {
            Ok(snapshot) => open.push(snapshot),
            Err(error) if path.exists() => passed_over.push(error.to_string()),
            Err(_) => {
                let gone = io::Error::from(io::ErrorKind::NotFound);
                return Err(JournalError::io("can't open", &path)(gone));
            }
        }
    }
    Ok((open, passed_over))
}

fn open_snapshot(
    directory: &Path,
    journal: JournalId,
    path: &Path,
) -> Result<OpenSnapshot, JournalError> {
    let error = |error| JournalError::io("can't open", path)(error);
    let file = File::open(path).map_err(error)?;
    let needs = snapshot::check(file.try_clone().map_err(error)?, path)?;
    if needs.journal != journal {
        return Err(JournalError::snapshot(path, "it is of another journal".to_owned()));
    }
    let runs_directory = directory.join("runs");
    let open = |name: &String| Runs::open_one(&runs_directory, journal, name);
    let runs = needs.runs.iter().map(open).collect::<Result<_, _>>()?;
    Ok(OpenSnapshot { seq: needs.last_seq, path: path.to_owned(), file, runs })
}
