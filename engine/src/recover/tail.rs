//! The journal after a place: consumes its segments, applies their events to the ledger, produces the
//! place where it ends. Refuses what does not follow.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use crossbeam_channel::bounded;
use millrace_ledger::{EventSeq, Gate, Ledger, Timestamp};

use super::{
    RecoveryReport,
    known::{self, Known},
};
use crate::{
    FeedEvent, JournalError,
    frame::FrameHeader,
    record,
    scan::check_follows,
    segment::{self, JournalId, SegmentReader},
    segment_frames::{ChainEnd, Frame, SegmentFrames},
    threads::none_left,
};

/// Accounts are fetched from memory so many events before they are needed, and what says where they are
/// as many before that.
const EVENTS_AHEAD: usize = 16;

/// Frames that were decoded and wait to be applied: a few megabytes.
const FRAMES_AHEAD: usize = 4;

/// The journal, read to its end.
pub(super) struct End {
    pub(super) segment: SegmentReader,
    /// Where its last frame starts; the segment's header, if it has none.
    pub(super) last_frame: u64,
    pub(super) offset: u64,
}

/// Applies what the journal has after some place.
pub(super) struct Tail<'a, G, F> {
    pub(super) directory: &'a Path,
    pub(super) ledger: &'a mut Ledger,
    pub(super) gate: &'a mut G,
    pub(super) report: &'a mut RecoveryReport,
    pub(super) known: Known,
    /// Whether all frames that are there are read and checked, those that a snapshot knows, too.
    pub(super) reads_known: bool,
    pub(super) after_frame: F,
}

impl<G: Gate, F: FnMut(&mut Ledger) -> Result<(), JournalError>> Tail<'_, G, F> {
    pub(super) fn read(
        mut self,
        from: ChainEnd,
        snapshot: Option<&Path>,
    ) -> Result<Option<End>, JournalError> {
        let segments = segment::list(self.directory)?;
        let first = match self.reads_known {
            true => 0,
            false => first_read(&segments, from.next_seq),
        };
        check_begins(&segments, self.directory, from.next_seq, self.report)?;
        self.report.head = from.head;
        self.known.begin(from);
        self.report.first_seq = segments.get(first).map_or(from.next_seq, |(first, _)| *first);
        let mut before: Option<(JournalId, ChainEnd)> = None;
        // Whether the place to go on from was passed.
        let mut passed = false;
        let (mut end, mut broken) = (None, None);
        let mut said = Instant::now();
        for (position, (named, path)) in segments.iter().enumerate().skip(first) {
            let segment = SegmentReader::open(path)?;
            let journal = segment.header.journal;
            // What a snapshot or nothing comes before is known as well as what a segment does.
            let begins_here = before.is_none() && *named >= from.next_seq;
            if let (true, Some(snapshot)) = (begins_here, snapshot)
                && (*named, segment.header.first_seq) == (from.next_seq, from.next_seq)
                && segment.header.previous != from.head
            {
                return Err(known::another_frame(snapshot));
            }
            check_follows(
                &segment,
                *named,
                if begins_here { Some((journal, from)) } else { before },
            )?;
            let is_last = position + 1 == segments.len();
            let mut frames = SegmentFrames::new(segment, is_last);
            if !passed && !begins_here {
                passed = skip_known(&mut frames, from, is_last, self.reads_known, snapshot)?;
            }
            passed |= begins_here;
            let last_frame = if passed { self.apply(&mut frames)? } else { 0 };
            before = Some((journal, frames.end));
            broken = known::broken(&frames);
            self.report.segments += 1;
            self.report.bytes += frames.offset;
            self.report.head = frames.end.head;
            let SegmentFrames { segment, offset, .. } = frames;
            end = Some(End { segment, last_frame, offset });
            if said.elapsed().as_secs() >= 2 {
                said = Instant::now();
                let (segment, events) = (position + 1, self.ledger.last_seq().0);
                tracing::info!(segment, of = segments.len(), events, "reading the journal");
            }
        }
        self.report.last_seq = self.ledger.last_seq();
        self.known.end(before.map(|(journal, _)| journal), self.report.last_seq, broken.clone())?;
        self.report.torn_tail = broken.map(|(path, offset)| (path.display().to_string(), offset));
        self.ledger.end_batch();
        Ok(end)
    }

    /// Applies the frames of a segment that are left, while the next ones are read, checked and decoded.
    /// Returns where the last one starts.
    fn apply(&mut self, frames: &mut SegmentFrames) -> Result<u64, JournalError> {
        let fresh = frames.offset == segment::FIRST_FRAME;
        let mut last_frame = if fresh { 0 } else { frames.offset };
        let path = frames.segment.path.clone();
        thread::scope(|scope| {
            let (decoded, to_apply) = bounded(FRAMES_AHEAD);
            let decode_all = move || {
                while let Some(frame) = decode_next(frames).transpose() {
                    let failed = frame.is_err();
                    // Whoever applies them has stopped, and says why.
                    if decoded.send(frame).is_err() || failed {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name("decoder".to_owned());
            thread.spawn_scoped(scope, decode_all).map_err(none_left("decoder"))?;
            for frame in to_apply {
                last_frame = self.apply_frame(&path, frame?)?;
            }
            Ok(last_frame)
        })
    }

    /// Returns where the frame starts.
    fn apply_frame(&mut self, path: &Path, frame: Decoded) -> Result<u64, JournalError> {
        let Decoded { offset, time, end, events } = frame;
        self.ledger.begin_recorded_batch(time);
        for (at, (FeedEvent { event, context, .. }, continues_group)) in events.iter().enumerate() {
            if let Some((ahead, _)) = events.get(at + 2 * EVENTS_AHEAD) {
                self.ledger.prefetch_index(&ahead.event);
            }
            if let Some((ahead, _)) = events.get(at + EVENTS_AHEAD) {
                self.ledger.prefetch_accounts(&ahead.event);
            }
            let applied = self.ledger.apply_recorded(event, context, *continues_group, self.gate);
            applied.map_err(|divergence| JournalError::Diverged {
                path: path.to_owned(),
                divergence,
            })?;
        }
        self.known.frame(end, self.ledger)?;
        (self.after_frame)(self.ledger)?;
        self.report.frames += 1;
        Ok(offset)
    }
}

/// A frame that was read, checked and decoded.
struct Decoded {
    offset: u64,
    time: Timestamp,
    /// What the next frame has to continue.
    end: ChainEnd,
    /// Each with whether it continues the linked group of the one before.
    events: Vec<(FeedEvent, bool)>,
}

fn decode_next(frames: &mut SegmentFrames) -> Result<Option<Decoded>, JournalError> {
    let Some(Frame { offset, header, body, .. }) = frames.next()? else { return Ok(None) };
    let events_len = (header.events_len as usize).min(body.len());
    let mut events = Vec::with_capacity(record::count_max(events_len, header.event_count));
    record::decode_each(
        &body,
        header.events_len as usize,
        header.first_seq,
        header.event_count,
        |event, continues_group| events.push((event, continues_group)),
    )
    .map_err(|_| JournalError::Damaged {
        path: frames.segment.path.clone(),
        offset,
        what: "a frame's body holds no valid events",
    })?;
    Ok(Some(Decoded { offset, time: header.time, end: frames.end, events }))
}

/// Whether the journal reaches back to the event that recovery goes on with.
pub(super) fn check_begins(
    segments: &[(EventSeq, PathBuf)],
    directory: &Path,
    wanted: EventSeq,
    report: &RecoveryReport,
) -> Result<(), JournalError> {
    match segments.first() {
        Some((first, _)) if *first > wanted => Err(JournalError::BeginningGone {
            path: directory.to_owned(),
            first: *first,
            wanted,
            snapshots: report.snapshots_passed_over.clone(),
        }),
        _ => Ok(()),
    }
}

/// Whether all segments that would be read from an event on are of one journal. The newest one told of
/// which journal snapshots have to be, and may be here by mistake.
pub(super) fn check_of_one_journal(
    segments: &[(EventSeq, PathBuf)],
    from: EventSeq,
) -> Result<(), JournalError> {
    let mut of = None;
    for (named, path) in &segments[first_read(segments, from)..] {
        let journal = SegmentReader::open(path)?.header.journal;
        if *of.get_or_insert(journal) != journal {
            let what = "it belongs to another journal";
            return Err(JournalError::WrongSegment { path: path.clone(), what, expected: *named });
        }
    }
    Ok(())
}

/// The segment that holds an event, or the first one.
fn first_read(segments: &[(EventSeq, PathBuf)], from: EventSeq) -> usize {
    segments.partition_point(|(first, _)| *first <= from).saturating_sub(1)
}

/// Passes by the frames that a snapshot knows, and checks that it is of this very history. In the last
/// segment, which is written on, their bodies are checked as well: nothing is put behind damage.
/// `false` where the snapshot's place comes in a later segment, if all are read.
fn skip_known(
    frames: &mut SegmentFrames,
    from: ChainEnd,
    is_last: bool,
    reads_all: bool,
    snapshot: Option<&Path>,
) -> Result<bool, JournalError> {
    let is_known = |header: &FrameHeader| header.next_seq() <= from.next_seq;
    match is_last || reads_all {
        true => frames.check_while(is_known)?,
        false => frames.skip_while(is_known)?,
    }
    let path = snapshot.unwrap_or(&frames.path).to_owned();
    let last = EventSeq(frames.end.next_seq.0 - 1);
    let known = EventSeq(from.next_seq.0 - 1);
    if frames.end == from {
        return Ok(true);
    }
    // What is damaged is told as that.
    if last < known && frames.next()?.is_none() {
        let broken = known::broken(frames);
        match (is_last, reads_all) {
            (true, _) => return Err(JournalError::SnapshotAhead { path, known, last, broken }),
            (false, true) => return Ok(false),
            (false, false) => {}
        }
    }
    Err(known::another_frame(path))
}
