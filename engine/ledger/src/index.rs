//! Finds the row of a payment by its id.
//!
//! Split into many small tables, so that growth is many short pauses, none of them longer than a
//! batch may take. A table has four bytes and a tag per id; ids and rows lie in a list of their own,
//! in the order of their coming, which is looked at only where a tag says so: new ids are told to be
//! new by tables that stay in the nearest cache, and are written one after the other.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table::Entry as TableEntry};

use crate::{store::Store, words::Words};

/// 20 bytes: an id in pieces that need no wider alignment than the row.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Words,
    row: u32,
}

/// A table of more entries gives its memory back: which tables grow large changes with time, and
/// all of them together must not.
const KEPT_CAPACITY_MAX: usize = 1_792;

#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    /// A power of two of them: places in `entries`.
    parts: Vec<HashTable<u32>>,
    parts_log2: u32,
    entries: Store<Entry>,
    hasher: FixedState,
}

impl IdIndex {
    /// The seed keeps senders of chosen ids from aiming at one bucket. It has no influence on any
    /// outcome, because nothing that is decided depends on the order in the tables.
    pub(crate) fn new(seed: u64, parts: usize) -> Self {
        assert!(parts.is_power_of_two(), "the parts are chosen by bits");
        Self {
            parts: (0..parts).map(|_| HashTable::new()).collect(),
            parts_log2: parts.ilog2(),
            entries: Store::default(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// An empty index of the same shape.
    pub(crate) fn emptied(&self) -> Self {
        let parts = (0..self.parts.len()).map(|_| HashTable::new()).collect();
        let (parts_log2, hasher) = (self.parts_log2, self.hasher.clone());
        Self { parts, parts_log2, entries: Store::default(), hasher }
    }

    /// Forgets all ids. Keeps the memory of tables that are not unusually large.
    pub(crate) fn clear(&mut self) {
        for part in &mut self.parts {
            match part.capacity() <= KEPT_CAPACITY_MAX {
                true => part.clear(),
                false => *part = HashTable::new(),
            }
        }
        self.entries.clear();
    }

    /// The row of this id.
    pub(crate) fn find(&self, id: u128) -> Option<u32> {
        let (hash, entries) = (self.hasher.hash_one(id), &self.entries);
        let is_it = |place: &u32| entries.get(*place).id.number() == id;
        let place = self.parts[self.part(id)].find(hash, is_it)?;
        Some(entries.get(*place).row)
    }

    /// The row of this id; where there is none, remembers it with this one.
    #[inline]
    pub(crate) fn find_or_insert(&mut self, id: u128, row: u32) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let part = self.part(id);
        let (hasher, entries) = (&self.hasher, &self.entries);
        let entry = self.parts[part].entry(
            hash,
            |place| entries.get(*place).id.number() == id,
            |place| hasher.hash_one(entries.get(*place).id.number()),
        );
        match entry {
            TableEntry::Occupied(found) => Some(entries.get(*found.get()).row),
            TableEntry::Vacant(free) => {
                free.insert(entries.len() as u32);
                self.entries.push(Entry { id: Words::of(id), row });
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
        let turn = self.hasher.hash_one(ms >> self.parts_log2);
        (turn ^ ms) as usize & (self.parts.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain list, with ids of one millisecond, of many, and random ones; and again in
    /// memory that was used before.
    #[test]
    fn finds_what_was_put_in() {
        let mut ids: Vec<u128> = (0..5_000).map(|n| (n << 80) | (n * 7)).collect();
        ids.extend((0..5_000).map(|n| (77 << 80) | (1_000_000 + n)));
        ids.extend(
            (1..5_000).map(|n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        );
        for parts in [1, 64, 1_024] {
            let mut index = IdIndex::new(5, parts);
            for left_out in [0, 1] {
                for (row, id) in ids.iter().enumerate().filter(|(row, _)| row % 3 != left_out) {
                    assert_eq!(index.find(*id), None);
                    assert_eq!(index.find_or_insert(*id, row as u32), None);
                    assert_eq!(index.find_or_insert(*id, 9), Some(row as u32));
                }
                for (row, id) in ids.iter().enumerate() {
                    let expected = (row % 3 != left_out).then_some(row as u32);
                    assert_eq!(index.find(*id), expected);
                }
                index.clear();
            }
        }
    }
}
