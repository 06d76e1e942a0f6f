//! The payments that are kept in memory: the generation that is open, and holds of earlier ones.
//!
//! Every payment of a batch gets a row, in sequence, whether or not it takes its id: resolving can
//! give out row numbers ahead of posting then. A payment that is older than the open generation is
//! never changed where it is: its newest version is kept here, and goes to history with the
//! generation that is open now.
//!
//! When a generation is closed, the holds that are open in it are carried on. They may be hundreds of
//! thousands, so that is done piece by piece between the batches that follow; one that is asked for
//! before is carried at once.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    Generation, PaymentId, Spans, Stage, StoredPayment,
    place_index::PlaceIndex,
    store::{Chunk, Store},
    swept::Swept,
};

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

/// The rows of one generation.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) rows: Store<StoredPayment>,
    /// From a row that did not take its id to the one that did, later.
    forwards: HashMap<u32, u32, FixedState>,
    /// Newest versions of payments that are older than this generation.
    pub(crate) newer: Store<StoredPayment>,
    newer_index: PlaceIndex,
    /// Where the ids lie that are here.
    pub(crate) spans: Spans,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            rows: Store::default(),
            forwards: HashMap::with_hasher(FixedState::with_seed(0x666f_7277)),
            newer: Store::default(),
            newer_index: PlaceIndex::new(0x6e65_7765),
            spans: Spans::default(),
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
        self.newer_index.find(id)
    }

    /// Empty rows that use this memory again.
    pub(crate) fn cleared(mut self) -> Self {
        self.rows.clear();
        self.newer.clear();
        Self { rows: self.rows, newer: self.newer, ..Self::default() }
    }

    fn add_newer(&mut self, payment: StoredPayment) -> u32 {
        self.spans.add(payment.id);
        let place = self.newer.push(payment);
        self.newer_index.insert(payment.id, place);
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
    carried_index: PlaceIndex,
    uncarried: Option<Uncarried>,
}

/// Memory for open holds that are carried on, 8 MiB, which was written to before it is given to a
/// [`Ledger`](crate::Ledger). The system has to find what is written to for the first time, and that may
/// take milliseconds: better where nobody waits.
#[derive(Debug)]
pub struct HoldMemory(Chunk<Option<StoredPayment>>);

impl HoldMemory {
    /// Takes up to tens of milliseconds.
    #[must_use]
    pub fn touched() -> Self {
        Self(Chunk::touched(None))
    }
}

const _: () = assert!(size_of::<Option<StoredPayment>>() == 128, "memory per open hold");

/// Memory for carried holds is asked for when more than so many may come for which there is none.
const HOLDS_WITHOUT_MEMORY: usize = 1_024;

/// What is left to be carried of the generation that was closed last.
#[derive(Clone, Debug)]
pub(crate) struct Uncarried {
    generation: Arc<Generation>,
    /// Of the holds that were made in it, whether or not they are open.
    rows: Arc<Vec<u32>>,
    /// Those before are carried, as far as they are open.
    next: usize,
}

/// Rows are fetched so many holds ahead.
const HOLDS_AHEAD: usize = 8;

impl Uncarried {
    /// Those that were open when the generation was closed.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &StoredPayment> {
        let holds = self.rows[self.next..].iter().map(|row| self.generation.row(*row));
        holds.filter(|hold| hold.stage == Stage::HoldOpen)
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            generation: Rows::default(),
            holds_made: Vec::new(),
            carried: Swept::default(),
            free: Vec::new(),
            carried_index: PlaceIndex::new(0x6361_7272),
            uncarried: None,
        }
    }
}

impl Recent {
    /// Number of rows, which is the number of the next one.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.generation.rows.len() as u32
    }

    /// How much it holds: new payments, or older ones that changed, whichever are more. Holds that
    /// expire have no row of their own.
    pub(crate) fn fill(&self) -> u32 {
        self.len().max(self.generation.newer.len() as u32)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.generation.newer.len() == 0
    }

    /// The hold in this place, if it is still carried there.
    pub(crate) fn carried_at(&self, slot: u32) -> Option<&StoredPayment> {
        self.carried.get(slot).as_ref()
    }

    pub(crate) fn carried_count(&self) -> usize {
        self.carried_index.len()
    }

    /// Open holds of earlier generations, those included that are not carried yet.
    pub(crate) fn open_holds(&self) -> impl Iterator<Item = &StoredPayment> {
        let uncarried = self.uncarried.iter().flat_map(Uncarried::holds);
        let untouched = uncarried.filter(|hold| self.find_old(hold.id).is_none());
        self.carried.iter().flatten().chain(untouched)
    }

    pub(crate) fn uncarried(&self) -> Option<&Uncarried> {
        self.uncarried.as_ref()
    }

    #[inline]
    pub(crate) fn get(&self, place: Place) -> &StoredPayment {
        match place {
            Place::Row(row) => self.generation.rows.get(row),
            Place::Newer(place) => self.generation.newer.get(place),
            Place::Carried(slot) => {
                self.carried.get(slot).as_ref().expect("a place that was found holds a payment")
            }
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: Place) -> &mut StoredPayment {
        match place {
            Place::Row(row) => self.generation.rows.get_mut(row),
            Place::Newer(place) => self.generation.newer.get_mut(place),
            Place::Carried(slot) => {
                self.carried.get_mut(slot).as_mut().expect("a place that was found holds a payment")
            }
        }
    }

    /// Gives the next row to a payment that takes its id. `first` is the row that met the id first,
    /// where that is another one.
    #[inline]
    pub(crate) fn push(&mut self, payment: StoredPayment, first: Option<u32>) -> Place {
        self.generation.spans.add(payment.id);
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
            None => self.carried_index.find(id).map(Place::Carried),
        }
    }

    /// Brings a payment back from history, because it is about to change.
    pub(crate) fn recall(&mut self, payment: StoredPayment) -> Place {
        Place::Newer(self.generation.add_newer(payment))
    }

    /// A hold of an earlier generation that ended goes the way of all that is settled.
    pub(crate) fn release_carried(&mut self, slot: u32) {
        let hold = self.carried.get_mut(slot).take().expect("a place that was found holds one");
        self.carried_index.remove(hold.id);
        self.free.push(slot);
        self.generation.add_newer(hold);
    }

    /// Keeps a hold that outlives its generation. Returns where.
    pub(crate) fn carry(&mut self, hold: StoredPayment) -> Place {
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.carried.get_mut(slot) = Some(hold);
                slot
            }
            None => self.carried.push(Some(hold)),
        };
        self.carried_index.insert(hold.id, slot);
        Place::Carried(slot)
    }

    /// Whether more holds may come to be carried than there is room for, and no memory was given for them.
    pub(crate) fn wants_hold_memory(&self) -> bool {
        let uncarried = self.uncarried.as_ref().map_or(0, |left| left.rows.len() - left.next);
        let to_come = self.holds_made.len() + uncarried;
        let room = self.carried.room() + self.free.len() + HOLDS_WITHOUT_MEMORY;
        !self.carried.has_spare() && to_come > room
    }

    pub(crate) fn give_hold_memory(&mut self, HoldMemory(chunk): HoldMemory) {
        self.carried.give(chunk);
    }

    /// Where a hold of an earlier generation is kept that was open when its generation was closed. One
    /// that is not carried yet is carried now.
    pub(crate) fn find_held(&mut self, id: PaymentId) -> Option<Place> {
        if let Some(place) = self.find_old(id) {
            return Some(place);
        }
        let hold = *self.uncarried.as_ref()?.generation.find(id)?;
        (hold.stage == Stage::HoldOpen).then(|| self.carry(hold))
    }

    /// Begins the next generation with `empty` rows. Returns the rows of the one that was open, and in
    /// which of them holds were made: [`Self::carry_from`] is to be told of these.
    ///
    /// All that was left to be carried is carried first: what is known of a hold that changed
    /// meanwhile goes with the generation.
    pub(crate) fn close(&mut self, empty: Rows) -> (Rows, Vec<u32>) {
        self.carry_on(usize::MAX);
        let closed = std::mem::replace(&mut self.generation, empty);
        (closed, std::mem::take(&mut self.holds_made))
    }

    /// From here on, the holds in these rows of the generation that was just closed are carried.
    pub(crate) fn carry_from(&mut self, generation: Arc<Generation>, rows: Vec<u32>) {
        if !rows.is_empty() {
            self.uncarried = Some(Uncarried { generation, rows: Arc::new(rows), next: 0 });
        }
    }

    /// Carries on such a share of the holds that were made in the generation that was closed last as
    /// `payments` are of so many. `false` when none is left.
    pub(crate) fn carry_share(&mut self, payments: usize, of: u32) -> bool {
        let holds = self.uncarried.as_ref().map_or(0, |left| left.rows.len());
        let share = (holds as u128 * payments as u128).div_ceil(of.max(1).into());
        self.carry_on(usize::try_from(share).unwrap_or(usize::MAX))
    }

    /// Looks at the next `holds_max` holds that are left to be carried, and carries those that are
    /// open. `false` when none is left.
    pub(crate) fn carry_on(&mut self, holds_max: usize) -> bool {
        let Some(mut left) = self.uncarried.take() else { return false };
        let end = left.rows.len().min(left.next.saturating_add(holds_max));
        for at in left.next..end {
            if let Some(ahead) = left.rows.get(at + HOLDS_AHEAD) {
                left.generation.prefetch_row(*ahead);
            }
            let hold = left.generation.row(left.rows[at]);
            // One that was asked for before is carried, or has ended since.
            if hold.stage == Stage::HoldOpen && self.find_old(hold.id).is_none() {
                self.carry(*hold);
            }
        }
        left.next = end;
        self.uncarried = (end < left.rows.len()).then_some(left);
        self.uncarried.is_some()
    }

    pub(crate) fn begin_sweep(&mut self) {
        self.carried.begin_sweep();
    }

    /// Hands out the next carried holds as they were when the sweep began. `false` at the end.
    pub(crate) fn sweep(&mut self, places_max: usize, mut put: impl FnMut(&StoredPayment)) -> bool {
        self.carried.sweep(places_max, |_, hold| hold.iter().for_each(&mut put))
    }
}
