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

/// What each day would have been like, in order; days without payments are left out.
#[must_use]
pub fn backtest(scored: &Scored, thresholds: &Thresholds) -> Vec<(Day, BacktestDay)> {
    let mut days: BTreeMap<Day, BacktestDay> = BTreeMap::new();
    for (row, score) in scored.scores.iter().enumerate() {
        let (is_fraud, amount) = (scored.is_fraud[row], scored.amount[row]);
        let day = days.entry(scored.day[row]).or_default();
        day.rows += 1;
        day.frauds += u64::from(is_fraud);
        let decision = thresholds.decide(*score);
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
    days.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_what_was_decided_on_them() {
        let scored = Scored {
            scores: vec![0.95, 0.8, 0.6, 0.1, 0.6],
            is_fraud: vec![true, false, true, true, false],
            amount: vec![10.0, 20.0, 30.0, 40.0, 50.0],
            day: vec![Day(3), Day(3), Day(3), Day(3), Day(5)],
            customer: vec![0; 5],
        };
        let thresholds =
            Thresholds { review_at: Some(0.5), challenge_at: Some(0.7), decline_at: Some(0.9) };
        let first = BacktestDay {
            rows: 4,
            frauds: 3,
            reviewed: 1,
            challenged: 1,
            declined: 1,
            frauds_stopped: 2,
            money_stopped: 40.0,
            money_missed: 40.0,
        };
        let second = BacktestDay { rows: 1, reviewed: 1, ..BacktestDay::default() };
        assert_eq!(backtest(&scored, &thresholds), [(Day(3), first), (Day(5), second)]);
    }
}
