//! Swapping a sink's directory for one that was built anew, so that a stop at any moment can be put
//! right. Of the sink in directory `D`, [`settle`] makes this of what an earlier rebuild left:
//!
//! | `D` | `D.new` | `D.old` | what happened | what is done |
//! |---|---|---|---|---|
//! | there | | | nothing, or all | nothing |
//! | there | there | | it stopped while it built | `D.new` is removed |
//! | there | `WHOLE` | | it was built beside a sink that ran, and replaced it | the swap |
//! | | there | there | it stopped within the swap | `D.new` becomes `D` |
//! | there | | there | it stopped at the end of the swap | `D.old` is removed |
//! | | there | | it stopped while it built what was not there | `D.new` is removed |
//! | | | there | somebody removed the new one | `D.old` becomes `D` |
//!
//! `WHOLE` is a file in `D.new`. The swap is: `D` becomes `D.old`, `D.new` becomes `D`, `D.old` is
//! removed.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::Old;
use crate::{
    SinkError,
    line_file::{self, sync_dir_of},
};

/// Marks a directory that was built to its end beside a sink that ran.
const WHOLE: &str = "WHOLE";

pub(super) fn is_whole(dir: &Path) -> bool {
    dir.join(WHOLE).exists()
}

/// The sink that was built beside the one in `dir` has taken its place: the next start moves it there.
///
/// # Errors
/// When the mark can't be written.
pub fn mark_whole(dir: &Path) -> Result<(), SinkError> {
    line_file::replace(&fresh_dir(dir).join(WHOLE), b"")
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
        (true, true, _) if is_whole(&fresh) => {
            if old.exists() {
                remove(&old)?;
            }
            return swap(dir, &Old::Removed);
        }
        (true, true, _) | (false, true, false) => remove(&fresh)?,
        (false, true, true) => rename(&fresh, dir)?,
        (false, false, true) => return rename(&old, dir),
        (_, false, _) => {}
    }
    if old.exists() { remove(&old) } else { Ok(()) }
}

/// Puts the new directory in the place of the one that is there.
pub(super) fn swap(dir: &Path, kept: &Old) -> Result<(), SinkError> {
    let (fresh, old) = (beside(dir, "new"), beside(dir, "old"));
    if dir.exists() {
        // A stop after this one and before the next leaves no directory where one is kept: the sink
        // begins anew at the next start, and comes to the same.
        rename(dir, if let Old::KeptAs(kept) = kept { kept } else { &old })?;
    }
    rename(&fresh, dir)?;
    // A mark that stays is looked at by nobody.
    let _ = fs::remove_file(dir.join(WHOLE));
    if old.exists() { remove(&old) } else { Ok(()) }
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
