//! Champion against challenger: consumes two models' scores of the same payments, produces what
//! would change, and whether it is more than chance.

use serde::Serialize;

use crate::{
    data::Day,
    metrics::{
        Bootstrap, DailyCards, Interval, MetricError, Ranking, Resample, Scored, falling_order,
        same_length,
    },
};

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CompareSettings {
    /// How many payments analysts review per day.
    pub reviews_per_day: u32,
    /// How intervals are drawn.
    pub bootstrap: Bootstrap,
}

impl Default for CompareSettings {
    fn default() -> Self {
        Self { reviews_per_day: 100, bootstrap: Bootstrap::default() }
    }
}

/// One figure of both models.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricComparison {
    /// Which figure, such as `average_precision`.
    pub metric: &'static str,
    /// The champion's.
    pub champion: Interval,
    /// The challenger's.
    pub challenger: Interval,
    /// The challenger's less the champion's, drawn on the same customers.
    pub difference: Interval,
}

/// Two models on the same payments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Payments scored by both.
    pub rows: usize,
    /// Frauds among them.
    pub frauds: usize,
    /// How they were compared.
    pub settings: CompareSettings,
    /// The figures; more is better in each.
    pub metrics: Vec<MetricComparison>,
    /// The share of payments that both would have reviewed, of those that each would have.
    pub review_overlap: f64,
    /// Frauds that only the champion would have reviewed.
    pub frauds_lost: u64,
    /// Frauds that only the challenger would have reviewed.
    pub frauds_gained: u64,
}

/// Compares the challenger's scores with the champion's, which `champion` holds with the payments.
///
/// # Errors
/// When a score is NaN, columns differ in length, or all payments are of one class.
pub fn compare(
    champion: &Scored,
    challenger: &[f32],
    settings: CompareSettings,
) -> Result<Comparison, MetricError> {
    champion.check()?;
    same_length(challenger.len(), champion.len(), "scores of the champion")?;
    let (before, now) =
        (Judge::new(champion, &champion.scores)?, Judge::new(champion, challenger)?);
    let reviews = settings.reviews_per_day;
    type Figure<'a> = (&'static str, Box<dyn Fn(&Judge<'_>, &Resample) -> Option<f64> + 'a>);
    let figures: [Figure<'_>; 4] = [
        (
            "average_precision",
            Box::new(|judge, it| judge.ranking.average_precision_resampled(&it.rows)),
        ),
        ("roc_auc", Box::new(|judge, it| judge.ranking.roc_auc_resampled(&it.rows))),
        (
            "card_precision_at_100",
            Box::new(|judge, it| Some(judge.cards.precision_resampled(100, &it.customers))),
        ),
        ("money_caught", Box::new(move |judge, it| Some(judge.money_caught(reviews, &it.rows)))),
    ];
    let mut metrics = Vec::with_capacity(figures.len());
    for (metric, figure) in &figures {
        let champions = |sample: &Resample| figure(&before, sample);
        let challengers = |sample: &Resample| figure(&now, sample);
        let differences =
            |sample: &Resample| challengers(sample).zip(champions(sample)).map(|(a, b)| a - b);
        // The seed is the same for each figure, and so are the draws.
        let all = settings
            .bootstrap
            .intervals(&champion.customer, &[&champions, &challengers, &differences]);
        if let [Some(champion), Some(challenger), Some(difference)] = all[..] {
            metrics.push(MetricComparison { metric, champion, challenger, difference });
        }
    }
    let (by_champion, by_challenger) = (before.reviewed(reviews), now.reviewed(reviews));
    let count =
        |keep: &dyn Fn(usize) -> bool| (0..champion.len()).filter(|row| keep(*row)).count() as u64;
    let both = count(&|row| by_champion[row] && by_challenger[row]);
    let each = count(&|row| by_champion[row]);
    Ok(Comparison {
        rows: champion.len(),
        frauds: champion.is_fraud.iter().filter(|is_fraud| **is_fraud).count(),
        settings,
        metrics,
        review_overlap: both as f64 / each.max(1) as f64,
        frauds_lost: count(&|row| {
            champion.is_fraud[row] && by_champion[row] && !by_challenger[row]
        }),
        frauds_gained: count(&|row| {
            champion.is_fraud[row] && by_challenger[row] && !by_champion[row]
        }),
    })
}

/// One model's scores, sorted in every way that is needed.
struct Judge<'a> {
    payments: &'a Scored,
    ranking: Ranking,
    cards: DailyCards,
    /// Rows by day, then by falling score; equal scores in order of rows.
    queue: Vec<(Day, u32)>,
}

impl<'a> Judge<'a> {
    fn new(payments: &'a Scored, scores: &[f32]) -> Result<Self, MetricError> {
        let Scored { is_fraud, day, customer, .. } = payments;
        let order = falling_order(scores)?;
        let mut queue: Vec<_> = order.iter().map(|row| (day[*row as usize], *row)).collect();
        queue.sort_by_key(|(day, _)| *day);
        Ok(Self {
            payments,
            ranking: Ranking::new(scores, is_fraud)?,
            cards: DailyCards::new(scores, is_fraud, day, customer)?,
            queue,
        })
    }

    /// Calls `each` for what is reviewed: each day's highest scores, up to the capacity.
    fn review(&self, per_day: u32, count: impl Fn(u32) -> u32, mut each: impl FnMut(u32, u32)) {
        let (mut today, mut left) = (None, 0);
        for (day, row) in &self.queue {
            if today != Some(*day) {
                (today, left) = (Some(*day), per_day);
            }
            let times = count(*row).min(left);
            left -= times;
            if times > 0 {
                each(*row, times);
            }
        }
    }

    /// Money of the frauds that are reviewed, where each row counts so often.
    fn money_caught(&self, per_day: u32, times: &[u32]) -> f64 {
        let mut money = 0.0;
        self.review(
            per_day,
            |row| times[row as usize],
            |row, times| {
                let row = row as usize;
                if self.payments.is_fraud[row] {
                    money += self.payments.amount[row] * f64::from(times);
                }
            },
        );
        money
    }

    fn reviewed(&self, per_day: u32) -> Vec<bool> {
        let mut reviewed = vec![false; self.payments.len()];
        self.review(per_day, |_| 1, |row, _| reviewed[row as usize] = true);
        reviewed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: u32) -> f32 {
        (n.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32
    }

    /// 4,000 payments of four days; the scores know the label as far as `skill` goes.
    fn payments() -> Scored {
        let rows = 4_000_u32;
        Scored {
            scores: Vec::new(),
            is_fraud: (0..rows).map(|n| n % 40 == 3).collect(),
            amount: (0..rows).map(|n| f64::from(n % 7) + 1.0).collect(),
            day: (0..rows).map(|n| Day(n / 1_000)).collect(),
            customer: (0..rows).map(|n| n % 611).collect(),
        }
    }

    fn scores(skill: f32, seed: u32) -> Vec<f32> {
        let score =
            |n: u32| noise(n + seed) * (1.0 - skill) + if n % 40 == 3 { skill } else { 0.0 };
        (0..4_000).map(score).collect()
    }

    #[test]
    fn a_better_challenger_is_told_from_an_equal_one() {
        let champion = Scored { scores: scores(0.2, 0), ..payments() };
        let settings = CompareSettings {
            reviews_per_day: 30,
            bootstrap: Bootstrap { samples: 200, ..Bootstrap::default() },
        };
        let better = compare(&champion, &scores(0.5, 5_000), settings).expect("two classes");
        let names: Vec<_> = better.metrics.iter().map(|it| it.metric).collect();
        assert_eq!(
            names,
            ["average_precision", "roc_auc", "card_precision_at_100", "money_caught"]
        );
        for it in better.metrics.iter().filter(|it| it.metric != "card_precision_at_100") {
            assert!(it.difference.low > 0.0, "{it:?}");
            assert!((it.challenger.value - it.champion.value - it.difference.value).abs() < 1e-9);
        }
        assert!(better.frauds_gained > better.frauds_lost);

        let same = compare(&champion, &champion.scores, settings).expect("two classes");
        assert_eq!((same.review_overlap, same.frauds_lost, same.frauds_gained), (1.0, 0, 0));
        assert!(same.metrics.iter().all(|it| !it.difference.excludes_zero()));
        let chance = compare(&champion, &scores(0.2, 9_000), settings).expect("two classes");
        assert!(chance.review_overlap < 0.9);
        assert!(!chance.metrics[0].difference.excludes_zero(), "{:?}", chance.metrics[0]);
    }

    /// Each day's reviews by sorting that day's rows alone.
    #[test]
    fn money_is_counted_as_the_naive_form_counts_it() {
        let champion = Scored { scores: scores(0.1, 7), ..payments() };
        let judge = Judge::new(&champion, &champion.scores).expect("two classes");
        for per_day in [0, 1, 17, 999, 5_000] {
            let mut naive = 0.0;
            for day in 0..4 {
                let mut rows: Vec<_> =
                    (0..4_000).filter(|row| champion.day[*row] == Day(day)).collect();
                rows.sort_by(|a, b| champion.scores[*b].total_cmp(&champion.scores[*a]));
                let caught = rows.iter().take(per_day).filter(|row| champion.is_fraud[**row]);
                naive += caught.map(|row| champion.amount[*row]).sum::<f64>();
            }
            assert_eq!(judge.money_caught(per_day as u32, &[1; 4_000]), naive, "{per_day}");
            let reviewed = judge.reviewed(per_day as u32).iter().filter(|it| **it).count();
            assert_eq!(reviewed, per_day.min(1_000) * 4);
        }
    }
}
