//! Three levels of a tree at once: consumes a tile of rows, produces their sums, or where in a deeper
//! tree they have come to.
//!
//! All seven comparisons of the levels are made for all rows of the tile, and the node below is picked
//! by them: no row looks anything up by itself, so that the compiler makes vector instructions of it.
//! Measured against walking from node to node: twice as fast at three levels, a fifth faster at
//! four, slower at five.

use super::{column::LANES, forest::FlatNode};

/// Levels that are taken at once.
pub(super) const LEVELS: u32 = 3;

/// Turns the order of keys into that of signed numbers, which is what vectors can compare.
pub(super) const SIGN: u32 = 1 << 31;

/// The first levels of a tree made full: splits breadth first, what is below from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct FullTree {
    /// Where each split's column begins in a tile.
    lanes: [u32; 7],
    thresholds: [i32; 7],
    /// Bits of the values of leaves, or indices of nodes, counted from the root.
    below: [i32; 8],
}

/// A forest of trees of so few levels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shallow(Vec<FullTree>);

impl Shallow {
    /// None when a tree is too deep, or when there is nothing to compare.
    pub(super) fn new(nodes: &[FlatNode], roots: &[(u32, u32)]) -> Option<Self> {
        let deepest = roots.iter().map(|(_, depth)| *depth).max()?;
        let value = |at: u32| nodes[at as usize].value.to_bits().cast_signed();
        let full = |&(root, _): &(u32, u32)| fill_up(nodes, root, value);
        (1..=LEVELS).contains(&deepest).then(|| Self(roots.iter().map(full).collect()))
    }

    /// The sums of the rows whose keys these are, which are turned into signed ones. Always inlined:
    /// the caller chooses the vector instructions.
    #[inline(always)]
    pub(super) fn sum_tile(&self, keys: &mut [u32], base: f64) -> [f64; LANES] {
        sign(keys);
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

/// The first levels of deeper trees.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tops(Vec<FullTree>);

impl Tops {
    /// Of each tree.
    pub(super) fn new(nodes: &[FlatNode], roots: &[(u32, u32)]) -> Self {
        let full = |&(root, _): &(u32, u32)| fill_up(nodes, root, |at| (at - root).cast_signed());
        Self(roots.iter().map(full).collect())
    }

    /// Where the rows of a tile of signed keys come to in the tree of this number: nodes, counted from
    /// its root. Always inlined, as [`Shallow::sum_tile`].
    #[inline(always)]
    pub(super) fn below(&self, tree: usize, tile: &[u32]) -> [u32; LANES] {
        self.0[tree].pick(tile).map(i32::cast_unsigned)
    }
}

/// Makes keys signed.
#[inline(always)]
pub(super) fn sign(keys: &mut [u32]) {
    keys.iter_mut().for_each(|key| *key ^= SIGN);
}

impl FullTree {
    /// What each row has below.
    #[inline(always)]
    fn pick(&self, tile: &[u32]) -> [i32; LANES] {
        let column = |lanes: u32| -> &[u32; LANES] {
            tile[lanes as usize..].first_chunk().expect("a column is a whole tile wide")
        };
        let [a, b, c, d, e, f, g] = self.lanes.map(column);
        let leaf = &self.below;
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
fn fill_up(nodes: &[FlatNode], root: u32, of: impl Fn(u32) -> i32) -> FullTree {
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
    tree.below = level.map(of);
    tree
}
