//! The frames of one segment: consumes a segment and what it follows, produces its frames in order.
//! Guarantees what recovery guarantees of them: each is whole, hashed right and continues the chain.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use millrace_ledger::EventSeq;

use crate::{
    JournalError,
    frame::{FrameHash, FrameHeader, VERSION},
    segment::{FIRST_FRAME, Found, SegmentReader},
    segment_reader::Rest,
};

/// How often a place is looked at before it is called torn: a server that writes meanwhile finishes
/// the frame between two looks.
const LOOKS: u32 = 3;

/// What the next frame has to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainEnd {
    pub(crate) head: FrameHash,
    pub(crate) next_seq: EventSeq,
}

impl ChainEnd {
    /// What the first frame of a journal has to continue.
    pub(crate) const GENESIS: Self = Self { head: FrameHash([0; 32]), next_seq: EventSeq::FIRST };

    /// What the first frame of a segment has to continue, as far as the segment knows.
    pub(crate) fn before(segment: &SegmentReader) -> Self {
        Self { head: segment.header.previous, next_seq: segment.header.first_seq }
    }
}

/// A whole frame, and where it stands.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) hash: FrameHash,
    pub(crate) body: Bytes,
}

/// Walks over the frames of one segment.
#[derive(Debug)]
pub(crate) struct SegmentFrames {
    pub(crate) segment: SegmentReader,
    pub(crate) path: Arc<Path>,
    /// Where the frames that were read end.
    pub(crate) offset: u64,
    pub(crate) end: ChainEnd,
    is_last: bool,
    /// Whether bytes that are no frame follow the last one.
    pub(crate) is_torn: bool,
}

impl SegmentFrames {
    /// Starts at the first frame. `is_last` tells whether the journal may end in this segment.
    pub(crate) fn new(segment: SegmentReader, is_last: bool) -> Self {
        let path = segment.path.as_path().into();
        let end = ChainEnd::before(&segment);
        Self { segment, path, offset: FIRST_FRAME, end, is_last, is_torn: false }
    }

    /// Passes by the frames from here on that `skip` accepts, by their headers alone. The chain goes
    /// over headers, so it is checked all the same.
    pub(crate) fn skip_while(
        &mut self,
        skip: impl Fn(&FrameHeader) -> bool,
    ) -> Result<(), JournalError> {
        while let Ok((header, bytes)) = self.segment.read_header(self.offset)? {
            let after = self.offset + header.frame_len() as u64;
            // One that goes past the end is read, and found broken.
            if !skip(&header) || after > self.segment.len {
                return Ok(());
            }
            self.go_on(&header, FrameHash::of(&bytes))?;
        }
        Ok(())
    }

    /// Passes by them as [`Self::skip_while`] does, and checks their bodies as well.
    pub(crate) fn check_while(
        &mut self,
        skip: impl Fn(&FrameHeader) -> bool,
    ) -> Result<(), JournalError> {
        while let Ok((header, _)) = self.segment.read_header(self.offset)?
            && skip(&header)
            && self.next()?.is_some()
        {}
        Ok(())
    }

    /// The next frame; `None` behind the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, JournalError> {
        let mut looks_left = LOOKS;
        loop {
            let offset = self.offset;
            match self.segment.read(offset)? {
                Found::Frame(header, hash, body) => {
                    self.go_on(&header, hash)?;
                    return Ok(Some(Frame { offset, header, hash, body }));
                }
                Found::Newer(found) => {
                    let path = self.segment.path.clone();
                    return Err(JournalError::NewerVersion { path, found, supported: VERSION });
                }
                Found::Broken(what) if !self.is_last => return Err(self.damaged(what)),
                Found::End if !self.is_last => return Ok(None),
                Found::End | Found::Broken(_) => {}
            }
            looks_left -= 1;
            match self.segment.rest(offset)? {
                Rest::Blank => return Ok(None),
                Rest::Torn | Rest::FrameFollows if looks_left > 0 => {}
                Rest::Torn => {
                    self.is_torn = true;
                    return Ok(None);
                }
                Rest::FrameFollows => {
                    let what = "what stands here is no frame, but a whole frame follows";
                    return Err(self.damaged(what));
                }
            }
        }
    }

    pub(crate) fn damaged(&self, what: &'static str) -> JournalError {
        JournalError::Damaged { path: self.segment.path.clone(), offset: self.offset, what }
    }

    fn go_on(&mut self, header: &FrameHeader, hash: FrameHash) -> Result<(), JournalError> {
        if header.previous != self.end.head || header.first_seq != self.end.next_seq {
            return Err(self.damaged("a frame does not continue the one before it"));
        }
        self.offset += header.frame_len() as u64;
        self.end = ChainEnd { head: hash, next_seq: header.next_seq() };
        Ok(())
    }
}
