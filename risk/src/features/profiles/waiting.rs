//! Waiting payments: consumes payments and reported frauds, produces honest payments, because
//! nobody reports those: who was not reported within some time is taken for honest.
//!
//! A payment waits in the bucket of its time; one that is reported as fraud is taken out. When the
//! end of a bucket is as old as honest payments must be, all that still wait in it become honest at
//! once, as of then: up to a bucket later than each alone would. Of their times only the newest is
//! known, rounded down to the least power of two of nanoseconds of which 65,536 are a bucket (0.55 s
//! for six hours); if that payment was taken out, the bucket's beginning stands for it. A payment that comes when its bucket has ended waiting is honest at
//! once.
//!
//! This is done when the entity is next seen or labelled, before anything else, and is the same as
//! if it had been done in time. A wrong clock that says a label is of the far future ends the
//! waiting of all.

use super::runs::Runs;
use crate::features::Entity;

/// Parts of a bucket that times are told apart by, at most.
const PARTS: u64 = 1 << 16;
/// Bits of a slot: payments that wait in the lower half, the newest one's part in the upper one.
const SLOT_BITS: u64 = 32;
const COUNT: u64 = 0xffff;
const NEWEST_SHIFT: u32 = 16;

/// What waits for each entity of a kind.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    honest_after_ns: u64,
    bucket_ns: u64,
    /// Parts are `1 << part_shift` nanoseconds, because a division takes longer than a shift.
    part_shift: u32,
    /// As many as buckets can wait at the same time, rounded up to a power of two. Two take a word.
    slots: u64,
    /// Word of the first bucket that still waits; the slots follow it.
    pub(super) base: usize,
}

impl Waiting {
    /// None where honest payments are reported.
    pub(super) fn of(entity: &Entity) -> Option<Self> {
        let honest_after_ns = entity.honest_after?.ns();
        let bucket_ns = entity.honest_bucket.ns();
        let slots = (honest_after_ns.div_ceil(bucket_ns) + 1).next_power_of_two();
        let part_shift = bucket_ns.div_ceil(PARTS).next_power_of_two().ilog2();
        Some(Self { honest_after_ns, bucket_ns, part_shift, slots, base: 0 })
    }

    pub(super) fn words(&self) -> usize {
        1 + self.slots as usize / 2
    }

    /// The first bucket whose end is not old enough.
    fn first_at(&self, now: u64) -> u64 {
        now.saturating_sub(self.honest_after_ns) / self.bucket_ns
    }

    pub(super) fn begin(&self, row: &mut [u64], at: u64) {
        row[self.base] = self.first_at(at);
    }

    /// Word and shift of a bucket's slot.
    #[inline]
    fn slot(&self, bucket: u64) -> (usize, u64) {
        let slot = bucket & (self.slots - 1);
        (self.base + 1 + (slot / 2) as usize, slot % 2 * SLOT_BITS)
    }

    /// Ends the waiting of all that is old enough.
    #[inline]
    pub(super) fn settle(&self, runs: &[Runs], row: &mut [u64], now: u64) {
        let first = row[self.base];
        // Most payments find nothing due, and are spared the division.
        if now < ((first + 1) * self.bucket_ns).saturating_add(self.honest_after_ns) {
            return;
        }
        let end = self.first_at(now);
        row[self.base] = end;
        // None but these have anything in them.
        for bucket in first..end.min(first + self.slots) {
            let (word, shift) = self.slot(bucket);
            let waited = row[word] >> shift;
            let count = waited & COUNT;
            if count > 0 {
                let part = waited >> NEWEST_SHIFT & (PARTS - 1);
                let newest = bucket * self.bucket_ns + (part << self.part_shift);
                runs.iter().for_each(|runs| runs.unreported(row, count, newest));
            }
            row[word] &= !(u64::from(u32::MAX) << shift);
        }
    }

    /// Lets a payment wait. The profile is settled as of it.
    #[inline]
    pub(super) fn add(&self, runs: &[Runs], row: &mut [u64], at: u64) {
        let bucket = at / self.bucket_ns;
        if bucket < row[self.base] {
            return runs.iter().for_each(|runs| runs.unreported(row, 1, at));
        }
        let (word, shift) = self.slot(bucket);
        let slot = row[word] >> shift;
        // More than 65,535 in one bucket count as so many: an average has long forgotten the rest.
        let count = (slot & COUNT).saturating_add(1).min(COUNT);
        let newest = self.part(at).max(slot >> NEWEST_SHIFT & (PARTS - 1));
        self.put(row, (word, shift), newest << NEWEST_SHIFT | count);
    }

    /// Takes out a payment that was reported, if it still waits. The profile is settled as of the
    /// report.
    pub(super) fn take(&self, row: &mut [u64], paid_at: u64) {
        let bucket = paid_at / self.bucket_ns;
        if bucket < row[self.base] {
            return;
        }
        let (word, shift) = self.slot(bucket);
        let slot = row[word] >> shift;
        let newest = slot >> NEWEST_SHIFT & (PARTS - 1);
        let newest = if newest == self.part(paid_at) { 0 } else { newest };
        self.put(row, (word, shift), newest << NEWEST_SHIFT | (slot & COUNT).saturating_sub(1));
    }

    /// The part of its bucket that a time is in.
    #[inline]
    fn part(&self, at: u64) -> u64 {
        (at % self.bucket_ns) >> self.part_shift
    }

    #[inline]
    fn put(&self, row: &mut [u64], (word, shift): (usize, u64), slot: u64) {
        row[word] = row[word] & !(u64::from(u32::MAX) << shift) | slot << shift;
    }
}
