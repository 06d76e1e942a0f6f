//! What is known of an owner, from the directory, from the owner, and from the configuration:
//! consumes owner ids, produces language, zone, addresses and wishes, remembered until one of them
//! changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::tz::TimeZone;
use millrace_ledger::{Amount, Currency, LedgerId};

use super::{
    Channel, NotifyConfig, Preferences, Threshold,
    outbox::Outbox,
    preferences::{is_locale, time_zone},
    recipients::{Recipient, Recipients},
};
use crate::SinkError;

/// Owners that are remembered at one time.
const REMEMBERED_MAX: usize = 65_536;

/// What is known of an owner.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) recipient: Recipient,
    pub(super) preferences: Preferences,
    pub(super) locale: String,
    pub(super) time_zone: TimeZone,
    pub(super) digest_s: u32,
}

/// All owners, from any thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct Owners {
    pub(super) recipients: Recipients,
    outbox: Outbox,
    defaults: Arc<Defaults>,
    known: Arc<Mutex<Known>>,
}

struct Defaults {
    locale: String,
    time_zone: TimeZone,
    digest_s: u32,
    low_balance: Vec<Threshold>,
}

#[derive(Default)]
struct Known {
    version: u64,
    owners: HashMap<u128, Arc<Owner>, foldhash::fast::RandomState>,
}

impl Owners {
    pub(super) fn open(config: &NotifyConfig, outbox: &Outbox) -> Result<Self, SinkError> {
        let wrong = |setting: &str, problem: String| SinkError::Setting {
            setting: format!("notify.{setting}"),
            problem,
        };
        if !is_locale(&config.locale) {
            let problem = format!("{:?} is not a locale, such as \"en\"", config.locale);
            return Err(wrong("locale", problem));
        }
        let time_zone =
            time_zone(&config.time_zone).map_err(|error| wrong("time_zone", error.to_string()))?;
        let mut low_balance = Vec::new();
        for entry in &config.low_balance {
            let currency = Currency::of_code(&entry.currency).ok_or_else(|| {
                let problem = format!("currency {:?} is not in ISO 4217", entry.currency);
                wrong("low_balance", problem)
            })?;
            let minor = currency.parse(&entry.below).map_err(|error| {
                wrong("low_balance", format!("below {:?} {error}", entry.below))
            })?;
            low_balance.push(Threshold { ledger: currency.ledger.0, minor: minor.0 });
        }
        let path = Some(config.owners.as_path()).filter(|path| !path.as_os_str().is_empty());
        Ok(Self {
            recipients: Recipients::open(path)?,
            outbox: outbox.clone(),
            defaults: Arc::new(Defaults {
                locale: config.locale.clone(),
                time_zone,
                digest_s: config.delivery.digest_s,
                low_balance,
            }),
            known: Arc::default(),
        })
    }

    /// What is known of the owner now.
    pub(super) fn get(&self, owner: u128) -> Result<Arc<Owner>, SinkError> {
        let version = self.recipients.version();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version != version || known.owners.len() >= REMEMBERED_MAX {
            *known = Known { version, owners: HashMap::default() };
        }
        if let Some(owner) = known.owners.get(&owner) {
            return Ok(Arc::clone(owner));
        }
        let read = Arc::new(self.read(owner)?);
        known.owners.insert(owner, Arc::clone(&read));
        Ok(read)
    }

    fn read(&self, owner: u128) -> Result<Owner, SinkError> {
        let preferences = self.recipients.preferences(&self.outbox, owner)?;
        let recipient = self.recipients.get(owner).unwrap_or_default();
        let named = preferences.time_zone.as_ref().or(recipient.time_zone.as_ref());
        let zone = named.and_then(|name| time_zone(name).ok());
        let locale = preferences.locale.as_ref().or(recipient.locale.as_ref());
        Ok(Owner {
            locale: locale.unwrap_or(&self.defaults.locale).clone(),
            time_zone: zone.unwrap_or_else(|| self.defaults.time_zone.clone()),
            digest_s: preferences.digest_s.unwrap_or(self.defaults.digest_s),
            preferences,
            recipient,
        })
    }

    /// Below which amount the owner's balance is low.
    pub(super) fn low_balance(&self, owner: &Owner, ledger: LedgerId) -> Option<Amount> {
        let own = &owner.preferences.low_balance;
        Threshold::of(if own.is_empty() { &self.defaults.low_balance } else { own }, ledger)
    }
}

impl Owner {
    /// Where the owner is reached by this channel now.
    pub(super) fn address(&self, channel: Channel) -> Option<&str> {
        self.recipient.address(channel)
    }
}
