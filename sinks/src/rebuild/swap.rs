//! Swapping a sink's directory for one that was built anew, in one step where the file system has it,
//! and so that a stop at any moment can be put right. Of the sink in directory `D`, [`settle`] makes
//! this of what an earlier rebuild left:
//!
//! | `D` | `D.new` | `D.old` | what happened | what is done |
//! |---|---|---|---|---|
//! | there | | | nothing, or all | nothing |
//! | there | there | | it stopped while it built | `D.new` is removed |
//! | there | `WHOLE` | | it was built to its end, and may replace the other one | the swap |
//! | `WHOLE` | there | | it stopped behind the swap: `D.new` is what was replaced | the rest of it |
//! | | there | there | it stopped within the swap | `D.new` becomes `D`, and the rest of it |
//! | there | | there | it stopped at the end of the swap | the rest of it |
//! | | there | | it stopped while it built what was not there | `D.new` is removed |
//! | | | there | somebody removed the new one | `D.old` becomes `D` |
//!
//! `WHOLE` is a file in the directory, which names what the replaced one is kept as; empty where it is
//! removed. The swap exchanges `D` and `D.new`; where that can't be done in one step, `D` becomes
//! `D.old` and `D.new` becomes `D`. The rest of it: what was replaced is kept or removed, and the mark
//! goes.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::Old;
use crate::{
    SinkError,
    line_file::{self, sync_dir_of},
};

/// Marks a directory that was built to its end.
const WHOLE: &str = "WHOLE";

pub(super) fn is_whole(dir: &Path) -> bool {
    dir.join(WHOLE).exists()
}

/// The sink that was built beside the one in `dir` may take its place, at the next start at the
/// latest.
///
/// # Errors
/// When the mark can't be written.
pub fn mark_whole(dir: &Path, replaced: &Old) -> Result<(), SinkError> {
    let kept = match replaced {
        Old::Removed => b"",
        Old::KeptAs(path) => path.file_name().map_or(&b""[..], |name| name.as_bytes()),
    };
    line_file::replace(&fresh_dir(dir).join(WHOLE), kept)
}

/// Where a sink is built that is to replace the one in `dir`.
#[must_use]
pub fn fresh_dir(dir: &Path) -> PathBuf {
    beside(dir, "new")
}

/// Finishes or undoes what an earlier rebuild of the sink in this directory left, whichever its
/// table says. To be called before the sink is opened.
///
/// # Errors
/// When a directory can't be renamed or removed.
pub fn settle(dir: &Path) -> Result<(), SinkError> {
    let (fresh, old) = (beside(dir, "new"), beside(dir, "old"));
    match (dir.exists(), fresh.exists(), old.exists()) {
        (true, true, _) if is_whole(&fresh) => return exchange(dir),
        (true, true, _) if is_whole(dir) => {}
        (true, true, _) | (false, true, false) => remove(&fresh)?,
        (false, true, true) => rename(&fresh, dir)?,
        (false, false, true) => return rename(&old, dir),
        (_, false, _) => {}
    }
    finish(dir)
}

/// Puts the new directory in the place of the one that is there.
///
/// # Errors
/// When a directory can't be renamed or removed. The next start puts it right.
pub fn swap(dir: &Path, replaced: &Old) -> Result<(), SinkError> {
    mark_whole(dir, replaced)?;
    exchange(dir)
}

/// The new directory is marked already.
fn exchange(dir: &Path) -> Result<(), SinkError> {
    let (fresh, old) = (beside(dir, "new"), beside(dir, "old"));
    if old.exists() {
        remove(&old)?;
    }
    if !dir.exists() {
        rename(&fresh, dir)?;
    } else if renameat_with(CWD, &fresh, CWD, dir, RenameFlags::EXCHANGE).is_ok() {
        sync_dir_of(dir)?;
    } else {
        // Not every file system can: in two steps then.
        rename(dir, &old)?;
        rename(&fresh, dir)?;
    }
    finish(dir)
}

/// The new directory is in its place: keeps or removes what it replaced.
fn finish(dir: &Path) -> Result<(), SinkError> {
    let mark = dir.join(WHOLE);
    let kept = match fs::read(&mark) {
        Ok(name) => Some(name).filter(|name| !name.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(SinkError::io("read", mark)(error)),
    };
    for replaced in [beside(dir, "new"), beside(dir, "old")].iter().filter(|it| it.exists()) {
        match &kept {
            Some(name) => rename(replaced, &dir.with_file_name(OsString::from_vec(name.clone())))?,
            None => remove(replaced)?,
        }
    }
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SinkError::io("remove", mark)(error))
        }
        Ok(()) => sync_dir_of(&mark),
        Err(_) => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), SinkError> {
    fs::rename(from, to).map_err(SinkError::io("rename", from))?;
    sync_dir_of(to)
}

pub(super) fn remove(dir: &Path) -> Result<(), SinkError> {
    fs::remove_dir_all(dir).map_err(SinkError::io("remove", dir))?;
    sync_dir_of(dir)
}

/// `D.new` or `D.old`.
pub(super) fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(dir.as_os_str());
    name.push(".");
    name.push(suffix);
    name.into()
}
