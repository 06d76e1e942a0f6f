//! The policy: consumes payments in sequence order and analysts' acts, produces verdicts and the
//! evidence for them.
//!
//! Three parts speak: limits of the configuration, rules, and a model's score held against
//! thresholds. The strictest decides, but that an allow rule silences thresholds and the other rules
//! (never limits). Features and rules see every attempt, whatever became of it; limits count what was
//! accepted.
//!
//! Guarantees that profiles are a function of the journal: a replay, or a snapshot and the journal's
//! tail, rebuild them bit by bit.

mod attempt;
mod challenger;
mod compiled;
mod document;
mod hits;
mod library;
mod rows;
mod said;
mod scoring;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use millrace_ledger::{
    Block, Gate, GateActError, GateStateError, Judged, Payment, Timestamp, Verdict,
};

pub use self::{
    attempt::channel_name,
    challenger::{ChallengerCount, ChallengerCounts},
    compiled::{Compiled, TEXTS, own_context_keys, vocabulary},
    document::{
        BudgetDocument, Fallback, HoldDocument, ListDocument, PolicyDocument, SegmentDocument,
        Thresholds,
    },
    hits::{RuleHitCount, RuleHits},
    library::Library,
};
use self::{
    compiled::stricter,
    hits::HitCounters,
    scoring::{Deciding, Scoring},
};
use crate::{
    RiskConfig, RiskConfigError,
    acts::{Act, ActKind},
    features::{ProfileCounts, ProfileLimits, Profiles},
    velocity::Velocity,
};

const MALFORMED: GateStateError = GateStateError("it can't be read");

/// What the policy did since the start. Shared with whoever shows it.
#[derive(Debug, Default)]
pub struct RiskCounts {
    /// Attempts that were looked at under a policy.
    pub attempts: AtomicU64,
    /// Of them, those that there was no time for: the fallback decided.
    pub fell_back: AtomicU64,
    /// Number of the policy in force; 0 is none.
    pub policy: AtomicU64,
    /// Times that an entity's profile gave way to another's, since the journal began.
    pub evicted: AtomicU64,
    /// Reports of fraud and of its absence that came, since the journal began.
    pub labels: AtomicU64,
    /// Of them, those that no profile could take, because it knows nothing of the payment.
    pub labels_unknown: AtomicU64,
    /// Hits of rules, of this policy and of those before it.
    pub rule_hits: RuleHits,
    /// What challengers said, of this policy and of those before it.
    pub challenger: Arc<ChallengerCounts>,
}

impl RiskCounts {
    /// Profiles count since the journal began, also over a restart.
    fn take_profiles(&self, counts: ProfileCounts) {
        self.evicted.store(counts.evicted, Relaxed);
        self.labels.store(counts.labels, Relaxed);
        self.labels_unknown.store(counts.labels_unknown, Relaxed);
    }
}

/// Decides about payments. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Policy {
    velocity: Velocity,
    scoring: Option<Scoring>,
    library: Option<Library>,
    in_force: InForce,
    compiled: Option<Arc<Compiled>>,
    /// Of the compiled policy's rules, among `counts`.
    hits: HitCounters,
    counts: Arc<RiskCounts>,
    /// What of a snapshot is to be handed out next.
    stage: Stage,
    restored_profiles: bool,
}

/// Which policy decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct InForce {
    /// Counted by acts that set one; 0 is none.
    number: u16,
    /// On the shelf.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    State,
    Velocity,
    Profiles,
    Done,
}

/// How features are kept.
#[derive(Clone, Debug)]
pub struct ScoringConfig {
    /// Policies over the shelf, for rows of the catalogue that is kept.
    pub library: Library,
    /// Bounds of the profiles.
    pub limits: ProfileLimits,
    /// Threads that score beside the engine's own; 1 is none.
    pub threads: usize,
}

impl Policy {
    /// A policy without history: limits only, or features, rules and models too.
    ///
    /// # Errors
    /// When a limit makes no sense.
    pub fn new(
        config: &RiskConfig,
        scoring: Option<ScoringConfig>,
    ) -> Result<Self, RiskConfigError> {
        let velocity = Velocity::new(config)?;
        let (library, scoring) = match scoring {
            None => (None, None),
            Some(ScoringConfig { library, limits, threads }) => {
                let profiles = Profiles::new((**library.catalogue()).clone(), limits);
                (Some(library), Some(Scoring::new(profiles, threads, config.features.shards)))
            }
        };
        Ok(Self {
            velocity,
            scoring,
            library,
            in_force: InForce::default(),
            compiled: None,
            hits: HitCounters::default(),
            counts: Arc::default(),
            stage: Stage::Done,
            restored_profiles: false,
        })
    }

    /// Where its policies are, if it takes any.
    #[must_use]
    pub fn library(&self) -> Option<&Library> {
        self.library.as_ref()
    }

    /// What it does, as it goes on.
    #[must_use]
    pub fn counts(&self) -> Arc<RiskCounts> {
        self.counts.clone()
    }

    /// From here on this one decides.
    fn decide_by(&mut self, compiled: Arc<Compiled>) {
        let RiskCounts { rule_hits, challenger, .. } = &*self.counts;
        self.hits = rule_hits.counters(compiled.rules.as_ref(), Arc::clone(challenger));
        self.compiled = Some(compiled);
    }

    fn take_in_force(&mut self, name: &str) {
        self.in_force =
            InForce { number: self.in_force.number.wrapping_add(1).max(1), name: name.to_owned() };
        self.counts.policy.store(self.in_force.number.into(), Relaxed);
    }

    fn put_state(&self, piece: &mut Vec<u8>) {
        piece.extend_from_slice(&self.in_force.number.to_le_bytes());
        piece.push(u8::from(self.scoring.is_some()));
        piece.extend_from_slice(self.in_force.name.as_bytes());
    }

    fn read_state(&mut self, piece: &[u8]) -> Result<(), GateStateError> {
        let (number, rest) = piece.split_first_chunk().ok_or(MALFORMED)?;
        let (has_profiles, name) = rest.split_first().ok_or(MALFORMED)?;
        if self.scoring.is_some() && *has_profiles == 0 {
            return Err(GateStateError("it was written when no features were kept"));
        }
        let name = std::str::from_utf8(name).map_err(|_| MALFORMED)?.to_owned();
        self.in_force = InForce { number: u16::from_le_bytes(*number), name };
        self.counts.policy.store(self.in_force.number.into(), Relaxed);
        Ok(())
    }
}

impl Gate for Policy {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let by_limit = self.velocity.judge(judged);
        let Some(scoring) = &mut self.scoring else { return by_limit };
        let Some(by_policy) = scoring.stopped(judged.position) else { return by_limit };
        let verdict = stricter(by_limit, by_policy);
        if verdict == by_policy {
            scoring.verdict_stands(judged.position);
        }
        verdict
    }

    fn observe(&mut self, judged: Judged<'_>) {
        self.velocity.observe(judged);
    }

    fn looks_ahead(&self) -> bool {
        self.scoring.is_some()
    }

    fn begin_request(&mut self, payments: usize) {
        if let Some(scoring) = &mut self.scoring {
            scoring.begin_request(payments);
        }
    }

    fn look_ahead(&mut self, block: &Block<'_>) {
        let Self { scoring: Some(scoring), velocity, compiled, in_force, counts, hits, .. } = self
        else {
            return;
        };
        let number = in_force.number;
        let deciding = compiled.as_deref().map(|policy| Deciding { policy, number, hits });
        let is_exempt = |payment: &Payment| velocity.is_exempt(payment);
        let fell_back = scoring.look_ahead(block, is_exempt, deciding);
        counts.take_profiles(scoring.profiles.counts());
        if deciding.is_some() {
            counts.attempts.fetch_add(block.positions.len() as u64, Relaxed);
            counts.fell_back.fetch_add(fell_back, Relaxed);
        }
    }

    fn attempted(&mut self, payment: &Payment, context: &[u8], at: Timestamp) {
        if let Some(scoring) = &mut self.scoring
            && !self.velocity.is_exempt(payment)
        {
            scoring.attempted(payment, context, at);
        }
    }

    fn evidence(&self, position: u32) -> &[u8] {
        self.scoring.as_ref().map_or(&[], |scoring| scoring.evidence(position))
    }

    fn act(&mut self, act: &[u8], at: Timestamp) -> Result<(), GateActError> {
        let read = Act::read(act).map_err(|error| GateActError(error.to_string()))?;
        let off = || {
            GateActError(
                "no features are kept, so there is nothing to score. Set risk.features.enabled, \
                 and start again"
                    .to_owned(),
            )
        };
        match &read.act {
            ActKind::SetPolicy { policy, features } => {
                let library = self.library.as_ref().ok_or_else(off)?;
                let compiled = library.compile(policy).map_err(GateActError)?;
                if let Some(lacking) = compiled.on_demand.iter().find(|it| !features.contains(it)) {
                    return Err(GateActError(format!(
                        "the policy needs {lacking}, which is kept on demand, and the act that sets \
                         it does not ask for it. Set it through RiskService of this release"
                    )));
                }
                self.decide_by(compiled);
            }
            ActKind::Upload { .. }
            | ActKind::Label(_)
            | ActKind::ClaimReview { .. }
            | ActKind::ResolveReview { .. }
            | ActKind::ReplayEvent(_)
            | ActKind::DropEvent(_)
            | ActKind::RebuildSink(_)
            | ActKind::RotateAuditKey(_)
            | ActKind::OpenAccounts(_)
            | ActKind::ChangeAccount(_)
            | ActKind::ResendNotification(_)
            | ActKind::SetPreferences(_) => {}
        }
        self.carry_out(&read, at);
        Ok(())
    }

    fn acted(&mut self, act: &[u8], at: Timestamp) -> Result<(), GateActError> {
        let act = Act::read(act).map_err(|error| GateActError(error.to_string()))?;
        self.carry_out(&act, at);
        Ok(())
    }

    fn recovered(&mut self) -> Result<(), GateActError> {
        if let Some(scoring) = &self.scoring {
            self.counts.take_profiles(scoring.profiles.counts());
        }
        let Some(library) = self.library.as_ref().filter(|_| self.in_force.number > 0) else {
            return Ok(());
        };
        let InForce { number, name } = &self.in_force;
        let compiled = library.compile(name).map_err(|error| {
            GateActError(format!(
                "the risk policy in force, number {number}, can't be used: {error}. Until then \
                 nothing can be decided as it was promoted; risk.features.enabled = false starts \
                 without it, on limits alone"
            ))
        })?;
        self.decide_by(compiled);
        Ok(())
    }

    fn begin_group(&mut self) {
        self.velocity.begin_group();
    }

    fn end_group(&mut self, keep: bool) {
        self.velocity.end_group(keep);
    }

    fn begin_snapshot(&mut self) {
        self.stage = Stage::State;
        self.velocity.begin_snapshot();
        if let Some(scoring) = &mut self.scoring {
            scoring.profiles.begin_snapshot();
        }
    }

    fn snapshot_slice(&mut self, rows_max: usize, piece: &mut Vec<u8>) -> bool {
        match self.stage {
            Stage::State => {
                piece.push(b'P');
                self.put_state(piece);
                self.stage = Stage::Velocity;
            }
            Stage::Velocity => {
                piece.push(b'L');
                if !self.velocity.snapshot_slice(rows_max, piece) {
                    self.stage = Stage::Profiles;
                }
            }
            Stage::Profiles => {
                let Some(scoring) = &mut self.scoring else {
                    self.stage = Stage::Done;
                    return false;
                };
                piece.push(b'F');
                if !scoring.profiles.snapshot_slice(rows_max, piece) {
                    self.stage = Stage::Done;
                }
            }
            Stage::Done => return false,
        }
        true
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), GateStateError> {
        match piece.split_first() {
            None => Ok(()),
            Some((b'P', rest)) => self.read_state(rest),
            Some((b'L', rest)) => self.velocity.restore(rest),
            Some((b'F', rest)) => match &mut self.scoring {
                Some(scoring) => {
                    self.restored_profiles = true;
                    scoring.profiles.restore(rest)
                }
                None => Ok(()),
            },
            Some(_) => Err(GateStateError("it is of an earlier version")),
        }
    }

    fn restored(&mut self) -> Result<(), GateStateError> {
        match &mut self.scoring {
            Some(scoring) if self.restored_profiles => scoring.profiles.end_restore(),
            Some(_) => Err(GateStateError("it holds no feature profiles")),
            None => Ok(()),
        }
    }
}

impl Policy {
    fn carry_out(&mut self, act: &Act, at: Timestamp) {
        match &act.act {
            ActKind::SetPolicy { policy, features } => {
                self.take_in_force(policy);
                if let Some(scoring) = &mut self.scoring {
                    scoring.profiles.demand(features);
                }
            }
            ActKind::Label(label) => {
                if let Some(scoring) = &mut self.scoring {
                    scoring.label(label, at);
                    self.counts.take_profiles(scoring.profiles.counts());
                }
            }
            ActKind::Upload { .. }
            | ActKind::ClaimReview { .. }
            | ActKind::ResolveReview { .. }
            | ActKind::ReplayEvent(_)
            | ActKind::DropEvent(_)
            | ActKind::RebuildSink(_)
            | ActKind::RotateAuditKey(_)
            | ActKind::OpenAccounts(_)
            | ActKind::ChangeAccount(_)
            | ActKind::ResendNotification(_)
            | ActKind::SetPreferences(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
