//! Checks an audit log: consumes the file, produces a report, and guarantees that a changed,
//! dropped, inserted or moved line is named.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use millrace_ledger::EventSeq;

use super::line::{GENESIS, Hash, chain};
use crate::text::{parse_hash, put_hex};

/// What an intact log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Lines, which is events.
    pub lines: u64,
    /// The first event; `None` when the log is empty.
    pub first_seq: Option<EventSeq>,
    /// The last event; `None` when the log is empty.
    pub last_seq: Option<EventSeq>,
    /// Hash of the last line, in hex. To be compared with a copy that is kept elsewhere.
    pub head_hash: String,
    /// Payments that moved money.
    pub settled: u64,
    /// Payments that reserved money.
    pub held: u64,
    /// Voids.
    pub voided: u64,
    /// Refused payments by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Holds that expired.
    pub expired: u64,
    /// Openings and changes of accounts.
    pub account_events: u64,
}

/// Why a log is not what was written, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The file could not be read.
    #[error("could not read {}: {source}", path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The line is no line of an audit log.
    #[error("line {line}: is not a line of an audit log")]
    Malformed {
        /// From 1.
        line: u64,
    },
    /// The file ends within a line. The sink cuts such a line when it starts.
    #[error("line {line}: is torn; the file ends within it")]
    Torn {
        /// From 1.
        line: u64,
    },
    /// The line's content or hash was changed.
    #[error("line {line} (seq {seq}): was changed; its hash does not fit its content")]
    Changed {
        /// From 1.
        line: u64,
        /// What the line says of its position.
        seq: EventSeq,
    },
    /// The line does not follow the line before it.
    #[error(
        "line {line} (seq {seq}): does not follow the line before it, which calls for seq \
         {expected}; a line was dropped, inserted or moved, or the line before was changed \
         together with its hash"
    )]
    OutOfChain {
        /// From 1.
        line: u64,
        /// What the line says of its position.
        seq: EventSeq,
        /// The position that was due.
        expected: EventSeq,
    },
}

/// A line, taken apart but not yet believed.
pub(super) struct LineParts<'a> {
    pub(super) seq: EventSeq,
    /// What the hash covers, besides `prev`.
    pub(super) content: &'a [u8],
    pub(super) prev: Hash,
    pub(super) hash: Hash,
}

const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b"\",\"hash\":\"";
const END: &[u8] = b"\"}";
const HASH_TEXT_BYTES: usize = 64;

/// Takes apart a line, given without its line feed.
pub(super) fn parse_line(line: &[u8]) -> Option<LineParts<'_>> {
    let rest = line.strip_suffix(END)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(HASH_TEXT_BYTES)?)?;
    let rest = rest.strip_suffix(HASH)?;
    let (rest, prev) = rest.split_at_checked(rest.len().checked_sub(HASH_TEXT_BYTES)?)?;
    let content = rest.strip_suffix(PREV)?;
    let digits = content.strip_prefix(b"{\"seq\":")?;
    let digits = &digits[..digits.iter().position(|&byte| byte == b',')?];
    let seq = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(LineParts {
        seq: EventSeq(seq),
        content,
        prev: parse_hash(prev)?,
        hash: parse_hash(hash)?,
    })
}

/// Reads the whole log and checks chain and sequence.
///
/// # Errors
/// The first line at fault, by its number and its sequence.
pub fn verify(path: &Path) -> Result<AuditReport, ChainError> {
    let unreadable = |source| ChainError::Io { path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(unreadable)?);
    let mut report = AuditReport::default();
    let mut head = GENESIS;
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        let number = report.lines + 1;
        if line.pop() != Some(b'\n') {
            return Err(ChainError::Torn { line: number });
        }
        let parts = parse_line(&line).ok_or(ChainError::Malformed { line: number })?;
        check(&parts, number, &head, report.last_seq)?;
        head = parts.hash;
        report.count(&parts);
    }
    let mut hex = Vec::with_capacity(HASH_TEXT_BYTES);
    put_hex(&mut hex, &head);
    report.head_hash = String::from_utf8(hex).expect("hex digits are text");
    Ok(report)
}

fn check(
    parts: &LineParts<'_>,
    line: u64,
    head: &Hash,
    last_seq: Option<EventSeq>,
) -> Result<(), ChainError> {
    let expected = last_seq.map_or(EventSeq::FIRST, EventSeq::next);
    let seq = parts.seq;
    if chain(&parts.prev, parts.content) != parts.hash {
        return Err(ChainError::Changed { line, seq });
    }
    if parts.prev != *head || seq != expected {
        return Err(ChainError::OutOfChain { line, seq, expected });
    }
    Ok(())
}

impl AuditReport {
    fn count(&mut self, parts: &LineParts<'_>) {
        self.lines += 1;
        self.first_seq.get_or_insert(parts.seq);
        self.last_seq = Some(parts.seq);
        match field(parts.content, b"\"event\":\"") {
            b"HOLD_EXPIRED" => self.expired += 1,
            b"ACCOUNT" => self.account_events += 1,
            _ => match field(parts.content, b"\"status\":\"") {
                b"SETTLED" => self.settled += 1,
                b"HELD" => self.held += 1,
                b"VOIDED" => self.voided += 1,
                _ => {
                    let reason = field(parts.content, b"\"reason\":\"");
                    let reason = String::from_utf8_lossy(reason).into_owned();
                    *self.rejected.entry(reason).or_default() += 1;
                }
            },
        }
    }
}

/// The text of a string field whose value has no escapes; empty when it is not there. No value
/// can be mistaken for a label, because quotes within values are escaped.
fn field<'a>(content: &'a [u8], label: &[u8]) -> &'a [u8] {
    let Some(start) = content.windows(label.len()).position(|window| window == label) else {
        return &[];
    };
    let value = &content[start + label.len()..];
    let end = value.iter().position(|&byte| byte == b'"').unwrap_or(value.len());
    &value[..end]
}
