//! The ways to reach people.

use serde::{Deserialize, Serialize};

/// A way to reach people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Channel {
    /// The inbox that GraphQL shows. It is there once it is kept: nothing is sent.
    InApp = 1,
    /// E-mail, by SMTP.
    Email = 2,
    /// A signed HTTP request to the owner's own address.
    Webhook = 3,
    /// A short message, by an HTTP provider.
    Sms = 4,
    /// A push message, by an HTTP provider.
    Push = 5,
    /// A line of a file.
    File = 6,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 6] =
        [Self::InApp, Self::Email, Self::Webhook, Self::Sms, Self::Push, Self::File];

    /// The channels that something is sent by.
    pub const SENDING: [Self; 5] = [Self::Email, Self::Webhook, Self::Sms, Self::Push, Self::File];

    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InApp => "in_app",
            Self::Email => "email",
            Self::Webhook => "webhook",
            Self::Sms => "sms",
            Self::Push => "push",
            Self::File => "file",
        }
    }

    /// Whether something is sent by it.
    pub(super) fn is_sending(self) -> bool {
        self != Self::InApp
    }

    /// Place in a table that has a row for each channel.
    pub(super) fn index(self) -> usize {
        self as usize - 1
    }
}
