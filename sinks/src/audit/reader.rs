//! Reads the log beside its writer: consumes the log's files, produces entries, proofs and
//! checkpoints. Guarantees that an answer covers only what is durable.

use std::path::{Path, PathBuf};

use super::{
    AuditEntry, AuditError, AuditQuery, Checkpoint,
    proof::{ConsistencyProof, Proof},
};

/// Answers questions about one log. Cheap to clone; its methods read files and block.
#[derive(Clone, Debug)]
pub struct AuditReader {
    dir: PathBuf,
}

impl AuditReader {
    /// A reader of the log in `dir`, which may have a writer.
    ///
    /// # Errors
    /// When there is no log, or it can't be read.
    pub fn open(dir: &Path) -> Result<Self, AuditError> {
        Ok(Self { dir: dir.to_owned() })
    }

    /// Entries of the log, with those that no checkpoint covers yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        0
    }

    /// The newest entries that fit, newest first: below index `before`, where that is given, and
    /// at most `limit`.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn entries(
        &self,
        _query: &AuditQuery,
        _before: Option<u64>,
        _limit: usize,
    ) -> Result<Vec<AuditEntry>, AuditError> {
        Err(AuditError::NoLog { dir: self.dir.clone() })
    }

    /// One entry; `None` where there is none, or none any more.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn entry(&self, _index: u64) -> Result<Option<AuditEntry>, AuditError> {
        Err(AuditError::NoLog { dir: self.dir.clone() })
    }

    /// That an entry is in the tree of this size.
    ///
    /// # Errors
    /// [`AuditError::NoProof`] unless index < size <= entries of the log.
    pub fn inclusion_proof(&self, _index: u64, _tree_size: u64) -> Result<Proof, AuditError> {
        Err(AuditError::NoLog { dir: self.dir.clone() })
    }

    /// That the tree of one size is the beginning of the tree of another.
    ///
    /// # Errors
    /// [`AuditError::NoProof`] unless from <= to <= entries of the log.
    pub fn consistency_proof(&self, _from: u64, _to: u64) -> Result<ConsistencyProof, AuditError> {
        Err(AuditError::NoLog { dir: self.dir.clone() })
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn checkpoint(&self) -> Result<Checkpoint, AuditError> {
        Err(AuditError::NoLog { dir: self.dir.clone() })
    }
}
