//! One change of the outbox: consumes rows as they are to be, produces one batch of writes to all
//! tables, and guarantees that indexes say what rows say.

use std::{collections::HashMap, sync::MutexGuard};

use fjall::OwnedWriteBatch;
use millrace_ledger::Timestamp;
use uuid::Uuid;

use super::{
    super::StateKind,
    Outbox, Row, Writer,
    tables::{due_key, id_key, joinable_key, open_key, state_key},
};
use crate::{SinkError, store::Place};

/// The right to write, and what is written by [`Change::commit`]. Dropped, it changes nothing.
pub(in super::super) struct Change<'a> {
    outbox: &'a Outbox,
    guard: MutexGuard<'a, Writer>,
    writer: Writer,
    pub(in super::super) batch: OwnedWriteBatch,
    /// Rows as this change leaves them.
    staged: HashMap<u64, Row, foldhash::fast::RandomState>,
    /// Identities that this change adds.
    identities: HashMap<Uuid, u64, foldhash::fast::RandomState>,
}

impl<'a> Change<'a> {
    pub(super) fn new(outbox: &'a Outbox, guard: MutexGuard<'a, Writer>) -> Self {
        Self {
            outbox,
            writer: guard.clone(),
            guard,
            batch: outbox.tables.store.batch(64),
            staged: HashMap::default(),
            identities: HashMap::default(),
        }
    }

    /// The sink's place in the feed.
    pub(in super::super) fn place(&self) -> Place {
        self.writer.place
    }

    pub(in super::super) fn set_place(&mut self, place: Place) {
        self.writer.place = place;
    }

    /// A row as this change leaves it so far.
    pub(in super::super) fn row(&self, id: u64) -> Result<Option<Row>, SinkError> {
        match self.staged.get(&id) {
            Some(row) => Ok(Some(row.clone())),
            None => self.outbox.row(id),
        }
    }

    /// Adds a notification. `None` when it is there already.
    pub(in super::super) fn add(&mut self, row: Row) -> Result<Option<u64>, SinkError> {
        let identity = row.identity();
        let tables = &self.outbox.tables;
        let known = self.identities.contains_key(&identity)
            || tables
                .identities
                .contains_key(identity.as_bytes())
                .map_err(tables.store.failed("look up a notification"))?;
        if known {
            return Ok(None);
        }
        let id = self.writer.next_id;
        self.writer.next_id += 1;
        self.identities.insert(identity, id);
        self.batch.insert(&tables.identities, *identity.as_bytes(), id.to_be_bytes());
        self.batch.insert(&tables.by_owner, id_key(row.owner.as_u128(), id), []);
        self.batch.insert(&tables.by_account, id_key(row.account.as_u128(), id), []);
        if let Some(payment) = row.payment {
            self.batch.insert(&tables.by_payment, id_key(payment.as_u128(), id), []);
        }
        self.index(id, &row);
        self.stage(id, row);
        Ok(Some(id))
    }

    /// Replaces a row.
    pub(in super::super) fn put(&mut self, id: u64, row: Row) -> Result<(), SinkError> {
        if let Some(before) = self.row(id)? {
            self.unindex(id, &before);
        }
        self.index(id, &row);
        self.stage(id, row);
        Ok(())
    }

    /// Removes a notification and all that leads to it.
    pub(in super::super) fn remove(&mut self, id: u64, row: &Row) {
        let tables = &self.outbox.tables;
        self.batch.remove(&tables.identities, *row.identity().as_bytes());
        self.batch.remove(&tables.by_owner, id_key(row.owner.as_u128(), id));
        self.batch.remove(&tables.by_account, id_key(row.account.as_u128(), id));
        if let Some(payment) = row.payment {
            self.batch.remove(&tables.by_payment, id_key(payment.as_u128(), id));
        }
        self.batch.remove(&tables.notifications, id.to_be_bytes());
        self.unindex(id, row);
    }

    fn stage(&mut self, id: u64, row: Row) {
        let value = serde_json::to_vec(&row).expect("text and numbers become JSON");
        self.batch.insert(&self.outbox.tables.notifications, id.to_be_bytes(), value);
        self.staged.insert(id, row);
    }

    /// Enters what depends on the row's state.
    fn index(&mut self, id: u64, row: &Row) {
        let tables = &self.outbox.tables;
        self.batch.insert(&tables.by_state, state_key(row.state.kind(), id), []);
        if row.state.kind() == StateKind::Dead {
            self.writer.dead[row.channel.index()] += 1;
        }
        if row.state.is_open() {
            self.batch.insert(&tables.open, open_key(row.channel, id), []);
            self.writer.open[row.channel.index()] += 1;
        }
        if row.is_queued() {
            self.batch.insert(&tables.due, due_key(row.channel, Timestamp(row.due_ns), id), []);
        }
        if row.can_be_bundled() {
            let key = joinable_key(row.channel, row.owner.as_u128(), id);
            self.batch.insert(&tables.joinable, key, []);
        }
    }

    /// Takes out what [`Change::index`] entered.
    fn unindex(&mut self, id: u64, row: &Row) {
        let tables = &self.outbox.tables;
        self.batch.remove(&tables.by_state, state_key(row.state.kind(), id));
        if row.state.kind() == StateKind::Dead {
            self.writer.dead[row.channel.index()] -= 1;
        }
        if row.state.is_open() {
            self.batch.remove(&tables.open, open_key(row.channel, id));
            self.writer.open[row.channel.index()] -= 1;
        }
        if row.is_queued() {
            self.batch.remove(&tables.due, due_key(row.channel, Timestamp(row.due_ns), id));
        }
        if row.can_be_bundled() {
            let key = joinable_key(row.channel, row.owner.as_u128(), id);
            self.batch.remove(&tables.joinable, key);
        }
    }

    /// Makes it all durable, at once.
    pub(in super::super) fn commit(self) -> Result<(), SinkError> {
        let Self { outbox, mut guard, writer, batch, .. } = self;
        outbox.tables.store.commit(batch, writer.place)?;
        *guard = writer;
        let latest = guard.next_id - 1;
        drop(guard);
        outbox.shared.latest.send_if_modified(|known| {
            let news = *known != latest;
            *known = latest;
            news
        });
        outbox.wake();
        Ok(())
    }
}
