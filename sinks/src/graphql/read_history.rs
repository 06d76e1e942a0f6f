//! Reads what happened over time: consumes accounts, positions and times, produces an account's
//! balances after each event and as of any, the holds that timed out, and totals by the hour.
//! Guarantees that a page costs what is on it, however long the history is.

use std::ops::Bound;

use fjall::{Readable as _, Snapshot};
use millrace_ledger::{AccountId, Balances, EventSeq, LedgerId, Timestamp};

use super::{
    find::positions,
    history_row::{ExpiryRow, HistoryRow},
    keys::{ListOf, hour_of, hour_start_ns, id_key, totals_key},
    list::List,
    model::{
        AsOf, BalancesAt, Order, OutcomeKind, PageQuery, Slice, TimeRange, Total, TotalsBy,
        TotalsQuery,
    },
    read::{PaymentView, ReadError, ReadStore, stateless},
    row::{self, RowError},
    totals_row::TotalsRow,
};
use crate::{
    span::{Direction, Span},
    store::get,
};

const HOUR_NS: u64 = 3_600_000_000_000;
const HOURS_OF_DAY: u32 = 24;

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
    /// As [`super::model::ReadModel::balance_history`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn balance_history(
        &self,
        account: AccountId,
        range: TimeRange,
        page: PageQuery,
    ) -> Result<Slice<HistoryRow>, ReadError> {
        let snapshot = self.tables.snapshot();
        let mut span = Span::of(&page, Order::NewestFirst);
        if let Some(from) = range.from {
            span.low = span.low.max(self.last_before(&snapshot, from)? + 1);
        }
        if let Some(to) = range.to {
            span.high = span.high.min(self.last_before(&snapshot, to)?);
        }
        let mut found = Vec::new();
        if !span.is_empty() {
            let keys = id_key(account.0, span.low)..=id_key(account.0, span.high);
            let mut rows = snapshot.range(&self.tables.history, keys);
            while found.len() <= page.limit {
                let Some(row) = span.next(&mut rows) else { break };
                let (key, value) = row.into_inner()?;
                found.push(HistoryRow::read(seq_of(&key)?, &value)?);
            }
        }
        Ok(page.slice(found))
    }

    /// As [`super::model::ReadModel::balances_at`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn balances_at(
        &self,
        account: AccountId,
        at: AsOf,
    ) -> Result<Option<BalancesAt>, ReadError> {
        let snapshot = self.tables.snapshot();
        let seq = match at {
            AsOf::Seq(seq) => seq.0,
            AsOf::Time(time) => match time.0.checked_add(1) {
                Some(after) => self.last_before(&snapshot, Timestamp(after))?,
                None => u64::MAX,
            },
        };
        let stored = get(&snapshot, &self.tables.accounts, account.0.to_be_bytes())?;
        let Some(stored) = stored else { return Ok(None) };
        let (opened, opened_at, opened_time) = row::account(account, &stored)?;
        if seq < opened_at.0 {
            return Ok(None);
        }
        let opening = (opened_at, opened_time, Balances::default());
        let paid = self.last_accepted(&snapshot, account, seq)?;
        let expired = self.last_expiry(&snapshot, account, seq)?;
        let candidates = [Some(opening), paid, expired].into_iter().flatten();
        let last = candidates.max_by_key(|(seq, ..)| *seq);
        Ok(last.map(|(changed_at, changed_time, balances)| BalancesAt {
            ledger: opened.spec.ledger,
            balances,
            changed_at,
            changed_time,
        }))
    }

    /// The account's last payment up to `seq` that was accepted, and its balances after it.
    fn last_accepted(
        &self,
        snapshot: &Snapshot,
        account: AccountId,
        mut seq: u64,
    ) -> Result<Option<(EventSeq, Timestamp, Balances)>, ReadError> {
        let mut deadline = self.deadline();
        let direction = Direction::Descending;
        let mut postings =
            List::new(snapshot, &self.tables.postings, &account.0.to_be_bytes(), direction);
        let refused = ListOf::Outcome(OutcomeKind::Rejected).prefix();
        let mut refused = List::new(snapshot, &self.tables.lists, &refused, direction);
        while let Some(found) = postings.seek(seq)? {
            deadline.check()?;
            if refused.seek(found)? != Some(found) {
                let stored = get(snapshot, &self.tables.payments, found.to_be_bytes())?;
                let view = stateless(EventSeq(found), &stored.ok_or(ReadError::Damaged)?)?;
                let side = usize::from(view.event.payment.debit != account);
                let balances = view.event.balances.ok_or(ReadError::Damaged)?[side];
                return Ok(Some((EventSeq(found), view.time, balances)));
            }
            let Some(before) = found.checked_sub(1) else { break };
            seq = before;
        }
        Ok(None)
    }

    /// The last expiry of a hold of the account up to `seq`, and its balances after it.
    fn last_expiry(
        &self,
        snapshot: &Snapshot,
        account: AccountId,
        seq: u64,
    ) -> Result<Option<(EventSeq, Timestamp, Balances)>, ReadError> {
        let span = Span { low: 0, high: seq, direction: Direction::Descending };
        let last = positions(snapshot, &self.tables.account_expiries, account.0, span, 1)?;
        let Some(&seq) = last.first() else { return Ok(None) };
        let expiry = self.expiry(snapshot, seq)?;
        let hold = self.payment_at(snapshot, expiry.hold)?;
        let side = usize::from(hold.event.payment.debit != account);
        Ok(Some((seq, expiry.time, expiry.balances[side])))
    }

    /// As [`super::model::ReadModel::timed_out_holds`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn timed_out_holds(
        &self,
        account: Option<AccountId>,
        page: PageQuery,
    ) -> Result<Slice<TimedOutHold>, ReadError> {
        let snapshot = self.tables.snapshot();
        let span = Span::of(&page, Order::NewestFirst);
        let limit = page.limit.saturating_add(1);
        let seqs = match account {
            Some(account) => {
                positions(&snapshot, &self.tables.account_expiries, account.0, span, limit)?
            }
            None => self.expiries(&snapshot, span, limit)?,
        };
        let found = seqs.into_iter().map(|seq| {
            let ExpiryRow { hold, released, time, .. } = self.expiry(&snapshot, seq)?;
            Ok(TimedOutHold { seq, time, released, hold: self.payment_at(&snapshot, hold)? })
        });
        Ok(page.slice(found.collect::<Result<_, ReadError>>()?))
    }

    fn expiries(
        &self,
        snapshot: &Snapshot,
        span: Span,
        limit: usize,
    ) -> Result<Vec<EventSeq>, ReadError> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        let keys = span.low.to_be_bytes()..=span.high.to_be_bytes();
        let rows = snapshot.range(&self.tables.expiries, keys);
        let seq = |row: fjall::Guard| Ok(seq_of(&row.key()?)?);
        match span.direction {
            Direction::Ascending => rows.take(limit).map(seq).collect(),
            Direction::Descending => rows.rev().take(limit).map(seq).collect(),
        }
    }

    fn expiry(&self, snapshot: &Snapshot, seq: EventSeq) -> Result<ExpiryRow, ReadError> {
        let stored = get(snapshot, &self.tables.expiries, seq.0.to_be_bytes())?;
        Ok(ExpiryRow::read(&stored.ok_or(ReadError::Damaged)?)?)
    }

    /// As [`super::model::ReadModel::totals`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn totals(&self, query: &TotalsQuery) -> Result<Vec<Total>, ReadError> {
        let snapshot = self.tables.snapshot();
        let mut deadline = self.deadline();
        let first = query.range.from.map_or(0, |from| hour_of(from.0.saturating_add(HOUR_NS - 1)));
        let end = query.range.to.map_or(u32::MAX, |to| hour_of(to.0.saturating_add(HOUR_NS - 1)));
        let (low, high) = match query.ledger {
            Some(ledger) => (totals_key(ledger, first), totals_key(ledger, u32::MAX)),
            None => (totals_key(LedgerId(0), 0), totals_key(LedgerId(u32::MAX), u32::MAX)),
        };
        let mut groups: Vec<(LedgerId, Option<u32>, TotalsRow)> = Vec::new();
        let bounds = (Bound::Included(low), Bound::Included(high));
        for row in snapshot.range(&self.tables.totals, bounds) {
            deadline.check()?;
            let (key, value) = row.into_inner()?;
            let key = row::position(&key)?;
            let (ledger, hour) = (LedgerId((key >> 32) as u32), key as u32);
            if hour < first || hour >= end {
                continue;
            }
            let sums = TotalsRow::read(&value)?;
            let start = match query.by {
                TotalsBy::Hour => Some(hour),
                TotalsBy::Day => Some(hour - hour % HOURS_OF_DAY),
                TotalsBy::Ledger => None,
            };
            match groups.last_mut().filter(|last| (last.0, last.1) == (ledger, start)) {
                Some(last) => last.2.add(&sums),
                None => groups.push((ledger, start, sums)),
            }
        }
        Ok(groups.into_iter().map(total).collect())
    }
}

fn total((ledger, start, TotalsRow(sums)): (LedgerId, Option<u32>, TotalsRow)) -> Total {
    let [settled, held, voided, rejected] = sums;
    let start = start.map(|hour| Timestamp(hour_start_ns(hour)));
    Total { ledger, start, settled, held, voided, rejected }
}

/// The position that a key ends with.
fn seq_of(key: &[u8]) -> Result<EventSeq, RowError> {
    let (_, position) = key.split_last_chunk::<8>().ok_or(RowError)?;
    row::position(position).map(EventSeq)
}
