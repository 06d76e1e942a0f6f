//! The Merkle tree of RFC 6962, without I/O: hashes of leaves and nodes, the right edge of a tree
//! that grows, and the checks of proofs (RFC 9162, sections 2.1.3.2 and 2.1.4.2).

use sha2::{Digest as _, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// The hash of an entry: of a zero byte and its bytes.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of an interior node: of a byte 1 and its children's hashes.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The root of a tree without entries: SHA-256 of nothing.
pub(super) fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root of a complete tree over these hashes, of which there are a power of two.
pub(super) fn fold_complete(hashes: &mut [Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two(), "{} hashes", hashes.len());
    let mut len = hashes.len();
    while len > 1 {
        len /= 2;
        for pair in 0..len {
            hashes[pair] = node_hash(&hashes[2 * pair], &hashes[2 * pair + 1]);
        }
    }
    hashes[0]
}

/// The right edge of a growing tree: the roots of its complete subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    size: u64,
    roots: Vec<Hash>,
}

impl Edge {
    /// The edge of a tree of this size, from the roots of its complete subtrees, largest first.
    pub(super) fn new(size: u64, roots: Vec<Hash>) -> Self {
        assert_eq!(roots.len(), size.count_ones() as usize, "one root for each bit of {size}");
        Self { size, roots }
    }

    /// Entries of the tree.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. Tells `complete` of every subtree that this completes: its height, 0 for the
    /// leaf itself, and its root.
    pub(super) fn push(&mut self, leaf: Hash, mut complete: impl FnMut(u32, &Hash)) {
        let mut hash = leaf;
        complete(0, &hash);
        for height in 1..=self.size.trailing_ones() {
            let left = self.roots.pop().expect("a root for each bit of the size");
            hash = node_hash(&left, &hash);
            complete(height, &hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(smallest) = roots.next() else { return empty_root() };
        roots.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

/// The root that an audit path leads to; `None` where path, index and size don't fit together.
pub(super) fn inclusion_root(index: u64, size: u64, leaf: &Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut position, mut last) = (index, size - 1);
    let mut root = *leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            root = node_hash(sibling, &root);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// Whether the nodes show that the tree of size `from` is the beginning of the one of size `to`.
pub(super) fn is_consistent(
    from: u64,
    to: u64,
    from_root: &Hash,
    to_root: &Hash,
    nodes: &[Hash],
) -> bool {
    if from > to {
        return false;
    }
    if from == to || from == 0 {
        let same = from != to || from_root == to_root;
        return nodes.is_empty() && same && (from != 0 || *from_root == empty_root());
    }
    // A smaller tree that is complete is a node of the larger one: its root starts the path.
    let (first, rest) = match nodes.split_first() {
        _ if from.is_power_of_two() => (*from_root, nodes),
        Some((first, rest)) => (*first, rest),
        None => return false,
    };
    let (mut position, mut last) = (from - 1, to - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut smaller, mut larger) = (first, first);
    for node in rest {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            smaller = node_hash(node, &smaller);
            larger = node_hash(node, &larger);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            larger = node_hash(&larger, node);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && smaller == *from_root && larger == *to_root
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
