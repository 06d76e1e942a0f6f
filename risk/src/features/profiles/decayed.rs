//! Decayed counters: consumes payments, keeps sums in which a payment of age `a` counts
//! `exp(-a / window)`.
//!
//! The counters of a profile are as of its newest payment. One that comes late is added with the
//! weight that its age leaves, so the order in which payments arrive does not matter.
//!
//! They are f64: an f32 of 2^24 payments would not notice one more, and would stay there for ever.

use super::rows::LAST;
use crate::features::{Span, arithmetic::exp2_neg};

/// Different windows that the counters of one kind of entity may have.
pub(super) const RATES_MAX: usize = 16;
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

/// The counters of a kind of entity.
#[derive(Clone, Debug, Default)]
pub(super) struct Decayed {
    /// Halvings per nanosecond, of each window.
    pub(super) rates: Vec<f64>,
    pub(super) counters: Vec<Counter>,
    pub(super) conditions: Vec<Condition>,
    /// Greatest amounts that fade: word and window.
    pub(super) fading: Vec<(u16, u8)>,
}

/// What is left of something after some time, for each window.
pub(super) type Left = [f64; RATES_MAX];

impl Decayed {
    /// Halvings per nanosecond: `exp(-a / window)` is `2^(-a log2(e) / window)`.
    pub(super) fn rate(window: Span) -> f64 {
        match window {
            Span::Ever => 0.0,
            Span::Seconds(_) => std::f64::consts::LOG2_E / window.ns() as f64,
        }
    }

    /// How much is left after so many nanoseconds, of each window.
    #[inline]
    pub(super) fn left(&self, age_ns: u64) -> Left {
        let age = age_ns as f64;
        let mut left = [1.0; RATES_MAX];
        for (left, rate) in left.iter_mut().zip(&self.rates) {
            *left = exp2_neg(age * rate);
        }
        left
    }

    /// Moves the counters on to the time of a payment, unless it is late. Returns what the payment
    /// counts.
    #[inline]
    pub(super) fn advance(&self, row: &mut [u64], at: u64) -> Left {
        let last = row[LAST];
        let left = self.left(at.abs_diff(last));
        if at < last {
            return left;
        }
        for (word, counter) in row[COUNTERS..].iter_mut().zip(&self.counters) {
            let value = f64::from_bits(*word) * left[usize::from(counter.rate) % RATES_MAX];
            *word = value.to_bits();
        }
        for (word, rate) in &self.fading {
            let word = &mut row[usize::from(*word)];
            *word = (f64::from_bits(*word) * left[usize::from(*rate)]).to_bits();
        }
        [1.0; RATES_MAX]
    }

    /// Adds a payment.
    #[inline]
    pub(super) fn add(&self, row: &mut [u64], amount: f64, weights: &Left) {
        let mut values = [0.0; SOURCES_MAX];
        values[usize::from(ONE)] = 1.0;
        values[usize::from(AMOUNT)] = amount;
        values[usize::from(SQUARE)] = amount * amount;
        for (value, condition) in values[CONDITIONS..].iter_mut().zip(&self.conditions) {
            *value = f64::from(condition.is_met(row, amount));
        }
        for (word, counter) in row[COUNTERS..].iter_mut().zip(&self.counters) {
            let weight = weights[usize::from(counter.rate) % RATES_MAX];
            let value = values[usize::from(counter.source) % SOURCES_MAX];
            *word = (f64::from_bits(*word) + value * weight).to_bits();
        }
        for (word, rate) in &self.fading {
            let word = &mut row[usize::from(*word)];
            let faded = amount * weights[usize::from(*rate)];
            *word = f64::from_bits(*word).max(faded).to_bits();
        }
    }

    /// The source of a condition.
    pub(super) fn source_of(condition: usize) -> u8 {
        (CONDITIONS + condition) as u8
    }
}

impl Condition {
    /// The mean is of the payments before this one; as a quotient it does not fade.
    fn is_met(&self, row: &[u64], amount: f64) -> bool {
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

/// Adds to a word that is a number.
pub(super) fn add_to(row: &mut [u64], word: u16, value: f64) {
    row[usize::from(word)] = (number(row, word) + value).to_bits();
}
