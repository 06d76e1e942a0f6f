//! A decision tree as trainers and importers hand it over: consumes a row, produces a leaf, in the
//! plainest form. What scores payments is made from it ([`super::forest`]), and compared with it.

use super::{ModelError, column::ZERO_MAX};

/// Which child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Of the values that are at most the threshold.
    Left,
    /// Of the values above it.
    Right,
}

/// What is a missing value at a split, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// NaN goes to this side.
    NanGoes(Side),
    /// NaN is taken for 0.
    NanIsZero,
    /// NaN, and 0 (to within 1e-35), go to this side.
    ZeroGoes(Side),
}

/// A node of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// Left when the feature is at most the threshold.
    Split {
        /// Index of the feature.
        feature: usize,
        /// Below infinity. Use [`threshold`] to take one over from a wider float.
        threshold: f32,
        /// What happens to missing values.
        missing: Missing,
        /// Index of the left child.
        left: usize,
        /// Index of the right child.
        right: usize,
    },
    /// An end.
    Leaf {
        /// What the tree adds to the score.
        value: f32,
        /// How many rows, or how much of their weight, ended here in training: what contributions
        /// are relative to. Not negative.
        cover: f32,
    },
}

/// The threshold for features of 32 bits that decides as this one does: the nearest below it. Rounded
/// to nearest, it could come to lie on or above a value that it is below. LightGBM has infinite
/// thresholds, where a split is on missing or not: they become the greatest finite one.
#[must_use]
pub fn threshold(wide: f64) -> f32 {
    let near = wide as f32;
    if f64::from(near) > wide { near.next_down() } else { near.min(f32::MAX) }
}

/// A binary tree; the root is the first node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// In any order, but for the root.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Deepest tree that is taken: more than any trainer grows with sensible settings.
    pub const DEPTH_MAX: u32 = 128;

    /// Largest tree that is taken: its nodes are counted in 16 bits.
    pub const NODES_MAX: usize = 1 << 16;

    /// Index of the leaf that a row ends in.
    ///
    /// # Panics
    /// When the tree is none, or the row is too short.
    #[must_use]
    pub fn leaf_of(&self, row: &[f32]) -> usize {
        let mut at = 0;
        while let Node::Split { feature, threshold, missing, left, right } = self.nodes[at] {
            let value = row[feature];
            let side = match missing {
                Missing::NanGoes(side) if value.is_nan() => side,
                Missing::ZeroGoes(side) if value.is_nan() || value.abs() <= ZERO_MAX => side,
                Missing::NanIsZero if value.is_nan() && 0.0 <= threshold => Side::Left,
                _ if value <= threshold => Side::Left,
                _ => Side::Right,
            };
            at = if side == Side::Left { left } else { right };
        }
        at
    }

    /// What the tree adds to the score of a row.
    ///
    /// # Panics
    /// As [`Self::leaf_of`].
    #[must_use]
    pub fn value_of(&self, row: &[f32]) -> f32 {
        match self.nodes[self.leaf_of(row)] {
            Node::Leaf { value, .. } => value,
            Node::Split { .. } => f32::NAN,
        }
    }

    /// Sets each leaf's cover to the number of these rows that end in it.
    ///
    /// # Panics
    /// As [`Self::leaf_of`].
    pub fn count_covers(&mut self, rows: &[f32], stride: usize) {
        let mut counts = vec![0_u32; self.nodes.len()];
        rows.chunks_exact(stride).for_each(|row| counts[self.leaf_of(row)] += 1);
        for (node, count) in self.nodes.iter_mut().zip(counts) {
            if let Node::Leaf { cover, .. } = node {
                *cover = count as f32;
            }
        }
    }

    /// The mean of each node: that of the leaves below it, weighted by cover.
    ///
    /// # Errors
    /// When this is no binary tree, or has numbers that make no sense.
    pub(super) fn check(&self, number: usize, features: usize) -> Result<Vec<f32>, ModelError> {
        let wrong = |reason: &str| ModelError::Tree { tree: number, reason: reason.to_owned() };
        let mut seen = vec![false; self.nodes.len()];
        let mut order = vec![(0, 0)];
        let mut next = 0;
        while let Some(&(at, depth)) = order.get(next) {
            next += 1;
            if seen.get_mut(at).is_some_and(|seen| std::mem::replace(seen, true)) {
                return Err(wrong("leads to a node twice"));
            }
            match self.nodes.get(at) {
                None => return Err(wrong("names a node that is not there")),
                Some(&Node::Leaf { value, cover }) => {
                    if !value.is_finite() || !cover.is_finite() || cover < 0.0 {
                        return Err(wrong("has a leaf whose value or cover is no proper number"));
                    }
                }
                Some(&Node::Split { feature, threshold, left, right, .. }) => {
                    if feature >= features {
                        return Err(wrong("splits on a feature that is not there"));
                    }
                    if threshold.is_nan() || threshold == f32::INFINITY {
                        return Err(wrong("has a threshold that nothing can be above"));
                    }
                    if depth == Self::DEPTH_MAX {
                        return Err(wrong("is deeper than 128; train it with a maximum depth"));
                    }
                    order.extend([(left, depth + 1), (right, depth + 1)]);
                }
            }
        }
        if order.len() != self.nodes.len() {
            return Err(wrong("has nodes that nothing leads to"));
        }
        // Covers and sums from the leaves up; where nothing ended, every leaf counts the same.
        let mut below = vec![(0.0_f64, 0.0_f64); self.nodes.len()];
        let mut means = vec![0.0; self.nodes.len()];
        for &(at, _) in order.iter().rev() {
            below[at] = match self.nodes[at] {
                Node::Leaf { value, cover } => (f64::from(cover).max(1e-6), f64::from(value)),
                Node::Split { left, right, .. } => {
                    let ((a, mean_a), (b, mean_b)) = (below[left], below[right]);
                    (a + b, (a * mean_a + b * mean_b) / (a + b))
                }
            };
            means[at] = below[at].1 as f32;
        }
        Ok(means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_rounded_down() {
        for (wide, expected) in [
            (0.5, 0.5),
            (0.1, 0.1_f32.next_down()),
            (f64::from(0.1_f32), 0.1),
            (-0.1, -0.1),
            (1e300, f32::MAX),
            (-1e300, f32::NEG_INFINITY),
            (f64::INFINITY, f32::MAX),
            (1e-60, 0.0),
            (-1e-60, -f32::from_bits(1)),
        ] {
            assert_eq!(threshold(wide), expected, "{wide}");
            let near = [expected.next_down(), expected, expected.next_up()];
            for value in near.into_iter().filter(|value| value.is_finite()) {
                assert_eq!(f64::from(value) <= wide, value <= threshold(wide), "{value} at {wide}");
            }
        }
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let leaf = Node::Leaf { value: 1.0, cover: 1.0 };
        let split = |feature, left, right| {
            let missing = Missing::NanGoes(Side::Left);
            Node::Split { feature, threshold: 0.0, missing, left, right }
        };
        let endless = Node::Leaf { value: f32::INFINITY, cover: 1.0 };
        for (nodes, reason) in [
            (vec![], "names a node that is not there"),
            (vec![split(0, 1, 2), leaf], "names a node that is not there"),
            (vec![split(2, 1, 2), leaf, leaf], "splits on a feature that is not there"),
            (vec![split(0, 1, 1), leaf], "leads to a node twice"),
            (vec![split(0, 0, 1), leaf, leaf], "leads to a node twice"),
            (vec![split(0, 1, 1), leaf, leaf], "leads to a node twice"),
            (vec![leaf, leaf], "has nodes that nothing leads to"),
            (vec![endless], "has a leaf whose value or cover is no proper number"),
        ] {
            let error = Tree { nodes }.check(3, 2).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        }
        let tree =
            Tree { nodes: vec![split(1, 2, 1), leaf, Node::Leaf { value: 4.0, cover: 3.0 }] };
        let means = tree.check(0, 2).expect("a tree");
        assert_eq!(means, [13.0 / 4.0, 1.0, 4.0]);
    }
}
