//! Amounts as PostgreSQL's `numeric`: consumes and produces its binary form. Guarantees that every
//! amount of 128 bits goes there and back exactly, and that sums of 256 come back so.
//!
//! The binary form is four numbers of 16 bits, big-endian (count of digits, weight of the first
//! one, sign, decimal places to show), and then the digits, each 0 to 9,999.

use std::error::Error;

use millrace_ledger::Sum;
use postgres_types::{FromSql, Type, accepts};

const BASE: u128 = 10_000;
const BASE_DIGITS: u32 = 4;
/// 39 decimal digits, and a group for the fraction.
const GROUPS_MAX: usize = 11;

/// Minor units of a currency, as a whole `numeric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minor(pub(crate) u128);

/// A sum of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinorSum(pub(crate) Sum);

/// Appends the amount in minor units.
pub(crate) fn put_minor(out: &mut Vec<u8>, minor: u128) {
    put_decimal(out, minor, 0);
}

/// Appends the amount in units of its currency, which has so many digits behind the point.
pub(crate) fn put_decimal(out: &mut Vec<u8>, minor: u128, exponent: u8) {
    let exponent = u32::from(exponent);
    let unit = 10_u128.pow(exponent);
    let fraction_groups = exponent.div_ceil(BASE_DIGITS);
    let mut fraction = minor % unit * 10_u128.pow(fraction_groups * BASE_DIGITS - exponent);
    let mut whole = minor / unit;
    // Filled from the end.
    let mut groups = [0_u16; GROUPS_MAX];
    let mut first = GROUPS_MAX;
    for _ in 0..fraction_groups {
        first -= 1;
        groups[first] = (fraction % BASE) as u16;
        fraction /= BASE;
    }
    while whole > 0 {
        first -= 1;
        groups[first] = (whole % BASE) as u16;
        whole /= BASE;
    }
    let count = GROUPS_MAX - first;
    let weight = count as i16 - fraction_groups as i16 - 1;
    out.extend_from_slice(&(count as i16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(exponent as i16).to_be_bytes());
    for group in &groups[first..] {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// Reads a whole number that is not negative; `None` for any other, and above 128 bits.
fn read_minor(raw: &[u8]) -> Option<u128> {
    Some(read_sum(raw)?.to_amount()?.0)
}

/// Reads a whole number that is not negative; `None` for any other, and above 256 bits.
fn read_sum(raw: &[u8]) -> Option<Sum> {
    let (head, digits) = raw.split_at_checked(8)?;
    let number = |at: usize| i16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign) = (number(0), number(2), number(4));
    if sign != 0 || digits.len() != usize::try_from(count).ok()? * 2 {
        return None;
    }
    let mut digits = digits.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut sum = Sum::ZERO;
    for _ in 0..=weight {
        sum = sum.checked_mul_add(BASE as u64, u64::from(digits.next().unwrap_or(0)))?;
    }
    digits.all(|digit| digit == 0).then_some(sum)
}

impl<'a> FromSql<'a> for Minor {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        read_minor(raw).map(Self).ok_or_else(|| "is not a count of minor units".into())
    }

    accepts!(NUMERIC);
}

impl<'a> FromSql<'a> for MinorSum {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        read_sum(raw).map(Self).ok_or_else(|| "is not a sum of minor units".into())
    }

    accepts!(NUMERIC);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the binary form as text, worked out digit by digit.
    fn text_of(raw: &[u8]) -> String {
        let number = |at: usize| i16::from_be_bytes([raw[at], raw[at + 1]]);
        let (count, weight, scale) = (number(0), number(2), number(6));
        let digit = |group: i16| {
            let index = weight - group;
            if (0..count).contains(&index) { number(8 + 2 * index as usize) } else { 0 }
        };
        let whole: String =
            (0..=weight.max(0)).rev().map(|at| format!("{:04}", digit(at))).collect();
        let whole = whole.trim_start_matches('0');
        let fraction: String = (1..=2).map(|at| format!("{:04}", digit(-at))).collect();
        let whole = if whole.is_empty() { "0" } else { whole };
        match scale {
            0 => whole.to_owned(),
            scale => format!("{whole}.{}", &fraction[..scale as usize]),
        }
    }

    #[test]
    fn amounts_are_written_with_all_their_digits() {
        for (minor, exponent, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (1, 2, "0.01"),
            (245_200, 2, "2452.00"),
            (10_000, 0, "10000"),
            (99_990_000, 0, "99990000"),
            (1_234, 3, "1.234"),
            (5, 4, "0.0005"),
            (1_000_001, 2, "10000.01"),
            (u128::MAX, 0, "340282366920938463463374607431768211455"),
            (u128::MAX, 2, "3402823669209384634633746074317682114.55"),
            (u128::MAX, 4, "34028236692093846346337460743176821.1455"),
        ] {
            let mut raw = Vec::new();
            put_decimal(&mut raw, minor, exponent);
            assert_eq!(text_of(&raw), text, "{minor} with {exponent} digits");
        }
    }

    #[test]
    fn minor_units_read_back() {
        for shift in 0..128 {
            for minor in [u128::MAX >> shift, 1 << shift, (1 << shift) - 1] {
                let mut raw = Vec::new();
                put_minor(&mut raw, minor);
                assert_eq!(read_minor(&raw), Some(minor));
                assert_eq!(read_minor(&raw[..raw.len() - 1]), None, "cut");
            }
        }
        let mut fraction = Vec::new();
        put_decimal(&mut fraction, 1, 2);
        assert_eq!(read_minor(&fraction), None, "0.01 is no count of minor units");
        // The server leaves out zeros at the end: one group of weight 1 is 10,000.
        assert_eq!(read_minor(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 1]), Some(10_000));
        assert_eq!(read_minor(&[0, 0, 0, 0, 0, 0, 0, 0]), Some(0));
        assert_eq!(read_minor(&[0, 1, 0, 0, 0x40, 0, 0, 0, 0, 1]), None, "minus 1");
        let power = |group| [0, 1, 0, group, 0, 0, 0, 0, 0, 1];
        assert_eq!(read_minor(&power(10)), None, "10^40");
        let text = |raw: [u8; 10]| read_sum(&raw).map(|sum| sum.to_string());
        assert_eq!(text(power(10)), Some(format!("1{}", "0".repeat(40))));
        assert_eq!(text(power(19)), Some(format!("1{}", "0".repeat(76))));
        assert_eq!(text(power(20)), None, "10^80 is more than 256 bits hold");
    }
}
