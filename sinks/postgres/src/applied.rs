//! Where the tables stand, and what changed on the way: consumes commits, tells readers that wait
//! and readers that cache. Guarantees that a reader who sees a place sees every change up to it.

use std::sync::atomic::{AtomicU64, Ordering};

use millrace_ledger::EventSeq;
use millrace_sinks::graphql::model::{AppliedPlace, Entity};
use tokio::sync::watch;

/// Entities share slots, so that memory is bounded: a change of one counts as a change of all in
/// its slot. 512 KiB.
const SLOTS: usize = 1 << 16;

/// How far the tables are.
pub(crate) struct Applied {
    place: watch::Sender<AppliedPlace>,
    /// The last event that changed an entity of the slot.
    changes: Box<[AtomicU64]>,
}

impl Applied {
    pub(crate) fn new(place: AppliedPlace) -> Self {
        let changes = (0..SLOTS).map(|_| AtomicU64::new(place.seq.0)).collect();
        Self { place: watch::Sender::new(place), changes }
    }

    /// The tables are here now. Changes are told before the place: who sees the place sees them.
    pub(crate) fn advance(&self, place: AppliedPlace, changed: impl IntoIterator<Item = Entity>) {
        for entity in changed {
            self.changes[slot(entity)].store(place.seq.0, Ordering::Release);
        }
        self.place.send_replace(place);
    }

    /// The tables are here now, and anything may have changed. A place that lies behind is kept to
    /// itself: places never go back.
    pub(crate) fn jump(&self, place: AppliedPlace) {
        for change in &self.changes {
            change.fetch_max(place.seq.0, Ordering::Release);
        }
        self.place.send_if_modified(|known| {
            let ahead = place.seq > known.seq;
            if ahead {
                *known = place;
            }
            ahead
        });
    }

    pub(crate) fn place(&self) -> AppliedPlace {
        *self.place.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<AppliedPlace> {
        self.place.subscribe()
    }

    pub(crate) fn last_change(&self, entity: Entity) -> EventSeq {
        EventSeq(self.changes[slot(entity)].load(Ordering::Acquire))
    }
}

fn slot(entity: Entity) -> usize {
    let (id, kind) = match entity {
        Entity::Payment(id) => (id.0, 1),
        Entity::Account(id) => (id.0, 2),
    };
    // Ids are often counted up, or differ in one half only.
    let mixed = (id as u64 ^ (id >> 64) as u64 ^ kind).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{AccountId, PaymentId, Timestamp};

    use super::*;

    #[test]
    fn a_change_is_known_when_its_place_is() {
        let at = |seq| AppliedPlace { seq: EventSeq(seq), time: Timestamp(seq) };
        let (payment, account) = (Entity::Payment(PaymentId(9)), Entity::Account(AccountId(9)));
        let applied = Applied::new(at(7));
        let watch = applied.watch();
        assert_eq!(applied.last_change(payment), EventSeq(7), "who knows what was before");
        applied.advance(at(11), [payment]);
        assert_eq!(applied.last_change(payment), EventSeq(11));
        assert_eq!(applied.last_change(account), EventSeq(7), "another kind of entity");
        assert_eq!(*watch.borrow(), at(11));
        applied.jump(at(15));
        assert_eq!(applied.last_change(account), EventSeq(15), "anything may have changed");
        applied.jump(at(3));
        assert_eq!(*watch.borrow(), at(15), "places never go back");
        assert_eq!(applied.last_change(account), EventSeq(15));
    }
}
