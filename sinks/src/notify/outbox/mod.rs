//! The outbox: consumes rows from the sink and results from the dispatcher, and guarantees that
//! each change is one durable commit, with the sink's place in the feed.
//!
//! There is one writer at a time: whoever holds a [`Change`]. Readers wait for nobody.

mod change;
mod row;
pub(super) mod tables;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fjall::{Readable as _, Snapshot};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::Channel;
use crate::{SinkError, store::Place};

pub(super) use change::Change;
pub(super) use row::{Details, Row};
pub(super) use tables::Tables;

/// The outbox, from any thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outbox {
    pub(super) tables: Tables,
    shared: Arc<Shared>,
}

struct Shared {
    writer: Mutex<Writer>,
    /// Number of the last notification.
    latest: watch::Sender<u64>,
    /// Something may be due.
    work: Notify,
}

/// What one writer after the other goes on from.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) place: Place,
    pub(super) next_id: u64,
    /// Notifications that are still to be delivered, by channel.
    pub(super) open: [u64; Channel::ALL.len()],
    /// Dead letters, by channel.
    pub(super) dead: [u64; Channel::ALL.len()],
}

impl Outbox {
    pub(super) fn open(dir: &Path) -> Result<Self, SinkError> {
        let tables = Tables::open(dir)?;
        let place = tables.store.place()?;
        let last = tables.notifications.last_key_value();
        let last = last.map(|guard| guard.key()).transpose();
        let last = last.map_err(tables.store.failed("read its last notification"))?;
        let last_id = last.as_deref().and_then(tables::last_id).unwrap_or(0);
        let mut writer = Writer { place, next_id: last_id + 1, open: [0; 6], dead: [0; 6] };
        count_open(&tables, &mut writer)?;
        let (latest, _) = watch::channel(last_id);
        let shared = Shared { writer: Mutex::new(writer), latest, work: Notify::new() };
        let outbox = Self { tables, shared: Arc::new(shared) };
        outbox.count_dead()?;
        Ok(outbox)
    }

    /// The right to write, alone.
    pub(super) fn change(&self) -> Change<'_> {
        Change::new(self, self.writer())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // What a writer that panicked had not committed is not in the writer either.
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts and place, as of the last commit.
    pub(super) fn standing(&self) -> Writer {
        self.writer().clone()
    }

    pub(super) fn latest_id(&self) -> u64 {
        *self.shared.latest.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.latest.subscribe()
    }

    /// Waits until there may be something to send.
    pub(super) async fn work(&self) {
        self.shared.work.notified().await;
    }

    /// Lets the dispatcher look.
    pub(super) fn wake(&self) {
        self.shared.work.notify_one();
    }

    /// One row, as of the last commit.
    pub(super) fn row(&self, id: u64) -> Result<Option<Row>, SinkError> {
        let stored = self.tables.notifications.get(id.to_be_bytes());
        self.decode(id, stored)
    }

    /// One row, as of a snapshot.
    pub(super) fn row_in(&self, snapshot: &Snapshot, id: u64) -> Result<Option<Row>, SinkError> {
        self.decode(id, snapshot.get(&self.tables.notifications, id.to_be_bytes()))
    }

    /// The notification with this identity.
    pub(super) fn id_of(&self, identity: Uuid) -> Result<Option<u64>, SinkError> {
        let found = self.tables.identities.get(identity.as_bytes());
        let found = found.map_err(self.tables.store.failed("look up a notification"))?;
        Ok(found.as_deref().and_then(tables::last_id))
    }

    /// Tells readers and the dispatcher of a commit.
    fn committed(&self, latest: u64) {
        self.shared.latest.send_if_modified(|known| {
            let news = *known != latest;
            *known = latest;
            news
        });
        self.wake();
    }

    fn decode(
        &self,
        id: u64,
        stored: fjall::Result<Option<fjall::Slice>>,
    ) -> Result<Option<Row>, SinkError> {
        let store = &self.tables.store;
        let stored = stored.map_err(store.failed("read a notification"))?;
        let row = stored.map(|stored| serde_json::from_slice(&stored)).transpose();
        row.map_err(|_| store.damaged(&format!("{id} of notifications")))
    }

    fn count_dead(&self) -> Result<(), SinkError> {
        let dead = super::StateKind::Dead as u8;
        let snapshot = self.tables.store.snapshot();
        for guard in snapshot.prefix(&self.tables.by_state, [dead]) {
            let key = guard.key().map_err(self.tables.store.failed("count dead letters"))?;
            let Some(id) = tables::last_id(&key) else { continue };
            if let Some(row) = self.row_in(&snapshot, id)? {
                self.writer().dead[row.channel.index()] += 1;
            }
        }
        Ok(())
    }
}

fn count_open(tables: &Tables, writer: &mut Writer) -> Result<(), SinkError> {
    for channel in Channel::ALL {
        let keys = tables.open.prefix([channel as u8]);
        for guard in keys {
            guard.key().map_err(tables.store.failed("count what is to be delivered"))?;
            writer.open[channel.index()] += 1;
        }
    }
    Ok(())
}
