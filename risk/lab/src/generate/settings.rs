//! Settings of the generator: what there is to set, in which unit, with which default.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::payment::{FraudPattern, Lookalike};

/// What to generate. The same settings give the same payments, byte for byte, on every machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What all random numbers derive from. Default 1.
    pub seed: u64,
    /// Payments in all, exactly. Default 100000.
    pub payments: u64,
    /// Customers at the end of the period; 0 is as many as make two payments a day each.
    pub customers: u32,
    /// Merchants; 0 is one for every five customers.
    pub merchants: u32,
    /// First day, UTC. Default 2026-01-01.
    pub from: Date,
    /// Days. Default 30.
    pub days: u32,
    /// Share of fraud among all payments. Default 0.008, that of the public card data set.
    pub fraud_share: f64,
    /// Three letters of ISO 4217. Default EUR.
    pub currency: String,
    /// What all prices are multiplied by, for currencies of smaller units. Default 1.
    pub price_level: f64,
    /// Two letters of ISO 3166: where most customers live. Default DE.
    pub home_country: String,
    /// Share of customers and of merchants that live elsewhere. Default 0.1.
    pub abroad_share: f64,
    /// Share of everyday payments that go to another customer. Default 0.06.
    pub transfer_share: f64,
    /// Day of the month on which salaries arrive. Default 25.
    pub payday: u8,
    /// How much more is paid on payday: 0.3 is 30 % more. Half of it on the next day, and so on for
    /// four days. Default 0.3.
    pub payday_boost: f64,
    /// Growth of customers and payments over 30 days. Default 0.03.
    pub growth_share: f64,
    /// The ways of stealing.
    pub patterns: Patterns,
    /// What looks like fraud and is none.
    pub lookalikes: Lookalikes,
}

/// Settings of each fraud pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the variants of FraudPattern")]
pub struct Patterns {
    pub large_amount: PatternSettings,
    pub compromised_merchant: PatternSettings,
    pub compromised_customer: PatternSettings,
    pub card_testing: PatternSettings,
    pub mule_ring: PatternSettings,
}

/// How often a fraud pattern happens, how long it lasts, when it is reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternSettings {
    /// Its part of all fraudulent payments, in comparison with the other patterns; 0 is never.
    pub weight: f64,
    /// Fewest payments of one case.
    pub payments_min: u32,
    /// Most payments of one case.
    pub payments_max: u32,
    /// Shortest time from a case's first payment to its last.
    pub duration_s_min: u64,
    /// Longest time from a case's first payment to its last.
    pub duration_s_max: u64,
    /// Median time from a payment, or from a case's last, to the report.
    pub report_s_median: u64,
    /// Deviation of the binary logarithm of that time: with 1, two thirds are reported between half
    /// and twice the median, and none after 12 times.
    pub report_spread: f64,
}

/// Settings of each look-alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the variants of Lookalike")]
pub struct Lookalikes {
    pub big_ticket: LookalikeSettings,
    pub holiday: LookalikeSettings,
    pub group_collection: LookalikeSettings,
    pub small_purchases: LookalikeSettings,
    pub new_device: LookalikeSettings,
}

/// How often a look-alike happens and how long it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookalikeSettings {
    /// Its part of all payments; 0 is never.
    pub share: f64,
    /// Fewest payments of one case.
    pub payments_min: u32,
    /// Most payments of one case.
    pub payments_max: u32,
    /// Shortest time from a case's first payment to its last.
    pub duration_s_min: u64,
    /// Longest time from a case's first payment to its last.
    pub duration_s_max: u64,
}

/// Why settings can't be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, or a value of the wrong type.
    #[error("the generator's settings are not right: {0}")]
    Syntax(String),
    /// A key that nothing reads.
    #[error(
        "the generator's settings are not right: there is no {key}{}",
        nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
    )]
    UnknownKey {
        /// With the tables that it is in.
        key: String,
        /// The known key most like it.
        nearest: Option<String>,
    },
    /// A value that makes no sense, alone or beside others.
    #[error("the generator's settings are not right: {key} is {value}, and must be {must_be}")]
    OutOfBounds {
        /// With the tables that it is in.
        key: String,
        /// As given.
        value: String,
        /// What would do.
        must_be: String,
    },
}

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
pub(super) const DAY_S: u64 = 24 * HOUR_S;

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            payments: 100_000,
            customers: 0,
            merchants: 0,
            from: Date::constant(2026, 1, 1),
            days: 30,
            fraud_share: 0.008,
            currency: "EUR".to_owned(),
            price_level: 1.0,
            home_country: "DE".to_owned(),
            abroad_share: 0.1,
            transfer_share: 0.06,
            payday: 25,
            payday_boost: 0.3,
            growth_share: 0.03,
            patterns: Patterns::default(),
            lookalikes: Lookalikes::default(),
        }
    }
}

impl Default for Patterns {
    fn default() -> Self {
        let pattern = |weight, payments: (u32, u32), duration_s: (u64, u64), report_s: u64| {
            let report_spread = 1.0;
            PatternSettings {
                weight,
                payments_min: payments.0,
                payments_max: payments.1,
                duration_s_min: duration_s.0,
                duration_s_max: duration_s.1,
                report_s_median: report_s,
                report_spread,
            }
        };
        Self {
            large_amount: pattern(0.1, (1, 1), (0, 0), 2 * DAY_S),
            compromised_merchant: pattern(0.3, (20, 60), (7 * DAY_S, 21 * DAY_S), 7 * DAY_S),
            compromised_customer: pattern(0.25, (5, 20), (12 * HOUR_S, 10 * DAY_S), 3 * DAY_S),
            card_testing: pattern(0.2, (7, 20), (10 * MINUTE_S, 45 * MINUTE_S), DAY_S),
            mule_ring: pattern(0.15, (9, 30), (10 * MINUTE_S, 40 * MINUTE_S), 4 * DAY_S),
        }
    }
}

impl Default for Lookalikes {
    fn default() -> Self {
        let lookalike = |share, payments: (u32, u32), duration_s: (u64, u64)| LookalikeSettings {
            share,
            payments_min: payments.0,
            payments_max: payments.1,
            duration_s_min: duration_s.0,
            duration_s_max: duration_s.1,
        };
        Self {
            big_ticket: lookalike(0.002, (1, 1), (0, 0)),
            holiday: lookalike(0.02, (10, 40), (4 * DAY_S, 14 * DAY_S)),
            group_collection: lookalike(0.004, (4, 15), (20 * MINUTE_S, 2 * DAY_S)),
            small_purchases: lookalike(0.004, (4, 12), (5 * MINUTE_S, HOUR_S)),
            new_device: lookalike(0.004, (2, 5), (HOUR_S, 3 * DAY_S)),
        }
    }
}

/// What frauds and look-alikes have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) payments_min: u32,
    pub(super) payments_max: u32,
    pub(super) duration_s_min: u64,
    pub(super) duration_s_max: u64,
}

impl Shape {
    pub(super) fn payments_mean(&self) -> f64 {
        f64::from(self.payments_min + self.payments_max) / 2.0
    }
}

macro_rules! shape {
    ($settings:ident) => {
        impl $settings {
            pub(super) fn shape(&self) -> Shape {
                Shape {
                    payments_min: self.payments_min,
                    payments_max: self.payments_max,
                    duration_s_min: self.duration_s_min,
                    duration_s_max: self.duration_s_max,
                }
            }
        }
    };
}
shape!(PatternSettings);
shape!(LookalikeSettings);

impl Patterns {
    /// The settings of one pattern.
    #[must_use]
    pub fn of(&self, pattern: FraudPattern) -> &PatternSettings {
        match pattern {
            FraudPattern::LargeAmount => &self.large_amount,
            FraudPattern::CompromisedMerchant => &self.compromised_merchant,
            FraudPattern::CompromisedCustomer => &self.compromised_customer,
            FraudPattern::CardTesting => &self.card_testing,
            FraudPattern::MuleRing => &self.mule_ring,
        }
    }

    pub(super) fn weight_total(&self) -> f64 {
        FraudPattern::ALL.iter().map(|pattern| self.of(*pattern).weight).sum()
    }
}

impl Lookalikes {
    /// The settings of one look-alike.
    #[must_use]
    pub fn of(&self, lookalike: Lookalike) -> &LookalikeSettings {
        match lookalike {
            Lookalike::BigTicket => &self.big_ticket,
            Lookalike::Holiday => &self.holiday,
            Lookalike::GroupCollection => &self.group_collection,
            Lookalike::SmallPurchases => &self.small_purchases,
            Lookalike::NewDevice => &self.new_device,
        }
    }

    pub(super) fn share_total(&self) -> f64 {
        Lookalike::ALL.iter().map(|lookalike| self.of(*lookalike).share).sum()
    }
}
