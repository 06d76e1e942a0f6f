//! Times on the command line: consumes text, produces a time of the journal. Guarantees that a date means
//! the same wherever it can stand for a time up to which something is told.

use millrace_ledger::Timestamp;

/// A moment, as in RFC 3339.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "is no time as in RFC 3339, such as 2026-01-31T12:00:00Z".to_owned())?;
    let time = u64::try_from(time.as_nanosecond());
    time.map(Timestamp).map_err(|_| "is before 1970 or after 2554".to_owned())
}

/// The last moment that counts: a time, or the last nanosecond of a day in UTC.
pub(crate) fn parse_until(text: &str) -> Result<Timestamp, String> {
    let date = (text.len() == "2026-01-31".len()).then(|| text.parse::<jiff::civil::Date>());
    let Some(Ok(date)) = date else {
        return parse_time(text).map_err(|why| match why.starts_with("is no time") {
            true => format!("{why}, and no date, such as 2026-01-31"),
            false => why,
        });
    };
    let end = date.at(23, 59, 59, 999_999_999).to_zoned(jiff::tz::TimeZone::UTC);
    let end = end.map_err(|_| "is no day that can be told in UTC".to_owned())?;
    let nanoseconds = u64::try_from(end.timestamp().as_nanosecond());
    nanoseconds.map(Timestamp).map_err(|_| "is before 1970 or after 2554".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_end_of_that_day() {
        for (text, expected) in [
            ("1970-01-01", Ok(86_399_999_999_999)),
            ("1970-01-02", Ok(2 * 86_400_000_000_000 - 1)),
            ("1970-01-01T00:00:01Z", Ok(1_000_000_000)),
            ("1970-01-01T02:00:01+02:00", Ok(1_000_000_000)),
            ("1969-12-31", Err("is before 1970 or after 2554")),
        ] {
            let expected = expected.map(Timestamp).map_err(str::to_owned);
            assert_eq!(parse_until(text), expected, "{text}");
        }
        for text in ["yesterday", "2026-02-30", "2026-11-2", "20261120", ""] {
            let why = parse_until(text).expect_err("is no time");
            assert!(why.ends_with("and no date, such as 2026-01-31"), "{text}: {why}");
        }
    }
}
