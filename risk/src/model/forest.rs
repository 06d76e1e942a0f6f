//! A sum of trees, made to be scored fast: consumes rows of features, produces a sum per row.
//!
//! Guarantees that a row's sum is the same to the last bit, alone or in a block, and that of the
//! plain trees it was made from. Nothing branches on what the data says: every row takes as many
//! steps as its tree is deep, a leaf leading to itself, and 16 rows take them side by side.

use std::collections::BTreeMap;

use pulp::{Arch, Simd, WithSimd};

use super::{
    Missing, ModelError, Node, Side, Tree,
    column::{Column, Form, LANES, fill_tile, key},
    shallow::Shallow,
};

/// Most columns: their lanes are counted in 16 bits.
pub(super) const COLUMNS_MAX: usize = 4_096;

/// Rows that go through one tree before the next tree is fetched.
const BLOCK: usize = 1_024;

/// Trees that a single row goes through side by side.
const TREES_ABREAST: usize = 16;

/// Most columns of a forest whose single rows go by [`Hop`]s. A power of two.
const HOP_COLUMNS_MAX: usize = 64;

/// What a step of a block needs of a node, in 8 bytes, so that a tree of depth 10 stays in the
/// nearest cache.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    threshold: u32,
    /// Where the column's lanes begin in a tile.
    lanes: u16,
    /// Counted from the tree's root.
    left: u16,
}

impl Step {
    fn new(node: &FlatNode, root: u32) -> Self {
        let lanes = node.column as u16 * LANES as u16;
        Self { threshold: node.threshold, lanes, left: (node.left - root) as u16 }
    }
}

/// What a step of a single row needs of a node, in 8 bytes, so that a forest of depth 10 stays in
/// the second nearest cache.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hop {
    threshold: u32,
    /// Index of the left child, times [`HOP_COLUMNS_MAX`], plus the column.
    left_and_column: u32,
}

impl Hop {
    /// None when there are too many nodes or columns for 32 bits.
    fn new(node: &FlatNode) -> Option<Self> {
        let left = node.left.checked_mul(HOP_COLUMNS_MAX as u32)?;
        let fits = (node.column as usize) < HOP_COLUMNS_MAX;
        fits.then(|| Self { threshold: node.threshold, left_and_column: left + node.column })
    }
}

/// A split or a leaf, in 16 bytes. A leaf leads to itself: nothing is above its threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FlatNode {
    /// The key of the threshold: right when that of the column's number is above it.
    pub(super) threshold: u32,
    /// Index of the column; 0 in a leaf.
    pub(super) column: u32,
    /// Index of the left child; the right one follows it.
    pub(super) left: u32,
    /// In a leaf, what the tree adds to the sum. In a split, the mean of the leaves below it.
    pub(super) value: f32,
}

impl FlatNode {
    /// The leaf at this index.
    pub(super) fn leaf(at: u32, value: f32) -> Self {
        Self { threshold: key(f32::INFINITY), column: 0, left: at, value }
    }
}

/// The trees, one after another, each breadth first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Forest {
    /// Of the model's features.
    pub(super) columns: Vec<Column>,
    /// The same columns, of the numbers of a row: where each is read.
    read: Vec<Column>,
    pub(super) nodes: Vec<FlatNode>,
    /// Of each tree, its root's index and its depth.
    pub(super) roots: Vec<(u32, u32)>,
    /// What a row starts from.
    pub(super) base: f64,
    /// As the nodes.
    steps: Vec<Step>,
    /// Of the nodes.
    values: Vec<f32>,
    /// As the nodes; none where they don't fit.
    hops: Option<Vec<Hop>>,
    shallow: Option<Shallow>,
}

impl Forest {
    /// Checks plain trees and lays them out.
    pub(super) fn new(trees: &[Tree], features: usize, base: f64) -> Result<Self, ModelError> {
        if trees.is_empty() || !base.is_finite() {
            let reason = "there must be at least one tree, and a base that is a number".to_owned();
            return Err(ModelError::Tree { tree: 0, reason });
        }
        let mut numbers = BTreeMap::new();
        let (mut nodes, mut roots) = (Vec::new(), Vec::new());
        for (number, tree) in trees.iter().enumerate() {
            let means = tree.check(number, features)?;
            let root = nodes.len();
            let depth = lay_out(tree, &means, &mut numbers, &mut nodes);
            if nodes.len() - root > Tree::NODES_MAX {
                let reason = "has more than 65,536 nodes; train it with a maximum depth".to_owned();
                return Err(ModelError::Tree { tree: number, reason });
            }
            if u32::try_from(nodes.len()).is_err() {
                let reason = "is one too many: a model has at most 2^32 nodes".to_owned();
                return Err(ModelError::Tree { tree: number, reason });
            }
            roots.push((root as u32, depth));
        }
        let mut columns: Vec<_> = numbers.into_iter().collect();
        columns.sort_by_key(|(_, number)| *number);
        let columns: Vec<_> = columns.into_iter().map(|(column, _)| column).collect();
        if columns.len() > COLUMNS_MAX {
            let reason = "makes it 4,097 features that nodes compare, missing values to the left and \
                          to the right counted apart";
            return Err(ModelError::Tree { tree: trees.len() - 1, reason: reason.to_owned() });
        }
        Ok(Self::assembled(columns, nodes, roots, base))
    }

    /// From parts that were checked.
    pub(super) fn assembled(
        columns: Vec<Column>,
        nodes: Vec<FlatNode>,
        roots: Vec<(u32, u32)>,
        base: f64,
    ) -> Self {
        let shallow = Shallow::new(&nodes, &roots);
        let values = nodes.iter().map(|node| node.value).collect();
        let ends = roots.iter().skip(1).map(|(root, _)| *root as usize).chain([nodes.len()]);
        let mut steps = Vec::with_capacity(nodes.len());
        for (&(root, _), end) in roots.iter().zip(ends) {
            steps.extend(nodes[root as usize..end].iter().map(|node| Step::new(node, root)));
        }
        let hops = nodes.iter().map(Hop::new).collect();
        let read = columns.clone();
        Self { columns, read, nodes, roots, base, steps, values, hops, shallow }
    }

    /// The same, for rows that have the features in these places.
    pub(super) fn reading(mut self, places: &[u32]) -> Self {
        let place =
            |column: &Column| Column { feature: places[column.feature as usize], ..*column };
        self.read = self.columns.iter().map(place).collect();
        self
    }

    /// Writes each row's sum.
    pub(super) fn sum(&self, rows: &[f32], stride: usize, sums: &mut [f64]) {
        // A tile costs as much for one row as for sixteen.
        let alone = if self.shallow.is_some() { 4 } else { 8 };
        let blocks = rows.chunks(BLOCK * stride).zip(sums.chunks_mut(BLOCK));
        for (rows, sums) in blocks {
            if sums.len() <= alone {
                for (row, sum) in rows.chunks_exact(stride).zip(sums) {
                    *sum = self.sum_one(row);
                }
            } else {
                self.sum_block(rows, stride, sums);
            }
        }
    }

    fn sum_block(&self, rows: &[f32], stride: usize, sums: &mut [f64]) {
        let tile_len = self.columns.len() * LANES;
        if let Some(shallow) = &self.shallow {
            // Compiled once for each width of vectors; the widest that the processor has is taken.
            Arch::new().dispatch(ShallowSums { forest: self, shallow, rows, stride, sums });
            return;
        }
        let mut tiles = vec![0; sums.len().div_ceil(LANES) * tile_len];
        let mut tile_sums = vec![[self.base; LANES]; sums.len().div_ceil(LANES)];
        if tile_len > 0 {
            let tiles = tiles.chunks_exact_mut(tile_len);
            for (tile, rows) in tiles.zip(rows.chunks(LANES * stride)) {
                fill_tile(&self.read, rows, stride, tile);
            }
        }
        for &(root, depth) in &self.roots {
            for (number, sums) in tile_sums.iter_mut().enumerate() {
                let tile = &tiles[number * tile_len..][..tile_len];
                self.walk_tile(root, depth, tile, sums);
            }
        }
        let sums_of_lanes = tile_sums.as_flattened();
        sums.copy_from_slice(&sums_of_lanes[..sums.len()]);
    }

    /// Takes the rows of a tile through one tree.
    fn walk_tile(&self, root: u32, depth: u32, tile: &[u32], sums: &mut [f64; LANES]) {
        let steps = &self.steps[root as usize..];
        let mut at = [0; LANES];
        for _ in 0..depth {
            for (lane, at) in at.iter_mut().enumerate() {
                let step = &steps[*at];
                let number = tile[usize::from(step.lanes) + lane];
                *at = usize::from(step.left) + usize::from(number > step.threshold);
            }
        }
        let values = &self.values[root as usize..];
        for (sum, at) in sums.iter_mut().zip(at) {
            *sum += f64::from(values[at]);
        }
    }

    fn sum_one(&self, row: &[f32]) -> f64 {
        match &self.hops {
            Some(hops) => self.sum_by_hops(hops, row),
            None => self.sum_by_nodes(row),
        }
    }

    /// One row, through several trees at a time.
    fn sum_by_hops(&self, hops: &[Hop], row: &[f32]) -> f64 {
        let mut numbers = [0; HOP_COLUMNS_MAX];
        self.read.iter().zip(&mut numbers).for_each(|(column, number)| *number = column.of(row));
        let mut sum = self.base;
        for trees in self.roots.chunks(TREES_ABREAST) {
            let mut at = [trees[0].0; TREES_ABREAST];
            at.iter_mut().zip(trees).for_each(|(at, (root, _))| *at = *root);
            for _ in 0..trees.iter().map(|(_, depth)| *depth).max().unwrap_or(0) {
                for at in &mut at {
                    let hop = &hops[*at as usize];
                    let number = numbers[hop.left_and_column as usize % HOP_COLUMNS_MAX];
                    let left = hop.left_and_column / HOP_COLUMNS_MAX as u32;
                    *at = left + u32::from(number > hop.threshold);
                }
            }
            for at in &at[..trees.len()] {
                sum += f64::from(self.values[*at as usize]);
            }
        }
        sum
    }

    /// The same for forests that have too many columns or nodes for hops.
    fn sum_by_nodes(&self, row: &[f32]) -> f64 {
        let numbers: Vec<_> = self.read.iter().map(|column| column.of(row)).collect();
        let leaf = |&(root, depth): &(u32, u32)| {
            (0..depth).fold(&self.nodes[root as usize], |node, _| {
                let right =
                    numbers.get(node.column as usize).is_some_and(|it| *it > node.threshold);
                &self.nodes[(node.left + u32::from(right)) as usize]
            })
        };
        self.roots.iter().fold(self.base, |sum, tree| sum + f64::from(leaf(tree).value))
    }

    /// Adds what each feature moved the sum by: at each split, the mean of the child that the row
    /// went to less that of the split (A. Saabas, "Interpreting random forests").
    pub(super) fn contributions(&self, row: &[f32], moved: &mut [f64]) {
        for &(root, depth) in &self.roots {
            let mut node = &self.nodes[root as usize];
            for _ in 0..depth {
                let column = node.column as usize;
                let Some((column, read)) = self.columns.get(column).zip(self.read.get(column))
                else {
                    break;
                };
                let right = u32::from(read.of(row) > node.threshold);
                let child = &self.nodes[(node.left + right) as usize];
                moved[column.feature as usize] += f64::from(child.value) - f64::from(node.value);
                node = child;
            }
        }
    }

    /// The sum of a row of which nothing is known: where contributions start.
    pub(super) fn expected(&self) -> f64 {
        let roots = self.roots.iter().map(|&(root, _)| f64::from(self.nodes[root as usize].value));
        roots.fold(self.base, |sum, value| sum + value)
    }

    /// The least and the greatest sum that there can be.
    pub(super) fn range(&self) -> (f64, f64) {
        let ends = self.roots.iter().skip(1).map(|(root, _)| *root as usize);
        let ends = ends.chain([self.nodes.len()]);
        let (mut least, mut greatest) = (self.base, self.base);
        for (&(root, _), end) in self.roots.iter().zip(ends) {
            let nodes = (root..).zip(&self.nodes[root as usize..end]);
            let leaves = nodes.filter(|(at, node)| node.left == *at).map(|(_, node)| node.value);
            let bounds = (f32::INFINITY, f32::NEG_INFINITY);
            let bounds = leaves.fold(bounds, |(low, high), v| (low.min(v), high.max(v)));
            least += f64::from(bounds.0);
            greatest += f64::from(bounds.1);
        }
        (least, greatest)
    }
}

/// The sums of rows of shallow trees, as a task that can be compiled for several processors.
struct ShallowSums<'a> {
    forest: &'a Forest,
    shallow: &'a Shallow,
    rows: &'a [f32],
    stride: usize,
    sums: &'a mut [f64],
}

impl WithSimd for ShallowSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { forest, shallow, rows, stride, sums } = self;
        let mut tile = vec![0; forest.columns.len() * LANES];
        for (rows, sums) in rows.chunks(LANES * stride).zip(sums.chunks_mut(LANES)) {
            fill_tile(&forest.read, rows, stride, &mut tile);
            let tile_sums = shallow.sum_tile(&mut tile, forest.base);
            sums.copy_from_slice(&tile_sums[..sums.len()]);
        }
    }
}

/// Appends a tree, breadth first, children next to each other. Returns its depth.
fn lay_out(
    tree: &Tree,
    means: &[f32],
    columns: &mut BTreeMap<Column, u32>,
    nodes: &mut Vec<FlatNode>,
) -> u32 {
    let root = nodes.len();
    let mut queue = vec![(0, 0)];
    let mut next = 0;
    while let Some(&(at, depth)) = queue.get(next) {
        let value = means[at];
        let node = match tree.nodes[at] {
            Node::Leaf { .. } => FlatNode::leaf((root + next) as u32, value),
            Node::Split { feature, threshold, missing, left, right } => {
                let (form, negated) = match missing {
                    Missing::NanGoes(Side::Left) => (Form::Plain, false),
                    Missing::NanGoes(Side::Right) => (Form::Negated, true),
                    Missing::NanIsZero => (Form::MissingAsZero, false),
                    Missing::ZeroGoes(Side::Left) => (Form::ZeroAsMissing, false),
                    Missing::ZeroGoes(Side::Right) => (Form::ZeroAsMissingNegated, true),
                };
                // x <= t is -x >= -t, and that is -x > the float below -t.
                let (threshold, children) = match negated {
                    true => ((-threshold).next_down(), [(right, depth + 1), (left, depth + 1)]),
                    false => (threshold, [(left, depth + 1), (right, depth + 1)]),
                };
                let new = columns.len() as u32;
                let column = Column { feature: feature as u32, form };
                let column = *columns.entry(column).or_insert(new);
                let left = (root + queue.len()) as u32;
                queue.extend(children);
                FlatNode { threshold: key(threshold), column, left, value }
            }
        };
        nodes.push(node);
        next += 1;
    }
    queue.last().map_or(0, |(_, depth)| *depth)
}
