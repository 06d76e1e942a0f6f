//! What an intact log comes to.

use std::collections::BTreeMap;

use millrace_ledger::EventSeq;

use super::{
    Checkpoint,
    entry::AuditKind,
    key::PublicKey,
    parts::{LineParts, Summary},
    proof_file::hex,
};

/// What an intact log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Entries that were read.
    pub lines: u64,
    /// The first of them; `None` when the log is empty.
    pub first_seq: Option<EventSeq>,
    /// The last of them; `None` when the log is empty.
    pub last_seq: Option<EventSeq>,
    /// Chain hash of the last one, in hex.
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
    /// What people did.
    pub acts: u64,
    /// Events that could not be processed.
    pub quarantined: u64,
    /// Segments that were read, the open one included.
    pub segments: u64,
    /// Entries that are no longer kept; their hashes were checked.
    pub removed: u64,
    /// The newest checkpoint.
    pub checkpoint: Checkpoint,
    /// Checkpoints whose signature and root were checked, the newest included.
    pub checkpoints: u64,
    /// Entries that no checkpoint covers yet.
    pub unsigned: u64,
    /// The key that the signatures were checked with.
    pub key: PublicKey,
    /// Entries that were compared with the journal, if they were to be.
    pub compared: Option<u64>,
    /// What is not as usual, and no fault.
    pub notes: Vec<String>,
}

impl AuditReport {
    pub(super) fn new(checkpoint: Checkpoint, key: PublicKey) -> Self {
        Self {
            lines: 0,
            first_seq: None,
            last_seq: None,
            head_hash: hex(&[0; 32]),
            settled: 0,
            held: 0,
            voided: 0,
            rejected: BTreeMap::new(),
            expired: 0,
            account_events: 0,
            acts: 0,
            quarantined: 0,
            segments: 0,
            removed: 0,
            checkpoint,
            checkpoints: 0,
            unsigned: 0,
            key,
            compared: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, summary: &Summary<'_>) {
        match summary.kind {
            Some(AuditKind::Payment) => match summary.status {
                b"SETTLED" => self.settled += 1,
                b"HELD" => self.held += 1,
                b"VOIDED" => self.voided += 1,
                _ => match self.rejected.get_mut(&*String::from_utf8_lossy(summary.reason)) {
                    Some(count) => *count += 1,
                    None => {
                        let reason = String::from_utf8_lossy(summary.reason).into_owned();
                        self.rejected.insert(reason, 1);
                    }
                },
            },
            Some(AuditKind::HoldExpired) => self.expired += 1,
            Some(AuditKind::Account) => self.account_events += 1,
            Some(AuditKind::Act) => self.acts += 1,
            Some(AuditKind::Quarantined) => self.quarantined += 1,
            None => {}
        }
    }

    /// The last line of a block.
    pub(super) fn reached(&mut self, first: u64, lines: u64, last: &LineParts<'_>) {
        self.first_seq.get_or_insert(EventSeq(first + 1));
        self.lines += lines;
        self.last_seq = Some(last.seq);
        self.head_hash = hex(&last.hash);
    }
}
