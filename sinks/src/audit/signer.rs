//! Signs what the log holds: consumes sizes and roots that are durable, produces checkpoint files.

use std::path::Path;

use millrace_ledger::Timestamp;

use super::{AuditError, Checkpoint, key::SigningKey, layout::Layout, merkle::Hash};
use crate::{SinkError, line_file::replace};

/// Signs checkpoints of one log.
#[derive(Debug)]
pub(super) struct Signer {
    layout: Layout,
    key: SigningKey,
    last: Checkpoint,
}

impl Signer {
    /// Goes on behind the checkpoint that was signed last.
    pub(super) fn new(layout: &Layout, key: SigningKey, last: Checkpoint) -> Self {
        Self { layout: layout.clone(), key, last }
    }

    /// Signs the checkpoint of a log without entries.
    pub(super) fn create(layout: &Layout, key: SigningKey, root: Hash) -> Result<Self, AuditError> {
        let last = Checkpoint::sign(&key, 0, root, 0, now());
        let mut signer = Self::new(layout, key, last);
        signer.write(false)?;
        Ok(signer)
    }

    pub(super) fn last(&self) -> &Checkpoint {
        &self.last
    }

    /// Signs a tree that is durable, unless it was signed already. `keep` keeps the checkpoint beside
    /// later ones.
    pub(super) fn sign(
        &mut self,
        size: u64,
        root: Hash,
        oldest: u64,
        keep: bool,
    ) -> Result<(), AuditError> {
        let last = &self.last;
        // A checkpoint never goes back.
        if size < last.tree_size || oldest < last.oldest {
            return Ok(());
        }
        if (size, oldest) != (last.tree_size, last.oldest) {
            self.last = Checkpoint::sign(&self.key, size, root, oldest, now());
            let written = self.write(keep);
            metrics::counter!("millrace_audit_checkpoints_total", "sink" => "audit").increment(1);
            metrics::gauge!("millrace_audit_signed_entries", "sink" => "audit").set(size as f64);
            return written;
        }
        if keep && !self.layout.checkpoint_of(size).is_file() { self.write(keep) } else { Ok(()) }
    }

    fn write(&mut self, keep: bool) -> Result<(), AuditError> {
        let note = self.last.to_note();
        let replaced = |path: &Path| match replace(path, note.as_bytes()) {
            Err(SinkError::Io { action, path, source }) => {
                Err(AuditError::Io { action, path, source })
            }
            other => {
                other.map_err(|error| AuditError::damaged(path, "all of it", error.to_string()))
            }
        };
        // In this order, none that is kept is ever ahead of the newest one.
        replaced(&self.layout.checkpoint())?;
        if keep { replaced(&self.layout.checkpoint_of(self.last.tree_size)) } else { Ok(()) }
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default())
}
