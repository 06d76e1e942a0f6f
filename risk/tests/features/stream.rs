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
    Paid {
        at: u64,
        amount: f64,
        keys: Vec<EntityKey>,
    },
    Known {
        at: u64,
        paid_at: u64,
        amount: f64,
        keys: Vec<EntityKey>,
        fraud: bool,
        takes_back: bool,
    },
}

impl Event {
    pub(crate) fn attempt(&self) -> Option<Attempt<'_>> {
        match self {
            Self::Paid { at, amount, keys } => {
                Some(Attempt { at: Timestamp(*at), amount: *amount, entities: keys })
            }
            Self::Known { .. } => None,
        }
    }

    pub(crate) fn label(&self) -> Option<Label<'_>> {
        match self {
            Self::Known { at, paid_at, amount, keys, fraud, takes_back } => Some(Label {
                at: Timestamp(*at),
                paid_at: Timestamp(*paid_at),
                amount: *amount,
                entities: keys,
                fraud: *fraud,
                takes_back: *takes_back,
            }),
            Self::Paid { .. } => None,
        }
    }
}

/// Payers, payees and their pairs, few of each; some payments name no payee, some come late, some
/// are fraud and are
/// reported between at once and twelve days later, some are said to be honest.
pub(crate) fn events(len: usize, entities: u64) -> impl Strategy<Value = Vec<Event>> {
    stream(len, entities, Just(0).boxed())
}

/// The same, and reports of fraud are taken back, made again, and taken back once more, each within
/// twelve days.
pub(crate) fn flips(len: usize, entities: u64) -> impl Strategy<Value = Vec<Event>> {
    stream(len, entities, (0_u8..4).boxed())
}

fn stream(
    len: usize,
    entities: u64,
    flips: BoxedStrategy<u8>,
) -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![4 => 0..7_200_u64, 1 => 0..200_000_u64, 1 => Just(0)];
    let late = prop_oneof![8 => Just(0_u64), 1 => 1..400_000_u64];
    let fraud = (0..1_000_000_u64, prop::bool::weighted(0.4), any::<bool>(), flips);
    let payment = (step, late, 1..50_000_u32, (1..=entities, 0..=entities), fraud);
    prop::collection::vec(payment, 1..len).prop_map(|payments| {
        let (mut clock, mut events) = (START, Vec::new());
        let mut due: Vec<(u64, Event)> = Vec::new();
        for (step, late, cents, (payer, payee), fraud) in payments {
            clock += step * SECOND + 7;
            let at = clock - late * SECOND;
            let (payer, payee) = (EntityKey(payer), EntityKey(payee));
            let keys = vec![payer, payee, EntityKey::pair(payer, payee)];
            let amount = f64::from(cents) / 100.0;
            due.sort_by_key(|(at, ..)| *at);
            while due.first().is_some_and(|(at, ..)| *at <= clock) {
                events.push(due.remove(0).1);
            }
            let (delay, fraud, is_labelled, flips) = fraud;
            let reports = match (fraud, is_labelled) {
                (true, _) => 1 + u64::from(flips),
                (false, true) => 1,
                (false, false) => 0,
            };
            for report in 0..reports {
                let (known_at, keys) = (clock + (report + 1) * delay * SECOND, keys.clone());
                let takes_back = report % 2 == 1;
                let fraud = fraud && !takes_back;
                due.push((
                    known_at,
                    Event::Known { at: known_at, paid_at: at, amount, keys, fraud, takes_back },
                ));
            }
            events.push(Event::Paid { at, amount, keys });
        }
        events
    })
}
