//! Finds the dense slot of a 128-bit id.
//!
//! Split into many small tables, so that growth is many short pauses, none of them longer than a
//! batch may take. An id stands beside its slot, so that a look-up needs nothing but the table.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table::Entry as TableEntry};

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

/// 20 bytes: an id in pieces that need no wider alignment than the slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: [u32; 4],
    slot: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    /// A power of two of them.
    parts: Vec<HashTable<Entry>>,
    hasher: FixedState,
    spread: Spread,
}

impl IdIndex {
    /// The seed keeps senders of chosen ids from aiming at one bucket. It has no influence on any
    /// outcome, because nothing that is decided depends on the order in the tables.
    pub(crate) fn new(seed: u64, spread: Spread, parts: usize) -> Self {
        assert!(parts.is_power_of_two(), "the parts are chosen by bits");
        Self {
            parts: (0..parts).map(|_| HashTable::new()).collect(),
            hasher: FixedState::with_seed(seed),
            spread,
        }
    }

    /// An empty index of the same shape.
    pub(crate) fn emptied(&self) -> Self {
        let parts = (0..self.parts.len()).map(|_| HashTable::new()).collect();
        Self { parts, hasher: self.hasher.clone(), spread: self.spread }
    }

    /// The slot of this id.
    pub(crate) fn find(&self, id: u128) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let id_words = words(id);
        let found = self.parts[self.part(id, hash)].find(hash, |entry| entry.id == id_words);
        found.map(|entry| entry.slot)
    }

    /// The slot of this id; where there is none, remembers it with this one.
    pub(crate) fn find_or_insert(&mut self, id: u128, slot: u32) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let id_words = words(id);
        let part = self.part(id, hash);
        let hasher = &self.hasher;
        let entry = self.parts[part].entry(
            hash,
            |entry| entry.id == id_words,
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

    /// Hashbrown takes its bucket from the low bits and its tag from the top seven; the table is
    /// chosen by bits between them.
    fn part(&self, id: u128, hash: u64) -> usize {
        let chosen_by = match self.spread {
            Spread::Evenly => hash,
            Spread::ByTime => self.hasher.hash_one((id >> 80) as u64),
        };
        (chosen_by >> 40) as usize & (self.parts.len() - 1)
    }
}

fn words(id: u128) -> [u32; 4] {
    [id as u32, (id >> 32) as u32, (id >> 64) as u32, (id >> 96) as u32]
}

fn number([a, b, c, d]: [u32; 4]) -> u128 {
    u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64 | u128::from(d) << 96
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain list, with ids of one millisecond, of many, and random ones.
    #[test]
    fn both_spreads_find_what_was_put_in() {
        let mut ids: Vec<u128> = (0..5_000).map(|n| (n << 80) | (n * 7)).collect();
        ids.extend((0..5_000).map(|n| (77 << 80) | (1_000_000 + n)));
        ids.extend(
            (1..5_000).map(|n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        );
        for (spread, parts) in [(Spread::Evenly, 256), (Spread::ByTime, 1_024), (Spread::ByTime, 1)]
        {
            let mut index = IdIndex::new(5, spread, parts);
            for (slot, id) in ids.iter().enumerate().filter(|(slot, _)| slot % 3 != 0) {
                assert_eq!(index.find(*id), None);
                assert_eq!(index.find_or_insert(*id, slot as u32), None);
                assert_eq!(index.find_or_insert(*id, 9), Some(slot as u32));
            }
            for (slot, id) in ids.iter().enumerate() {
                let expected = (slot % 3 != 0).then_some(slot as u32);
                assert_eq!(index.find(*id), expected);
                assert_eq!(number(words(*id)), *id);
            }
        }
    }
}
