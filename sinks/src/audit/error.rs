//! What can go wrong with an audit log: one enum, whose texts name the file at fault and the remedy.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::faults::Faults;
use crate::SinkError;

/// Why an audit log can't be opened, read, proved or believed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file could not be read or written.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no audit log.
    #[error("there is no audit log in {}", dir.display())]
    NoLog {
        /// The directory that was looked in.
        dir: PathBuf,
    },
    /// Another process writes the log.
    #[error("{} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The directory of the log.
        path: PathBuf,
    },
    /// The log was written by another version of this program.
    #[error(
        "the audit log in {} has the format {found:?}, and this program reads {expected:?}. Use the \
         version that wrote it, or move the directory aside and start again: the log is written \
         anew from the journal",
        dir.display()
    )]
    Format {
        /// The directory of the log.
        dir: PathBuf,
        /// What the file `format` says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// A log of the earlier format can't be moved aside.
    #[error(
        "{} is an audit log of the earlier format, without a tree, and is to be moved to {}, which \
         is there already. Move one of the two to another place and start again",
        dir.display(), aside.display()
    )]
    AsideTaken {
        /// The directory of the log.
        dir: PathBuf,
        /// Where it would go.
        aside: PathBuf,
    },
    /// A file does not hold what was written there.
    #[error("{} is damaged at {place}: {problem}. {REMEDY}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The key file is not usable.
    #[error("the key {}: {problem}", path.display())]
    Key {
        /// The key's file, or the text that was given in its place.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A setting does not make sense.
    #[error("sinks.audit.{key} is {value}, and must be {must_be}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        must_be: &'static str,
    },
    /// No entry has that index.
    #[error("there is no entry {index}: the log has {size} entries, numbered from 0")]
    NoEntry {
        /// The index asked for.
        index: u64,
        /// Entries of the log.
        size: u64,
    },
    /// The entry was removed by the retention setting.
    #[error(
        "entry {index} is no longer kept: the log keeps its hash, and entries from {oldest} on"
    )]
    Removed {
        /// The index asked for.
        index: u64,
        /// The oldest entry that is there.
        oldest: u64,
    },
    /// No checkpoint covers the entry yet.
    #[error(
        "no checkpoint covers entry {index} yet: the newest one is of {signed} entries. A running \
         millrace signs one within sinks.audit.checkpoint_interval_ms; try again then"
    )]
    NotSigned {
        /// The entry.
        index: u64,
        /// Entries of the newest checkpoint.
        signed: u64,
    },
    /// No proof between these sizes.
    #[error("no proof for entry or size {from} in a tree of size {to}: the log has {size} entries")]
    NoProof {
        /// The index, or the smaller size.
        from: u64,
        /// The tree's size.
        to: u64,
        /// Entries of the log.
        size: u64,
    },
    /// The text is not a checkpoint.
    #[error("{}: not a checkpoint: {problem}", path.display())]
    Checkpoint {
        /// Where the text is from.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The proof does not hold.
    #[error("the proof does not hold: {0}")]
    Proof(String),
    /// A log that was built anew is not the one that was signed.
    #[error(
        "the audit log that the journal comes to contradicts what was signed, and nothing was \
         replaced: {0}. Find out which of the two is right (millrace audit verify --journal); an event \
         that is in quarantine, or was when it happened, is a reason that both are. To replace the log \
         all the same, and keep it as evidence: millrace sinks rebuild audit --accept-other-root"
    )]
    Contradicts(String),
    /// The statements of new keys do not lead from one key to the next.
    #[error("the keys of the log do not follow from each other: {0}")]
    KeyChain(String),
    /// The log is not what was written.
    #[error("{0}")]
    Faulty(Faults),
    /// The journal beside the log can't be read.
    #[error(transparent)]
    Journal(#[from] millrace_engine::JournalError),
}

/// What an operator does with a log that this program did not leave like this.
pub(super) const REMEDY: &str = "Keep the directory as evidence: move it aside and start again, \
                                 and the log is written anew from the journal; then compare the two";

impl AuditError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn damaged(
        path: &Path,
        place: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Damaged { path: path.to_owned(), place: place.into(), problem: problem.into() }
    }
}

impl From<AuditError> for SinkError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Io { action, path, source } => Self::Io { action, path, source },
            AuditError::InUse { path } => Self::InUse { path },
            other => Self::Audit(Box::new(other)),
        }
    }
}
