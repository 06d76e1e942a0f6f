//! Trees of at most three levels: consumes a tile of rows, produces their sums.
//!
//! All seven comparisons of a tree are made for all rows of the tile, and the leaf is picked by
//! them: no row looks anything up by itself, so that the compiler makes vector instructions of it.
//! Measured against walking from node to node: twice as fast at three levels, a fifth faster at
//! four, slower at five.

use super::{column::LANES, forest::FlatNode};

const DEPTH_MAX: u32 = 3;

/// Turns the order of keys into that of signed numbers, which is what vectors can compare.
const SIGN: u32 = 1 << 31;

/// A tree made full: splits breadth first, leaves from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct FullTree {
    /// Where each split's column begins in a tile.
    lanes: [u32; 7],
    thresholds: [i32; 7],
    /// Bits of their values.
    leaves: [i32; 8],
}

/// A forest of such trees.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shallow(Vec<FullTree>);

impl Shallow {
    /// None when a tree is too deep, or when there is nothing to compare.
    pub(super) fn new(nodes: &[FlatNode], roots: &[(u32, u32)]) -> Option<Self> {
        let deepest = roots.iter().map(|(_, depth)| *depth).max()?;
        let full = |&(root, _): &(u32, u32)| fill_up(nodes, root);
        (1..=DEPTH_MAX).contains(&deepest).then(|| Self(roots.iter().map(full).collect()))
    }

    /// The sums of the rows whose keys these are, which are turned into signed ones. Always inlined:
    /// the caller chooses the vector instructions.
    #[inline(always)]
    pub(super) fn sum_tile(&self, keys: &mut [u32], base: f64) -> [f64; LANES] {
        keys.iter_mut().for_each(|key| *key ^= SIGN);
        let mut sums = [base; LANES];
        for tree in &self.0 {
            let leaves = tree.pick(keys);
            for (sum, leaf) in sums.iter_mut().zip(leaves) {
                *sum += f64::from(f32::from_bits(leaf.cast_unsigned()));
            }
        }
        sums
    }
}

impl FullTree {
    /// The bits of each row's leaf.
    #[inline(always)]
    fn pick(&self, tile: &[u32]) -> [i32; LANES] {
        // No `map` over them: that is not always compiled into its caller, and then for the narrowest
        // vectors.
        let column = |split: usize| -> &[u32; LANES] {
            let from = self.lanes[split] as usize;
            tile[from..].first_chunk().expect("a column is a whole tile wide")
        };
        let (a, b, c) = (column(0), column(1), column(2));
        let (d, e, f, g) = (column(3), column(4), column(5), column(6));
        let leaf = &self.leaves;
        let mut picked = [0; LANES];
        for lane in 0..LANES {
            let right = |column: &[u32; LANES], split: usize| {
                column[lane].cast_signed() > self.thresholds[split]
            };
            let ll = choose(right(d, 3), leaf[0], leaf[1]);
            let lr = choose(right(e, 4), leaf[2], leaf[3]);
            let rl = choose(right(f, 5), leaf[4], leaf[5]);
            let rr = choose(right(g, 6), leaf[6], leaf[7]);
            let (l, r) = (choose(right(b, 1), ll, lr), choose(right(c, 2), rl, rr));
            picked[lane] = choose(right(a, 0), l, r);
        }
        picked
    }
}

/// Without a branch, and in a form that is one of vector instructions.
#[inline(always)]
fn choose(right: bool, if_left: i32, if_right: i32) -> i32 {
    if_left ^ (-i32::from(right) & (if_left ^ if_right))
}

/// A leaf above the last level becomes a split below which all is that leaf.
fn fill_up(nodes: &[FlatNode], root: u32) -> FullTree {
    let mut tree = FullTree::default();
    let mut level = [root; 8];
    for width in [1, 2, 4] {
        let parents = level;
        for place in 0..width {
            let at = parents[place];
            let node = &nodes[at as usize];
            tree.lanes[width - 1 + place] = node.column * LANES as u32;
            tree.thresholds[width - 1 + place] = (node.threshold ^ SIGN).cast_signed();
            let right = if node.left == at { at } else { node.left + 1 };
            (level[2 * place], level[2 * place + 1]) = (node.left, right);
        }
    }
    tree.leaves = level.map(|at| nodes[at as usize].value.to_bits().cast_signed());
    tree
}
