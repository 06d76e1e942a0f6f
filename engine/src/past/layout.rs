//! The fixed parts of a run file: header, part table, fences, footer. Consumes and produces their
//! bytes; what does not fit together is refused with the offset that is wrong.

use std::{io, os::unix::fs::FileExt as _, path::Path};

use millrace_ledger::PaymentId;

use super::page::{PAGE_BYTES_MAX, PAGE_BYTES_MIN};
use crate::{JournalError, segment::JournalId};

const MAGIC: [u8; 8] = *b"MLRRUN\r\n";
const VERSION: u32 = 1;
/// Header, pages and filters begin at multiples of this, so that no page lies on more pages of the
/// system than it must.
pub(super) const ALIGNMENT: u64 = 4096;
pub(super) const HEADER_LEN: usize = ALIGNMENT as usize;
const PART_LEN: usize = 64;
const FENCE_LEN: usize = 16;
pub(super) const FOOTER_LEN: usize = 136;
/// Where the footer keeps its hash, which covers the footer up to there.
const HASH: usize = 96;

/// How runs are cut up and merged. What is written can be read whatever this says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// A power of two.
    pub(super) page_bytes: u32,
    /// Rows of a part, which has one filter. What a filter of so many is made in stays in a
    /// processor's own cache.
    pub(super) part_rows_max: usize,
    /// A run of fewer rows is merged with its likes whatever their ids are.
    pub(super) small_rows: u64,
    /// Runs of up to four times as many rows are of the first class, and so on by the factor four.
    pub(super) class_rows: u64,
}

impl Default for Layout {
    /// A generation is in the middle of the first class: some payments more or less don't matter.
    fn default() -> Self {
        Self {
            page_bytes: 1 << 14,
            part_rows_max: 1 << 17,
            small_rows: 1 << 16,
            class_rows: 1 << 18,
        }
    }
}

/// Some pages in a row, and the filter of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of its first page.
    pub(super) first_page: u64,
    pub(super) pages_offset: u64,
    pub(super) filter_offset: u64,
    /// Zero when it has none.
    pub(super) filter_len: u32,
    pub(super) rows: u32,
    pub(super) filter_hash: [u8; 32],
}

/// All of a run but its pages and its filters.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) page_bytes: u32,
    pub(super) rows: u64,
    pub(super) first_generation: u64,
    pub(super) last_generation: u64,
    /// Of an empty run, the largest id there is.
    pub(super) id_min: PaymentId,
    /// Of an empty run, zero.
    pub(super) id_max: PaymentId,
    pub(super) parts: Vec<Part>,
    /// The first id of every page.
    pub(super) fences: Vec<PaymentId>,
}

/// Where a file is wrong, and how.
type Wrong = (u64, &'static str);

pub(super) fn encode_header(journal: &JournalId, page_bytes: u32) -> Vec<u8> {
    let mut header = vec![0; HEADER_LEN];
    header[0..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&page_bytes.to_le_bytes());
    header[16..32].copy_from_slice(journal);
    let checksum = crc32c::crc32c(&header[..32]);
    header[32..36].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// The size of a page, from the header of a run of this journal.
fn decode_header(header: &[u8], journal: &JournalId, path: &Path) -> Result<u32, JournalError> {
    let wrong = |offset, what| Err(JournalError::wrong_run(path, offset, what));
    if header[0..8] != MAGIC || crc32c::crc32c(&header[..32]) != u32_at(header, 32) {
        return wrong(0, "there is no header of a run");
    }
    let version = u32_at(header, 8);
    if version > VERSION {
        let path = path.to_owned();
        return Err(JournalError::NewerVersion { path, found: version, supported: VERSION });
    }
    if header[16..32] != *journal {
        return wrong(16, "it belongs to another journal");
    }
    let page_bytes = u32_at(header, 12);
    let possible = (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes);
    match possible && page_bytes.is_power_of_two() && version == VERSION {
        true => Ok(page_bytes),
        false => wrong(8, "its header makes no sense"),
    }
}

impl Contents {
    /// Part table, fences and footer of a file whose pages and filters end at `offset`.
    pub(super) fn encode_tail(&self, header: &[u8], offset: u64) -> Vec<u8> {
        let fences_at = self.parts.len() * PART_LEN;
        let footer_at = fences_at + self.fences.len() * FENCE_LEN;
        let mut tail = Vec::with_capacity(footer_at + FOOTER_LEN);
        for part in &self.parts {
            for number in [part.first_page, part.pages_offset, part.filter_offset] {
                tail.extend_from_slice(&number.to_le_bytes());
            }
            tail.extend_from_slice(&part.filter_len.to_le_bytes());
            tail.extend_from_slice(&part.rows.to_le_bytes());
            tail.extend_from_slice(&part.filter_hash);
        }
        tail.extend(self.fences.iter().flat_map(|id| id.0.to_be_bytes()));
        let counts = [self.rows, self.fences.len() as u64, self.parts.len() as u64];
        for number in counts.into_iter().chain([self.first_generation, self.last_generation]) {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        tail.extend_from_slice(&self.id_min.0.to_be_bytes());
        tail.extend_from_slice(&self.id_max.0.to_be_bytes());
        for number in [offset, offset + fences_at as u64, offset + footer_at as u64] {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        let hash = hash(header, &tail);
        tail.extend_from_slice(&hash);
        tail.extend_from_slice(&MAGIC);
        tail
    }

    /// Reads and checks a whole file but its pages and its filters.
    pub(super) fn read(
        file: &std::fs::File,
        path: &Path,
        journal: &JournalId,
    ) -> Result<Self, JournalError> {
        let wrong = |(offset, what): Wrong| JournalError::wrong_run(path, offset, what);
        let len = file.metadata().map_err(JournalError::io("can't read", path))?.len();
        if len < (HEADER_LEN + FOOTER_LEN) as u64 {
            return Err(wrong((len, "it is shorter than a run can be")));
        }
        let header = read_at(file, path, 0, HEADER_LEN)?;
        let page_bytes = decode_header(&header, journal, path)?;
        let footer_offset = len - FOOTER_LEN as u64;
        let footer = read_at(file, path, footer_offset, FOOTER_LEN)?;
        if footer[HASH + 32..] != MAGIC {
            return Err(wrong((footer_offset, "it does not end as a run does: it was cut off")));
        }
        let tail_offset = tail_offset(&footer, footer_offset).map_err(wrong)?;
        let tail = read_at(file, path, tail_offset, (len - tail_offset) as usize)?;
        let hashed = tail.len() - FOOTER_LEN + HASH;
        if hash(&header, &tail[..hashed]) != tail[hashed..hashed + 32] {
            let what = "header, part table, fences and footer don't match their hash";
            return Err(wrong((tail_offset, what)));
        }
        let contents = Self::decode_tail(page_bytes, &tail);
        contents.check(tail_offset).map_err(|what| wrong((tail_offset, what)))?;
        Ok(contents)
    }

    /// Takes apart what was found to match its lengths and its hash.
    fn decode_tail(page_bytes: u32, tail: &[u8]) -> Self {
        let (tables, footer) = tail.split_at(tail.len() - FOOTER_LEN);
        let (table, fences) = tables.split_at(u64_at(footer, 16) as usize * PART_LEN);
        let part = |part: &[u8]| Part {
            first_page: u64_at(part, 0),
            pages_offset: u64_at(part, 8),
            filter_offset: u64_at(part, 16),
            filter_len: u32_at(part, 24),
            rows: u32_at(part, 28),
            filter_hash: array(part, 32),
        };
        let id = |bytes: &[u8], at| PaymentId(u128::from_be_bytes(array(bytes, at)));
        Self {
            page_bytes,
            rows: u64_at(footer, 0),
            first_generation: u64_at(footer, 24),
            last_generation: u64_at(footer, 32),
            id_min: id(footer, 40),
            id_max: id(footer, 56),
            parts: table.chunks_exact(PART_LEN).map(part).collect(),
            fences: fences.chunks_exact(FENCE_LEN).map(|fence| id(fence, 0)).collect(),
        }
    }

    /// Number of pages of a part.
    pub(super) fn pages_of(&self, part: usize) -> std::ops::Range<usize> {
        let end = self.parts.get(part + 1).map_or(self.fences.len() as u64, |next| next.first_page);
        self.parts[part].first_page as usize..end as usize
    }

    /// Whether parts, pages and filters lie one after the other and end at `end`, in order of ids.
    fn check(&self, end: u64) -> Result<(), &'static str> {
        let mut offset = HEADER_LEN as u64;
        let mut page = 0;
        for (number, part) in self.parts.iter().enumerate() {
            let pages = self.pages_of(number);
            let pages_len = (pages.len() as u64).checked_mul(self.page_bytes.into());
            let in_order = part.first_page == page && !pages.is_empty();
            let fits = part.pages_offset == offset
                && pages_len.and_then(|len| offset.checked_add(len)) == Some(part.filter_offset);
            if !in_order || !fits || pages.end > self.fences.len() {
                return Err("its part table makes no sense");
            }
            (page, offset) = (pages.end as u64, part.filter_offset + u64::from(part.filter_len));
        }
        let rows: u64 = self.parts.iter().map(|part| u64::from(part.rows)).sum();
        if offset != end || page != self.fences.len() as u64 || rows != self.rows {
            return Err("its part table does not tell of all of it");
        }
        let bounds = [Some(&self.id_min), self.fences.last()].map(|id| id.copied());
        let bounded = match self.fences.first() {
            Some(first) => bounds[0] == Some(*first) && bounds[1] <= Some(self.id_max),
            None => self.id_min == PaymentId::MAX && self.id_max == PaymentId::ZERO,
        };
        if !bounded || !self.fences.is_sorted_by(|earlier, later| earlier < later) {
            return Err("its fences are out of order");
        }
        match self.first_generation <= self.last_generation {
            true => Ok(()),
            false => Err("its generations are out of order"),
        }
    }
}

/// Where the part table begins, if the footer's counts and offsets agree with where it stands.
fn tail_offset(footer: &[u8], footer_offset: u64) -> Result<u64, Wrong> {
    let [pages, parts] = [8, 16].map(|at| u64_at(footer, at));
    let [table, fences, own] = [72, 80, 88].map(|at| u64_at(footer, at));
    let end_of = |start: u64, count: u64, len: usize| {
        count.checked_mul(len as u64).and_then(|len| start.checked_add(len))
    };
    let agree = own == footer_offset
        && end_of(table, parts, PART_LEN) == Some(fences)
        && end_of(fences, pages, FENCE_LEN) == Some(own)
        && table >= HEADER_LEN as u64;
    match agree {
        true => Ok(table),
        false => Err((footer_offset, "its footer does not fit its length")),
    }
}

fn hash(header: &[u8], tail: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(header).update(tail).finalize().as_bytes()
}

/// Reads `len` bytes at `offset`.
pub(super) fn read_at(
    file: &std::fs::File,
    path: &Path,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, JournalError> {
    let mut bytes = vec![0; len];
    read_into(file, path, offset, &mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` with what stands at `offset`.
pub(super) fn read_into(
    file: &std::fs::File,
    path: &Path,
    offset: u64,
    bytes: &mut [u8],
) -> Result<(), JournalError> {
    file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            JournalError::wrong_run(path, offset, "it ends before all of this was read")
        }
        _ => JournalError::io("can't read", path)(error),
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has the array's length")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
