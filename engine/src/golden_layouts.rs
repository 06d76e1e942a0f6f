//! Layouts beside the frame's that must never change: the segment header and the act record. The bytes
//! were made by hand from the tables in the documentation, not by this code.

use std::path::Path;

use bytes::Bytes;
use millrace_ledger::EventSeq;

use crate::{frame::FrameHash, record, segment::SegmentHeader};

const SEGMENT_HEADER: &str = "
    4d4c525345470d0a0100000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
    017c0000000000005a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
    5a5a5a5a5a5a5a5aab5656f90000000000000000000000000000000000000000
    0000000000000000000000000000000000000000000000000000000000000000
";

const ACT: &[u8] = br#"{"actor":"ann"}"#;
const ACT_RECORD: &str = "040000000f000000";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("hex")).collect()
}

#[test]
fn segment_headers_are_written_and_read_as_version_1_always_was() {
    let header = SegmentHeader {
        journal: std::array::from_fn(|at| 0xa0 + at as u8),
        first_seq: EventSeq(31_745),
        previous: FrameHash([0x5a; 32]),
    };
    let golden = bytes_of(SEGMENT_HEADER);
    assert_eq!(header.encode().as_slice(), golden);
    let golden = golden.as_slice().try_into().expect("128 bytes");
    let read = SegmentHeader::decode(golden, Path::new("golden")).expect("is whole");
    assert_eq!(read, header);
}

#[test]
fn acts_are_written_and_read_as_version_1_always_was() {
    let (mut events, mut contexts) = (Vec::new(), Vec::new());
    record::encode_act(ACT, &mut events, &mut contexts);
    let golden = bytes_of(ACT_RECORD);
    assert_eq!((&events, contexts.as_slice()), (&golden, ACT));
    let body = Bytes::from([&golden[..], ACT].concat());
    let read = record::decode_body(&body, golden.len(), EventSeq(5), 1).expect("an act");
    let [act] = &read[..] else { panic!("one act: {read:?}") };
    assert_eq!((act.event.seq(), &act.context[..]), (EventSeq(5), ACT));
    assert!(matches!(act.event, millrace_ledger::Event::Act(_)), "{act:?}");
}
