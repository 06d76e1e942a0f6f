//! Finds payments: consumes filters and pages, produces payments as they stand. Guarantees that the
//! answer is exact, whichever lists it was found by, and that a page costs what the rarest of its
//! filters lets through, and never more than a bound: one that would cost more says where it stopped.

use std::ops::Bound;

use fjall::{Readable as _, Snapshot};
use millrace_ledger::{EventSeq, PaymentId, Status, Timestamp};

use super::{
    keys::{ListOf, id_key, reference_prefix},
    list::{Common, List, Step},
    model::{HoldQuery, Order, PageQuery, PaymentQuery, Slice},
    read::{PaymentView, ReadError, ReadStore, stateless},
    row::{self, RowError},
};
use crate::span::{Direction, Looked, Span};

impl Span {
    /// What a page of a list in this order looks at.
    pub(super) fn of(page: &PageQuery, order: Order) -> Self {
        let place = |seq: EventSeq| seq.0;
        Self::between(page.after.map(place), page.before.map(place), order, page.from_end)
    }
}

impl ReadStore {
    /// As [`super::model::ReadModel::payments`].
    ///
    /// # Errors
    /// When the store can't be read, or when the answer takes too long to find.
    pub fn payments(&self, query: &PaymentQuery) -> Result<Slice<PaymentView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let mut span = Span::of(&query.page, query.order);
        if let Some(from) = query.from_time {
            span.low = span.low.max(self.last_before(&snapshot, from)? + 1);
        }
        if let Some(to) = query.to_time {
            span.high = span.high.min(self.last_before(&snapshot, to)?);
        }
        let looked = match span.is_empty() {
            true => Looked { found: Vec::new(), stopped_at: None },
            false => {
                let lists = self.lists(&snapshot, query, span.direction);
                match lists.is_empty() {
                    true => self.scan(&snapshot, query, span)?,
                    false => self.join(&snapshot, query, lists, span)?,
                }
            }
        };
        Ok(query.page.slice_until(looked))
    }

    /// The lists that a payment must be in.
    fn lists<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        query: &PaymentQuery,
        direction: Direction,
    ) -> Vec<List<'a>> {
        let mut lists = Vec::new();
        let tables = &self.tables;
        if let Some(reference) = &query.reference {
            let prefix = reference_prefix(reference.as_bytes());
            lists.push(List::new(snapshot, &tables.references, &prefix, direction));
        }
        if let Some(account) = query.account {
            let prefix = account.0.to_be_bytes();
            lists.push(List::new(snapshot, &tables.postings, &prefix, direction));
        }
        let shared = [
            query.reject_reason.map(ListOf::Reason),
            query.status.map(ListOf::Outcome),
            query.risk_decision.map(ListOf::Decision),
            query.ledger.map(ListOf::Ledger),
        ];
        for of in shared.into_iter().flatten() {
            lists.push(List::new(snapshot, &tables.lists, &of.prefix(), direction));
        }
        lists
    }

    fn join(
        &self,
        snapshot: &Snapshot,
        query: &PaymentQuery,
        lists: Vec<List<'_>>,
        span: Span,
    ) -> Result<Looked<PaymentView>, ReadError> {
        let mut deadline = self.deadline();
        let mut common = Common::new(lists, span);
        let (mut found, mut stopped_at) = (Vec::new(), None);
        while found.len() <= query.page.limit {
            let seq = match common.next(&mut deadline)? {
                Step::Member(seq) => seq,
                Step::End => break,
                Step::Spent(place) => {
                    stopped_at = Some(place);
                    break;
                }
            };
            deadline.check()?;
            let view = self.payment_at(snapshot, EventSeq(seq))?;
            if passes(&view, query) {
                found.push(view);
            }
        }
        Ok(Looked { found, stopped_at })
    }

    /// Without a list to go by: all payments of the span, one after the other.
    fn scan(
        &self,
        snapshot: &Snapshot,
        query: &PaymentQuery,
        span: Span,
    ) -> Result<Looked<PaymentView>, ReadError> {
        let mut deadline = self.deadline();
        let keys = span.low.to_be_bytes()..=span.high.to_be_bytes();
        let mut rows = snapshot.range(&self.tables.payments, keys);
        let (mut found, mut last) = (Vec::new(), 0);
        while found.len() <= query.page.limit {
            let Some(row) = span.next(&mut rows) else { break };
            if deadline.is_spent() {
                return Ok(Looked { found, stopped_at: Some(last) });
            }
            deadline.check()?;
            let (key, value) = row.into_inner()?;
            last = row::position(&key)?;
            let view = stateless(EventSeq(last), &value)?;
            if passes(&view, query) {
                found.push(self.with_state(snapshot, view)?);
            }
        }
        Ok(Looked { found, stopped_at: None })
    }

    /// As [`super::model::ReadModel::refunds`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn refunds(
        &self,
        original: PaymentId,
        page: PageQuery,
    ) -> Result<Slice<PaymentView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let span = Span::of(&page, Order::OldestFirst);
        let seqs = positions(
            &snapshot,
            &self.tables.follow_ups,
            original.0,
            span,
            page.limit.saturating_add(1),
        )?;
        let found = seqs.into_iter().map(|seq| self.payment_at(&snapshot, seq));
        Ok(page.slice(found.collect::<Result<_, _>>()?))
    }

    /// As [`super::model::ReadModel::holds`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn holds(&self, query: &HoldQuery) -> Result<Slice<PaymentView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let span = Span::of(&query.page, query.order);
        let account = query.account.map_or(0, |account| account.0);
        let limit = query.page.limit.saturating_add(1);
        let seqs = positions(&snapshot, &self.tables.open_holds, account, span, limit)?;
        let found = seqs.into_iter().map(|seq| self.payment_at(&snapshot, seq));
        Ok(query.page.slice(found.collect::<Result<_, _>>()?))
    }

    /// The last event of a batch that is earlier than this; 0 where there is none.
    pub(super) fn last_before(
        &self,
        snapshot: &Snapshot,
        time: Timestamp,
    ) -> Result<u64, ReadError> {
        let earlier = (Bound::Unbounded, Bound::Excluded(time.0.to_be_bytes()));
        let last = snapshot.range(&self.tables.times, earlier).next_back();
        last.map_or(Ok(0), |row| Ok(row::position(&row.value()?)?))
    }
}

/// Positions of a table that lists them by an id, one in each key.
pub(super) fn positions(
    snapshot: &Snapshot,
    table: &fjall::Keyspace,
    id: u128,
    span: Span,
    limit: usize,
) -> Result<Vec<EventSeq>, ReadError> {
    if span.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = snapshot.range(table, id_key(id, span.low)..=id_key(id, span.high));
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = span.next(&mut rows) else { break };
        found.push(EventSeq(row::position(row.key()?.get(16..).ok_or(RowError)?)?));
    }
    Ok(found)
}

/// Whether the payment passes every filter but time, which is a matter of positions.
fn passes(view: &PaymentView, query: &PaymentQuery) -> bool {
    let payment = &view.event.payment;
    let (status, minor) = (view.event.outcome.status, view.event.outcome.amount.0);
    let reference = || view.context.as_ref().map(|context| context.reference.as_str());
    query.account.is_none_or(|account| payment.debit == account || payment.credit == account)
        && query.status.is_none_or(|wanted| wanted == status.into())
        && query.reject_reason.is_none_or(|reason| status == Status::Rejected(reason))
        && query.ledger.is_none_or(|ledger| ledger == payment.ledger)
        && query.risk_decision.is_none_or(|wanted| wanted == view.event.verdict.decision)
        && query.amount_min.is_none_or(|least| minor >= least)
        && query.amount_max.is_none_or(|most| minor <= most)
        && query.reference.as_deref().is_none_or(|wanted| reference() == Some(wanted))
}
