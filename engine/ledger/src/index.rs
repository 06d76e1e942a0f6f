//! Finds the row of a payment by its id.
//!
//! Split into many small tables, so that growth is many short pauses, none of them longer than a
//! batch may take. An id stands beside its slot, so that a look-up needs nothing but the table.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table::Entry as TableEntry};

use crate::account_index::{number, same, words};

/// 20 bytes: an id in pieces that need no wider alignment than the slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: [u32; 4],
    slot: u32,
}

/// A table of more entries gives its memory back: which tables grow large changes with time, and
/// all of them together must not.
const KEPT_CAPACITY_MAX: usize = 1_792;

#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    /// A power of two of them.
    parts: Vec<HashTable<Entry>>,
    hasher: FixedState,
}

impl IdIndex {
    /// The seed keeps senders of chosen ids from aiming at one bucket. It has no influence on any
    /// outcome, because nothing that is decided depends on the order in the tables.
    pub(crate) fn new(seed: u64, parts: usize) -> Self {
        assert!(parts.is_power_of_two(), "the parts are chosen by bits");
        Self {
            parts: (0..parts).map(|_| HashTable::new()).collect(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// An empty index of the same shape.
    pub(crate) fn emptied(&self) -> Self {
        let parts = (0..self.parts.len()).map(|_| HashTable::new()).collect();
        Self { parts, hasher: self.hasher.clone() }
    }

    /// Forgets all ids. Keeps the memory of tables that are not unusually large.
    pub(crate) fn clear(&mut self) {
        for part in &mut self.parts {
            match part.capacity() <= KEPT_CAPACITY_MAX {
                true => part.clear(),
                false => *part = HashTable::new(),
            }
        }
    }

    /// The slot of this id.
    pub(crate) fn find(&self, id: u128) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let id_words = words(id);
        let found = self.parts[self.part(id)].find(hash, |entry| same(entry.id, id_words));
        found.map(|entry| entry.slot)
    }

    /// The slot of this id; where there is none, remembers it with this one.
    pub(crate) fn find_or_insert(&mut self, id: u128, slot: u32) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let id_words = words(id);
        let part = self.part(id);
        let hasher = &self.hasher;
        let entry = self.parts[part].entry(
            hash,
            |entry| same(entry.id, id_words),
            |other| hasher.hash_one(number(other.id)),
        );
        match entry {
            TableEntry::Occupied(found) => Some(found.get().slot),
            TableEntry::Vacant(free) => {
                free.insert(Entry { id: id_words, slot });
                None
            }
        }
    }

    /// A table is chosen by the upper 48 bits, which are the millisecond in UUIDv7 and ULID: ids
    /// that are made together lie together, so looking for new ones stays in the cache. Milliseconds
    /// that follow each other take tables in turn, so that tables fill evenly and seldom grow; which
    /// turn that is can't be known from outside. Random ids spread evenly all the same.
    #[inline]
    fn part(&self, id: u128) -> usize {
        let ms = (id >> 80) as u64;
        let turn = self.hasher.hash_one(ms / self.parts.len() as u64);
        (turn ^ ms) as usize & (self.parts.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain list, with ids of one millisecond, of many, and random ones.
    #[test]
    fn finds_what_was_put_in() {
        let mut ids: Vec<u128> = (0..5_000).map(|n| (n << 80) | (n * 7)).collect();
        ids.extend((0..5_000).map(|n| (77 << 80) | (1_000_000 + n)));
        ids.extend(
            (1..5_000).map(|n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        );
        for parts in [1, 64, 1_024] {
            let mut index = IdIndex::new(5, parts);
            for (slot, id) in ids.iter().enumerate().filter(|(slot, _)| slot % 3 != 0) {
                assert_eq!(index.find(*id), None);
                assert_eq!(index.find_or_insert(*id, slot as u32), None);
                assert_eq!(index.find_or_insert(*id, 9), Some(slot as u32));
            }
            for (slot, id) in ids.iter().enumerate() {
                let expected = (slot % 3 != 0).then_some(slot as u32);
                assert_eq!(index.find(*id), expected);
            }
        }
    }
}
