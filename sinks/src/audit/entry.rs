//! One entry as readers see it, and what entries can be asked for.

use millrace_ledger::{AccountId, EventSeq, PaymentId, Timestamp};

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditKind {
    /// A decided payment.
    Payment,
    /// A hold that ran out.
    HoldExpired,
    /// An account was opened or changed.
    Account,
    /// What people did: a policy, a label, a review.
    Act,
    /// An event that could not be processed; the entry says why.
    Quarantined,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Payment, Self::HoldExpired, Self::Account, Self::Act, Self::Quarantined];

    /// As it stands in the entry's field `event`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Payment => "PAYMENT",
            Self::HoldExpired => "HOLD_EXPIRED",
            Self::Account => "ACCOUNT",
            Self::Act => "ACT",
            Self::Quarantined => "QUARANTINED",
        }
    }

    pub(super) fn of_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the log and in the tree, from 0.
    pub index: u64,
    /// The event's place in the journal, from 1.
    pub seq: EventSeq,
    /// Time of the event's batch.
    pub time: Timestamp,
    /// What it is about.
    pub kind: AuditKind,
    /// Who did it; only acts have one.
    pub actor: Option<String>,
    /// Why; acts and quarantined events have one.
    pub why: Option<String>,
    /// The payment that it is about.
    pub payment: Option<PaymentId>,
    /// The accounts that it names, each once.
    pub accounts: Vec<AccountId>,
    /// The entry as it stands in the log: one JSON object, without its line feed. The leaf hash
    /// covers exactly these bytes.
    pub line: String,
}

/// Which entries are asked for. Every condition that is set has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Acts of this person or service.
    pub actor: Option<String>,
    /// Entries that name this account.
    pub account: Option<AccountId>,
    /// Entries that name this payment, as their own or as the one that they refer to.
    pub payment: Option<PaymentId>,
    /// Entries at or after this time.
    pub from_time: Option<Timestamp>,
    /// Entries before this time.
    pub to_time: Option<Timestamp>,
}
