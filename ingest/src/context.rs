//! The context of a payment: consumes its encoded form, checks it once, produces what the ledger
//! and risk need of it. The bytes themselves go to the journal as they are.

use millrace_ledger::Timestamp;
use millrace_protos::{
    context::{OTHER_MAX, OTHER_VALUE_LEN_MAX, is_other_key},
    trace,
};
use prost::encoding::{self, DecodeContext, WireType};

/// Longest context, in encoded bytes, without its trace.
pub(crate) const CONTEXT_LEN_MAX: usize = 1_024;

/// Bytes that a trace may take beside: one as encoders write it takes 33 at most.
const TRACE_LEN_MAX: usize = 40;

/// The context is not what `payment.proto` says it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedContext;

/// Checks a context without copying it. Returns the event time, if there is one.
pub(crate) fn check(context: &[u8]) -> Result<Option<Timestamp>, MalformedContext> {
    if context.len() > CONTEXT_LEN_MAX + TRACE_LEN_MAX {
        return Err(MalformedContext);
    }
    let mut rest = context;
    let mut event_time = None;
    let mut trace_len = 0;
    // Few payments have any, and the others shall not pay for them.
    let mut others: Option<Others<'_>> = None;
    while !rest.is_empty() {
        let (tag, wire_type) = encoding::decode_key(&mut rest).map_err(|_| MalformedContext)?;
        match (tag, wire_type) {
            (1, WireType::Varint) => {
                let channel = encoding::decode_varint(&mut rest).map_err(|_| MalformedContext)?;
                if channel > 7 {
                    return Err(MalformedContext);
                }
            }
            (2..=6, WireType::LengthDelimited) => check_text(tag, take(&mut rest)?)?,
            (7, WireType::LengthDelimited) => event_time = Some(timestamp(take(&mut rest)?)?),
            (8, WireType::LengthDelimited) => {
                others.get_or_insert_default().check(take(&mut rest)?)?;
            }
            (trace::FIELD, WireType::LengthDelimited) => {
                let field = take(&mut rest)?;
                check_trace(field)?;
                trace_len += 2 + field.len();
            }
            (1..=trace::FIELD, _) => return Err(MalformedContext),
            // A later version's field: kept, not looked at.
            _ => encoding::skip_field(wire_type, tag, &mut rest, DecodeContext::default())
                .map_err(|_| MalformedContext)?,
        }
    }
    if context.len() > CONTEXT_LEN_MAX + trace_len {
        return Err(MalformedContext);
    }
    Ok(event_time)
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], MalformedContext> {
    let len = encoding::decode_varint(rest).map_err(|_| MalformedContext)?;
    let len = usize::try_from(len).map_err(|_| MalformedContext)?;
    let (taken, after) = rest.split_at_checked(len).ok_or(MalformedContext)?;
    *rest = after;
    Ok(taken)
}

fn check_text(tag: u32, text: &[u8]) -> Result<(), MalformedContext> {
    let text = std::str::from_utf8(text).map_err(|_| MalformedContext)?;
    let fits = text.is_empty()
        || match tag {
            2 => text.len() <= 64,
            3 => text.parse::<std::net::IpAddr>().is_ok(),
            4 => text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
            5 => text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit()),
            _ => text.len() <= 140,
        };
    if fits { Ok(()) } else { Err(MalformedContext) }
}

/// A `TraceContext`. Its ids may be left out, and may be zeros: then there is no trace.
fn check_trace(mut encoded: &[u8]) -> Result<(), MalformedContext> {
    while !encoded.is_empty() {
        let (tag, wire_type) = encoding::decode_key(&mut encoded).map_err(|_| MalformedContext)?;
        let is_right = match (tag, wire_type) {
            (1, WireType::LengthDelimited) => matches!(take(&mut encoded)?.len(), 0 | 16),
            (2, WireType::LengthDelimited) => matches!(take(&mut encoded)?.len(), 0 | 8),
            (3, WireType::Varint) => {
                encoding::decode_varint(&mut encoded).map_err(|_| MalformedContext)? <= 255
            }
            (1..=3, _) => false,
            _ => {
                let context = DecodeContext::default();
                encoding::skip_field(wire_type, tag, &mut encoded, context).is_ok()
            }
        };
        if !is_right {
            return Err(MalformedContext);
        }
    }
    Ok(())
}

/// Values of the caller's own that were seen so far, by their keys.
#[derive(Default)]
struct Others<'a> {
    keys: [&'a str; OTHER_MAX],
    len: usize,
}

impl<'a> Others<'a> {
    /// A `ContextValue`: one key and one value.
    fn check(&mut self, mut encoded: &'a [u8]) -> Result<(), MalformedContext> {
        let (mut key, mut value) = ("", "");
        while !encoded.is_empty() {
            let (tag, wire_type) =
                encoding::decode_key(&mut encoded).map_err(|_| MalformedContext)?;
            let field = match (tag, wire_type) {
                (1, WireType::LengthDelimited) => &mut key,
                (2, WireType::LengthDelimited) => &mut value,
                _ => return Err(MalformedContext),
            };
            *field = std::str::from_utf8(take(&mut encoded)?).map_err(|_| MalformedContext)?;
        }
        let is_new = !self.keys[..self.len].contains(&key);
        if self.len == OTHER_MAX
            || !is_new
            || !is_other_key(key)
            || value.len() > OTHER_VALUE_LEN_MAX
        {
            return Err(MalformedContext);
        }
        self.keys[self.len] = key;
        self.len += 1;
        Ok(())
    }
}

/// A `google.protobuf.Timestamp` from 1970 on.
fn timestamp(mut encoded: &[u8]) -> Result<Timestamp, MalformedContext> {
    let (mut seconds, mut nanos) = (0, 0);
    while !encoded.is_empty() {
        let (tag, wire_type) = encoding::decode_key(&mut encoded).map_err(|_| MalformedContext)?;
        let field = match (tag, wire_type) {
            (1, WireType::Varint) => &mut seconds,
            (2, WireType::Varint) => &mut nanos,
            _ => return Err(MalformedContext),
        };
        *field = encoding::decode_varint(&mut encoded).map_err(|_| MalformedContext)?;
    }
    if nanos >= 1_000_000_000 {
        return Err(MalformedContext);
    }
    let ns = seconds.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(nanos));
    ns.map(Timestamp).ok_or(MalformedContext)
}

#[cfg(test)]
mod tests {
    use millrace_protos::v1::{ContextValue, PaymentContext, TraceContext};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    fn other(key: &str, value: &str) -> ContextValue {
        ContextValue { key: key.to_owned(), value: value.to_owned() }
    }

    fn traced(trace_id: usize, span_id: usize, flags: u32) -> Option<TraceContext> {
        let bytes = |len| vec![7; len].into();
        Some(TraceContext { trace_id: bytes(trace_id), span_id: bytes(span_id), flags })
    }

    fn encoded(change: impl FnOnce(&mut PaymentContext)) -> Vec<u8> {
        let mut context = PaymentContext {
            channel: 2,
            device_id: "d-1".to_owned(),
            ip_address: "2001:db8::1".to_owned(),
            country_code: "CZ".to_owned(),
            merchant_category_code: "5411".to_owned(),
            reference: "účet 7".to_owned(),
            event_time: Some(prost_types::Timestamp { seconds: 1_522_540_831, nanos: 5 }),
            other: vec![other("wallet", "w-1"), other("scheme", "")],
            trace: traced(16, 8, 255),
        };
        change(&mut context);
        context.encode_to_vec()
    }

    #[test]
    fn a_whole_context_passes_and_tells_its_time() {
        assert_eq!(check(&encoded(|_| {})), Ok(Some(Timestamp(1_522_540_831_000_000_005))));
        assert_eq!(check(&[]), Ok(None));
    }

    #[test]
    fn each_field_out_of_its_bounds_is_refused() {
        type Change = fn(&mut PaymentContext);
        let changes: [(&str, Change); 20] = [
            ("channel", |context| context.channel = 8),
            ("device", |context| context.device_id = "x".repeat(65)),
            ("ip", |context| context.ip_address = "1.2.3".to_owned()),
            ("country", |context| context.country_code = "cz".to_owned()),
            ("country length", |context| context.country_code = "CZE".to_owned()),
            ("category", |context| context.merchant_category_code = "54x1".to_owned()),
            ("key", |context| context.other.push(other("Wallet", "w"))),
            ("no key", |context| context.other.push(other("", "w"))),
            ("a field's name", |context| context.other.push(other("device", "w"))),
            ("key twice", |context| context.other.push(other("wallet", "w-1"))),
            ("value", |context| context.other.push(other("merchant", &"x".repeat(65)))),
            ("many", |context| {
                let keys = (0..15).map(|number| other(&format!("k{number}"), "v"));
                context.other.extend(keys);
            }),
            ("trace id", |context| context.trace = traced(15, 8, 1)),
            ("span id", |context| context.trace = traced(16, 16, 1)),
            ("span id alone", |context| context.trace = traced(0, 9, 1)),
            ("trace flags", |context| context.trace = traced(16, 8, 256)),
            ("reference", |context| context.reference = "x".repeat(141)),
            ("before 1970", |context| context.event_time.as_mut().unwrap().seconds = -1),
            ("nanos", |context| context.event_time.as_mut().unwrap().nanos = 1_000_000_000),
            ("year", |context| context.event_time.as_mut().unwrap().seconds = 1 << 40),
        ];
        for (name, change) in changes {
            assert_eq!(check(&encoded(change)), Err(MalformedContext), "{name}");
        }
        assert_eq!(check(&[0x32, 2, 0xff, 0xfe]), Err(MalformedContext), "not UTF-8");
        assert_eq!(check(&[0x10, 1]), Err(MalformedContext), "device as a number");
        assert_eq!(check(&[0x48, 1]), Err(MalformedContext), "trace as a number");
        assert_eq!(check(&[0x4a, 2, 0x08, 1]), Err(MalformedContext), "trace id as a number");
        assert_eq!(check(&[0; CONTEXT_LEN_MAX + 1]), Err(MalformedContext), "too long");
    }

    #[test]
    fn a_trace_is_not_counted_among_the_bytes_and_may_say_that_there_is_none() {
        // A later version's field of as many bytes as there is room for.
        let full = |len: usize| {
            let text = vec![0; len - 4];
            [&[0x82, 0x01][..], &[text.len() as u8 & 0x7f | 0x80, (text.len() >> 7) as u8], &text]
                .concat()
        };
        let with = |len, trace| {
            let trace = PaymentContext { trace, ..PaymentContext::default() }.encode_to_vec();
            [full(len), trace].concat()
        };
        for (context, passes) in [
            (with(CONTEXT_LEN_MAX, None), true),
            (with(CONTEXT_LEN_MAX + 1, None), false),
            (with(CONTEXT_LEN_MAX, traced(16, 8, 1)), true),
            (with(CONTEXT_LEN_MAX + 1, traced(16, 8, 1)), false),
            (with(CONTEXT_LEN_MAX, traced(0, 0, 0)), true),
            // More than one field of it is not for nothing.
            ([with(1_000, traced(16, 8, 1)), with(20, traced(16, 8, 1))].concat(), false),
            (PaymentContext { trace: traced(0, 0, 1), ..Default::default() }.encode_to_vec(), true),
            (vec![0x4a, 4, 0x32, 2, 7, 7], true),
        ] {
            let len = context.len();
            assert_eq!(check(&context).is_ok(), passes, "{len} bytes, {:?}", &context[len - 4..]);
        }
    }

    proptest! {
        /// What passes is what the generated message reads, too.
        #[test]
        fn nothing_passes_that_does_not_decode(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if check(&bytes).is_ok() {
                prop_assert!(PaymentContext::decode(&bytes[..]).is_ok());
            }
        }
    }
}
