//! Figures: consumes what the engine does, produces what it did since its start, for whoever
//! watches. Counted per request, not per payment, so that watching costs payments nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use millrace_ledger::{PaymentEvent, Status};

const STATUSES: [&str; 4] = ["settled", "held", "voided", "rejected"];
const DECISIONS: [&str; 5] = ["not_judged", "approve", "review", "decline", "challenge"];

/// Figures about decided payments and batches. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EngineStats {
    shared: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    clock_ahead_ms: AtomicU64,
    time_behind_ms: AtomicU64,
    replays: AtomicU64,
    by_status: [AtomicU64; STATUSES.len()],
    by_decision: [AtomicU64; DECISIONS.len()],
}

/// What became of the payments of one request.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    by_status: [u64; STATUSES.len()],
    by_decision: [u64; DECISIONS.len()],
}

impl Tally {
    pub(crate) fn add(&mut self, event: &PaymentEvent) {
        let status = match event.outcome.status {
            Status::Settled => 0,
            Status::Held => 1,
            Status::Voided => 2,
            Status::Rejected(_) => 3,
        };
        self.by_status[status] += 1;
        self.by_decision[event.verdict.decision as usize] += 1;
    }

    fn payments(&self) -> u64 {
        self.by_status.iter().sum()
    }
}

impl EngineStats {
    pub(crate) fn note_batch(&self) {
        self.shared.batches.fetch_add(1, Relaxed);
    }

    /// So many payments were asked for; those that are not in the tally were decided before.
    pub(crate) fn note_request(&self, payments: usize, tally: &Tally) {
        let shared = &self.shared;
        shared.replays.fetch_add((payments as u64).saturating_sub(tally.payments()), Relaxed);
        let statuses = shared.by_status.iter().zip(tally.by_status);
        let decisions = shared.by_decision.iter().zip(tally.by_decision);
        for (counter, count) in statuses.chain(decisions) {
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
    }

    pub(crate) fn note_clock(&self, ahead: Duration, behind: Duration) {
        self.shared.clock_ahead_ms.store(ahead.as_millis() as u64, Relaxed);
        self.shared.time_behind_ms.store(behind.as_millis() as u64, Relaxed);
    }

    /// How far the journal's time was ahead of the system's clock at the last batch.
    #[must_use]
    pub fn clock_ahead(&self) -> Duration {
        Duration::from_millis(self.shared.clock_ahead_ms.load(Relaxed))
    }

    /// How far the last batch's time was behind the time of its making, because many holds came due.
    #[must_use]
    pub fn time_behind(&self) -> Duration {
        Duration::from_millis(self.shared.time_behind_ms.load(Relaxed))
    }

    /// Batches decided.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.shared.batches.load(Relaxed)
    }

    /// Payments that were asked for again and answered with their first outcome.
    #[must_use]
    pub fn replays(&self) -> u64 {
        self.shared.replays.load(Relaxed)
    }

    /// Payments decided, by what became of them.
    pub fn payments_by_status(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATUSES.into_iter().zip(self.shared.by_status.iter().map(|count| count.load(Relaxed)))
    }

    /// Payments decided, by what risk said of them.
    pub fn payments_by_risk_decision(&self) -> impl Iterator<Item = (&'static str, u64)> {
        DECISIONS.into_iter().zip(self.shared.by_decision.iter().map(|count| count.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::RiskDecision;

    use super::*;

    #[test]
    fn every_decision_has_its_name() {
        for (number, name) in DECISIONS.into_iter().enumerate() {
            let decision = RiskDecision::from_number(number as u8).expect("is one");
            let told = format!("{decision:?}").to_lowercase();
            assert_eq!(name.replace('_', ""), told);
        }
        assert_eq!(RiskDecision::from_number(DECISIONS.len() as u8), None);
    }
}
