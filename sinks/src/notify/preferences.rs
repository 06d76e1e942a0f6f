//! What owners want to be told, and when: guarantees, once checked, that the time zone exists, that
//! the locale has templates, and that hours are hours.

use std::{fmt, str::FromStr};

use jiff::tz::TimeZone;
use millrace_ledger::{Amount, LedgerId};
use serde::{Deserialize, Serialize, de};

use super::{Channel, EventKind};

/// What an owner wants. What is left out is as the directory of owners or the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preferences {
    /// Language of the templates, such as `cs`.
    pub locale: Option<String>,
    /// Time zone of quiet hours and of times in messages, such as `Europe/Prague`.
    pub time_zone: Option<String>,
    /// What is not told.
    pub muted: Vec<Mute>,
    /// When nothing is sent. Security alerts are.
    pub quiet_hours: Option<QuietHours>,
    /// Seconds over which messages of one channel are collected into one; 0 sends each at once.
    pub digest_s: Option<u32>,
    /// Payments below these amounts are not told, but for security alerts.
    pub minimum: Vec<Threshold>,
    /// Below these amounts a balance is low. They take the place of the configuration's.
    pub low_balance: Vec<Threshold>,
}

/// What is not told: a kind, a channel, or a kind by a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// The kind; every one but security alerts when left out.
    #[serde(default)]
    pub kind: Option<EventKind>,
    /// The channel; every one when left out.
    #[serde(default)]
    pub channel: Option<Channel>,
}

/// An amount of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Numeric code of the currency.
    pub ledger: u32,
    /// Minor units.
    pub minor: u128,
}

/// A daily span of local time in which nothing is sent. It may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// First quiet minute.
    pub from: HourMinute,
    /// First minute that is not quiet.
    pub to: HourMinute,
}

/// A minute of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourMinute(u16);

/// Why preferences can't be what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreferencesError {
    /// There is no such zone.
    #[error(
        "there is no time zone {0:?}; give a name of the IANA database, such as \"Europe/Prague\""
    )]
    TimeZone(String),
    /// Not a language tag.
    #[error(
        "{0:?} is not a locale; give a language and, if need be, a region, such as \"cs\" or \"en-GB\""
    )]
    Locale(String),
    /// Both ends are the same.
    #[error("quiet hours from {0} to {0} are none or all; give two different times, or none")]
    QuietHours(HourMinute),
    /// Longer than messages may wait.
    #[error("digests over {0} s are too long; give at most {DIGEST_S_MAX} (a week)")]
    Digest(u32),
    /// More than a person would ask for.
    #[error("{what} has {found} entries; give at most {ENTRIES_MAX}")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
    },
}

/// A time that is not `HH:MM`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time of day; give hours and minutes, such as \"22:00\"")]
pub struct HourMinuteError(String);

/// Longest span of a digest: a week.
pub(super) const DIGEST_S_MAX: u32 = 7 * 24 * 3_600;
/// Longest list in preferences.
pub(super) const ENTRIES_MAX: usize = 64;

impl Preferences {
    /// Whether they can be followed.
    ///
    /// # Errors
    /// The first that can't, and what would be right.
    pub fn check(&self) -> Result<(), PreferencesError> {
        if let Some(name) = &self.time_zone {
            time_zone(name)?;
        }
        if let Some(locale) = self.locale.as_ref().filter(|locale| !is_locale(locale)) {
            return Err(PreferencesError::Locale(locale.clone()));
        }
        if let Some(quiet) = self.quiet_hours.filter(|quiet| quiet.from == quiet.to) {
            return Err(PreferencesError::QuietHours(quiet.from));
        }
        if let Some(digest_s) = self.digest_s.filter(|seconds| *seconds > DIGEST_S_MAX) {
            return Err(PreferencesError::Digest(digest_s));
        }
        for (what, found) in [
            ("muted", self.muted.len()),
            ("minimum", self.minimum.len()),
            ("low_balance", self.low_balance.len()),
        ] {
            if found > ENTRIES_MAX {
                return Err(PreferencesError::TooMany { what, found });
            }
        }
        Ok(())
    }

    /// Whether the owner does not want to be told this.
    #[must_use]
    pub fn mutes(&self, kind: EventKind, channel: Channel) -> bool {
        self.muted.iter().any(|mute| {
            let kind_fits = match mute.kind {
                Some(muted) => muted == kind,
                None => kind != EventKind::Security,
            };
            kind_fits && mute.channel.is_none_or(|muted| muted == channel)
        })
    }

    /// The amount of this currency below which payments are not told.
    #[must_use]
    pub fn least(&self, ledger: LedgerId) -> Amount {
        Threshold::of(&self.minimum, ledger).unwrap_or(Amount::ZERO)
    }
}

impl Threshold {
    /// The amount for this currency.
    pub(super) fn of(list: &[Self], ledger: LedgerId) -> Option<Amount> {
        list.iter().find(|entry| entry.ledger == ledger.0).map(|entry| Amount(entry.minor))
    }
}

/// The zone with this name.
pub(super) fn time_zone(name: &str) -> Result<TimeZone, PreferencesError> {
    TimeZone::get(name).map_err(|_| PreferencesError::TimeZone(name.to_owned()))
}

/// Two or three letters, then perhaps a hyphen and more of them.
pub(super) fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

impl HourMinute {
    /// `None` where the clock has no such time.
    #[must_use]
    pub fn new(hour: u8, minute: u8) -> Option<Self> {
        (hour < 24 && minute < 60).then_some(Self(u16::from(hour) * 60 + u16::from(minute)))
    }

    /// 0 to 23.
    #[must_use]
    pub fn hour(self) -> u8 {
        (self.0 / 60) as u8
    }

    /// 0 to 59.
    #[must_use]
    pub fn minute(self) -> u8 {
        (self.0 % 60) as u8
    }
}

impl fmt::Display for HourMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour(), self.minute())
    }
}

impl FromStr for HourMinute {
    type Err = HourMinuteError;

    fn from_str(text: &str) -> Result<Self, HourMinuteError> {
        let number = |digits: &str| -> Option<u8> {
            let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            two.then(|| digits.parse().ok()).flatten()
        };
        text.split_once(':')
            .and_then(|(hour, minute)| Self::new(number(hour)?, number(minute)?))
            .ok_or_else(|| HourMinuteError(text.to_owned()))
    }
}

impl Serialize for HourMinute {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HourMinute {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_checked() {
        let quiet = |from: &str, to: &str| {
            let time = |text: &str| text.parse().expect("a time");
            Some(QuietHours { from: time(from), to: time(to) })
        };
        let none = Preferences::default;
        for (preferences, said) in [
            (none(), None),
            (Preferences { time_zone: Some("Europe/Prague".into()), ..none() }, None),
            (Preferences { time_zone: Some("Mars/Base".into()), ..none() }, Some("no time zone")),
            (Preferences { locale: Some("en-GB".into()), ..none() }, None),
            (Preferences { locale: Some("../x".into()), ..none() }, Some("is not a locale")),
            (Preferences { locale: Some("EN".into()), ..none() }, Some("is not a locale")),
            (Preferences { quiet_hours: quiet("22:00", "07:00"), ..none() }, None),
            (Preferences { quiet_hours: quiet("07:00", "07:00"), ..none() }, Some("none or all")),
            (Preferences { digest_s: Some(DIGEST_S_MAX), ..none() }, None),
            (Preferences { digest_s: Some(DIGEST_S_MAX + 1), ..none() }, Some("too long")),
            (
                Preferences { muted: vec![Mute { kind: None, channel: None }; 65], ..none() },
                Some("muted has 65 entries"),
            ),
        ] {
            let found = preferences.check().err().map(|error| error.to_string());
            match (&found, said) {
                (None, None) => {}
                (Some(found), Some(said)) => assert!(found.contains(said), "{found}"),
                _ => panic!("{preferences:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn security_alerts_are_muted_by_name_only() {
        use Channel::{Email, Sms};
        use EventKind::{Security, Settled};
        for (kind, channel, muted) in [
            (None, None, [true, true, false, false]),
            (None, Some(Sms), [false, true, false, false]),
            (Some(Settled), None, [true, true, false, false]),
            (Some(Security), Some(Sms), [false, false, false, true]),
        ] {
            let muting =
                Preferences { muted: vec![Mute { kind, channel }], ..Preferences::default() };
            let found = [(Settled, Email), (Settled, Sms), (Security, Email), (Security, Sms)]
                .map(|(kind, channel)| muting.mutes(kind, channel));
            assert_eq!(found, muted, "{kind:?} {channel:?}");
        }
    }

    #[test]
    fn times_of_day_read_back() {
        for (text, right) in [
            ("00:00", true),
            ("23:59", true),
            ("24:00", false),
            ("7:00", false),
            ("07:60", false),
            ("+7:00", false),
            ("0700", false),
        ] {
            let time: Result<HourMinute, _> = text.parse();
            assert_eq!(time.as_ref().ok().map(ToString::to_string).as_deref() == Some(text), right);
        }
    }
}
