//! Who holds an account, and in which currency: consumes account events, answers for payments and
//! expiries, which name accounts only. Guarantees to be durable before any message that used it,
//! and to answer for an event as it did the first time.
//!
//! It is held in memory: about 100 bytes per account.

use std::{collections::HashMap, path::Path};

use millrace_ledger::{AccountEvent, AccountId, EventSeq, LedgerId, OwnerId};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    SinkError,
    line_file::LineFile,
    text::{put_number, put_uuid},
};

/// What the directory knows of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    opened_at: EventSeq,
    pub(super) ledger: LedgerId,
    pub(super) owner: OwnerId,
}

/// The accounts that were opened so far.
#[derive(Debug)]
pub(super) struct Directory {
    lines: LineFile,
    holders: HashMap<AccountId, Holder, foldhash::fast::RandomState>,
    /// Noted, but not yet durable.
    pending: Vec<AccountId>,
    buffer: Vec<u8>,
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
    account: Uuid,
    ledger: u32,
    owner: Uuid,
}

const REMEDY: &str = "Move the sink's whole directory away and start again; all messages are \
                      then written anew";

impl Directory {
    /// Opens the directory; it held `least_len` bytes when it was committed last.
    pub(super) fn open(dir: &Path, least_len: u64) -> Result<Self, SinkError> {
        let path = dir.join("accounts.jsonl");
        let lines = LineFile::open(&path)?;
        let damaged = |place, problem| SinkError::Damaged {
            path: path.clone(),
            place,
            problem,
            remedy: REMEDY,
        };
        if lines.len() < least_len {
            let problem = format!("it ends there and had {least_len} bytes");
            return Err(damaged(format!("byte {}", lines.len()), problem));
        }
        let text = std::fs::read(&path).map_err(SinkError::io("read", &path))?;
        let mut holders = HashMap::default();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(line)
                .map_err(|error| damaged(format!("line {}", index + 1), error.to_string()))?;
            let holder = Holder {
                opened_at: EventSeq(line.seq),
                ledger: LedgerId(line.ledger),
                owner: OwnerId(line.owner.as_u128()),
            };
            holders.insert(AccountId(line.account.as_u128()), holder);
        }
        Ok(Self { lines, holders, pending: Vec::new(), buffer: Vec::new() })
    }

    /// Bytes that are durable.
    pub(super) fn len(&self) -> u64 {
        self.lines.len()
    }

    /// Forgets what a failed attempt noted.
    pub(super) fn begin(&mut self) -> Result<(), SinkError> {
        for account in self.pending.drain(..) {
            self.holders.remove(&account);
        }
        self.buffer.clear();
        self.lines.begin()
    }

    /// Notes an account when it is opened; owner and ledger never change after that.
    pub(super) fn note(&mut self, event: &AccountEvent) {
        let spec = &event.account.spec;
        if event.change.is_some() || self.holders.contains_key(&spec.id) {
            return;
        }
        let holder = Holder { opened_at: event.seq, ledger: spec.ledger, owner: spec.owner };
        self.holders.insert(spec.id, holder);
        self.pending.push(spec.id);
        let out = &mut self.buffer;
        out.extend_from_slice(b"{\"seq\":");
        put_number(out, event.seq.0);
        out.extend_from_slice(b",\"account\":\"");
        put_uuid(out, spec.id.0);
        out.extend_from_slice(b"\",\"ledger\":");
        put_number(out, spec.ledger.0);
        out.extend_from_slice(b",\"owner\":\"");
        put_uuid(out, spec.owner.0);
        out.extend_from_slice(b"\"}\n");
    }

    /// Makes what was noted durable.
    pub(super) fn commit(&mut self) -> Result<(), SinkError> {
        self.lines.append(&self.buffer)?;
        self.lines.commit()?;
        self.buffer.clear();
        self.pending.clear();
        Ok(())
    }

    /// The account's holder, if it was open when the event happened. Events are read again after
    /// a crash, and an account that was opened in between must not change what they said.
    pub(super) fn holder(&self, account: AccountId, at: EventSeq) -> Option<Holder> {
        self.holders.get(&account).copied().filter(|holder| holder.opened_at < at)
    }
}
