//! The journal, frame by frame, for tools: consumes a directory, produces its frames in order.
//!
//! Changes nothing and needs no lock, so it is safe beside a running engine: it sees the segments
//! that are there when it starts. Guarantees what recovery guarantees of the frames: whole, hashed
//! right, each continuing the one before it, and the last one not before what the durable note tells.
//! What it leaves out is the ledger: whether balances
//! follow from the events is for [`crate::recover::verify`] to say.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    vec,
};

use bytes::Bytes;
use millrace_ledger::{EventSeq, Timestamp};

use crate::{
    FeedEvent, JournalError,
    frame::{ALIGNMENT, FrameHash, FrameHeader, HEADER_LEN},
    record,
    recover::Known,
    segment::{self, FIRST_FRAME, Found, JournalId, SegmentReader},
    segment_frames::{ChainEnd, Frame, SegmentFrames},
};

/// Where a scan starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is still there.
    Oldest,
    /// With the frame that holds this event.
    Seq(EventSeq),
    /// With the first frame of this time or later.
    Time(Timestamp),
}

/// A whole frame. Its events are decoded on demand.
#[derive(Clone, Debug)]
pub struct ScannedFrame {
    /// The file that it stands in, archived or not.
    pub segment: Arc<Path>,
    /// Where in the segment, in bytes; of an archived one, once it is decompressed.
    pub offset: u64,
    /// Its first event.
    pub first_seq: EventSeq,
    /// How many events it holds.
    pub event_count: u32,
    /// Time of the batch.
    pub time: Timestamp,
    /// Length of the event part, in bytes.
    pub events_len: u32,
    /// Length of the context part, in bytes.
    pub context_len: u32,
    /// Its hash, by which the next frame refers to it.
    pub hash: FrameHash,
    /// Hash of the frame before it; zeros in a journal's first.
    pub previous: FrameHash,
    body: Bytes,
}

impl ScannedFrame {
    fn new(segment: &Arc<Path>, frame: Frame) -> Self {
        let Frame { offset, header, hash, body } = frame;
        Self {
            segment: segment.clone(),
            offset,
            first_seq: header.first_seq,
            event_count: header.event_count,
            time: header.time,
            events_len: header.events_len,
            context_len: header.context_len,
            hash,
            previous: header.previous,
            body,
        }
    }

    /// Its length on disk, in bytes.
    pub(crate) fn len(&self) -> u64 {
        let whole = HEADER_LEN + self.events_len as usize + self.context_len as usize;
        whole.next_multiple_of(ALIGNMENT) as u64
    }

    /// Its last event.
    #[must_use]
    pub fn last_seq(&self) -> EventSeq {
        EventSeq((self.first_seq.0 + u64::from(self.event_count)).saturating_sub(1))
    }

    /// Decodes its events, in sequence.
    ///
    /// # Errors
    /// When the body is what was written, but holds no valid events: a defect of the writer.
    pub fn events(&self) -> Result<Vec<FeedEvent>, JournalError> {
        let mut events = Vec::new();
        self.each_event(|event, _| events.push(event))?;
        Ok(events)
    }

    /// Decodes its events, in sequence, each with whether it belongs to the linked group of the one
    /// before it.
    pub(crate) fn each_event(&self, each: impl FnMut(FeedEvent, bool)) -> Result<(), JournalError> {
        let (events_len, first_seq) = (self.events_len as usize, self.first_seq);
        let decoded =
            record::decode_each(&self.body, events_len, first_seq, self.event_count, each);
        decoded.map_err(|_| JournalError::Damaged {
            path: self.segment.to_path_buf(),
            offset: self.offset,
            what: "a frame's body holds no valid events",
        })
    }
}

/// A frame that was never acknowledged, or is being written just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: PathBuf,
    /// Where in it the last whole frame ends.
    pub offset: u64,
}

/// Reads a journal from a place to its end. Ends after the first error.
#[derive(Debug)]
pub struct JournalScan {
    start: Start,
    segments: vec::IntoIter<(EventSeq, PathBuf)>,
    current: Option<SegmentFrames>,
    /// What the next segment has to continue; `None` before the first one.
    before: Option<(JournalId, ChainEnd)>,
    torn_tail: Option<TornTail>,
    /// What the journal has to have, until that was checked.
    known: Option<Known>,
    failed: bool,
}

impl JournalScan {
    /// Starts at the first event.
    ///
    /// # Errors
    /// When the directory can't be listed, or its newest segment is missing.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        Self::open_at(directory, Start::Seq(EventSeq::FIRST))
    }

    /// Starts at a place. Of segments before it no byte is read but their first headers, of frames
    /// before it in its segment only their headers.
    ///
    /// # Errors
    /// When the directory can't be listed, or a segment before the place can't be read or is
    /// missing.
    pub fn open_at(directory: &Path, start: Start) -> Result<Self, JournalError> {
        let known = Some(Known::by_note(directory)?);
        let mut segments = segment::list(directory)?;
        let before = match start {
            Start::Oldest => 0,
            Start::Seq(seq) => segments.partition_point(|(first, _)| *first <= seq),
            Start::Time(time) => count_until(&segments, time)?,
        };
        if let (0, Start::Seq(expected), Some((first, _))) = (before, start, segments.first()) {
            return Err(JournalError::BeginningGone {
                path: directory.to_owned(),
                first: *first,
                wanted: expected,
                snapshots: Vec::new(),
            });
        }
        segments.drain(..before.saturating_sub(1));
        let segments = segments.into_iter();
        let (current, before, torn_tail) = (None, None, None);
        Ok(Self { start, segments, current, before, torn_tail, known, failed: false })
    }

    /// Leaves it to the caller to check where the journal ends.
    pub(crate) fn with_any_end(self) -> Self {
        Self { known: None, ..self }
    }

    /// What follows the last frame and is none; known once the scan has ended.
    #[must_use]
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.torn_tail.as_ref()
    }

    /// The journal's id; known once the scan has ended.
    pub(crate) fn journal(&self) -> Option<JournalId> {
        self.before.map(|(journal, _)| journal)
    }

    /// Hash of the journal's last frame; known once the scan has ended.
    pub(crate) fn head(&self) -> Option<FrameHash> {
        self.before.map(|(_, end)| end.head)
    }

    fn next_frame(&mut self) -> Result<Option<ScannedFrame>, JournalError> {
        loop {
            if self.current.is_none() && !self.next_segment()? {
                return self.check_end().map(|()| None);
            }
            let Some(current) = &mut self.current else { return Ok(None) };
            let start = self.start;
            current.skip_while(|header| is_before(header, start))?;
            if let Some(frame) = current.next()? {
                return Ok(Some(ScannedFrame::new(&current.path, frame)));
            }
            if current.is_torn {
                let segment = current.segment.path.clone();
                self.torn_tail = Some(TornTail { segment, offset: current.offset });
            }
            self.before = Some((current.segment.header.journal, current.end));
            self.current = None;
        }
    }

    /// Checks, once, that the journal may end where it does.
    fn check_end(&mut self) -> Result<(), JournalError> {
        let Some(known) = self.known.take() else { return Ok(()) };
        let last = self.before.map_or(EventSeq(0), |(_, end)| EventSeq(end.next_seq.0 - 1));
        let torn = self.torn_tail.clone();
        known.end(self.journal(), last, torn.map(|torn| (torn.segment, torn.offset)))
    }

    /// Opens the next segment. `false` when there is none.
    fn next_segment(&mut self) -> Result<bool, JournalError> {
        let Some((named, path)) = self.segments.next() else { return Ok(false) };
        let segment = SegmentReader::open(&path)?;
        check_follows(&segment, named, self.before)?;
        let is_last = self.segments.len() == 0;
        self.current = Some(SegmentFrames::new(segment, is_last));
        Ok(true)
    }
}

impl Iterator for JournalScan {
    type Item = Result<ScannedFrame, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_frame().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// The last event of a journal; 0 when it has none. Reads headers of the newest segment only, and
/// the last frame.
///
/// # Errors
/// When the newest segment can't be read, or what it holds does not follow from each other.
pub fn last_seq(directory: &Path) -> Result<EventSeq, JournalError> {
    let segments = segment::list(directory)?;
    let Some((_, path)) = segments.last() else { return Ok(EventSeq(0)) };
    let segment = SegmentReader::open(path)?;
    let (mut offset, mut next_seq) = (FIRST_FRAME, segment.header.first_seq);
    while let Ok((header, _)) = segment.read_header(offset)? {
        let after = offset + header.frame_len() as u64;
        let is_last = segment.read_header(after)?.is_err();
        // Of all but the last frame it is known that they are whole: others follow.
        if is_last && !matches!(segment.read(offset)?, Found::Frame(..)) {
            break;
        }
        (offset, next_seq) = (after, header.next_seq());
    }
    Ok(EventSeq(next_seq.0.saturating_sub(1)))
}

/// Whether a segment is the one that comes next. Without one before it, only whether it is right in
/// itself.
pub(crate) fn check_follows(
    segment: &SegmentReader,
    named: EventSeq,
    before: Option<(JournalId, ChainEnd)>,
) -> Result<(), JournalError> {
    let header = &segment.header;
    let (journal, end) = match before {
        Some(before) => before,
        None if named == EventSeq::FIRST => (header.journal, ChainEnd::GENESIS),
        None => (header.journal, ChainEnd::before(segment)),
    };
    let expected = if before.is_some() { end.next_seq } else { named };
    let wrong = |what| JournalError::WrongSegment { path: segment.path.clone(), what, expected };
    if header.first_seq != named {
        return Err(wrong("its name and its header tell different first events"));
    }
    if header.journal != journal {
        return Err(wrong("it belongs to another journal"));
    }
    if header.first_seq != end.next_seq {
        return Err(wrong("a segment before it is missing, or it is here twice"));
    }
    if header.previous != end.head {
        return Err(wrong("the segment before it ends with another frame than it should"));
    }
    Ok(())
}

fn is_before(header: &FrameHeader, start: Start) -> bool {
    match start {
        Start::Oldest => false,
        Start::Seq(seq) => header.next_seq() <= seq,
        Start::Time(time) => header.time < time,
    }
}

/// How many segments start before a time. Times never go back.
fn count_until(segments: &[(EventSeq, PathBuf)], time: Timestamp) -> Result<usize, JournalError> {
    let (mut low, mut high) = (0, segments.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        match SegmentReader::first_time(&segments[middle].1)? {
            Some(first) if first < time => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}
