//! Reads what happened over time: consumes accounts, positions and times, produces an account's
//! balances after each event and the holds that timed out. Guarantees that a page costs what is on
//! it, however long the history is.

use std::ops::Range;

use fjall::{Readable as _, Snapshot};
use millrace_ledger::{AccountId, EventSeq, Timestamp};

use super::{
    history_row::{ExpiryRow, HistoryRow},
    read::{PaymentView, ReadError, ReadStore},
    row::{self, RowError},
    tables::account_key,
};
use crate::store::get;

/// Which part of an account's history to read; all of it by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryRange {
    /// Leaves out that position and what is newer.
    pub before: Option<EventSeq>,
    /// Leaves out what is earlier.
    pub from: Option<Timestamp>,
    /// Leaves out that time and what is later.
    pub to: Option<Timestamp>,
}

/// A hold whose time-out released what was left of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedOutHold {
    /// Position of the expiry.
    pub seq: EventSeq,
    /// Time of the expiry's batch.
    pub time: Timestamp,
    /// Minor units released.
    pub released: u128,
    /// The hold as it stands.
    pub hold: PaymentView,
}

impl ReadStore {
    /// Balances of the account after each event that changed them, newest first. Empty where the
    /// account does not keep its history.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn balance_history(
        &self,
        account: AccountId,
        range: HistoryRange,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, ReadError> {
        let snapshot = self.tables.snapshot();
        let mut end = range.before.map_or(u64::MAX, |before| before.0);
        if let Some(to) = range.to {
            end = self.first_since(&snapshot, account, to, end)?;
        }
        let mut found = Vec::new();
        for entry in self.history_in(&snapshot, account, 0..end).rev().take(limit) {
            let entry = entry?;
            if range.from.is_some_and(|from| entry.time < from) {
                break;
            }
            found.push(entry);
        }
        Ok(found)
    }

    /// The account's entries at these positions, oldest first.
    fn history_in(
        &self,
        snapshot: &Snapshot,
        account: AccountId,
        seqs: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<HistoryRow, ReadError>> + use<> {
        let keys = account_key(account.0, seqs.start)..account_key(account.0, seqs.end);
        snapshot.range(&self.tables.history, keys).map(|guard| {
            let (key, value) = guard.into_inner()?;
            Ok(HistoryRow::read(seq_of(&key)?, &value)?)
        })
    }

    /// A position below which all of the account's entries are earlier than `time`, and from which
    /// on none below `end` is. The times of batches never go back, so every look halves what is
    /// left to search.
    fn first_since(
        &self,
        snapshot: &Snapshot,
        account: AccountId,
        time: Timestamp,
        end: u64,
    ) -> Result<u64, ReadError> {
        let newest = self.history_in(snapshot, account, 0..end).next_back().transpose()?;
        let Some(newest) = newest.filter(|newest| newest.time >= time) else {
            return Ok(end);
        };
        let (mut low, mut high) = (0, newest.seq.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.history_in(snapshot, account, middle..high).next().transpose()? {
                Some(entry) if entry.time < time => low = entry.seq.0 + 1,
                _ => high = middle,
            }
        }
        Ok(high)
    }

    /// Holds that timed out, newest expiry first: those of one account, on either side, or all.
    /// `before` leaves out that position and what is newer.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn timed_out_holds(
        &self,
        account: Option<AccountId>,
        before: Option<EventSeq>,
        limit: usize,
    ) -> Result<Vec<TimedOutHold>, ReadError> {
        let snapshot = self.tables.snapshot();
        let end = before.map_or(u64::MAX, |before| before.0);
        let rows = match account {
            Some(account) => {
                let keys = account_key(account.0, 0)..account_key(account.0, end);
                snapshot.range(&self.tables.account_expiries, keys)
            }
            None => snapshot.range(&self.tables.expiries, ..end.to_be_bytes()),
        };
        rows.rev().take(limit).map(|row| self.timed_out(&snapshot, seq_of(&row.key()?)?)).collect()
    }

    fn timed_out(&self, snapshot: &Snapshot, seq: EventSeq) -> Result<TimedOutHold, ReadError> {
        let stored = get(snapshot, &self.tables.expiries, seq.0.to_be_bytes())?;
        let row = ExpiryRow::read(&stored.ok_or(ReadError::Damaged)?)?;
        let hold = self.payment_at(snapshot, row.hold)?;
        Ok(TimedOutHold { seq, time: row.time, released: row.released, hold })
    }
}

/// The position that a key ends with.
fn seq_of(key: &[u8]) -> Result<EventSeq, RowError> {
    let (_, position) = key.split_last_chunk::<8>().ok_or(RowError)?;
    row::position(position).map(EventSeq)
}
