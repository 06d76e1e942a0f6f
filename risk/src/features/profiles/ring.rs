//! Rings: consumes payments and labels, keeps sums that are exact to a bucket of time.
//!
//! The window is the bucket that its end is in and as many full ones before it as fit; shifted by
//! a delay, it is as many buckets before the one that its end is in, because that one has payments
//! whose labels are not due. What a bucket holds is taken from the sums when it leaves the window,
//! and sums are whole numbers, so nothing is left behind.

use super::{
    moments::{Moments, from_fixed, to_fixed},
    sketch::{self, SKETCH_WORDS},
};

/// Words of the head: newest bucket, then count, sum and frauds of the window.
const NEWEST: usize = 0;
const TOTALS: usize = 1;
const HEAD_WORDS: usize = 4;
/// Words of a bucket that every ring has: count, sum, frauds.
const COUNT: usize = 0;
const SUM: usize = 1;
const FRAUDS: usize = 2;
const BUCKET_WORDS: usize = 3;

/// One ring of a kind of entity.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    pub(super) bucket_ns: u64,
    /// Buckets in the window.
    pub(super) span: u64,
    /// Buckets between now and the window.
    pub(super) lag: u64,
    pub(super) base: usize,
    /// Whether squares, least and greatest amounts are kept.
    pub(super) has_spread: bool,
    /// The kind of entity that is counted, by place.
    pub(super) counted: Option<usize>,
}

impl Ring {
    fn slots(&self) -> u64 {
        self.span + self.lag
    }

    /// Squares, least, greatest.
    fn spread_words(&self) -> usize {
        if self.has_spread { 3 } else { 0 }
    }

    fn bucket_words(&self) -> usize {
        let sketch = if self.counted.is_some() { SKETCH_WORDS } else { 0 };
        BUCKET_WORDS + self.spread_words() + sketch
    }

    pub(super) fn words(&self) -> usize {
        HEAD_WORDS + self.slots() as usize * self.bucket_words()
    }

    pub(super) fn begin(&self, row: &mut [u64], at: u64) {
        row[self.base + NEWEST] = at / self.bucket_ns;
    }

    /// Word that a bucket begins with.
    fn place(&self, bucket: u64) -> usize {
        self.base + HEAD_WORDS + (bucket % self.slots()) as usize * self.bucket_words()
    }

    /// Moves the window on to this time.
    pub(super) fn advance(&self, row: &mut [u64], now: u64) {
        let (newest, to) = (row[self.base + NEWEST], now / self.bucket_ns);
        if to <= newest {
            return;
        }
        row[self.base + NEWEST] = to;
        if to - newest >= self.slots() {
            row[self.base + TOTALS..self.base + self.words()].fill(0);
            return;
        }
        for bucket in newest + 1..=to {
            // The one that leaves the window had the place of the one that comes.
            let place = self.place(bucket);
            for word in 0..BUCKET_WORDS {
                let total = self.base + TOTALS + word;
                row[total] = row[total].wrapping_sub(row[place + word]);
            }
            row[place..place + self.bucket_words()].fill(0);
            if self.lag > 0 && bucket >= self.lag {
                let enters = self.place(bucket - self.lag);
                for word in 0..BUCKET_WORDS {
                    let total = self.base + TOTALS + word;
                    row[total] = row[total].wrapping_add(row[enters + word]);
                }
            }
        }
    }

    /// Where a time's bucket is, and whether it is in the window; none if it is out of reach.
    fn reach(&self, row: &[u64], at: u64) -> Option<(usize, bool)> {
        let bucket = at / self.bucket_ns;
        let age = row[self.base + NEWEST].checked_sub(bucket)?;
        (age < self.slots()).then(|| (self.place(bucket), age >= self.lag))
    }

    fn count(&self, row: &mut [u64], place: usize, in_window: bool, word: usize, added: u64) {
        row[place + word] = row[place + word].wrapping_add(added);
        if in_window {
            let total = self.base + TOTALS + word;
            row[total] = row[total].wrapping_add(added);
        }
    }

    /// Adds a payment, unless it is older than what is kept.
    pub(super) fn add(&self, row: &mut [u64], at: u64, amount: f64, counted: u64) {
        let Some((place, in_window)) = self.reach(row, at) else { return };
        if self.has_spread {
            let is_first = row[place + COUNT] == 0;
            let spread = &mut row[place + BUCKET_WORDS..][..3];
            let [square, min, max] = [0, 1, 2].map(|word| f64::from_bits(spread[word]));
            spread[0] = (square + amount * amount).to_bits();
            spread[1] = if is_first { amount } else { min.min(amount) }.to_bits();
            spread[2] = if is_first { amount } else { max.max(amount) }.to_bits();
        }
        self.count(row, place, in_window, COUNT, 1);
        self.count(row, place, in_window, SUM, to_fixed(amount) as u64);
        if counted != 0 && self.counted.is_some() {
            let from = place + BUCKET_WORDS + self.spread_words();
            sketch::add(&mut row[from..from + SKETCH_WORDS], counted);
        }
    }

    /// Adds a fraud that was paid at this time, or takes one back.
    pub(super) fn report(&self, row: &mut [u64], paid_at: u64, is_fraud: bool) {
        let Some((place, in_window)) = self.reach(row, paid_at) else { return };
        if is_fraud {
            self.count(row, place, in_window, FRAUDS, 1);
        } else if row[place + FRAUDS] > 0 {
            self.count(row, place, in_window, FRAUDS, 1_u64.wrapping_neg());
        }
    }

    /// What the window holds.
    pub(super) fn read(&self, row: &[u64]) -> Moments {
        let [count, sum, frauds] = [COUNT, SUM, FRAUDS].map(|word| row[self.base + TOTALS + word]);
        let mut moments = Moments {
            count: count as f64,
            sum: from_fixed(sum as i64),
            frauds: frauds as f64,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            ..Moments::default()
        };
        let mut sketch = [0; SKETCH_WORDS];
        if self.has_spread || self.counted.is_some() {
            for age in self.lag..self.slots() {
                let place = self.place(row[self.base + NEWEST].wrapping_sub(age));
                if row[place + COUNT] > 0 {
                    self.read_bucket(row, place, &mut moments, &mut sketch);
                }
            }
        }
        if self.counted.is_some() {
            moments.distinct = sketch::estimate(&sketch);
        }
        moments
    }

    fn read_bucket(
        &self,
        row: &[u64],
        place: usize,
        moments: &mut Moments,
        sketch: &mut [u64; SKETCH_WORDS],
    ) {
        let spread = place + BUCKET_WORDS;
        if self.has_spread {
            let [square, min, max] = [0, 1, 2].map(|word| f64::from_bits(row[spread + word]));
            moments.square += square;
            moments.min = moments.min.min(min);
            moments.max = moments.max.max(max);
        }
        if self.counted.is_some() {
            let from = spread + self.spread_words();
            sketch::merge(sketch, &row[from..from + SKETCH_WORDS]);
        }
    }
}
