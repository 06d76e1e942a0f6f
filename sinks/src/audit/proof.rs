//! Proofs as readers get them: the hashes of RFC 6962, with the roots that they lead to.

use super::merkle::{self, Hash};

/// That an entry is in the tree of a given size (RFC 6962, section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The entry, from 0.
    pub index: u64,
    /// Entries of the tree.
    pub tree_size: u64,
    /// SHA-256 of a zero byte and the entry.
    pub leaf_hash: Hash,
    /// The audit path, from the leaf's sibling up.
    pub hashes: Vec<Hash>,
    /// Root of that tree.
    pub root_hash: Hash,
}

impl Proof {
    /// Whether the path leads from the leaf to the root.
    #[must_use]
    pub fn holds(&self) -> bool {
        merkle::inclusion_root(self.index, self.tree_size, &self.leaf_hash, &self.hashes)
            == Some(self.root_hash)
    }
}

/// That the tree of one size is the beginning of the tree of another (RFC 6962, section 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Entries of the smaller tree.
    pub from: u64,
    /// Entries of the larger tree.
    pub to: u64,
    /// The nodes, in the order of RFC 6962.
    pub hashes: Vec<Hash>,
    /// Root of the smaller tree.
    pub from_root: Hash,
    /// Root of the larger tree.
    pub to_root: Hash,
}

impl ConsistencyProof {
    /// Whether the nodes lead to both roots.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Self { from, to, hashes, from_root, to_root } = self;
        merkle::is_consistent(*from, *to, from_root, to_root, hashes)
    }
}
