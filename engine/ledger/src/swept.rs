//! Rows that can be copied out piece by piece, as they were at one moment, while they change.
//!
//! Guarantees that what a sweep hands out is every row as it stood when the sweep began, however
//! many changes happen meanwhile. A row that changes before the sweep reaches it is kept as it was,
//! once; nothing is ever copied as a whole, and what keeps rows grows without moving any, so nothing
//! ever has to wait for a copy. The memory of a row that was kept is used again once the sweep has
//! passed it, and by the next sweep: to give it back to the system takes longer than a batch may take,
//! and to get it again, too.

use std::ops::Range;

use crate::store::{Chunk, Store};

/// An append-only store of rows by dense slot that can be swept while it changes.
#[derive(Clone, Debug)]
pub struct Swept<T> {
    rows: Store<T>,
    /// The slots that a sweep has not reached yet; empty while there is none.
    due: Range<u32>,
    is_swept: bool,
    before: Before<T>,
}

/// Rows that changed before a sweep reached them, as they were.
#[derive(Clone, Debug)]
struct Before<T> {
    rows: Store<T>,
    /// One bit per slot: whether its row is in `rows`, or was. It is asked at every change, and
    /// small enough to stay in the cache.
    kept: Vec<u64>,
    /// By slot, in chunks of [`CHUNK_SLOTS`]: where in `rows` it is, if it is there. A chunk that never
    /// had any is empty.
    places: Vec<Vec<u32>>,
    /// Places in `rows` that the sweep has passed.
    free: Store<u32>,
}

const CHUNK_SLOTS: usize = 1 << 16;

/// Rows that were kept are fetched so many slots ahead: they lie in the order of their changes.
const SLOTS_AHEAD: u32 = 16;

impl<T> Default for Swept<T> {
    fn default() -> Self {
        let before = Before {
            rows: Store::default(),
            kept: Vec::new(),
            places: Vec::new(),
            free: Store::default(),
        };
        Self { rows: Store::default(), due: 0..0, is_swept: false, before }
    }
}

impl<T: Clone> Swept<T> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// Rows for which there is room without more memory.
    pub(crate) fn room(&self) -> usize {
        self.rows.room()
    }

    /// Whether memory was given that is not used yet.
    pub(crate) fn has_spare(&self) -> bool {
        self.rows.has_spare()
    }

    /// Gives memory for rows to come.
    pub(crate) fn give(&mut self, chunk: Chunk<T>) {
        self.rows.give(chunk);
    }

    /// Appends a row and returns its slot.
    pub fn push(&mut self, row: T) -> u32 {
        self.rows.push(row)
    }

    /// The row in this slot, which must exist.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: u32) -> &T {
        self.rows.get(slot)
    }

    /// Has the row in this slot fetched, if there is one. Waits for nothing.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        self.rows.prefetch(slot);
    }

    /// The row in this slot, which must exist, to be changed.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut T {
        let row = self.rows.get_mut(slot);
        if self.due.contains(&slot) {
            self.before.keep(slot, row);
        }
        row
    }

    /// All rows, as they are now.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.iter()
    }

    /// Begins a sweep over the rows as they are now. One that is under way is given up.
    pub fn begin_sweep(&mut self) {
        let rows = self.rows.len();
        self.before.forget_all(rows);
        (self.due, self.is_swept) = (0..rows as u32, true);
    }

    /// Whether a sweep is under way that has not reached this slot yet.
    pub(crate) fn is_due(&self, slot: u32) -> bool {
        self.due.contains(&slot)
    }

    /// Appends the next `rows_max` rows of the sweep, each with its slot. `false` when it is over.
    pub fn sweep(&mut self, rows_max: usize, mut put: impl FnMut(u32, &T)) -> bool {
        if !self.is_swept {
            return false;
        }
        let (before, next) = (&mut self.before, self.due.start);
        let end = self.due.end.min(next.saturating_add(rows_max.min(u32::MAX as usize) as u32));
        for slot in next..end {
            if end - slot > SLOTS_AHEAD {
                before.prefetch(slot + SLOTS_AHEAD);
            }
            match before.pass(slot) {
                Some(row) => put(slot, row),
                None => put(slot, self.rows.get(slot)),
            }
        }
        self.due.start = end;
        self.is_swept = end < self.due.end;
        self.is_swept
    }
}

impl<T: Clone> Before<T> {
    /// Keeps no row of so many any more, but the memory for them.
    fn forget_all(&mut self, rows: usize) {
        self.rows.clear();
        self.free.clear();
        self.kept.clear();
        self.kept.resize(rows.div_ceil(64), 0);
        self.places.resize(rows.div_ceil(CHUNK_SLOTS), Vec::new());
    }

    fn keep(&mut self, slot: u32, row: &T) {
        if self.has_kept(slot) {
            return;
        }
        let place = match self.free.pop() {
            Some(place) => {
                *self.rows.get_mut(place) = row.clone();
                place
            }
            None => self.rows.push(row.clone()),
        };
        self.kept[slot as usize / 64] |= 1 << (slot % 64);
        let places = &mut self.places[slot as usize / CHUNK_SLOTS];
        if places.is_empty() {
            *places = vec![0; CHUNK_SLOTS];
        }
        places[slot as usize % CHUNK_SLOTS] = place;
    }

    /// The row in this slot, if it is kept. Its place is free from now on.
    #[inline]
    fn pass(&mut self, slot: u32) -> Option<&T> {
        let place = self.place(slot)?;
        self.free.push(place);
        Some(self.rows.get(place))
    }

    /// Has the row in this slot fetched, if it is kept. Waits for nothing.
    #[inline]
    fn prefetch(&self, slot: u32) {
        if let Some(place) = self.place(slot) {
            self.rows.prefetch(place);
        }
    }

    #[inline]
    fn has_kept(&self, slot: u32) -> bool {
        self.kept[slot as usize / 64] & (1 << (slot % 64)) != 0
    }

    /// Where the row in this slot is, if it is kept.
    #[inline]
    fn place(&self, slot: u32) -> Option<u32> {
        let (chunk, within) = (slot as usize / CHUNK_SLOTS, slot as usize % CHUNK_SLOTS);
        self.has_kept(slot).then(|| self.places[chunk][within])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a copy made at the beginning, with changes and new rows between the pieces.
        #[test]
        fn a_sweep_sees_one_moment(
            len in 0_u32..60,
            pieces in prop::collection::vec((1_usize..9, prop::collection::vec(any::<u32>(), 0..8)), 70),
        ) {
            let mut rows = Swept::default();
            (0..len).for_each(|row| { rows.push(row); });
            let expected: Vec<_> = (0..len).collect();
            rows.begin_sweep();
            let mut seen = Vec::new();
            for (count, changes) in &pieces {
                for change in changes {
                    let slot = *change % (rows.len() as u32 + 1);
                    match slot as usize == rows.len() {
                        true => { rows.push(*change); }
                        false => *rows.get_mut(slot) = *change,
                    }
                }
                if !rows.sweep(*count, |slot, row| seen.push((slot, *row))) {
                    break;
                }
            }
            prop_assert_eq!(seen.iter().map(|(_, row)| *row).collect::<Vec<_>>(), expected);
            prop_assert!(seen.iter().enumerate().all(|(at, (slot, _))| at as u32 == *slot));
        }
    }

    /// Rows of many chunks, all of them changed before and while they are swept, in an order of their own; and
    /// again, in the memory that kept them the first time.
    #[test]
    fn sweeps_of_many_chunks_use_the_same_memory() {
        let rows_count = 3 * CHUNK_SLOTS as u32 + 11;
        let mut rows = Swept::default();
        (0..rows_count).for_each(|row| {
            rows.push(row);
        });
        for sweep in 0..3 {
            let expected: Vec<_> = rows.iter().copied().collect();
            rows.begin_sweep();
            // 7 shares no factor with their number.
            (0..rows_count).for_each(|n| *rows.get_mut(n * 7 % rows_count) += 1);
            let mut seen = Vec::new();
            let mut goes_on = true;
            while goes_on {
                goes_on = rows.sweep(10_000, |_, row| seen.push(*row));
                let last = seen.len() as u32;
                let around = last.saturating_sub(3)..(last + 3).min(rows_count);
                around.for_each(|row| *rows.get_mut(row) += 1);
            }
            assert!(seen == expected, "sweep {sweep}");
            assert_eq!(rows.before.rows.len(), rows_count as usize, "each was kept once");
            rows.push(sweep);
        }
    }
}
