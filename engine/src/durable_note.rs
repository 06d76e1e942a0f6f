//! The durable note: consumes the sequence that a commit made durable, produces a small file from
//! which another process can tell how far it may read.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | sequence of the last durable event |
//! | 8 | 16 | journal id |
//! | 24 | 4 | CRC-32C of bytes 0 to 23 |
//! | 28 | 4 | zero |
//!
//! Guarantees that the file never says more than is durable: it is written after the sync of the
//! frame, and whatever older state of it survives a power loss says less. It is not synced itself;
//! the engine writes it anew when it starts. So recovery, too, goes by it: a journal that ends before
//! the event that its note tells has lost its end.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use millrace_ledger::EventSeq;

use crate::{JournalError, segment::JournalId};

const NAME: &str = "durable";
const LEN: usize = 32;

/// Writes the note of one journal.
#[derive(Debug)]
pub(crate) struct DurableNote {
    file: File,
    journal: JournalId,
    failed: AtomicBool,
}

impl DurableNote {
    /// Opens the note of a journal and says what is durable.
    pub(crate) fn open(
        directory: &Path,
        journal: JournalId,
        seq: EventSeq,
    ) -> Result<Self, JournalError> {
        let path = path(directory);
        let error = |error| JournalError::io("can't write", &path)(error);
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(error)?;
        let note = Self { file, journal, failed: AtomicBool::new(false) };
        note.file.write_all_at(&encode(journal, seq), 0).map_err(error)?;
        Ok(note)
    }

    /// Everything up to `seq` is durable now. Payments don't depend on it, so a failure is told once
    /// and passed over: whoever follows waits.
    pub(crate) fn write(&self, seq: EventSeq) {
        let result = self.file.write_all_at(&encode(self.journal, seq), 0);
        let failed = result.is_err();
        let failed_before = self.failed.swap(failed, Ordering::Relaxed);
        if let (Err(error), false) = (result, failed_before) {
            tracing::warn!(%error, "can't note what is durable; processes that follow the journal wait");
        }
    }
}

/// Where the note of a directory is.
pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// What the note of a directory says; `None` where there is none, or none that is whole.
pub(crate) fn read(directory: &Path) -> io::Result<Option<(JournalId, EventSeq)>> {
    match fs::read(path(directory)) {
        Ok(bytes) => Ok(decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of a note.
pub(crate) fn encode(journal: JournalId, seq: EventSeq) -> [u8; LEN] {
    let mut note = [0; LEN];
    note[..8].copy_from_slice(&seq.0.to_le_bytes());
    note[8..24].copy_from_slice(&journal);
    let checksum = crc32c::crc32c(&note[..24]);
    note[24..28].copy_from_slice(&checksum.to_le_bytes());
    note
}

/// What a note says, if it is whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<(JournalId, EventSeq)> {
    let note: &[u8; LEN] = bytes.try_into().ok()?;
    let (seq, rest) = note.split_first_chunk()?;
    let (journal, _) = rest.split_first_chunk()?;
    let seq = EventSeq(u64::from_le_bytes(*seq));
    (encode(*journal, seq) == *note).then_some((*journal, seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: JournalId = [7; 16];

    #[test]
    fn a_note_reads_back_and_every_changed_bit_makes_it_none() {
        let note = encode(JOURNAL, EventSeq(0x0102_0304_0506));
        assert_eq!(decode(&note), Some((JOURNAL, EventSeq(0x0102_0304_0506))));
        for bit in 0..LEN * 8 {
            let mut changed = note;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&changed), None, "bit {bit}");
        }
        assert_eq!(decode(&[]), None, "a power loss may leave it empty");
    }

    /// A reader may see some bytes of the old note and some of the new one.
    #[test]
    fn half_of_a_note_and_half_of_the_next_make_none() {
        for (old, new) in [(1, 2), (255, 256), (65_535, 65_536), (1, 1 << 40), (0, u64::MAX)] {
            let (old_note, new_note) =
                (encode(JOURNAL, EventSeq(old)), encode(JOURNAL, EventSeq(new)));
            for cut in 0..=LEN {
                let mut torn = old_note;
                torn[..cut].copy_from_slice(&new_note[..cut]);
                let read = decode(&torn).map(|(_, seq)| seq.0);
                let whole = torn == old_note || torn == new_note;
                assert_eq!(read.is_some(), whole, "{old} to {new}, cut at {cut}");
            }
        }
    }

    #[test]
    fn it_starts_with_what_the_engine_says_and_goes_on_from_there() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read(directory.path()).expect("reads"), None);
        let note = DurableNote::open(directory.path(), JOURNAL, EventSeq(9)).expect("opens");
        assert_eq!(read(directory.path()).expect("reads"), Some((JOURNAL, EventSeq(9))));
        note.write(EventSeq(12));
        assert_eq!(read(directory.path()).expect("reads"), Some((JOURNAL, EventSeq(12))));
        let _restarted = DurableNote::open(directory.path(), JOURNAL, EventSeq(11)).expect("opens");
        assert_eq!(read(directory.path()).expect("reads"), Some((JOURNAL, EventSeq(11))));
    }
}
