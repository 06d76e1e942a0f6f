//! Reads the review desk while the sink writes it: consumes ids and pages, produces decisions,
//! reviews and policies, each call as of one commit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fjall::{Readable as _, Snapshot};
use millrace_ledger::{EventSeq, PaymentId};
use millrace_risk::desk::{Decided, OpenPage, OpenReviews, PolicySet, Report, ReviewKind};

use super::{
    row,
    tables::{Tables, open_key},
};
use crate::{
    graphql::{ReadError, row::position},
    span::{Direction, Looked, Span},
    store::get,
};

/// Open reviews that one page looks at: a filter that fits few of very many gives short pages.
const SCAN_MAX: usize = 10_000;

/// The review desk, readable from any thread. Cheap to clone.
#[derive(Clone)]
pub struct ReviewStore {
    tables: Tables,
    applied_seq: Arc<AtomicU64>,
}

impl ReviewStore {
    pub(super) fn new(tables: Tables, applied_seq: Arc<AtomicU64>) -> Self {
        Self { tables, applied_seq }
    }

    /// The last event that readers see; 0 when there is none.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        EventSeq(self.applied_seq.load(Ordering::Acquire))
    }

    /// Open reviews, oldest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open_reviews(&self, page: &OpenPage) -> Result<OpenReviews, ReadError> {
        let low = page.after_seq.saturating_add(1);
        let span = Span { low, high: u64::MAX, direction: Direction::Ascending };
        let (wanted, limit) = (page.claimed_by.as_deref(), page.limit.saturating_add(1));
        let looked = self.open_within(page.kind, wanted, span, limit)?;
        let (mut reviews, mut next_after_seq) = (looked.found, looked.stopped_at);
        if reviews.len() > page.limit {
            reviews.truncate(page.limit);
            let last = reviews.last().map_or(page.after_seq, |last| last.event.seq.0);
            next_after_seq = Some(last);
        }
        Ok(OpenReviews { reviews, next_after_seq })
    }

    /// Open reviews within bounds, in their direction: of anybody, or of one, who is empty for
    /// nobody.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open_within(
        &self,
        kind: ReviewKind,
        claimed_by: Option<&str>,
        span: Span,
        limit: usize,
    ) -> Result<Looked<Decided>, ReadError> {
        let mut looked = Looked { found: Vec::new(), stopped_at: None };
        if span.is_empty() {
            return Ok(looked);
        }
        let snapshot = self.tables.store.snapshot();
        let keys = open_key(kind, span.low)..=open_key(kind, span.high);
        let mut rows = snapshot.range(&self.tables.open, keys);
        let (mut looked_at, mut last) = (0, None);
        while looked.found.len() < limit
            && let Some(row) = span.next(&mut rows)
        {
            if looked_at >= SCAN_MAX {
                looked.stopped_at = last;
                break;
            }
            let (key, value) = row.into_inner()?;
            looked_at += 1;
            last = Some(position(key.get(1..).ok_or(ReadError::Damaged)?)?);
            let (id, claimant) = row::open(&value)?;
            if claimed_by.is_none_or(|wanted| wanted == claimant) {
                looked.found.push(self.decided(&snapshot, id)?.ok_or(ReadError::Damaged)?);
            }
        }
        Ok(looked)
    }

    /// What is known of a payment that risk did not approve.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn by_payment(&self, id: PaymentId) -> Result<Option<Decided>, ReadError> {
        self.decided(&self.tables.store.snapshot(), id)
    }

    fn decided(&self, snapshot: &Snapshot, id: PaymentId) -> Result<Option<Decided>, ReadError> {
        let key = id.0.to_be_bytes();
        let Some(stored) = get(snapshot, &self.tables.decisions, key)? else { return Ok(None) };
        let mut decided = row::decided(&stored)?;
        let standing = get(snapshot, &self.tables.standings, key)?;
        decided.standing = standing.map(|stored| row::from_json(&stored)).transpose()?;
        Ok(Some(decided))
    }

    /// Whether a payment was fraud, as reported last.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn report(&self, id: PaymentId) -> Result<Option<Report>, ReadError> {
        let stored = self.tables.reports.get(id.0.to_be_bytes())?;
        Ok(stored.map(|stored| row::from_json(&stored)).transpose()?)
    }

    /// Policies that were set, newest first. `before` leaves out that number and what is newer.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn policies(&self, before: Option<u32>, limit: usize) -> Result<Vec<PolicySet>, ReadError> {
        let snapshot = self.tables.store.snapshot();
        let end = before.unwrap_or(u32::MAX).to_be_bytes();
        let rows = snapshot.range(&self.tables.policies, ..end).rev().take(limit);
        rows.map(|guard| Ok(row::from_json(&guard.value()?)?)).collect()
    }
}
