//! An embedded store of one sink: opens it, and guarantees that rows and cursor are committed as one
//! batch, durably, and that a store of an earlier version is built anew.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable as _,
    Snapshot,
};
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{EventSeq, Timestamp};

use crate::{SinkError, graphql::row, line_file::sync_dir_of, runner::run_when_idle, sink::is_due};

const CURSOR: &str = "cursor";
const FORMAT_KEY: &str = "format";

/// What a store is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Version of the layout of the tables.
    pub(crate) format: u32,
    /// Names of the tables.
    pub(crate) tables: &'static [&'static str],
    /// Memory for blocks that were read, in MiB.
    pub(crate) cache_mib: u64,
    /// What an operator reads when the store is built anew.
    pub(crate) rebuilt: &'static str,
}

/// A store with its tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    path: PathBuf,
    database: Database,
    meta: Keyspace,
}

/// A place in the feed: the next event, and the time of the last one's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) next_seq: EventSeq,
    pub(crate) time: Timestamp,
}

impl Place {
    /// Hands over every event of a batch that is due here, and goes past it.
    pub(crate) fn pass(
        &mut self,
        sink: &'static str,
        batch: &FeedBatch,
        mut take: impl FnMut(&FeedEvent, Timestamp) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        for event in &batch.events {
            if is_due(sink, self.next_seq, event.event.seq())? {
                take(event, batch.time)?;
                *self = Self { next_seq: self.next_seq.next(), time: batch.time };
            }
        }
        Ok(())
    }
}

impl Store {
    /// Opens the store in `dir`, or creates it: where there is none, and in the place of one of an
    /// earlier version, which the journal fills again.
    pub(crate) fn open(dir: &Path, layout: Layout) -> Result<Self, SinkError> {
        let path = dir.join("store");
        let outdated = path.with_extension("old");
        remove_if_there(&outdated)?;
        if path.exists() {
            let store = Self::open_at(&path, layout)?;
            let (found, expected) = (store.format()?, layout.format);
            if found == expected {
                return Ok(store);
            }
            if found > expected {
                return Err(SinkError::StoreFormat { path, found, expected });
            }
            tracing::warn!(store = %path.display(), found, expected, "{}", layout.rebuilt);
            drop(store);
            // Half a removed store does not open, so it is out of the way before it is removed.
            fs::rename(&path, &outdated).map_err(SinkError::io("rename", &path))?;
            remove_if_there(&outdated)?;
        }
        Self::create(&path, layout)?;
        Self::open_at(&path, layout)
    }

    /// Creates the store beside its place and moves it there when it is whole. A store whose
    /// creation was cut short does not open again.
    fn create(path: &Path, layout: Layout) -> Result<(), SinkError> {
        let unfinished = path.with_extension("new");
        remove_if_there(&unfinished)?;
        let store = Self::open_at(&unfinished, layout)?;
        let mut batch = store.batch(1);
        batch.insert(&store.meta, FORMAT_KEY, layout.format.to_be_bytes());
        let batch = batch.durability(Some(PersistMode::SyncAll));
        batch.commit().map_err(store.failed("write its format"))?;
        drop(store);
        fs::rename(&unfinished, path).map_err(SinkError::io("rename", &unfinished))?;
        sync_dir_of(path)
    }

    /// The store's own threads inherit the priority of the thread that opens it.
    fn open_at(path: &Path, layout: Layout) -> Result<Self, SinkError> {
        let store = thread::scope(|scope| {
            let opening = scope.spawn(|| {
                run_when_idle();
                Self::open_database(path, layout)
            });
            opening.join().expect("opening the store does not panic")
        });
        store.map_err(|error| match error {
            fjall::Error::Locked => SinkError::InUse { path: path.to_owned() },
            source => {
                SinkError::Store { action: "open", path: path.to_owned(), source: Box::new(source) }
            }
        })
    }

    fn open_database(path: &Path, layout: Layout) -> fjall::Result<Self> {
        let database = Database::builder(path).cache_size(layout.cache_mib << 20).open()?;
        for name in layout.tables {
            database.keyspace(name, KeyspaceCreateOptions::default)?;
        }
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default)?;
        Ok(Self { path: path.to_owned(), database, meta })
    }

    /// A table of the layout.
    pub(crate) fn table(&self, name: &str) -> Result<Keyspace, SinkError> {
        let table = self.database.keyspace(name, KeyspaceCreateOptions::default);
        table.map_err(self.failed("open a table"))
    }

    fn format(&self) -> Result<u32, SinkError> {
        let format = self.meta.get(FORMAT_KEY).map_err(self.failed("read its format"))?;
        let bytes = format.as_deref().and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or_else(|| self.damaged("format"))
    }

    /// Where the tables stand.
    pub(crate) fn place(&self) -> Result<Place, SinkError> {
        let row = self.meta.get(CURSOR).map_err(self.failed("read its cursor"))?;
        let Some(row) = row else {
            return Ok(Place { next_seq: EventSeq::FIRST, time: Timestamp(0) });
        };
        let place = row.split_at_checked(8).and_then(|(next_seq, time)| {
            Some(Place {
                next_seq: EventSeq(row::position(next_seq).ok()?),
                time: Timestamp(row::position(time).ok()?),
            })
        });
        place.ok_or_else(|| self.damaged("cursor"))
    }

    pub(crate) fn batch(&self, capacity: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.database.clone(), capacity)
    }

    /// Commits rows and place together, durably.
    pub(crate) fn commit(&self, mut rows: OwnedWriteBatch, place: Place) -> Result<(), SinkError> {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&place.next_seq.0.to_be_bytes());
        value[8..].copy_from_slice(&place.time.0.to_be_bytes());
        rows.insert(&self.meta, CURSOR, value);
        rows.durability(Some(PersistMode::SyncData)).commit().map_err(self.failed("commit"))
    }

    /// What one query reads: all tables as of one commit.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
    ) -> impl FnOnce(fjall::Error) -> SinkError + use<> {
        let path = self.path.clone();
        move |source| SinkError::Store { action, path, source: Box::new(source) }
    }

    pub(crate) fn damaged(&self, row: &str) -> SinkError {
        SinkError::Damaged {
            path: self.path.clone(),
            place: format!("the row {row}"),
            problem: row::RowError.to_string(),
            remedy: "Move the directory away and start again: it is rebuilt from the journal",
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), SinkError> {
    match path.exists() {
        true => fs::remove_dir_all(path).map_err(SinkError::io("remove", path)),
        false => Ok(()),
    }
}

/// Reads one row of a snapshot.
pub(crate) fn get(
    snapshot: &Snapshot,
    table: &Keyspace,
    key: impl AsRef<[u8]>,
) -> fjall::Result<Option<fjall::Slice>> {
    snapshot.get(table, key)
}
