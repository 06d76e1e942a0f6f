//! Where recovery begins: consumes the snapshots of a directory, produces the ledger of the newest
//! usable one, or an empty one, and the place in the journal to go on from.

use std::path::{Path, PathBuf};

use millrace_ledger::{EventSeq, Gate, Ledger, LedgerConfig};

use super::RecoveryReport;
use crate::{
    EngineConfig, JournalError,
    past::Runs,
    segment::JournalId,
    segment_frames::ChainEnd,
    snapshot::{self, KEPT_MAX, Kept},
};

/// Where recovery begins.
pub(super) struct Beginning<G> {
    pub(super) ledger: Ledger,
    pub(super) gate: G,
    /// `None` in a new journal, which has no name yet.
    pub(super) runs: Option<Runs>,
    pub(super) from: ChainEnd,
    pub(super) snapshot: Option<PathBuf>,
    pub(super) kept: Vec<Kept>,
    /// Snapshots that can't be used.
    pub(super) passed_over: Vec<PathBuf>,
}

/// Begins with the newest usable snapshot, or with nothing. `checks_runs` reads every page of the runs
/// that a snapshot names before it is used.
pub(super) fn begin<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    journal: Option<JournalId>,
    gate: &G,
    checks_runs: bool,
    report: &mut RecoveryReport,
) -> Result<Beginning<G>, JournalError> {
    let snapshots = snapshot::list(&config.directory)?;
    let Some(journal) = journal else {
        if let Some((known, path)) = snapshots.into_iter().next() {
            return Err(JournalError::SnapshotAhead {
                path,
                known,
                last: EventSeq(0),
                broken: None,
            });
        }
        let (ledger, gate) =
            (Ledger::with_config(ledger_config(config, hash_seed, None)), gate.clone());
        let (runs, from, snapshot) = (None, ChainEnd::GENESIS, None);
        let (kept, passed_over) = (Vec::new(), Vec::new());
        return Ok(Beginning { ledger, gate, runs, from, snapshot, kept, passed_over });
    };
    let mut passed_over = Vec::new();
    for (at, (seq, path)) in snapshots.iter().enumerate() {
        match load(config, hash_seed, journal, path, gate, checks_runs) {
            Ok((runs, loaded, gate)) => {
                report.snapshot = Some(*seq);
                let newest = Kept { seq: *seq, path: path.clone(), runs: runs.list() };
                let mut pass_over = |path: &Path, error: &JournalError| {
                    pass_over(path, error, report, &mut passed_over);
                };
                let kept = kept(journal, newest, &snapshots[at + 1..], &runs, &mut pass_over);
                let from = ChainEnd { head: loaded.head, next_seq: seq.next() };
                let (ledger, runs, snapshot) = (loaded.ledger, Some(runs), Some(path.clone()));
                return Ok(Beginning { ledger, gate, runs, from, snapshot, kept, passed_over });
            }
            Err(error) => pass_over(path, &error, report, &mut passed_over),
        }
    }
    let runs = open_runs(config, journal, &[])?;
    let ledger = Ledger::with_config(ledger_config(config, hash_seed, Some(&runs)));
    let (gate, from) = (gate.clone(), ChainEnd::GENESIS);
    let (runs, snapshot, kept) = (Some(runs), None, Vec::new());
    Ok(Beginning { ledger, gate, runs, from, snapshot, kept, passed_over })
}

fn load<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    journal: JournalId,
    path: &Path,
    gate: &G,
    checks_runs: bool,
) -> Result<(Runs, snapshot::Loaded, G), JournalError> {
    let runs = open_runs(config, journal, &needs(journal, path)?)?;
    if checks_runs {
        runs.list().iter().try_for_each(|run| run.verify())?;
    }
    let mut gate = gate.clone();
    let ledger_config = ledger_config(config, hash_seed, Some(&runs));
    let loaded = snapshot::load(path, ledger_config, &mut gate)?;
    Ok((runs, loaded, gate))
}

fn pass_over(
    path: &Path,
    error: &JournalError,
    report: &mut RecoveryReport,
    passed_over: &mut Vec<PathBuf>,
) {
    tracing::warn!(%error, "passing over a snapshot");
    report.snapshots_passed_over.push(error.to_string());
    passed_over.push(path.to_owned());
}

/// The snapshots that stay, with their runs: the newest, which was loaded, and the next whose runs are
/// there. That one is only asked for what it needs.
fn kept(
    journal: JournalId,
    newest: Kept,
    older: &[(EventSeq, PathBuf)],
    runs: &Runs,
    pass_over: &mut dyn FnMut(&Path, &JournalError),
) -> Vec<Kept> {
    let mut kept = vec![newest];
    for (seq, path) in older {
        if kept.len() == KEPT_MAX {
            break;
        }
        match needs(journal, path).and_then(|names| runs.open_beside(&names)) {
            Ok(runs) => kept.push(Kept { seq: *seq, path: path.clone(), runs }),
            Err(error) => pass_over(path, &error),
        }
    }
    kept
}

/// Names of the runs that a snapshot of this journal needs.
fn needs(journal: JournalId, path: &Path) -> Result<Vec<String>, JournalError> {
    let (of_journal, names) = snapshot::read_names(path)?;
    match of_journal == journal {
        true => Ok(names),
        false => Err(JournalError::snapshot(path, "it is of another journal".to_owned())),
    }
}

pub(super) fn open_runs(
    config: &EngineConfig,
    journal: JournalId,
    names: &[String],
) -> Result<Runs, JournalError> {
    Runs::open(&runs_directory(config), journal, names, config.filter_memory_max)
}

pub(super) fn runs_directory(config: &EngineConfig) -> PathBuf {
    config.directory.join("runs")
}

pub(super) fn ledger_config(
    config: &EngineConfig,
    hash_seed: u64,
    runs: Option<&Runs>,
) -> LedgerConfig {
    let defaults = LedgerConfig::default();
    LedgerConfig {
        hash_seed,
        shards: config.shards,
        account_hash_bits: defaults.account_hash_bits,
        generation_payments_max: config.generation_payments_max,
        history: match runs {
            Some(runs) => std::sync::Arc::new(runs.clone()),
            None => defaults.history,
        },
    }
}
