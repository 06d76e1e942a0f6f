//! A group of shards that one thread resolves, in one pass over the payments: consumes a stretch of
//! a request, finds the ids, accounts and originals that are the group's.

use std::sync::Arc;

use super::{Past, Recalled, Shard, ShardOf, Stretch, originals};
use crate::{
    Gap, HistoryError, Payment, PaymentId, Spans,
    account_index::Spot,
    findings::{Finding, IN_HISTORY, NOT_FOUND},
    handover::Found,
    resolve,
};

/// Account look-ups whose cache misses overlap. A power of two.
const AHEAD: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    /// Number of the first shard.
    first: usize,
    pub(super) shards: &'a mut [Shard],
    shard_of: ShardOf,
    past: &'a Past,
    /// Where the ids of history lie.
    history: Arc<Spans>,
    /// No payment of earlier generations has an id in these gaps. The ids of a request are mostly in
    /// one of two: those in time, and those of a client whose clock is wrong.
    gap: Gap,
    gap_before: Gap,
    /// Scratch: see [`Self::list_mine`].
    mine: Vec<u32>,
}

/// An account look-up that is under way.
#[derive(Clone, Copy, Debug, Default)]
struct LookUp {
    shard: u32,
    spot: Spot,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        first: usize,
        shards: &'a mut [Shard],
        shard_of: ShardOf,
        past: &'a Past,
        history: Arc<Spans>,
    ) -> Self {
        let (gap, gap_before, mine) = (Gap::NONE, Gap::NONE, Vec::new());
        Self { first, shards, shard_of, past, history, gap, gap_before, mine }
    }

    /// Whether no payment of earlier generations has this id, as far as gaps tell.
    #[inline]
    fn is_in_gap(&mut self, id: PaymentId) -> bool {
        self.gap.contains(id) || self.is_in_another_gap(id)
    }

    #[inline(never)]
    fn is_in_another_gap(&mut self, id: PaymentId) -> bool {
        if !self.gap_before.contains(id) {
            // An id that is in no gap leaves those that are known as they are.
            let Some(gap) = self.past.gap(&self.history, id) else { return false };
            self.gap_before = gap;
        }
        std::mem::swap(&mut self.gap, &mut self.gap_before);
        true
    }

    /// Whether there is no other.
    fn is_whole(&self) -> bool {
        self.shards.len() as u64 == self.shard_of.shards
    }

    /// The place of an id's shard in this group, which must be its own.
    #[inline]
    fn shard(&self, id: u128) -> usize {
        self.shard_of.id(id) - self.first
    }

    #[inline]
    fn own_shard(&self, id: u128) -> Option<usize> {
        let shard = self.shard_of.id(id).wrapping_sub(self.first);
        (shard < self.shards.len()).then_some(shard)
    }

    /// Lists the account look-ups of a stretch that are this group's, in order: positions, twice,
    /// plus one for the credit side.
    fn list_mine(&mut self, stretch: &Stretch<'_>) -> Vec<u32> {
        let Stretch { payments, positions, .. } = stretch;
        let mut mine = std::mem::take(&mut self.mine);
        if self.is_whole() {
            mine.clear();
            mine.extend(positions.start as u32 * 2..positions.end as u32 * 2);
            return mine;
        }
        // Without a branch: which shard an id belongs to can't be predicted.
        mine.resize(2 * positions.len() + 1, 0);
        let mut len = 0;
        for position in positions.clone() {
            let payment = &payments[position];
            for (side, id) in [payment.debit, payment.credit].into_iter().enumerate() {
                mine[len] = (position * 2 + side) as u32;
                len += usize::from(self.own_shard(id.0).is_some());
            }
        }
        mine.truncate(len);
        mine
    }

    #[inline]
    fn look_up(&self, id: u128) -> LookUp {
        let shard = self.shard(id);
        LookUp { shard: shard as u32, spot: self.shards[shard].accounts.fetch(id) }
    }

    /// Resolves a stretch. Returns what was found in history.
    pub(crate) fn resolve(&mut self, stretch: &Stretch<'_>) -> Found {
        let &Stretch { payments, findings, first_row, known, .. } = stretch;
        let mine = self.list_mine(stretch);
        let mut recalled = Vec::new();
        let id_of = |packed: u32| {
            let payment = &payments[(packed / 2) as usize];
            if packed.is_multiple_of(2) { payment.debit.0 } else { payment.credit.0 }
        };
        // A ring of account look-ups that are under way. Their misses overlap with each other, and
        // with the work that the payments' own ids make.
        let mut under_way = [LookUp::default(); AHEAD];
        for (look_up, packed) in under_way.iter_mut().zip(&mine) {
            *look_up = self.look_up(id_of(*packed));
        }
        let mut next = 0;
        for position in stretch.positions.clone() {
            let payment = &payments[position];
            while let Some(packed) = mine.get(next).filter(|it| (**it / 2) as usize == position) {
                let LookUp { shard, spot } = under_way[next % AHEAD];
                if let Some(later) = mine.get(next + AHEAD) {
                    under_way[next % AHEAD] = self.look_up(id_of(*later));
                }
                let accounts = &self.shards[shard as usize].accounts;
                let found = accounts.find_at(spot, id_of(*packed));
                findings.of(position).set_account(!packed.is_multiple_of(2), found);
                next += 1;
            }
            if let Some(shard) = self.own_shard(payment.id.0) {
                let row = first_row + position as u32;
                let finding = findings.of(position);
                self.meet_payment(shard, payment, position, row, finding, &mut recalled)?;
            }
            if payment.operation.needs_original()
                && let Some(shard) = self.own_shard(payment.original.0)
            {
                let found = match self.shards[shard].payments.find(payment.original.0) {
                    Some(row) => row,
                    None => match originals::known_at(known, position) {
                        Some(known) => {
                            recalled.push(*known);
                            IN_HISTORY
                        }
                        None => self.recall(payment.original, position, true, &mut recalled)?,
                    },
                };
                findings.of(position).set_original(found);
            }
        }
        self.mine = mine;
        recalled.sort_unstable_by_key(Recalled::key);
        Ok(recalled)
    }

    /// Checks what needs no look-up, and finds the first use of the payment's id.
    #[inline]
    fn meet_payment(
        &mut self,
        shard: usize,
        payment: &Payment,
        position: usize,
        row: u32,
        finding: &Finding,
        recalled: &mut Vec<Recalled>,
    ) -> Result<(), HistoryError> {
        let envelope = resolve::envelope_reason(payment);
        if envelope.is_some() {
            finding.set_first(NOT_FOUND, envelope);
            return Ok(());
        }
        let defect = resolve::static_reason(payment);
        let is_past = !self.is_in_gap(payment.id);
        let payments = &mut self.shards[shard].payments;
        let met = match defect.is_some() || is_past {
            false => payments.find_or_insert(payment.id.0, row),
            true => payments.find(payment.id.0),
        };
        let first = match met {
            Some(first) => first,
            None if is_past => match self.recall(payment.id, position, false, recalled)? {
                NOT_FOUND if defect.is_none() => {
                    self.shards[shard].payments.find_or_insert(payment.id.0, row);
                    NOT_FOUND
                }
                found => found,
            },
            None => NOT_FOUND,
        };
        finding.set_first(first, defect);
        Ok(())
    }

    fn recall(
        &self,
        id: PaymentId,
        position: usize,
        as_original: bool,
        recalled: &mut Vec<Recalled>,
    ) -> Result<u32, HistoryError> {
        Ok(match self.past.find(id)? {
            Some(payment) => {
                let position = position as u32;
                recalled.push(Recalled { position, as_original, payment });
                IN_HISTORY
            }
            None => NOT_FOUND,
        })
    }
}
