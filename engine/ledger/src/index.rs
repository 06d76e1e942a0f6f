//! Finds the dense slot of a 128-bit id.
//!
//! Split into 256 tables so that growth is 256 short pauses, none of them longer than a batch may
//! take. The tables hold slots only; the ids stand in the rows, which a hit touches anyway.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

const PARTS: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    parts: Vec<HashTable<u32>>,
    hasher: FixedState,
}

impl IdIndex {
    /// The seed keeps senders of chosen ids from aiming at one bucket. It has no influence on any
    /// outcome, because nothing ever iterates over the tables.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            parts: (0..PARTS).map(|_| HashTable::new()).collect(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// The slot whose row has this id, as `id_of` tells.
    pub(crate) fn find(&self, id: u128, id_of: impl Fn(u32) -> u128) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.parts[part(hash)].find(hash, |&slot| id_of(slot) == id).copied()
    }

    /// Remembers a slot. Its id must not be there yet.
    pub(crate) fn insert(&mut self, id: u128, slot: u32, id_of: impl Fn(u32) -> u128) {
        let hash = self.hasher.hash_one(id);
        let hasher = &self.hasher;
        self.parts[part(hash)].insert_unique(hash, slot, |&other| hasher.hash_one(id_of(other)));
    }

    /// Forgets a slot.
    pub(crate) fn remove(&mut self, id: u128, slot: u32) {
        let hash = self.hasher.hash_one(id);
        if let Ok(entry) = self.parts[part(hash)].find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
    }
}

/// Hashbrown takes its bucket from the low bits and its tag from the top seven.
fn part(hash: u64) -> usize {
    (hash >> 48) as usize % PARTS
}
