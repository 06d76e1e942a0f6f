//! Moments: consumes counts and sums of amounts, produces what is said of their distribution.

use crate::features::Statistic;

/// Amounts that differ by less than a ten-thousandth of their mean are the same: what subtraction
/// leaves of their squares is no measure any more.
const SAME: f64 = 1e-8;

/// What a ring or a list knows of a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) square: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) distinct: f64,
    pub(super) frauds: f64,
}

/// What is assumed of a share: as many frauds (or other payments) among as many payments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Prior {
    pub(super) hits: f64,
    pub(super) payments: f64,
}

impl Moments {
    /// NaN where there is no answer.
    pub(super) fn say(&self, statistic: Statistic, amount: f64, prior: Prior) -> f64 {
        let some = |value| if self.count > 0.0 { value } else { f64::NAN };
        match statistic {
            Statistic::Count => self.count,
            Statistic::Sum => self.sum,
            Statistic::Mean => self.sum / self.count,
            Statistic::Std => std(self.count, self.sum, self.square),
            Statistic::Min => some(self.min),
            Statistic::Max => some(self.max),
            Statistic::Distinct => self.distinct,
            Statistic::Ratio => ratio(amount, self.count, self.sum),
            Statistic::ZScore => zscore(amount, self.count, self.sum, self.square),
            Statistic::FraudCount => self.frauds,
            Statistic::FraudShare => share(self.frauds, self.count, prior),
            _ => unreachable!("the catalogue refuses it for this form"),
        }
    }
}

/// Zero where all are the same.
#[inline]
pub(super) fn std(count: f64, sum: f64, square: f64) -> f64 {
    let mean = sum / count;
    let variance = square / count - mean * mean;
    // NaN stays NaN.
    if variance <= mean * mean * SAME { 0.0 } else { variance.sqrt() }
}

/// NaN where the mean is not above zero.
#[inline]
pub(super) fn ratio(amount: f64, count: f64, sum: f64) -> f64 {
    if sum > 0.0 { amount * count / sum } else { f64::NAN }
}

/// NaN where all are the same.
#[inline]
pub(super) fn zscore(amount: f64, count: f64, sum: f64, square: f64) -> f64 {
    let std = std(count, sum, square);
    if std > 0.0 { (amount - sum / count) / std } else { f64::NAN }
}

#[inline]
pub(super) fn share(hits: f64, payments: f64, prior: Prior) -> f64 {
    (hits + prior.hits) / (payments + prior.payments)
}

/// Sums of windows with edges are exact: in ten-thousandths of a major unit, so that what is added
/// can be taken away again. Amounts beyond 10^12 count as 10^12.
pub(super) fn to_fixed(amount: f64) -> i64 {
    (amount.clamp(-1e12, 1e12) * 10_000.0).round() as i64
}

pub(super) fn from_fixed(sum: i64) -> f64 {
    sum as f64 / 10_000.0
}
