//! Runs: consumes labels, keeps how those of late went: frauds in a row say that an entity is
//! compromised now, whatever it was before.
//!
//! Labels are taken in the order in which they come. Every payment needs one for this: that it was
//! honest is said by a label as well, or is taken for certain when it has waited long enough.

use super::decayed::{Condition, number};
use crate::features::span::SECOND_NS;

/// Words: moving average of the labels; when the first fraud of the run was paid and when the
/// newest honest payment was, zero if there is none; and the nanoseconds between them.
const AVERAGE: usize = 0;
const RUN_FROM: usize = 1;
const HONEST: usize = 2;
const GAP: usize = 3;
pub(super) const RUN_WORDS: usize = 4;
/// There was no honest payment before the run.
const NO_GAP: u64 = u64::MAX;

/// One way to look at the labels of a kind of entity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Runs {
    pub(super) base: usize,
    /// Weight of the newest label in the average.
    pub(super) step: f64,
    /// Frauds are left out that are unusual for another entity: by place among the exceptions.
    pub(super) except: Option<u8>,
}

/// A fraud whose amount is unusual for its payer, say, points at the payer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exception {
    /// Place of the kind of the other entity.
    pub(super) kind: usize,
    pub(super) unusual: Condition,
}

/// What is said of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfRun {
    Average,
    Age,
    Gap,
    SinceHonest,
}

impl Runs {
    pub(super) fn label(&self, row: &mut [u64], paid_at: u64, is_fraud: bool, excepted: bool) {
        if is_fraud && excepted {
            return;
        }
        let average = number(row, (self.base + AVERAGE) as u16);
        let row = &mut row[self.base..self.base + RUN_WORDS];
        row[AVERAGE] = (average + self.step * (f64::from(is_fraud) - average)).to_bits();
        match (is_fraud, row[RUN_FROM], row[HONEST]) {
            (false, ..) => (row[RUN_FROM], row[HONEST]) = (0, row[HONEST].max(paid_at)),
            (true, 0, honest) => {
                row[RUN_FROM] = paid_at;
                row[GAP] = if honest == 0 { NO_GAP } else { paid_at.saturating_sub(honest) };
            }
            _ => {}
        }
    }

    /// Takes payments for honest that nobody reported: so many, and when the newest was paid. A run
    /// that began after all of them goes on: a fraud may be reported before they have waited enough.
    pub(super) fn unreported(&self, row: &mut [u64], payments: u64, newest: u64) {
        let average = number(row, (self.base + AVERAGE) as u16);
        let row = &mut row[self.base..self.base + RUN_WORDS];
        row[AVERAGE] = (average * power(1.0 - self.step, payments)).to_bits();
        row[HONEST] = row[HONEST].max(newest);
        match row[RUN_FROM] {
            0 => {}
            from if newest >= from => row[RUN_FROM] = 0,
            from => row[GAP] = from - row[HONEST].min(from),
        }
    }

    /// A fraud was none: a run that began with it is over. What others added stays.
    pub(super) fn take_back(&self, row: &mut [u64], paid_at: u64) {
        let run_from = &mut row[self.base + RUN_FROM];
        *run_from = if *run_from == paid_at { 0 } else { *run_from };
    }

    /// In seconds, but for the average.
    pub(super) fn read(&self, row: &[u64], of: OfRun, now: u64) -> f64 {
        let row = &row[self.base..self.base + RUN_WORDS];
        let seconds = |ns: u64| ns as f64 / SECOND_NS as f64;
        let is_running = row[RUN_FROM] != 0;
        match of {
            OfRun::Average => f64::from_bits(row[AVERAGE]),
            OfRun::Age if is_running => seconds(now.saturating_sub(row[RUN_FROM])),
            OfRun::Gap if is_running && row[GAP] != NO_GAP => seconds(row[GAP]),
            OfRun::SinceHonest if row[HONEST] != 0 => seconds(now.saturating_sub(row[HONEST])),
            _ => f64::NAN,
        }
    }
}

/// By squaring: the standard library does not promise the same bits everywhere.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut product, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            product *= square;
        }
        square *= square;
        left >>= 1;
    }
    product
}
