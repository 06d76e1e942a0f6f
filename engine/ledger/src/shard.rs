//! Shards: consume the payments of a request, find their ids, accounts and originals.
//!
//! Account ids and payment ids are split over the shards by hash. A group of shards ([`group`])
//! looks at what is its own, alone, so that groups can work side by side without a lock. What a
//! shard finds depends on the order of the payments only, never on how many shards there are.

mod group;
mod originals;

use std::{ops::Range, sync::Arc};

use crate::{
    AccountId, Gap, Generation, History, HistoryError, Payment, PaymentId, Spans, StoredPayment,
    account_index::AccountIndex, findings::Findings, index::IdIndex,
};

/// Tables that all shards together split a generation's payments into.
const PAYMENT_PARTS: usize = 1_024;

pub(crate) use group::Group;

/// Which shard an id belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardOf {
    shards: u64,
    seed: u64,
}

impl ShardOf {
    #[inline]
    pub(crate) fn id(self, id: u128) -> usize {
        if self.shards == 1 {
            return 0;
        }
        let folded = (id as u64) ^ ((id >> 64) as u64).rotate_left(29) ^ self.seed;
        let mixed = u128::from(folded) * 0x9e37_79b9_7f4a_7c15_u128;
        let mixed = (mixed as u64) ^ (mixed >> 64) as u64;
        ((u128::from(mixed) * u128::from(self.shards)) >> 64) as usize
    }
}

/// A payment that was found in history, or is kept in memory although it is older.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recalled {
    /// Position in the request of the payment that it was looked up for.
    pub(crate) position: u32,
    /// Looked up as the original of that payment, not as its own first use.
    pub(crate) as_original: bool,
    pub(crate) payment: StoredPayment,
}

/// A stretch of a request that is to be resolved.
#[derive(Clone, Debug)]
pub(crate) struct Stretch<'a> {
    pub(crate) payments: &'a [Payment],
    pub(crate) positions: Range<usize>,
    /// Row of the request's first payment.
    pub(crate) first_row: u32,
    pub(crate) findings: &'a Findings,
    /// See [`Shards::look_back`].
    pub(crate) known: &'a [Recalled],
}

/// The ids of one shard.
#[derive(Clone, Debug)]
struct Shard {
    accounts: AccountIndex,
    /// Of the generation that is open: the row that met an id first.
    payments: IdIndex,
}

/// All shards, and what is known of payments of earlier generations.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    shard_of: ShardOf,
    shards: Vec<Shard>,
    past: Past,
}

/// Payments of earlier generations.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// Oldest first.
    pub(crate) closed: Vec<Arc<Generation>>,
    pub(crate) history: Arc<dyn History>,
}

impl Past {
    /// The gap between all earlier ids that this one is in; `None` where it may be one of them.
    /// `history` is where those of history lie.
    fn gap(&self, history: &Spans, id: PaymentId) -> Option<Gap> {
        let mut gap = history.gap(id)?;
        for closed in &self.closed {
            gap = gap.and(closed.gap(id)?);
        }
        Some(gap)
    }

    pub(crate) fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        for generation in self.closed.iter().rev().filter(|closed| closed.gap(id).is_none()) {
            if let Some(payment) = generation.find(id) {
                return Ok(Some(*payment));
            }
        }
        self.history.find(id)
    }
}

impl Recalled {
    /// No two of a request have the same.
    pub(crate) fn key(&self) -> (u32, bool) {
        (self.position, self.as_original)
    }
}

impl Shards {
    pub(crate) fn new(
        count: usize,
        seed: u64,
        account_hash_bits: u32,
        history: Arc<dyn History>,
    ) -> Self {
        let count = count.max(1);
        let parts = (PAYMENT_PARTS / count).max(1).next_power_of_two();
        let shard = Shard {
            accounts: AccountIndex::new(seed, account_hash_bits),
            payments: IdIndex::new(seed.rotate_left(32), parts),
        };
        Self {
            shard_of: ShardOf { shards: count as u64, seed: seed.rotate_left(17) },
            shards: vec![shard; count],
            past: Past { closed: Vec::new(), history },
        }
    }

    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    pub(crate) fn past_mut(&mut self) -> &mut Past {
        &mut self.past
    }

    pub(crate) fn shard_of(&self) -> ShardOf {
        self.shard_of
    }

    /// The number of the account with this id, or of another one if there is no such account.
    pub(crate) fn account_candidate(&self, id: AccountId) -> Option<u32> {
        self.shards[self.shard_of.id(id.0)].accounts.find(id.0)
    }

    /// Has memory fetched that [`Self::account_candidate`] looks at. Waits for nothing.
    pub(crate) fn prefetch_account(&self, id: AccountId) {
        self.shards[self.shard_of.id(id.0)].accounts.fetch(id.0);
    }

    pub(crate) fn add_account(&mut self, id: AccountId, slot: u32) {
        self.shards[self.shard_of.id(id.0)].accounts.insert(id.0, slot);
    }

    /// Row of the open generation that met this id first.
    pub(crate) fn row(&self, id: PaymentId) -> Option<u32> {
        self.shards[self.shard_of.id(id.0)].payments.find(id.0)
    }

    /// Remembers the row that meets this id, unless an earlier one did: that is returned then.
    pub(crate) fn meet(&mut self, id: PaymentId, row: u32) -> Option<u32> {
        self.shards[self.shard_of.id(id.0)].payments.find_or_insert(id.0, row)
    }

    /// Takes the payment ids of the open generation out. `empty` are put in their place, where
    /// there are any.
    pub(crate) fn take_payments(&mut self, empty: Option<Vec<IdIndex>>) -> Vec<IdIndex> {
        let fresh = |shards: &[Shard]| shards.iter().map(|it| it.payments.emptied()).collect();
        let empty = empty.unwrap_or_else(|| fresh(&self.shards));
        let pairs = self.shards.iter_mut().zip(empty);
        pairs.map(|(shard, empty)| std::mem::replace(&mut shard.payments, empty)).collect()
    }

    /// All shards as one group.
    pub(crate) fn all(&mut self) -> Group<'_> {
        self.groups(1).pop().expect("there is at least one shard")
    }

    /// All shards in about equal groups, at most so many: each of them can work alone.
    pub(crate) fn groups(&mut self, count: usize) -> Vec<Group<'_>> {
        let (shard_of, past) = (self.shard_of, &self.past);
        let history = past.history.spans();
        let shards_each = self.shards.len().div_ceil(count.max(1));
        let mut first = 0;
        let groups = self.shards.chunks_mut(shards_each).map(|shards| {
            let group = Group::new(first, shards, shard_of, past, history.clone());
            first += group.shards.len();
            group
        });
        groups.collect()
    }
}
