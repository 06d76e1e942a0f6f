//! Backups: consumes a journal, which an engine may be writing meanwhile, and produces a copy of it
//! in another directory; consumes such a copy and produces a journal again, whole or up to some
//! event or time.
//!
//! Beside the journal goes its shelf: policies and what they name, without which a journal that has
//! set one can't go on.
//!
//! Guarantees that what a backup's manifest names is a journal that recovery accepts, with all
//! events that were durable when the backup began; that a backup that fails leaves the one before
//! it as it was; and that a restored journal was read by recovery itself before it has its name.
//!
//! Takes no lock of the journal and changes nothing in it. Reading order: `manifest` → `store` →
//! `take` → `shelf` → `restore` → `cut`.

mod cut;
mod error;
mod manifest;
mod restore;
mod shelf;
mod source;
mod store;
mod take;

use std::path::Path;

use millrace_ledger::{EventSeq, Timestamp};

pub use error::BackupError;
pub(crate) use restore::AnyPolicy;
pub use restore::restore;
pub use take::backup;

use crate::frame::FrameHash;

/// How a backup is made.
#[derive(Clone, Copy)]
pub struct BackupOptions<'a> {
    /// When it is made: the time of day, by the caller's clock.
    pub taken: Timestamp,
    /// Directory of what the journal names and does not hold, each in a file called by the BLAKE3 of
    /// its bytes. It may be missing.
    pub shelf: &'a Path,
    /// Whether files that are there already are read again, and copied again if they are damaged.
    /// Otherwise only their lengths are looked at.
    pub recheck: bool,
    /// Is told how far it is.
    pub progress: &'a dyn Fn(Progress),
}

/// How far a backup or a restore is, in bytes of files. The total may grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Done.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

/// What was backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// The journal's id.
    pub journal: [u8; 16],
    /// The first event that the journal still has.
    pub first_seq: EventSeq,
    /// The last event; 0 of a journal without events.
    pub last_seq: EventSeq,
    /// Time of the last batch.
    pub last_time: Timestamp,
    /// Hash of the last frame.
    pub head: FrameHash,
    /// Segments, archived or not.
    pub segments: usize,
    /// Last events of the snapshots, newest first.
    pub snapshots: Vec<EventSeq>,
    /// Files of older payments, which the snapshots need.
    pub runs: usize,
    /// Files of the shelf.
    pub artefacts: usize,
    /// Files of the shelf that were not copied, and why.
    pub artefacts_passed_over: Vec<String>,
    /// Bytes that were copied.
    pub bytes_copied: u64,
    /// Bytes that were there already.
    pub bytes_present: u64,
    /// Snapshots that were not copied, and why.
    pub passed_over: Vec<String>,
    /// How often the journal was listed: more than once when it changed meanwhile.
    pub attempts: u32,
}

/// The point that a journal is brought back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The journal ends with this event.
    Event(EventSeq),
    /// The journal ends with the last event whose batch is not after this time.
    Time(Timestamp),
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// The journal's id.
    pub journal: [u8; 16],
    /// When the backup was taken.
    pub taken: Timestamp,
    /// The first event that is there.
    pub first_seq: EventSeq,
    /// The last event; 0 of a journal without events.
    pub last_seq: EventSeq,
    /// Time of the last batch.
    pub last_time: Timestamp,
    /// Hash of the last frame.
    pub head: FrameHash,
    /// Hash of the ledger's state after the last event.
    pub state_hash: [u8; 32],
    /// The last event of the snapshot that recovery began with, if there was one.
    pub snapshot: Option<EventSeq>,
    /// Segments.
    pub segments: usize,
    /// Files of the shelf.
    pub artefacts: usize,
    /// Bytes of the files that were written.
    pub bytes: u64,
    /// The backup's last event, when the journal was cut before it.
    pub cut_from: Option<EventSeq>,
    /// Snapshots that recovery passed over, and why.
    pub passed_over: Vec<String>,
}
