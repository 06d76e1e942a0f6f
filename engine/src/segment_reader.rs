//! Reading segments: consumes the files of a journal's directory and of its archive, produces
//! frames. Guarantees that whoever reads can't tell an archived segment from one that is not.
//!
//! | found | what is read |
//! |---|---|
//! | a segment | it |
//! | an archived segment | it, decompressed into memory once |
//! | both | the segment: the archived one may be half of a crash |
//! | an archived segment and none after it | refused: the newest segment is never archived |
//! | a segment that is gone when it is opened | the archived one: it was archived in between |

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use millrace_ledger::{EventSeq, Timestamp};

use crate::{
    JournalError, archive_file,
    frame::{ALIGNMENT, FrameHash, FrameHeader, HEADER_LEN, JOURNAL, MAGIC, NoHeader},
    segment::{FIRST_FRAME, SUFFIX, SegmentHeader},
};

/// The segments of a directory and its archive, in order, each once and with the first event that
/// its name says.
pub(crate) fn list(directory: &Path) -> Result<Vec<(EventSeq, PathBuf)>, JournalError> {
    // In this order: a segment that is archived meanwhile is seen twice rather than not at all.
    let mut segments = named(directory, SUFFIX)?;
    segments.sort();
    let archive = archive_file::directory(directory);
    if archive.is_dir() {
        let mut archived = named(&archive, archive_file::SUFFIX)?;
        archived.retain(|(first, _)| segments.binary_search_by_key(first, |it| it.0).is_err());
        segments.extend(archived);
        segments.sort();
    }
    match segments.last() {
        Some((_, path)) if archive_file::is_archived(path) => Err(JournalError::WrongSegment {
            path: path.clone(),
            what: "it is archived, so another segment follows, and that one is missing",
            expected: archive_file::open(path)?.1.last_seq.next(),
        }),
        _ => Ok(segments),
    }
}

/// Files called `<number>.<suffix>`.
fn named(directory: &Path, suffix: &str) -> Result<Vec<(EventSeq, PathBuf)>, JournalError> {
    let entries = fs::read_dir(directory).map_err(JournalError::io("can't list", directory))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(JournalError::io("can't list", directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let stem = name.and_then(|name| name.strip_suffix(suffix)?.strip_suffix('.'));
        if let Some(first) = stem.and_then(|stem| stem.parse().ok()) {
            files.push((EventSeq(first), path));
        }
    }
    Ok(files)
}

/// What was found at a place in a segment.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole frame: its header, its hash, and its body.
    Frame(FrameHeader, FrameHash, Bytes),
    /// Nothing was written here, or the segment ends.
    End,
    /// Something that is no whole frame.
    Broken(&'static str),
    /// A frame of a later version.
    Newer(u32),
}

/// What is left of a segment behind its last whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Zeros, or nothing.
    Blank,
    /// Bytes that are no whole frame, and no whole frame among them.
    Torn,
    /// A whole frame stands further on.
    FrameFollows,
}

/// Where a segment's bytes are.
#[derive(Debug)]
enum Content {
    File(File),
    Memory(Bytes),
}

/// Reads frames of one segment.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    bytes: Content,
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
    /// Of an archived segment, the length without the zeros that followed its last frame.
    pub(crate) len: u64,
}

impl SegmentReader {
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        if archive_file::is_archived(path) {
            return Self::open_archived(path);
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                let archived = archive_file::path_of(path);
                return match error.kind() == io::ErrorKind::NotFound && archived.is_file() {
                    true => Self::open_archived(&archived),
                    false => Err(JournalError::io("can't open", path)(error)),
                };
            }
        };
        let len = file.metadata().map_err(JournalError::io("can't read", path))?.len();
        Self::new(Content::File(file), path, len)
    }

    /// Time of a segment's first frame, without decompressing anything; `None` where there is none.
    pub(crate) fn first_time(path: &Path) -> Result<Option<Timestamp>, JournalError> {
        if archive_file::is_archived(path) {
            return Ok(Some(archive_file::open(path)?.1.first_time));
        }
        let first = Self::open(path)?.read_header(FIRST_FRAME)?;
        Ok(first.ok().map(|(header, _)| header.time))
    }

    fn open_archived(path: &Path) -> Result<Self, JournalError> {
        let content = archive_file::read(path)?;
        let len = content.len() as u64;
        Self::new(Content::Memory(content), path, len)
    }

    fn new(bytes: Content, path: &Path, len: u64) -> Result<Self, JournalError> {
        let mut header = [0; FIRST_FRAME as usize];
        match bytes.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let what = "it is shorter than a segment header";
                return Err(JournalError::Damaged { path: path.to_owned(), offset: 0, what });
            }
            result => result.map_err(JournalError::io("can't read", path))?,
        }
        let header = SegmentHeader::decode(&header, path)?;
        Ok(Self { bytes, path: path.to_owned(), header, len })
    }

    /// Whether it was read from the archive.
    pub(crate) fn is_archived(&self) -> bool {
        matches!(self.bytes, Content::Memory(_))
    }

    /// Reads what stands at `offset`, body and all.
    pub(crate) fn read(&self, offset: u64) -> Result<Found, JournalError> {
        let (header, bytes) = match self.read_header(offset)? {
            Ok(header) => header,
            Err(found) => return Ok(found),
        };
        let body_offset = offset + HEADER_LEN as u64;
        if body_offset + header.body_len() as u64 > self.len {
            return Ok(Found::Broken("a frame goes past the end of the file"));
        }
        let body = match &self.bytes {
            Content::File(_) => self.bytes(body_offset, header.body_len())?.into(),
            Content::Memory(content) => {
                let start = body_offset as usize;
                content.slice(start..start + header.body_len())
            }
        };
        if *blake3::hash(&body).as_bytes() != header.body_hash {
            return Ok(Found::Broken("a frame's body does not match its hash"));
        }
        Ok(Found::Frame(header, FrameHash::of(&bytes), body))
    }

    /// Reads `len` bytes at `offset`, whatever they are.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; len];
        self.bytes
            .read_exact_at(&mut bytes, offset)
            .map_err(JournalError::io("can't read", &self.path))?;
        Ok(bytes)
    }

    /// Reads the header at `offset` alone; where there is none, what there is instead.
    pub(crate) fn read_header(
        &self,
        offset: u64,
    ) -> Result<Result<(FrameHeader, [u8; HEADER_LEN]), Found>, JournalError> {
        let mut bytes = [0; HEADER_LEN];
        if offset + HEADER_LEN as u64 > self.len {
            return Ok(Err(Found::End));
        }
        self.bytes
            .read_exact_at(&mut bytes, offset)
            .map_err(JournalError::io("can't read", &self.path))?;
        let found = FrameHeader::decode(&bytes);
        if found != Err(NoHeader::Blank) && bytes[JOURNAL] != self.header.journal {
            return Ok(Err(Found::Broken("there is no frame header of this journal")));
        }
        Ok(match found {
            Ok(header) => Ok((header, bytes)),
            Err(NoHeader::Blank) => Err(Found::End),
            Err(NoHeader::NewerVersion(version)) => Err(Found::Newer(version)),
            Err(NoHeader::Invalid) => Err(Found::Broken("there is no frame header")),
        })
    }

    /// What is left from `offset`, where the last whole frame ends.
    pub(crate) fn rest(&self, offset: u64) -> Result<Rest, JournalError> {
        let mut rest = Rest::Blank;
        for (at, piece) in self.pieces(offset, self.len) {
            let piece = piece?;
            if piece.iter().any(|byte| *byte != 0) {
                rest = Rest::Torn;
            }
            for (index, start) in piece.chunks(ALIGNMENT).enumerate() {
                let place = at + (index * ALIGNMENT) as u64;
                if start.starts_with(&MAGIC)
                    && place > offset
                    && matches!(self.read(place)?, Found::Frame(..) | Found::Newer(_))
                {
                    return Ok(Rest::FrameFollows);
                }
            }
        }
        Ok(rest)
    }

    /// The bytes of a range in pieces of a mebibyte, each with its offset.
    pub(crate) fn pieces(
        &self,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = (u64, Result<Vec<u8>, JournalError>)> {
        const PIECE: u64 = 1 << 20;
        (from..to)
            .step_by(PIECE as usize)
            .map(move |at| (at, self.bytes(at, PIECE.min(to - at) as usize)))
    }
}

impl Content {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::Memory(content) => {
                let start = usize::try_from(offset).ok();
                let range = start.and_then(|start| Some(start..start.checked_add(buffer.len())?));
                let bytes = range.and_then(|range| content.get(range));
                let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(bytes);
                Ok(())
            }
        }
    }
}
