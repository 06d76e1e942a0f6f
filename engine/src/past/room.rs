//! Room for merges. Consumes what the file system says is free, produces whether a merge may take of it.
//!
//! Guarantees that a merge, which can wait, leaves alone what the journal needs, which can't: without
//! space for its next segment, payments stop.

#[cfg(test)]
use std::sync::atomic::AtomicU64;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::run::Run;

/// So many segments are left to the journal: the next one, which is made ready beside, one more in case
/// that one is not ready in time, and two that fill while runs are merged.
///
/// It is no share of the file system, and not bounded by one: on a small disk, a tenth may be less
/// than a segment, and then the journal would be the one that finds no space. Whoever has less free
/// than this is about to run out of space in any case, and a merge would give back none before the
/// snapshots that name its input are gone.
const SEGMENTS_RESERVED: u64 = 4;

/// What merges leave free.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes.
    reserve: u64,
    source: Source,
    /// It was told that there is no room, and no run was merged since.
    told: AtomicBool,
}

/// Who says what is free.
#[derive(Debug)]
enum Source {
    FileSystem,
    #[cfg(test)]
    Test(Arc<AtomicU64>),
}

impl Room {
    /// Beside a journal with segments of so many bytes.
    pub(crate) fn beside_segments(bytes: u64) -> Self {
        Self::reserving(bytes.saturating_mul(SEGMENTS_RESERVED))
    }

    /// Leaves so many bytes free.
    pub(crate) fn reserving(reserve: u64) -> Self {
        Self { reserve, source: Source::FileSystem, told: AtomicBool::new(false) }
    }

    /// The same where `free` says how many bytes are free.
    #[cfg(test)]
    pub(super) fn of(reserve: u64, free: Arc<AtomicU64>) -> Self {
        Self { source: Source::Test(free), ..Self::reserving(reserve) }
    }

    /// Whether these runs can be merged now in this directory. If not, that is told, once until
    /// runs were merged again.
    pub(super) fn is_there(&self, directory: &Path, runs: &[Arc<Run>]) -> bool {
        let inputs = runs.iter().map(|run| run.len()).sum();
        let Some(free) = self.free(directory) else { return true };
        let is_there = may_begin(free, inputs, self.reserve);
        if !is_there {
            self.tell(directory, free, inputs);
        }
        is_there
    }

    /// Whether a merge has to give up, because others took what was free when it began.
    pub(super) fn runs_out(&self, directory: &Path) -> bool {
        let Some(free) = self.free(directory) else { return false };
        let runs_out = must_end(free, self.reserve);
        if runs_out {
            self.tell(directory, free, 0);
        }
        runs_out
    }

    /// Runs were merged: the next time that there is no room is news again.
    pub(super) fn merged(&self) {
        self.told.store(false, Ordering::Relaxed);
    }

    /// Whether it was told that there is no room.
    #[cfg(test)]
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    fn tell(&self, directory: &Path, free: u64, inputs: u64) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                directory = %directory.display(),
                free_mib = free >> 20,
                needed_mib = inputs.saturating_add(self.reserve) >> 20,
                "runs are not merged while so little space is free: what there is is left to the \
                 journal. Payments go on, and runs are used as they are. Free space on this file \
                 system, or move the data directory to a larger one; merging then goes on by itself"
            );
        }
    }

    /// Bytes that this process may still write. `None` where the file system does not say.
    fn free(&self, directory: &Path) -> Option<u64> {
        match &self.source {
            Source::FileSystem => {
                let space = rustix::fs::statvfs(directory).ok()?;
                // One without bounds, or one that keeps no count, tells no size either.
                (space.f_blocks > 0).then(|| space.f_bavail.saturating_mul(space.f_frsize))
            }
            #[cfg(test)]
            Source::Test(free) => Some(free.load(Ordering::Relaxed)),
        }
    }
}

/// A merge writes about as many bytes as it reads, and deletes none before it is whole.
fn may_begin(free: u64, inputs: u64, reserve: u64) -> bool {
    free >= inputs.saturating_add(reserve)
}

/// While it goes on, the journal may take of the reserve. Half of it are the next segment and the one
/// after: what the merge has written so far is given back before they are needed.
fn must_end(free: u64, reserve: u64) -> bool {
    free < reserve / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_begins_only_where_its_output_and_the_reserve_are_free() {
        // free, inputs, reserve, begins, ends once begun
        let table = [
            (0, 0, 0, true, false),
            (99, 100, 0, false, false),
            (100, 100, 0, true, false),
            (499, 100, 400, false, false),
            (500, 100, 400, true, false),
            (399, 0, 400, false, false),
            (200, 0, 400, false, false),
            (199, 0, 400, false, true),
            (u64::MAX - 1, u64::MAX, u64::MAX, false, false),
            (u64::MAX - 1, u64::MAX, 1, false, false),
        ];
        for (free, inputs, reserve, begins, ends) in table {
            let what = format!("{free} free, {inputs} of input, {reserve} in reserve");
            assert_eq!(may_begin(free, inputs, reserve), begins, "{what}");
            assert_eq!(must_end(free, reserve), ends, "{what}");
        }
    }

    #[test]
    fn a_file_system_says_what_is_free_or_is_not_asked_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let room = Room::reserving(u64::MAX);
        // One that says nothing never stands in the way; this one may be such.
        let says = room.free(directory.path()).is_some();
        assert_eq!(room.is_there(directory.path(), &[]), !says);
        assert_eq!(room.is_told(), says);
        let gone = directory.path().join("gone");
        assert!(Room::reserving(u64::MAX).is_there(&gone, &[]), "nothing is known of it");
        assert!(!Room::reserving(u64::MAX).runs_out(&gone));
    }
}
