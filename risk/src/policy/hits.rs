//! Hits of rules: consumes what chunks of rows counted, produces totals for whoever shows them.
//!
//! A rule goes by its name, so that its total goes on when a policy that has it too takes over. The
//! names are behind a lock, which is taken when a policy comes into force and when totals are shown;
//! payments only add to the counters of the rules in force.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::challenger::ChallengerCounts;
use crate::rules::{RuleCounts, RuleSet};

/// Hits of all rules that were in force since the start, whether they acted or were in shadow.
#[derive(Debug, Default)]
pub struct RuleHits {
    /// By name, and whether the rule was in shadow.
    counters: Mutex<BTreeMap<(String, bool), Arc<AtomicU64>>>,
}

/// Hits of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHitCount {
    /// Its name.
    pub rule: String,
    /// Whether it was in shadow: it is evaluated, and never acted on.
    pub shadow: bool,
    /// Attempts that it was the first to hold for or, in shadow, that it holds for.
    pub hits: u64,
}

impl RuleHits {
    /// All of them, by name.
    #[must_use]
    pub fn totals(&self) -> Vec<RuleHitCount> {
        // Whoever panicked with the lock left a whole map.
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = counters.iter().map(|((rule, shadow), hits)| RuleHitCount {
            rule: rule.clone(),
            shadow: *shadow,
            hits: hits.load(Relaxed),
        });
        totals.collect()
    }

    /// The counters of a set's rules. Those that are evaluated are shown from now on, with 0 hits too.
    pub(super) fn counters(
        &self,
        rules: Option<&RuleSet>,
        challenger: Arc<ChallengerCounts>,
    ) -> HitCounters {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = rules.map_or(&[][..], RuleSet::rules).iter();
        let counters = rules.map(|rule| match rule.enabled {
            true => counters.entry((rule.name.clone(), rule.shadow)).or_default().clone(),
            // Nothing is ever added.
            false => Arc::default(),
        });
        HitCounters { rules: counters.collect(), challenger }
    }
}

/// The counters of the policy in force; those of its rules by their number in the set.
#[derive(Clone, Debug, Default)]
pub(super) struct HitCounters {
    rules: Vec<Arc<AtomicU64>>,
    /// For attempts that a challenger looked at, too.
    pub(super) challenger: Arc<ChallengerCounts>,
}

impl HitCounters {
    /// Adds what was counted in a chunk of rows.
    pub(super) fn add(&self, counted: &RuleCounts) {
        for (total, hits) in self.rules.iter().zip(&counted.0).filter(|(_, hits)| **hits > 0) {
            total.fetch_add(*hits, Relaxed);
        }
    }
}
