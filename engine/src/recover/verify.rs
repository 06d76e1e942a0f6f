//! Reading a journal without starting on it: consumes a directory, produces what a start would find.
//! Changes nothing.

use std::path::Path;

use millrace_ledger::{Gate, Ledger, LedgerConfig};

use super::{
    RecoveryReport,
    begin::{begin, runs_directory},
    known::Known,
    newest_journal,
    origin::{Origin, origin},
    tail::Tail,
};
use crate::{EngineConfig, JournalError, past::Runs, segment_frames::ChainEnd};

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
    let known = known(directory, &mut report)?;
    let after_frame = |_: &mut Ledger| Ok(());
    Tail { directory, ledger, gate, report: &mut report, known, reads_known: false, after_frame }
        .read(ChainEnd::GENESIS, None)?;
    Ok(report)
}

/// Reads the whole journal as [`verify`] does, with bounded memory: payments that are not recent
/// are kept in files in `scratch`. Of a journal whose beginning was deleted, what is left is read,
/// and applied to the oldest usable snapshot from where that stands.
///
/// # Errors
/// As [`verify`], and when `scratch` can't be used.
pub fn verify_within(
    directory: &Path,
    scratch: &Path,
    gate: &mut impl Gate,
) -> Result<(RecoveryReport, Ledger), JournalError> {
    let mut report = RecoveryReport::default();
    let known = known(directory, &mut report)?;
    let generation_payments_max = LedgerConfig::default().generation_payments_max;
    let Origin { mut ledger, runs, from, snapshot } =
        origin(directory, scratch, generation_payments_max, &known, &mut report)?;
    let after_frame = |ledger: &mut Ledger| {
        if seal_if_full(ledger, &runs)? {
            while runs.merge_if_due(&|| false)? {}
        }
        Ok(())
    };
    let (ledger_to, report_to) = (&mut ledger, &mut report);
    Tail {
        directory,
        ledger: ledger_to,
        gate,
        report: report_to,
        known,
        reads_known: true,
        after_frame,
    }
    .read(from, snapshot.as_deref())?;
    Ok((report, ledger))
}

/// Recovers as a start would, but cuts and renames nothing, and tells the hash of the state that it comes to:
/// the same as [`verify`]'s, or a snapshot is wrong. Payments that are not recent go to runs meanwhile, beside
/// those that are there: only for a directory that nobody uses yet.
///
/// # Errors
/// As for a start.
pub fn verify_recovery<G: Gate + Clone>(
    config: &EngineConfig,
    gate: &G,
) -> Result<(RecoveryReport, [u8; 32]), JournalError> {
    let directory = &config.directory;
    let mut report = RecoveryReport::default();
    let known = Known::by_note(directory)?;
    let journal = newest_journal(directory)?;
    let mut beginning = begin(config, 0, journal, gate, false, &mut report)?;
    // Runs that are written now might take the names of those that a snapshot needs which was passed over.
    let runs = beginning.runs.clone().filter(|_| beginning.passed_over.is_empty());
    let Some(runs) = runs else {
        beginning.read_on(directory, known, &mut report, |_| Ok(()))?;
        return Ok((report, beginning.ledger.state_hash()));
    };
    let there = Runs::names_in(&runs_directory(config))?;
    let after_frame = |ledger: &mut Ledger| seal_if_full(ledger, &runs).map(drop);
    beginning.read_on(directory, known, &mut report, after_frame)?;
    let hash = beginning.ledger.state_hash();
    drop((beginning, runs));
    Runs::remove_unlisted(&runs_directory(config), &there)?;
    Ok((report, hash))
}

/// What others know of this journal.
pub(crate) fn known(directory: &Path, report: &mut RecoveryReport) -> Result<Known, JournalError> {
    let journal = newest_journal(directory)?;
    Known::by_all(directory, journal, report)
}

/// Whether there is another run then.
fn seal_if_full(ledger: &mut Ledger, runs: &Runs) -> Result<bool, JournalError> {
    let full = ledger.generation_is_full().then(|| ledger.close_generation()).flatten();
    let Some(generation) = full else { return Ok(false) };
    runs.seal(&generation)?;
    ledger.let_go(generation.digest());
    Ok(true)
}
