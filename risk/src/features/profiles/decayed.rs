//! Decayed counters: consumes payments, keeps sums in which a payment of age `a` counts
//! `exp(-a / window)`.
//!
//! The counters of a profile are as of its newest payment. One that comes late is added with the
//! weight that its age leaves, so the order in which payments arrive does not matter.
//!
//! They are f64: an f32 of 2^24 payments would not notice one more, and would stay there for ever.

use super::moments::ratio;
use crate::features::{Span, arithmetic::exp2_neg};

/// Different windows that the counters of one kind of entity may have.
pub(super) const RATES_MAX: usize = 8;
/// Different amounts that may be added up.
pub(super) const SOURCES_MAX: usize = 16;

/// What a payment adds to a counter, by place among a payment's values.
pub(super) const ONE: u8 = 0;
pub(super) const AMOUNT: u8 = 1;
pub(super) const SQUARE: u8 = 2;
/// Payments add nothing: labels do, or a delay that is over.
pub(super) const NOTHING: u8 = 3;
const CONDITIONS: usize = 4;

/// Word of the first counter.
pub(super) const COUNTERS: usize = 2;

/// A counter of a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counter {
    /// Its window, by place among the rates.
    pub(super) rate: u8,
    pub(super) source: u8,
}

/// A condition that a payment meets or not: then it adds one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Condition {
    Above(f64),
    /// More than so many times the mean: words of the count and of the sum.
    Unusual {
        times: f64,
        count: u16,
        sum: u16,
    },
}

/// A greatest value that fades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fading {
    pub(super) word: u16,
    pub(super) rate: u8,
    /// Of the amount, or of its ratio to the mean: words of the count and of the sum.
    pub(super) ratio_to: Option<(u16, u16)>,
}

/// The counters of a kind of entity.
#[derive(Clone, Debug, Default)]
pub(super) struct Decayed {
    /// Halvings per nanosecond, of each window.
    pub(super) rates: Vec<f64>,
    /// The same, so many side by side, with zeros behind them: read as vectors, because a vector that was
    /// just written number by number has to wait until all of them have left for memory.
    lanes: Vec<[f64; LANES]>,
    pub(super) counters: Vec<Counter>,
    pub(super) conditions: Vec<Condition>,
    pub(super) fading: Vec<Fading>,
}

/// What is left of something after some time, for each window.
pub(super) type Left = [f64; RATES_MAX];

/// Windows whose exponentials are computed at a time.
const LANES: usize = 4;

impl Decayed {
    /// Halvings per nanosecond: `exp(-a / window)` is `2^(-a log2(e) / window)`.
    pub(super) fn rate(window: Span) -> f64 {
        match window {
            Span::Ever => 0.0,
            Span::Seconds(_) => std::f64::consts::LOG2_E / window.ns() as f64,
        }
    }

    /// All windows are known.
    pub(super) fn finish(&mut self) {
        let lanes = |rates: &[f64]| {
            let mut lanes = [0.0; LANES];
            lanes[..rates.len()].copy_from_slice(rates);
            lanes
        };
        self.lanes = self.rates.chunks(LANES).map(lanes).collect();
    }

    /// How much is left after so many nanoseconds, of each window.
    #[inline(always)]
    pub(super) fn left(&self, age_ns: u64) -> Left {
        let age = age_ns as f64;
        let mut left = [1.0; RATES_MAX];
        for (left, rates) in left.as_chunks_mut::<LANES>().0.iter_mut().zip(&self.lanes) {
            let mut halvings = *rates;
            for halvings in &mut halvings {
                *halvings *= age;
            }
            *left = exp2_neg(halvings);
        }
        left
    }

    /// Moves the counters on to the time of a payment that is not late, with what is left since the newest
    /// one before it.
    #[inline(always)]
    pub(super) fn fade(&self, row: &mut [u64], left: &Left) {
        for (word, counter) in row[COUNTERS..].iter_mut().zip(&self.counters) {
            let value = f64::from_bits(*word) * left[usize::from(counter.rate) % RATES_MAX];
            *word = value.to_bits();
        }
        for fading in &self.fading {
            let word = &mut row[usize::from(fading.word)];
            *word = (f64::from_bits(*word) * left[usize::from(fading.rate)]).to_bits();
        }
    }

    /// Adds a payment, with a weight if it is late.
    #[inline(always)]
    pub(super) fn add(&self, row: &mut [u64], amount: f64, late: Option<&Left>) {
        let mut values = [0.0; SOURCES_MAX];
        values[usize::from(ONE)] = 1.0;
        values[usize::from(AMOUNT)] = amount;
        values[usize::from(SQUARE)] = amount * amount;
        for (value, condition) in values[CONDITIONS..].iter_mut().zip(&self.conditions) {
            *value = f64::from(condition.is_met(row, amount));
        }
        for fading in &self.fading {
            fading.add(row, amount, late);
        }
        let counters = row[COUNTERS..].iter_mut().zip(&self.counters);
        match late {
            None => {
                for (word, counter) in counters {
                    let value = values[usize::from(counter.source) % SOURCES_MAX];
                    *word = (f64::from_bits(*word) + value).to_bits();
                }
            }
            Some(weights) => {
                for (word, counter) in counters {
                    let value = values[usize::from(counter.source) % SOURCES_MAX];
                    let weight = weights[usize::from(counter.rate) % RATES_MAX];
                    *word = (f64::from_bits(*word) + value * weight).to_bits();
                }
            }
        }
    }

    /// The source of a condition.
    pub(super) fn source_of(condition: usize) -> u8 {
        (CONDITIONS + condition) as u8
    }
}

impl Fading {
    fn add(&self, row: &mut [u64], amount: f64, late: Option<&Left>) {
        let value = match self.ratio_to {
            None => amount,
            Some((count, sum)) => ratio(amount, number(row, count), number(row, sum)),
        };
        let weight = late.map_or(1.0, |weights| weights[usize::from(self.rate)]);
        let word = &mut row[usize::from(self.word)];
        // Without a mean there is no ratio: the greater of a number and NaN is the number.
        *word = f64::from_bits(*word).max(value * weight).to_bits();
    }
}

impl Condition {
    /// The mean is of the payments before this one; as a quotient it does not fade.
    pub(super) fn is_met(&self, row: &[u64], amount: f64) -> bool {
        match *self {
            Self::Above(above) => amount > above,
            Self::Unusual { times, count, sum } => {
                let [count, sum] = [count, sum].map(|word| number(row, word));
                count > 0.0 && amount * count > times * sum
            }
        }
    }
}

/// A word that is a number.
#[inline]
pub(super) fn number(row: &[u64], word: u16) -> f64 {
    f64::from_bits(row[usize::from(word)])
}

/// Less than this part of what is taken back is what rounding leaves. It is no fixed number: all that is left of an
/// old payment may be smaller, and so may all that is left of those it is compared with.
const NOTHING_LEFT: f64 = 1e-9;

/// Takes from a word that is a count: never more than there is.
pub(super) fn take_from(row: &mut [u64], word: u16, value: f64) {
    let left = number(row, word) - value;
    let nothing = left <= value * NOTHING_LEFT;
    row[usize::from(word)] = if nothing { 0.0 } else { left }.to_bits();
}

/// Adds to a word that is a number.
pub(super) fn add_to(row: &mut [u64], word: u16, value: f64) {
    row[usize::from(word)] = (number(row, word) + value).to_bits();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against one window after the other, for each number of windows that there can be.
    #[test]
    fn windows_side_by_side_leave_what_each_alone_leaves() {
        let days = |days: u64| Decayed::rate(Span::Seconds(days * 86_400));
        let all = [days(1), 0.0, days(7), days(14), days(30), days(90), days(365), days(2)];
        for windows in 0..=RATES_MAX {
            let mut decayed = Decayed { rates: all[..windows].to_vec(), ..Decayed::default() };
            decayed.finish();
            for age_ns in [0, 1, 977_000_000, 86_400_000_000_000, u64::MAX] {
                let left = decayed.left(age_ns);
                for (window, left) in left.iter().enumerate() {
                    let rate = decayed.rates.get(window).copied().unwrap_or(0.0);
                    let [alone] = exp2_neg([age_ns as f64 * rate]);
                    assert_eq!(left.to_bits(), alone.to_bits(), "window {window} of {windows}");
                }
            }
        }
    }
}
