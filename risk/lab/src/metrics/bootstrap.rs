//! Bootstrap: consumes customers and a metric, produces the interval in which the metric would lie
//! on other customers like these.
//!
//! Efron and Tibshirani 1993, percentile intervals. Whole customers are drawn, not payments: the
//! payments of one customer resemble each other, and drawing them one by one would make intervals
//! too narrow (the cluster bootstrap, Field and Welsh 2007). Several metrics of the same draw are
//! paired, so that the interval of a difference of two models is that of the difference.

use serde::Serialize;

use crate::random::Random;

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bootstrap {
    /// How many times the customers are drawn.
    pub samples: u32,
    /// The same seed draws the same customers.
    pub seed: u64,
    /// The probability that the interval is to hold, such as 0.95.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { samples: 500, seed: 1, level: 0.95 }
    }
}

/// A figure and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// On the payments as they are.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation over the draws.
    pub deviation: f64,
}

impl Interval {
    /// Whether the interval leaves out 0: for a difference, whether it is more than chance.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// How often each customer and each row was drawn.
#[derive(Clone, Debug, Default)]
pub struct Resample {
    /// By number of customer.
    pub customers: Vec<u32>,
    /// By row.
    pub rows: Vec<u32>,
}

/// A figure of a draw; `None` if it does not exist there.
pub type Metric<'a> = dyn Fn(&Resample) -> Option<f64> + 'a;

impl Bootstrap {
    /// The intervals of metrics, all on the same draws. `customer` holds one number per row. A
    /// metric that does not exist on the payments as they are has no interval.
    pub fn intervals(&self, customer: &[u32], metrics: &[&Metric<'_>]) -> Vec<Option<Interval>> {
        let mut drawn = Vec::new();
        let numbers = customer.iter().max().map_or(0, |max| *max as usize + 1);
        let mut is_present = vec![false; numbers];
        customer.iter().for_each(|customer| is_present[*customer as usize] = true);
        let present: Vec<u32> =
            (0..numbers as u32).filter(|customer| is_present[*customer as usize]).collect();
        let once = is_present.iter().map(|is_present| u32::from(*is_present)).collect();
        let whole = Resample { customers: once, rows: vec![1; customer.len()] };
        let values: Vec<_> = metrics.iter().map(|metric| metric(&whole)).collect();
        let (mut random, mut sample) = (Random::seeded(self.seed), whole);
        for _ in 0..self.samples {
            sample.customers.fill(0);
            for _ in 0..present.len() {
                let one = present[random.below(present.len())];
                sample.customers[one as usize] += 1;
            }
            for (row, customer) in sample.rows.iter_mut().zip(customer) {
                *row = sample.customers[*customer as usize];
            }
            drawn.push(metrics.iter().map(|metric| metric(&sample)).collect::<Vec<_>>());
        }
        let interval = |(metric, value): (usize, &Option<f64>)| {
            let draws = drawn.iter().filter_map(|draw| draw[metric]).collect();
            value.map(|value| self.interval(value, draws))
        };
        values.iter().enumerate().map(interval).collect()
    }

    fn interval(&self, value: f64, mut draws: Vec<f64>) -> Interval {
        if draws.is_empty() {
            return Interval { value, low: value, high: value, deviation: 0.0 };
        }
        draws.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let squares: f64 = draws.iter().map(|draw| (draw - mean) * (draw - mean)).sum();
        Interval {
            value,
            low: quantile(&draws, tail),
            high: quantile(&draws, 1.0 - tail),
            deviation: (squares / (draws.len().max(2) - 1) as f64).sqrt(),
        }
    }
}

/// Linear between neighbours (Hyndman and Fan 1996, type 7).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    below + (sorted[place.ceil() as usize] - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of n values has a known deviation: that of the values over the root of n.
    #[test]
    fn the_interval_of_a_mean_is_as_the_theory_says() {
        let values: Vec<f64> = (0..400).map(|n| f64::from(n % 20)).collect();
        let customer: Vec<u32> = (0..400).collect();
        let mean = |sample: &Resample| {
            let sum: f64 =
                values.iter().zip(&sample.rows).map(|(value, n)| value * f64::from(*n)).sum();
            Some(sum / 400.0)
        };
        let bootstrap = Bootstrap { samples: 2_000, ..Bootstrap::default() };
        let interval = bootstrap.intervals(&customer, &[&mean])[0].expect("it exists");
        let expected = (399.0_f64 / 12.0).sqrt() / 20.0;
        assert_eq!(interval.value, 9.5);
        assert!((interval.deviation / expected - 1.0).abs() < 0.05, "{interval:?}");
        assert!((interval.high - 9.5 - 1.96 * expected).abs() < 0.05, "{interval:?}");
        assert!((9.5 - interval.low - 1.96 * expected).abs() < 0.05, "{interval:?}");
        assert_eq!(bootstrap.intervals(&customer, &[&mean])[0], Some(interval), "same seed");
        let other = Bootstrap { seed: 2, ..bootstrap }.intervals(&customer, &[&mean]);
        assert_ne!(other[0], Some(interval), "another seed");
    }

    #[test]
    fn customers_are_drawn_whole_and_differences_are_paired() {
        let customer = [3, 3, 3, 5, 5, 9];
        let rows_of_three = |sample: &Resample| {
            assert_eq!(sample.rows[0], sample.rows[2]);
            assert_eq!(sample.rows[5], sample.customers[9]);
            assert_eq!(sample.customers[0], 0, "nobody has this number");
            assert_eq!(sample.customers.iter().sum::<u32>() % 3, 0);
            Some(f64::from(sample.rows[0]))
        };
        let shifted = |sample: &Resample| rows_of_three(sample).map(|rows| rows + 0.25);
        let difference =
            |sample: &Resample| shifted(sample).zip(rows_of_three(sample)).map(|(a, b)| a - b);
        let never = |_: &Resample| None;
        let intervals =
            Bootstrap::default().intervals(&customer, &[&rows_of_three, &difference, &never]);
        let paired = intervals[1].expect("it exists");
        assert_eq!((paired.low, paired.high, paired.deviation), (0.25, 0.25, 0.0));
        assert!(paired.excludes_zero());
        assert!(intervals[0].expect("it exists").deviation > 0.1);
        assert_eq!(intervals[2], None);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        for (share, expected) in [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.1, 1.3)] {
            let found = quantile(&[1.0, 2.0, 3.0, 4.0], share);
            assert!((found - expected).abs() < 1e-12, "{share}: {found}");
        }
    }
}
