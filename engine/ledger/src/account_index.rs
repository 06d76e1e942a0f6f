//! Finds the number that an account with this id would have: consumes an id, produces a candidate.
//!
//! Accounts are looked up twice per payment and are spread over far more memory than any cache
//! holds, so a look-up touches one cache line, look-ups are made in bulk, and lines hold as many
//! accounts as they can: of each, 32 bits of its id's hash and its number. Guarantees that an
//! account that is here is found under its number, exactly. An id that is not here may be taken for
//! one that is: whoever uses a candidate compares its id, which lies beside the balances.
//!
//! The table grows bucket by bucket (linear hashing; Litwin 1980), so that nothing ever waits for
//! all of it to be built again, in chunks that huge pages can back.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{store::Store, stored::NO_ACCOUNT};

const BUCKET_ENTRIES: usize = 7;
/// Accounts per bucket on average: a bucket that was not split for long has up to twice as many,
/// and still seldom more than it has room for.
const BUCKET_ACCOUNTS_MEAN: usize = 2;

/// One cache line: the hashes of seven ids, with their numbers.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket {
    hashes: [u32; BUCKET_ENTRIES],
    /// [`NO_ACCOUNT`] where there is none.
    slots: [u32; BUCKET_ENTRIES],
    used: u32,
    /// Whether some accounts of this bucket are in [`AccountIndex::apart`].
    apart: Apart,
}

/// Accounts that their bucket does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
enum Apart {
    None,
    /// There was no room for them. No account of the bucket has the hash of one of them.
    NoRoom,
    /// Some have the hash of another account.
    SameHash,
}

const _: () = assert!(size_of::<Bucket>() == 64, "one cache line per bucket");

impl Bucket {
    const EMPTY: Self = Self {
        hashes: [0; BUCKET_ENTRIES],
        slots: [NO_ACCOUNT; BUCKET_ENTRIES],
        used: 0,
        apart: Apart::None,
    };

    /// All entries, without a branch: which of them it is can't be predicted.
    #[inline]
    fn find(&self, hash: u32) -> u32 {
        let entries = self.hashes.iter().zip(&self.slots);
        entries
            .fold(NO_ACCOUNT, |found, (it, slot)| if *it == hash { found & *slot } else { found })
    }

    /// Says where the account is now: here, or it has to be kept apart.
    fn put(&mut self, hash: u32, slot: u32) -> Apart {
        let place = self.used as usize;
        let apart = if self.hashes[..place].contains(&hash) {
            Apart::SameHash
        } else if place == BUCKET_ENTRIES {
            Apart::NoRoom
        } else {
            (self.hashes[place], self.slots[place]) = (hash, slot);
            self.used += 1;
            Apart::None
        };
        self.apart = self.apart.max(apart);
        apart
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct AccountIndex {
    /// At least half as many as hashes that `mask` tells apart, and at most as many.
    buckets: Store<Bucket>,
    mask: u32,
    len: usize,
    /// By bucket: accounts that it has no room for, or another one with the same hash as.
    apart: HashMap<u32, Vec<(u128, u32)>, FixedState>,
    hasher: FixedState,
    /// Bits of a hash that are looked at.
    hash_mask: u32,
}

/// Where to look for an id.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    bucket: u32,
    hash: u32,
}

impl AccountIndex {
    /// The seed keeps whoever chooses ids from aiming at one bucket. Fewer bits than 32 of a hash
    /// make ids with equal ones, for tests.
    pub(crate) fn new(seed: u64, hash_bits: u32) -> Self {
        let mut buckets = Store::default();
        buckets.push(Bucket::EMPTY);
        let hasher = FixedState::with_seed(seed);
        let apart = HashMap::with_hasher(hasher.clone());
        let hash_mask = ((1_u64 << hash_bits.min(32)) - 1) as u32;
        Self { buckets, mask: 0, len: 0, apart, hasher, hash_mask }
    }

    #[inline]
    fn spot(&self, id: u128) -> Spot {
        let hash = self.hasher.hash_one(id) as u32 & self.hash_mask;
        Spot { bucket: self.bucket(hash), hash }
    }

    #[inline]
    fn bucket(&self, hash: u32) -> u32 {
        let bucket = hash & self.mask;
        // Not split off yet.
        let whole = bucket & (self.mask >> 1);
        if (bucket as usize) < self.buckets.len() { bucket } else { whole }
    }

    /// The number of this account, or of another one if there is no such account.
    pub(crate) fn find(&self, id: u128) -> Option<u32> {
        let found = self.find_at(self.spot(id), id);
        (found != NO_ACCOUNT).then_some(found)
    }

    /// Where to look for an id, whose line is being fetched when this returns.
    #[inline]
    pub(crate) fn fetch(&self, id: u128) -> Spot {
        let spot = self.spot(id);
        self.buckets.prefetch(spot.bucket);
        spot
    }

    /// As [`Self::find`]; [`NO_ACCOUNT`] where there is none.
    #[inline]
    pub(crate) fn find_at(&self, spot: Spot, id: u128) -> u32 {
        let bucket = self.buckets.get(spot.bucket);
        let found = bucket.find(spot.hash);
        match bucket.apart {
            Apart::None => found,
            Apart::NoRoom if found != NO_ACCOUNT => found,
            Apart::NoRoom | Apart::SameHash => self.find_apart(spot, id).unwrap_or(found),
        }
    }

    #[cold]
    fn find_apart(&self, spot: Spot, id: u128) -> Option<u32> {
        let apart = self.apart.get(&spot.bucket)?;
        apart.iter().find(|(it, _)| *it == id).map(|(_, slot)| *slot)
    }

    /// Remembers an account, which must not be there yet.
    pub(crate) fn insert(&mut self, id: u128, slot: u32) {
        self.put(id, slot);
        self.len += 1;
        if self.len > self.buckets.len() * BUCKET_ACCOUNTS_MEAN {
            self.split();
        }
    }

    fn put(&mut self, id: u128, slot: u32) {
        let Spot { bucket: at, hash } = self.spot(id);
        if self.buckets.get_mut(at).put(hash, slot) != Apart::None {
            self.apart.entry(at).or_default().push((id, slot));
        }
    }

    /// Adds a bucket: half of what one other holds belongs there.
    fn split(&mut self) {
        let added = self.buckets.push(Bucket::EMPTY);
        if added > self.mask {
            self.mask = self.mask << 1 | 1;
        }
        let from = added & (self.mask >> 1);
        let before = std::mem::replace(self.buckets.get_mut(from), Bucket::EMPTY);
        for entry in 0..before.used as usize {
            let (hash, slot) = (before.hashes[entry], before.slots[entry]);
            let bucket = self.bucket(hash);
            let put = self.buckets.get_mut(bucket).put(hash, slot);
            assert!(put == Apart::None, "an empty bucket has room for what another one had");
        }
        for (id, slot) in self.apart.remove(&from).unwrap_or_default() {
            self.put(id, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Against a plain map, while it grows, in bulk and one by one; with hashes of all lengths, down
    /// to none at all, where every id is told apart by nothing but itself.
    #[test]
    fn finds_what_a_map_finds() {
        for (hash_bits, accounts) in [(32, 60_000), (14, 20_000), (5, 2_000), (0, 300)] {
            let mut index = AccountIndex::new(3, hash_bits);
            let mut map = BTreeMap::new();
            let ids = (1..accounts).map(|n: u128| match n % 3 {
                0 => n,
                1 => n << 90,
                _ => n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            });
            for (slot, id) in ids.enumerate() {
                // Not there: nothing, or another account.
                assert_ne!(index.find(id), Some(slot as u32));
                index.insert(id, slot as u32);
                map.insert(id, slot as u32);
                assert_eq!(index.find(id), Some(slot as u32));
            }
            let spots: Vec<_> = map.keys().map(|id| index.fetch(*id)).collect();
            for ((id, slot), spot) in map.iter().zip(spots) {
                assert_eq!(index.find_at(spot, *id), *slot, "{hash_bits} bits");
            }
            let unknown = map.keys().map(|id| id ^ 1 << 70);
            let taken_for_others = unknown.filter(|id| index.find(*id).is_some()).count();
            // 32 bits of 60,000 ids: one is to be expected.
            assert_eq!(taken_for_others > 100, hash_bits < 32, "{hash_bits} bits");
        }
    }
}
