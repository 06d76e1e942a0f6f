//! What a message says of itself in its headers: which events, of which journal. Consumes and produces
//! header maps, so that a place in the stream is found without reading payloads.

use std::fmt::Write as _;

use async_nats::HeaderMap;
use millrace_ledger::EventSeq;
use millrace_protos::{Trace, trace};
use uuid::Uuid;

/// The version of the payload's schema that is written, and the last one that is understood.
pub const SCHEMA_VERSION: u32 = 1;
/// Header: the schema version.
pub const HEADER_SCHEMA: &str = "Millrace-Schema";
/// Header: the journal's id, 32 hexadecimal digits.
pub const HEADER_JOURNAL: &str = "Millrace-Journal";
/// Header: the hash of the journal frame with the last event, 64 hexadecimal digits.
pub const HEADER_CHAIN: &str = "Millrace-Chain";
/// Header: sequence of the first event.
pub const HEADER_FIRST: &str = "Millrace-First-Sequence";
/// Header: sequence of the last event.
pub const HEADER_LAST: &str = "Millrace-Last-Sequence";
/// Header: W3C trace context.
pub const HEADER_TRACE: &str = trace::HEADER;

/// Which events a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) journal: [u8; 16],
    /// Of the journal frame that the last event is in.
    pub(crate) chain: [u8; 32],
    pub(crate) first: EventSeq,
    pub(crate) last: EventSeq,
}

impl Label {
    /// The id by which the server knows the message: its last event's sequence.
    pub(crate) fn message_id(&self) -> String {
        self.last.to_string()
    }

    /// Writes the headers. `trace` is what the message is part of; without one, its trace is derived.
    pub(crate) fn put(&self, headers: &mut HeaderMap, trace: Option<Trace>) {
        headers.insert(async_nats::header::NATS_MESSAGE_ID, self.message_id());
        headers.insert(HEADER_SCHEMA, SCHEMA_VERSION.to_string());
        headers.insert(HEADER_JOURNAL, hex(&self.journal));
        headers.insert(HEADER_CHAIN, hex(&self.chain));
        headers.insert(HEADER_FIRST, self.first.to_string());
        headers.insert(HEADER_LAST, self.last.to_string());
        let trace = trace.unwrap_or_else(|| derived_trace(self.journal, self.first));
        headers.insert(HEADER_TRACE, trace.to_string());
    }

    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, String> {
        let text = |name: &str| headers.get(name).map(|value| value.as_str());
        let missing = |name: &str| format!("its header {name} is missing or not right");
        let number = |name: &str| {
            text(name).and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| missing(name))
        };
        let schema = number(HEADER_SCHEMA)?;
        if schema > u64::from(SCHEMA_VERSION) {
            return Err(format!(
                "it has schema version {schema}, and this millrace reads up to {SCHEMA_VERSION}: \
                 start a later version"
            ));
        }
        let label = Self {
            journal: text(HEADER_JOURNAL).and_then(unhex).ok_or_else(|| missing(HEADER_JOURNAL))?,
            chain: text(HEADER_CHAIN).and_then(unhex).ok_or_else(|| missing(HEADER_CHAIN))?,
            first: EventSeq(number(HEADER_FIRST)?),
            last: EventSeq(number(HEADER_LAST)?),
        };
        let in_order = EventSeq::FIRST <= label.first && label.first <= label.last;
        if in_order { Ok(label) } else { Err(missing(HEADER_LAST)) }
    }
}

/// A trace for each event, the same whenever and wherever it is published: UUIDv5 of its sequence in
/// the journal's namespace. The parent span is the sequence.
fn derived_trace(journal: [u8; 16], seq: EventSeq) -> Trace {
    const SAMPLED: u8 = 1;
    let id = Uuid::new_v5(&Uuid::from_bytes(journal), &seq.0.to_be_bytes());
    Trace::new(id.into_bytes(), seq.0.to_be_bytes(), SAMPLED)
        .expect("sequences count from 1, and a UUID has a version")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        let (first, last) = (EventSeq(7), EventSeq(1_000));
        Label { journal: [0xab; 16], chain: [0x01; 32], first, last }
    }

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        label().put(&mut headers, None);
        headers
    }

    #[test]
    fn a_label_reads_back() {
        assert_eq!(Label::read(&headers()), Ok(label()));
        let id = headers().get("Nats-Msg-Id").map(|id| id.as_str().to_owned());
        assert_eq!(id.as_deref(), Some("1000"));
    }

    #[test]
    fn a_derived_trace_is_well_formed_and_the_same_each_time() {
        let trace = derived_trace([3; 16], EventSeq(255)).to_string();
        let parts: Vec<&str> = trace.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert_eq!(parts[2], "00000000000000ff");
        assert_eq!(Trace::parse(&trace), Some(derived_trace([3; 16], EventSeq(255))));
        assert_ne!(trace, derived_trace([3; 16], EventSeq(256)).to_string());
    }

    #[test]
    fn a_trace_of_ones_own_is_handed_on_as_it_is() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let mut headers = HeaderMap::new();
        label().put(&mut headers, Trace::parse(parent));
        let found = headers.get(HEADER_TRACE).map(|value| value.as_str());
        assert_eq!(found, Some(parent));
        assert_eq!(Label::read(&headers), Ok(label()));
    }

    #[test]
    fn what_is_wrong_with_a_label_is_named() {
        for (name, value, said) in [
            (HEADER_SCHEMA, "2", "schema version 2, and this millrace reads up to 1"),
            (HEADER_SCHEMA, "x", "Millrace-Schema is missing or not right"),
            (HEADER_JOURNAL, "ab", "Millrace-Journal is missing or not right"),
            (HEADER_CHAIN, &"zz".repeat(32), "Millrace-Chain is missing or not right"),
            (HEADER_FIRST, "0", "Millrace-Last-Sequence is missing or not right"),
            (HEADER_LAST, "6", "Millrace-Last-Sequence is missing or not right"),
        ] {
            let mut headers = headers();
            headers.insert(name, value);
            let problem = Label::read(&headers).expect_err(said);
            assert!(problem.contains(said), "{problem}");
        }
        assert!(Label::read(&HeaderMap::new()).is_err());
    }
}
