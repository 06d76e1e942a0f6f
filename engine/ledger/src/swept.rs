//! Rows that can be copied out piece by piece, as they were at one moment, while they change.
//!
//! Guarantees that what a sweep hands out is every row as it stood when the sweep began, however
//! many changes happen meanwhile. A row that changes before the sweep reaches it is kept as it was,
//! once; nothing is ever copied as a whole, and what keeps rows grows without moving any, so nothing
//! ever has to wait for a copy. The memory of a row that was kept is used again once the sweep has
//! passed it, and given back in pieces at the end.

use crate::store::Store;

/// An append-only store of rows by dense slot that can be swept while it changes.
#[derive(Clone, Debug)]
pub struct Swept<T> {
    rows: Store<T>,
    sweep: Option<Sweep<T>>,
}

#[derive(Clone, Debug)]
struct Sweep<T> {
    next: u32,
    end: u32,
    /// Rows that changed before the sweep reached them, as they were.
    before: Store<T>,
    /// One bit per slot: whether its row is in `before`, or was. It is asked at every change, and
    /// small enough to stay in the cache.
    kept: Vec<u64>,
    /// By slot, in chunks of [`CHUNK_SLOTS`]: where in `before` it is, if it is there. A chunk without
    /// any is empty.
    places: Vec<Vec<u32>>,
    /// Places in `before` that the sweep has passed.
    free: Store<u32>,
}

const CHUNK_SLOTS: usize = 1 << 16;

/// Rows that were kept are fetched so many slots ahead: they lie in the order of their changes.
const SLOTS_AHEAD: u32 = 16;

impl<T> Default for Swept<T> {
    fn default() -> Self {
        Self { rows: Store::default(), sweep: None }
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
        if let Some(sweep) = &mut self.sweep {
            sweep.keep(slot, row);
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
        self.sweep = Some(Sweep {
            next: 0,
            end: rows as u32,
            before: Store::default(),
            kept: vec![0; rows.div_ceil(64)],
            places: vec![Vec::new(); rows.div_ceil(CHUNK_SLOTS)],
            free: Store::default(),
        });
    }

    /// Whether a sweep is under way that has not reached this slot yet.
    pub(crate) fn is_due(&self, slot: u32) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.is_due(slot))
    }

    /// Appends the next `rows_max` rows of the sweep, each with its slot. `false` when it is over.
    /// After the last row, each call gives some of the memory back that rows were kept in: all of it
    /// at once would take longer than a batch.
    pub fn sweep(&mut self, rows_max: usize, mut put: impl FnMut(u32, &T)) -> bool {
        let Some(sweep) = &mut self.sweep else { return false };
        if sweep.next == sweep.end {
            let goes_on = sweep.before.shrink() || sweep.free.shrink();
            if !goes_on {
                self.sweep = None;
            }
            return goes_on;
        }
        let end = sweep.end.min(sweep.next.saturating_add(rows_max.min(u32::MAX as usize) as u32));
        for slot in sweep.next..end {
            if end - slot > SLOTS_AHEAD && sweep.has_kept(slot + SLOTS_AHEAD) {
                sweep.before.prefetch(sweep.place(slot + SLOTS_AHEAD));
            }
            match sweep.has_kept(slot) {
                true => {
                    let place = sweep.place(slot);
                    put(slot, sweep.before.get(place));
                    sweep.free.push(place);
                }
                false => put(slot, self.rows.get(slot)),
            }
        }
        let passed = sweep.next as usize / CHUNK_SLOTS..end as usize / CHUNK_SLOTS;
        sweep.places[passed].fill(Vec::new());
        sweep.next = end;
        true
    }
}

impl<T: Clone> Sweep<T> {
    #[inline]
    fn is_due(&self, slot: u32) -> bool {
        (self.next..self.end).contains(&slot)
    }

    fn keep(&mut self, slot: u32, row: &T) {
        if !self.is_due(slot) || self.has_kept(slot) {
            return;
        }
        let place = match self.free.pop() {
            Some(place) => {
                *self.before.get_mut(place) = row.clone();
                place
            }
            None => self.before.push(row.clone()),
        };
        self.kept[slot as usize / 64] |= 1 << (slot % 64);
        let places = &mut self.places[slot as usize / CHUNK_SLOTS];
        if places.is_empty() {
            *places = vec![0; CHUNK_SLOTS];
        }
        places[slot as usize % CHUNK_SLOTS] = place;
    }

    #[inline]
    fn has_kept(&self, slot: u32) -> bool {
        self.kept[slot as usize / 64] & (1 << (slot % 64)) != 0
    }

    /// Where a row is that was kept.
    #[inline]
    fn place(&self, slot: u32) -> u32 {
        self.places[slot as usize / CHUNK_SLOTS][slot as usize % CHUNK_SLOTS]
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

    /// Rows of many chunks, all of them changed before and while they are swept; and the memory that
    /// kept them is given back by the end, in pieces.
    #[test]
    fn a_sweep_of_many_chunks_gives_its_memory_back_in_pieces() {
        let rows_count = 3 * CHUNK_SLOTS as u32 + 11;
        let mut rows = Swept::default();
        (0..rows_count).for_each(|row| {
            rows.push(row);
        });
        rows.begin_sweep();
        // In an order of their own: 7 shares no factor with their number.
        (0..rows_count).for_each(|n| *rows.get_mut(n * 7 % rows_count) += 1);
        let (mut seen, mut calls_after) = (Vec::new(), 0);
        while rows.sweep(10_000, |_, row| seen.push(*row)) {
            if seen.len() == rows_count as usize {
                calls_after += 1;
            }
            let last = seen.len() as u32;
            (last.saturating_sub(3)..(last + 3).min(rows_count))
                .for_each(|row| *rows.get_mut(row) += 1);
        }
        assert!(seen.into_iter().eq(0..rows_count));
        assert!(rows.sweep.is_none());
        // Four chunks of rows and four of free places, and the call that hands out the last rows.
        assert_eq!(calls_after, 9);
    }
}
