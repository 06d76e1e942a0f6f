//! Retention: consumes sealed segments, produces archived ones, and deletes the oldest of those when
//! nothing needs them and the settings don't want them either.
//!
//! Guarantees that what is left has no gap, and that it reaches back as far as any of these says:
//!
//! | who | needs |
//! |---|---|
//! | a start | what comes after the older of both kept snapshots, so that the newest may be damaged; everything, while there are not two |
//! | readers of the feed | what [`crate::Engine::retain_from`] was told; everything, until it was told something |
//! | the settings | archived segments up to an age, and up to a size in all |
//!
//! Who else reads the journal from its beginning (verification, a report of an earlier time, a read
//! side that is built anew) is not waited for: what is deleted is gone but for backups.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use millrace_ledger::{EventSeq, Timestamp};

use crate::{
    JournalError,
    archive::{archive_segments, delete_archived},
    archive_file,
    clock::now,
    segment,
};

/// When archived segments are no longer wanted: when either limit says so. Without any, they are
/// wanted for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those whose last event is older are not wanted.
    pub age_max: Option<Duration>,
    /// While all of them take more bytes than this, compressed, the oldest is not wanted.
    pub bytes_max: Option<u64>,
}

/// From which event on readers need the journal. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadersNeed {
    /// Zero, which is no event's, until it is told.
    from: Arc<AtomicU64>,
}

impl ReadersNeed {
    pub(crate) fn set(&self, from: EventSeq) {
        self.from.store(from.0, Ordering::Release);
    }

    fn get(&self) -> EventSeq {
        EventSeq(self.from.load(Ordering::Acquire))
    }
}

/// What becomes of the segments that recovery has no need of any more.
#[derive(Clone, Debug)]
pub(crate) struct Aftercare {
    pub(crate) journal: PathBuf,
    /// Whether they are archived.
    pub(crate) archive: bool,
    pub(crate) retention: Retention,
    pub(crate) readers: ReadersNeed,
}

impl Aftercare {
    /// Archives what comes before `covered`, which recovery does not read, and deletes what nobody
    /// needs. Payments don't depend on it: what fails is told, and tried again next time.
    pub(crate) fn attend(&self, covered: EventSeq, stop: impl Fn() -> bool) {
        if !self.archive || stop() {
            return;
        }
        match archive_segments(&self.journal, covered, stop) {
            Ok(report) if report.archived.is_empty() => {}
            Ok(report) => tracing::info!(segments = report.archived.len(), "archived segments"),
            Err(error) => tracing::warn!(%error, "could not archive segments"),
        }
        let needed_from = covered.min(self.readers.get());
        match delete_unwanted(&self.journal, self.retention, now(), needed_from) {
            Ok(deleted) if deleted.is_empty() => {}
            Ok(deleted) => {
                tracing::info!(
                    segments = deleted.len(),
                    "deleted archived segments, as configured"
                );
            }
            Err(error) => tracing::warn!(%error, "could not delete archived segments"),
        }
    }
}

/// Deletes the archived segments that retention does not want, oldest first, up to the one with
/// `needed_from`. Returns those that were deleted.
///
/// # Errors
/// When an archived segment is damaged, or can't be deleted.
pub fn delete_unwanted(
    directory: &Path,
    retention: Retention,
    now: Timestamp,
    needed_from: EventSeq,
) -> Result<Vec<PathBuf>, JournalError> {
    if retention == Retention::default() || needed_from <= EventSeq::FIRST {
        return Ok(Vec::new());
    }
    let mut archived = Vec::new();
    for (_, path) in segment::list(directory)? {
        if !archive_file::is_archived(&path) {
            break;
        }
        let bytes = fs::metadata(&path).map_err(JournalError::io("can't read", &path))?.len();
        archived.push((bytes, path));
    }
    let mut bytes_left: u64 = archived.iter().map(|(bytes, _)| bytes).sum();
    let mut below = EventSeq::FIRST;
    for (bytes, path) in archived {
        let too_much = retention.bytes_max.is_some_and(|bytes_max| bytes_left > bytes_max);
        let header = archive_file::open(&path)?.1;
        let age = Duration::from_nanos(now.0.saturating_sub(header.last_time.0));
        let too_old = retention.age_max.is_some_and(|age_max| age > age_max);
        if !(too_much || too_old) {
            break;
        }
        bytes_left -= bytes;
        below = header.last_seq.next();
    }
    delete_archived(directory, below.min(needed_from))
}
