//! Snapshots: the ledger as it stood after one frame, in a file. Consumes what the ledger hands out
//! between batches, produces a ledger that goes on after that frame.
//!
//! Guarantees that a file under its final name is whole and no further than the journal, and that
//! what is loaded is what was written.
//!
//! A snapshot is named after its last event. Numbers are little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `MLRSNAP\n` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | journal id |
//! | 32 | 8 | sequence of the last event |
//! | 40 | 8 | time of its batch |
//! | 48 | 8 | payment ids that were taken |
//! | 56 | 8 | generations closed |
//! | 64 | 8 | number of accounts |
//! | 72 | 16 | sum of the digests of the payments in runs |
//! | 88 | 4 | CRC-32C of bytes 0 to 87 |
//! | 92 | 4 | zero |
//! | 96 | | sections |
//!
//! A section is its kind (4 bytes), the length of what follows (4 bytes), and that. Kinds, in this
//! order: 1 verdicts, 2 names of the runs that hold all settled payments, oldest first, 3 accounts,
//! 4 open holds, of which those of the newest generation come before the accounts, 5 a piece of the risk policy's memory, 6 the end: hash of the journal frame with the last
//! event (32), number of holds (8), and BLAKE3 of all bytes before it (32).

#[cfg(test)]
mod golden;
mod read;
mod rows;
mod take;
mod write;

use std::{
    fs,
    path::{Path, PathBuf},
};

use millrace_ledger::EventSeq;

use crate::JournalError;

pub(crate) use read::{Loaded, check, load, read_accounts, read_head, read_names};
pub(crate) use take::{Kept, Snapshotter, Taking};

const MAGIC: [u8; 8] = *b"MLRSNAP\n";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 96;
const SUFFIX: &str = "snapshot";

/// Kinds of sections.
mod kind {
    pub(super) const VERDICTS: u32 = 1;
    pub(super) const RUNS: u32 = 2;
    pub(super) const ACCOUNTS: u32 = 3;
    pub(super) const HOLDS: u32 = 4;
    pub(super) const GATE: u32 = 5;
    pub(super) const END: u32 = 6;
}

/// Where the snapshots of a journal are.
pub(crate) fn directory(journal: &Path) -> PathBuf {
    journal.join("snapshots")
}

/// The snapshots of a journal, newest first, each with its last event.
pub(crate) fn list(journal: &Path) -> Result<Vec<(EventSeq, PathBuf)>, JournalError> {
    let directory = directory(journal);
    // Not to be known is another thing than not to be there.
    if !directory.try_exists().map_err(JournalError::io("can't look for", &directory))? {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&directory).map_err(JournalError::io("can't list", &directory))?;
    let mut snapshots = Vec::new();
    for entry in entries {
        let path = entry.map_err(JournalError::io("can't list", &directory))?.path();
        let named = path.extension().is_some_and(|suffix| suffix == SUFFIX);
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(seq) = stem.filter(|_| named).and_then(|stem| stem.parse().ok()) {
            snapshots.push((EventSeq(seq), path));
        }
    }
    snapshots.sort();
    snapshots.reverse();
    Ok(snapshots)
}
