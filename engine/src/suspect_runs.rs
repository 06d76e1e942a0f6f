//! Suspect runs: consumes the error that kept an engine from reading older payments, produces a mark
//! for the next start, which then checks every page of the runs that its snapshot names.
//!
//! Guarantees that a damaged page stops an engine once: a start that finds the mark passes over
//! snapshots whose runs are bad, and makes those anew from the journal. Without the mark, only what
//! opening a run checks is checked, because all pages are many gigabytes.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::JournalError;

const NAME: &str = "SUSPECT";

/// Marks the runs of a journal, if the error says that one of them can't be read. Best effort: without
/// it the next start is as any.
pub(crate) fn mark_if_due(journal: &Path, error: &JournalError) {
    if matches!(error, JournalError::WrongRun { .. } | JournalError::History(_)) {
        mark(journal, &error.to_string());
    }
}

/// Marks the runs of a journal, with what was seen.
pub(crate) fn mark(journal: &Path, seen: &str) {
    let path = path(journal);
    if path.exists() {
        return;
    }
    if let Err(error) = write(&path, seen) {
        tracing::warn!(%error, path = %path.display(), "can't have the next start check the runs");
    }
}

/// Whether the runs of a journal are marked.
pub(crate) fn is_marked(journal: &Path) -> bool {
    path(journal).exists()
}

/// The runs that are needed were checked, or made anew.
pub(crate) fn clear(journal: &Path) -> Result<(), JournalError> {
    let path = path(journal);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::io("can't remove", &path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn path(journal: &Path) -> PathBuf {
    journal.join("runs").join(NAME)
}

fn write(path: &Path, seen: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    writeln!(file, "{seen}")?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}
