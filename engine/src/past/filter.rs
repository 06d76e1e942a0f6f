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
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable as _, Filter as _, FilterRef as _};

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
    bytes: Vec<u8>,
    fingerprints_len: usize,
    _share: Share,
}

impl Filter {
    /// Checks that these bytes are a filter that can be asked. `None` when not.
    pub(super) fn new(bytes: Vec<u8>, share: Share) -> Option<Self> {
        let u32_at = |at: usize| {
            bytes.get(at..)?.first_chunk().map(|chunk| u64::from(u32::from_le_bytes(*chunk)))
        };
        let [segment, mask, segments] = [u32_at(8)?, u32_at(12)?, u32_at(16)?];
        let fingerprints_len = usize::try_from(segments + 2 * segment).ok()?;
        let well_formed = segment.is_power_of_two()
            && mask == segment - 1
            && segments.is_multiple_of(segment)
            && DESCRIPTOR_LEN + fingerprints_len <= bytes.len();
        well_formed.then_some(Self { bytes, fingerprints_len, _share: share })
    }

    /// Whether the part may hold the id with this key. `false` is certain.
    pub(super) fn may_hold(&self, key: u64) -> bool {
        let (descriptor, rest) = self.bytes.split_at(DESCRIPTOR_LEN);
        BinaryFuse8Ref::from_dma(descriptor, &rest[..self.fingerprints_len]).contains(&key)
    }
}
