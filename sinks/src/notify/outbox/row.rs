//! A row of the outbox: what is to be told, whom, how, and what became of it. JSON, because there
//! are few of them beside the payments, and people look at them.

use millrace_ledger::{AccountId, EventSeq, PaymentId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{Channel, DeliveryState, EventKind, Notification, Role};

/// Namespace of idempotency keys.
const KEYS: Uuid = Uuid::from_u128(0x6d69_6c6c_7261_6365_8e6f_7469_6679_0001);

/// One message to one owner by one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Row {
    pub(in super::super) seq: u64,
    pub(in super::super) kind: EventKind,
    pub(in super::super) role: Role,
    pub(in super::super) owner: Uuid,
    pub(in super::super) account: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) payment: Option<Uuid>,
    /// The trace in which the payment was made, where its caller said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) traceparent: Option<String>,
    pub(in super::super) channel: Channel,
    pub(in super::super) recipient: String,
    pub(in super::super) locale: String,
    pub(in super::super) subject: String,
    pub(in super::super) body: String,
    /// For channels that show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) html: Option<String>,
    /// What programs that receive it read instead of the text.
    pub(in super::super) details: Details,
    /// Seconds over which it is collected with others; 0 for none.
    #[serde(default)]
    pub(in super::super) digest_s: u32,
    pub(in super::super) created_ns: u64,
    /// Not before this time.
    pub(in super::super) due_ns: u64,
    pub(in super::super) state: DeliveryState,
    pub(in super::super) attempts: u32,
    /// How often somebody asked to send it once more.
    #[serde(default)]
    pub(in super::super) resends: u32,
    /// The notifications that go with it as one message, itself among them. Fixed before the first
    /// attempt, so that each attempt is the same message; itself alone is a message that others
    /// could have joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in super::super) bundle: Vec<u64>,
    /// The notification that it goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) bundled_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) sent_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) read_ns: Option<u64>,
}

/// The event in words that do not depend on the language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in super::super) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) counterparty: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) original: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) amount: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) currency: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) reason_code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) balance: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in super::super) expires: String,
}

impl Row {
    /// What tells this notification from every other, and is the same when the event is read again:
    /// also what receivers drop repeats by.
    pub(in super::super) fn identity(&self) -> Uuid {
        let Self { seq, kind, role, owner, channel, account, .. } = self;
        let text =
            format!("{seq}/{}/{}/{owner}/{account}/{}", kind.name(), role.name(), channel.name());
        Uuid::new_v5(&KEYS, text.as_bytes())
    }

    /// The key of the message that is sent: the identity, told apart when somebody asked to send it
    /// once more.
    pub(in super::super) fn idempotency_key(&self) -> String {
        let identity = self.identity();
        match (self.resends, self.bundle.len()) {
            (0, 0 | 1) => identity.to_string(),
            (0, _) => format!("{identity}-digest"),
            (resends, 0 | 1) => format!("{identity}-again{resends}"),
            (resends, _) => format!("{identity}-digest-again{resends}"),
        }
    }

    /// As readers see it.
    pub(in super::super) fn into_notification(self, id: u64) -> Notification {
        Notification {
            id,
            seq: EventSeq(self.seq),
            kind: self.kind,
            owner: self.owner.as_u128(),
            account: AccountId(self.account.as_u128()),
            payment: self.payment.map(|payment| PaymentId(payment.as_u128())),
            channel: self.channel,
            recipient: self.recipient,
            subject: self.subject,
            body: self.body,
            state: self.state,
            attempts: self.attempts,
            created: Timestamp(self.created_ns),
            sent: self.sent_ns.map(Timestamp),
            read: self.read_ns.map(Timestamp),
        }
    }

    /// Whether the dispatcher is to look at it when it is due: what goes with another does not go
    /// by itself.
    pub(in super::super) fn is_queued(&self) -> bool {
        self.state.is_open() && self.bundled_by.is_none()
    }

    /// Whether others may still join it in one message.
    pub(in super::super) fn can_be_bundled(&self) -> bool {
        self.is_queued()
            && self.digest_s > 0
            && self.bundle.is_empty()
            && self.attempts == 0
            && self.resends == 0
    }
}
