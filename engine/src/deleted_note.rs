//! The note of what was deleted: consumes the first event that retention keeps, or that a backup had,
//! produces a small file beside the segments from which others can tell a beginning that was deleted
//! from one that was lost.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | first event that is kept |
//! | 8 | 16 | journal id |
//! | 24 | 4 | CRC-32C of bytes 0 to 23 |
//! | 28 | 4 | zero |
//!
//! Guarantees that it is durable before anything is deleted. A note that can't be read is none: then
//! nothing is known to have been deleted.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use millrace_ledger::EventSeq;

use crate::{
    JournalError,
    directory::sync_directory,
    durable_note::{decode, encode},
    segment::{self, JournalId, SegmentReader},
};

const NAME: &str = "deleted";

/// Notes that the journal begins with this event, and that it should.
pub(crate) fn write(
    directory: &Path,
    journal: JournalId,
    first: EventSeq,
) -> Result<(), JournalError> {
    let unfinished = directory.join(format!("{NAME}.unfinished"));
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(&encode(journal, first))?;
        file.sync_all()
    });
    written.map_err(JournalError::io("can't write", &unfinished))?;
    let path = path(directory);
    fs::rename(&unfinished, &path).map_err(JournalError::io("can't create", &path))?;
    sync_directory(directory)
}

/// Checks that what came before the first segment was deleted, and not lost.
pub(crate) fn check_beginning(
    directory: &Path,
    segments: &[(EventSeq, PathBuf)],
) -> Result<(), JournalError> {
    let (Some((first, _)), Some((_, newest))) =
        (segments.first().filter(|(first, _)| *first > EventSeq::FIRST), segments.last())
    else {
        return Ok(());
    };
    // It is never archived: its header is read, and nothing else.
    let journal = SegmentReader::open(newest)?.header.journal;
    let kept = kept_from(directory, journal)?;
    match *first <= kept {
        true => Ok(()),
        false => {
            let (path, first) = (directory.to_owned(), *first);
            Err(JournalError::BeginningLost { path, first, kept })
        }
    }
}

/// The first event that a journal should have: 1, where nothing was deleted.
pub(crate) fn kept_from(directory: &Path, journal: JournalId) -> Result<EventSeq, JournalError> {
    let path = path(directory);
    match fs::read(&path) {
        Ok(bytes) => Ok(decode(&bytes)
            .filter(|(of, _)| *of == journal)
            .map_or(EventSeq::FIRST, |(_, first)| first)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(EventSeq::FIRST),
        Err(error) => Err(JournalError::io("can't read", &path)(error)),
    }
}

/// As [`check_beginning`], for a directory that may change meanwhile.
pub(crate) fn check(directory: &Path) -> Result<(), JournalError> {
    check_beginning(directory, &segment::list(directory)?)
}

fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}
