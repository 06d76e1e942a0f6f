//! The values of a row: consumes the text of one field, produces what the wire carries, or the
//! reason why it can't. Constants of a mapping go through the same functions when it is read.

use std::{collections::BTreeMap, net::IpAddr};

use millrace_ledger::{Amount, AmountError, Currency};
use millrace_protos::{
    context::OTHER_VALUE_LEN_MAX,
    v1::{Channel, Operation},
};
use prost_types::Timestamp;

use crate::row_error::RowReason;

pub(crate) fn currency(text: &str) -> Result<Currency, RowReason> {
    Currency::of_code(text).ok_or(RowReason::CurrencyUnknown)
}

pub(crate) fn amount(text: &str, currency: Currency, round: bool) -> Result<Amount, AmountError> {
    let digits = usize::from(currency.exponent);
    let too_fine = |fraction: &str| {
        fraction.len() > digits && fraction.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.split_once('.').filter(|(_, fraction)| round && too_fine(fraction)) {
        Some((whole, fraction)) => {
            let (kept, rest) = fraction.split_at(digits);
            let kept = currency.parse(format!("{whole}.{kept}").trim_end_matches('.'))?;
            let up = u128::from(rest.starts_with(['5', '6', '7', '8', '9']));
            kept.0.checked_add(up).map(Amount).ok_or(AmountError::TooLarge)
        }
        None => currency.parse(text),
    }
}

/// An empty text is a plain payment.
pub(crate) fn operation(text: &str) -> Result<Operation, RowReason> {
    match text.to_ascii_lowercase().as_str() {
        "" | "pay" => Ok(Operation::Pay),
        "authorize" => Ok(Operation::Authorize),
        "capture" => Ok(Operation::Capture),
        "void" => Ok(Operation::Void),
        "refund" => Ok(Operation::Refund),
        _ => Err(RowReason::OperationUnknown),
    }
}

pub(crate) fn channel(text: &str) -> Result<Channel, RowReason> {
    let name = format!("CHANNEL_{}", text.to_ascii_uppercase());
    match Channel::from_str_name(&name) {
        Some(Channel::Unspecified) | None => Err(RowReason::ChannelUnknown),
        Some(channel) => Ok(channel),
    }
}

pub(crate) fn code(
    text: &str,
    codes: &BTreeMap<String, u16>,
    otherwise: Option<u16>,
) -> Result<u32, RowReason> {
    let number = match codes.get(text) {
        Some(code) => Some(*code),
        None if codes.is_empty() => text.parse().ok().filter(|code| *code > 0),
        None => None,
    };
    number.or(otherwise).map(u32::from).ok_or(RowReason::CodeUnknown)
}

/// An empty text is false.
pub(crate) fn boolean(text: &str) -> Result<bool, RowReason> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "" | "false" => Ok(false),
        _ => Err(RowReason::NotBoolean),
    }
}

/// An empty text is 0: no time-out.
pub(crate) fn seconds(text: &str) -> Result<u32, RowReason> {
    match text {
        "" => Ok(0),
        _ => text.parse().map_err(|_| RowReason::NotSeconds),
    }
}

pub(crate) fn device_id(text: &str) -> Result<String, RowReason> {
    bounded(text, 64)
}

/// A value of the caller's own.
pub(crate) fn other(text: &str) -> Result<String, RowReason> {
    bounded(text, OTHER_VALUE_LEN_MAX)
}

pub(crate) fn reference(text: &str) -> Result<String, RowReason> {
    // A template whose last columns are empty ends in a space that says nothing.
    bounded(text.trim(), 140)
}

fn bounded(text: &str, bytes_max: usize) -> Result<String, RowReason> {
    match text.len() <= bytes_max {
        true => Ok(text.to_owned()),
        false => Err(RowReason::TooLong { bytes_max }),
    }
}

pub(crate) fn ip_address(text: &str) -> Result<String, RowReason> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(RowReason::NotIpAddress),
    }
}

pub(crate) fn country_code(text: &str) -> Result<String, RowReason> {
    match text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(text.to_owned()),
        false => Err(RowReason::NotCountryCode),
    }
}

pub(crate) fn merchant_category(text: &str) -> Result<String, RowReason> {
    match text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err(RowReason::NotMerchantCategory),
    }
}

/// RFC 3339. The journal's clock starts at the Unix epoch, so a time before it is no time.
pub(crate) fn event_time(text: &str) -> Result<Timestamp, RowReason> {
    let at: jiff::Timestamp = text.parse().map_err(|_| RowReason::TimeUnreadable)?;
    if at < jiff::Timestamp::UNIX_EPOCH {
        return Err(RowReason::TimeUnreadable);
    }
    Ok(Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_read() {
        assert_eq!(operation("").expect("the default"), Operation::Pay);
        assert_eq!(operation("Refund").expect("an operation"), Operation::Refund);
        assert_eq!(channel("standing_order").expect("a channel"), Channel::StandingOrder);
        assert_eq!(channel("unspecified"), Err(RowReason::ChannelUnknown));
        assert_eq!(boolean("TRUE"), Ok(true));
        assert_eq!(boolean("yes"), Err(RowReason::NotBoolean));
        assert_eq!(seconds("-1"), Err(RowReason::NotSeconds));
        let codes = BTreeMap::from([("loan".to_owned(), 2)]);
        for (text, codes, otherwise, code_or_reason) in [
            ("loan", &codes, None, Ok(2)),
            ("gift", &codes, Some(9), Ok(9)),
            ("gift", &codes, None, Err(RowReason::CodeUnknown)),
            ("7", &codes, None, Err(RowReason::CodeUnknown)),
            ("7", &BTreeMap::new(), None, Ok(7)),
            ("0", &BTreeMap::new(), None, Err(RowReason::CodeUnknown)),
            ("65536", &BTreeMap::new(), None, Err(RowReason::CodeUnknown)),
        ] {
            assert_eq!(code(text, codes, otherwise), code_or_reason, "{text}");
        }
    }

    #[test]
    fn amounts_are_rounded_only_where_the_mapping_says_so() {
        for (code, text, exact, rounded) in [
            ("EUR", "12.34", Some(1_234), Some(1_234)),
            ("EUR", "12.3", Some(1_230), Some(1_230)),
            ("EUR", "85.64999999999999", None, Some(8_565)),
            ("EUR", "83.10000000000001", None, Some(8_310)),
            ("EUR", "1.005", None, Some(101)),
            ("EUR", "9.999", None, Some(1_000)),
            ("JPY", "12.5", None, Some(13)),
            ("EUR", "12.3x5", None, None),
            ("EUR", ".005", None, None),
            ("EUR", "3402823669209384634633746074317682114.559", None, None),
        ] {
            let currency = currency(code).expect("in ISO 4217");
            let read = |round| amount(text, currency, round).ok().map(|amount| amount.0);
            assert_eq!((read(false), read(true)), (exact, rounded), "{code} {text}");
        }
    }

    #[test]
    fn times_are_instants() {
        for (text, seconds) in [
            ("2018-04-01T00:00:31Z", Some(1_522_540_831)),
            ("2018-04-01T02:00:31+02:00", Some(1_522_540_831)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59Z", None),
            ("2018-04-01", None),
            ("2018-04-31T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(event_time(text).ok().map(|time| time.seconds), seconds, "{text:?}");
        }
    }

    #[test]
    fn context_is_held_to_the_limits_of_the_wire() {
        assert_eq!(reference(&"x".repeat(140)).expect("fits").len(), 140);
        assert_eq!(reference(&"x".repeat(141)), Err(RowReason::TooLong { bytes_max: 140 }));
        assert_eq!(device_id(&"x".repeat(65)), Err(RowReason::TooLong { bytes_max: 64 }));
        assert_eq!(ip_address("10.0.0.256"), Err(RowReason::NotIpAddress));
        assert!(ip_address("2001:db8::1").is_ok());
        assert_eq!(country_code("cz"), Err(RowReason::NotCountryCode));
        assert_eq!(merchant_category("541"), Err(RowReason::NotMerchantCategory));
    }
}
