//! A closed generation: the payments of a stretch of history, found by id, never changed again.

use crate::{Gap, PaymentId, Stage, StoredPayment, index::IdIndex, recent::Rows, shard::ShardOf};

/// Payments that took their ids in one stretch of history, and the newest versions of older ones
/// that changed in it. What it holds is older than all that is in a later generation.
#[derive(Clone, Debug)]
pub struct Generation {
    number: u64,
    shard_of: ShardOf,
    /// One per shard.
    ids: Vec<IdIndex>,
    rows: Rows,
}

impl Generation {
    pub(crate) fn new(number: u64, shard_of: ShardOf, ids: Vec<IdIndex>, rows: Rows) -> Self {
        Self { number, shard_of, ids, rows }
    }

    /// What the next generation can be kept in, when nobody asks for this one any more.
    pub(crate) fn into_memory(self) -> (Vec<IdIndex>, Rows) {
        let Self { mut ids, rows, .. } = self;
        ids.iter_mut().for_each(IdIndex::clear);
        (ids, rows.cleared())
    }

    /// Generations are numbered in the order in which they were closed, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The gap between the ids that it knows that this id is in; `None` where it may know it.
    #[must_use]
    pub fn gap(&self, id: PaymentId) -> Option<Gap> {
        self.rows.spans.gap(id)
    }

    /// The payment with this id, as it was when the generation was closed.
    #[must_use]
    pub fn find(&self, id: PaymentId) -> Option<&StoredPayment> {
        if let Some(place) = self.rows.newer(id) {
            return Some(self.rows.newer.get(place));
        }
        let first = self.ids[self.shard_of.id(id.0)].find(id.0)?;
        self.rows.taker(first).map(|row| self.rows.rows.get(row))
    }

    pub(crate) fn row(&self, row: u32) -> &StoredPayment {
        self.rows.rows.get(row)
    }

    /// Has a row fetched. Waits for nothing.
    pub(crate) fn prefetch_row(&self, row: u32) {
        self.rows.rows.prefetch(row);
    }

    /// All payments that it knows, each once, in no particular order.
    pub fn payments(&self) -> impl Iterator<Item = &StoredPayment> {
        let taken = self.rows.rows.iter().filter(|payment| payment.stage != Stage::Vacant);
        taken.chain(self.rows.newer.iter())
    }

    /// Sum of the digests of what will not change but by being recalled. Open holds live on in the
    /// ledger.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let closed = self.payments().filter(|payment| payment.stage != Stage::HoldOpen);
        closed.fold(0, |sum: u128, payment| sum.wrapping_add(payment.digest()))
    }
}
