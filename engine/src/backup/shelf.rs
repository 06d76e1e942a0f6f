//! The shelf: what the journal names and does not hold (policies, models, rules, lists), each in a
//! file called by the BLAKE3 of its bytes. Consumes such a directory, produces one.
//!
//! Guarantees that what is copied is what its name says. It is copied after the journal: whatever the
//! journal names was put there before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    BackupError,
    manifest::{Hex, Manifest, is_artefact_name},
    store::{self, Store, sync_directory},
};

/// What the directory is called in a backup.
pub(super) const DIRECTORY: &str = "shelf";
const UNFINISHED: &str = "restoring.unfinished";

/// What is on the shelf of a backup, with lengths, and what is not, and why.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) artefacts: BTreeMap<String, u64>,
    pub(super) passed_over: Vec<String>,
}

/// Copies what is new on a shelf. What an earlier backup has stays: journals may name it.
pub(super) fn take(
    store: &mut Store,
    shelf: &Path,
    mut told: impl FnMut(u64),
) -> Result<Taken, BackupError> {
    let mut names = list(shelf)?;
    names.extend(store.old.iter().flat_map(|old| old.shelf.keys().cloned()));
    let mut taken = Taken::default();
    for name in names {
        let len = match store.artefact_len(&name)? {
            Some(len) => Ok(len),
            None => copy(store, shelf, &name)?,
        };
        match len {
            Ok(len) => {
                told(len);
                taken.artefacts.insert(name, len);
            }
            Err(what) => {
                let path = shelf.join(&name);
                taken.passed_over.push(format!("{}: {what}", path.display()));
            }
        }
    }
    Ok(taken)
}

/// Names of what is on a shelf; other files are none of ours.
fn list(shelf: &Path) -> Result<BTreeSet<String>, BackupError> {
    let entries = match fs::read_dir(shelf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(BackupError::io("can't list", shelf))?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(BackupError::io("can't list", shelf))?;
        names.insert(entry.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| is_artefact_name(name));
    Ok(names)
}

/// Copies one artefact into a backup; tells why if it can't be.
fn copy(
    store: &mut Store,
    shelf: &Path,
    name: &str,
) -> Result<Result<u64, &'static str>, BackupError> {
    let path = shelf.join(name);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("it is gone")),
        file => file.map_err(BackupError::io("can't open", &path))?,
    };
    let copied = store.put_artefact(name, store::pieces(&file, &path))?;
    Ok(copied.ok_or("it was altered: its bytes are not those of its name"))
}

/// Puts what a backup has on a shelf. Returns how many bytes that is.
pub(super) fn give(backup: &Path, manifest: &Manifest, shelf: &Path) -> Result<u64, BackupError> {
    if manifest.shelf.is_empty() {
        return Ok(0);
    }
    fs::create_dir_all(shelf).map_err(BackupError::io("can't create", shelf))?;
    for (name, len) in &manifest.shelf {
        let stored = stored_path(backup, name);
        let file = match File::open(&stored) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::damaged(&stored, "it is missing"));
            }
            file => file.map_err(BackupError::io("can't open", &stored))?,
        };
        let unfinished = shelf.join(UNFINISHED);
        let written = store::write_pieces(&unfinished, store::pieces(&file, &stored))?;
        if written.0 != *len || Hex(&written.1).to_string() != *name {
            let _ = fs::remove_file(&unfinished);
            return Err(BackupError::damaged(&stored, "its bytes are not those that were written"));
        }
        let path = shelf.join(name);
        fs::rename(&unfinished, &path).map_err(BackupError::io("can't create", &path))?;
    }
    sync_directory(shelf)?;
    Ok(manifest.shelf.values().sum())
}

/// Where a backup has an artefact.
pub(super) fn stored_path(backup: &Path, name: &str) -> PathBuf {
    backup.join(DIRECTORY).join(name)
}
