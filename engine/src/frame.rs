//! Frames: the unit that is written, synced and released at once. One batch is one frame.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `MLRF` |
//! | 4 | 4 | format version, 1 |
//! | 8 | 4 | length of the event part |
//! | 12 | 4 | length of the context part (personal context, apart so that it can be encrypted) |
//! | 16 | 4 | number of events |
//! | 20 | 4 | zero |
//! | 24 | 8 | sequence of the first event |
//! | 32 | 8 | time of the batch, nanoseconds since the Unix epoch |
//! | 40 | 32 | hash of the previous frame; of a journal's first frame, zeros |
//! | 72 | 32 | BLAKE3 of the event part and the context part |
//! | 104 | 4 | CRC-32C of bytes 0 to 103 |
//! | 108 | 16 | journal id: a client that can plant bytes in a context does not know it |
//! | 124 | 4 | zero |
//! | 128 | | event part, context part, zeros up to a multiple of 64 |
//!
//! Numbers are little-endian. A frame's hash is the BLAKE3 of its 128-byte header, which holds
//! the body's hash and the previous frame's: the chain covers every byte.

use millrace_ledger::{EventSeq, Timestamp};

pub(crate) const MAGIC: [u8; 4] = *b"MLRF";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_LEN: usize = 128;
/// Where a header tells its journal.
pub(crate) const JOURNAL: std::ops::Range<usize> = 108..124;
/// Frames start at multiples of this, so that a lost one can be searched for.
pub(crate) const ALIGNMENT: usize = 64;

/// Hash of a frame, by which the next one refers to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHash(pub [u8; 32]);

/// A header that was read and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) events_len: u32,
    pub(crate) context_len: u32,
    pub(crate) event_count: u32,
    pub(crate) first_seq: EventSeq,
    pub(crate) time: Timestamp,
    pub(crate) previous: FrameHash,
    pub(crate) body_hash: [u8; 32],
    pub(crate) journal: [u8; 16],
}

/// Why bytes are no frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// All zeros: nothing was ever written here.
    Blank,
    /// A whole header of a later version.
    NewerVersion(u32),
    /// Anything else.
    Invalid,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[0..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&VERSION.to_le_bytes());
        header[8..12].copy_from_slice(&self.events_len.to_le_bytes());
        header[12..16].copy_from_slice(&self.context_len.to_le_bytes());
        header[16..20].copy_from_slice(&self.event_count.to_le_bytes());
        header[24..32].copy_from_slice(&self.first_seq.0.to_le_bytes());
        header[32..40].copy_from_slice(&self.time.0.to_le_bytes());
        header[40..72].copy_from_slice(&self.previous.0);
        header[72..104].copy_from_slice(&self.body_hash);
        let checksum = crc32c::crc32c(&header[..104]);
        header[104..108].copy_from_slice(&checksum.to_le_bytes());
        header[JOURNAL].copy_from_slice(&self.journal);
        header
    }

    pub(crate) fn decode(header: &[u8; HEADER_LEN]) -> Result<Self, NoHeader> {
        if header.iter().all(|byte| *byte == 0) {
            return Err(NoHeader::Blank);
        }
        let u32_at = |at: usize| u32::from_le_bytes(array(&header[at..at + 4]));
        let u64_at = |at: usize| u64::from_le_bytes(array(&header[at..at + 8]));
        let rest_is_zero = u32_at(20) == 0 && header[JOURNAL.end..].iter().all(|byte| *byte == 0);
        if header[0..4] != MAGIC || crc32c::crc32c(&header[..104]) != u32_at(104) || !rest_is_zero {
            return Err(NoHeader::Invalid);
        }
        match u32_at(4) {
            VERSION => {}
            newer if newer > VERSION => return Err(NoHeader::NewerVersion(newer)),
            _ => return Err(NoHeader::Invalid),
        }
        Ok(Self {
            events_len: u32_at(8),
            context_len: u32_at(12),
            event_count: u32_at(16),
            first_seq: EventSeq(u64_at(24)),
            time: Timestamp(u64_at(32)),
            previous: FrameHash(array(&header[40..72])),
            body_hash: array(&header[72..104]),
            journal: array(&header[JOURNAL]),
        })
    }

    /// Length of event part and context part together.
    pub(crate) fn body_len(&self) -> usize {
        self.events_len as usize + self.context_len as usize
    }

    /// Length of the whole frame on disk.
    pub(crate) fn frame_len(&self) -> usize {
        (HEADER_LEN + self.body_len()).next_multiple_of(ALIGNMENT)
    }

    /// The event after the last one of this frame.
    pub(crate) fn next_seq(&self) -> EventSeq {
        EventSeq(self.first_seq.0 + u64::from(self.event_count))
    }
}

impl FrameHash {
    /// The hash of the frame with this header.
    pub(crate) fn of(header: &[u8; HEADER_LEN]) -> Self {
        Self(*blake3::hash(header).as_bytes())
    }
}

/// A frame in the making: the header's place, then the events; contexts apart until it is sealed.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    contexts: Vec<u8>,
    event_count: u32,
}

impl FrameBuffer {
    /// Makes it empty again, keeping its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_LEN, 0);
        self.contexts.clear();
        self.event_count = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.contexts.len()
    }

    pub(crate) fn event_count(&self) -> u32 {
        self.event_count
    }

    /// Where an event and its context are appended to.
    pub(crate) fn begin_event(&mut self) -> (&mut Vec<u8>, &mut Vec<u8>) {
        self.event_count += 1;
        (&mut self.bytes, &mut self.contexts)
    }

    /// Appends so many events that were encoded before, with their contexts.
    pub(crate) fn put_encoded(&mut self, event_count: u32, events: &[u8], contexts: &[u8]) {
        self.event_count += event_count;
        self.bytes.extend_from_slice(events);
        self.contexts.extend_from_slice(contexts);
    }

    /// Fills in the header. Returns the frame's bytes and its hash.
    pub(crate) fn seal(
        &mut self,
        journal: [u8; 16],
        first_seq: EventSeq,
        time: Timestamp,
        previous: FrameHash,
    ) -> (&[u8], FrameHash) {
        let length = |len: usize| u32::try_from(len).expect("batches are far below 4 GiB");
        let events_len = length(self.bytes.len() - HEADER_LEN);
        self.bytes.extend_from_slice(&self.contexts);
        let header = FrameHeader {
            events_len,
            context_len: length(self.contexts.len()),
            event_count: self.event_count,
            first_seq,
            time,
            previous,
            journal,
            body_hash: *blake3::hash(&self.bytes[HEADER_LEN..]).as_bytes(),
        };
        let encoded = header.encode();
        self.bytes[..HEADER_LEN].copy_from_slice(&encoded);
        self.bytes.resize(header.frame_len(), 0);
        (&self.bytes, FrameHash::of(&encoded))
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice has the array's length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut buffer = FrameBuffer::default();
        buffer.clear();
        let (events, contexts) = buffer.begin_event();
        events.extend_from_slice(b"event");
        contexts.extend_from_slice(b"context");
        buffer.seal([0; 16], EventSeq(7), Timestamp(9), FrameHash([3; 32])).0.to_vec()
    }

    #[test]
    fn a_sealed_frame_reads_back() {
        let frame = sealed();
        let bytes: [u8; HEADER_LEN] = array(&frame[..HEADER_LEN]);
        let header = FrameHeader::decode(&bytes).expect("whole");
        assert_eq!((header.first_seq, header.next_seq()), (EventSeq(7), EventSeq(8)));
        assert_eq!((header.time, header.previous), (Timestamp(9), FrameHash([3; 32])));
        assert_eq!((header.events_len, header.context_len), (5, 7));
        assert_eq!((frame.len(), header.frame_len()), (192, 192));
        assert_eq!(&frame[HEADER_LEN..HEADER_LEN + 12], b"eventcontext");
        assert_eq!(header.encode(), bytes);
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let frame = sealed();
        // The journal's id is compared with the segment's, where a frame is read.
        for bit in (0..HEADER_LEN * 8).filter(|bit| !JOURNAL.contains(&(bit / 8))) {
            let mut bytes: [u8; HEADER_LEN] = array(&frame[..HEADER_LEN]);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&bytes), Err(NoHeader::Invalid), "bit {bit}");
        }
        assert_eq!(FrameHeader::decode(&[0; HEADER_LEN]), Err(NoHeader::Blank));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes: [u8; HEADER_LEN] = array(&sealed()[..HEADER_LEN]);
        bytes[4] = 2;
        let checksum = crc32c::crc32c(&bytes[..104]);
        bytes[104..108].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(FrameHeader::decode(&bytes), Err(NoHeader::NewerVersion(2)));
    }
}
