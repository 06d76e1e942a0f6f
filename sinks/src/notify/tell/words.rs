//! Amounts and times in the words of a language: consumes decimal text and instants, produces what
//! people of that language read. Languages that are not known get plain forms.

use jiff::tz::TimeZone;
use millrace_ledger::{Amount, Currency, LedgerId, Timestamp};

/// Between thousands in Czech: a space at which no line breaks.
const NO_BREAK_SPACE: char = '\u{a0}';

/// The language of a locale.
fn language(locale: &str) -> &str {
    locale.split('-').next().unwrap_or(locale)
}

/// Decimal text of an amount, as programs read it.
pub(super) fn decimal(amount: Amount, ledger: LedgerId) -> String {
    match (amount, Currency::of_ledger(ledger)) {
        (Amount::ALL, _) => "all".into(),
        (amount, Some(currency)) => currency.format(amount),
        (amount, None) => amount.0.to_string(),
    }
}

/// Three letters, or the ledger's number where ISO 4217 does not know it.
pub(super) fn currency(ledger: LedgerId) -> String {
    Currency::of_ledger(ledger)
        .map_or_else(|| ledger.0.to_string(), |currency| currency.code.to_owned())
}

/// Decimal text with the thousands apart.
pub(super) fn number(decimal: &str, locale: &str) -> String {
    let (thousands, point) = match language(locale) {
        "en" => (',', '.'),
        "cs" => (NO_BREAK_SPACE, ','),
        _ => return decimal.to_owned(),
    };
    if decimal == "all" {
        return if point == ',' { "vše".into() } else { decimal.into() };
    }
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let mut text = String::with_capacity(decimal.len() + whole.len() / 3);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(thousands);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(point);
        text.push_str(fraction);
    }
    text
}

/// An instant in a time zone, to the minute.
pub(super) fn time(at: Timestamp, zone: &TimeZone, locale: &str) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.0))
        .expect("64 bits of nanoseconds end in the year 2554");
    let format = match language(locale) {
        "en" => "%-d %B %Y, %H:%M %Z",
        "cs" => "%-d. %-m. %Y %H:%M %Z",
        _ => "%Y-%m-%d %H:%M %Z",
    };
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_people_write_them() {
        for (decimal, english, czech) in [
            ("0.01", "0.01", "0,01"),
            ("999.00", "999.00", "999,00"),
            ("1000.00", "1,000.00", "1\u{a0}000,00"),
            ("1234567", "1,234,567", "1\u{a0}234\u{a0}567"),
            ("all", "all", "vše"),
        ] {
            assert_eq!(number(decimal, "en-GB"), english);
            assert_eq!(number(decimal, "cs"), czech);
            assert_eq!(number(decimal, "de"), decimal);
        }
    }

    #[test]
    fn times_are_those_of_the_zone() {
        let prague = TimeZone::get("Europe/Prague").expect("is in the database");
        for (ns, english, czech) in [
            (1_795_163_400_000_000_000, "20 November 2026, 09:30 CET", "20. 11. 2026 09:30 CET"),
            (1_780_000_200_000_000_000, "28 May 2026, 22:30 CEST", "28. 5. 2026 22:30 CEST"),
        ] {
            assert_eq!(time(Timestamp(ns), &prague, "en"), english);
            assert_eq!(time(Timestamp(ns), &prague, "cs"), czech);
        }
    }
}
