//! Trees of at most three levels: consumes a tile of rows, produces their sums.
//!
//! All seven comparisons of a tree are made for all rows of the tile, and the leaf is picked by
//! them: no row looks anything up by itself, so that the compiler makes vector instructions of it.
//! At three levels this is three times faster than walking from node to node; at four it isn't.

use super::{column::LANES, forest::FlatNode};

/// Deepest tree that is evaluated so.
const DEPTH_MAX: u32 = 3;

/// A tree made full: splits breadth first, leaves from left to right.
#[derive(Clone, Copy, Debug, PartialEq)]
struct FullTree {
    columns: [u32; 7],
    thresholds: [f32; 7],
    leaves: [f32; 8],
}

/// A forest of such trees.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shallow(Vec<FullTree>);

impl Shallow {
    /// None when a tree is too deep, or when there is no column to compare.
    pub(super) fn new(nodes: &[FlatNode], roots: &[(u32, u32)]) -> Option<Self> {
        let deepest = roots.iter().map(|(_, depth)| *depth).max()?;
        let full = |&(root, _): &(u32, u32)| fill_up(nodes, root);
        (1..=DEPTH_MAX).contains(&deepest).then(|| Self(roots.iter().map(full).collect()))
    }

    /// The sums of the tile's rows.
    pub(super) fn sum_tile(&self, tile: &[f32], base: f64) -> [f64; LANES] {
        let mut sums = [base; LANES];
        for tree in &self.0 {
            tree.add_tile(tile, &mut sums);
        }
        sums
    }
}

impl FullTree {
    #[inline]
    fn add_tile(&self, tile: &[f32], sums: &mut [f64; LANES]) {
        let column = |k: usize| -> &[f32; LANES] {
            tile[self.columns[k] as usize..].first_chunk().expect("a column is a whole tile wide")
        };
        let [a, b, c, d, e, f, g] = [0, 1, 2, 3, 4, 5, 6].map(column);
        let t = &self.thresholds;
        let leaf = &self.leaves;
        for lane in 0..LANES {
            let ll = pick(d[lane] > t[3], leaf[0], leaf[1]);
            let lr = pick(e[lane] > t[4], leaf[2], leaf[3]);
            let rl = pick(f[lane] > t[5], leaf[4], leaf[5]);
            let rr = pick(g[lane] > t[6], leaf[6], leaf[7]);
            let left = pick(b[lane] > t[1], ll, lr);
            let right = pick(c[lane] > t[2], rl, rr);
            sums[lane] += f64::from(pick(a[lane] > t[0], left, right));
        }
    }
}

#[inline]
fn pick(right: bool, if_left: f32, if_right: f32) -> f32 {
    if right { if_right } else { if_left }
}

/// A leaf above the last level becomes a split below which all is that leaf.
fn fill_up(nodes: &[FlatNode], root: u32) -> FullTree {
    let mut level = [root; 8];
    let mut tree = FullTree { columns: [0; 7], thresholds: [0.0; 7], leaves: [0.0; 8] };
    for depth in 0..DEPTH_MAX {
        let width = 1 << depth;
        let parents = level;
        for place in 0..width {
            let at = parents[place];
            let node = &nodes[at as usize];
            tree.columns[width - 1 + place] = node.column;
            tree.thresholds[width - 1 + place] = node.threshold;
            let right = if node.left == at { at } else { node.left + 1 };
            (level[2 * place], level[2 * place + 1]) = (node.left, right);
        }
    }
    tree.leaves = level.map(|at| nodes[at as usize].value);
    tree
}
