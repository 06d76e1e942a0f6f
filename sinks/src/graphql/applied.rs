//! Where the embedded store is, and what changed on the way: consumes commits, tells readers that
//! wait and readers that cache. Guarantees that a reader who sees a place sees every change up to
//! it.

use std::sync::atomic::{AtomicU64, Ordering};

use millrace_ledger::EventSeq;
use tokio::sync::watch;

use super::model::{AppliedPlace, Entity};
use crate::store::Place;

/// Entities share slots, so that memory is bounded: a change of one counts as a change of all in
/// its slot. 512 KiB.
const SLOTS: usize = 1 << 16;

/// How far the store is.
#[derive(Debug)]
pub(crate) struct Applied {
    place: watch::Sender<AppliedPlace>,
    /// The last event that changed an entity of the slot.
    changes: Box<[AtomicU64]>,
}

impl Applied {
    pub(super) fn new(place: Place) -> Self {
        let changes = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { place: watch::Sender::new(place_of(place)), changes }
    }

    /// The store is here now. Changes are told before the place: who sees the place sees them.
    pub(super) fn advance(&self, place: Place, changed: impl IntoIterator<Item = Entity>) {
        let place = place_of(place);
        for entity in changed {
            self.changes[slot(entity)].store(place.seq.0, Ordering::Release);
        }
        self.place.send_replace(place);
    }

    pub(super) fn place(&self) -> AppliedPlace {
        *self.place.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<AppliedPlace> {
        self.place.subscribe()
    }

    pub(super) fn last_change(&self, entity: Entity) -> EventSeq {
        EventSeq(self.changes[slot(entity)].load(Ordering::Acquire))
    }
}

fn place_of(place: Place) -> AppliedPlace {
    AppliedPlace { seq: EventSeq(place.next_seq.0 - 1), time: place.time }
}

fn slot(entity: Entity) -> usize {
    // Half a turn apart.
    let (id, start) = match entity {
        Entity::Payment(id) => (id.0, 0),
        Entity::Account(id) => (id.0, 1 << 63),
    };
    // Ids are often counted up, or differ in one half only.
    let mixed = (id as u64 ^ (id >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed.wrapping_add(start);
    (mixed >> (u64::BITS - SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{AccountId, PaymentId, Timestamp};

    use super::*;

    #[test]
    fn a_change_is_known_when_its_place_is() {
        let start = Place { next_seq: EventSeq(8), time: Timestamp(5) };
        let applied = Applied::new(start);
        let (payment, account) = (Entity::Payment(PaymentId(9)), Entity::Account(AccountId(9)));
        assert_eq!(applied.place(), AppliedPlace { seq: EventSeq(7), time: Timestamp(5) });
        assert_eq!(applied.last_change(payment), EventSeq(0));
        applied.advance(Place { next_seq: EventSeq(12), time: Timestamp(6) }, [payment]);
        assert_eq!(applied.last_change(payment), EventSeq(11));
        assert_eq!(applied.last_change(account), EventSeq(0), "another kind of entity");
        assert_eq!(applied.watch().borrow().seq, EventSeq(11));
    }

    #[test]
    fn ids_spread_over_the_slots() {
        for shift in [0, 64, 100] {
            let slots: std::collections::HashSet<_> =
                (0..1_000_u128).map(|id| slot(Entity::Payment(PaymentId(id << shift)))).collect();
            assert!(slots.len() > 900, "{} slots for ids shifted by {shift}", slots.len());
        }
    }
}
