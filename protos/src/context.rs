//! Contexts: bounds of what a caller may add to a payment's context, see `ContextValue`.

/// Values of a caller's own that a context may have.
pub const OTHER_MAX: usize = 16;
/// Bytes of such a value.
pub const OTHER_VALUE_LEN_MAX: usize = 64;
const KEY_LEN_MAX: usize = 32;

/// What the fields of a context and of a payment are called, here and in catalogues and files: a value
/// of the same name would be taken for the field.
const FIELDS: [&str; 15] = [
    "channel",
    "country",
    "country_code",
    "currency",
    "device",
    "device_id",
    "event_time",
    "ip",
    "ip_address",
    "ledger",
    "mcc",
    "merchant_category_code",
    "payee",
    "payer",
    "reference",
];

/// Whether a value of a caller's own may have this key.
#[must_use]
pub fn is_other_key(key: &str) -> bool {
    let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    key.starts_with(|first: char| first.is_ascii_lowercase())
        && key.len() <= KEY_LEN_MAX
        && key.bytes().all(right)
        && FIELDS.binary_search(&key).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_plain_words_that_no_field_has() {
        for key in ["wallet", "a", "card_bin_6", "devices", &"x".repeat(32)] {
            assert!(is_other_key(key), "{key}");
        }
        for key in ["", "Wallet", "1st", "_a", "a-b", "a.b", "účet", &"x".repeat(33)] {
            assert!(!is_other_key(key), "{key}");
        }
        assert!(FIELDS.is_sorted());
        assert!(!FIELDS.into_iter().any(is_other_key));
    }
}
