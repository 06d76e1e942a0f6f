//! The channels: each consumes a message, hands it to a provider, and says whether the provider took
//! it, refused it for good, or may take it later.

mod email;
mod file;
mod http;
mod provider;
mod secret;
pub(super) mod signature;
mod webhook;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use millrace_ledger::Timestamp;

use super::{
    Channel, EventKind, NotifyConfig, Role,
    outbox::{Details, Row},
};
use crate::{SinkError, text::rfc3339};

pub(super) use secret::Secret;

/// A message, ready to be handed to a provider.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// The notification that leads it.
    pub(super) id: u64,
    /// The same for every attempt, so that receivers can drop repeats.
    pub(super) key: String,
    pub(super) channel: Channel,
    /// Where it goes.
    pub(super) to: String,
    /// How the receiver is addressed; may be empty.
    pub(super) name: String,
    pub(super) locale: String,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: Option<String>,
    /// What it tells of, for programs: one, or those of a digest.
    pub(super) items: Vec<Item>,
}

impl Envelope {
    /// The trace of what it tells of; `None` where that is of several, or not all of it of one.
    fn traceparent(&self) -> Option<&str> {
        let first = self.items.first()?.traceparent.as_deref()?;
        let all = self.items.iter().all(|item| item.traceparent.as_deref() == Some(first));
        all.then_some(first)
    }
}

/// One notification of a message.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) seq: u64,
    pub(super) kind: EventKind,
    role: Role,
    owner: String,
    account: String,
    payment: Option<String>,
    traceparent: Option<String>,
    time: String,
    details: Details,
}

impl Item {
    pub(super) fn new(id: u64, row: &Row) -> Self {
        Self {
            id,
            seq: row.seq,
            kind: row.kind,
            role: row.role,
            owner: row.owner.to_string(),
            account: row.account.to_string(),
            payment: row.payment.map(|payment| payment.to_string()),
            traceparent: row.traceparent.clone(),
            time: rfc3339(Timestamp(row.created_ns)),
            details: row.details.clone(),
        }
    }

    /// As programs read it.
    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id.to_string(),
            "kind": self.kind.name(),
            "event": self.seq.to_string(),
            "time": self.time,
            "role": self.role.name(),
            "owner": self.owner,
            "account": self.account,
            "payment": self.payment,
            "traceparent": self.traceparent,
            "details": self.details,
        })
    }
}

/// A provider took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It will deliver it.
    Sent,
    /// It is where it was to go.
    Delivered,
}

/// A provider did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// What was tried and what was said, without secrets.
    pub(super) text: String,
    pub(super) class: Class,
}

/// What a refusal means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The provider is away or unwell.
    Transient {
        /// It says when to come again.
        after: Option<Duration>,
    },
    /// It is well, and asks for fewer messages.
    Throttled {
        /// It says when to come again.
        after: Option<Duration>,
    },
    /// It will never take this message.
    Permanent,
}

impl Refused {
    fn transient(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: Class::Transient { after: None } }
    }

    fn permanent(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: Class::Permanent }
    }
}

pub(super) type Delivering = BoxFuture<'static, Result<Accepted, Refused>>;

/// What takes the messages of a channel.
pub(super) trait Provider: Send + Sync {
    /// Hands over a message. Ends by itself: no provider is waited for without end.
    fn deliver(&self, envelope: Arc<Envelope>, now: Timestamp) -> Delivering;

    /// What fails together with this address: the provider, or the address's host.
    fn circuit(&self, _to: &str) -> String {
        String::new()
    }

    /// Whether every message of the channel goes through one circuit.
    fn has_one_circuit(&self) -> bool {
        true
    }
}

/// The channels that are on.
#[derive(Clone, Default)]
pub(super) struct Providers {
    providers: BTreeMap<Channel, Arc<dyn Provider>>,
}

impl Providers {
    /// Checks settings and secrets, and makes ready what sends.
    pub(super) fn open(config: &NotifyConfig, dir: &Path) -> Result<Self, SinkError> {
        let mut providers = Self::default();
        if config.email.enabled {
            providers.set(Channel::Email, Arc::new(email::Email::open(&config.email)?));
        }
        if config.webhook.enabled {
            providers.set(Channel::Webhook, Arc::new(webhook::Webhook::open(&config.webhook)?));
        }
        for (channel, provider) in [(Channel::Sms, &config.sms), (Channel::Push, &config.push)] {
            if provider.enabled {
                let opened = provider::HttpProvider::open(channel, provider)?;
                providers.set(channel, Arc::new(opened));
            }
        }
        if config.file.enabled {
            providers.set(Channel::File, Arc::new(file::Lines::open(&config.file, dir)?));
        }
        Ok(providers)
    }

    pub(super) fn set(&mut self, channel: Channel, provider: Arc<dyn Provider>) {
        self.providers.insert(channel, provider);
    }

    pub(super) fn get(&self, channel: Channel) -> Option<&Arc<dyn Provider>> {
        self.providers.get(&channel)
    }

    /// Whether messages can go by this channel.
    pub(super) fn is_on(&self, channel: Channel) -> bool {
        channel == Channel::InApp || self.providers.contains_key(&channel)
    }
}

fn wrong(setting: impl Into<String>, problem: impl Into<String>) -> SinkError {
    SinkError::Setting { setting: setting.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(traces: &[Option<&str>]) -> Envelope {
        let item = |trace: &Option<&str>| Item {
            id: 1,
            seq: 1,
            kind: EventKind::Settled,
            role: Role::Payer,
            owner: String::new(),
            account: String::new(),
            payment: None,
            traceparent: trace.map(str::to_owned),
            time: String::new(),
            details: Details::default(),
        };
        Envelope {
            id: 1,
            key: String::new(),
            channel: Channel::Webhook,
            to: String::new(),
            name: String::new(),
            locale: String::new(),
            subject: String::new(),
            text: String::new(),
            html: None,
            items: traces.iter().map(item).collect(),
        }
    }

    #[test]
    fn a_message_is_of_a_trace_when_all_of_it_is() {
        for (traces, trace) in [
            (&[][..], None),
            (&[None], None),
            (&[Some("a")], Some("a")),
            (&[Some("a"), Some("a")], Some("a")),
            (&[Some("a"), Some("b")], None),
            (&[Some("a"), None], None),
            (&[None, Some("a")], None),
        ] {
            assert_eq!(envelope(traces).traceparent(), trace, "{traces:?}");
        }
    }
}
