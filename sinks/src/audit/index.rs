//! The index of a sealed segment: consumes its lines, produces where its blocks are and which of them
//! name a payment, an account or an actor. Derived from the segment, and made anew when it is lost.
//!
//! | bytes | what (little-endian) |
//! |---|---|
//! | 8 | `MRAUDIX1` |
//! | 8, 8 | first entry, and the one behind the last |
//! | 4, 4 | blocks, keys |
//! | 24 each | a block: where it starts in the compressed file, its earliest and its latest time |
//! | 8 | where the last block ends |
//! | 8 each | keys, in order: 48 bits that stand for what is named, then 16 bits of block number |
//! | 32 | SHA-256 of all of the above |
//!
//! The bits are evenly spread, so one read at the expected place finds a key. Other names may share
//! them: whoever searches looks at the entries, too.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use millrace_ledger::{AccountId, PaymentId, Timestamp};
use sha2::{Digest as _, Sha256};

use super::{AuditError, AuditQuery, layout::Span, merkle::Hash, parts::Summary};

const MAGIC: &[u8; 8] = b"MRAUDIX1";
const HEADER_BYTES: usize = 32;
const BLOCK_BYTES: usize = 24;
const KEY_BYTES: u64 = 8;
const BLOCK_BITS: u32 = 16;
/// Entries of one block.
pub(super) const BLOCK_ENTRIES: u64 = 256;
/// Most blocks that keys can tell apart.
pub(super) const BLOCKS_MAX: u64 = 1 << BLOCK_BITS;
/// Keys that are read at once, around the place where one should be.
const WINDOW: u64 = 1_024;

/// A block of a segment: [`BLOCK_ENTRIES`] entries, fewer in the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where it starts in the segment's file.
    pub(super) offset: u64,
    pub(super) min_time: Timestamp,
    pub(super) max_time: Timestamp,
}

/// What is looked for: the upper 48 bits of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term(u64);

impl Term {
    /// Ids are told apart by the kind of what they name.
    fn new(kind: u64, id: u128) -> Self {
        let (high, low) = ((id >> 64) as u64, id as u64);
        Self(mix(high ^ mix(low ^ mix(kind))) & !(BLOCKS_MAX - 1))
    }

    fn payment(id: PaymentId) -> Self {
        Self::new(1, id.0)
    }

    fn account(id: AccountId) -> Self {
        Self::new(2, id.0)
    }

    fn actor(name: &str) -> Self {
        let hash: Hash = Sha256::digest(name.as_bytes()).into();
        let (id, _) = hash.split_first_chunk().expect("has 32 bytes");
        Self::new(3, u128::from_be_bytes(*id))
    }

    /// All that a block has to have for entries that fit to be in it.
    pub(super) fn of_query(query: &AuditQuery) -> Vec<Self> {
        let actor = query.actor.as_deref().map(Self::actor);
        let account = query.account.map(Self::account);
        [actor, account, query.payment.map(Self::payment)].into_iter().flatten().collect()
    }
}

/// Spreads bits evenly: the finalizer of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Collects what the index of a segment says while its lines go by.
#[derive(Clone, Debug, Default)]
pub(super) struct IndexBuilder {
    entries: u64,
    blocks: Vec<Block>,
    keys: Vec<u64>,
}

impl IndexBuilder {
    /// Takes the segment's next line. `offset` is where its block starts in the segment's file.
    pub(super) fn add(&mut self, summary: &Summary<'_>, offset: u64) {
        let time = summary.time;
        if self.entries.is_multiple_of(BLOCK_ENTRIES) {
            self.blocks.push(Block { offset, min_time: time, max_time: time });
        }
        self.entries += 1;
        let number = self.blocks.len() as u64 - 1;
        let block = self.blocks.last_mut().expect("was just added");
        block.min_time = block.min_time.min(time);
        block.max_time = block.max_time.max(time);
        let mut add = |term: Term| self.keys.push(term.0 | number);
        summary.payment.map(Term::payment).into_iter().for_each(&mut add);
        summary.original.map(Term::payment).into_iter().for_each(&mut add);
        summary.accounts.into_iter().flatten().map(Term::account).for_each(&mut add);
        if let Some(act) = summary.act() {
            act.payment.map(Term::payment).into_iter().for_each(&mut add);
            act.accounts.into_iter().map(Term::account).for_each(&mut add);
            act.actor.as_deref().map(Term::actor).into_iter().for_each(add);
        }
    }

    /// The index's bytes. `end` is where the last block ends.
    pub(super) fn finish(mut self, span: Span, end: u64) -> Vec<u8> {
        self.keys.sort_unstable();
        self.keys.dedup();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 8 * self.keys.len() + 64);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&span.first.to_le_bytes());
        bytes.extend_from_slice(&span.end.to_le_bytes());
        bytes.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.keys.len() as u32).to_le_bytes());
        for block in &self.blocks {
            for number in [block.offset, block.min_time.0, block.max_time.0] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&end.to_le_bytes());
        for key in &self.keys {
            bytes.extend_from_slice(&key.to_le_bytes());
        }
        let hash: Hash = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&hash);
        bytes
    }
}

/// Where an index is read from.
#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl Bytes {
    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(bytes, offset),
            Self::Memory(all) => {
                let start = offset as usize;
                let part = all.get(start..start + bytes.len());
                bytes.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(all) => Ok(all.len() as u64),
        }
    }
}

/// An index that is read.
#[derive(Debug)]
pub(super) struct Index {
    bytes: Bytes,
    pub(super) blocks: Vec<Block>,
    /// Where the last block ends.
    pub(super) end: u64,
    keys: u64,
    keys_at: u64,
}

impl Index {
    /// Opens the file; `None` where there is none, or none of this segment and this format.
    pub(super) fn open(path: &Path, span: Span) -> Result<Option<Self>, AuditError> {
        match File::open(path) {
            Ok(file) => Self::parse(Bytes::File(file), span).map_err(AuditError::io("read", path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuditError::io("open", path)(error)),
        }
    }

    /// An index that was just made.
    pub(super) fn in_memory(bytes: Vec<u8>, span: Span) -> Self {
        let index = Self::parse(Bytes::Memory(bytes), span);
        index.expect("memory reads").expect("was made for this segment")
    }

    fn parse(bytes: Bytes, span: Span) -> io::Result<Option<Self>> {
        let len = bytes.len()?;
        let mut header = [0; HEADER_BYTES];
        if len < header.len() as u64 {
            return Ok(None);
        }
        bytes.read(&mut header, 0)?;
        let number =
            |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let (block_count, keys) = (number(24) & 0xffff_ffff, number(24) >> 32);
        let keys_at = (HEADER_BYTES + 8) as u64 + block_count * BLOCK_BYTES as u64;
        let expected = Span { first: number(8), end: number(16) } == span
            && header.starts_with(MAGIC)
            && block_count == span.count().div_ceil(BLOCK_ENTRIES)
            && len == keys_at + keys * KEY_BYTES + size_of::<Hash>() as u64;
        if !expected {
            return Ok(None);
        }
        let mut table = vec![0; block_count as usize * BLOCK_BYTES + 8];
        bytes.read(&mut table, HEADER_BYTES as u64)?;
        let mut numbers = table
            .chunks_exact(8)
            .map(|number| u64::from_le_bytes(number.try_into().expect("eight bytes")));
        let mut next = || numbers.next().expect("three for each block, and the end");
        let blocks = (0..block_count).map(|_| Block {
            offset: next(),
            min_time: Timestamp(next()),
            max_time: Timestamp(next()),
        });
        let blocks = blocks.collect();
        let end = next();
        Ok(Some(Self { bytes, blocks, end, keys, keys_at }))
    }

    /// The latest time of the segment.
    pub(super) fn max_time(&self) -> Timestamp {
        self.blocks.iter().map(|block| block.max_time).max().unwrap_or_default()
    }

    /// The blocks that name this, in order.
    pub(super) fn blocks_with(&self, term: Term) -> io::Result<Vec<u64>> {
        let mut at = self.lower_bound(term.0)?;
        let mut blocks = Vec::new();
        'windows: while at < self.keys {
            let keys = self.read_keys(at, WINDOW.min(self.keys - at))?;
            for key in &keys {
                if key & !(BLOCKS_MAX - 1) != term.0 {
                    break 'windows;
                }
                blocks.push(key & (BLOCKS_MAX - 1));
            }
            at += keys.len() as u64;
        }
        Ok(blocks)
    }

    /// The first key that is not below this one. Keys are hashes: it is near its share of them.
    fn lower_bound(&self, key: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.keys);
        let expected = ((u128::from(self.keys) * u128::from(key)) >> 64) as u64;
        let mut start = expected.saturating_sub(WINDOW / 2);
        while low < high {
            start = start.clamp(low, high - 1);
            let keys = self.read_keys(start, WINDOW.min(high - start))?;
            let below = keys.partition_point(|&found| found < key) as u64;
            match below {
                0 => high = start,
                _ if below < keys.len() as u64 => return Ok(start + below),
                all => low = start + all,
            }
            start = low + (high - low) / 2;
        }
        Ok(low)
    }

    fn read_keys(&self, at: u64, count: u64) -> io::Result<Vec<u64>> {
        let mut bytes = vec![0; (count * KEY_BYTES) as usize];
        self.bytes.read(&mut bytes, self.keys_at + at * KEY_BYTES)?;
        let keys = bytes.chunks_exact(KEY_BYTES as usize);
        Ok(keys.map(|key| u64::from_le_bytes(key.try_into().expect("eight bytes"))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a naive search of the same lines.
    #[test]
    fn every_term_leads_to_exactly_its_blocks() {
        let id = |number: u64| format!("01930000-0000-7000-8000-{number:012}");
        let lines: Vec<String> = (0..3_000_u64)
            .map(|number| {
                format!(
                    "{{\"seq\":{},\"time\":\"2026-11-20T08:30:00.{number:09}Z\",\
                     \"event\":\"PAYMENT\",\"payment\":\"{}\",\"debit\":\"{}\",\"credit\":\"{}\"}}",
                    number + 1,
                    id(number),
                    id(number % 7),
                    id(number / 256),
                )
            })
            .collect();
        let mut builder = IndexBuilder::default();
        for (number, line) in (0..).zip(&lines) {
            let summary = Summary::of(line.as_bytes()).expect("a line");
            builder.add(&summary, number / BLOCK_ENTRIES * 1_000);
        }
        let span = Span { first: 500, end: 3_500 };
        let index = Index::in_memory(builder.finish(span, 12_000), span);
        assert_eq!((index.blocks.len(), index.end), (12, 12_000));
        assert_eq!(index.blocks[3].offset, 3_000);
        assert_eq!(index.blocks[3].max_time.0 - index.blocks[3].min_time.0, 255);
        for number in 0..3_100 {
            let text = id(number);
            let id = u128::from_str_radix(&text.replace('-', ""), 16).expect("hex");
            for (term, names) in [
                (Term::payment(PaymentId(id)), &["payment"][..]),
                (Term::account(AccountId(id)), &["debit", "credit"]),
            ] {
                let mut blocks: Vec<u64> = (0_u64..)
                    .zip(&lines)
                    .filter(|(_, line)| {
                        names.iter().any(|name| line.contains(&format!("\"{name}\":\"{text}\"")))
                    })
                    .map(|(number, _)| number / BLOCK_ENTRIES)
                    .collect();
                blocks.dedup();
                assert_eq!(index.blocks_with(term).expect("reads"), blocks, "{text} {names:?}");
            }
        }
    }
}
