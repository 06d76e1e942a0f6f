//! Spans of time: consumes text such as `7d`, produces nanoseconds.

use std::fmt;

pub(super) const SECOND_NS: u64 = 1_000_000_000;
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Buckets that a window and its delay may take: each has its memory in every profile.
pub(super) const BUCKETS_MAX: u64 = 400;

/// Spans of which a bucket may be long, in seconds, when the catalogue does not say.
const BUCKETS_S: [u64; 15] =
    [1, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 21_600, 86_400, 604_800];

/// A whole number of seconds, or no end at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// So many seconds.
    Seconds(u64),
    /// As far back as the profile goes: `ever`.
    Ever,
}

impl Span {
    /// Nothing at all.
    pub const ZERO: Self = Self::Seconds(0);

    /// Reads `90s`, `15m`, `24h`, `7d`, `4w` or `ever`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "ever" {
            return Some(Self::Ever);
        }
        let (unit, seconds) = UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
        let count: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        let total = count.checked_mul(*seconds).filter(|total| *total <= 100 * 366 * 86_400)?;
        Some(Self::Seconds(total))
    }

    /// Nanoseconds; without end, all that there are.
    pub(super) fn ns(self) -> u64 {
        match self {
            Self::Seconds(seconds) => seconds * SECOND_NS,
            Self::Ever => u64::MAX,
        }
    }

    /// The longest usual bucket of which at least `parts_min` fit the window, and whole ones fit
    /// window and delay, if those are no more than [`BUCKETS_MAX`].
    pub(super) fn usual_bucket(self, delay: Self, parts_min: u64) -> Option<Self> {
        let (Self::Seconds(window), Self::Seconds(delay)) = (self, delay) else { return None };
        let fits = |bucket: &&u64| {
            window % **bucket == 0
                && delay % **bucket == 0
                && window / **bucket >= parts_min
                && (window + delay) / **bucket <= BUCKETS_MAX
        };
        BUCKETS_S.iter().rev().find(fits).map(|bucket| Self::Seconds(*bucket))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Seconds(seconds) = self else { return f.write_str("ever") };
        // A week is written as seven days, as analysts do.
        let whole = |(_, unit): &&(char, u64)| seconds % unit == 0 && *seconds > 0;
        let (unit, length) = UNITS[1..].iter().find(whole).unwrap_or(&UNITS[4]);
        write!(f, "{}{unit}", seconds / length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, seconds, written) in [
            ("90s", 90, "90s"),
            ("120s", 120, "2m"),
            ("24h", 86_400, "1d"),
            ("1w", 604_800, "7d"),
            ("0d", 0, "0s"),
        ] {
            assert_eq!(Span::parse(text), Some(Span::Seconds(seconds)), "{text}");
            assert_eq!(Span::Seconds(seconds).to_string(), written);
        }
        assert_eq!(Span::parse("ever"), Some(Span::Ever));
        for text in ["", "d", "7", "-1d", "1.5d", "7 d", "7D", "99999999999999d", "36601d", "7é"] {
            assert_eq!(Span::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn buckets_divide_window_and_delay() {
        let bucket = |window, delay| {
            let [window, delay] = [window, delay].map(|text| Span::parse(text).expect("a span"));
            window.usual_bucket(delay, 24).map(|bucket| bucket.to_string())
        };
        assert_eq!(bucket("1h", "0s").as_deref(), Some("2m"));
        assert_eq!(bucket("1d", "0s").as_deref(), Some("1h"));
        assert_eq!(bucket("7d", "0s").as_deref(), Some("6h"));
        assert_eq!(bucket("30d", "7d").as_deref(), Some("1d"));
        assert_eq!(bucket("30d", "90s"), None, "86,400 buckets are too many");
        assert_eq!(bucket("5s", "0s").as_deref(), None);
        assert_eq!(bucket("ever", "0s").as_deref(), None);
    }
}
