//! Reading a journal without starting on it: consumes a directory, produces what a start would find.
//! Changes nothing.

use std::path::Path;

use millrace_ledger::{Gate, Ledger, LedgerConfig};

use super::{
    RecoveryReport,
    begin::{Beginning, begin},
    newest_journal, seal_if_full,
    tail::Tail,
};
use crate::{EngineConfig, JournalError, past::Runs, segment::JournalId, segment_frames::ChainEnd};

/// Reads the whole journal of a directory, applies it, and checks that money is conserved. Changes
/// nothing.
///
/// # Errors
/// See the decision table above.
pub fn verify(
    directory: &Path,
    ledger: &mut Ledger,
    gate: &mut impl Gate,
) -> Result<RecoveryReport, JournalError> {
    let mut report = RecoveryReport::default();
    Tail { directory, ledger, gate, report: &mut report, after_frame: |_: &mut Ledger| Ok(()) }
        .read(ChainEnd::GENESIS, None)?;
    Ok(report)
}

/// Reads the whole journal as [`verify`] does, with bounded memory: payments that are not recent
/// are kept in files in `scratch`.
///
/// # Errors
/// As [`verify`], and when `scratch` can't be used.
pub fn verify_within(
    directory: &Path,
    scratch: &Path,
    gate: &mut impl Gate,
) -> Result<(RecoveryReport, Ledger), JournalError> {
    let runs =
        Runs::open(scratch, JournalId::default(), &[], EngineConfig::new("").filter_memory_max)?;
    let history = std::sync::Arc::new(runs.clone());
    let mut ledger = Ledger::with_config(LedgerConfig { history, ..LedgerConfig::default() });
    let mut report = RecoveryReport::default();
    let after_frame = |ledger: &mut Ledger| seal_if_full(ledger, &runs);
    Tail { directory, ledger: &mut ledger, gate, report: &mut report, after_frame }
        .read(ChainEnd::GENESIS, None)?;
    Ok((report, ledger))
}

/// Recovers as a start would, but changes nothing, and tells the hash of the state that it comes to:
/// the same as [`verify`]'s, or a snapshot is wrong.
///
/// # Errors
/// As for a start.
pub fn verify_recovery<G: Gate + Clone>(
    config: &EngineConfig,
    gate: &G,
) -> Result<(RecoveryReport, [u8; 32]), JournalError> {
    let directory = &config.directory;
    let mut report = RecoveryReport::default();
    let journal = newest_journal(directory)?;
    let Beginning { mut ledger, mut gate, from, snapshot, .. } =
        begin(config, 0, journal, gate, &mut report)?;
    let after_frame = |_: &mut Ledger| Ok(());
    Tail { directory, ledger: &mut ledger, gate: &mut gate, report: &mut report, after_frame }
        .read(from, snapshot.as_deref())?;
    Ok((report, ledger.state_hash()))
}
