//! Card precision at k: consumes scores by day and customer, produces the share of compromised
//! customers among the k that an analyst looks at each day.
//!
//! From "Reproducible Machine Learning for Credit Card Fraud Detection", chapter "Precision top-k
//! metrics": per day the highest score of each customer counts, the k highest are looked at, and
//! those who have a fraud that day are compromised; who was caught has a blocked card and leaves
//! the later days; the figure is the mean over the days. Where fewer than k customers pay, k is
//! still what is divided by.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{MetricError, error::same_length, ranking::falling_key};
use crate::data::Day;

/// Customers of each day, from the highest score to the lowest; of equal scores, who pays first
/// comes first.
#[derive(Clone, Debug)]
pub struct DailyCards {
    days: Vec<(Day, Vec<Card>)>,
    customers: usize,
}

#[derive(Clone, Copy, Debug)]
struct Card {
    customer: u32,
    score: f32,
    is_compromised: bool,
}

/// Card precision, per day and in the mean.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardPrecision {
    /// How many customers are looked at per day.
    pub k: u32,
    /// The mean over the days.
    pub mean: f64,
    /// Each day's share.
    pub days: Vec<(Day, f64)>,
}

impl DailyCards {
    /// Sorts the customers of each day.
    ///
    /// # Errors
    /// When a score is NaN or the lengths differ.
    pub fn new(
        scores: &[f32],
        is_fraud: &[bool],
        day: &[Day],
        customer: &[u32],
    ) -> Result<Self, MetricError> {
        same_length(scores.len(), is_fraud.len(), "labels")?;
        same_length(scores.len(), day.len(), "days")?;
        same_length(scores.len(), customer.len(), "customers")?;
        if let Some(row) = scores.iter().position(|score| score.is_nan()) {
            return Err(MetricError::ScoreNotANumber { row });
        }
        let customers = customer.iter().max().map_or(0, |max| *max as usize + 1);
        let mut rows_of: BTreeMap<Day, Vec<usize>> = BTreeMap::new();
        day.iter().enumerate().for_each(|(row, day)| rows_of.entry(*day).or_default().push(row));
        let mut place = vec![usize::MAX; customers];
        let mut days = Vec::with_capacity(rows_of.len());
        for (day, rows) in rows_of {
            let mut cards: Vec<Card> = Vec::new();
            for row in rows {
                let customer = customer[row];
                let at = &mut place[customer as usize];
                if *at == usize::MAX {
                    *at = cards.len();
                    cards.push(Card { customer, score: scores[row], is_compromised: false });
                }
                let card = &mut cards[*at];
                card.score = card.score.max(scores[row]);
                card.is_compromised |= is_fraud[row];
            }
            cards.iter().for_each(|card| place[card.customer as usize] = usize::MAX);
            cards.sort_by_key(|card| falling_key(card.score));
            days.push((day, cards));
        }
        Ok(Self { days, customers })
    }

    /// Card precision at `k`.
    #[must_use]
    pub fn precision(&self, k: u32) -> CardPrecision {
        let mut days = Vec::with_capacity(self.days.len());
        let mean = self.walk(k, |_| 1, |day, share| days.push((day, share)));
        CardPrecision { k, mean, days }
    }

    /// The mean, where each customer counts as so many customers alike.
    #[must_use]
    pub fn precision_resampled(&self, k: u32, times: &[u32]) -> f64 {
        self.walk(k, |customer| times[customer as usize], |_, _| ())
    }

    fn walk(&self, k: u32, count: impl Fn(u32) -> u32, mut each: impl FnMut(Day, f64)) -> f64 {
        let (mut caught, mut sum) = (vec![false; self.customers], 0.0);
        for (day, cards) in &self.days {
            let (mut left, mut compromised) = (k, 0);
            for card in cards {
                let times = count(card.customer).min(left);
                if times == 0 || caught[card.customer as usize] {
                    continue;
                }
                left -= times;
                if card.is_compromised {
                    compromised += times;
                    caught[card.customer as usize] = true;
                }
                if left == 0 {
                    break;
                }
            }
            let share = f64::from(compromised) / f64::from(k.max(1));
            each(*day, share);
            sum += share;
        }
        sum / self.days.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// As the book's code has it: group by customer, sort, take k, drop whom was caught.
    fn naive(k: usize, rows: &[(u32, u32, f32, bool)]) -> f64 {
        let days: BTreeSet<u32> = rows.iter().map(|row| row.0).collect();
        let (mut caught, mut sum) = (BTreeSet::new(), 0.0);
        for day in &days {
            let today: Vec<_> = rows.iter().filter(|row| row.0 == *day).collect();
            let mut customers = Vec::new();
            for row in &today {
                if !caught.contains(&row.1) && !customers.contains(&row.1) {
                    customers.push(row.1);
                }
            }
            let best = |customer: &u32| {
                let scores = today.iter().filter(|row| row.1 == *customer).map(|row| row.2);
                scores.fold(f32::MIN, f32::max)
            };
            customers.sort_by(|a, b| best(b).total_cmp(&best(a)));
            customers.truncate(k);
            customers.retain(|customer| today.iter().any(|row| row.1 == *customer && row.3));
            sum += customers.len() as f64 / k as f64;
            caught.extend(customers);
        }
        sum / days.len() as f64
    }

    fn cards(rows: &[(u32, u32, f32, bool)]) -> DailyCards {
        let scores: Vec<_> = rows.iter().map(|row| row.2).collect();
        let is_fraud: Vec<_> = rows.iter().map(|row| row.3).collect();
        let days: Vec<_> = rows.iter().map(|row| Day(row.0)).collect();
        let customers: Vec<_> = rows.iter().map(|row| row.1).collect();
        DailyCards::new(&scores, &is_fraud, &days, &customers).expect("right columns")
    }

    #[test]
    fn who_was_caught_leaves_the_later_days() {
        let rows = [
            (1, 7, 0.2, false),
            (1, 7, 0.9, true),
            (1, 8, 0.5, false),
            (1, 9, 0.1, true),
            (2, 7, 0.9, true),
            (2, 9, 0.3, true),
            (2, 8, 0.4, false),
        ];
        let precision = cards(&rows).precision(2);
        assert_eq!(precision.days, [(Day(1), 0.5), (Day(2), 0.5)]);
        assert_eq!((precision.mean, cards(&rows).precision(10).mean), (0.5, 0.1));
        let nan = DailyCards::new(&[f32::NAN], &[true], &[Day(1)], &[0]);
        assert_eq!(nan.err(), Some(MetricError::ScoreNotANumber { row: 0 }));
    }

    proptest! {
        #[test]
        fn equals_the_naive_form(
            mut rows in prop::collection::vec((0_u32..4, 0_u32..9, 0_u8..6, any::<bool>()), 1..60),
            k in 1_usize..6,
        ) {
            rows.sort_by_key(|row| row.0);
            let rows: Vec<_> = rows.iter().map(|row| (row.0, row.1, f32::from(row.2), row.3)).collect();
            let precision = cards(&rows).precision(k as u32).mean;
            prop_assert!((precision - naive(k, &rows)).abs() < 1e-12);
            let resampled = cards(&rows).precision_resampled(k as u32, &[1; 9]);
            prop_assert_eq!(precision, resampled);
        }
    }
}
