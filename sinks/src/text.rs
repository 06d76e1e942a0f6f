//! Text forms of ids, numbers, times and strings, written into a reused buffer without allocation.

use millrace_ledger::Timestamp;

const HEX_PAIRS: [[u8; 2]; 256] = hex_pairs();

const fn hex_pairs() -> [[u8; 2]; 256] {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
}

/// Writes two lower-case digits per byte.
pub(crate) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        out.extend_from_slice(&HEX_PAIRS[usize::from(byte)]);
    }
}

/// Reads 64 lower-case hex digits.
pub(crate) fn parse_hash(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

/// Writes an id in UUID form.
pub(crate) fn put_uuid(out: &mut Vec<u8>, id: u128) {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in id.to_be_bytes() {
        if matches!(at, 8 | 13 | 18 | 23) {
            at += 1;
        }
        text[at..at + 2].copy_from_slice(&HEX_PAIRS[usize::from(byte)]);
        at += 2;
    }
    out.extend_from_slice(&text);
}

/// Writes a number in decimal.
pub(crate) fn put_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a JSON string, quotes included.
pub(crate) fn put_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&HEX_PAIRS[usize::from(byte)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// RFC 3339 in UTC with nanoseconds, as `2026-11-20T08:30:00.000000001Z`.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let since_epoch = jiff::Timestamp::from_nanosecond(i128::from(time.0))
        .expect("64 bits of nanoseconds end in the year 2554");
    format!("{since_epoch:.9}")
}

/// Reads RFC 3339. A time that the ledger can't have becomes the nearest that it can.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let since_epoch = text.parse::<jiff::Timestamp>().ok()?;
    Some(Timestamp(since_epoch.as_nanosecond().clamp(0, i128::from(u64::MAX)) as u64))
}

#[cfg(test)]
mod tests {
    use millrace_ledger::PaymentId;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("all of it is text")
    }

    #[test]
    fn ids_read_like_the_ledger_prints_them() {
        for id in [0, 1, u128::MAX, 0x0192_f5b4_7c3a_7d10_8e2f_aabb_ccdd_eeff] {
            assert_eq!(written(|out| put_uuid(out, id)), PaymentId(id).to_string());
        }
    }

    #[test]
    fn strings_are_escaped_as_json_asks() {
        for text in ["plain", "q\"uote", "back\\slash", "new\nline", "tab\t\u{1}", "žluťoučký €"]
        {
            let json = written(|out| put_json_string(out, text));
            assert_eq!(serde_json::from_str::<String>(&json).expect("valid JSON"), text);
            assert!(!json.contains('\n'), "one line: {json}");
        }
    }

    #[test]
    fn hashes_read_back() {
        let hash: [u8; 32] = std::array::from_fn(|index| (index * 37 % 256) as u8);
        let text = written(|out| put_hex(out, &hash));
        assert_eq!(parse_hash(text.as_bytes()), Some(hash));
        assert_eq!(parse_hash(text.to_uppercase().as_bytes()), None);
        assert_eq!(parse_hash(&text.as_bytes()[1..]), None);
    }

    #[test]
    fn times_are_read_in_any_zone_and_held_to_what_the_ledger_can_have() {
        for (text, ns) in [
            ("2025-11-20T09:30:00+01:00", Some(1_763_627_400_000_000_000)),
            ("1969-12-31T23:59:59Z", Some(0)),
            ("9999-01-01T00:00:00Z", Some(u64::MAX)),
            ("2025-11-20", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_rfc3339(text), ns.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_763_627_400_000_000_001, "2025-11-20T08:30:00.000000001Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(ns)), text);
            assert_eq!(parse_rfc3339(text), Some(Timestamp(ns)));
        }
    }
}
