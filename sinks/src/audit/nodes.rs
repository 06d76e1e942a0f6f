//! Roots and proofs of RFC 6962 from the hashes of complete subtrees: consumes those, whatever keeps
//! them, produces what sections 2.1, 2.1.1 and 2.1.2 define.

use super::merkle::{Edge, Hash, empty_root, node_hash};

/// Keeps the hashes of complete subtrees.
pub(super) trait Nodes {
    /// Why a hash can't be had.
    type Error;

    /// The hash of the complete subtree over entries `position << height` and the next `1 << height`.
    fn subtree(&mut self, height: u32, position: u64) -> Result<Hash, Self::Error>;

    /// The root over entries `begin` to `end`, which is not in it. `begin` is a multiple of the power
    /// of two that the RFC splits at, as in all its recursions.
    fn range(&mut self, begin: u64, end: u64) -> Result<Hash, Self::Error> {
        let len = end - begin;
        if len.is_power_of_two() {
            let height = len.trailing_zeros();
            return self.subtree(height, begin >> height);
        }
        let middle = begin + split(len);
        let left = self.range(begin, middle)?;
        Ok(node_hash(&left, &self.range(middle, end)?))
    }

    /// The root of the tree of this size.
    fn root(&mut self, size: u64) -> Result<Hash, Self::Error> {
        if size == 0 { Ok(empty_root()) } else { self.range(0, size) }
    }

    /// The right edge of the tree of this size.
    fn edge(&mut self, size: u64) -> Result<Edge, Self::Error> {
        let mut roots = Vec::with_capacity(size.count_ones() as usize);
        let mut begin = 0;
        for height in (0..u64::BITS).rev() {
            if size >> height & 1 == 1 {
                roots.push(self.subtree(height, begin >> height)?);
                begin += 1 << height;
            }
        }
        Ok(Edge::new(size, roots))
    }

    /// The audit path of an entry, from its sibling up. The entry is in the tree.
    fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, Self::Error> {
        assert!(index < size, "entry {index} of {size}");
        let (mut begin, mut end) = (0, size);
        let mut path = Vec::new();
        while end - begin > 1 {
            let middle = begin + split(end - begin);
            if index < middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(begin, middle)?);
                begin = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the tree of size `from` is the beginning of that of size `to`.
    fn consistency(&mut self, from: u64, to: u64) -> Result<Vec<Hash>, Self::Error> {
        assert!(from <= to, "sizes {from} and {to}");
        if from == 0 || from == to {
            return Ok(Vec::new());
        }
        let (mut begin, mut end) = (0, to);
        let mut nodes = Vec::new();
        while from != end {
            let middle = begin + split(end - begin);
            if from <= middle {
                nodes.push(self.range(middle, end)?);
                end = middle;
            } else {
                nodes.push(self.range(begin, middle)?);
                begin = middle;
            }
        }
        // The smaller tree itself is known to whoever asks, if it is a node.
        if begin != 0 {
            nodes.push(self.range(begin, end)?);
        }
        nodes.reverse();
        Ok(nodes)
    }
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}
