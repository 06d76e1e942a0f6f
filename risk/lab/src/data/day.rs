//! Days: consumes `2018-07-25..2018-07-31` and `7d`, produces days of UTC and the delay of labels.

use std::{fmt, str::FromStr};

use millrace_ledger::Timestamp;
use serde::{Serialize, Serializer};

pub(crate) const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_HOUR: u64 = 3_600 * NS_PER_S;
const NS_PER_DAY: u64 = 24 * NS_PER_HOUR;

/// The last day whose end fits into a [`Timestamp`]: 2554-07-20.
const DAY_MAX: u32 = (u64::MAX / NS_PER_DAY) as u32 - 1;

/// A day of UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// The day that this moment lies in.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self((at.0 / NS_PER_DAY) as u32)
    }

    /// A day of the calendar; `None` before 1970, after 2554, and where there is no such day.
    #[must_use]
    pub fn from_calendar(year: u32, month: u32, day: u32) -> Option<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days_of_month = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            _ => return None,
        };
        if !(1970..=2554).contains(&year) || !(1..=days_of_month).contains(&day) {
            return None;
        }
        // Years that begin in March, so that the leap day is the last one of its year.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let before_year = year * 365 + year / 4 - year / 100 + year / 400;
        let before_month = (153 * month + 2) / 5;
        // 719,468 days lie between 0000-03-01 and 1970-01-01.
        Some(Self(before_year + before_month + day - 1 - 719_468)).filter(|day| day.0 <= DAY_MAX)
    }

    /// Midnight, at which the day begins.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(u64::from(self.0.min(DAY_MAX)) * NS_PER_DAY)
    }

    /// The midnight that ends the day, which is the next day's first moment.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Self(self.0.saturating_add(1)).start()
    }

    /// The day so many days before, and never before 1970.
    #[must_use]
    pub fn back(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The inverse of `from_calendar`, by eras of 400 years.
        let days = self.0 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..=9 => (era * 400 + year_of_era, month + 3),
            _ => (era * 400 + year_of_era + 1, month - 9),
        };
        write!(out, "{year:04}-{month:02}-{day:02}")
    }
}

/// Why a day, a span of days or a delay can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// No such day.
    #[error("\"{0}\" is not a day between 1970 and 2554; write it as 2018-07-25")]
    Day(String),
    /// Not two days.
    #[error(
        "\"{0}\" is not a span of days; write the first and the last one as 2018-07-25..2018-07-31"
    )]
    Span(String),
    /// The last day is before the first one.
    #[error("the span {0}..{1} ends before it begins; write the earlier day first")]
    Reversed(Day, Day),
    /// Not a delay.
    #[error("\"{0}\" is not a delay; write days or hours as 7d or 36h")]
    Delay(String),
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error = || DayError::Day(text.to_owned());
        let bytes = text.as_bytes();
        let is_shaped = bytes.len() == 10
            && bytes.iter().enumerate().all(|(place, byte)| match place {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_shaped {
            return Err(error());
        }
        let number = |digits: &[u8]| {
            digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
        };
        Self::from_calendar(number(&bytes[..4]), number(&bytes[5..7]), number(&bytes[8..]))
            .ok_or_else(error)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From the first moment of one day to the last moment of another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    first: Day,
    last: Day,
}

impl DaySpan {
    /// The span of these days.
    ///
    /// # Errors
    /// When the last day is before the first one.
    pub fn new(first: Day, last: Day) -> Result<Self, DayError> {
        match first <= last {
            true => Ok(Self { first, last }),
            false => Err(DayError::Reversed(first, last)),
        }
    }

    /// The first day.
    #[must_use]
    pub fn first(&self) -> Day {
        self.first
    }

    /// The last day.
    #[must_use]
    pub fn last(&self) -> Day {
        self.last
    }

    /// How many days there are: at least one.
    #[must_use]
    pub fn days(&self) -> u32 {
        self.last.0 - self.first.0 + 1
    }

    /// Whether this moment lies in the span.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        (self.first..=self.last).contains(&Day::of(at))
    }
}

impl FromStr for DaySpan {
    type Err = DayError;

    /// `FROM..TO`, both included, or one day.
    fn from_str(text: &str) -> Result<Self, DayError> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        if first.is_empty() || last.is_empty() {
            return Err(DayError::Span(text.to_owned()));
        }
        Self::new(first.parse()?, last.parse()?)
    }
}

impl fmt::Display for DaySpan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}..{}", self.first, self.last)
    }
}

impl Serialize for DaySpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How long after a payment its label is known, where the file does not tell for each payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelDelay {
    hours: u32,
}

impl LabelDelay {
    /// So many days.
    #[must_use]
    pub fn days(days: u16) -> Self {
        Self { hours: u32::from(days) * 24 }
    }

    /// The moment at which the label of a payment of this moment is known.
    #[must_use]
    pub fn after(self, paid_at: Timestamp) -> Timestamp {
        Timestamp(paid_at.0.saturating_add(u64::from(self.hours) * NS_PER_HOUR))
    }

    /// Days, rounded up.
    #[must_use]
    pub fn days_up(self) -> u32 {
        self.hours.div_ceil(24)
    }
}

impl FromStr for LabelDelay {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error = || DayError::Delay(text.to_owned());
        let (number, hours_each) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
            (Some(days), _) => (days, 24),
            (_, Some(hours)) => (hours, 1),
            _ => return Err(error()),
        };
        let number: u16 = number.parse().map_err(|_| error())?;
        Ok(Self { hours: u32::from(number) * hours_each })
    }
}

impl fmt::Display for LabelDelay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hours % 24 {
            0 => write!(out, "{}d", self.hours / 24),
            _ => write!(out, "{}h", self.hours),
        }
    }
}

impl Serialize for LabelDelay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_as_the_calendar_does() {
        for (text, day) in [
            ("1970-01-01", 0),
            ("1970-03-01", 59),
            ("2000-02-29", 11_016),
            ("2018-08-14", 17_757),
            ("2100-03-01", 47_541),
        ] {
            assert_eq!(text.parse(), Ok(Day(day)), "{text}");
            assert_eq!(Day(day).to_string(), text);
        }
        for day in (0..=DAY_MAX).step_by(13) {
            assert_eq!(Day(day).to_string().parse(), Ok(Day(day)), "day {day}");
        }
    }

    #[test]
    fn what_is_no_day_or_span_is_told() {
        for text in ["2018-02-29", "2018-13-01", "1969-12-31", "2018-7-1", "18-07-01", "2018/07/01"]
        {
            assert_eq!(text.parse::<Day>(), Err(DayError::Day(text.to_owned())), "{text}");
        }
        for (text, message) in [
            (
                "2018-07-25..",
                "\"2018-07-25..\" is not a span of days; write the first and the last one as 2018-07-25..2018-07-31",
            ),
            (
                "2018-07-25..2018-07-24",
                "the span 2018-07-25..2018-07-24 ends before it begins; write the earlier day first",
            ),
        ] {
            let error = text.parse::<DaySpan>().expect_err(text);
            assert_eq!(error.to_string(), message);
        }
        let span: DaySpan = "2018-07-25..2018-07-31".parse().expect("a right span");
        assert_eq!(span.days(), 7);
        assert!(span.contains(span.first().start()));
        assert!(span.contains(Timestamp(span.last().end().0 - 1)));
        assert!(!span.contains(span.last().end()));
        let one: DaySpan = "2018-07-25".parse().expect("one day");
        assert_eq!((one.days(), one.to_string().as_str()), (1, "2018-07-25..2018-07-25"));
    }

    #[test]
    fn delays_are_days_or_hours() {
        assert_eq!("7d".parse(), Ok(LabelDelay::days(7)));
        assert_eq!("168h".parse(), Ok(LabelDelay::days(7)));
        assert_eq!("36h".parse::<LabelDelay>().expect("a delay").to_string(), "36h");
        assert_eq!(LabelDelay::days(7).after(Day(3).start()), Day(10).start());
        for text in ["7", "d", "-1d", "1w", "70000d"] {
            assert_eq!(text.parse::<LabelDelay>(), Err(DayError::Delay(text.to_owned())), "{text}");
        }
    }
}
