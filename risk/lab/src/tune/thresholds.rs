//! Thresholds: consumes scored payments, costs and a capacity, produces the thresholds of review,
//! challenge and decline that cost least.
//!
//! Guarantees the least cost of all choices of three thresholds on these payments, within the
//! capacity (tested against trying them all), in time that grows as sorting does.

use std::collections::VecDeque;

use serde::Serialize;

use super::cost::{CostError, CostPoint, Costs, cost_curve};
use crate::{
    data::Day,
    metrics::{Scored, falling_order},
};

/// What becomes of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It passes.
    Approve,
    /// An analyst looks at it.
    Review,
    /// The customer confirms it.
    Challenge,
    /// It is refused.
    Decline,
}

/// From which score on payments are reviewed, challenged and declined; the severest applies. `None`
/// where that never happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Thresholds {
    /// Review from this score on.
    pub review_at: Option<f32>,
    /// Challenge from this score on.
    pub challenge_at: Option<f32>,
    /// Decline from this score on.
    pub decline_at: Option<f32>,
}

impl Thresholds {
    /// What becomes of a payment of this score.
    #[must_use]
    pub fn decide(&self, score: f32) -> Decision {
        let reaches = |threshold: Option<f32>| threshold.is_some_and(|at| score >= at);
        match (reaches(self.decline_at), reaches(self.challenge_at), reaches(self.review_at)) {
            (true, ..) => Decision::Decline,
            (_, true, _) => Decision::Challenge,
            (.., true) => Decision::Review,
            _ => Decision::Approve,
        }
    }
}

/// Recommended thresholds, and what they would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuning {
    /// The thresholds.
    pub thresholds: Thresholds,
    /// The costs that they were chosen for.
    pub costs: Costs,
    /// The capacity that they were chosen for; `None` where it is unlimited.
    pub reviews_per_day_max: Option<f64>,
    /// Days that the payments span.
    pub days: u32,
    /// What errors and work would have cost.
    pub cost: f64,
    /// What it would have cost to approve everything.
    pub cost_without: f64,
    /// Reviews per day in the mean.
    pub reviews_per_day: f64,
    /// Reviews on the day that had most.
    pub reviews_busiest_day: u64,
    /// Payments and frauds that are approved, reviewed, challenged and declined.
    pub decisions: [DecisionCount; 4],
    /// The cost by threshold, for a drawing.
    pub curve: Vec<CostPoint>,
}

/// How many payments one decision is made on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DecisionCount {
    /// Which decision.
    pub decision: Decision,
    /// How many payments.
    pub rows: u64,
    /// How many of them are fraud.
    pub frauds: u64,
    /// Money of these frauds.
    pub money_frauds: f64,
}

/// Recommends thresholds. The capacity holds in the mean over the days: a queue evens days out, and
/// [`Tuning::reviews_busiest_day`] tells how far. `None` is no limit.
///
/// # Errors
/// When costs or the capacity make no sense, there are no payments, a score is NaN, or columns
/// differ in length.
pub fn tune(
    scored: &Scored,
    costs: &Costs,
    reviews_per_day_max: Option<f64>,
) -> Result<Tuning, CostError> {
    let curve = cost_curve(scored, costs)?;
    if scored.is_empty() {
        return Err(CostError::NoPayments);
    }
    if let Some(value) = reviews_per_day_max.filter(|value| value.is_nan() || *value < 0.0) {
        return Err(CostError::NotACost { what: "the capacity of reviews per day", value });
    }
    let reviews_max = reviews_per_day_max
        .map_or(usize::MAX, |per_day| (per_day * f64::from(scored.days())).floor() as usize);
    let groups = Groups::new(scored, costs)?;
    let thresholds = groups.thresholds(groups.cheapest(reviews_max, costs.challenge.is_some()));
    Ok(applied(scored, costs, thresholds, reviews_per_day_max, curve))
}

/// Cuts between groups of equal scores: how many groups from the highest score on are declined,
/// declined or challenged, and stopped in any way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cuts {
    declined: usize,
    challenged: usize,
    stopped: usize,
}

/// Groups of equal scores from the highest on, with running sums at each cut.
struct Groups {
    scores: Vec<f32>,
    /// Payments above each cut.
    rows: Vec<usize>,
    /// Costs of approving, reviewing, challenging, declining all above each cut.
    costs: Vec<[f64; 4]>,
}

impl Groups {
    fn new(scored: &Scored, costs: &Costs) -> Result<Self, CostError> {
        let mut groups = Self { scores: Vec::new(), rows: vec![0], costs: vec![[0.0; 4]] };
        let mut sum = [0.0; 4];
        for (place, row) in falling_order(&scored.scores)?.into_iter().enumerate() {
            let row = row as usize;
            let score = scored.scores[row] + 0.0;
            if groups.scores.last() != Some(&score) {
                groups.scores.push(score);
                groups.rows.push(place);
                groups.costs.push(sum);
            }
            let each = costs.of(scored.is_fraud[row], scored.amount[row]);
            sum.iter_mut().zip(each).for_each(|(sum, each)| *sum += each);
            *groups.rows.last_mut().unwrap_or(&mut 0) = place + 1;
            *groups.costs.last_mut().unwrap_or(&mut [0.0; 4]) = sum;
        }
        Ok(groups)
    }

    /// The cost is a sum of one term per cut: what changes there for all above it. So the best cut
    /// of decline is known for each cut of challenge below it (a running least), and the best of
    /// both for each cut of review (the least in a window that the capacity allows).
    fn cheapest(&self, reviews_max: usize, with_challenge: bool) -> Cuts {
        // What all above the cut cost less (or more) as the first than as the second.
        let saved = |cut: usize, now: Decision, else_: Decision| {
            self.costs[cut][now as usize] - self.costs[cut][else_ as usize]
        };
        let mut best = (f64::INFINITY, Cuts::default());
        let mut least_declined = (f64::INFINITY, 0);
        // Candidates for the cut of challenge, the cheapest first: cost, cut, cut of decline.
        let mut window: VecDeque<(f64, usize, usize)> = VecDeque::new();
        for cut in 0..self.rows.len() {
            let (cost, declined) = match with_challenge {
                true => {
                    let cost = saved(cut, Decision::Decline, Decision::Challenge);
                    if cost < least_declined.0 {
                        least_declined = (cost, cut);
                    }
                    let challenged = saved(cut, Decision::Challenge, Decision::Review);
                    (least_declined.0 + challenged, least_declined.1)
                }
                false => (saved(cut, Decision::Decline, Decision::Review), cut),
            };
            // Of equal cost, the later cut leaves fewer reviews.
            while window.back().is_some_and(|last| last.0 >= cost) {
                window.pop_back();
            }
            window.push_back((cost, cut, declined));
            while window.front().is_some_and(|it| self.rows[cut] - self.rows[it.1] > reviews_max) {
                window.pop_front();
            }
            let Some((above, challenged, declined)) = window.front().copied() else { continue };
            let cost = above + saved(cut, Decision::Review, Decision::Approve);
            if cost < best.0 {
                best = (cost, Cuts { declined, challenged, stopped: cut });
            }
        }
        best.1
    }

    fn thresholds(&self, cuts: Cuts) -> Thresholds {
        let at = |cut: usize, above: usize| (cut > above).then(|| self.threshold(cut));
        Thresholds {
            decline_at: at(cuts.declined, 0),
            challenge_at: at(cuts.challenged, cuts.declined),
            review_at: at(cuts.stopped, cuts.challenged),
        }
    }

    /// Half-way between the scores on both sides of the cut, so that a score that moves a little
    /// in a retrain stays on its side.
    fn threshold(&self, cut: usize) -> f32 {
        let above = self.scores[cut - 1];
        let Some(below) = self.scores.get(cut).copied() else { return above };
        let middle = below / 2.0 + above / 2.0;
        if middle > below && middle < above { middle } else { above }
    }
}

fn applied(
    scored: &Scored,
    costs: &Costs,
    thresholds: Thresholds,
    reviews_per_day_max: Option<f64>,
    curve: Vec<CostPoint>,
) -> Tuning {
    let all = [Decision::Approve, Decision::Review, Decision::Challenge, Decision::Decline];
    let mut decisions =
        all.map(|decision| DecisionCount { decision, rows: 0, frauds: 0, money_frauds: 0.0 });
    let (mut cost, mut cost_without) = (0.0, 0.0);
    let mut reviews_of: std::collections::BTreeMap<Day, u64> = std::collections::BTreeMap::new();
    for (row, score) in scored.scores.iter().enumerate() {
        let (is_fraud, amount) = (scored.is_fraud[row], scored.amount[row]);
        let each = costs.of(is_fraud, amount);
        let decision = thresholds.decide(*score);
        let count = &mut decisions[decision as usize];
        count.rows += 1;
        count.frauds += u64::from(is_fraud);
        count.money_frauds += if is_fraud { amount } else { 0.0 };
        cost += each[decision as usize];
        cost_without += each[Decision::Approve as usize];
        if decision == Decision::Review {
            *reviews_of.entry(scored.day[row]).or_default() += 1;
        }
    }
    let days = scored.days();
    Tuning {
        thresholds,
        costs: *costs,
        reviews_per_day_max,
        days,
        cost,
        cost_without,
        reviews_per_day: decisions[Decision::Review as usize].rows as f64 / f64::from(days.max(1)),
        reviews_busiest_day: reviews_of.values().copied().max().unwrap_or(0),
        decisions,
        curve,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tune::{Challenge, MissedFraud};

    /// Every choice of three thresholds among the scores and "never".
    fn exhaustive(scored: &Scored, costs: &Costs, reviews_max: u64) -> f64 {
        let mut candidates: Vec<Option<f32>> =
            scored.scores.iter().map(|score| Some(*score)).collect();
        candidates.push(None);
        let mut best = f64::INFINITY;
        for review_at in &candidates {
            for challenge_at in &candidates {
                if costs.challenge.is_none() && challenge_at.is_some() {
                    continue;
                }
                for decline_at in &candidates {
                    let thresholds = Thresholds {
                        review_at: *review_at,
                        challenge_at: *challenge_at,
                        decline_at: *decline_at,
                    };
                    let tuning = applied(scored, costs, thresholds, None, Vec::new());
                    if tuning.decisions[1].rows <= reviews_max {
                        best = best.min(tuning.cost);
                    }
                }
            }
        }
        best
    }

    fn scored(rows: &[(u8, bool, u8)]) -> Scored {
        Scored {
            scores: rows.iter().map(|row| f32::from(row.0) / 8.0).collect(),
            is_fraud: rows.iter().map(|row| row.1).collect(),
            amount: rows.iter().map(|row| f64::from(row.2)).collect(),
            day: (0..rows.len()).map(|row| Day(row as u32 % 2)).collect(),
            customer: vec![0; rows.len()],
        }
    }

    proptest! {
        #[test]
        fn no_other_thresholds_cost_less(
            rows in prop::collection::vec((0_u8..7, any::<bool>(), 0_u8..50), 2..14),
            (alarm, review, each) in (0_u8..30, 0_u8..12, 0_u8..8),
            (stopped, lost) in (0_u8..5, 0_u8..5),
            (with_challenge, capacity, fixed) in (any::<bool>(), 0_u8..5, any::<bool>()),
        ) {
            let challenge = Challenge {
                each: f64::from(each) / 2.0,
                fraud_stopped: f64::from(stopped) / 4.0,
                legit_lost: f64::from(lost) / 4.0,
            };
            let costs = Costs {
                missed_fraud: if fixed { MissedFraud::Fixed(20.0) } else { MissedFraud::ShareOfAmount(1.0) },
                false_alarm: f64::from(alarm),
                review: f64::from(review),
                challenge: with_challenge.then_some(challenge),
            };
            let scored = scored(&rows);
            let tuning = tune(&scored, &costs, Some(f64::from(capacity))).expect("right input");
            let reviews_max = u64::from(capacity) * 2;
            prop_assert!(tuning.decisions[1].rows <= reviews_max, "{tuning:?}");
            let best = exhaustive(&scored, &costs, reviews_max);
            prop_assert!((tuning.cost - best).abs() < 1e-9, "{best} {tuning:?}");
        }
    }

    #[test]
    fn a_capacity_and_costs_shape_the_thresholds() {
        let rows: Vec<_> = (0..64_u8).map(|n| (n, n % 4 == 0 && n > 20, 40)).collect();
        let scored = scored(&rows);
        let costs = Costs {
            missed_fraud: MissedFraud::ShareOfAmount(1.0),
            false_alarm: 60.0,
            review: 2.0,
            challenge: None,
        };
        let free = tune(&scored, &costs, None).expect("right input");
        assert_eq!(free.thresholds.decline_at, None, "reviews are cheaper than false alarms");
        assert_eq!(free.decisions[0].frauds, 0, "it is worth looking at every fraud");
        let tight = tune(&scored, &costs, Some(5.0)).expect("right input");
        assert!(tight.reviews_per_day <= 5.0 && tight.reviews_per_day > 3.0, "{tight:?}");
        assert!(free.cost < tight.cost && tight.cost < tight.cost_without);
        assert!(tight.reviews_busiest_day >= 3);
        for capacity in [-1.0, f64::NAN] {
            assert!(matches!(
                tune(&scored, &costs, Some(capacity)),
                Err(CostError::NotACost { .. })
            ));
        }
        assert_eq!(tune(&Scored::default(), &costs, None).err(), Some(CostError::NoPayments));
    }
}
