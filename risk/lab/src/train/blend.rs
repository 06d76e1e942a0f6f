//! Blends: consumes labelled rows, produces one sum of trees that were boosted on different losses.
//!
//! Squared error looks at the few payments that are surely fraud, log loss at the order of all others
//! as well. On the earlier weeks of the book's data, their sum is better than either
//! (docs/risk/results.md); a sum of sums of trees is a sum of trees, so it is scored as fast.

use millrace_risk::model::{Kind, Link, Model, Node, Tree};

use super::{Boosting, Dataset, Loss, TrainError, error::within, model_of_trees};

/// Boosted sums, and what each counts for. The first one's scale is that of the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Blend {
    /// At least one; factors are above 0.
    pub parts: Vec<(Boosting, f64)>,
}

impl Default for Blend {
    fn default() -> Self {
        let of = |loss, trees| Boosting {
            loss,
            trees,
            depth: 3,
            learning_rate: 0.1,
            ..Boosting::default()
        };
        Self { parts: vec![(of(Loss::Squared, 200), 1.0), (of(Loss::Logistic, 100), 0.02)] }
    }
}

impl Blend {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        within("the number of parts", self.parts.len() as f64, 1.0, 16.0)?;
        self.parts.iter().try_for_each(|(boosting, factor)| {
            within("the factor of a part", *factor, 1e-9, 1e9)?;
            boosting.check()
        })
    }

    pub(super) fn fit(
        &self,
        rows: &Dataset<'_>,
        seed: u64,
        report: &mut dyn FnMut(usize, usize),
    ) -> Result<Model, TrainError> {
        let all = self.parts.iter().map(|(boosting, _)| boosting.trees).sum();
        let (mut trees, mut base) = (Vec::with_capacity(all), 0.0);
        for (boosting, factor) in &self.parts {
            let before = trees.len();
            let grown = boosting.grow_all(rows, seed, &mut |done| report(before + done, all));
            trees.extend(grown.0.into_iter().map(|tree| times(tree, *factor)));
            base += grown.1 * factor;
        }
        model_of_trees(Kind::Boosting, rows, trees, base, Link::Identity)
    }
}

fn times(mut tree: Tree, factor: f64) -> Tree {
    for node in &mut tree.nodes {
        if let Node::Leaf { value, .. } = node {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blend_is_the_sum_of_its_parts() {
        let features = ["a", "b"].map(str::to_owned);
        let noise = |n: u32| (n.wrapping_mul(2_654_435_761) >> 20) as f32 / 4_096.0;
        let rows: Vec<f32> = (0..2_000).map(noise).collect();
        let labels: Vec<bool> = rows.chunks_exact(2).map(|row| row[0] * row[1] > 0.6).collect();
        let dataset = Dataset { features: &features, rows: &rows, labels: &labels, weights: None };
        let mut blend = Blend::default();
        blend.parts.iter_mut().for_each(|(boosting, _)| boosting.trees = 20);
        let sums = |model: &Model| {
            let mut sums = vec![0.0; labels.len()];
            model.score_raw(&rows, &mut sums);
            sums
        };
        let whole = sums(&blend.fit(&dataset, 1, &mut |_, _| ()).expect("trained"));
        let parts: Vec<_> = blend
            .parts
            .iter()
            .map(|(part, _)| sums(&part.fit(&dataset, 1, &mut |_, _| ()).expect("trained")))
            .collect();
        for (row, sum) in whole.iter().enumerate() {
            let expected = parts[0][row] + 0.02 * parts[1][row];
            assert!((sum - expected).abs() < 1e-6, "row {row}: {sum} is not {expected}");
        }
        assert!(whole.iter().any(|sum| (sum - whole[0]).abs() > 0.3), "something was learned");
    }
}
