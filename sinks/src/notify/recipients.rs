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
        let Some(path) = &self.path else { return Ok(()) };
        let looks = fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len())));
        let looks = looks.map_err(SinkError::io("read", path));
        let seen = self.shared.read().unwrap_or_else(PoisonError::into_inner).seen;
        if looks.as_ref().ok() == seen.as_ref() && seen.is_some() {
            return Ok(());
        }
        let read = looks.and_then(|looks| Ok((read(path)?, looks)));
        let mut loaded = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok((owners, looks)) => {
                *loaded = Loaded { owners: Arc::new(owners), seen: Some(looks) };
                self.forget();
                Ok(())
            }
            Err(error) => {
                let found =
                    fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len())));
                let known = loaded.seen.replace(found.unwrap_or((SystemTime::UNIX_EPOCH, 0)));
                // Said once per state of the file.
                if known == loaded.seen { Ok(()) } else { Err(error) }
            }
        }
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
