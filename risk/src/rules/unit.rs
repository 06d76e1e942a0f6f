//! Units of features: consumes a unit's name as the catalogue has it, produces how the language
//! reads values of it and how people read them.

use std::fmt::Write as _;

/// What a number counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unit {
    /// Major units, of a currency if it is named.
    Money(Option<String>),
    Count,
    /// 0 to 1, shown as a percentage.
    Share,
    /// How many times something else.
    Ratio,
    /// Yes unless it is 0.
    Flag,
    /// The seconds in one of it.
    Duration(f64),
    /// Anything else, by its name.
    Other(String),
}

impl Unit {
    pub(crate) fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "money" | "amount" | "major units" => Self::Money(None),
            "count" | "payments" | "entities" => Self::Count,
            "share" | "fraction" | "probability" => Self::Share,
            "ratio" | "times" => Self::Ratio,
            "flag" | "yes/no" | "bool" | "boolean" => Self::Flag,
            // In the plural: an `hour` is one of the day, not a duration.
            "nanoseconds" => Self::Duration(1e-9),
            "milliseconds" => Self::Duration(1e-3),
            "seconds" => Self::Duration(1.0),
            "minutes" => Self::Duration(60.0),
            "hours" => Self::Duration(3_600.0),
            "days" => Self::Duration(86_400.0),
            "weeks" => Self::Duration(604_800.0),
            _ if name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                Self::Money(Some(name.to_owned()))
            }
            _ => Self::Other(name.to_owned()),
        }
    }

    /// A value as people read it.
    pub(crate) fn show(&self, value: f32) -> String {
        let value = f64::from(value);
        if value.is_nan() {
            return "unknown".to_owned();
        }
        match self {
            Self::Money(None) => grouped(value, 2),
            Self::Money(Some(currency)) => format!("{} {currency}", grouped(value, 2)),
            // Decayed counts are no whole numbers.
            Self::Count if value.fract() == 0.0 => grouped(value, 0),
            Self::Count | Self::Ratio => grouped(value, 1),
            Self::Share => format!("{} %", grouped(value * 100.0, 1)),
            Self::Flag => if value == 0.0 { "no" } else { "yes" }.to_owned(),
            Self::Duration(seconds) => duration(value * seconds),
            Self::Other(unit) => {
                let number = grouped(value, 2);
                let number = number.trim_end_matches('0').trim_end_matches('.');
                let number = if number.is_empty() { "0" } else { number };
                if unit.is_empty() { number.to_owned() } else { format!("{number} {unit}") }
            }
        }
    }
}

/// With so many decimals, and thousands set off: `1,234.50`.
pub(super) fn grouped(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    if !value.is_finite() {
        return plain;
    }
    let (sign, plain) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
    let (whole, fraction) = plain.split_once('.').map_or((plain, None), |(w, f)| (w, Some(f)));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        let _ = write!(out, ".{fraction}");
    }
    out
}

/// The two largest units of it: `2 h 5 min`.
fn duration(seconds: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)];
    let (sign, seconds) = if seconds < 0.0 { ("-", -seconds) } else { ("", seconds) };
    if seconds < 1.0 {
        return format!("{sign}{seconds:.3} s");
    }
    let first = UNITS.iter().position(|(_, size)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let (unit, size) = UNITS[first];
    let whole = (seconds / size).floor();
    let Some((next, next_size)) = UNITS.get(first + 1) else {
        return format!("{sign}{whole} {unit}");
    };
    match ((seconds - whole * size) / next_size).floor() {
        0.0 => format!("{sign}{} {unit}", grouped(whole, 0)),
        rest => format!("{sign}{} {unit} {rest} {next}", grouped(whole, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_write_them() {
        for (unit, value, shown) in [
            ("money", 1_234.5, "1,234.50"),
            ("money", 19.99, "19.99"),
            ("EUR", -1_234_567.0, "-1,234,567.00 EUR"),
            ("count", 1_234.0, "1,234"),
            ("count", 2.25, "2.2"),
            ("share", 0.125, "12.5 %"),
            ("ratio", 6.24, "6.2"),
            ("flag", 1.0, "yes"),
            ("flag", 0.0, "no"),
            ("seconds", 7_500.0, "2 h 5 min"),
            ("seconds", 59.0, "59 s"),
            ("seconds", 0.25, "0.250 s"),
            ("hours", 48.0, "2 d"),
            ("days", 400.5, "400 d 12 h"),
            ("minutes", -90.0, "-1 h 30 min"),
            ("hour", 3.0, "3 hour"),
            ("entities", 12.0, "12"),
            ("", 0.0, "0"),
            ("", 100.0, "100"),
            ("money", f32::NAN, "unknown"),
            ("money", f32::INFINITY, "inf"),
        ] {
            assert_eq!(Unit::named(unit).show(value), shown, "{value} {unit}");
        }
    }
}
