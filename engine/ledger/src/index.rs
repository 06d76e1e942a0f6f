//! Finds the dense slot of a 128-bit id.
//!
//! Split into many small tables, so that growth is many short pauses, none of them longer than a
//! batch may take. The tables hold slots only; the ids stand in the rows, which a hit touches
//! anyway.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A power of two.
const PARTS: usize = 4_096;

/// Which table an id belongs to. It decides where memory is touched, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// By all of the id.
    Evenly,
    /// By the upper 48 bits, which are the millisecond in UUIDv7 and ULID: ids that are made
    /// together lie together, so looking for new ones stays in the cache. Random ids spread evenly
    /// all the same.
    ByTime,
}

#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    parts: Vec<HashTable<u32>>,
    hasher: FixedState,
    spread: Spread,
}

impl IdIndex {
    /// The seed keeps senders of chosen ids from aiming at one bucket. It has no influence on any
    /// outcome, because nothing ever iterates over the tables.
    pub(crate) fn new(seed: u64, spread: Spread) -> Self {
        Self {
            parts: (0..PARTS).map(|_| HashTable::new()).collect(),
            hasher: FixedState::with_seed(seed),
            spread,
        }
    }

    /// The slot whose row has this id, as `id_of` tells.
    pub(crate) fn find(&self, id: u128, id_of: impl Fn(u32) -> u128) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.parts[self.part(id, hash)].find(hash, |&slot| id_of(slot) == id).copied()
    }

    /// Remembers a slot. Its id must not be there yet.
    pub(crate) fn insert(&mut self, id: u128, slot: u32, id_of: impl Fn(u32) -> u128) {
        let hash = self.hasher.hash_one(id);
        let part = self.part(id, hash);
        let hasher = &self.hasher;
        self.parts[part].insert_unique(hash, slot, |&other| hasher.hash_one(id_of(other)));
    }

    /// Forgets a slot.
    pub(crate) fn remove(&mut self, id: u128, slot: u32) {
        let hash = self.hasher.hash_one(id);
        let part = self.part(id, hash);
        if let Ok(entry) = self.parts[part].find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
    }

    /// Hashbrown takes its bucket from the low bits and its tag from the top seven; the table is
    /// chosen by bits between them.
    fn part(&self, id: u128, hash: u64) -> usize {
        let chosen_by = match self.spread {
            Spread::Evenly => hash,
            Spread::ByTime => self.hasher.hash_one((id >> 80) as u64),
        };
        (chosen_by >> 40) as usize % PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain map, with ids of one millisecond, of many, and random ones.
    #[test]
    fn both_spreads_find_what_a_map_finds() {
        let mut ids: Vec<u128> = (0..5_000).map(|n| (n << 80) | (n * 7)).collect();
        ids.extend((0..5_000).map(|n| (77 << 80) | (1_000_000 + n)));
        ids.extend(
            (1..5_000).map(|n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        );
        for spread in [Spread::Evenly, Spread::ByTime] {
            let mut index = IdIndex::new(5, spread);
            for (slot, id) in ids.iter().enumerate() {
                assert_eq!(index.find(*id, |slot| ids[slot as usize]), None);
                index.insert(*id, slot as u32, |slot| ids[slot as usize]);
            }
            for (slot, id) in ids.iter().enumerate().step_by(3) {
                index.remove(*id, slot as u32);
            }
            for (slot, id) in ids.iter().enumerate() {
                let expected = (slot % 3 != 0).then_some(slot as u32);
                assert_eq!(index.find(*id, |slot| ids[slot as usize]), expected);
            }
        }
    }
}
