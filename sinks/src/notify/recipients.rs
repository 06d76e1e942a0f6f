//! The directory of owners: consumes a JSON file, produces addresses and preferences. Guarantees
//! that a file which can't be used, once the server runs, leaves the one before it in force.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use serde::Deserialize;
use uuid::Uuid;

use super::{Channel, Preferences, outbox::Outbox};
use crate::SinkError;

/// How to reach an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Recipient {
    /// How the owner is addressed.
    pub(super) name: String,
    pub(super) locale: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) webhook: Option<String>,
    pub(super) push_token: Option<String>,
    /// Until the owner sets others.
    pub(super) preferences: Preferences,
}

impl Recipient {
    /// Where the owner is reached by this channel.
    pub(super) fn address(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::InApp | Channel::File => Some(""),
            Channel::Email => self.email.as_deref(),
            Channel::Webhook => self.webhook.as_deref(),
            Channel::Sms => self.phone.as_deref(),
            Channel::Push => self.push_token.as_deref(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    owners: HashMap<Uuid, Recipient>,
}

/// The owners, from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Recipients {
    /// `None` where no directory is configured.
    path: Option<PathBuf>,
    shared: Arc<RwLock<Loaded>>,
    /// Grows when an entry or a preference changes.
    version: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Loaded {
    owners: Arc<HashMap<Uuid, Recipient>>,
    /// What the file looked like when it was read.
    seen: Option<(SystemTime, u64)>,
}

impl Recipients {
    /// Reads the directory.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, SinkError> {
        let recipients = Self {
            path: path.map(Path::to_owned),
            shared: Arc::new(RwLock::new(Loaded::default())),
            version: Arc::default(),
        };
        recipients.load()?;
        Ok(recipients)
    }

    /// Reads the file again if it changed. A file that can't be used is logged, once.
    pub(super) fn refresh(&self) {
        if let Err(error) = self.load() {
            tracing::error!(%error, "the directory of owners stays as it was");
        }
    }

    fn load(&self) -> Result<(), SinkError> {
        self.load_with(read)
    }

    fn load_with(
        &self,
        read: impl FnOnce(&Path) -> Result<HashMap<Uuid, Recipient>, SinkError>,
    ) -> Result<(), SinkError> {
        let Some(path) = &self.path else { return Ok(()) };
        let looks = fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len())));
        let looks = looks.map_err(SinkError::io("read", path));
        // As it was before it is read: what is written to it meanwhile is a change.
        let now = looks.as_ref().map_or((SystemTime::UNIX_EPOCH, 0), |looks| *looks);
        let seen = self.shared.read().unwrap_or_else(PoisonError::into_inner).seen;
        // Each state of the file is read, and said to be unusable, once.
        if seen == Some(now) {
            return Ok(());
        }
        let owners = looks.and_then(|_| read(path));
        let mut loaded = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        loaded.seen = Some(now);
        loaded.owners = Arc::new(owners?);
        self.forget();
        Ok(())
    }

    /// What anybody remembers of an owner no longer holds.
    pub(super) fn forget(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The owner's entry.
    pub(super) fn get(&self, owner: u128) -> Option<Recipient> {
        let loaded = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        loaded.owners.get(&Uuid::from_u128(owner)).cloned()
    }

    /// What the owner has set, or what the directory says.
    pub(super) fn preferences(
        &self,
        outbox: &Outbox,
        owner: u128,
    ) -> Result<Preferences, SinkError> {
        let store = &outbox.tables.store;
        let stored = outbox.tables.preferences.get(owner.to_be_bytes());
        let stored = stored.map_err(store.failed("read preferences"))?;
        match stored {
            Some(stored) => serde_json::from_slice(&stored)
                .map_err(|_| store.damaged(&format!("preferences of {owner:x}"))),
            None => Ok(self.get(owner).unwrap_or_default().preferences),
        }
    }
}

fn read(path: &Path) -> Result<HashMap<Uuid, Recipient>, SinkError> {
    let text = fs::read(path).map_err(SinkError::io("read", path))?;
    let damaged = |place: String, problem: String| SinkError::Damaged {
        path: path.to_owned(),
        place,
        problem,
        remedy: "Put it right; it is read again when it changes",
    };
    let file: File = serde_json::from_slice(&text).map_err(|error| {
        damaged(format!("line {}, column {}", error.line(), error.column()), error.to_string())
    })?;
    for (owner, recipient) in &file.owners {
        if let Err(problem) = check(recipient) {
            return Err(damaged(format!("owner {owner}"), problem));
        }
    }
    Ok(file.owners)
}

fn check(recipient: &Recipient) -> Result<(), String> {
    let as_preferences = Preferences {
        locale: recipient.locale.clone(),
        time_zone: recipient.time_zone.clone(),
        ..Preferences::default()
    };
    as_preferences.check().map_err(|error| error.to_string())?;
    recipient.preferences.check().map_err(|error| error.to_string())?;
    if let Some(email) = &recipient.email {
        email.parse::<lettre::Address>().map_err(|error| format!("email {email:?}: {error}"))?;
    }
    if let Some(webhook) = &recipient.webhook {
        let url = reqwest::Url::parse(webhook).map_err(|error| format!("webhook: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("webhook {webhook:?} is no http or https address"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"owners":{"00000000-0000-0000-0000-000000000001":{"name":"Jana"}}}"#;

    fn open(path: &Path, text: &str) -> Recipients {
        fs::write(path, text).expect("written");
        Recipients::open(Some(path)).expect("opens")
    }

    /// Editors and deployments do not write in one step.
    #[test]
    fn a_file_that_is_read_while_it_is_written_is_read_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("owners.json");
        let recipients = open(&path, r#"{"owners":{}}"#);
        fs::write(&path, &WHOLE[..20]).expect("written");
        let error = recipients.load_with(|path| {
            let half = read(path);
            fs::write(path, WHOLE).expect("written");
            half
        });
        assert!(error.expect_err("is not whole").to_string().contains("line 1, column 20"));
        recipients.refresh();
        assert_eq!(recipients.get(1).expect("is there").name, "Jana");
    }

    #[test]
    fn a_file_that_can_not_be_used_is_said_once_and_changes_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("owners.json");
        let recipients = open(&path, WHOLE);
        fs::write(&path, "{").expect("written");
        recipients.load().expect_err("is not whole");
        recipients.load().expect("said before");
        fs::remove_file(&path).expect("removed");
        recipients.load().expect_err("is gone");
        recipients.load().expect("said before");
        assert_eq!(recipients.get(1).expect("is there").name, "Jana");
        fs::write(&path, r#"{"owners":{}}"#).expect("written");
        recipients.load().expect("is whole");
        assert_eq!(recipients.get(1), None);
    }
}
