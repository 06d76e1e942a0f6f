//! What people are told about: the kinds of notifications, and the parties that they are for.

use serde::{Deserialize, Serialize};

/// What an event means to the holders of its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Money moved.
    Settled,
    /// Money was reserved.
    Held,
    /// A hold was released on request.
    Voided,
    /// A payment was refused.
    Rejected,
    /// Money moved back.
    Refunded,
    /// A hold's time-out passed.
    Expired,
    /// Money was reserved until a person has looked at the payment.
    Review,
    /// A hold's time-out is near.
    HoldExpiring,
    /// What is available on an account fell below a threshold.
    LowBalance,
    /// Risk refused or challenged a payment, or an account was frozen.
    Security,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Settled,
        Self::Held,
        Self::Voided,
        Self::Rejected,
        Self::Refunded,
        Self::Expired,
        Self::Review,
        Self::HoldExpiring,
        Self::LowBalance,
        Self::Security,
    ];

    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Held => "held",
            Self::Voided => "voided",
            Self::Rejected => "rejected",
            Self::Refunded => "refunded",
            Self::Expired => "expired",
            Self::Review => "review",
            Self::HoldExpiring => "hold_expiring",
            Self::LowBalance => "low_balance",
            Self::Security => "security",
        }
    }

    /// Whether the lines of `file` and `stdout` tell of it. The rest needs the outbox.
    pub(super) fn is_in_lines(self) -> bool {
        !matches!(self, Self::Review | Self::HoldExpiring | Self::LowBalance | Self::Security)
    }
}

/// Whom of an event's parties a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Holder of the account that the event debits.
    Payer,
    /// Holder of the account that the event credits.
    Payee,
    /// Holder of an account that the event itself is about.
    Holder,
}

impl Role {
    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Payer => "payer",
            Self::Payee => "payee",
            Self::Holder => "holder",
        }
    }
}
