//! Whether a payment's context is one. The journal keeps what was sent, also with a payment that was
//! refused for it; a message within a message that can't be read would make every consumer refuse
//! the whole frame.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Whether every protobuf reader can read it as a `millrace.v1.PaymentContext`.
pub(super) fn is_readable(mut context: &[u8]) -> bool {
    fields(&mut context).is_some()
}

fn fields(rest: &mut &[u8]) -> Option<()> {
    while !rest.is_empty() {
        match decode_key(rest).ok()? {
            (1, WireType::Varint) => {
                decode_varint(rest).ok()?;
            }
            (2..=6, WireType::LengthDelimited) => {
                std::str::from_utf8(take(rest)?).ok()?;
            }
            (7, WireType::LengthDelimited) => timestamp(take(rest)?)?,
            (8, WireType::LengthDelimited) => other(take(rest)?)?,
            (9, WireType::LengthDelimited) => trace(take(rest)?)?,
            (1..=9, _) => return None,
            (tag, kind) => skip_field(kind, tag, rest, DecodeContext::default()).ok()?,
        }
    }
    Some(())
}

fn timestamp(mut rest: &[u8]) -> Option<()> {
    while !rest.is_empty() {
        match decode_key(&mut rest).ok()? {
            (1 | 2, WireType::Varint) => drop(decode_varint(&mut rest).ok()?),
            (1 | 2, _) => return None,
            (tag, kind) => skip_field(kind, tag, &mut rest, DecodeContext::default()).ok()?,
        }
    }
    Some(())
}

fn other(mut rest: &[u8]) -> Option<()> {
    while !rest.is_empty() {
        match decode_key(&mut rest).ok()? {
            (1 | 2, WireType::LengthDelimited) => {
                std::str::from_utf8(take(&mut rest)?).ok()?;
            }
            (1 | 2, _) => return None,
            (tag, kind) => skip_field(kind, tag, &mut rest, DecodeContext::default()).ok()?,
        }
    }
    Some(())
}

fn trace(mut rest: &[u8]) -> Option<()> {
    while !rest.is_empty() {
        match decode_key(&mut rest).ok()? {
            (1 | 2, WireType::LengthDelimited) => drop(take(&mut rest)?),
            (3, WireType::Varint) => drop(decode_varint(&mut rest).ok()?),
            (1..=3, _) => return None,
            (tag, kind) => skip_field(kind, tag, &mut rest, DecodeContext::default()).ok()?,
        }
    }
    Some(())
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use millrace_protos::v1::{ContextValue, PaymentContext, TraceContext};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    fn contexts() -> impl Strategy<Value = Vec<u8>> {
        let other =
            ("[a-z]{0,3}", "\\PC{0,9}").prop_map(|(key, value)| ContextValue { key, value });
        let other = prop::collection::vec(other, 0..3);
        let trace = any::<Option<([u8; 16], [u8; 8], u32)>>().prop_map(|trace| {
            let message = |(trace_id, span_id, flags): ([u8; 16], [u8; 8], u32)| TraceContext {
                trace_id: trace_id.to_vec().into(),
                span_id: span_id.to_vec().into(),
                flags,
            };
            trace.map(message)
        });
        let full = (0_i32..8, "\\PC{0,30}", any::<Option<(i64, i32)>>(), other, trace).prop_map(
            |(channel, reference, time, other, trace)| {
                let event_time =
                    time.map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos });
                let none = PaymentContext::default();
                PaymentContext { channel, reference, event_time, other, trace, ..none }
                    .encode_to_vec()
            },
        );
        let changed = (full.clone(), any::<(prop::sample::Index, u8)>()).prop_map(
            |(mut bytes, (place, byte))| {
                if !bytes.is_empty() {
                    let at = place.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            },
        );
        prop_oneof![full, changed, prop::collection::vec(any::<u8>(), 0..40)]
    }

    proptest! {
        #[test]
        fn it_says_what_reading_it_says(bytes in contexts()) {
            let naive = PaymentContext::decode(&bytes[..]).is_ok();
            prop_assert_eq!(is_readable(&bytes), naive);
        }
    }
}
