//! Writes one snapshot file, section by section, hashing as it goes.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use millrace_ledger::{Account, SnapshotHead, StoredPayment};

use super::{MAGIC, SUFFIX, VERSION, kind, rows};
use crate::{JournalError, frame::FrameHash, pace::Pace, page_cache, segment::JournalId};

/// A snapshot in the making, under a temporary name. When it is dropped before it is finished, it
/// leaves nothing behind: on a full disk, the journal needs the space.
#[derive(Debug)]
pub(super) struct SnapshotWriter {
    directory: PathBuf,
    /// Its name at the end.
    path: PathBuf,
    /// Its name now.
    unfinished: PathBuf,
    finished: bool,
    file: BufWriter<File>,
    pace: Pace,
    hasher: blake3::Hasher,
    /// As many as the ledger has.
    holds: u64,
    /// Scratch.
    bytes: Vec<u8>,
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What stays behind is removed by the next start.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

impl SnapshotWriter {
    pub(super) fn create(
        directory: &Path,
        journal: JournalId,
        head: &SnapshotHead,
        pace: Pace,
    ) -> Result<Self, JournalError> {
        fs::create_dir_all(directory).map_err(JournalError::io("can't create", directory))?;
        let path = directory.join(format!("{:020}.{SUFFIX}", head.last_seq.0));
        let unfinished = path.with_extension("unfinished");
        let file =
            File::create(&unfinished).map_err(JournalError::io("can't create", &unfinished))?;
        let mut writer = Self {
            directory: directory.to_owned(),
            path,
            unfinished,
            finished: false,
            file: BufWriter::with_capacity(1 << 20, file),
            pace,
            hasher: blake3::Hasher::new(),
            holds: head.holds,
            bytes: Vec::new(),
        };
        writer.write(&header(journal, head))?;
        let mut bytes = Vec::new();
        head.verdicts.iter().for_each(|verdict| rows::put_verdict(verdict, &mut bytes));
        writer.section(kind::VERDICTS, &bytes)?;
        Ok(writer)
    }

    /// Writes a section of accounts. None of these three writes an empty one.
    pub(super) fn accounts(&mut self, accounts: &[Account]) -> Result<(), JournalError> {
        self.rows(kind::ACCOUNTS, accounts, rows::put_account)
    }

    pub(super) fn holds(&mut self, holds: &[StoredPayment]) -> Result<(), JournalError> {
        self.rows(kind::HOLDS, holds, rows::put_hold)
    }

    pub(super) fn gate(&mut self, piece: &[u8]) -> Result<(), JournalError> {
        if piece.is_empty() { Ok(()) } else { self.section(kind::GATE, piece) }
    }

    fn rows<T>(
        &mut self,
        kind: u32,
        rows: &[T],
        put: impl Fn(&T, &mut Vec<u8>),
    ) -> Result<(), JournalError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        rows.iter().for_each(|row| put(row, &mut bytes));
        let written = self.section(kind, &bytes);
        self.bytes = bytes;
        written
    }

    pub(super) fn runs<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), JournalError> {
        let names: Vec<_> = names.collect();
        self.section(kind::RUNS, names.join("\n").as_bytes())
    }

    /// Ends the file, makes it durable, and gives it its name.
    pub(super) fn finish(mut self, head: FrameHash) -> Result<PathBuf, JournalError> {
        let mut end = Vec::with_capacity(72);
        end.extend_from_slice(&head.0);
        end.extend_from_slice(&self.holds.to_le_bytes());
        self.write(&section_header(kind::END, end.len() + 32))?;
        self.write(&end)?;
        let hash = self.hasher.finalize();
        let error = |error: io::Error| JournalError::io("can't write", &self.unfinished)(error);
        self.file.write_all(hash.as_bytes()).map_err(error)?;
        self.file.flush().map_err(error)?;
        self.file.get_ref().sync_all().map_err(error)?;
        fs::rename(&self.unfinished, &self.path).map_err(error)?;
        self.unfinished.clone_from(&self.path);
        // The next start reads it, if it is the newest then.
        page_cache::release(self.file.get_ref());
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(JournalError::io("can't sync", &self.directory))?;
        self.finished = true;
        Ok(self.path.clone())
    }

    fn section(&mut self, kind: u32, payload: &[u8]) -> Result<(), JournalError> {
        self.write(&section_header(kind, payload.len()))?;
        self.write(payload)?;
        if self.pace.wrote(payload.len() as u64) {
            let Self { file, pace, unfinished, .. } = self;
            let kept = file.flush().and_then(|()| pace.keep(file.get_ref()));
            kept.map_err(JournalError::io("can't write", &*unfinished))?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(|error| JournalError::io("can't write", &self.unfinished)(error))
    }
}

fn section_header(kind: u32, len: usize) -> [u8; 8] {
    let len = u32::try_from(len).expect("sections are far below 4 GiB");
    let mut header = [0; 8];
    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[4..].copy_from_slice(&len.to_le_bytes());
    header
}

fn header(journal: JournalId, head: &SnapshotHead) -> [u8; super::HEADER_LEN] {
    let mut header = [0; super::HEADER_LEN];
    header[0..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..32].copy_from_slice(&journal);
    header[32..40].copy_from_slice(&head.last_seq.0.to_le_bytes());
    header[40..48].copy_from_slice(&head.time.0.to_le_bytes());
    header[48..56].copy_from_slice(&head.payments_taken.to_le_bytes());
    header[56..64].copy_from_slice(&head.generations_closed.to_le_bytes());
    header[64..72].copy_from_slice(&head.accounts.to_le_bytes());
    header[72..88].copy_from_slice(&head.past_digest.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..88]);
    header[88..92].copy_from_slice(&checksum.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use millrace_ledger::EventSeq;

    use super::*;
    use crate::pace::Hurry;

    fn begun(directory: &Path) -> SnapshotWriter {
        let head = SnapshotHead { last_seq: EventSeq(7), ..SnapshotHead::default() };
        let pace = Pace::new(0, Hurry::default());
        SnapshotWriter::create(directory, [7; 16], &head, pace).expect("begins")
    }

    fn files(directory: &Path) -> usize {
        fs::read_dir(directory).expect("is there").count()
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing_behind() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = scratch.path();
        let writer = begun(directory);
        assert_eq!(files(directory), 1);
        drop(writer);
        assert_eq!(files(directory), 0, "before anything is in it");
        let mut writer = begun(directory);
        writer.runs(std::iter::empty()).expect("is written");
        drop(writer);
        assert_eq!(files(directory), 0, "before its end");
        // What can't be named stays unfinished; what can't be synced has its name.
        for part in ["its name", "its directory"] {
            let mut writer = begun(directory);
            match part {
                "its name" => writer.path = directory.join("nowhere").join("it.snapshot"),
                _ => writer.directory = directory.join("nowhere"),
            }
            writer.finish(FrameHash([1; 32])).expect_err("can't be finished");
            assert_eq!(files(directory), 0, "without {part}");
        }
        let path = begun(directory).finish(FrameHash([1; 32])).expect("is finished");
        assert!(path.exists() && files(directory) == 1);
    }
}
