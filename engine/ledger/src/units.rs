//! Newtypes for everything that would otherwise be a bare integer.

use std::fmt;

macro_rules! id_128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            /// No id: what an absent field reads as.
            pub const ZERO: Self = Self(0);
            /// Reserved, never a valid id.
            pub const MAX: Self = Self(u128::MAX);
        }

        impl fmt::Display for $name {
            /// Writes the id in UUID form.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let [a, b, c, d] = [96, 80, 64, 48].map(|shift| self.0 >> shift);
                write!(
                    f,
                    "{a:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    b & 0xffff,
                    c & 0xffff,
                    d & 0xffff,
                    self.0 & 0xffff_ffff_ffff
                )
            }
        }
    };
}

id_128!(
    /// Identifies a payment and makes it idempotent.
    PaymentId
);
id_128!(
    /// Identifies an account.
    AccountId
);
id_128!(
    /// Identifies who owns an account; zero when nobody is named.
    OwnerId
);

/// A count of minor units of a ledger's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// "All that is left" of a hold or a settled payment; "all that is available" for balancing
    /// payments. What an absent amount reads as.
    pub const ALL: Self = Self(u128::MAX);
}

/// A currency, by its ISO 4217 numeric code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub u32);

/// Why money moves (payments), or a place in the chart of accounts (accounts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

/// Position of an event in the journal. Dense: the first event is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventSeq(pub u64);

impl EventSeq {
    /// The first event of a journal.
    pub const FIRST: Self = Self(1);

    /// The position after this one.
    #[must_use]
    #[inline]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for EventSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `seconds` later, unless it does not fit.
    #[must_use]
    pub fn checked_add_s(self, seconds: u32) -> Option<Self> {
        self.0.checked_add(u64::from(seconds) * 1_000_000_000).map(Self)
    }
}
