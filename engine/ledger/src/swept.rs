//! Rows that can be copied out piece by piece, as they were at one moment, while they change.
//!
//! Guarantees that what a sweep hands out is every row as it stood when the sweep began, however
//! many changes happen meanwhile. A row that changes before the sweep reaches it is kept as it was,
//! once; nothing is ever copied as a whole, and what keeps rows grows without moving any, so nothing
//! ever has to wait for a copy. The memory of a row that was kept is used again once the sweep has
//! passed it.

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
    /// By slot: where in `before` it is, if it is there.
    places: Vec<u32>,
    /// Places in `before` that the sweep has passed.
    free: Vec<u32>,
}

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
            places: vec![0; rows],
            free: Vec::new(),
        });
    }

    /// Appends the next `rows_max` rows of the sweep, each with its slot. `false` when it is over.
    pub fn sweep(&mut self, rows_max: usize, mut put: impl FnMut(u32, &T)) -> bool {
        let Some(sweep) = &mut self.sweep else { return false };
        let end = sweep.end.min(sweep.next.saturating_add(rows_max.min(u32::MAX as usize) as u32));
        for slot in sweep.next..end {
            match sweep.has_kept(slot) {
                true => {
                    let place = sweep.places[slot as usize];
                    put(slot, sweep.before.get(place));
                    sweep.free.push(place);
                }
                false => put(slot, self.rows.get(slot)),
            }
        }
        sweep.next = end;
        if sweep.next == sweep.end {
            self.sweep = None;
        }
        self.sweep.is_some()
    }
}

impl<T: Clone> Sweep<T> {
    fn keep(&mut self, slot: u32, row: &T) {
        if slot < self.next || slot >= self.end || self.has_kept(slot) {
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
        self.places[slot as usize] = place;
    }

    fn has_kept(&self, slot: u32) -> bool {
        self.kept[slot as usize / 64] & (1 << (slot % 64)) != 0
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
}
