//! Where reading all that a journal has begins: with nothing where it has event 1, else with the oldest
//! usable snapshot. Consumes snapshots and links to their runs, produces a ledger to go on with.
//!
//! Guarantees that nothing of the journal is changed: runs that are sealed meanwhile go to a directory
//! of the caller's.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use millrace_ledger::{EventSeq, Ledger, LedgerConfig};

use super::{RecoveryReport, known::Known};
use crate::{
    EngineConfig, JournalError,
    backup::AnyPolicy,
    deleted_note,
    past::{Room, Runs},
    segment::{self, JournalId},
    segment_frames::ChainEnd,
    snapshot,
};

/// Where reading begins.
pub(crate) struct Origin {
    pub(crate) ledger: Ledger,
    pub(crate) runs: Runs,
    pub(crate) from: ChainEnd,
    pub(crate) snapshot: Option<PathBuf>,
}

/// Begins as early as it gets.
///
/// # Errors
/// When the beginning was lost, or is gone and no snapshot can stand in for it, or `scratch` can't be used.
pub(crate) fn origin(
    directory: &Path,
    scratch: &Path,
    generation_payments_max: u32,
    known: &Known,
    report: &mut RecoveryReport,
) -> Result<Origin, JournalError> {
    let segments = segment::list(directory)?;
    let first = segments.first().map_or(EventSeq::FIRST, |(first, _)| *first);
    deleted_note::check_beginning(directory, &segments)?;
    let config = |runs: &Runs| LedgerConfig {
        generation_payments_max,
        history: Arc::new(runs.clone()),
        ..LedgerConfig::default()
    };
    if first == EventSeq::FIRST {
        let runs = open(scratch, JournalId::default(), &[])?;
        let (ledger, from) = (Ledger::with_config(config(&runs)), ChainEnd::GENESIS);
        return Ok(Origin { ledger, runs, from, snapshot: None });
    }
    for (path, from) in known.oldest_first().filter(|(_, end)| end.next_seq >= first) {
        match load(directory, scratch, path, config) {
            Ok((ledger, runs)) => {
                report.snapshot = Some(EventSeq(from.next_seq.0 - 1));
                let (from, snapshot) = (*from, Some(path.clone()));
                return Ok(Origin { ledger, runs, from, snapshot });
            }
            // A server that takes snapshots meanwhile has removed it.
            Err(_) if !path.exists() => {}
            Err(error) => return Err(error),
        }
    }
    let (path, wanted) = (directory.to_owned(), EventSeq::FIRST);
    let snapshots = report.snapshots_passed_over.clone();
    Err(JournalError::BeginningGone { path, first, wanted, snapshots })
}

/// The ledger's state does not depend on the risk policy, which may be any here.
fn load(
    directory: &Path,
    scratch: &Path,
    path: &Path,
    config: impl FnOnce(&Runs) -> LedgerConfig,
) -> Result<(Ledger, Runs), JournalError> {
    let (journal, names) = snapshot::read_names(path)?;
    let runs = directory.join("runs");
    let runs = runs.canonicalize().map_err(JournalError::io("can't open", &runs))?;
    for name in &names {
        let link = scratch.join(name);
        // One that a snapshot before had linked is the same run.
        if !link.exists() {
            symlink(runs.join(name), &link).map_err(JournalError::io("can't create", &link))?;
        }
    }
    let runs = open(scratch, journal, &names)?;
    let loaded = snapshot::load(path, config(&runs), &mut AnyPolicy)?;
    Ok((loaded.ledger, runs))
}

fn open(scratch: &Path, journal: JournalId, names: &[String]) -> Result<Runs, JournalError> {
    // A running millrace may keep its journal on the same file system.
    let config = EngineConfig::new("");
    let room = Room::beside_segments(config.segment_bytes);
    Runs::open(scratch, journal, names, config.filter_memory_max, room)
}
