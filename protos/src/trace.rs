//! Traces: consumes `traceparent` headers and the contexts of payments, produces the trace that they
//! name. Guarantees what <https://www.w3.org/TR/trace-context/> asks of readers: a value that is not
//! right is none, and one of a later version is read as far as it is known.

use std::fmt::{self, Write as _};

use prost::{
    Message as _,
    encoding::{self, DecodeContext, WireType},
};

use crate::v1::TraceContext;

/// The header and the metadata key.
pub const HEADER: &str = "traceparent";
/// Number of `PaymentContext.trace`.
pub const FIELD: u32 = 9;
/// Bytes of [`Trace::to_field`].
pub const FIELD_LEN: usize = 2 + (2 + 16) + (2 + 8) + 2;
/// Length of a `traceparent` of version 00.
const TEXT_LEN: usize = 55;
/// "Sampled" and "the trace id is random". The others have no meaning yet and are not handed on.
const FLAGS_KNOWN: u8 = 3;

/// The trace that something happens in. Neither id is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

impl Trace {
    /// `None` where an id is zero, which is no id.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        let trace = Self { trace_id, span_id, flags: flags & FLAGS_KNOWN };
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(trace)
    }

    /// Reads a `traceparent`. `None` where it is to be ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let (known, more) = text.split_at_checked(TEXT_LEN)?;
        let [version] = unhex(&known[..2])?;
        let is_right = match version {
            0 => more.is_empty(),
            0xff => false,
            // What later versions add stands behind another dash.
            _ => more.first().is_none_or(|next| *next == b'-'),
        };
        if !is_right || [known[2], known[35], known[52]] != [b'-'; 3] {
            return None;
        }
        let [flags] = unhex(&known[53..])?;
        Self::new(unhex(&known[3..35])?, unhex(&known[36..52])?, flags)
    }

    /// The trace of a payment with this context, which is encoded; `None` also where the context or
    /// its trace is not well formed.
    #[must_use]
    pub fn of_context(context: &[u8]) -> Option<Self> {
        let mut trace = TraceContext::default();
        for_each_field(context, |part| trace.merge(part).ok())?;
        Self::of_message(&trace)
    }

    /// `None` where there is none, or it has another form than it should.
    #[must_use]
    pub fn of_message(message: &TraceContext) -> Option<Self> {
        let trace_id = message.trace_id.as_ref().try_into().ok()?;
        let span_id = message.span_id.as_ref().try_into().ok()?;
        Self::new(trace_id, span_id, u8::try_from(message.flags).ok()?)
    }

    /// As a message.
    #[must_use]
    pub fn to_message(self) -> TraceContext {
        TraceContext {
            trace_id: self.trace_id.to_vec().into(),
            span_id: self.span_id.to_vec().into(),
            flags: u32::from(self.flags),
        }
    }

    /// The encoded field, to be put behind the encoded fields of a context without one.
    #[must_use]
    pub fn to_field(self) -> [u8; FIELD_LEN] {
        let mut field = [0; FIELD_LEN];
        field[..4].copy_from_slice(&[(FIELD as u8) << 3 | 2, FIELD_LEN as u8 - 2, 1 << 3 | 2, 16]);
        field[4..20].copy_from_slice(&self.trace_id);
        field[20..22].copy_from_slice(&[2 << 3 | 2, 8]);
        field[22..30].copy_from_slice(&self.span_id);
        field[30..].copy_from_slice(&[3 << 3, self.flags]);
        field
    }

    /// What all spans of the trace share.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span that what happens is part of.
    #[must_use]
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// 1 is "sampled", 2 "the trace id is random".
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The trace id as people and headers write it.
    #[must_use]
    pub fn trace_id_text(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace_id))
    }
}

/// The `traceparent`, of version 00.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        write!(f, "{:032x}", u128::from_be_bytes(self.trace_id))?;
        f.write_char('-')?;
        write!(f, "{:016x}-{:02x}", u64::from_be_bytes(self.span_id), self.flags)
    }
}

/// Whether the context says anything of a trace, and be it that there is none. `None` where it is not
/// well formed.
#[must_use]
pub fn is_in(context: &[u8]) -> Option<bool> {
    let mut found = false;
    for_each_field(context, |_| {
        found = true;
        Some(())
    })?;
    Some(found)
}

/// Hands out each field of the trace: a message may be sent in several parts.
fn for_each_field(mut rest: &[u8], mut each: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
    while !rest.is_empty() {
        match encoding::decode_key(&mut rest).ok()? {
            (FIELD, WireType::LengthDelimited) => {
                let len = usize::try_from(encoding::decode_varint(&mut rest).ok()?).ok()?;
                let (part, after) = rest.split_at_checked(len)?;
                rest = after;
                each(part)?;
            }
            (tag, wire_type) => {
                let context = DecodeContext::default();
                encoding::skip_field(wire_type, tag, &mut rest, context).ok()?;
            }
        }
    }
    Some(())
}

/// Two lower-case digits a byte, as the header has them.
fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v1::PaymentContext;

    #[test]
    fn a_header_is_read_as_the_specification_asks() {
        const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const SPAN: &str = "00f067aa0ba902b7";
        let right = |flags: &str| Some(format!("00-{ID}-{SPAN}-{flags}"));
        for (text, read) in [
            (format!("00-{ID}-{SPAN}-01"), right("01")),
            (format!("00-{ID}-{SPAN}-00"), right("00")),
            // Flags that mean nothing yet are not handed on.
            (format!("00-{ID}-{SPAN}-03"), right("03")),
            (format!("00-{ID}-{SPAN}-ff"), right("03")),
            (format!("00-{ID}-{SPAN}-04"), right("00")),
            // Later versions are read as far as they are known.
            (format!("01-{ID}-{SPAN}-01"), right("01")),
            (format!("cc-{ID}-{SPAN}-01-what-the-future-brings"), right("01")),
            (format!("cc-{ID}-{SPAN}-01-"), right("01")),
            (format!("cc-{ID}-{SPAN}-01.what-the-future-brings"), None),
            (format!("fe-{ID}-{SPAN}-01"), right("01")),
            (format!("ff-{ID}-{SPAN}-01"), None),
            // Version 00 has no more.
            (format!("00-{ID}-{SPAN}-01-"), None),
            (format!("00-{ID}-{SPAN}-01-more"), None),
            (format!("00-{ID}-{SPAN}-01,00-{ID}-{SPAN}-01"), None),
            // Zeros are no ids.
            (format!("00-{:032}-{SPAN}-01", 0), None),
            (format!("00-{ID}-{:016}-01", 0), None),
            // Upper case.
            (format!("00-{}-{SPAN}-01", ID.to_uppercase()), None),
            (format!("00-{ID}-{}-01", SPAN.to_uppercase()), None),
            (format!("00-{ID}-{SPAN}-0A"), None),
            (format!("0A-{ID}-{SPAN}-01"), None),
            // Malformed.
            (String::new(), None),
            ("00".to_owned(), None),
            (format!("00-{ID}-{SPAN}"), None),
            (format!("00-{ID}-{SPAN}-"), None),
            (format!("00-{ID}-{SPAN}-1"), None),
            (format!("00-{ID}-{SPAN}-x1"), None),
            (format!("0-{ID}-{SPAN}-001"), None),
            (format!("000-{ID}-{SPAN}-1"), None),
            (format!("00-{ID}{SPAN}--01"), None),
            (format!("00_{ID}_{SPAN}_01"), None),
            (format!("00-{}-{SPAN}-01", &ID[1..]), None),
            (format!("00-{ID}-{}-01", &SPAN[1..]), None),
            (format!("00-{}g-{SPAN}-01", &ID[1..]), None),
            (format!("00-{}\u{e9}-{SPAN}-01", &ID[2..]), None),
            (format!(" 00-{ID}-{SPAN}-01"), None),
        ] {
            assert_eq!(Trace::parse(&text).map(|trace| trace.to_string()), read, "{text:?}");
        }
    }

    #[test]
    fn a_context_without_a_trace_has_none() {
        let at = |trace| PaymentContext { channel: 2, trace, ..PaymentContext::default() };
        let ids = |trace_id: &[u8], span_id: &[u8], flags| {
            let bytes = |id: &[u8]| id.to_vec().into();
            Some(TraceContext { trace_id: bytes(trace_id), span_id: bytes(span_id), flags })
        };
        for (trace, is_in_context) in [
            (None, false),
            (ids(&[], &[], 0), true),
            (ids(&[0; 16], &[0; 8], 1), true),
            (ids(&[1; 16], &[], 1), true),
            (ids(&[1; 15], &[1; 8], 1), true),
            (ids(&[1; 16], &[1; 9], 1), true),
            (ids(&[1; 16], &[1; 8], 256), true),
        ] {
            let context = at(trace).encode_to_vec();
            assert_eq!(Trace::of_context(&context), None, "{context:?}");
            assert_eq!(is_in(&context), Some(is_in_context), "{context:?}");
        }
        assert_eq!((Trace::of_context(b""), is_in(b"")), (None, Some(false)));
        let right = at(ids(&[1; 16], &[1; 8], 1)).encode_to_vec();
        assert!(Trace::of_context(&right).is_some());
        let cut_off = &right[..right.len() - 1];
        assert_eq!((Trace::of_context(cut_off), is_in(cut_off)), (None, None));
    }

    /// Contexts that are well formed, and those that are not quite.
    fn contexts() -> impl Strategy<Value = Vec<u8>> {
        let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
        let message = (bytes(18), bytes(10), 0_u32..300).prop_map(|(trace_id, span_id, flags)| {
            TraceContext { trace_id: trace_id.into(), span_id: span_id.into(), flags }
        });
        let right = any_trace().prop_map(|trace| trace.to_message());
        let context = ("[J-L]{0,5}", prop::option::of(prop_oneof![message, right])).prop_map(
            |(reference, trace)| {
                PaymentContext { reference, trace, ..Default::default() }.encode_to_vec()
            },
        );
        // Encoded one behind another, messages are merged.
        prop::collection::vec(context, 0..3).prop_map(|parts| parts.concat())
    }

    prop_compose! {
        fn any_trace()(
            ids in (1..u128::MAX, 1..u64::MAX),
            flags in 0..=FLAGS_KNOWN,
        ) -> Trace {
            let (trace_id, span_id) = (ids.0.to_be_bytes(), ids.1.to_be_bytes());
            Trace::new(trace_id, span_id, flags).expect("its ids are not zero")
        }
    }

    proptest! {
        #[test]
        fn a_trace_reads_back(trace in any_trace(), reference in "[J-L]{0,20}") {
            prop_assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
            prop_assert_eq!(Trace::of_message(&trace.to_message()), Some(trace));
            let mut context = PaymentContext { reference, ..Default::default() };
            let appended = [&context.encode_to_vec()[..], &trace.to_field()].concat();
            prop_assert_eq!(Trace::of_context(&appended), Some(trace));
            context.trace = Some(trace.to_message());
            prop_assert_eq!(PaymentContext::decode(&appended[..]), Ok(context));
            let flags = format!("{:02x}", trace.flags());
            prop_assert_eq!(&trace.to_string()[53..], flags);
            prop_assert_eq!(&trace.to_string()[3..35], trace.trace_id_text());
        }

        #[test]
        fn it_is_what_reading_all_of_the_context_says(context in contexts()) {
            let naive = PaymentContext::decode(&context[..]).expect("well formed").trace;
            prop_assert_eq!(is_in(&context), Some(naive.is_some()));
            let naive = naive.and_then(|trace| Trace::of_message(&trace));
            prop_assert_eq!(Trace::of_context(&context), naive);
        }

        #[test]
        fn garbage_does_no_harm(
            garbage in prop::collection::vec(any::<u8>(), 0..80),
            text in "\\PC{0,60}",
        ) {
            let _ = (Trace::of_context(&garbage), is_in(&garbage), Trace::parse(&text));
        }
    }
}
