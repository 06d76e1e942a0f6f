//! Cuts a segment: consumes one, produces a segment that ends with some event of it, as if nothing
//! had been written after that.
//!
//! Whole frames stay byte by byte. A frame that goes on after the event is made anew from its first
//! events: the same time, the same frame before it, another hash.

use std::path::Path;

use millrace_ledger::{EventSeq, Timestamp};

use super::{BackupError, store};
use crate::{
    JournalError,
    frame::FrameBuffer,
    record,
    segment::SegmentReader,
    segment_frames::{ChainEnd, Frame, SegmentFrames},
};

/// The end of a journal that was cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutEnd {
    pub(super) end: ChainEnd,
    /// Time of the last frame.
    pub(super) last_time: Timestamp,
    pub(super) bytes: u64,
}

/// The last event of a segment whose batch is not after this time.
pub(super) fn last_until(path: &Path, time: Timestamp) -> Result<EventSeq, JournalError> {
    let mut frames = SegmentFrames::new(SegmentReader::open(path)?, true);
    frames.skip_while(|header| header.time <= time)?;
    Ok(EventSeq(frames.end.next_seq.0 - 1))
}

/// Writes what the segment `from` has up to the event `last`, which is in it, as the segment `to`.
pub(super) fn cut(from: &Path, last: EventSeq, to: &Path) -> Result<CutEnd, BackupError> {
    let mut frames = SegmentFrames::new(SegmentReader::open(from)?, true);
    let mut last_time = Timestamp(0);
    let whole = loop {
        let (before, offset) = (frames.end, frames.offset);
        if before.next_seq > last {
            break (before, offset, None);
        }
        let Some(frame) = frames.next()? else {
            return Err(frames.damaged("it ends before the event that was asked for").into());
        };
        last_time = frame.header.time;
        if frame.header.next_seq() > last.next() {
            break (before, offset, Some(frame));
        }
    };
    let (mut end, offset, divided) = whole;
    let mut rest = Vec::new();
    if let Some(frame) = divided {
        let journal = frames.segment.header.journal;
        let (bytes, head) = first_of_frame(&frame, last, journal).ok_or_else(|| {
            let what = "a frame's body holds no valid events";
            JournalError::Damaged { path: from.to_owned(), offset, what }
        })?;
        rest = bytes;
        end = ChainEnd { head, next_seq: last.next() };
    }
    let rest = std::iter::once(Ok(rest));
    let pieces = frames.segment.pieces(0, offset).map(|(_, piece)| piece).chain(rest);
    let (bytes, _) = store::write_pieces(to, pieces)?;
    Ok(CutEnd { end, last_time, bytes })
}

/// A frame of the first events of another one.
fn first_of_frame(
    frame: &Frame,
    last: EventSeq,
    journal: [u8; 16],
) -> Option<(Vec<u8>, crate::frame::FrameHash)> {
    let header = &frame.header;
    let count = last.next().0 - header.first_seq.0;
    let events_len = header.events_len as usize;
    let (events, contexts) = record::first_of_body(&frame.body, events_len, count).ok()?;
    let mut buffer = FrameBuffer::default();
    buffer.clear();
    buffer.put_encoded(u32::try_from(count).ok()?, events, contexts);
    let (bytes, hash) = buffer.seal(journal, header.first_seq, header.time, header.previous);
    Some((bytes.to_vec(), hash))
}
