//! The payments that are kept in memory: the generation that is open, and holds of earlier ones.
//!
//! Every payment of a batch gets a row, in sequence, whether or not it takes its id: resolving can
//! give out row numbers ahead of posting then. A payment that is older than the open generation is
//! never changed where it is: its newest version is kept here, and goes to history with the
//! generation that is open now.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{PaymentId, Stage, StoredPayment, store::Store, swept::Swept};

/// Where a payment that may change is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among the rows of the open generation.
    Row(u32),
    /// Older, and changed since: among the newer versions of the open generation.
    Newer(u32),
    /// A hold of an earlier generation that is open.
    Carried(u32),
}

/// Small maps whose order nobody looks at.
pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;

/// The rows of one generation.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) rows: Store<StoredPayment>,
    /// From a row that did not take its id to the one that did, later.
    forwards: Map<u32, u32>,
    /// Newest versions of payments that are older than this generation.
    pub(crate) newer: Vec<StoredPayment>,
    newer_index: Map<PaymentId, u32>,
    /// No id here is greater.
    pub(crate) id_max: PaymentId,
}

impl Default for Rows {
    fn default() -> Self {
        let map = FixedState::with_seed(0x6e65_7765);
        Self {
            rows: Store::default(),
            forwards: Map::with_hasher(map.clone()),
            newer: Vec::new(),
            newer_index: Map::with_hasher(map),
            id_max: PaymentId::ZERO,
        }
    }
}

impl Rows {
    /// The row that took an id, from the row that met it first.
    pub(crate) fn taker(&self, first: u32) -> Option<u32> {
        match self.rows.get(first).stage {
            Stage::Vacant => self.forwards.get(&first).copied(),
            _ => Some(first),
        }
    }

    /// The newest version of a payment that is older than this generation.
    pub(crate) fn newer(&self, id: PaymentId) -> Option<u32> {
        self.newer_index.get(&id).copied()
    }

    /// Empty rows that use this memory again.
    pub(crate) fn cleared(mut self) -> Self {
        self.rows.clear();
        self.newer.clear();
        Self { rows: self.rows, newer: self.newer, ..Self::default() }
    }

    fn add_newer(&mut self, payment: StoredPayment) -> u32 {
        let place = self.newer.len() as u32;
        self.id_max = self.id_max.max(payment.id);
        self.newer_index.insert(payment.id, place);
        self.newer.push(payment);
        place
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pub(crate) generation: Rows,
    /// Rows of holds that were made in this generation.
    holds_made: Vec<u32>,
    /// Open holds of earlier generations; `None` where a place is free.
    carried: Swept<Option<StoredPayment>>,
    free: Vec<u32>,
    carried_index: Map<PaymentId, u32>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            generation: Rows::default(),
            holds_made: Vec::new(),
            carried: Swept::default(),
            free: Vec::new(),
            carried_index: Map::with_hasher(FixedState::with_seed(0x6361_7272)),
        }
    }
}

impl Recent {
    /// Number of rows, which is the number of the next one.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.generation.rows.len() as u32
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.generation.newer.is_empty()
    }

    /// The hold in this place, if it is still carried there.
    pub(crate) fn carried_at(&self, slot: u32) -> Option<&StoredPayment> {
        self.carried.get(slot).as_ref()
    }

    pub(crate) fn carried_count(&self) -> usize {
        self.carried_index.len()
    }

    pub(crate) fn carried(&self) -> impl Iterator<Item = &StoredPayment> {
        self.carried.iter().flatten()
    }

    #[inline]
    pub(crate) fn get(&self, place: Place) -> &StoredPayment {
        match place {
            Place::Row(row) => self.generation.rows.get(row),
            Place::Newer(place) => &self.generation.newer[place as usize],
            Place::Carried(slot) => {
                self.carried.get(slot).as_ref().expect("a place that was found holds a payment")
            }
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: Place) -> &mut StoredPayment {
        match place {
            Place::Row(row) => self.generation.rows.get_mut(row),
            Place::Newer(place) => &mut self.generation.newer[place as usize],
            Place::Carried(slot) => {
                self.carried.get_mut(slot).as_mut().expect("a place that was found holds a payment")
            }
        }
    }

    /// Gives the next row to a payment that takes its id. `first` is the row that met the id first,
    /// where that is another one.
    #[inline]
    pub(crate) fn push(&mut self, payment: StoredPayment, first: Option<u32>) -> Place {
        self.generation.id_max = self.generation.id_max.max(payment.id);
        let row = self.generation.rows.push(payment);
        if let Some(first) = first {
            self.generation.forwards.insert(first, row);
        }
        if payment.stage == Stage::HoldOpen {
            self.holds_made.push(row);
        }
        Place::Row(row)
    }

    /// Gives the next row to a payment that does not take its id.
    pub(crate) fn push_vacant(&mut self) {
        self.generation.rows.push(StoredPayment::default());
    }

    /// Takes back that a row took its id.
    pub(crate) fn vacate(&mut self, row: u32, first: Option<u32>) {
        *self.generation.rows.get_mut(row) = StoredPayment::default();
        if let Some(first) = first {
            self.generation.forwards.remove(&first);
        }
    }

    /// Where a payment that is older than the open generation is kept, if it may have changed.
    pub(crate) fn find_old(&self, id: PaymentId) -> Option<Place> {
        match self.generation.newer(id) {
            Some(place) => Some(Place::Newer(place)),
            None => self.carried_index.get(&id).map(|slot| Place::Carried(*slot)),
        }
    }

    /// Brings a payment back from history, because it is about to change.
    pub(crate) fn recall(&mut self, payment: StoredPayment) -> Place {
        Place::Newer(self.generation.add_newer(payment))
    }

    /// A hold of an earlier generation that ended goes the way of all that is settled.
    pub(crate) fn release_carried(&mut self, slot: u32) {
        let hold = self.carried.get_mut(slot).take().expect("a place that was found holds one");
        self.carried_index.remove(&hold.id);
        self.free.push(slot);
        self.generation.add_newer(hold);
    }

    /// Keeps a hold that outlives its generation.
    pub(crate) fn carry(&mut self, hold: StoredPayment) {
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.carried.get_mut(slot) = Some(hold);
                slot
            }
            None => self.carried.push(Some(hold)),
        };
        self.carried_index.insert(hold.id, slot);
    }

    /// Closes the open generation: returns its rows, and keeps the holds that are open. The next one
    /// begins with `empty` rows.
    pub(crate) fn close(&mut self, empty: Rows) -> Rows {
        let closed = std::mem::replace(&mut self.generation, empty);
        for row in std::mem::take(&mut self.holds_made) {
            let payment = closed.rows.get(row);
            if payment.stage == Stage::HoldOpen {
                self.carry(*payment);
            }
        }
        closed
    }

    pub(crate) fn begin_sweep(&mut self) {
        self.carried.begin_sweep();
    }

    /// Hands out the next carried holds as they were when the sweep began. `false` at the end.
    pub(crate) fn sweep(&mut self, places_max: usize, mut put: impl FnMut(&StoredPayment)) -> bool {
        self.carried.sweep(places_max, |_, hold| hold.iter().for_each(&mut put))
    }
}
