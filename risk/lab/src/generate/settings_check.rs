//! Reading and checking of settings: consumes TOML, produces settings that make sense together.

use millrace_ledger::Currency;
use toml::{Table, Value};

use super::{
    catalogue::CATEGORIES,
    payment::{FraudPattern, Lookalike},
    settings::{DAY_S, Settings, SettingsError, Shape},
};

/// Most of the payments stay everyday ones, so that a stream comes out as long as asked for.
const EPISODES_SHARE_MAX: f64 = 0.6;
const PEOPLE_MAX: u32 = 50_000_000;
const CUSTOMERS_MIN: u32 = 50;
const PAYMENTS_MAX: u64 = 100_000_000_000;
const DAYS_MAX: u32 = 3_660;

impl Settings {
    /// Reads TOML; absent keys have their defaults.
    ///
    /// # Errors
    /// When it is no TOML, has an unknown key, or a value of the wrong type or out of bounds.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let syntax = |error: &dyn std::fmt::Display| {
            SettingsError::Syntax(error.to_string().trim_end().replace("\nin `", " in `"))
        };
        let given: Table = text.parse().map_err(|error: toml::de::Error| syntax(&error))?;
        let mut merged = Table::try_from(Self::default()).map_err(|error| syntax(&error))?;
        overlay(&mut merged, given, "")?;
        let settings: Self = merged.try_into().map_err(|error: toml::de::Error| syntax(&error))?;
        settings.check()?;
        Ok(settings)
    }

    /// All settings as TOML, which `parse` reads back.
    ///
    /// # Errors
    /// When a number is too large for TOML.
    pub fn to_toml(&self) -> Result<String, SettingsError> {
        toml::to_string(self).map_err(|error| SettingsError::Syntax(error.to_string()))
    }

    /// Customers at the end of the period.
    #[must_use]
    pub fn customers_resolved(&self) -> u32 {
        match self.customers {
            0 => {
                let two_a_day = self.payments / (2 * u64::from(self.days.max(1)));
                u32::try_from(two_a_day).unwrap_or(PEOPLE_MAX).clamp(CUSTOMERS_MIN, PEOPLE_MAX)
            }
            customers => customers,
        }
    }

    /// Merchants.
    #[must_use]
    pub fn merchants_resolved(&self) -> u32 {
        match self.merchants {
            0 => (self.customers_resolved() / 5).max(merchants_min()),
            merchants => merchants,
        }
    }

    /// The currency, if ISO 4217 knows it.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        Currency::of_code(&self.currency)
    }

    /// Checks what types can't.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn check(&self) -> Result<(), SettingsError> {
        let number = |key: &str, value: f64, min: f64, max: f64| {
            let good = (min..=max).contains(&value);
            require(good, key, &value, &format!("{min} to {max}"))
        };
        let count = |key: &str, value: u64, min: u64, max: u64| {
            let good = (min..=max).contains(&value);
            require(good, key, &value, &format!("{min} to {max}"))
        };
        count("payments", self.payments, 1, PAYMENTS_MAX)?;
        let people = u64::from(PEOPLE_MAX);
        if self.customers != 0 {
            count("customers", self.customers.into(), CUSTOMERS_MIN.into(), people)?;
        }
        if self.merchants != 0 {
            count("merchants", self.merchants.into(), merchants_min().into(), people)?;
        }
        count("days", self.days.into(), 1, DAYS_MAX.into())?;
        let year = self.from.year();
        require((1970..=2500).contains(&year), "from", &self.from, "between 1970 and 2500")?;
        number("fraud_share", self.fraud_share, 0.0, 0.5)?;
        let currency = "three letters of ISO 4217, such as EUR";
        require(self.currency().is_some(), "currency", &self.currency, currency)?;
        number("price_level", self.price_level, 0.001, 100_000.0)?;
        let code = self.home_country.as_bytes();
        let good = code.len() == 2 && code.iter().all(u8::is_ascii_uppercase);
        require(good, "home_country", &self.home_country, "two capital letters, such as DE")?;
        number("abroad_share", self.abroad_share, 0.0, 0.9)?;
        number("transfer_share", self.transfer_share, 0.0, 0.9)?;
        count("payday", self.payday.into(), 1, 28)?;
        number("payday_boost", self.payday_boost, 0.0, 5.0)?;
        number("growth_share", self.growth_share, 0.0, 5.0)?;
        self.check_episodes()
    }

    fn check_episodes(&self) -> Result<(), SettingsError> {
        for pattern in FraudPattern::ALL {
            let (key, of) = (format!("patterns.{pattern}"), self.patterns.of(*pattern));
            let good = (0.0..=1e6).contains(&of.weight);
            require(good, &format!("{key}.weight"), &of.weight, "0 to 1000000")?;
            let good = (0.0..=3.0).contains(&of.report_spread);
            require(good, &format!("{key}.report_spread"), &of.report_spread, "0 to 3")?;
            let good = of.report_s_median <= 365 * DAY_S;
            let key_median = format!("{key}.report_s_median");
            require(good, &key_median, &of.report_s_median, "at most a year (31536000)")?;
            // Below these, a case does not have the shape of its pattern.
            let (payments_least, duration_s_least) = match pattern {
                FraudPattern::CardTesting => (3, 60),
                FraudPattern::MuleRing => (6, 60),
                _ => (1, 0),
            };
            check_shape(&key, &of.shape(), payments_least, duration_s_least)?;
        }
        for lookalike in Lookalike::ALL {
            let (key, of) = (format!("lookalikes.{lookalike}"), self.lookalikes.of(*lookalike));
            let good = (0.0..=0.5).contains(&of.share);
            require(good, &format!("{key}.share"), &of.share, "0 to 0.5")?;
            let payments_least = if *lookalike == Lookalike::GroupCollection { 3 } else { 1 };
            check_shape(&key, &of.shape(), payments_least, 0)?;
        }
        if self.fraud_share > 0.0 && self.patterns.weight_total() <= 0.0 {
            let must_be = "0 where all patterns have weight 0: give one of them a weight";
            return require(false, "fraud_share", &self.fraud_share, must_be);
        }
        let share = self.fraud_share + self.lookalikes.share_total();
        let must_be = format!("at most {EPISODES_SHARE_MAX}: the rest are everyday payments");
        let key = "the sum of fraud_share and of all look-alikes' shares";
        require(share <= EPISODES_SHARE_MAX, key, &share, &must_be)
    }
}

fn merchants_min() -> u32 {
    CATEGORIES.len() as u32
}

fn check_shape(
    key: &str,
    shape: &Shape,
    payments_least: u32,
    duration_s_least: u64,
) -> Result<(), SettingsError> {
    let (min, max) = (shape.payments_min, shape.payments_max);
    let good = (payments_least..=10_000).contains(&min);
    let must_be = format!("{payments_least} to 10000");
    require(good, &format!("{key}.payments_min"), &min, &must_be)?;
    let must_be = format!("payments_min ({min}) to 10000");
    require((min..=10_000).contains(&max), &format!("{key}.payments_max"), &max, &must_be)?;
    let (min, max) = (shape.duration_s_min, shape.duration_s_max);
    let must_be = format!("at least {duration_s_least}");
    require(min >= duration_s_least, &format!("{key}.duration_s_min"), &min, &must_be)?;
    let must_be = format!("duration_s_min ({min}) to 100 days (8640000)");
    let good = (min..=100 * DAY_S).contains(&max);
    require(good, &format!("{key}.duration_s_max"), &max, &must_be)
}

fn require(
    good: bool,
    key: &str,
    value: &dyn std::fmt::Display,
    must_be: &str,
) -> Result<(), SettingsError> {
    if good {
        return Ok(());
    }
    let (key, must_be) = (key.to_owned(), must_be.to_owned());
    Err(SettingsError::OutOfBounds { key, value: value.to_string(), must_be })
}

/// Puts what is given over the defaults. A table is put over a table, key by key.
fn overlay(onto: &mut Table, given: Table, path: &str) -> Result<(), SettingsError> {
    for (name, value) in given {
        let key = format!("{path}{name}");
        match (onto.get_mut(&name), value) {
            (None, _) => {
                let likeness = |known: &str| strsim::jaro_winkler(known, &name);
                let nearest = onto
                    .keys()
                    .filter(|known| likeness(known) > 0.7)
                    .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
                    .map(|known| format!("{path}{known}"));
                return Err(SettingsError::UnknownKey { key, nearest });
            }
            (Some(Value::Table(known)), Value::Table(value)) => {
                overlay(known, value, &format!("{key}."))?;
            }
            // A date may be written with quotes or without.
            (Some(known @ Value::String(_)), Value::Datetime(date)) => {
                *known = Value::String(date.to_string());
            }
            (Some(known), value) => *known = value,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;

    use super::*;

    #[test]
    fn defaults_pass_and_come_back_from_toml() {
        let settings = Settings::default();
        settings.check().expect("defaults are right");
        let text = settings.to_toml().expect("written");
        assert_eq!(Settings::parse(&text), Ok(settings.clone()));
        assert_eq!(Settings::parse(""), Ok(settings));
    }

    #[test]
    fn a_table_may_name_only_what_differs() {
        let text = "seed = 7\nfrom = 2026-03-01\n[patterns.mule_ring]\nweight = 2\n";
        let settings = Settings::parse(text).expect("right");
        let from = Date::constant(2026, 3, 1);
        let mut expected = Settings { seed: 7, from, ..Settings::default() };
        expected.patterns.mule_ring.weight = 2.0;
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_not_right_is_named_with_what_to_do() {
        let cases = [
            ("payment = 5", "there is no payment; did you mean payments?"),
            ("[patterns.mule_rings]\nweight = 1", "did you mean patterns.mule_ring?"),
            ("[patterns.mule_ring]\nreport_days = 1", "there is no patterns.mule_ring.report_days"),
            ("payments = 0", "payments is 0, and must be 1 to 100000000000"),
            ("payments = \"many\"", "payments"),
            ("payments = ", "payments = "),
            ("customers = 3", "customers is 3, and must be 50 to 50000000"),
            ("merchants = 3", "merchants is 3, and must be 19 to"),
            ("days = 0", "days is 0"),
            ("from = \"someday\"", "as year: invalid digit, expected 0-9 but got s in `from`"),
            ("from = 1815-06-18", "from is 1815-06-18, and must be between 1970 and 2500"),
            ("fraud_share = 0.7", "fraud_share is 0.7, and must be 0 to 0.5"),
            ("fraud_share = nan", "fraud_share is NaN"),
            ("currency = \"EURO\"", "currency is EURO, and must be three letters of ISO 4217"),
            ("home_country = \"de\"", "home_country is de, and must be two capital letters"),
            ("payday = 31", "payday is 31, and must be 1 to 28"),
            (
                "[patterns.mule_ring]\nduration_s_min = 2",
                "patterns.mule_ring.duration_s_min is 2, and must be at least 60",
            ),
            ("[patterns.mule_ring]\npayments_min = 2", "patterns.mule_ring.payments_min is 2"),
            (
                "[lookalikes.holiday]\npayments_max = 2",
                "lookalikes.holiday.payments_max is 2, and must be payments_min (10) to 10000",
            ),
            (
                "fraud_share = 0.4\n[lookalikes.holiday]\nshare = 0.4",
                "must be at most 0.6: the rest are everyday payments",
            ),
        ];
        for (text, part) in cases {
            let error = Settings::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let mut settings = Settings::default();
        for weight in [
            &mut settings.patterns.large_amount.weight,
            &mut settings.patterns.compromised_merchant.weight,
            &mut settings.patterns.compromised_customer.weight,
            &mut settings.patterns.card_testing.weight,
            &mut settings.patterns.mule_ring.weight,
        ] {
            *weight = 0.0;
        }
        let error = settings.check().expect_err("no pattern").to_string();
        assert!(error.contains("all patterns have weight 0"), "{error}");
    }

    #[test]
    fn people_are_as_many_as_the_payments_need() {
        let mut settings = Settings { payments: 600_000, ..Settings::default() };
        assert_eq!((settings.customers_resolved(), settings.merchants_resolved()), (10_000, 2_000));
        settings.payments = 1;
        assert_eq!((settings.customers_resolved(), settings.merchants_resolved()), (50, 19));
    }
}
