//! A signed checkpoint: what the log's key says that the log holds.

use millrace_ledger::Timestamp;

use super::merkle::Hash;

/// A tree head with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Entries of the tree.
    pub tree_size: u64,
    /// Root of the tree.
    pub root_hash: Hash,
    /// When it was signed, by the clock of the process that writes the log.
    pub time: Timestamp,
    /// The oldest entry that was kept at that time, from 0.
    pub oldest: u64,
    /// Which key signed: the first four bytes of SHA-256 over the key's name and bytes.
    pub key_id: [u8; 4],
    /// Ed25519, over the text.
    pub signature: [u8; 64],
}
