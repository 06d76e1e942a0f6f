//! The file of an archived segment: consumes a segment's header and frames, produces them
//! compressed, and reads them back. Guarantees that what is read is what was written, or an error
//! that names the file.
//!
//! `archive/<first event, 20 digits>.segment.zst` is a zstd file: `zstd -d` restores the segment but
//! for the zeros behind its last frame. It starts with a skippable frame of 128 bytes, its header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic of a skippable frame, `50 2A 4D 18` |
//! | 4 | 4 | 120, the length of what follows in it |
//! | 8 | 8 | magic `MLRARC\r\n` |
//! | 16 | 4 | format version, 1 |
//! | 20 | 4 | zero |
//! | 24 | 8 | sequence of the first event |
//! | 32 | 8 | sequence of the last event |
//! | 40 | 8 | number of journal frames |
//! | 48 | 8 | time of the first journal frame, nanoseconds since the Unix epoch |
//! | 56 | 8 | time of the last journal frame |
//! | 64 | 8 | length of the segment's file, with the zeros behind the last frame |
//! | 72 | 8 | length of the content: segment header and journal frames |
//! | 80 | 8 | length of the zstd frame behind this header |
//! | 88 | 32 | BLAKE3 of the content |
//! | 120 | 4 | CRC-32C of the zstd frame behind this header |
//! | 124 | 4 | CRC-32C of bytes 0 to 123 |
//! | 128 | | one zstd frame with a content checksum: the content |

use std::{
    fs::File,
    io::{self, Read, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use millrace_ledger::{EventSeq, Timestamp};

use crate::JournalError;

/// What an archived segment's name ends with.
pub(crate) const SUFFIX: &str = "segment.zst";
pub(crate) const HEADER_LEN: usize = 128;
/// Longest content: it is held in memory while it is read. Longer segments are never archived, so
/// a header that says more is none of ours.
pub(crate) const CONTENT_LEN_MAX: u64 = 1 << 30;
const SKIPPABLE: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 120, 0, 0, 0];
const MAGIC: [u8; 8] = *b"MLRARC\r\n";
const VERSION: u32 = 1;
/// Journal frames are mostly ids and numbers, on which higher levels gain little: decision 0011.
const LEVEL: i32 = 3;

/// What an archived segment tells of itself without being decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveHeader {
    pub(crate) first_seq: EventSeq,
    pub(crate) last_seq: EventSeq,
    pub(crate) frames: u64,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    pub(crate) segment_len: u64,
    pub(crate) content_len: u64,
    pub(crate) compressed_len: u64,
    pub(crate) content_hash: [u8; 32],
    /// Other compressed bytes may well decompress to the same content, but they are no longer what
    /// was written: the disk or a copy is not to be trusted.
    pub(crate) compressed_checksum: u32,
}

/// Where a journal keeps its archived segments.
pub(crate) fn directory(journal: &Path) -> PathBuf {
    journal.join("archive")
}

/// Where the segment with this path is once it is archived.
pub(crate) fn path_of(segment: &Path) -> PathBuf {
    let stem = segment.file_stem().unwrap_or_default().to_string_lossy();
    let journal = segment.parent().unwrap_or(Path::new(""));
    directory(journal).join(format!("{stem}.{SUFFIX}"))
}

/// Whether a path is that of an archived segment.
pub(crate) fn is_archived(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}

impl ArchiveHeader {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[0..8].copy_from_slice(&SKIPPABLE);
        header[8..16].copy_from_slice(&MAGIC);
        header[16..20].copy_from_slice(&VERSION.to_le_bytes());
        let numbers = [
            self.first_seq.0,
            self.last_seq.0,
            self.frames,
            self.first_time.0,
            self.last_time.0,
            self.segment_len,
            self.content_len,
            self.compressed_len,
        ];
        for (place, number) in header[24..88].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        header[88..120].copy_from_slice(&self.content_hash);
        header[120..124].copy_from_slice(&self.compressed_checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&header[..124]);
        header[124..128].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    fn decode(header: &[u8; HEADER_LEN], path: &Path) -> Result<Self, JournalError> {
        let checksum = crc32c::crc32c(&header[..124]).to_le_bytes();
        let marks = header[0..8] == SKIPPABLE && header[8..16] == MAGIC;
        if !marks || header[124..128] != checksum {
            return Err(damaged(
                path,
                0,
                "its first 128 bytes are no header of an archived segment",
            ));
        }
        let version = u32::from_le_bytes(header[16..20].try_into().expect("4 bytes"));
        if version != VERSION {
            let path = path.to_owned();
            return Err(JournalError::NewerVersion { path, found: version, supported: VERSION });
        }
        let number =
            |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
        Ok(Self {
            first_seq: EventSeq(number(24)),
            last_seq: EventSeq(number(32)),
            frames: number(40),
            first_time: Timestamp(number(48)),
            last_time: Timestamp(number(56)),
            segment_len: number(64),
            content_len: number(72),
            compressed_len: number(80),
            content_hash: header[88..120].try_into().expect("32 bytes"),
            compressed_checksum: u32::from_le_bytes(header[120..124].try_into().expect("4 bytes")),
        })
    }
}

/// Opens an archived segment and reads its header; what is read from the file next is the content,
/// compressed.
pub(crate) fn open(path: &Path) -> Result<(File, ArchiveHeader), JournalError> {
    let mut file = File::open(path).map_err(JournalError::io("can't open", path))?;
    let len = file.metadata().map_err(JournalError::io("can't read", path))?.len();
    let mut bytes = [0; HEADER_LEN];
    match file.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged(path, 0, "it is shorter than the header of an archived segment"));
        }
        result => result.map_err(JournalError::io("can't read", path))?,
    }
    let header = ArchiveHeader::decode(&bytes, path)?;
    if header.content_len > CONTENT_LEN_MAX {
        return Err(damaged(path, 72, "it claims to hold more than a gibibyte"));
    }
    if header.compressed_len.checked_add(HEADER_LEN as u64) != Some(len) {
        return Err(damaged(path, len, "it is shorter or longer than its header says"));
    }
    Ok((file, header))
}

/// Reads the content of an archived segment: its segment header and frames.
pub(crate) fn read(path: &Path) -> Result<Bytes, JournalError> {
    let (_, header) = open(path)?;
    let mut content = Vec::new();
    content
        .try_reserve_exact(header.content_len as usize)
        .map_err(|_| JournalError::io("can't hold", path)(io::ErrorKind::OutOfMemory.into()))?;
    decompress(path, |piece| content.extend_from_slice(piece))?;
    Ok(content.into())
}

/// Decompresses an archived segment piece by piece, and checks that it is what was written. Holds a
/// mebibyte of it at a time.
pub(crate) fn decompress(
    path: &Path,
    mut take: impl FnMut(&[u8]),
) -> Result<ArchiveHeader, JournalError> {
    let (file, header) = open(path)?;
    let error = |error: io::Error| match error.raw_os_error() {
        Some(_) => JournalError::io("can't read", path)(error),
        // The system had no complaint, so the decompressor has one.
        None => damaged(path, HEADER_LEN as u64, "what is compressed in it can't be read"),
    };
    let mut decoder = zstd::stream::read::Decoder::new(Summed::new(file)).map_err(error)?;
    let (mut piece, mut len) = (vec![0; 1 << 20], 0);
    let mut hasher = blake3::Hasher::new();
    loop {
        let count = decoder.read(&mut piece).map_err(error)?;
        len += count as u64;
        if count == 0 || len > header.content_len {
            break;
        }
        hasher.update(&piece[..count]);
        take(&piece[..count]);
    }
    if len != header.content_len || *hasher.finalize().as_bytes() != header.content_hash {
        let what = "what is compressed in it is not what its header says";
        return Err(damaged(path, HEADER_LEN as u64, what));
    }
    if decoder.finish().into_inner().checksum != header.compressed_checksum {
        return Err(damaged(
            path,
            HEADER_LEN as u64,
            "its compressed bytes are not what was written",
        ));
    }
    Ok(header)
}

/// Writes an archived segment, durably, under the name that is given. The header comes last: without
/// it the file is none. `None` when `stop` said so, which leaves an unfinished file.
pub(crate) fn write(
    path: &Path,
    header: ArchiveHeader,
    content: impl Iterator<Item = Result<Vec<u8>, JournalError>>,
    stop: &impl Fn() -> bool,
) -> Result<Option<ArchiveHeader>, JournalError> {
    let error = |error| JournalError::io("can't write", path)(error);
    let mut file = File::create(path).map_err(error)?;
    file.write_all(&[0; HEADER_LEN]).map_err(error)?;
    let mut encoder = zstd::stream::write::Encoder::new(Summed::new(file), LEVEL).map_err(error)?;
    encoder.include_checksum(true).map_err(error)?;
    encoder.set_pledged_src_size(Some(header.content_len)).map_err(error)?;
    for piece in content {
        if stop() {
            return Ok(None);
        }
        encoder.write_all(&piece?).map_err(error)?;
    }
    let Summed { file, len: compressed_len, checksum } = encoder.finish().map_err(error)?;
    let header = ArchiveHeader { compressed_len, compressed_checksum: checksum, ..header };
    file.write_all_at(&header.encode(), 0).map_err(error)?;
    file.sync_all().map_err(error)?;
    Ok(Some(header))
}

/// Sums up what is read from or written to a file.
struct Summed {
    file: File,
    len: u64,
    checksum: u32,
}

impl Summed {
    fn new(file: File) -> Self {
        Self { file, len: 0, checksum: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
    }
}

impl Read for Summed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.add(&buffer[..count]);
        Ok(count)
    }
}

impl io::Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.add(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn damaged(path: &Path, offset: u64, what: &'static str) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), offset, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_every_changed_bit_is_noticed() {
        let header = ArchiveHeader {
            first_seq: EventSeq(1),
            last_seq: EventSeq(2),
            frames: 3,
            first_time: Timestamp(4),
            last_time: Timestamp(5),
            segment_len: 6,
            content_len: 7,
            compressed_len: 8,
            content_hash: [9; 32],
            compressed_checksum: 10,
        };
        let (bytes, path) = (header.encode(), Path::new("archived"));
        assert_eq!(ArchiveHeader::decode(&bytes, path).expect("whole"), header);
        for bit in 0..HEADER_LEN * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            ArchiveHeader::decode(&changed, path).expect_err("changed");
        }
        let mut newer = bytes;
        newer[16] = 2;
        let checksum = crc32c::crc32c(&newer[..124]);
        newer[124..].copy_from_slice(&checksum.to_le_bytes());
        let error = ArchiveHeader::decode(&newer, path).expect_err("newer").to_string();
        assert!(error.contains("version 2") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn an_archived_segment_stands_in_the_archive_under_its_own_name() {
        let segment = Path::new("journal/00000000000000000007.segment");
        let archived = path_of(segment);
        assert_eq!(archived, Path::new("journal/archive/00000000000000000007.segment.zst"));
        assert!(is_archived(&archived) && !is_archived(segment));
    }
}
