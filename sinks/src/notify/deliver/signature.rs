//! Signatures of webhooks: consumes secrets, a time and a body, produces the header
//! `Millrace-Signature: t=<unix seconds>,v1=<hex of HMAC-SHA256 over "t.body">`, with one `v1` per
//! secret while receivers change from one to the next; and checks it.

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{self, HMAC_SHA256},
};

use crate::text::put_hex;

/// Name of the header.
pub(in super::super) const HEADER: &str = "Millrace-Signature";
/// How far the time of a signature may be from the receiver's clock, in seconds.
pub(in super::super) const TOLERANCE_S: u64 = 300;

/// The header's value, with a signature by each secret.
pub(in super::super) fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a str>,
    unix_s: u64,
    body: &[u8],
) -> String {
    let mut header = format!("t={unix_s}");
    for secret in secrets {
        header.push_str(",v1=");
        header.push_str(&signature(secret, unix_s, body));
    }
    header
}

fn signature(secret: &str, unix_s: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, secret.as_bytes()));
    context.update(format!("{unix_s}.").as_bytes());
    context.update(body);
    let mut hex = Vec::with_capacity(64);
    put_hex(&mut hex, context.sign().as_ref());
    String::from_utf8(hex).expect("hexadecimal digits are text")
}

/// Whether the header has a signature of the body by the secret, of at most five minutes before or
/// after `now_s`, in seconds since the Unix epoch. This is what receivers of webhooks check.
#[must_use]
pub fn is_signed(secret: &str, header: &str, body: &[u8], now_s: u64) -> bool {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => time = text.parse::<u64>().ok(),
            Some(("v1", text)) => signatures.push(text),
            _ => {}
        }
    }
    let Some(unix_s) = time.filter(|unix_s| unix_s.abs_diff(now_s) <= TOLERANCE_S) else {
        return false;
    };
    let expected = signature(secret, unix_s, body);
    signatures
        .iter()
        .any(|found| verify_slices_are_equal(found.as_bytes(), expected.as_bytes()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "new-secret-0123456789";
    const OLD: &str = "old-secret-0123456789";

    /// The value was made by another program:
    /// `printf '1795163400.{"a":1}' | openssl dgst -sha256 -hmac new-secret-0123456789`.
    #[test]
    fn the_signature_is_what_another_program_makes() {
        assert_eq!(
            sign([NEW], 1_795_163_400, b"{\"a\":1}"),
            "t=1795163400,v1=b4e3b6ff34953951a81e9420aef5c46c7bf61a64a3109629be936b8187616efa"
        );
    }

    #[test]
    fn a_signature_holds_for_its_body_time_and_secrets() {
        let now = 1_795_163_400;
        let header = sign([NEW, OLD], now, b"body");
        for (secret, header, body, at, right) in [
            (NEW, header.as_str(), &b"body"[..], now, true),
            (OLD, &header, b"body", now, true),
            (NEW, &header, b"body", now + TOLERANCE_S, true),
            (NEW, &header, b"body", now + TOLERANCE_S + 1, false),
            (NEW, &header, b"body", now - TOLERANCE_S - 1, false),
            (NEW, &header, b"bodz", now, false),
            ("another-secret-0123", &header, b"body", now, false),
            (NEW, &header.replace("t=1", "t=2"), b"body", now, false),
            (NEW, "t=1795163400", b"body", now, false),
            (NEW, "v1=00", b"body", now, false),
            (NEW, "", b"body", now, false),
        ] {
            assert_eq!(is_signed(secret, header, body, at), right, "{secret} {header} {at}");
        }
    }
}
