//! Where recovery begins: consumes the snapshots of a directory, produces the ledger of the newest
//! usable one, or an empty one, and the place in the journal to go on from.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use millrace_ledger::{EventSeq, Gate, Ledger, LedgerConfig};

use super::{
    RecoveryReport,
    known::Known,
    tail::{End, Tail},
};
use crate::{
    EngineConfig, JournalError,
    past::{Room, Runs},
    segment::JournalId,
    segment_frames::ChainEnd,
    snapshot::{self, Kept},
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
    /// Snapshots before the two that are kept: a process ended before it removed them.
    pub(super) superfluous: Vec<PathBuf>,
}

impl<G: Gate> Beginning<G> {
    /// Applies what the journal has after it, and looks at the ledger after each frame.
    pub(super) fn read_on(
        &mut self,
        directory: &Path,
        known: Known,
        report: &mut RecoveryReport,
        after_frame: impl FnMut(&mut Ledger) -> Result<(), JournalError>,
    ) -> Result<Option<End>, JournalError> {
        let Self { ledger, gate, from, snapshot, .. } = self;
        Tail { directory, ledger, gate, report, known, reads_known: false, after_frame }
            .read(*from, snapshot.as_deref())
    }
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
        return Ok(Beginning::empty(config, hash_seed, gate, None));
    };
    let mut others = Others { report, kept: Vec::new(), passed_over: Vec::new() };
    for (at, (seq, path)) in snapshots.iter().enumerate() {
        match load(config, hash_seed, journal, path, gate, checks_runs) {
            Ok((runs, loaded, gate)) => {
                others.report.snapshot = Some(*seq);
                others.kept.push(Kept { seq: *seq, path: path.clone(), runs: runs.list() });
                let superfluous = others.keep_one_more(&runs, journal, &snapshots[at + 1..])?;
                let Others { kept, passed_over, .. } = others;
                let from = ChainEnd { head: loaded.head, next_seq: seq.next() };
                let (ledger, runs, snapshot) = (loaded.ledger, Some(runs), Some(path.clone()));
                return Ok(Beginning {
                    ledger,
                    gate,
                    runs,
                    from,
                    snapshot,
                    kept,
                    passed_over,
                    superfluous,
                });
            }
            Err(error) => others.pass_over(path, error)?,
        }
    }
    let runs = open_runs(config, journal, &[])?;
    let Others { kept, passed_over, .. } = others;
    let empty = Beginning::empty(config, hash_seed, gate, Some(runs));
    Ok(Beginning { kept, passed_over, ..empty })
}

impl<G: Gate + Clone> Beginning<G> {
    /// Where nothing was decided, or no snapshot tells of it.
    fn empty(config: &EngineConfig, hash_seed: u64, gate: &G, runs: Option<Runs>) -> Self {
        Self {
            ledger: Ledger::with_config(ledger_config(config, hash_seed, runs.as_ref())),
            gate: gate.clone(),
            runs,
            from: ChainEnd::GENESIS,
            snapshot: None,
            kept: Vec::new(),
            passed_over: Vec::new(),
            superfluous: Vec::new(),
        }
    }
}

/// What becomes of the snapshots that are there.
struct Others<'a> {
    report: &'a mut RecoveryReport,
    kept: Vec<Kept>,
    passed_over: Vec<PathBuf>,
}

impl Others<'_> {
    /// # Errors
    /// With that error, where another start may not meet it.
    fn pass_over(&mut self, path: &Path, error: JournalError) -> Result<(), JournalError> {
        if error.may_pass() {
            return Err(error);
        }
        tracing::warn!(%error, "passing over a snapshot");
        self.report.snapshots_passed_over.push(error.to_string());
        self.passed_over.push(path.to_owned());
        Ok(())
    }

    /// Keeps the newest of these whose runs are there: it is only asked for those. Returns what is
    /// older. One that is not kept must not stay under its name: its runs are not kept for it.
    fn keep_one_more(
        &mut self,
        runs: &Runs,
        journal: JournalId,
        older: &[(EventSeq, PathBuf)],
    ) -> Result<Vec<PathBuf>, JournalError> {
        for (at, (seq, path)) in older.iter().enumerate() {
            match names_of(journal, path).and_then(|names| runs.open_beside(&names)) {
                Ok(runs) => {
                    self.kept.push(Kept { seq: *seq, path: path.clone(), runs });
                    return Ok(older[at + 1..].iter().map(|(_, path)| path.clone()).collect());
                }
                Err(error) => self.pass_over(path, error)?,
            }
        }
        Ok(Vec::new())
    }
}

/// The runs that a snapshot of this journal names.
fn names_of(journal: JournalId, path: &Path) -> Result<Vec<String>, JournalError> {
    let (of_journal, names) = snapshot::read_names(path)?;
    match of_journal == journal {
        true => Ok(names),
        false => Err(JournalError::snapshot(path, "it is of another journal".to_owned())),
    }
}

fn load<G: Gate + Clone>(
    config: &EngineConfig,
    hash_seed: u64,
    journal: JournalId,
    path: &Path,
    gate: &G,
    checks_runs: bool,
) -> Result<(Runs, snapshot::Loaded, G), JournalError> {
    let runs = open_runs(config, journal, &names_of(journal, path)?)?;
    if checks_runs {
        runs.list().iter().try_for_each(|run| run.verify())?;
    }
    let mut gate = gate.clone();
    let ledger_config = ledger_config(config, hash_seed, Some(&runs));
    let loaded = snapshot::load(path, ledger_config, &mut gate)?;
    Ok((runs, loaded, gate))
}

pub(super) fn open_runs(
    config: &EngineConfig,
    journal: JournalId,
    names: &[String],
) -> Result<Runs, JournalError> {
    let room = Room::beside_segments(config.segment_bytes);
    Runs::open(&runs_directory(config), journal, names, config.filter_memory_max, room)
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
            Some(runs) => Arc::new(runs.clone()),
            None => defaults.history,
        },
    }
}
