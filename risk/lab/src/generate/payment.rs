//! What the generator produces: a payment with the truth about it.

use std::{fmt, net::Ipv4Addr};

use millrace_ledger::{Currency, Timestamp};
use serde::Serialize;

/// A payment, and what an analyst would know about it in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedPayment {
    /// Position in the stream, from 0.
    pub seq: u64,
    /// Differs from that of every other payment of every other seed.
    pub id: u128,
    /// When it was attempted; whole seconds, never before the payment before it.
    pub at: Timestamp,
    /// Who pays: always a customer.
    pub payer: Account,
    /// Who is paid: a merchant, or a customer if it is a transfer.
    pub payee: Account,
    /// Amount in minor units of the currency, at least 1.
    pub amount_minor: u64,
    /// The same for all payments of a stream.
    pub currency: Currency,
    /// The payer's device, or the merchant's terminal if the payer was there.
    pub device: Device,
    /// Address of the payer's device, from 10.0.0.0/8; none where the payer was at a terminal.
    pub ip: Option<Ipv4Addr>,
    /// Where the terminal stands, or where the address belongs.
    pub country: Country,
    /// Merchant category code (ISO 18245).
    pub mcc: u16,
    /// How it was made.
    pub channel: Channel,
    /// The fraud that it is part of.
    pub label: Option<FraudPattern>,
    /// When the fraud was reported; none where there is none. Never before `at`.
    pub label_known_at: Option<Timestamp>,
    /// What makes it look unusual although it is not fraud.
    pub lookalike: Option<Lookalike>,
    /// Payments of one fraud or of one look-alike share this number; 0 for everyday payments.
    pub episode: u64,
}

/// Number of an account. Customers count from 1, merchants from 1,000,000,001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(pub u32);

/// What the numbers of merchants begin after.
const MERCHANTS_AFTER: u32 = 1_000_000_000;

impl Account {
    pub(super) fn customer(index: u32) -> Self {
        Self(index + 1)
    }

    pub(super) fn merchant(index: u32) -> Self {
        Self(MERCHANTS_AFTER + index + 1)
    }

    /// Whether it is a merchant's.
    #[must_use]
    pub fn is_merchant(self) -> bool {
        self.0 > MERCHANTS_AFTER
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A device's fingerprint, written as eight hexadecimal digits. It tells nothing about whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device(pub u32);

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Two letters of ISO 3166, in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(pub(super) [u8; 2]);

impl Country {
    /// The two letters.
    #[must_use]
    pub fn code(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Gives an enum its list, its names as written in files, and its text.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As written in files and settings.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named! {
    /// How a payment is made; named as in Millrace's API.
    Channel {
        /// Card at a terminal.
        CardPresent = "card_present",
        /// Cash from a machine.
        Cash = "cash",
        /// Card or account on a site or in an app.
        CardNotPresent = "card_not_present",
        /// From one customer to another.
        Transfer = "transfer",
    }
}

named! {
    /// A way of stealing.
    FraudPattern {
        /// One payment, many times what the payer usually spends.
        LargeAmount = "large_amount",
        /// Cards of many payers are misused at one merchant, in usual amounts, for weeks.
        CompromisedMerchant = "compromised_merchant",
        /// A stranger's device spends from one account, more than usual, for days.
        CompromisedCustomer = "compromised_customer",
        /// A burst of tiny payments shows that a card works, then a large one follows.
        CardTesting = "card_testing",
        /// Victims pay one account within minutes, which passes the money on to several at once.
        MuleRing = "mule_ring",
    }
}

named! {
    /// Something honest that looks like fraud.
    Lookalike {
        /// One purchase, many times what the payer usually spends.
        BigTicket = "big_ticket",
        /// Days abroad, with more payments than at home.
        Holiday = "holiday",
        /// Friends pay one of them, who then pays for all.
        GroupCollection = "group_collection",
        /// A burst of tiny payments, for games or parking.
        SmallPurchases = "small_purchases",
        /// A customer's first payments with a new device.
        NewDevice = "new_device",
    }
}
