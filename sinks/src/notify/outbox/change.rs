//! One change of the outbox: consumes rows as they are to be, produces one batch of writes to all
//! tables, and guarantees that indexes say what rows say.

use std::{
    collections::{BTreeMap, HashMap},
    sync::MutexGuard,
};

use fjall::{Keyspace, OwnedWriteBatch};
use millrace_ledger::Timestamp;
use uuid::Uuid;

use super::{
    super::StateKind,
    Outbox, Row, Tables, Writer,
    tables::{due_key, id_key, joinable_key, open_key, state_key},
};
use crate::{SinkError, store::Place};

/// The right to write, and what is written by [`Change::commit`]. Dropped, it changes nothing.
pub(in super::super) struct Change<'a> {
    outbox: &'a Outbox,
    guard: MutexGuard<'a, Writer>,
    writer: Writer,
    /// Rows of tables that no notification leads to.
    pub(in super::super) batch: OwnedWriteBatch,
    rows: HashMap<u64, Changed, foldhash::fast::RandomState>,
    /// Identities that this change adds.
    identities: HashMap<Uuid, u64, foldhash::fast::RandomState>,
}

/// A row before and after the change; `None` where it is not there.
struct Changed {
    before: Option<Row>,
    after: Option<Row>,
}

impl<'a> Change<'a> {
    pub(super) fn new(outbox: &'a Outbox, guard: MutexGuard<'a, Writer>) -> Self {
        Self {
            outbox,
            writer: guard.clone(),
            guard,
            batch: outbox.tables.store.batch(64),
            rows: HashMap::default(),
            identities: HashMap::default(),
        }
    }

    /// Moves the sink's place in the feed.
    pub(in super::super) fn set_place(&mut self, place: Place) {
        self.writer.place = place;
    }

    /// A row as this change leaves it so far.
    pub(in super::super) fn row(&self, id: u64) -> Result<Option<Row>, SinkError> {
        match self.rows.get(&id) {
            Some(changed) => Ok(changed.after.clone()),
            None => self.outbox.row(id),
        }
    }

    /// Adds a notification. `None` when it is there already.
    pub(in super::super) fn add(&mut self, row: Row) -> Result<Option<u64>, SinkError> {
        let identity = row.identity();
        let known =
            self.identities.contains_key(&identity) || self.outbox.id_of(identity)?.is_some();
        if known {
            return Ok(None);
        }
        let id = self.writer.next_id;
        self.writer.next_id += 1;
        self.identities.insert(identity, id);
        self.rows.insert(id, Changed { before: None, after: Some(row) });
        Ok(Some(id))
    }

    /// Replaces a row, or with `None` removes it.
    pub(in super::super) fn put(&mut self, id: u64, row: Option<Row>) -> Result<(), SinkError> {
        match self.rows.get_mut(&id) {
            Some(changed) => changed.after = row,
            None => {
                let before = self.outbox.row(id)?;
                self.rows.insert(id, Changed { before, after: row });
            }
        }
        Ok(())
    }

    /// Whether there is nothing to commit but a place.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.batch.is_empty()
    }

    /// Makes it all durable, at once.
    pub(in super::super) fn commit(self) -> Result<(), SinkError> {
        let Self { outbox, mut guard, mut writer, mut batch, rows, .. } = self;
        let tells = !rows.is_empty();
        for (id, Changed { before, after }) in rows {
            writer.count(before.as_ref(), after.as_ref());
            let indexed = |row: Option<&Row>| {
                row.map(|row| entries(&outbox.tables, id, row)).unwrap_or_default()
            };
            let (old, new) = (indexed(before.as_ref()), indexed(after.as_ref()));
            for ((_, key), (table, _)) in old.iter().filter(|(key, _)| !new.contains_key(key)) {
                batch.remove(table, key.as_slice());
            }
            for ((_, key), (table, value)) in new.iter().filter(|(key, _)| !old.contains_key(key)) {
                batch.insert(table, key.as_slice(), value.as_slice());
            }
            let notifications = &outbox.tables.notifications;
            match after {
                Some(row) => {
                    let value = serde_json::to_vec(&row).expect("text and numbers become JSON");
                    batch.insert(notifications, id.to_be_bytes(), value);
                }
                None => batch.remove(notifications, id.to_be_bytes()),
            }
        }
        outbox.tables.store.commit(batch, writer.place)?;
        let latest = writer.next_id - 1;
        *guard = writer;
        drop(guard);
        if tells {
            outbox.committed(latest);
        }
        Ok(())
    }
}

impl Writer {
    fn count(&mut self, before: Option<&Row>, after: Option<&Row>) {
        let is_open = |row: &&Row| row.state.is_open();
        let is_dead = |row: &&Row| row.state.kind() == StateKind::Dead;
        for (row, step) in [(after, 1), (before, -1)] {
            if let Some(row) = row.filter(is_open) {
                let count = &mut self.open[row.channel.index()];
                *count = count.saturating_add_signed(step);
            }
            if let Some(row) = row.filter(is_dead) {
                let count = &mut self.dead[row.channel.index()];
                *count = count.saturating_add_signed(step);
            }
        }
    }
}

/// Entries of indexes: the number of the index and the key, then the table and the value.
type Entries<'a> = BTreeMap<(u8, Vec<u8>), (&'a Keyspace, Vec<u8>)>;

/// Every entry of an index that leads to the row.
fn entries<'a>(tables: &'a Tables, id: u64, row: &Row) -> Entries<'a> {
    let mut entries = BTreeMap::new();
    let mut put = |number, table, key: &[u8], value: &[u8]| {
        entries.insert((number, key.to_vec()), (table, value.to_vec()));
    };
    put(0, &tables.identities, row.identity().as_bytes(), &id.to_be_bytes());
    put(1, &tables.by_owner, &id_key(row.owner.as_u128(), id), &[]);
    put(2, &tables.by_account, &id_key(row.account.as_u128(), id), &[]);
    if let Some(payment) = row.payment {
        put(3, &tables.by_payment, &id_key(payment.as_u128(), id), &[]);
    }
    put(4, &tables.by_state, &state_key(row.state.kind(), id), &[]);
    if row.state.is_open() {
        put(5, &tables.open, &open_key(row.channel, id), &[]);
    }
    if row.is_queued() {
        put(6, &tables.due, &due_key(row.channel, Timestamp(row.due_ns), id), &[]);
    }
    if row.can_be_bundled() {
        put(7, &tables.joinable, &joinable_key(row.channel, row.owner.as_u128(), id), &[]);
    }
    entries
}
