//! A notification as readers see it, and what became of its delivery.

use millrace_ledger::{AccountId, EventSeq, PaymentId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Channel, EventKind};

/// One message to one owner by one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its number, in the order in which notifications came to be. Never used twice.
    pub id: u64,
    /// The event that it tells of.
    pub seq: EventSeq,
    /// What the event means.
    pub kind: EventKind,
    /// Whom it is for.
    pub owner: u128,
    /// The owner's account that it is about.
    pub account: AccountId,
    /// The payment that it is about; `None` where it is about the account itself.
    pub payment: Option<PaymentId>,
    /// How it reaches the owner.
    pub channel: Channel,
    /// Where it goes: an e-mail address, a URL, a telephone number. Empty for the inbox.
    pub recipient: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// What became of it.
    pub state: DeliveryState,
    /// How often it was tried to deliver it.
    pub attempts: u32,
    /// When the event happened.
    pub created: Timestamp,
    /// When a provider took it.
    pub sent: Option<Timestamp>,
    /// When the owner read it.
    pub read: Option<Timestamp>,
}

impl Notification {
    /// Whether it can be sent once more: one that waits goes on waiting, and one of the inbox is there.
    #[must_use]
    pub fn may_be_resent(&self) -> bool {
        !self.state.is_open() && self.channel.is_sending()
    }
}

/// What became of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum DeliveryState {
    /// It waits: for its time, or for a provider.
    Pending,
    /// A provider took it.
    Sent,
    /// It is where the owner can read it.
    Delivered,
    /// The last attempt failed. It is tried again.
    Failed {
        /// What the provider said.
        reason: String,
    },
    /// It was refused for good or tried too often: a dead letter.
    Dead {
        /// What the provider said last.
        reason: String,
    },
    /// It was not to be sent.
    Suppressed {
        /// Why.
        reason: String,
    },
}

impl DeliveryState {
    /// The state without its reason.
    #[must_use]
    pub fn kind(&self) -> StateKind {
        match self {
            Self::Pending => StateKind::Pending,
            Self::Sent => StateKind::Sent,
            Self::Delivered => StateKind::Delivered,
            Self::Failed { .. } => StateKind::Failed,
            Self::Dead { .. } => StateKind::Dead,
            Self::Suppressed { .. } => StateKind::Suppressed,
        }
    }

    /// Whether it is still to be delivered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Failed { .. })
    }
}

/// A delivery state, to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum StateKind {
    /// [`DeliveryState::Pending`].
    Pending = 1,
    /// [`DeliveryState::Sent`].
    Sent = 2,
    /// [`DeliveryState::Delivered`].
    Delivered = 3,
    /// [`DeliveryState::Failed`].
    Failed = 4,
    /// [`DeliveryState::Dead`].
    Dead = 5,
    /// [`DeliveryState::Suppressed`].
    Suppressed = 6,
}
