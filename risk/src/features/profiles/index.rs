//! The index of entities: consumes keys, produces the rows of those that are remembered.
//!
//! Eight bytes an entry, so that a cache line holds eight: the row's number, and 32 bits of the
//! hash that tell almost all strangers apart; the key itself is in the row.

use prefetch_index::prefetch_index;

use super::rows::Rows;

/// Tables that grow one at a time: each pause is a small part of what growing one table would take.
const PARTS: usize = 256;
const ENTRIES_MIN: usize = 8;

/// Row plus one and tag; zero is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry(u64);

#[derive(Clone, Debug)]
struct Part {
    /// A power of two of them.
    entries: Vec<Entry>,
    len: usize,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Index {
    parts: Vec<Part>,
}

/// Where to look for a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spot {
    part: u32,
    tag: u32,
}

impl Spot {
    /// Keys need not be hashes: multiplication spreads those that are small numbers.
    #[inline]
    pub(super) fn of(key: u64) -> Self {
        let hash = (key ^ key >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { part: (hash >> 56) as u32, tag: (hash >> 20) as u32 }
    }
}

impl Entry {
    fn new(row: u32, tag: u32) -> Self {
        Self(u64::from(tag) << 32 | u64::from(row + 1))
    }

    fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn row(self) -> u32 {
        self.0 as u32 - 1
    }

    fn is_free(self) -> bool {
        self.0 == 0
    }
}

impl Index {
    pub(super) fn new() -> Self {
        let part = Part { entries: vec![Entry::default(); ENTRIES_MIN], len: 0 };
        Self { parts: vec![part; PARTS] }
    }

    /// Has the line fetched that a look-up begins with. Waits for nothing.
    #[inline]
    pub(super) fn prefetch(&self, spot: Spot) {
        let part = &self.parts[spot.part as usize % PARTS];
        prefetch_index(&part.entries, part.home(spot.tag));
    }

    /// The row that this key has, if it has one; its tag may be another's. Reads no row, so that
    /// many can be asked for before the first of them is needed.
    #[inline]
    pub(super) fn likely(&self, spot: Spot) -> Option<u32> {
        self.first(spot, |_| true)
    }

    /// The row of this key.
    pub(super) fn find(&self, spot: Spot, key: u64, rows: &Rows) -> Option<u32> {
        self.first(spot, |row| rows.key(row) == key)
    }

    /// The first row with this tag that is the right one.
    #[inline]
    fn first(&self, spot: Spot, is_right: impl Fn(u32) -> bool) -> Option<u32> {
        let part = &self.parts[spot.part as usize % PARTS];
        let mut at = part.home(spot.tag);
        loop {
            let entry = part.entries[at];
            if entry.is_free() {
                return None;
            }
            if entry.tag() == spot.tag && is_right(entry.row()) {
                return Some(entry.row());
            }
            at = part.after(at);
        }
    }

    /// Remembers a row, whose key must not be there yet.
    pub(super) fn insert(&mut self, spot: Spot, row: u32) {
        let part = &mut self.parts[spot.part as usize % PARTS];
        // Half full: three look-ups in four end where they begin.
        if part.len * 2 >= part.entries.len() {
            let free = vec![Entry::default(); part.entries.len() * 2];
            let entries = std::mem::replace(&mut part.entries, free);
            for entry in entries.into_iter().filter(|entry| !entry.is_free()) {
                part.put(entry);
            }
        }
        part.put(Entry::new(row, spot.tag));
        part.len += 1;
    }

    /// Forgets a row, which must be there.
    pub(super) fn remove(&mut self, spot: Spot, row: u32) {
        let part = &mut self.parts[spot.part as usize % PARTS];
        let gone = Entry::new(row, spot.tag);
        let mut free = part.home(spot.tag);
        while part.entries[free] != gone {
            assert!(!part.entries[free].is_free(), "a row that is remembered is in the index");
            free = part.after(free);
        }
        part.len -= 1;
        // Those behind it move up, unless that would put one before its home.
        let mut at = free;
        loop {
            at = part.after(at);
            let entry = part.entries[at];
            if entry.is_free() {
                break;
            }
            let mask = part.entries.len() - 1;
            let from_home = at.wrapping_sub(part.home(entry.tag())) & mask;
            if from_home >= at.wrapping_sub(free) & mask {
                part.entries[free] = entry;
                free = at;
            }
        }
        part.entries[free] = Entry::default();
    }

    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.entries.len() * size_of::<Entry>()).sum()
    }
}

impl Part {
    #[inline]
    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.entries.len() - 1)
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    fn put(&mut self, entry: Entry) {
        let mut at = self.home(entry.tag());
        while !self.entries[at].is_free() {
            at = self.after(at);
        }
        self.entries[at] = entry;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        /// Against a plain map, with few keys so that they meet in the same places.
        #[test]
        fn finds_what_a_map_finds(steps in prop::collection::vec((1_u64..400, any::<bool>()), 1..1_500)) {
            let (mut index, mut rows, mut map) = (Index::new(), Rows::new(4), BTreeMap::new());
            for (key, put) in steps {
                // All in one part.
                let spot = Spot { part: 3, tag: key as u32 % 7 + (key as u32 / 100) * 8 };
                let found = index.find(spot, key, &rows);
                prop_assert_eq!(found, map.get(&key).copied());
                match (found, put) {
                    (None, true) => {
                        let row = rows.push();
                        rows.get_mut(row)[0] = key;
                        index.insert(spot, row);
                        map.insert(key, row);
                    }
                    (Some(row), false) => {
                        index.remove(spot, row);
                        map.remove(&key);
                    }
                    _ => {}
                }
            }
        }
    }
}
