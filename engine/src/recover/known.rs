//! What others know of a journal: consumes the durable note and the snapshots beside it, produces
//! refusals where the journal lacks what they know.
//!
//! Guarantees that a journal that lost its end is not taken for one that ends there. Both are read
//! before the segments are listed, so that a server that writes meanwhile is never ahead.

use std::path::{Path, PathBuf};

use millrace_ledger::{EventSeq, Ledger};

use super::RecoveryReport;
use crate::{
    JournalError, durable_note,
    past::Runs,
    segment::JournalId,
    segment_frames::{ChainEnd, SegmentFrames},
    snapshot,
};

/// Where a journal stops being frames, and goes on all the same.
pub(crate) type Broken = (PathBuf, u64);

/// What the journal has to have.
#[derive(Debug)]
pub(crate) struct Known {
    directory: PathBuf,
    note: Option<(JournalId, EventSeq)>,
    /// Snapshots, the oldest last, and where they stand.
    snapshots: Vec<(PathBuf, ChainEnd)>,
}

impl Known {
    /// What the durable note says. The snapshot that a start begins with is checked where the journal
    /// is read.
    pub(crate) fn by_note(directory: &Path) -> Result<Self, JournalError> {
        let note = durable_note::read(directory);
        let note = note.map_err(JournalError::io("can't read the note in", directory))?;
        Ok(Self { directory: directory.to_owned(), note, snapshots: Vec::new() })
    }

    /// What the note and all snapshots say. Every byte of those and of the runs that they name is
    /// read; `report` is told why one can't be used.
    pub(crate) fn by_all(
        directory: &Path,
        journal: Option<JournalId>,
        report: &mut RecoveryReport,
    ) -> Result<Self, JournalError> {
        let mut known = Self::by_note(directory)?;
        for (_, path) in snapshot::list(directory)? {
            match check_snapshot(directory, journal, &path) {
                Ok(end) => known.snapshots.push((path, end)),
                Err(error) if path.exists() => {
                    report.snapshots_passed_over.push(error.to_string());
                }
                // A server that takes snapshots meanwhile has removed it.
                Err(_) => {}
            }
        }
        Ok(known)
    }

    /// Goes on from here: what is known of before is not asked for.
    pub(crate) fn begin(&mut self, from: ChainEnd) {
        self.snapshots.retain(|(_, end)| end.next_seq > from.next_seq);
    }

    /// Whole snapshots, and where they stand.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = &(PathBuf, ChainEnd)> {
        self.snapshots.iter().rev()
    }

    /// Checks that a frame ends where a snapshot stands, if one should, and that the events up to it
    /// come to the accounts that the snapshot has.
    pub(crate) fn frame(&mut self, found: ChainEnd, ledger: &Ledger) -> Result<(), JournalError> {
        let reached = |(_, end): &mut (PathBuf, ChainEnd)| end.next_seq <= found.next_seq;
        while let Some((path, end)) = self.snapshots.pop_if(reached) {
            if end != found {
                return Err(another_frame(path));
            }
            check_accounts(&path, ledger)?;
        }
        Ok(())
    }

    /// Checks that the journal may end with this event. `journal` is `None` where it has no segment.
    pub(crate) fn end(
        &self,
        journal: Option<JournalId>,
        last: EventSeq,
        broken: Option<Broken>,
    ) -> Result<(), JournalError> {
        if let Some((path, end)) = self.snapshots.first() {
            let (path, known) = (path.clone(), EventSeq(end.next_seq.0 - 1));
            return Err(JournalError::SnapshotAhead { path, known, last, broken });
        }
        match self.note {
            Some((of, durable))
                if durable > last && journal.is_none_or(|journal| journal == of) =>
            {
                let path = durable_note::path(&self.directory);
                Err(JournalError::EndGone { path, durable, last, broken })
            }
            _ => Ok(()),
        }
    }
}

/// Checks every byte of a snapshot and of its runs. Returns where it stands.
fn check_snapshot(
    directory: &Path,
    journal: Option<JournalId>,
    path: &Path,
) -> Result<ChainEnd, JournalError> {
    let (of, names) = snapshot::read_names(path)?;
    if journal.is_some_and(|journal| journal != of) {
        return Err(JournalError::snapshot(path, "it is of another journal".to_owned()));
    }
    let last = snapshot::read_head(path)?.last_seq;
    let head = snapshot::read_accounts(path, |_| {})?;
    check_runs(directory, of, &names)?;
    Ok(ChainEnd { head, next_seq: last.next() })
}

/// Compares the accounts of a snapshot with those of a ledger.
fn check_accounts(path: &Path, ledger: &Ledger) -> Result<(), JournalError> {
    let (mut count, mut wrong) = (0, None);
    let read = snapshot::read_accounts(path, |account| {
        count += 1;
        if ledger.account(account.spec.id) != Some(account) {
            wrong = wrong.or(Some(account.spec.id));
        }
    });
    match read {
        // A server that takes snapshots meanwhile has removed it.
        Err(_) if !path.exists() => return Ok(()),
        read => read?,
    };
    let what = match wrong {
        Some(id) => format!("it has account {:032x} with a state", id.0),
        None if count != ledger.account_count() => format!("it has {count} accounts"),
        None => return Ok(()),
    };
    let what = format!(
        "{what}, which is not what the journal's events come to. Nothing was changed. Stop, move the \
         snapshot away and start: the journal is read instead"
    );
    Err(JournalError::snapshot(path, what))
}

/// Checks every page of these runs.
fn check_runs(directory: &Path, journal: JournalId, names: &[String]) -> Result<(), JournalError> {
    let directory = directory.join("runs");
    names.iter().try_for_each(|name| Runs::open_one(&directory, journal, name)?.verify())
}

/// A snapshot of another history than the journal's.
pub(crate) fn another_frame(snapshot: impl Into<PathBuf>) -> JournalError {
    let what = "the journal has another frame at its place. Nothing was changed. Put the journal \
                that it was taken of back, or move the snapshot away";
    JournalError::snapshot(snapshot, what.to_owned())
}

/// Where a segment's frames end, if bytes follow that are none.
pub(super) fn broken(frames: &SegmentFrames) -> Option<Broken> {
    frames.is_torn.then(|| (frames.segment.path.clone(), frames.offset))
}
