//! Proofs as files: consumes an entry, its path and a checkpoint, produces one JSON object that a
//! third party checks with nothing but the public key.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    AuditError, AuditReader, Checkpoint, ConsistencyProof, Proof,
    chain::KeyChain,
    key::PublicKey,
    merkle::{Hash, leaf_hash},
    parts::parse_line,
};
use crate::text::{parse_hash, put_hex};

/// What `format` says.
const FORMAT: &str = "millrace-audit-proof/1";

/// A proof that an entry is in a signed log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofFile {
    /// Which form this is.
    pub format: String,
    /// The entry's place in the tree, from 0.
    pub index: u64,
    /// The entry, exactly as it stands in the log.
    pub entry: String,
    /// Entries of the tree that the path leads up.
    pub tree_size: u64,
    /// SHA-256 of a zero byte and the entry.
    pub leaf_hash: String,
    /// The siblings on the way up, in hexadecimal.
    pub audit_path: Vec<String>,
    /// Root of that tree.
    pub root_hash: String,
    /// From that tree to the checkpoint's, where that is larger: the nodes of RFC 6962.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Vec<String>>,
    /// The signed note.
    pub checkpoint: String,
    /// Statements that lead from one key of the log to the next, oldest first; none where it has had one
    /// key only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// What a proof that holds shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The entry's place in the log.
    pub index: u64,
    /// The entry.
    pub entry: String,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
}

impl AuditReader {
    /// The proof of an entry in the tree of this size, or in that of the newest checkpoint.
    ///
    /// # Errors
    /// When there is no such entry or size, or no checkpoint covers it yet.
    pub fn prove(&self, index: u64, tree_size: Option<u64>) -> Result<ProofFile, AuditError> {
        let newest = self.checkpoint()?;
        let size = tree_size.unwrap_or(newest.tree_size);
        let checkpoint = self.checkpoint_of(size)?.unwrap_or(newest);
        if index >= checkpoint.tree_size || size > checkpoint.tree_size {
            let all = self.size()?;
            if index >= all {
                return Err(AuditError::NoEntry { index, size: all });
            }
            let signed = checkpoint.tree_size;
            return Err(AuditError::NotSigned { index: index.max(size - 1), signed });
        }
        let Some(entry) = self.entry(index)? else {
            return Err(AuditError::Removed { index, oldest: self.oldest()? });
        };
        let proof = self.inclusion_proof(index, size)?;
        let consistency = match checkpoint.tree_size {
            same if same == size => None,
            larger => Some(self.consistency_proof(size, larger)?),
        };
        let mut file = ProofFile::new(entry.line, &proof, consistency.as_ref(), &checkpoint);
        file.keys = self.key_statements()?;
        // What is handed out holds.
        file.check(&self.public_key()?)?;
        Ok(file)
    }
}

impl ProofFile {
    fn new(
        entry: String,
        proof: &Proof,
        consistency: Option<&ConsistencyProof>,
        checkpoint: &Checkpoint,
    ) -> Self {
        let all = |hashes: &[Hash]| hashes.iter().map(hex).collect();
        Self {
            format: FORMAT.to_owned(),
            index: proof.index,
            entry,
            tree_size: proof.tree_size,
            leaf_hash: hex(&proof.leaf_hash),
            audit_path: all(&proof.hashes),
            root_hash: hex(&proof.root_hash),
            consistency: consistency.map(|proof| all(&proof.hashes)),
            checkpoint: checkpoint.to_note(),
            keys: Vec::new(),
        }
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        let file: Self = serde_json::from_str(text)
            .map_err(|error| AuditError::Proof(format!("it is not a proof: {error}")))?;
        match file.format.as_str() {
            FORMAT => Ok(file),
            other => Err(AuditError::Proof(format!("its format is {other:?}, not {FORMAT:?}"))),
        }
    }

    /// Checks everything: entry, path, consistency and signature, by a key that signed or was replaced
    /// by one that did.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self, key: &PublicKey) -> Result<Proven, AuditError> {
        let wrong = |text: String| Err(AuditError::Proof(text));
        let checkpoint = Checkpoint::parse(&self.checkpoint, Path::new("the proof's checkpoint"))?;
        let names = (1..).map(|number| format!("statement {number} of its keys"));
        let notes = names.zip(self.keys.iter().map(String::as_str));
        let keys = KeyChain::follow(key, notes).map_err(AuditError::Proof)?;
        if let Err(problem) = keys.check(&checkpoint) {
            return wrong(format!("the checkpoint {problem}"));
        }
        let leaf = leaf_hash(self.entry.as_bytes());
        if hash("leaf_hash", &self.leaf_hash)? != leaf {
            return wrong("the entry does not have the leaf hash that stands beside it".to_owned());
        }
        if parse_line(self.entry.as_bytes()).is_none_or(|parts| parts.seq.0 != self.index + 1) {
            return wrong(format!("the entry is not entry {}", self.index));
        }
        let proof = Proof {
            index: self.index,
            tree_size: self.tree_size,
            leaf_hash: leaf,
            hashes: hashes("audit_path", &self.audit_path)?,
            root_hash: hash("root_hash", &self.root_hash)?,
        };
        if !proof.holds() {
            return wrong("the audit path does not lead from the entry to the root".to_owned());
        }
        let consistency = ConsistencyProof {
            from: self.tree_size,
            to: checkpoint.tree_size,
            hashes: hashes("consistency", self.consistency.as_deref().unwrap_or_default())?,
            from_root: proof.root_hash,
            to_root: checkpoint.root_hash,
        };
        if !consistency.holds() {
            return wrong("the checkpoint was not signed over a log that has this tree".to_owned());
        }
        Ok(Proven { index: self.index, entry: self.entry.clone(), checkpoint })
    }
}

/// A hash in hexadecimal.
#[must_use]
pub fn hex(hash: &Hash) -> String {
    let mut text = Vec::with_capacity(2 * hash.len());
    put_hex(&mut text, hash);
    String::from_utf8(text).expect("hexadecimal digits are text")
}

fn hash(field: &str, text: &str) -> Result<Hash, AuditError> {
    parse_hash(text.as_bytes())
        .ok_or_else(|| AuditError::Proof(format!("{field} has {text:?}, which is no hash")))
}

fn hashes(field: &str, texts: &[String]) -> Result<Vec<Hash>, AuditError> {
    texts.iter().map(|text| hash(field, text)).collect()
}
