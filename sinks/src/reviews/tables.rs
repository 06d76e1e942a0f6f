//! The tables of the review desk.

use std::path::Path;

use fjall::Keyspace;
use millrace_risk::desk::ReviewKind;

use crate::{
    SinkError,
    store::{Layout, Store},
};

/// Version of the layout of the tables.
const FORMAT: u32 = 1;
/// Memory for blocks that were read, in MiB: analysts look at few rows.
const CACHE_MIB: u64 = 8;

/// All tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) store: Store,
    pub(crate) decisions: Keyspace,
    pub(crate) standings: Keyspace,
    pub(crate) open: Keyspace,
    pub(crate) reports: Keyspace,
    pub(crate) policies: Keyspace,
}

impl Tables {
    /// Opens the tables in `dir`, or creates them.
    pub(crate) fn open(dir: &Path) -> Result<Self, SinkError> {
        let store = Store::open(
            dir,
            Layout {
                format: FORMAT,
                tables: &["decisions", "standings", "open", "reports", "policies"],
                cache_mib: CACHE_MIB,
                rebuilt: "an earlier version wrote the review desk: it is built anew from the \
                          journal, and analysts can change nothing until it has caught up",
            },
        )?;
        Ok(Self {
            decisions: store.table("decisions")?,
            standings: store.table("standings")?,
            open: store.table("open")?,
            reports: store.table("reports")?,
            policies: store.table("policies")?,
            store,
        })
    }
}

/// Key of a row of table `open`.
pub(crate) fn open_key(kind: ReviewKind, seq: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = kind as u8;
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}
