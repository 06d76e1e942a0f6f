//! Backtest: consumes scored payments and thresholds, produces what each day would have been like.

use std::collections::BTreeMap;

use serde::Serialize;

use super::thresholds::{Decision, Thresholds};
use crate::{data::Day, metrics::Scored};

/// One day under the thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BacktestDay {
    /// Payments made.
    pub rows: u64,
    /// Frauds among them.
    pub frauds: u64,
    /// Payments reviewed.
    pub reviewed: u64,
    /// Payments challenged.
    pub challenged: u64,
    /// Payments declined.
    pub declined: u64,
    /// Frauds reviewed, challenged or declined.
    pub frauds_stopped: u64,
    /// Money of these frauds.
    pub money_stopped: f64,
    /// Money of the frauds that passed.
    pub money_missed: f64,
}

/// Days, payment by payment.
#[derive(Clone, Debug, Default)]
pub struct BacktestDays(BTreeMap<Day, BacktestDay>);

impl BacktestDays {
    /// Counts a payment and what became of it.
    pub fn add(&mut self, day: Day, is_fraud: bool, amount: f64, decision: Decision) {
        let day = self.0.entry(day).or_default();
        day.rows += 1;
        day.frauds += u64::from(is_fraud);
        match decision {
            Decision::Approve => (),
            Decision::Review => day.reviewed += 1,
            Decision::Challenge => day.challenged += 1,
            Decision::Decline => day.declined += 1,
        }
        match (is_fraud, decision) {
            (false, _) => (),
            (true, Decision::Approve) => day.money_missed += amount,
            (true, _) => {
                day.frauds_stopped += 1;
                day.money_stopped += amount;
            }
        }
    }

    /// The days in their order; those without payments are left out.
    #[must_use]
    pub fn finish(self) -> Vec<(Day, BacktestDay)> {
        self.0.into_iter().collect()
    }
}

/// What each day would have been like, in order; days without payments are left out.
#[must_use]
pub fn backtest(scored: &Scored, thresholds: &Thresholds) -> Vec<(Day, BacktestDay)> {
    let mut days = BacktestDays::default();
    for (row, score) in scored.scores.iter().enumerate() {
        let decision = thresholds.decide(*score);
        days.add(scored.day[row], scored.is_fraud[row], scored.amount[row], decision);
    }
    days.finish()
}
