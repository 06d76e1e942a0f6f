//! Profiles of one kind of entity: consumes the payments and labels of its entities, produces
//! their columns of the rows.
//!
//! Guarantees that at most as many entities are remembered as it was told. Where there is no room
//! for one more, the one of the next eight rows whose newest payment is the oldest gives way; the
//! eight move on round and round. So who is forgotten depends on the payments alone.

use std::collections::BTreeMap;

use pulp::{Arch, Simd, WithSimd};

use super::{
    Attempt, Label, ProfileCounts,
    decayed::Condition,
    exact::List,
    index::{Index, Spot},
    moments::Prior,
    observe::{Kept, Shared},
    plan::KindPlan,
    rows::{KEY, Rows},
};
use crate::features::EntityKey;

/// Attempts whose cache misses are made to overlap.
pub(super) const BULK: usize = 16;
/// Rows of which one gives way.
const CANDIDATES: u32 = 8;

/// Where entities of a bulk are looked for, and the rows that they seem to have.
pub(super) type Found = [(Spot, Option<u32>); BULK];

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) plan: KindPlan,
    /// The place of its keys in an attempt.
    place: usize,
    index: Index,
    pub(super) rows: Rows,
    /// One per row, if the plan has lists.
    pub(super) lists: Vec<List>,
    /// Lists that changed before a sweep reached them, as they were.
    lists_before: BTreeMap<u32, List>,
    /// The first of the rows of which the next one gives way.
    pub(super) hand: u32,
    pub(super) entities_max: u32,
    pub(super) payments_max: usize,
    pub(super) priors: Vec<Prior>,
    /// For kinds without lists.
    no_list: List,
}

/// [`Kind::observe_block`] for the processor's vectors. No closure: that may be called instead of being
/// compiled into its caller, and is then compiled for the narrowest ones.
struct InOrder<'a, 'b> {
    kind: &'a mut Kind,
    attempts: &'a [Attempt<'b>],
    rows: &'a mut [f32],
    columns: usize,
    counts: &'a mut ProfileCounts,
}

impl WithSimd for InOrder<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.kind.observe_in_order(self.attempts, self.rows, self.columns, self.counts);
    }
}

impl Kind {
    pub(super) fn new(
        plan: KindPlan,
        place: usize,
        priors: Vec<Prior>,
        entities_max: u32,
        payments_max: usize,
    ) -> Self {
        let rows = Rows::new(plan.words);
        Self {
            plan,
            place,
            index: Index::new(),
            rows,
            lists: Vec::new(),
            lists_before: BTreeMap::new(),
            hand: 0,
            entities_max: entities_max.max(1),
            payments_max,
            priors,
            no_list: List::default(),
        }
    }

    /// Whether nothing is kept of its entities. What is unusual for them may be asked by the labels
    /// of others alone.
    pub(super) fn is_idle(&self) -> bool {
        let KindPlan { before, after, decayed, .. } = &self.plan;
        before.is_empty() && after.is_empty() && decayed.counters.is_empty()
    }

    fn key(&self, keys: &[EntityKey]) -> u64 {
        keys.get(self.place).map_or(0, |key| key.0)
    }

    /// Observes a block of payments in their order. The whole of it is compiled for wide vectors too:
    /// exponentials of four windows are one operation there, and its numbers are the same to the bit,
    /// because nothing is fused.
    pub(super) fn observe_block(
        &mut self,
        attempts: &[Attempt<'_>],
        rows: &mut [f32],
        columns: usize,
        counts: &mut ProfileCounts,
    ) {
        if !self.is_idle() {
            Arch::new().dispatch(InOrder { kind: self, attempts, rows, columns, counts });
        }
    }

    #[inline(always)]
    fn observe_in_order(
        &mut self,
        attempts: &[Attempt<'_>],
        rows: &mut [f32],
        columns: usize,
        counts: &mut ProfileCounts,
    ) {
        // While one bulk is observed, the rows of the next one are fetched, and the places in the
        // index of the one after that.
        let mut found = [[(Spot::default(), None); BULK]; 3];
        let bulk = |n: usize| attempts.chunks(BULK).nth(n).unwrap_or_default();
        self.spot_all(bulk(0), &mut found[0]);
        self.spot_all(bulk(1), &mut found[1]);
        self.find_all(bulk(0), &mut found[0]);
        for (n, rows) in rows.chunks_mut(BULK * columns).enumerate() {
            self.spot_all(bulk(n + 2), &mut found[(n + 2) % 3]);
            self.find_all(bulk(n + 1), &mut found[(n + 1) % 3]);
            for ((attempt, (spot, row)), out) in
                bulk(n).iter().zip(&found[n % 3]).zip(rows.chunks_exact_mut(columns))
            {
                self.observe(attempt, *spot, *row, out, counts);
            }
        }
    }

    /// Where to look for the entities of a bulk.
    #[inline(always)]
    pub(super) fn spot_all(&self, attempts: &[Attempt<'_>], found: &mut Found) {
        for (attempt, found) in attempts.iter().zip(found) {
            found.0 = Spot::of(self.key(attempt.entities));
            self.index.prefetch(found.0);
        }
    }

    /// The rows that the entities of a bulk seem to have.
    #[inline(always)]
    pub(super) fn find_all(&self, attempts: &[Attempt<'_>], found: &mut Found) {
        for (_, found) in attempts.iter().zip(found) {
            found.1 = self.index.likely(found.0);
            if let Some(row) = found.1 {
                self.rows.prefetch(row);
            }
        }
    }

    #[inline(always)]
    fn observe(
        &mut self,
        attempt: &Attempt<'_>,
        spot: Spot,
        found: Option<u32>,
        out: &mut [f32],
        counts: &mut ProfileCounts,
    ) {
        let Some((row, is_new)) = self.row_of(attempt, spot, found, counts) else {
            return self.say_nothing(out);
        };
        self.keep_list(row);
        let words = self.rows.get_mut(row);
        let list = self.lists.get_mut(row as usize).unwrap_or(&mut self.no_list);
        let kept = Kept { words, list, is_new };
        let shared =
            Shared { plan: &self.plan, priors: &self.priors, payments_max: self.payments_max };
        counts.late += u64::from(shared.observe(attempt, kept, out));
    }

    /// The row of a payment's entity, and whether it is new; a new entity gets one. None where nothing is
    /// counted.
    #[inline(always)]
    pub(super) fn row_of(
        &mut self,
        attempt: &Attempt<'_>,
        spot: Spot,
        found: Option<u32>,
        counts: &mut ProfileCounts,
    ) -> Option<(u32, bool)> {
        let key = self.key(attempt.entities);
        if key == 0 || !attempt.amount.is_finite() {
            return None;
        }
        // A payment before this one in its block may have moved it out, or in; or it is another's.
        let known = found.filter(|row| self.rows.key(*row) == key);
        match known.or_else(|| self.index.find(spot, key, &self.rows)) {
            Some(row) => Some((row, false)),
            None => Some((self.make_room(spot, key, counts), true)),
        }
    }

    pub(super) fn say_nothing(&self, out: &mut [f32]) {
        for output in self.plan.outputs() {
            out[usize::from(output.column)] = output.missing;
        }
    }

    /// Whether the amount of a label is unusual for its entity of this kind.
    pub(super) fn is_unusual(&self, label: &Label<'_>, unusual: Condition) -> bool {
        let key = self.key(label.entities);
        let row = self.index.find(Spot::of(key), key, &self.rows);
        row.is_some_and(|row| unusual.is_met(self.rows.get(row), label.amount))
    }

    /// Counts a label, with the exceptions that it falls under, one bit each. `false` if its
    /// payment was never seen, or is forgotten.
    pub(super) fn label(&mut self, label: &Label<'_>, excepted: u64) -> bool {
        let key = self.key(label.entities);
        if key == 0 || self.is_idle() {
            return false;
        }
        let Some(row) = self.index.find(Spot::of(key), key, &self.rows) else { return false };
        // Whoever was seen last before this payment was not seen with it.
        if label.paid_at.0 > self.rows.last(row) {
            return false;
        }
        if self.plan.is_news(label) {
            self.keep_list(row);
            let list = self.lists.get_mut(row as usize).unwrap_or(&mut self.no_list);
            self.plan.report(label, excepted, self.rows.get_mut(row), list);
        }
        true
    }

    /// A row for an entity that has none.
    #[cold]
    fn make_room(&mut self, spot: Spot, key: u64, counts: &mut ProfileCounts) -> u32 {
        let row = match self.rows.len() < self.entities_max {
            true => self.append_row(),
            false => {
                counts.evicted += 1;
                self.evict()
            }
        };
        self.index.insert(spot, row);
        self.rows.get_mut(row)[KEY] = key;
        row
    }

    fn append_row(&mut self) -> u32 {
        if self.plan.exact.is_used() {
            self.lists.push(List::default());
        }
        self.rows.push()
    }

    fn evict(&mut self) -> u32 {
        let len = self.rows.len();
        let candidates = (0..CANDIDATES.min(len)).map(|n| (self.hand + n) % len);
        let coldest = candidates.min_by_key(|row| self.rows.last(*row)).unwrap_or(0);
        self.hand = (self.hand + CANDIDATES) % len;
        self.index.remove(Spot::of(self.rows.key(coldest)), coldest);
        self.keep_list(coldest);
        self.rows.get_mut(coldest).fill(0);
        if let Some(list) = self.lists.get_mut(coldest as usize) {
            list.clear();
        }
        coldest
    }

    fn keep_list(&mut self, row: u32) {
        if !self.lists.is_empty() && self.rows.is_due(row) {
            let list = &self.lists[row as usize];
            self.lists_before.entry(row).or_insert_with(|| list.clone());
        }
    }

    /// Begins a sweep over all profiles as they are now.
    pub(super) fn begin_sweep(&mut self) {
        self.lists_before.clear();
        self.rows.begin_sweep();
    }

    /// Hands out the next profiles: their numbers, words and lists. `false` when it is over.
    pub(super) fn sweep(&mut self, rows_max: u32, mut put: impl FnMut(u32, &[u64], &List)) -> bool {
        let none = List::default();
        let (lists, before) = (&self.lists, &mut self.lists_before);
        self.rows.sweep(rows_max, |row, words| match before.remove(&row) {
            Some(list) => put(row, words, &list),
            None => put(row, words, lists.get(row as usize).unwrap_or(&none)),
        })
    }

    /// Takes over the next profile of a snapshot.
    pub(super) fn restore(&mut self, words: &[u64], list: List) {
        let row = self.append_row();
        self.rows.get_mut(row)[..words.len()].copy_from_slice(words);
        if let Some(last) = self.lists.last_mut() {
            *last = list;
        }
        self.index.insert(Spot::of(words[KEY]), row);
    }

    pub(super) fn bytes(&self) -> usize {
        let lists: usize = self.lists.iter().map(|list| size_of::<List>() + list.bytes()).sum();
        self.index.bytes() + self.rows.bytes() + lists
    }
}
