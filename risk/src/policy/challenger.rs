//! The challenger against the champion: consumes what each of them said of the same attempts, produces
//! counts of the pairs for whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millrace_ledger::RiskDecision;

const DECISIONS: usize = 5;

/// How often the policy said one thing and its challenger another, or the same, since the start.
#[derive(Debug, Default)]
pub struct ChallengerCounts {
    /// By the number of the policy's decision, then by that of the challenger's.
    pairs: [[AtomicU64; DECISIONS]; DECISIONS],
}

/// One pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChallengerCount {
    /// What the policy said: its rules and its model, without the limits of the configuration.
    pub champion: RiskDecision,
    /// What the challenger's score would have been by the same thresholds.
    pub challenger: RiskDecision,
    /// Attempts.
    pub attempts: u64,
}

impl ChallengerCounts {
    pub(super) fn add(&self, champion: RiskDecision, challenger: u8) {
        let pair = self.pairs.get(champion as usize).and_then(|it| it.get(usize::from(challenger)));
        if let Some(pair) = pair {
            pair.fetch_add(1, Relaxed);
        }
    }

    /// The pairs that there were.
    #[must_use]
    pub fn totals(&self) -> Vec<ChallengerCount> {
        let decisions = (0..DECISIONS as u8).filter_map(RiskDecision::from_number);
        let pairs =
            decisions.clone().flat_map(|it| decisions.clone().map(move |other| (it, other)));
        let counted = pairs.map(|(champion, challenger)| {
            let attempts = self.pairs[champion as usize][challenger as usize].load(Relaxed);
            ChallengerCount { champion, challenger, attempts }
        });
        counted.filter(|it| it.attempts > 0).collect()
    }
}
