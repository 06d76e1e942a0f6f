//! Streams of payments and labels for tests.

use millrace_ledger::Timestamp;
use millrace_risk::features::{Attempt, EntityKey, Label};
use proptest::prelude::*;

use crate::naive::SECOND;

/// A Wednesday in 2018.
pub(crate) const START: u64 = 1_527_638_400 * SECOND;

/// What happens, in the order in which it is seen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Paid { at: u64, amount: f64, keys: Vec<EntityKey> },
    Fraud { at: u64, paid_at: u64, amount: f64, keys: Vec<EntityKey> },
}

impl Event {
    pub(crate) fn attempt(&self) -> Option<Attempt<'_>> {
        match self {
            Self::Paid { at, amount, keys } => {
                Some(Attempt { at: Timestamp(*at), amount: *amount, entities: keys })
            }
            Self::Fraud { .. } => None,
        }
    }

    pub(crate) fn label(&self) -> Option<Label<'_>> {
        match self {
            Self::Fraud { at, paid_at, amount, keys } => Some(Label {
                at: Timestamp(*at),
                paid_at: Timestamp(*paid_at),
                amount: *amount,
                entities: keys,
                fraud: true,
            }),
            Self::Paid { .. } => None,
        }
    }
}

/// Payers, payees and their pairs, few of each; some payments name no payee, some come late, some
/// are fraud and are reported between at once and twelve days later.
pub(crate) fn events(len: usize, entities: u64) -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![4 => 0..7_200_u64, 1 => 0..200_000_u64, 1 => Just(0)];
    let late = prop_oneof![8 => Just(0_u64), 1 => 1..400_000_u64];
    let fraud = prop_oneof![3 => Just(None), 1 => (0..1_000_000_u64).prop_map(Some)];
    let payment = (step, late, 1..50_000_u32, (1..=entities, 0..=entities), fraud);
    prop::collection::vec(payment, 1..len).prop_map(|payments| {
        let (mut clock, mut events) = (START, Vec::new());
        let mut due: Vec<(u64, u64, f64, Vec<EntityKey>)> = Vec::new();
        for (step, late, cents, (payer, payee), fraud) in payments {
            clock += step * SECOND + 7;
            let at = clock - late * SECOND;
            let (payer, payee) = (EntityKey(payer), EntityKey(payee));
            let keys = vec![payer, payee, EntityKey::pair(payer, payee)];
            let amount = f64::from(cents) / 100.0;
            due.sort_by_key(|(at, ..)| *at);
            while due.first().is_some_and(|(at, ..)| *at <= clock) {
                let (at, paid_at, amount, keys) = due.remove(0);
                events.push(Event::Fraud { at, paid_at, amount, keys });
            }
            if let Some(delay) = fraud {
                due.push((clock + delay * SECOND, at, amount, keys.clone()));
            }
            events.push(Event::Paid { at, amount, keys });
        }
        events
    })
}
