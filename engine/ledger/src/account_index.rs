//! Finds the number of an account by its id.
//!
//! Accounts are looked up twice per payment and are spread over far more memory than any cache
//! holds, so a look-up touches one cache line, and look-ups are made in bulk: lines are fetched
//! well before they are needed.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use prefetch_index::prefetch_index;

/// Tables that grow one at a time: each pause is a hundredth of what growing one table would take.
const PARTS: usize = 256;
const BUCKET_ENTRIES: usize = 3;

/// One cache line: three ids with their numbers. One that is full goes on in the next.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    ids: [[u32; 4]; BUCKET_ENTRIES],
    slots: [u32; BUCKET_ENTRIES],
    used: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64, "one cache line per bucket");

#[derive(Clone, Debug)]
struct Part {
    /// A power of two of them.
    buckets: Vec<Bucket>,
    len: usize,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct AccountIndex {
    parts: Vec<Part>,
    hasher: FixedState,
}

/// Where to look for an id.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    part: u32,
    bucket: u32,
}

impl AccountIndex {
    /// The seed keeps whoever chooses ids from aiming at one bucket.
    pub(crate) fn new(seed: u64) -> Self {
        let part = Part { buckets: vec![Bucket::default()], len: 0 };
        Self { parts: vec![part; PARTS], hasher: FixedState::with_seed(seed) }
    }

    #[inline]
    fn spot(&self, id: u128) -> Spot {
        let hash = self.hasher.hash_one(id);
        let part = (hash >> 56) as usize % PARTS;
        let bucket = (hash as usize) & (self.parts[part].buckets.len() - 1);
        Spot { part: part as u32, bucket: bucket as u32 }
    }

    /// The number of this account.
    pub(crate) fn find(&self, id: u128) -> Option<u32> {
        self.find_at(self.spot(id), id)
    }

    /// Where to look for an id, whose line is being fetched when this returns.
    #[inline]
    pub(crate) fn fetch(&self, id: u128) -> Spot {
        let spot = self.spot(id);
        prefetch_index(&self.parts[spot.part as usize].buckets, spot.bucket as usize);
        spot
    }

    #[inline]
    pub(crate) fn find_at(&self, spot: Spot, id: u128) -> Option<u32> {
        // What an entry that is not used looks like.
        if id == 0 {
            return None;
        }
        let buckets = &self.parts[spot.part as usize].buckets;
        let mut at = spot.bucket as usize;
        loop {
            let bucket = &buckets[at];
            // All entries, without a branch: which of them it is can't be predicted.
            let mut found = u64::MAX;
            for entry in 0..BUCKET_ENTRIES {
                let is_it = number(bucket.ids[entry]) == id;
                found = if is_it { u64::from(bucket.slots[entry]) } else { found };
            }
            if found != u64::MAX {
                return Some(found as u32);
            }
            if (bucket.used as usize) < BUCKET_ENTRIES {
                return None;
            }
            at = (at + 1) & (buckets.len() - 1);
        }
    }

    /// Remembers an account, which must not be there yet. Its id is not zero.
    pub(crate) fn insert(&mut self, id: u128, slot: u32) {
        let part = self.spot(id).part as usize;
        // Two thirds full: one look-up in ten goes on in the next bucket.
        if self.parts[part].len * 3 >= self.parts[part].buckets.len() * BUCKET_ENTRIES * 2 {
            self.grow(part);
        }
        let spot = self.spot(id);
        self.parts[part].put(spot.bucket as usize, words(id), slot);
    }

    fn grow(&mut self, part: usize) {
        let len = self.parts[part].buckets.len() * 2;
        let larger = Part { buckets: vec![Bucket::default(); len], len: 0 };
        let smaller = std::mem::replace(&mut self.parts[part], larger);
        for bucket in &smaller.buckets {
            for entry in 0..bucket.used as usize {
                let spot = self.spot(number(bucket.ids[entry]));
                self.parts[part].put(spot.bucket as usize, bucket.ids[entry], bucket.slots[entry]);
            }
        }
    }
}

impl Part {
    fn put(&mut self, mut at: usize, id: [u32; 4], slot: u32) {
        while self.buckets[at].used as usize == BUCKET_ENTRIES {
            at = (at + 1) & (self.buckets.len() - 1);
        }
        let bucket = &mut self.buckets[at];
        bucket.ids[bucket.used as usize] = id;
        bucket.slots[bucket.used as usize] = slot;
        bucket.used += 1;
        self.len += 1;
    }
}

/// Compares without a call, which an array's own comparison would be.
#[inline]
pub(crate) fn same(one: [u32; 4], other: [u32; 4]) -> bool {
    number(one) == number(other)
}

#[inline]
pub(crate) fn words(id: u128) -> [u32; 4] {
    [id as u32, (id >> 32) as u32, (id >> 64) as u32, (id >> 96) as u32]
}

#[inline]
pub(crate) fn number([a, b, c, d]: [u32; 4]) -> u128 {
    u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64 | u128::from(d) << 96
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Against a plain map, while it grows, in bulk and one by one.
    #[test]
    fn finds_what_a_map_finds() {
        let mut index = AccountIndex::new(3);
        let mut map = BTreeMap::new();
        let ids = (1..60_000_u128).map(|n| match n % 3 {
            0 => n,
            1 => n << 90,
            _ => n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        });
        for (slot, id) in ids.enumerate() {
            assert_eq!(index.find(id), None);
            index.insert(id, slot as u32);
            map.insert(id, slot as u32);
            assert_eq!(index.find(id), Some(slot as u32));
        }
        assert_eq!(index.find(0), None);
        let ids: Vec<_> = map.keys().flat_map(|id| [*id, id ^ (1 << 70)]).collect();
        let spots: Vec<_> = ids.iter().map(|id| index.fetch(*id)).collect();
        for (id, spot) in ids.iter().zip(spots) {
            assert_eq!(index.find_at(spot, *id), map.get(id).copied());
            assert_eq!(number(words(*id)), *id);
        }
    }
}
