//! Costs: consumes what errors and work cost, produces what each decision on a payment costs.

use serde::Serialize;

use crate::metrics::{MetricError, Scored, falling_order, thinned};

/// What a fraud that passes costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedFraud {
    /// This share of the amount, such as 1.0 where all of it is lost.
    ShareOfAmount(f64),
    /// The same for every fraud.
    Fixed(f64),
}

/// Asking the customer to confirm, for instance in their banking app.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Challenge {
    /// What each challenge costs: the message, and the customer's time.
    pub each: f64,
    /// The share of frauds that a challenge stops.
    pub fraud_stopped: f64,
    /// The share of legitimate payments that are given up when challenged.
    pub legit_lost: f64,
}

/// What errors and work cost, in the unit of the amounts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// A fraud that passes.
    pub missed_fraud: MissedFraud,
    /// A legitimate payment that is declined, or lost in a challenge.
    pub false_alarm: f64,
    /// An analyst's work on one payment. A review is taken to find the truth.
    pub review: f64,
    /// `None` where customers are not challenged.
    pub challenge: Option<Challenge>,
}

/// Why costs or a capacity make no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CostError {
    /// A number that is negative or not finite.
    #[error("{what} is {value}; it must be 0 or more")]
    NotACost {
        /// Which.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A share that is none.
    #[error("{what} is {value}; it must be between 0 and 1")]
    NotAShare {
        /// Which.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// No payments to tune on.
    #[error("there are no scored payments to tune on; take a longer span")]
    NoPayments,
    /// The scores.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

impl Costs {
    /// Checks that each number makes sense.
    ///
    /// # Errors
    /// When a cost is negative or not finite, or a share is not between 0 and 1.
    pub fn check(&self) -> Result<(), CostError> {
        let missed = match self.missed_fraud {
            MissedFraud::ShareOfAmount(share) => ("the cost of a missed fraud", share),
            MissedFraud::Fixed(cost) => ("the cost of a missed fraud", cost),
        };
        let each = self.challenge.map_or(0.0, |challenge| challenge.each);
        for (what, value) in [
            missed,
            ("the cost of a false alarm", self.false_alarm),
            ("the cost of a review", self.review),
            ("the cost of a challenge", each),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(CostError::NotACost { what, value });
            }
        }
        let shares = self.challenge.map_or([0.0; 2], |it| [it.fraud_stopped, it.legit_lost]);
        for (what, value) in [
            "the share of frauds that a challenge stops",
            "the share of payments lost in a challenge",
        ]
        .into_iter()
        .zip(shares)
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(CostError::NotAShare { what, value });
            }
        }
        Ok(())
    }

    /// What approving, reviewing, challenging and declining this payment costs.
    pub(super) fn of(&self, is_fraud: bool, amount: f64) -> [f64; 4] {
        let loss = match (is_fraud, self.missed_fraud) {
            (false, _) => 0.0,
            (true, MissedFraud::ShareOfAmount(share)) => share * amount,
            (true, MissedFraud::Fixed(cost)) => cost,
        };
        let alarm = if is_fraud { 0.0 } else { self.false_alarm };
        let challenged = self.challenge.map_or(f64::INFINITY, |challenge| {
            challenge.each + loss * (1.0 - challenge.fraud_stopped) + alarm * challenge.legit_lost
        });
        [loss, self.review, challenged, alarm]
    }
}

/// What it costs when all payments from one score on are stopped in one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CostPoint {
    /// The lowest score that is stopped; `None` where nothing is.
    pub threshold: Option<f32>,
    /// How many payments are stopped per day.
    pub stopped_per_day: f64,
    /// The cost if each of them is reviewed.
    pub reviewed: f64,
    /// The cost if each of them is declined.
    pub declined: f64,
    /// The share of the frauds' money that is stopped; 0 where there is none.
    pub money_caught: f64,
}

/// The cost by threshold, from stopping nothing to stopping everything, thinned.
///
/// # Errors
/// When costs make no sense, a score is NaN, or columns differ in length.
pub fn cost_curve(scored: &Scored, costs: &Costs) -> Result<Vec<CostPoint>, CostError> {
    costs.check()?;
    scored.check()?;
    let order = falling_order(&scored.scores)?;
    let days = f64::from(scored.days().max(1));
    let each = || order.iter().map(|row| *row as usize);
    let costs_of = |row: usize| costs.of(scored.is_fraud[row], scored.amount[row]);
    let stolen = |row: usize| if scored.is_fraud[row] { scored.amount[row] } else { 0.0 };
    let nothing: f64 = each().map(|row| costs_of(row)[0]).sum();
    let money: f64 = each().map(stolen).sum();
    let (mut reviewed, mut declined, mut caught) = (nothing, nothing, 0.0);
    let mut curve = vec![CostPoint {
        threshold: None,
        stopped_per_day: 0.0,
        reviewed,
        declined,
        money_caught: 0.0,
    }];
    for (place, row) in each().enumerate() {
        let [approve, review, _, decline] = costs_of(row);
        reviewed += review - approve;
        declined += decline - approve;
        caught += stolen(row);
        let next = order.get(place + 1).map(|row| scored.scores[*row as usize]);
        if next != Some(scored.scores[row]) {
            curve.push(CostPoint {
                threshold: Some(scored.scores[row]),
                stopped_per_day: (place + 1) as f64 / days,
                reviewed,
                declined,
                money_caught: if money > 0.0 { caught / money } else { 0.0 },
            });
        }
    }
    // The interesting part is where few are stopped: distance is taken on a logarithmic scale.
    let highest = nothing.max(f64::MIN_POSITIVE);
    Ok(thinned(&curve, |point| {
        let stopped = (1.0 + point.stopped_per_day).ln() / 10.0;
        (stopped, point.reviewed.min(point.declined) / highest)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Day;

    pub(super) const COSTS: Costs = Costs {
        missed_fraud: MissedFraud::ShareOfAmount(0.5),
        false_alarm: 4.0,
        review: 3.0,
        challenge: Some(Challenge { each: 0.5, fraud_stopped: 0.75, legit_lost: 0.25 }),
    };

    #[test]
    fn each_decision_costs_what_the_table_says() {
        for (is_fraud, amount, expected) in
            [(true, 100.0, [50.0, 3.0, 13.0, 0.0]), (false, 100.0, [0.0, 3.0, 1.5, 4.0])]
        {
            assert_eq!(COSTS.of(is_fraud, amount), expected);
        }
        let fixed = Costs { missed_fraud: MissedFraud::Fixed(9.0), challenge: None, ..COSTS };
        assert_eq!(fixed.of(true, 100.0), [9.0, 3.0, f64::INFINITY, 0.0]);
        let wrong = Costs { review: -1.0, ..COSTS }.check().expect_err("negative");
        assert_eq!(wrong.to_string(), "the cost of a review is -1; it must be 0 or more");
        let share = Challenge { each: 0.0, fraud_stopped: 1.5, legit_lost: 0.0 };
        let wrong = Costs { challenge: Some(share), ..COSTS }.check().expect_err("no share");
        let expected =
            "the share of frauds that a challenge stops is 1.5; it must be between 0 and 1";
        assert_eq!(wrong.to_string(), expected);
    }

    #[test]
    fn the_curve_is_as_computed_by_hand() {
        let scored = Scored {
            scores: vec![0.1, 0.9, 0.5, 0.5],
            is_fraud: vec![false, true, true, false],
            amount: vec![1.0, 30.0, 10.0, 5.0],
            day: vec![Day(1), Day(1), Day(2), Day(2)],
            customer: vec![0; 4],
        };
        let curve: Vec<_> = cost_curve(&scored, &COSTS)
            .expect("right columns")
            .iter()
            .map(|it| (it.threshold, it.stopped_per_day, it.reviewed, it.declined, it.money_caught))
            .collect();
        let expected = [
            (None, 0.0, 20.0, 20.0, 0.0),
            (Some(0.9), 0.5, 8.0, 5.0, 0.75),
            (Some(0.5), 1.5, 9.0, 4.0, 1.0),
            (Some(0.1), 2.0, 12.0, 8.0, 1.0),
        ];
        assert_eq!(curve, expected);
    }
}
