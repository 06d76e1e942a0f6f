//! The tables of the read model.

use std::path::Path;

use fjall::{Keyspace, OwnedWriteBatch, Snapshot};

use crate::{
    SinkError,
    store::{Layout, Place, Store},
};

/// Version of the layout of the tables.
const FORMAT: u32 = 3;

const NAMES: &[&str] = &[
    "payments",
    "payment_ids",
    "postings",
    "lists",
    "references",
    "follow_ups",
    "open_holds",
    "accounts",
    "balances",
    "history",
    "history_accounts",
    "expiries",
    "account_expiries",
    "totals",
    "times",
];

/// All tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tables {
    store: Store,
    pub(crate) payments: Keyspace,
    pub(crate) payment_ids: Keyspace,
    pub(crate) postings: Keyspace,
    pub(crate) lists: Keyspace,
    pub(crate) references: Keyspace,
    pub(crate) follow_ups: Keyspace,
    pub(crate) open_holds: Keyspace,
    pub(crate) accounts: Keyspace,
    pub(crate) balances: Keyspace,
    pub(crate) history: Keyspace,
    pub(crate) history_accounts: Keyspace,
    pub(crate) expiries: Keyspace,
    pub(crate) account_expiries: Keyspace,
    pub(crate) totals: Keyspace,
    pub(crate) times: Keyspace,
}

impl Tables {
    /// Opens the tables in `dir`, or creates them.
    pub(crate) fn open(dir: &Path, cache_mib: u64) -> Result<Self, SinkError> {
        let store = Store::open(
            dir,
            Layout {
                format: FORMAT,
                tables: NAMES,
                cache_mib,
                rebuilt: "an earlier version wrote the read model: it is built anew from the \
                          journal, and queries see as much of it as is there (status.appliedSeq)",
            },
        )?;
        Ok(Self {
            payments: store.table("payments")?,
            payment_ids: store.table("payment_ids")?,
            postings: store.table("postings")?,
            lists: store.table("lists")?,
            references: store.table("references")?,
            follow_ups: store.table("follow_ups")?,
            open_holds: store.table("open_holds")?,
            accounts: store.table("accounts")?,
            balances: store.table("balances")?,
            history: store.table("history")?,
            history_accounts: store.table("history_accounts")?,
            expiries: store.table("expiries")?,
            account_expiries: store.table("account_expiries")?,
            totals: store.table("totals")?,
            times: store.table("times")?,
            store,
        })
    }

    /// Where the tables stand.
    pub(crate) fn place(&self) -> Result<Place, SinkError> {
        self.store.place()
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
        self.store.batch(capacity)
    }

    /// Commits rows and place together, durably.
    pub(crate) fn commit(&self, rows: OwnedWriteBatch, place: Place) -> Result<(), SinkError> {
        self.store.commit(rows, place)
    }

    /// What one query reads: all tables as of one commit.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
    ) -> impl FnOnce(fjall::Error) -> SinkError + use<> {
        self.store.failed(action)
    }

    pub(crate) fn damaged(&self, row: &str) -> SinkError {
        self.store.damaged(row)
    }
}
