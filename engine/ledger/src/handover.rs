//! Handover: consumes what groups of shards found in one stretch of a request after the other,
//! produces it in order for whoever posts.
//!
//! Guarantees that a stretch comes out when all groups are done with it, whichever of them is ahead,
//! and that all that they wrote of it before is seen then. A cell is written once and read once: no
//! group waits for another, or for posting. A group that panics ends the wait.

use std::{hint, sync::OnceLock};

use crate::{HistoryError, shard::Recalled};

/// Looks at a cell before the thread is put to sleep: 23 microseconds, about as long as a thread
/// takes to wake up.
const SPINS: u32 = 1_024;

/// What a group brought along from history for a stretch.
pub(crate) type Found = Result<Vec<Recalled>, HistoryError>;

/// One cell per group and stretch. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Handover {
    groups: Vec<Vec<OnceLock<Option<Found>>>>,
}

/// A group's side of it. Dropped before all is given, it says that no more will come.
#[derive(Debug)]
pub(crate) struct Giver<'a> {
    left: &'a [OnceLock<Option<Found>>],
}

impl Handover {
    pub(crate) fn new(groups: usize, stretches: usize) -> Self {
        let cells = |_| (0..stretches).map(|_| OnceLock::new()).collect();
        Self { groups: (0..groups).map(cells).collect() }
    }

    pub(crate) fn givers(&self) -> impl Iterator<Item = Giver<'_>> {
        self.groups.iter().map(|cells| Giver { left: cells })
    }

    /// Waits for a stretch of all groups. `None` when one of them will not come.
    pub(crate) fn wait(&self, stretch: usize) -> Option<Found> {
        let mut found = Vec::new();
        for cells in &self.groups {
            match wait(&cells[stretch]).as_ref()? {
                Ok(recalled) => found.extend_from_slice(recalled),
                Err(error) => return Some(Err(error.clone())),
            }
        }
        if self.groups.len() > 1 {
            found.sort_unstable_by_key(Recalled::key);
        }
        Some(Ok(found))
    }
}

impl Giver<'_> {
    /// Gives the next stretch.
    pub(crate) fn give(&mut self, found: Found) {
        self.put(Some(found));
    }

    fn put(&mut self, found: Option<Found>) {
        if let Some((next, left)) = self.left.split_first() {
            let given = next.set(found);
            given.expect("each cell is given by one group, once");
            self.left = left;
        }
    }
}

impl Drop for Giver<'_> {
    fn drop(&mut self) {
        while !self.left.is_empty() {
            self.put(None);
        }
    }
}

fn wait<T>(cell: &OnceLock<T>) -> &T {
    for _ in 0..SPINS {
        if let Some(value) = cell.get() {
            return value;
        }
        hint::spin_loop();
    }
    cell.wait()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PaymentId, StoredPayment};

    fn recalled(position: u32, as_original: bool) -> Recalled {
        Recalled { position, as_original, payment: StoredPayment::default() }
    }

    /// Three groups that are done in any order: each stretch comes out whole, sorted, and in turn.
    #[test]
    fn a_stretch_is_what_all_groups_found() {
        const STRETCHES: u32 = 200;
        let handover = Handover::new(3, STRETCHES as usize);
        std::thread::scope(|scope| {
            for (group, mut giver) in (0..).zip(handover.givers()) {
                scope.spawn(move || {
                    for stretch in 0..STRETCHES {
                        if (stretch + group) % 7 == 0 {
                            std::thread::yield_now();
                        }
                        let of_stretch = [false, true].map(|it| recalled(stretch * 10 + group, it));
                        giver.give(Ok(of_stretch.to_vec()));
                    }
                });
            }
            for stretch in 0..STRETCHES {
                let found = handover.wait(stretch as usize).expect("no group stops");
                let found = found.expect("history can be read");
                let keys: Vec<_> = found.iter().map(Recalled::key).collect();
                let of_group = |group| [false, true].map(|it| (stretch * 10 + group, it));
                assert_eq!(keys, (0..3).flat_map(of_group).collect::<Vec<_>>());
            }
        });
    }

    /// An error belongs to its stretch; who stops early is not waited for.
    #[test]
    fn an_error_and_an_end_are_handed_over() {
        let handover = Handover::new(2, 3);
        let mut givers: Vec<_> = handover.givers().collect();
        let error = HistoryError { id: PaymentId(7), why: "the disk is gone".to_owned() };
        for giver in &mut givers {
            giver.give(Ok(Vec::new()));
        }
        givers[0].give(Ok(Vec::new()));
        givers[1].give(Err(error.clone()));
        drop(givers);
        assert!(matches!(handover.wait(0), Some(Ok(found)) if found.is_empty()));
        assert!(matches!(handover.wait(1), Some(Err(it)) if it == error));
        assert!(handover.wait(2).is_none());
    }
}
