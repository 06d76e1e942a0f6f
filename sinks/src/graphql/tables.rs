//! The tables of the read model: opens them, and guarantees that rows and cursor are committed as
//! one batch, durably.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable as _,
    Snapshot,
};
use millrace_ledger::{EventSeq, Timestamp};

use super::row;
use crate::{SinkError, line_file::sync_dir_of, runner::run_when_idle};

/// Version of the layout of the tables.
const FORMAT: u32 = 2;
const CURSOR: &str = "cursor";
const FORMAT_KEY: &str = "format";

/// All tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tables {
    path: PathBuf,
    database: Database,
    pub(crate) payments: Keyspace,
    pub(crate) payment_ids: Keyspace,
    pub(crate) postings: Keyspace,
    pub(crate) accounts: Keyspace,
    pub(crate) balances: Keyspace,
    pub(crate) history: Keyspace,
    pub(crate) history_accounts: Keyspace,
    pub(crate) expiries: Keyspace,
    pub(crate) account_expiries: Keyspace,
    meta: Keyspace,
}

/// A place in the feed: the next event, and the time of the last one's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) next_seq: EventSeq,
    pub(crate) time: Timestamp,
}

impl Tables {
    /// Opens the tables in `dir`, or creates them: where there are none, and in the place of those
    /// of an earlier version, which the journal fills again.
    pub(crate) fn open(dir: &Path, cache_mib: u64) -> Result<Self, SinkError> {
        let path = dir.join("store");
        let outdated = path.with_extension("old");
        remove_if_there(&outdated)?;
        if path.exists() {
            let tables = Self::open_at(&path, cache_mib)?;
            let found = tables.format()?;
            if found == FORMAT {
                return Ok(tables);
            }
            if found > FORMAT {
                return Err(SinkError::StoreFormat { path, found, expected: FORMAT });
            }
            tracing::warn!(
                store = %path.display(),
                found,
                expected = FORMAT,
                "an earlier version wrote the read model: it is built anew from the journal, and \
                 queries see as much of it as is there (status.appliedSeq)"
            );
            drop(tables);
            // Half a removed store does not open, so it is out of the way before it is removed.
            fs::rename(&path, &outdated).map_err(SinkError::io("rename", &path))?;
            remove_if_there(&outdated)?;
        }
        Self::create(&path, cache_mib)?;
        Self::open_at(&path, cache_mib)
    }

    /// Creates the store beside its place and moves it there when it is whole. A store whose
    /// creation was cut short does not open again.
    fn create(path: &Path, cache_mib: u64) -> Result<(), SinkError> {
        let unfinished = path.with_extension("new");
        remove_if_there(&unfinished)?;
        let tables = Self::open_at(&unfinished, cache_mib)?;
        let mut batch = tables.batch(1);
        batch.insert(&tables.meta, FORMAT_KEY, FORMAT.to_be_bytes());
        let batch = batch.durability(Some(PersistMode::SyncAll));
        batch.commit().map_err(tables.failed("write its format"))?;
        drop(tables);
        fs::rename(&unfinished, path).map_err(SinkError::io("rename", &unfinished))?;
        sync_dir_of(path)
    }

    /// The store's own threads inherit the priority of the thread that opens it.
    fn open_at(path: &Path, cache_mib: u64) -> Result<Self, SinkError> {
        let tables = thread::scope(|scope| {
            let opening = scope.spawn(|| {
                run_when_idle();
                Self::open_database(path, cache_mib)
            });
            opening.join().expect("opening the store does not panic")
        });
        tables.map_err(|error| match error {
            fjall::Error::Locked => SinkError::InUse { path: path.to_owned() },
            source => {
                SinkError::Store { action: "open", path: path.to_owned(), source: Box::new(source) }
            }
        })
    }

    fn open_database(path: &Path, cache_mib: u64) -> fjall::Result<Self> {
        let database = Database::builder(path).cache_size(cache_mib << 20).open()?;
        let table = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            path: path.to_owned(),
            payments: table("payments")?,
            payment_ids: table("payment_ids")?,
            postings: table("postings")?,
            accounts: table("accounts")?,
            balances: table("balances")?,
            history: table("history")?,
            history_accounts: table("history_accounts")?,
            expiries: table("expiries")?,
            account_expiries: table("account_expiries")?,
            meta: table("meta")?,
            database,
        })
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

    /// The accounts whose history is kept.
    pub(crate) fn history_accounts(&self) -> Result<Vec<u128>, SinkError> {
        let keys = self.history_accounts.iter().map(|row| row.key());
        keys.map(|key| {
            let key = key.map_err(self.failed("read which accounts keep their history"))?;
            let id = key.as_ref().try_into().map(u128::from_be_bytes);
            id.map_err(|_| self.damaged("history_accounts"))
        })
        .collect()
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

/// Key of a row of one of the tables that list by account: `postings`, `history`,
/// `account_expiries`.
pub(crate) fn account_key(account: u128, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&account.to_be_bytes());
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
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
