//! Shards: consume the payments of a request, find their ids, accounts and originals.
//!
//! Account ids and payment ids are split over the shards by hash. Each shard looks at what is its
//! own, alone, so that shards can work side by side without a lock. What a shard finds depends on
//! the order of the payments only, never on how many shards there are.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
};

use crate::{
    AccountId, Generation, History, HistoryError, Payment, PaymentId, RejectReason, StoredPayment,
    Workers,
    account_index::{AccountIndex, Spot},
    index::IdIndex,
    resolve,
    stored::NO_ACCOUNT,
};

/// Tables that all shards together split a generation's payments into.
const PAYMENT_PARTS: usize = 1_024;

/// Account look-ups whose cache misses overlap. A power of two.
const AHEAD: usize = 64;

/// Nothing was found.
pub(crate) const NOT_FOUND: u32 = NO_ACCOUNT;
/// Found in history: see [`Recalled`].
pub(crate) const IN_HISTORY: u32 = u32::MAX - 1;

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

/// What the shards found for each payment of a request. Written by the shard that an id belongs to,
/// and read when all of them are done with that payment: the writes need no order of their own.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Number of an envelope or static reason to refuse; 0 for none.
    pub(crate) defect: Vec<AtomicU8>,
    /// Row that met the payment's id first.
    pub(crate) first: Vec<AtomicU32>,
    /// Row that met the original's id first.
    pub(crate) original: Vec<AtomicU32>,
    /// Account numbers, for posting to confirm: see [`AccountIndex`].
    pub(crate) debit: Vec<AtomicU32>,
    pub(crate) credit: Vec<AtomicU32>,
}

impl Findings {
    /// Makes room for so many payments. What was found before has no meaning any more.
    pub(crate) fn reserve(&mut self, payments: usize) {
        if self.first.len() < payments {
            self.defect.resize_with(payments, AtomicU8::default);
            for found in [&mut self.first, &mut self.original, &mut self.debit, &mut self.credit] {
                found.resize_with(payments, AtomicU32::default);
            }
        }
    }
}

/// A payment that was found in history.
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
}

/// The ids of one shard.
#[derive(Clone, Debug)]
struct Shard {
    accounts: AccountIndex,
    /// Of the generation that is open: the row that met an id first.
    payments: IdIndex,
    /// Scratch: see [`list_mine`].
    mine: Vec<u32>,
    recalled: Vec<Recalled>,
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
    fn id_max(&self) -> PaymentId {
        let closed = self.closed.iter().map(|generation| generation.id_max());
        closed.fold(self.history.id_max(), PaymentId::max)
    }

    pub(crate) fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        for generation in self.closed.iter().rev().filter(|closed| id <= closed.id_max()) {
            if let Some(payment) = generation.find(id) {
                return Ok(Some(*payment));
            }
        }
        match id <= self.history.id_max() {
            true => self.history.find(id),
            false => Ok(None),
        }
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
            mine: Vec::new(),
            recalled: Vec::new(),
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

    /// Resolves a stretch of a request, appending what was found in history.
    pub(crate) fn resolve(
        &mut self,
        stretch: &Stretch<'_>,
        workers: &impl Workers,
        recalled: &mut Vec<Recalled>,
    ) -> Result<(), HistoryError> {
        let (shard_of, past) = (self.shard_of, &self.past);
        let newest = past.id_max();
        let mut results = vec![Ok(()); self.shards.len()];
        let mut work: Vec<_> = self.shards.iter_mut().zip(&mut results).enumerate().collect();
        workers.each(&mut work, |(number, (shard, result))| {
            **result = shard.resolve(*number, shard_of, stretch, past, newest);
        });
        for shard in &mut self.shards {
            recalled.append(&mut shard.recalled);
        }
        recalled.sort_unstable_by_key(|found| (found.position, found.as_original));
        results.into_iter().collect()
    }
}

/// Lists the account look-ups of a stretch that are this shard's, in order: positions, twice, plus
/// one for the credit side.
fn list_mine(mine: &mut Vec<u32>, me: usize, shard_of: ShardOf, stretch: &Stretch<'_>) {
    let Stretch { payments, positions, .. } = stretch;
    if shard_of.shards == 1 {
        mine.clear();
        mine.extend(positions.start as u32 * 2..positions.end as u32 * 2);
        return;
    }
    // Without a branch: which shard an id belongs to can't be predicted.
    mine.resize(2 * positions.len() + 1, 0);
    let mut len = 0;
    for position in positions.clone() {
        let payment = &payments[position];
        for (side, id) in [payment.debit, payment.credit].into_iter().enumerate() {
            mine[len] = (position * 2 + side) as u32;
            len += usize::from(shard_of.id(id.0) == me);
        }
    }
    mine.truncate(len);
}

impl Shard {
    fn resolve(
        &mut self,
        me: usize,
        shard_of: ShardOf,
        stretch: &Stretch<'_>,
        past: &Past,
        newest: PaymentId,
    ) -> Result<(), HistoryError> {
        let Stretch { payments, findings, .. } = stretch;
        let mut mine = std::mem::take(&mut self.mine);
        list_mine(&mut mine, me, shard_of, stretch);
        let id_of = |packed: u32| {
            let payment = &payments[(packed / 2) as usize];
            if packed.is_multiple_of(2) { payment.debit.0 } else { payment.credit.0 }
        };
        // A ring of account look-ups that are under way. Their misses overlap with each other, and
        // with the work that the payments' own ids make.
        let mut spots = [Spot::default(); AHEAD];
        for (spot, packed) in spots.iter_mut().zip(&mine) {
            *spot = self.accounts.fetch(id_of(*packed));
        }
        let mut next = 0;
        for position in stretch.positions.clone() {
            let payment = &payments[position];
            while let Some(packed) = mine.get(next).filter(|it| (**it / 2) as usize == position) {
                let spot = spots[next % AHEAD];
                if let Some(later) = mine.get(next + AHEAD) {
                    spots[next % AHEAD] = self.accounts.fetch(id_of(*later));
                }
                let found = self.accounts.find_at(spot, id_of(*packed));
                let side = match packed.is_multiple_of(2) {
                    true => &findings.debit,
                    false => &findings.credit,
                };
                side[position].store(found, Relaxed);
                next += 1;
            }
            if shard_of.id(payment.id.0) == me {
                let row = stretch.first_row + position as u32;
                self.meet_payment(payment, position, row, findings, past, newest)?;
            }
            if payment.operation.needs_original() && shard_of.id(payment.original.0) == me {
                let found = match self.payments.find(payment.original.0) {
                    Some(row) => row,
                    None => self.recall(payment.original, position, true, past, newest)?,
                };
                findings.original[position].store(found, Relaxed);
            }
        }
        self.mine = mine;
        Ok(())
    }

    /// Checks what needs no look-up, and finds the first use of the payment's id.
    fn meet_payment(
        &mut self,
        payment: &Payment,
        position: usize,
        row: u32,
        findings: &Findings,
        past: &Past,
        newest: PaymentId,
    ) -> Result<(), HistoryError> {
        let number = |reason: RejectReason| reason as u8;
        let envelope = resolve::envelope_reason(payment);
        if let Some(reason) = envelope {
            findings.defect[position].store(number(reason), Relaxed);
            findings.first[position].store(NOT_FOUND, Relaxed);
            return Ok(());
        }
        let defect = resolve::static_reason(payment);
        findings.defect[position].store(defect.map_or(0, number), Relaxed);
        let is_past = payment.id <= newest;
        let met = match defect.is_some() || is_past {
            false => self.payments.find_or_insert(payment.id.0, row),
            true => self.payments.find(payment.id.0),
        };
        let first = match met {
            Some(first) => first,
            None if is_past => match self.recall(payment.id, position, false, past, newest)? {
                NOT_FOUND if defect.is_none() => {
                    self.payments.find_or_insert(payment.id.0, row);
                    NOT_FOUND
                }
                found => found,
            },
            None => NOT_FOUND,
        };
        findings.first[position].store(first, Relaxed);
        Ok(())
    }

    fn recall(
        &mut self,
        id: PaymentId,
        position: usize,
        as_original: bool,
        past: &Past,
        newest: PaymentId,
    ) -> Result<u32, HistoryError> {
        if id > newest {
            return Ok(NOT_FOUND);
        }
        Ok(match past.find(id)? {
            Some(payment) => {
                let position = position as u32;
                self.recalled.push(Recalled { position, as_original, payment });
                IN_HISTORY
            }
            None => NOT_FOUND,
        })
    }
}
