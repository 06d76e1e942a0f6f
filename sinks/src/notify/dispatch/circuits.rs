//! The breakers of all providers, and the pauses that they asked for.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use millrace_ledger::Timestamp;

use super::{
    super::Channel,
    breaker::{Answer, Breaker, Position, later},
};

/// Pause for a provider that asks for fewer messages and does not say for how long.
const PAUSE: Duration = Duration::from_secs(5);
/// Circuits that are remembered at one time; beyond it, those that are well go.
const REMEMBERED_MAX: usize = 10_000;

/// A channel and what of it fails together.
pub(super) type CircuitKey = (Channel, String);

#[derive(Debug)]
pub(super) struct Circuits {
    circuits: HashMap<CircuitKey, Circuit, foldhash::fast::RandomState>,
    fresh: Breaker,
}

#[derive(Clone, Copy, Debug)]
struct Circuit {
    breaker: Breaker,
    /// It asked for nothing before this time.
    paused_until: Timestamp,
}

impl Circuits {
    pub(super) fn new(failures_max: u32, open_for: Duration) -> Self {
        Self { circuits: HashMap::default(), fresh: Breaker::new(failures_max, open_for) }
    }

    fn circuit(&mut self, key: &CircuitKey, now: Timestamp) -> &mut Circuit {
        if self.circuits.len() >= REMEMBERED_MAX {
            self.circuits
                .retain(|_, circuit| !circuit.breaker.is_fresh() || circuit.paused_until > now);
        }
        let fresh = Circuit { breaker: self.fresh, paused_until: Timestamp(0) };
        self.circuits.entry(key.clone()).or_insert(fresh)
    }

    /// Whether a message may go now.
    pub(super) fn ask(&mut self, key: &CircuitKey, now: Timestamp) -> Answer {
        let circuit = self.circuit(key, now);
        if now < circuit.paused_until {
            return Answer::Wait(circuit.paused_until);
        }
        circuit.breaker.ask(now)
    }

    pub(super) fn succeeded(&mut self, key: &CircuitKey, now: Timestamp) {
        self.circuit(key, now).breaker.succeeded();
    }

    pub(super) fn failed(&mut self, key: &CircuitKey, now: Timestamp, after: Option<Duration>) {
        let circuit = self.circuit(key, now);
        circuit.breaker.failed(now);
        if let Some(after) = after {
            circuit.paused_until = circuit.paused_until.max(later(now, after));
        }
    }

    /// It is well, but asks for fewer.
    pub(super) fn throttled(&mut self, key: &CircuitKey, now: Timestamp, after: Option<Duration>) {
        let circuit = self.circuit(key, now);
        circuit.breaker.succeeded();
        let pause = after.unwrap_or(PAUSE);
        circuit.paused_until = circuit.paused_until.max(later(now, pause));
    }

    /// A message that was let go did not go after all.
    pub(super) fn forget_probe(&mut self, key: &CircuitKey, now: Timestamp) {
        self.circuit(key, now).breaker.forget_probe();
    }

    /// The worst position of each channel, and how many of its breakers are not closed.
    pub(super) fn positions(&self) -> BTreeMap<Channel, (Position, usize)> {
        let mut positions = BTreeMap::new();
        for ((channel, _), circuit) in &self.circuits {
            let position = circuit.breaker.position();
            let (worst, open) = positions.entry(*channel).or_insert((Position::Closed, 0));
            *worst = position.max(*worst);
            *open += usize::from(position != Position::Closed);
        }
        positions
    }
}
