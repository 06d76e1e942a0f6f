//! Loads a snapshot file into a ledger, checking every byte of it.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
};

use millrace_ledger::{Account, EventSeq, Gate, Ledger, LedgerConfig, SnapshotHead, Timestamp};

use super::{HEADER_LEN, MAGIC, VERSION, kind, rows};
use crate::{JournalError, frame::FrameHash, segment::JournalId};

/// Longest section that a whole file can have: bounds what damage can make us allocate.
const SECTION_LEN_MAX: u32 = 1 << 30;

/// A ledger as it stood after a frame.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) ledger: Ledger,
    /// Hash of that frame.
    pub(crate) head: FrameHash,
}

/// The journal that a snapshot is of, and the names of the runs that it needs, oldest first. Not
/// checked against the file's hash: [`load`] does that.
pub(crate) fn read_names(path: &Path) -> Result<(JournalId, Vec<String>), JournalError> {
    let (journal, _, mut sections) = open(path)?;
    while let Some((kind, payload)) = sections.next()? {
        if kind == kind::RUNS {
            let names = run_names(&payload).ok_or_else(|| sections.damaged(MALFORMED))?;
            return Ok((journal, names));
        }
    }
    Err(sections.damaged("it names no runs"))
}

/// Which history a snapshot is of, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) journal: JournalId,
    pub(crate) last_seq: EventSeq,
    pub(crate) time: Timestamp,
}

/// Reads the first bytes of a snapshot only.
pub(crate) fn read_head(path: &Path) -> Result<Head, JournalError> {
    let (journal, SnapshotHead { last_seq, time, .. }, _) = open(path)?;
    Ok(Head { journal, last_seq, time })
}

/// Reads the accounts of a snapshot, in the order of their opening, and checks every byte of it.
/// Returns the hash of the frame that it stands after.
///
/// # Errors
/// When the file is not whole. What was handed out must not be used then.
pub(crate) fn read_accounts(
    path: &Path,
    mut each: impl FnMut(Account),
) -> Result<FrameHash, JournalError> {
    let (_, head, mut sections) = open(path)?;
    let mut left = head.accounts;
    while let Some((kind, payload)) = sections.next()? {
        let malformed = || sections.damaged(MALFORMED);
        let mut rest = &payload[..];
        match kind {
            kind::ACCOUNTS => {
                while !rest.is_empty() {
                    each(rows::take_account(&mut rest).ok_or_else(malformed)?);
                    left = left.checked_sub(1).ok_or_else(malformed)?;
                }
            }
            kind::END if left == 0 => {
                return rows::array(&mut rest).map(FrameHash).ok_or_else(malformed);
            }
            _ => {}
        }
    }
    Err(sections.damaged("accounts are missing"))
}

/// What a snapshot is of, and what it needs.
#[derive(Debug)]
pub(crate) struct Needs {
    pub(crate) journal: JournalId,
    pub(crate) last_seq: EventSeq,
    /// Names of runs, oldest first.
    pub(crate) runs: Vec<String>,
}

/// Reads an open snapshot from its start to its end and checks all of its bytes against its hash.
/// `path` is for messages only: the file may have lost its name by now.
pub(crate) fn check(file: File, path: &Path) -> Result<Needs, JournalError> {
    let (journal, head, mut sections) = open_file(file, path)?;
    let mut runs = None;
    while let Some((kind, payload)) = sections.next()? {
        if kind == kind::RUNS {
            runs = Some(run_names(&payload).ok_or_else(|| sections.damaged(MALFORMED))?);
        }
    }
    let runs = runs.ok_or_else(|| sections.damaged("it names no runs"))?;
    Ok(Needs { journal, last_seq: head.last_seq, runs })
}

fn run_names(payload: &[u8]) -> Option<Vec<String>> {
    let names = std::str::from_utf8(payload).ok()?.split('\n');
    Some(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Loads a snapshot into a new ledger and a gate, which must be as new.
///
/// # Errors
/// When the file is not whole, or the gate can't go on from it. The gate must not be used then.
pub(crate) fn load(
    path: &Path,
    config: LedgerConfig,
    gate: &mut impl Gate,
) -> Result<Loaded, JournalError> {
    let (_, head, mut sections) = open(path)?;
    let accounts = head.accounts;
    let mut parts = (None, 0_u64);
    let mut config = Some((config, head));
    let mut ledger: Option<Ledger> = None;
    while let Some((kind, payload)) = sections.next()? {
        let malformed = || sections.damaged(MALFORMED);
        let mut rest = &payload[..];
        match (kind, &mut ledger) {
            (kind::VERDICTS, ledger @ None) => {
                let (config, mut head) = config.take().ok_or_else(malformed)?;
                while !rest.is_empty() {
                    head.verdicts.push(rows::take_verdict(&mut rest).ok_or_else(malformed)?);
                }
                *ledger = Some(Ledger::restore(config, head));
            }
            (kind::ACCOUNTS, Some(ledger)) => {
                while !rest.is_empty() {
                    let account = rows::take_account(&mut rest).ok_or_else(malformed)?;
                    ledger.restore_account(&account);
                }
            }
            (kind::HOLDS, Some(ledger)) => {
                while !rest.is_empty() {
                    let hold = rows::take_hold(&mut rest).ok_or_else(malformed)?;
                    ledger.restore_hold(&hold);
                    parts.1 += 1;
                }
            }
            (kind::GATE, Some(_)) => gate
                .restore(&payload)
                .map_err(|error| JournalError::snapshot(path, error.to_string()))?,
            (kind::RUNS, Some(_)) => {}
            (kind::END, Some(_)) => {
                let head = rows::array(&mut rest).ok_or_else(malformed)?;
                let holds = u64::from_le_bytes(rows::array(&mut rest).ok_or_else(malformed)?);
                parts.0 = Some((FrameHash(head), holds));
            }
            _ => return Err(malformed()),
        }
    }
    match (ledger, parts) {
        (Some(ledger), (Some((head, holds)), found))
            if holds == found && ledger.account_count() as u64 == accounts =>
        {
            ledger.end_batch();
            let restored = gate.restored();
            restored.map_err(|error| JournalError::snapshot(path, error.to_string()))?;
            Ok(Loaded { ledger, head })
        }
        _ => Err(sections.damaged("accounts or holds are missing")),
    }
}

const MALFORMED: &str = "a section holds no valid rows";

/// The sections of a file. The last one is only handed out when all bytes match their hash.
struct Sections {
    path: PathBuf,
    file: BufReader<File>,
    hasher: blake3::Hasher,
    ended: bool,
}

fn open(path: &Path) -> Result<(JournalId, SnapshotHead, Sections), JournalError> {
    open_file(File::open(path).map_err(JournalError::io("can't open", path))?, path)
}

fn open_file(file: File, path: &Path) -> Result<(JournalId, SnapshotHead, Sections), JournalError> {
    let mut sections = Sections {
        path: path.to_owned(),
        file: BufReader::with_capacity(1 << 20, file),
        hasher: blake3::Hasher::new(),
        ended: false,
    };
    let header: [u8; HEADER_LEN] =
        sections.bytes(HEADER_LEN)?.try_into().expect("as many bytes as were asked for");
    let checksum = crc32c::crc32c(&header[..88]).to_le_bytes();
    if header[0..8] != MAGIC || header[88..92] != checksum {
        return Err(sections.damaged("its first 96 bytes are no snapshot header"));
    }
    let found = u32::from_le_bytes(header[8..12].try_into().expect("4 bytes"));
    if found > VERSION {
        let path = path.to_owned();
        return Err(JournalError::NewerVersion { path, found, supported: VERSION });
    }
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
    let head = SnapshotHead {
        last_seq: EventSeq(number(32)),
        time: Timestamp(number(40)),
        payments_taken: number(48),
        generations_closed: number(56),
        accounts: number(64),
        holds: 0,
        past_digest: u128::from_le_bytes(header[72..88].try_into().expect("16 bytes")),
        verdicts: Vec::new(),
    };
    Ok((header[16..32].try_into().expect("16 bytes"), head, sections))
}

impl Sections {
    fn next(&mut self) -> Result<Option<(u32, Vec<u8>)>, JournalError> {
        if self.ended {
            return Ok(None);
        }
        let header = self.bytes(8)?;
        let kind = u32::from_le_bytes(header[..4].try_into().expect("4 bytes"));
        let len = u32::from_le_bytes(header[4..].try_into().expect("4 bytes"));
        if len > SECTION_LEN_MAX || (kind == kind::END && len != 72) {
            return Err(self.damaged("a section's length can't be right"));
        }
        if kind != kind::END {
            return Ok(Some((kind, self.bytes(len as usize)?)));
        }
        let end = self.bytes(40)?;
        let expected = *self.hasher.finalize().as_bytes();
        if self.bytes(32)? != expected {
            return Err(self.damaged("its bytes do not match its hash"));
        }
        self.ended = true;
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(Some((kind, end))),
            Ok(_) => Err(self.damaged("something follows its end")),
            Err(error) => Err(JournalError::io("can't read", &self.path)(error)),
        }
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; len];
        match self.file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged("it ends too early"));
            }
            result => result.map_err(JournalError::io("can't read", &self.path))?,
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn damaged(&self, what: &str) -> JournalError {
        JournalError::snapshot(&self.path, what.to_owned())
    }
}
