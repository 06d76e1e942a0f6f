//! Filters: tell in memory that a part of a run does not hold an id. Consumes the ids of a part,
//! produces a binary fuse filter as bytes and back; an id that the part holds is never denied.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | seed |
//! | 8 | 4 | length of a segment, a power of two |
//! | 12 | 4 | length of a segment less one |
//! | 16 | 4 | length of all segments but the last two |
//! | 20 | | fingerprints, one byte each; zeros up to a multiple of 4,096 |

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use millrace_ledger::PaymentId;
use prefetch_index::prefetch_index;
use xorf::{BinaryFuse8, DmaSerializable as _, Filter as _};

use super::layout::ALIGNMENT;
use crate::segment::JournalId;

const DESCRIPTOR_LEN: usize = BinaryFuse8::DESCRIPTOR_LEN;

/// Folds ids to the 64 bits that filters are made of, the same for ever in one journal. The
/// journal's id is in it because clients choose the ids of payments and don't know the journal's:
/// nobody can make many ids that fold to the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    keys: [u64; 2],
}

impl Fold {
    pub(super) fn new(journal: &JournalId) -> Self {
        let journal = u128::from_le_bytes(*journal);
        Self { keys: [journal as u64, (journal >> 64) as u64] }
    }

    pub(super) fn key(self, id: PaymentId) -> u64 {
        mix(mix((id.0 >> 64) as u64 ^ self.keys[0]) ^ id.0 as u64 ^ self.keys[1])
    }
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Makes the filter of these keys. Empty when there is none to be had: a part works without.
pub(super) fn build(keys: &mut Vec<u64>) -> Vec<u8> {
    // Two ids may fold to the same. That happens to one part in millions, and a filter is usually
    // made all the same, so only where it is not are equal keys looked for; the crate insists on it
    // in debug builds.
    let unlike = |keys: &mut Vec<u64>| {
        keys.sort_unstable();
        keys.dedup();
    };
    if cfg!(debug_assertions) {
        unlike(keys);
    }
    let made = BinaryFuse8::try_from(&*keys).or_else(|_| {
        unlike(keys);
        BinaryFuse8::try_from(&*keys)
    });
    let Ok(filter) = made else { return Vec::new() };
    // A payment that its filter denied could be made twice: better no filter than that.
    if !keys.iter().all(|key| filter.contains(key)) {
        return Vec::new();
    }
    let fingerprints = filter.dma_fingerprints();
    let len = (DESCRIPTOR_LEN + fingerprints.len()).next_multiple_of(ALIGNMENT as usize);
    let mut bytes = vec![0; len];
    filter.dma_copy_descriptor_to(&mut bytes[..DESCRIPTOR_LEN]);
    bytes[DESCRIPTOR_LEN..][..fingerprints.len()].copy_from_slice(fingerprints);
    bytes
}

/// Memory that all filters share.
#[derive(Debug)]
pub(super) struct FilterMemory {
    used: AtomicU64,
    max: u64,
}

impl FilterMemory {
    pub(super) fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `len` bytes, if they are left.
    pub(super) fn take(self: &Arc<Self>, len: u64) -> Option<Share> {
        let more = |used: u64| used.checked_add(len).filter(|used| *used <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Share { memory: self.clone(), len })
    }
}

/// Bytes of the shared memory, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<FilterMemory>,
    len: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// A filter in memory.
#[derive(Debug)]
pub(super) struct Filter {
    seed: u64,
    segment: u32,
    segments: u32,
    bytes: Vec<u8>,
    _share: Share,
}

/// What decides whether a filter denies a key: three fingerprints, which are being fetched from
/// memory, and what they must come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    places: [usize; 3],
    fingerprint: u8,
}

impl Filter {
    /// Checks that these bytes are a filter that can be asked. `None` when not.
    pub(super) fn new(bytes: Vec<u8>, share: Share) -> Option<Self> {
        let u32_at = |at: usize| bytes.get(at..)?.first_chunk().map(|it| u32::from_le_bytes(*it));
        let seed = u64::from_le_bytes(*bytes.first_chunk()?);
        let [segment, mask, segments] = [u32_at(8)?, u32_at(12)?, u32_at(16)?];
        let fingerprints_len = u64::from(segments) + 2 * u64::from(segment);
        let well_formed = segment.is_power_of_two()
            && mask == segment - 1
            && segments.is_multiple_of(segment)
            && DESCRIPTOR_LEN as u64 + fingerprints_len <= bytes.len() as u64;
        well_formed.then_some(Self { seed, segment, segments, bytes, _share: share })
    }

    /// Where this key's fingerprints are. The way to them is `xorf`'s, whose `contains` would wait
    /// for each filter before the next can be asked.
    pub(super) fn question(&self, key: u64) -> Question {
        let hash = mix_as_xorf(key.wrapping_add(self.seed));
        let (segment, mask) = (self.segment as usize, self.segment as usize - 1);
        let first = ((u128::from(hash) * u128::from(self.segments)) >> 64) as usize;
        let second = (first + segment) ^ ((hash >> 18) as usize & mask);
        let third = (first + 2 * segment) ^ (hash as usize & mask);
        let places = [first, second, third].map(|place| DESCRIPTOR_LEN + place);
        places.iter().for_each(|place| prefetch_index(&self.bytes, *place));
        Question { places, fingerprint: (hash ^ (hash >> 32)) as u8 }
    }

    /// Whether the part may hold the id with the key that was asked for. `false` is certain.
    pub(super) fn may_hold(&self, question: &Question) -> bool {
        let found = question.places.iter().fold(0, |found, place| found ^ self.bytes[*place]);
        found == question.fingerprint
    }
}

/// The finalizer of MurmurHash3.
fn mix_as_xorf(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use xorf::{BinaryFuse8Ref, FilterRef as _};

    use super::*;

    #[test]
    fn answers_are_those_of_the_crate_that_made_it() {
        let memory = Arc::new(FilterMemory::new(u64::MAX));
        for count in [1_u64, 2, 3, 10, 1_000, 70_000] {
            let mut keys: Vec<u64> = (0..count).map(mix).collect();
            // Equal ones do no harm.
            keys.extend_from_within(..count.min(3) as usize);
            let bytes = build(&mut keys);
            let len = Descriptor::of(&bytes).fingerprints_len();
            let naive_bytes = bytes.clone();
            let (descriptor, rest) = naive_bytes.split_at(DESCRIPTOR_LEN);
            let naive = BinaryFuse8Ref::from_dma(descriptor, &rest[..len]);
            let filter = Filter::new(bytes, memory.take(1).expect("enough")).expect("well formed");
            let mut held = 0;
            for key in (0..count + 5_000).map(mix) {
                let may_hold = filter.may_hold(&filter.question(key));
                assert_eq!(may_hold, naive.contains(&key), "{key} among {count}");
                held += u64::from(may_hold);
            }
            assert!((count..count + 100).contains(&held), "{held} of {count}, and 5,000 others");
        }
    }

    /// The numbers before the fingerprints.
    struct Descriptor {
        segment: usize,
        segments: usize,
    }

    impl Descriptor {
        fn of(bytes: &[u8]) -> Self {
            let at = |at: usize| {
                u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
            };
            Self { segment: at(8), segments: at(16) }
        }

        fn fingerprints_len(&self) -> usize {
            self.segments + 2 * self.segment
        }
    }
}
