//! Isolation forest: consumes rows, no labels; produces trees whose sum is the mean number of
//! splits until a row is alone, few for a row that is unlike the others.
//!
//! After F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest" (2008).

use millrace_risk::model::{Kind, Link, Missing, Model, Node, Side, Tree};

use super::{Dataset, TrainError, error::within, model_of_trees};
use crate::random::Random;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Isolation {
    /// How many trees: 1 to 5,000.
    pub trees: usize,
    /// Rows that each tree is grown from: 2 to 16,384.
    pub sample: usize,
}

impl Default for Isolation {
    fn default() -> Self {
        Self { trees: 100, sample: 256 }
    }
}

impl Isolation {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        within("trees", self.trees as f64, 1.0, 5_000.0)?;
        within("sample", self.sample as f64, 2.0, 16_384.0)
    }

    pub(super) fn fit(
        &self,
        rows: &Dataset<'_>,
        seed: u64,
        report: &mut dyn FnMut(usize, usize),
    ) -> Result<Model, TrainError> {
        let sample = self.sample.min(rows.len());
        let depth_max = (sample.max(2) as f64).log2().ceil() as u32;
        let mut trees = Vec::with_capacity(self.trees);
        for number in 0..self.trees {
            report(number, self.trees);
            let mut random = Random::new(seed, 1_000_000 + number as u64);
            let mut grown = Vec::new();
            let picked = pick(&mut random, sample, rows.len());
            let mut growth = Growth { rows, random, depth_max, share: 1.0 / self.trees as f64 };
            growth.grow(picked, 0, &mut grown);
            trees.push(Tree { nodes: grown });
        }
        report(self.trees, self.trees);
        let link = Link::Anomaly { path: mean_path(sample).max(1e-3) };
        model_of_trees(Kind::IsolationForest, rows, trees, 0.0, link)
    }
}

/// Different rows, without a list of all: R. Floyd's sampling.
fn pick(random: &mut Random, count: usize, end: usize) -> Vec<usize> {
    let mut picked = std::collections::BTreeSet::new();
    for last in end - count..end {
        let row = random.below(last + 1);
        let new = if picked.contains(&row) { last } else { row };
        picked.insert(new);
    }
    picked.into_iter().collect()
}

/// Mean length of an unsuccessful search in a binary search tree of so many rows.
fn mean_path(rows: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    let n = rows as f64;
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => 2.0 * ((n - 1.0).ln() + EULER) - 2.0 * (n - 1.0) / n,
    }
}

struct Growth<'a> {
    rows: &'a Dataset<'a>,
    random: Random,
    depth_max: u32,
    /// Of each tree in the mean.
    share: f64,
}

impl Growth<'_> {
    fn grow(&mut self, picked: Vec<usize>, depth: u32, nodes: &mut Vec<Node>) -> usize {
        let at = nodes.len();
        let path = f64::from(depth) + mean_path(picked.len());
        nodes.push(Node::Leaf { value: (path * self.share) as f32, cover: 0.0 });
        if picked.len() < 2 || depth == self.depth_max {
            return at;
        }
        let Some((feature, threshold)) = self.split(&picked) else { return at };
        let value = |row: &usize| self.rows.rows[row * self.rows.stride() + feature];
        let below = picked.iter().filter(|row| value(row) <= threshold).count();
        let above = picked.iter().filter(|row| value(row) > threshold).count();
        let side = if below >= above { Side::Left } else { Side::Right };
        let goes_left = |row: &usize| match value(row) {
            missing if missing.is_nan() => side == Side::Left,
            value => value <= threshold,
        };
        let (left, right) = picked.into_iter().partition(goes_left);
        let missing = Missing::NanGoes(side);
        let left = self.grow(left, depth + 1, nodes);
        let right = self.grow(right, depth + 1, nodes);
        nodes[at] = Node::Split { feature, threshold, missing, left, right };
        at
    }

    /// A feature in which the rows differ, and a place between its least and greatest value. None
    /// when they are all alike.
    fn split(&mut self, picked: &[usize]) -> Option<(usize, f32)> {
        let features = self.rows.stride();
        for feature in self.random.choose(features, features) {
            let values = picked.iter().map(|row| self.rows.rows[row * features + feature]);
            let least = values.clone().fold(f32::NAN, f32::min);
            let greatest = values.fold(f32::NAN, f32::max);
            if least < greatest {
                let (low, high) = (f64::from(least), f64::from(greatest));
                let at = (low + self.random.share() * (high - low)) as f32;
                return Some((feature, at.clamp(least, greatest.next_down())));
            }
        }
        None
    }
}
