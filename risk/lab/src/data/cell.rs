//! Cells: consumes the bytes of one cell, produces a time, an amount or a label, or what the cell
//! should have looked like.

use millrace_ledger::Timestamp;

use super::day::{Day, NS_PER_S};

/// What is wrong with a cell and what to write instead, as the end of a sentence that begins with
/// the cell.
pub(super) type Problem = &'static str;

pub(super) const TIME: Problem =
    "is not a time; write 2018-07-25T13:45:00Z, or Unix time in seconds or milliseconds";
pub(super) const AMOUNT: Problem =
    "is not an amount; write digits and a point, such as 12.50, without a currency sign";
pub(super) const NEGATIVE: Problem =
    "is a negative amount; write what was paid, and leave refunds out of the file";
pub(super) const LABEL: Problem = "is not a label; write 1 for fraud and 0 for anything else";
pub(super) const EMPTY: Problem = "is empty; fill it in, or take the row out";

/// Powers of ten that an `f64` holds exactly, as far as cents and the like need them.
const TENS: [f64; 16] =
    [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// RFC 3339, a date and time without an offset (UTC), a date, or Unix time whose unit is told by
/// its number of digits.
pub(super) fn time(cell: &[u8]) -> Result<Timestamp, Problem> {
    if let Some(at) = common_time(cell) {
        return Ok(at);
    }
    if !cell.is_empty() && cell.iter().all(u8::is_ascii_digit) {
        return unix_time(cell).ok_or(TIME);
    }
    let text = std::str::from_utf8(cell).map_err(|_| TIME)?.trim();
    let moment: jiff::Timestamp = match text.parse() {
        Ok(moment) => moment,
        // Without an offset it is UTC; a date alone is its midnight.
        Err(_) => {
            let civil: jiff::civil::DateTime = text.parse().map_err(|_| TIME)?;
            civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| TIME)?.timestamp()
        }
    };
    u64::try_from(moment.as_nanosecond()).map(Timestamp).map_err(|_| TIME)
}

/// `2018-07-25T13:45:00Z`, with a space for the T and without the Z, too: what nearly every file
/// has, without the cost of a parser for everything else.
fn common_time(cell: &[u8]) -> Option<Timestamp> {
    let cell: &[u8; 19] = match cell {
        [head @ .., b'Z'] => head.try_into().ok()?,
        _ => cell.try_into().ok()?,
    };
    let two = |place: usize| {
        let (tens, ones) = (cell[place].wrapping_sub(b'0'), cell[place + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
    };
    let separators = [cell[4], cell[7], cell[13], cell[16]] == *b"--::";
    if !separators || !matches!(cell[10], b'T' | b' ') {
        return None;
    }
    let day = Day::from_calendar(two(0)? * 100 + two(2)?, two(5)?, two(8)?)?;
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let second_of_day = hour * 3_600 + minute * 60 + second;
    Some(Timestamp(day.start().0 + u64::from(second_of_day) * NS_PER_S))
}

/// Of 10, 13, 16 or 19 digits: seconds, milliseconds, microseconds, nanoseconds since 1970. Each
/// names the years 2001 to 2286 in exactly one way.
fn unix_time(digits: &[u8]) -> Option<Timestamp> {
    let unit_ns = match digits.len() {
        10 => NS_PER_S,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return None,
    };
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    number.checked_mul(unit_ns).map(Timestamp)
}

/// A decimal number of major units, finite and not negative.
pub(super) fn amount(cell: &[u8]) -> Result<f64, Problem> {
    if let Some(amount) = common_amount(cell) {
        return Ok(amount);
    }
    let text = std::str::from_utf8(cell).map_err(|_| AMOUNT)?.trim();
    // The standard library also reads "inf", "nan" and "infinity".
    match text.parse::<f64>() {
        Ok(amount) if !amount.is_finite() => Err(AMOUNT),
        Ok(amount) if amount < 0.0 => Err(NEGATIVE),
        Ok(amount) => Ok(amount),
        Err(_) => Err(AMOUNT),
    }
}

/// At most 15 digits with or without a point: the quotient of two numbers that an `f64` holds
/// exactly is the nearest `f64` to the decimal number.
fn common_amount(cell: &[u8]) -> Option<f64> {
    let (mut digits, mut number, mut decimals, mut has_point) = (0, 0_u64, 0_usize, false);
    for byte in cell {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                decimals += usize::from(has_point);
            }
            b'.' if !has_point => has_point = true,
            _ => return None,
        }
    }
    (1..=15).contains(&digits).then(|| number as f64 / TENS[decimals])
}

/// Whether the payment was fraud.
pub(super) fn label(cell: &[u8]) -> Result<bool, Problem> {
    match cell {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => {
            let is = |words: &[&str]| {
                words.iter().any(|word| cell.eq_ignore_ascii_case(word.as_bytes()))
            };
            match (is(&["true", "yes", "1.0"]), is(&["false", "no", "0.0"])) {
                (true, _) => Ok(true),
                (_, true) => Ok(false),
                _ => Err(LABEL),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_every_shape() {
        let second = 1_532_526_300_u64;
        let expected = Ok(Timestamp(second * NS_PER_S));
        for text in [
            "2018-07-25T13:45:00Z",
            "2018-07-25 13:45:00",
            "2018-07-25T13:45:00",
            "2018-07-25T15:45:00+02:00",
            "2018-07-25T13:45:00.000Z",
            " 2018-07-25T13:45:00Z ",
            "1532526300",
            "1532526300000",
            "1532526300000000",
            "1532526300000000000",
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(time(b"2018-07-25"), Ok(Day(17_737).start()));
        for text in ["", "25.07.2018", "2018-07-25T24:45:00Z", "1969-12-31T23:59:59Z", "12345", "x"]
        {
            assert_eq!(time(text.as_bytes()), Err(TIME), "{text}");
        }
    }

    #[test]
    fn amounts_and_labels_that_are_none() {
        for (text, problem) in [
            ("", AMOUNT),
            (".", AMOUNT),
            ("12,50", AMOUNT),
            ("1.2.3", AMOUNT),
            ("NaN", AMOUNT),
            ("inf", AMOUNT),
            ("-1", NEGATIVE),
        ] {
            assert_eq!(amount(text.as_bytes()), Err(problem), "{text}");
        }
        for (text, expected) in [
            ("1", Ok(true)),
            ("0", Ok(false)),
            ("True", Ok(true)),
            ("no", Ok(false)),
            ("2", Err(LABEL)),
            ("", Err(LABEL)),
        ] {
            assert_eq!(label(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        /// The short way reads what the standard library reads, to the last bit.
        #[test]
        fn amounts_equal_the_standard_librarys(whole in 0_u64..1_000_000_000, cents in 0_u32..1_000_000, places in 0_usize..7) {
            let text = format!("{whole}.{cents:06}");
            let text = &text[..text.len() - places];
            let expected: f64 = text.parse().expect("a number");
            prop_assert_eq!(amount(text.as_bytes()).map(f64::to_bits), Ok(expected.to_bits()));
        }
    }
}
