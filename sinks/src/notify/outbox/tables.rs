//! The tables of the outbox, and their keys. Numbers are big-endian, so that they sort.

use std::path::Path;

use fjall::Keyspace;
use millrace_ledger::Timestamp;

use super::super::{Channel, StateKind};
use crate::{
    SinkError,
    store::{Layout, Store},
};

/// Version of the layout of the tables.
const FORMAT: u32 = 1;
/// Memory for blocks that were read, in MiB.
const CACHE_MIB: u64 = 16;

/// All tables. Cheap to clone.
#[derive(Clone)]
pub(in super::super) struct Tables {
    pub(in super::super) store: Store,
    pub(in super::super) notifications: Keyspace,
    pub(in super::super) identities: Keyspace,
    pub(in super::super) by_owner: Keyspace,
    pub(in super::super) by_account: Keyspace,
    pub(in super::super) by_payment: Keyspace,
    pub(in super::super) by_state: Keyspace,
    /// Still to be delivered, by channel.
    pub(in super::super) open: Keyspace,
    /// What the dispatcher is to look at, by channel and time.
    pub(in super::super) due: Keyspace,
    /// What can still become part of a digest, by channel and owner.
    pub(in super::super) joinable: Keyspace,
    pub(in super::super) preferences: Keyspace,
    pub(in super::super) holders: Keyspace,
    pub(in super::super) holds: Keyspace,
    /// Holds by the time at which their end is near.
    pub(in super::super) ending: Keyspace,
}

impl Tables {
    /// Opens the tables in `dir`, or creates them.
    pub(in super::super) fn open(dir: &Path) -> Result<Self, SinkError> {
        let store = Store::open(
            dir,
            Layout {
                format: FORMAT,
                tables: &[
                    "notifications",
                    "identities",
                    "by_owner",
                    "by_account",
                    "by_payment",
                    "by_state",
                    "open",
                    "due",
                    "joinable",
                    "preferences",
                    "holders",
                    "holds",
                    "ending",
                ],
                cache_mib: CACHE_MIB,
                rebuilt: "an earlier version wrote the notifications: they are built anew from \
                          the journal; what is old is not sent again, and what owners had set \
                          themselves is gone",
            },
        )?;
        Ok(Self {
            notifications: store.table("notifications")?,
            identities: store.table("identities")?,
            by_owner: store.table("by_owner")?,
            by_account: store.table("by_account")?,
            by_payment: store.table("by_payment")?,
            by_state: store.table("by_state")?,
            open: store.table("open")?,
            due: store.table("due")?,
            joinable: store.table("joinable")?,
            preferences: store.table("preferences")?,
            holders: store.table("holders")?,
            holds: store.table("holds")?,
            ending: store.table("ending")?,
            store,
        })
    }
}

/// Key of an index by a 128-bit id: the id, then the notification.
pub(in super::super) fn id_key(id: u128, notification: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&id.to_be_bytes());
    key[16..].copy_from_slice(&notification.to_be_bytes());
    key
}

/// Key of tables `by_state` and `open`: a small number, then the notification.
pub(in super::super) fn byte_key(first: u8, notification: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = first;
    key[1..].copy_from_slice(&notification.to_be_bytes());
    key
}

pub(in super::super) fn state_key(state: StateKind, notification: u64) -> [u8; 9] {
    byte_key(state as u8, notification)
}

pub(in super::super) fn open_key(channel: Channel, notification: u64) -> [u8; 9] {
    byte_key(channel as u8, notification)
}

/// Key of table `due`.
pub(in super::super) fn due_key(channel: Channel, due: Timestamp, notification: u64) -> [u8; 17] {
    let mut key = [0; 17];
    key[0] = channel as u8;
    key[1..9].copy_from_slice(&due.0.to_be_bytes());
    key[9..].copy_from_slice(&notification.to_be_bytes());
    key
}

/// Key of table `joinable`.
pub(in super::super) fn joinable_key(channel: Channel, owner: u128, notification: u64) -> [u8; 25] {
    let mut key = [0; 25];
    key[0] = channel as u8;
    key[1..].copy_from_slice(&id_key(owner, notification));
    key
}

/// What the keys of one owner's rows of table `joinable` begin with.
pub(in super::super) fn joinable_prefix(channel: Channel, owner: u128) -> [u8; 17] {
    let mut prefix = [0; 17];
    prefix[0] = channel as u8;
    prefix[1..].copy_from_slice(&owner.to_be_bytes());
    prefix
}

/// Key of table `ending`.
pub(in super::super) fn ending_key(near: Timestamp, payment: u128) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&near.0.to_be_bytes());
    key[8..].copy_from_slice(&payment.to_be_bytes());
    key
}

/// The notification that a key of an index ends with.
pub(in super::super) fn last_id(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The payment of a key of table `ending`.
pub(in super::super) fn id_of_ending(key: &[u8]) -> Option<u128> {
    key.last_chunk().map(|bytes| u128::from_be_bytes(*bytes))
}

/// The time of a key of table `due`.
pub(in super::super) fn due_of(key: &[u8]) -> Option<Timestamp> {
    let time = key.get(1..9)?.try_into().ok()?;
    Some(Timestamp(u64::from_be_bytes(time)))
}
