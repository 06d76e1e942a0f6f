//! Directories: consumes the path of one in which files were made, renamed or left unfinished,
//! produces one whose names are durable, and in which nothing unfinished lies.

use std::{
    fs::{self, File},
    path::Path,
};

use crate::JournalError;

/// Makes durable which files are in it.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), JournalError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(JournalError::io("can't sync", directory))
}

/// Removes what was not renamed to its name when a process ended.
pub(crate) fn remove_unfinished(directory: &Path) -> Result<(), JournalError> {
    if !directory.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(directory).map_err(JournalError::io("can't list", directory))?;
    for entry in entries {
        let path = entry.map_err(JournalError::io("can't list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "unfinished") {
            fs::remove_file(&path).map_err(JournalError::io("can't remove", &path))?;
        }
    }
    Ok(())
}
