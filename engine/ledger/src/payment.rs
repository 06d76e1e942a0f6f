//! A validated payment: what the front door hands in, and the content that makes an id's reuse
//! the same payment or another one.

use crate::{AccountId, Amount, Code, LedgerId, PaymentId, RejectReason, Timestamp};

/// What a payment does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operation {
    /// One debit and one credit, at once.
    #[default]
    Pay = 1,
    /// Holds the amount until it is captured, voided, or its time-out passes.
    Authorize = 2,
    /// Posts part or all of what a hold still holds.
    Capture = 3,
    /// Releases all that a hold still holds.
    Void = 4,
    /// Pays back part or all of a settled payment.
    Refund = 5,
}

impl Operation {
    /// Whether the operation works on an earlier payment and takes its accounts from it.
    #[must_use]
    #[inline]
    pub fn needs_original(self) -> bool {
        matches!(self, Self::Capture | Self::Void | Self::Refund)
    }
}

/// How a payment behaves, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PaymentFlags(pub u8);

impl PaymentFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Succeeds or fails together with the next payment.
    pub const LINKED: Self = Self(1);
    /// Moves at most what the debit account has available.
    pub const BALANCING_DEBIT: Self = Self(2);
    /// Moves at most what the credit account may still receive.
    pub const BALANCING_CREDIT: Self = Self(4);
    /// Captures what is held for review: whoever reviews has approved it. Upstreams can't say so.
    pub const RESOLVES_REVIEW: Self = Self(8);
    /// Every flag with its name.
    pub const NAMED: [(Self, &str); 4] = [
        (Self::LINKED, "LINKED"),
        (Self::BALANCING_DEBIT, "BALANCING_DEBIT"),
        (Self::BALANCING_CREDIT, "BALANCING_CREDIT"),
        (Self::RESOLVES_REVIEW, "RESOLVES_REVIEW"),
    ];

    /// Whether all flags of `other` are set.
    #[must_use]
    #[inline]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the amount is an upper bound.
    #[must_use]
    #[inline]
    pub fn balancing(self) -> bool {
        self.0 & 6 != 0
    }
}

/// One payment, decoded and checked for form. Zero ids are absent ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payment {
    /// Makes the payment idempotent.
    pub id: PaymentId,
    /// Pays. May be zero where [`Operation::needs_original`].
    pub debit: AccountId,
    /// Receives. May be zero where [`Operation::needs_original`].
    pub credit: AccountId,
    /// The hold to capture or void, the settled payment to refund; zero otherwise.
    pub original: PaymentId,
    /// Minor units, or [`Amount::ALL`].
    pub amount: Amount,
    /// The currency. May be zero where [`Operation::needs_original`].
    pub ledger: LedgerId,
    /// Why the money moves. May be zero where [`Operation::needs_original`].
    pub code: Code,
    /// What it does.
    pub operation: Operation,
    /// How it behaves.
    pub flags: PaymentFlags,
    /// Seconds until a hold expires; 0 is never.
    pub timeout_s: u32,
    /// When it happened at its origin, if the upstream said so.
    pub event_time: Option<Timestamp>,
    /// [`crate::context_digest`] of its context.
    pub context_digest: u64,
    /// Found by the front door: a reason of the envelope or static family to refuse with.
    pub defect: Option<RejectReason>,
}
