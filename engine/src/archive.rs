//! Archiving: consumes sealed segments, produces compressed ones in `archive/` beside them.
//!
//! Guarantees that a segment is there at any moment, as it was or archived, whenever the process
//! dies:
//!
//! | step | what is there if it ends here |
//! |---|---|
//! | every frame is checked, the content hashed | the segment |
//! | it is compressed into `<first>.unfinished`, and synced | the segment; the rest is removed by the next run |
//! | what was written is read back, and hashed | the same |
//! | it gets its name, and the archive's directory is synced | both; readers take the segment, the next run archives it again |
//! | the segment is removed, and the journal's directory is synced | the archived one |
//!
//! Whoever calls holds the lock of the journal's directory, as the engine does. Readers need none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millrace_ledger::{EventSeq, Timestamp};

use crate::{
    JournalError,
    archive_file::{self, ArchiveHeader, CONTENT_LEN_MAX},
    deleted_note,
    directory::{remove_unfinished, sync_directory},
    segment::{self, SegmentHeader, SegmentReader},
    segment_frames::{ChainEnd, SegmentFrames},
    segment_reader::Rest,
};

/// A segment that was archived just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedSegment {
    /// Where it is now.
    pub path: PathBuf,
    /// Its first event.
    pub first_seq: EventSeq,
    /// Its last event.
    pub last_seq: EventSeq,
    /// Length of the segment's file, in bytes.
    pub segment_bytes: u64,
    /// Length of the archived file, in bytes.
    pub archived_bytes: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// In order.
    pub archived: Vec<ArchivedSegment>,
    /// Segments that stay as they are, because they are too large to be read from memory.
    pub too_large: Vec<PathBuf>,
}

/// Archives the sealed segments whose events are all before `keep_from`, oldest first. Stops early,
/// with what it has done by then, when `stop` says so; that is asked before each segment and for
/// every mebibyte that is compressed.
///
/// # Errors
/// When a segment is damaged, which leaves it where it is, or the archive can't be written.
pub fn archive_segments(
    directory: &Path,
    keep_from: EventSeq,
    stop: impl Fn() -> bool,
) -> Result<ArchiveReport, JournalError> {
    let mut report = ArchiveReport::default();
    remove_unfinished(&archive_file::directory(directory))?;
    for pair in segment::list(directory)?.windows(2) {
        let [(_, path), (next_seq, next)] = pair else { continue };
        if *next_seq > keep_from || stop() {
            break;
        }
        if archive_file::is_archived(path) {
            continue;
        }
        let segment = SegmentReader::open(path)?;
        let content = check(segment, &SegmentReader::open(next)?.header)?;
        if content.header.content_len > CONTENT_LEN_MAX {
            report.too_large.push(path.clone());
            continue;
        }
        match archive(directory, &content, &stop)? {
            Some(archived) => report.archived.push(archived),
            None => break,
        }
    }
    Ok(report)
}

/// Deletes archived segments whose events are all before `below`, oldest first, up to the first
/// segment that is not archived: what is left has no gap. Returns those that were deleted.
///
/// # Errors
/// When a file can't be deleted.
pub fn delete_archived(directory: &Path, below: EventSeq) -> Result<Vec<PathBuf>, JournalError> {
    let segments = segment::list(directory)?;
    let goes =
        |pair: &&[(EventSeq, PathBuf)]| pair[1].0 <= below && archive_file::is_archived(&pair[0].1);
    let count = segments.windows(2).take_while(goes).count();
    let (deleted, kept) = segments.split_at(count);
    let (false, Some((first, _)), Some((_, newest))) =
        (deleted.is_empty(), kept.first(), kept.last())
    else {
        return Ok(Vec::new());
    };
    // The newest one is never archived: only its header is read, and one that is damaged can go.
    deleted_note::write(directory, SegmentReader::open(newest)?.header.journal, *first)?;
    for (_, path) in deleted {
        fs::remove_file(path).map_err(JournalError::io("can't remove", path))?;
        // Each before the next one, so that a crash leaves no gap either.
        sync_directory(&archive_file::directory(directory))?;
    }
    Ok(deleted.iter().map(|(_, path)| path.clone()).collect())
}

/// A sealed segment that was found right, and what its archived file will say.
struct Content {
    segment: SegmentReader,
    header: ArchiveHeader,
}

/// Reads all of a sealed segment and the header of the next one. What recovery would refuse is not
/// archived: the damaged original says more about what happened.
fn check(segment: SegmentReader, next: &SegmentHeader) -> Result<Content, JournalError> {
    let mut frames = SegmentFrames::new(segment, false);
    let (mut count, mut times) = (0, None);
    while let Some(frame) = frames.next()? {
        count += 1;
        let first = times.map_or(frame.header.time, |(first, _)| first);
        times = Some((first, frame.header.time));
    }
    if frames.segment.rest(frames.offset)? != Rest::Blank {
        return Err(frames.damaged("what follows the last frame is not blank"));
    }
    let next_begins = ChainEnd { head: next.previous, next_seq: next.first_seq };
    if frames.end != next_begins || frames.segment.header.journal != next.journal {
        return Err(frames.damaged("the next segment does not continue this one"));
    }
    let (first_time, last_time) = times.unwrap_or((Timestamp(0), Timestamp(0)));
    let SegmentFrames { segment, offset, end, .. } = frames;
    let mut hasher = blake3::Hasher::new();
    for (_, piece) in segment.pieces(0, offset) {
        hasher.update(&piece?);
    }
    let header = ArchiveHeader {
        first_seq: segment.header.first_seq,
        last_seq: EventSeq(end.next_seq.0.saturating_sub(1)),
        frames: count,
        first_time,
        last_time,
        segment_len: segment.len,
        content_len: offset,
        content_hash: *hasher.finalize().as_bytes(),
        // Known once it is compressed.
        compressed_len: 0,
        compressed_checksum: 0,
    };
    Ok(Content { segment, header })
}

/// Archives one segment. `None` when `stop` said so.
fn archive(
    directory: &Path,
    content: &Content,
    stop: &impl Fn() -> bool,
) -> Result<Option<ArchivedSegment>, JournalError> {
    let Content { segment, header } = content;
    let archive_directory = archive_file::directory(directory);
    if !archive_directory.is_dir() {
        let error = JournalError::io("can't create", &archive_directory);
        fs::create_dir(&archive_directory).map_err(error)?;
        sync_directory(directory)?;
    }
    let unfinished = archive_directory.join(format!("{:020}.unfinished", header.first_seq.0));
    let pieces = segment.pieces(0, header.content_len).map(|(_, piece)| piece);
    let written = archive_file::write(&unfinished, *header, pieces, stop);
    let written = written.and_then(|written| match written {
        Some(header) => check_written(&unfinished, header).map(Some),
        None => Ok(None),
    });
    let Ok(Some(header)) = written else {
        // What went wrong before matters more than this.
        let _ = fs::remove_file(&unfinished);
        return written.map(|_| None);
    };
    let path = archive_file::path_of(&segment.path);
    fs::rename(&unfinished, &path).map_err(JournalError::io("can't create", &path))?;
    sync_directory(&archive_directory)?;
    fs::remove_file(&segment.path).map_err(JournalError::io("can't remove", &segment.path))?;
    sync_directory(directory)?;
    Ok(Some(ArchivedSegment {
        path,
        first_seq: header.first_seq,
        last_seq: header.last_seq,
        segment_bytes: header.segment_len,
        archived_bytes: header.compressed_len + archive_file::HEADER_LEN as u64,
    }))
}

/// Reads an archived file back, and compares it with what it was made of.
fn check_written(path: &Path, header: ArchiveHeader) -> Result<ArchiveHeader, JournalError> {
    match archive_file::decompress(path, |_| {})? {
        read if read == header => Ok(header),
        _ => Err(JournalError::Damaged {
            path: path.to_owned(),
            offset: 0,
            what: "it does not read back as it was written",
        }),
    }
}
