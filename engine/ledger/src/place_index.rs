//! Finds the place of a payment by its id, where payments come and go.
//!
//! Guarantees that it grows without a pause: it is split into many small tables, and tables whose
//! sizes are spread evenly between one and two grow one after the other, not all at once.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table::Entry as TableEntry};

use crate::{PaymentId, words::Words};

const PARTS_LOG2: u32 = 10;

/// 20 bytes: an id in pieces that need no wider alignment than the place.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Words,
    place: u32,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct PlaceIndex {
    parts: Vec<HashTable<Entry>>,
    len: usize,
    hasher: FixedState,
}

impl PlaceIndex {
    /// The seed keeps senders of chosen ids from aiming at one bucket. It has no influence on any
    /// outcome: nobody looks at the order in the tables.
    pub(crate) fn new(seed: u64) -> Self {
        let parts = vec![HashTable::new(); 1 << PARTS_LOG2];
        Self { parts, len: 0, hasher: FixedState::with_seed(seed) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The place of this id.
    pub(crate) fn find(&self, id: PaymentId) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.parts[part(hash)]
            .find(hash, |entry| entry.id.number() == id.0)
            .map(|entry| entry.place)
    }

    /// Remembers the place of an id, instead of an earlier one.
    pub(crate) fn insert(&mut self, id: PaymentId, place: u32) {
        let (hash, hasher) = (self.hasher.hash_one(id), &self.hasher);
        let part = &mut self.parts[part(hash)];
        let rehash = |entry: &Entry| hasher.hash_one(PaymentId(entry.id.number()));
        match part.entry(hash, |entry| entry.id.number() == id.0, rehash) {
            TableEntry::Occupied(mut found) => found.get_mut().place = place,
            TableEntry::Vacant(free) => {
                free.insert(Entry { id: Words::of(id.0), place });
                self.len += 1;
            }
        }
    }

    /// Forgets this id, if it is known.
    pub(crate) fn remove(&mut self, id: PaymentId) {
        let hash = self.hasher.hash_one(id);
        if let Ok(found) =
            self.parts[part(hash)].find_entry(hash, |entry| entry.id.number() == id.0)
        {
            found.remove();
            self.len -= 1;
        }
    }
}

/// Which table: log2(1 + x) of the parts, for a fraction x of the hash, so that twice as many ids go to
/// the last table as to the first. A parabola comes within a hundredth of that logarithm. The bits of the
/// fraction are not those by which a table finds its buckets.
#[inline]
fn part(hash: u64) -> usize {
    const ONE: u64 = 1 << 16;
    /// 0.343, by which the parabola is bent.
    const BEND: u64 = 22_479;
    let fraction = (hash >> 32) % ONE;
    let bent = fraction * ONE + fraction * (ONE - fraction) / ONE * BEND;
    (bent >> (32 - PARTS_LOG2)) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn knows_what_a_map_knows(steps in prop::collection::vec((0_u128..40, any::<Option<u32>>()), 200)) {
            let (mut index, mut map) = (PlaceIndex::new(3), BTreeMap::new());
            for (id, place) in steps {
                let id = PaymentId(id << 70 | id);
                match place {
                    Some(place) => {
                        index.insert(id, place);
                        map.insert(id, place);
                    }
                    None => {
                        index.remove(id);
                        map.remove(&id);
                    }
                }
                prop_assert_eq!(index.len(), map.len());
                for id in (0..40).map(|id| PaymentId(id << 70 | id)) {
                    prop_assert_eq!(index.find(id), map.get(&id).copied());
                }
            }
        }
    }

    /// What grows while two thousand ids come is never more than a few hundredths of what is there: with
    /// tables of one size it would be all of them within a few such steps.
    #[test]
    fn tables_grow_one_after_the_other() {
        const STEP: u128 = 2_000;
        let mut index = PlaceIndex::new(7);
        let mut moved_max = 0.0_f64;
        for step in 0..400 {
            let before: Vec<_> =
                index.parts.iter().map(|part| (part.capacity(), part.len())).collect();
            for id in step * STEP..(step + 1) * STEP {
                index.insert(
                    PaymentId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
                    1,
                );
            }
            let grown =
                before.iter().zip(&index.parts).filter(|(was, part)| part.capacity() > was.0);
            let moved: usize = grown.map(|(was, _)| was.1).sum();
            if step >= 100 {
                moved_max = moved_max.max(moved as f64 / index.len() as f64);
            }
        }
        assert!(index.parts.iter().all(|part| !part.is_empty()), "no table is left out");
        assert!(moved_max < 0.05, "{moved_max}");
    }
}
