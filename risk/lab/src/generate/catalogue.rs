//! Countries and merchant categories: constants that worlds are drawn from.
//!
//! Category codes are those of ISO 18245. Prices, hours and weights are plausible, not measured.

use super::payment::Channel;

/// A kind of merchant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Category {
    /// ISO 18245.
    pub(super) mcc: u16,
    pub(super) channel: Channel,
    /// Median amount in major units.
    pub(super) price: f64,
    /// Deviation of the amount's binary logarithm.
    pub(super) spread: f64,
    /// Amounts are multiples of so many major units.
    pub(super) step: f64,
    /// Hours of the day in which payments are taken; `close` is the first that is not.
    pub(super) open: u8,
    pub(super) close: u8,
    /// How many merchants are of this kind, in comparison.
    pub(super) weight: u32,
    /// Where people, and thieves, spend much at once.
    pub(super) expensive: bool,
}

const fn store(mcc: u16, price: f64, spread: f64, hours: (u8, u8), weight: u32) -> Category {
    let (open, close) = hours;
    let channel = Channel::CardPresent;
    Category { mcc, channel, price, spread, step: 0.01, open, close, weight, expensive: false }
}

const fn site(mcc: u16, price: f64, spread: f64, weight: u32) -> Category {
    Category { channel: Channel::CardNotPresent, ..store(mcc, price, spread, (0, 24), weight) }
}

const fn expensive(category: Category) -> Category {
    Category { expensive: true, ..category }
}

/// All kinds of merchants. A world has at least one of each.
pub(super) const CATEGORIES: &[Category] = &[
    store(5411, 27.0, 0.9, (7, 21), 22),             // groceries
    store(5812, 32.0, 0.7, (11, 23), 14),            // restaurants
    store(5814, 11.0, 0.6, (9, 23), 12),             // fast food
    store(5541, 52.0, 0.5, (0, 24), 7),              // fuel
    store(5912, 17.0, 0.8, (8, 19), 6),              // pharmacies
    store(5651, 58.0, 0.9, (9, 20), 8),              // clothing
    store(4111, 4.0, 0.8, (5, 24), 5),               // local transport
    store(5813, 21.0, 0.7, (16, 24), 5),             // bars
    store(7832, 14.0, 0.5, (13, 24), 2),             // cinemas
    store(7011, 160.0, 0.8, (0, 24), 3),             // hotels
    expensive(store(5732, 170.0, 0.9, (9, 20), 3)),  // electronics
    expensive(store(5712, 240.0, 0.9, (9, 19), 2)),  // furniture
    expensive(store(5944, 220.0, 0.9, (10, 19), 1)), // jewellery
    Category { step: 10.0, channel: Channel::Cash, ..store(6011, 85.0, 0.8, (0, 24), 5) },
    site(5999, 34.0, 1.1, 12),            // market places
    site(DIGITAL_GOODS, 8.0, 0.8, 6),     // digital goods
    site(5968, 12.0, 0.4, 4),             // subscriptions
    expensive(site(4511, 220.0, 0.9, 2)), // airlines
    expensive(site(5734, 140.0, 0.9, 2)), // computers and software
];

/// Games, apps, films: sold in small amounts, all day, without a delivery.
pub(super) const DIGITAL_GOODS: u16 = 5816;

/// Money orders: the code that transfers between customers carry.
pub(super) const TRANSFER_MCC: u16 = 4829;

/// ISO 3166 codes. The home country, which settings name, comes first and is not among them.
pub(super) const ABROAD: &[[u8; 2]] =
    &[*b"FR", *b"IT", *b"ES", *b"AT", *b"PL", *b"GB", *b"US", *b"TR", *b"NG", *b"TH", *b"BR"];
