//! Delayed counters: consumes payments and labels, keeps decayed counts of what is older than the
//! delay in which labels arrive.
//!
//! A payment waits in the bucket of its time until the whole bucket is older than the delay; then
//! the bucket counts as if all of it had been paid in its middle. A fraud that is reported early
//! waits in the bucket of its payment, one that is reported late counts what its age leaves. So
//! frauds and payments are always of the same span, to a bucket.

use super::{
    decayed::{Decayed, Left, add_to, take_from},
    rows::LAST,
};

/// What waits, and the counters that it goes to.
#[derive(Clone, Debug)]
pub(super) struct Delayed {
    pub(super) delay_ns: u64,
    pub(super) bucket_ns: u64,
    /// Words that the buckets take: `delay / bucket + 1`.
    pub(super) slots: u64,
    /// Word of the first bucket that still waits; the buckets follow it. A bucket has payments in
    /// the lower half of its word, and frauds in the upper one.
    pub(super) base: usize,
    /// Words of the counters, with their windows by place.
    pub(super) payments: Vec<(u16, u8)>,
    pub(super) frauds: Vec<(u16, u8)>,
}

const FRAUD: u64 = 1 << 32;

impl Delayed {
    pub(super) fn words(&self) -> usize {
        1 + self.slots as usize
    }

    /// The first bucket that is not older than the delay as a whole.
    fn waiting_at(&self, now: u64) -> u64 {
        now.saturating_sub(self.delay_ns) / self.bucket_ns
    }

    pub(super) fn begin(&self, row: &mut [u64], at: u64) {
        row[self.base] = self.waiting_at(at);
    }

    #[inline]
    fn slot(&self, bucket: u64) -> usize {
        self.base + 1 + (bucket % self.slots) as usize
    }

    /// Lets go of what has waited long enough. The counters are as of `now` already.
    #[inline]
    pub(super) fn advance(&self, decayed: &Decayed, row: &mut [u64], now: u64) {
        let (from, to) = (row[self.base], self.waiting_at(now));
        if to <= from {
            return;
        }
        // None but these have anything in them.
        for bucket in from..to.min(from.saturating_add(self.slots)) {
            let slot = self.slot(bucket);
            let waited = std::mem::take(&mut row[slot]);
            if waited != 0 {
                self.count(decayed, row, now, bucket, waited);
            }
        }
        row[self.base] = to;
    }

    /// Adds a payment, or a fraud, of this time.
    pub(super) fn add(&self, decayed: &Decayed, row: &mut [u64], at: u64, is_fraud: bool) {
        let bucket = at / self.bucket_ns;
        let added = if is_fraud { FRAUD } else { 1 };
        if bucket < row[self.base] {
            return self.count(decayed, row, row[LAST], bucket, added);
        }
        let word = &mut row[self.slot(bucket)];
        // 2^32 payments of one entity in one bucket are a wrong clock.
        let full = if is_fraud { *word >> 32 } else { *word & (FRAUD - 1) } == FRAUD - 1;
        *word += if full { 0 } else { added };
    }

    /// Takes a fraud of this time out again, from where it is by now.
    pub(super) fn take_back(&self, decayed: &Decayed, row: &mut [u64], at: u64) {
        let bucket = at / self.bucket_ns;
        if bucket < row[self.base] {
            let left = self.left(decayed, row[LAST], bucket);
            for (word, rate) in &self.frauds {
                take_from(row, *word, left[usize::from(*rate)]);
            }
            return;
        }
        let word = &mut row[self.slot(bucket)];
        *word -= if *word >= FRAUD { FRAUD } else { 0 };
    }

    /// What is left of a payment in this bucket, which waits no longer.
    fn left(&self, decayed: &Decayed, now: u64, bucket: u64) -> Left {
        let middle = bucket * self.bucket_ns + self.bucket_ns / 2;
        decayed.left(now.saturating_sub(self.delay_ns).saturating_sub(middle))
    }

    fn count(&self, decayed: &Decayed, row: &mut [u64], now: u64, bucket: u64, waited: u64) {
        let left = self.left(decayed, now, bucket);
        let (payments, frauds) = ((waited & (FRAUD - 1)) as f64, (waited >> 32) as f64);
        for (word, rate) in &self.payments {
            add_to(row, *word, payments * left[usize::from(*rate)]);
        }
        for (word, rate) in &self.frauds {
            add_to(row, *word, frauds * left[usize::from(*rate)]);
        }
    }
}
