//! Currencies at the edges: ledger number to ISO 4217 code, minor units to decimal text and back.
//!
//! Guarantees that text and amount convert exactly: no float, no rounding, no silent overflow.

use iso_currency::Currency as Iso;

use crate::{Amount, LedgerId, Sum};

/// A currency of ISO 4217. Its ledger is its numeric code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency {
    /// The ledger that keeps this currency.
    pub ledger: LedgerId,
    /// Three letters.
    pub code: &'static str,
    /// Digits after the decimal point.
    pub exponent: u8,
}

/// Why a text is not an amount of a currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most one point between them.
    #[error("is not a decimal number (digits, and a point before the minor units)")]
    NotDecimal,
    /// More digits after the point than the currency has.
    #[error("has more than {exponent} digits after the point, and {code} has only {exponent}")]
    TooPrecise {
        /// The currency.
        code: &'static str,
        /// Its digits after the point.
        exponent: u8,
    },
    /// More than 128 bits of minor units.
    #[error("is too large")]
    TooLarge,
}

impl Currency {
    /// The currency that the ledger keeps, if ISO 4217 knows it.
    #[must_use]
    pub fn of_ledger(ledger: LedgerId) -> Option<Self> {
        Iso::from_numeric(u16::try_from(ledger.0).ok()?).map(Self::from_iso)
    }

    /// The currency with this three-letter code, in upper case.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Iso::from_code(code).map(Self::from_iso)
    }

    fn from_iso(iso: Iso) -> Self {
        Self {
            ledger: LedgerId(u32::from(iso.numeric())),
            code: iso.code(),
            exponent: iso.exponent().unwrap_or(0) as u8,
        }
    }

    /// Reads decimal text such as `2452.00` or `2452` as minor units.
    ///
    /// # Errors
    /// When the text is not a plain decimal, is finer than the currency, or does not fit.
    pub fn parse(self, text: &str) -> Result<Amount, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(AmountError::NotDecimal);
        }
        if fraction.len() > usize::from(self.exponent) {
            return Err(AmountError::TooPrecise { code: self.code, exponent: self.exponent });
        }
        let padding = usize::from(self.exponent) - fraction.len();
        whole
            .bytes()
            .chain(fraction.bytes())
            .chain(std::iter::repeat_n(b'0', padding))
            .try_fold(0_u128, |minor, digit| {
                minor.checked_mul(10)?.checked_add(u128::from(digit - b'0'))
            })
            .map(Amount)
            .ok_or(AmountError::TooLarge)
    }

    /// Writes a sum of minor units as [`Self::format`] writes an amount.
    #[must_use]
    pub fn format_sum(self, sum: Sum) -> String {
        if let Some(amount) = sum.to_amount() {
            return self.format(amount);
        }
        // More than 128 bits are more digits than any currency has behind the point.
        let mut text = sum.to_string();
        if self.exponent > 0 {
            text.insert(text.len() - usize::from(self.exponent), '.');
        }
        text
    }

    /// Writes minor units as decimal text with all digits of the currency.
    #[must_use]
    pub fn format(self, amount: Amount) -> String {
        let unit = 10_u128.pow(u32::from(self.exponent));
        match self.exponent {
            0 => amount.0.to_string(),
            digits => {
                let (whole, fraction) = (amount.0 / unit, amount.0 % unit);
                format!("{whole}.{fraction:0width$}", width = usize::from(digits))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_minor_units_convert_exactly() {
        for (code, text, minor) in [
            ("CZK", "2452.00", 245_200),
            ("CZK", "0.01", 1),
            ("JPY", "2452", 2_452),
            ("BHD", "1.234", 1_234),
            ("EUR", "3402823669209384634633746074317682114.55", u128::MAX),
        ] {
            let currency = Currency::of_code(code).expect("in ISO 4217");
            assert_eq!(currency.parse(text), Ok(Amount(minor)), "{code} {text}");
            assert_eq!(currency.format(Amount(minor)), text, "{code} {minor}");
        }
        let koruna = Currency::of_ledger(LedgerId(203)).expect("in ISO 4217");
        assert_eq!(koruna.code, "CZK");
        assert_eq!(koruna.parse("7"), Ok(Amount(700)));
        assert_eq!(koruna.parse("7.5"), Ok(Amount(750)));
    }

    #[test]
    fn sums_beyond_128_bits_are_written_with_the_digits_of_the_currency() {
        let mut sum = Sum::from(u128::MAX);
        for (code, text, beyond) in [
            (
                "EUR",
                "3402823669209384634633746074317682114.55",
                "6805647338418769269267492148635364229.10",
            ),
            (
                "JPY",
                "340282366920938463463374607431768211455",
                "680564733841876926926749214863536422910",
            ),
        ] {
            let currency = Currency::of_code(code).expect("in ISO 4217");
            assert_eq!(currency.format_sum(sum), text);
            let mut twice = sum;
            twice += sum;
            assert_eq!(currency.format_sum(twice), beyond);
        }
        sum = Sum::from(7);
        assert_eq!(Currency::of_code("BHD").expect("in ISO 4217").format_sum(sum), "0.007");
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        let koruna = Currency::of_code("CZK").expect("in ISO 4217");
        for text in ["", ".", "1.", ".5", "-1", "+1", "1,000.00", "1e3", "12 ", "NaN", "1.2.3"] {
            assert_eq!(koruna.parse(text), Err(AmountError::NotDecimal), "{text:?}");
        }
        let too_precise = AmountError::TooPrecise { code: "CZK", exponent: 2 };
        assert_eq!(koruna.parse("1.001"), Err(too_precise));
        assert_eq!(koruna.parse(&"9".repeat(40)), Err(AmountError::TooLarge));
        assert_eq!(Currency::of_code("czk"), None);
        assert_eq!(Currency::of_ledger(LedgerId(70_000)), None);
    }
}
