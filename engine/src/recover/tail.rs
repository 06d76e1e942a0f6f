//! The journal after a place: consumes its segments, applies their events to the ledger, produces the
//! place where it ends. Refuses what does not follow.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use millrace_ledger::{EventSeq, Gate, Ledger};

use super::RecoveryReport;
use crate::{
    FeedEvent, JournalError, record,
    scan::check_follows,
    segment::{self, JournalId, SegmentReader},
    segment_frames::{ChainEnd, Frame, SegmentFrames},
};

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
    pub(super) after_frame: F,
}

impl<G: Gate, F: FnMut(&mut Ledger) -> Result<(), JournalError>> Tail<'_, G, F> {
    pub(super) fn read(
        mut self,
        from: ChainEnd,
        snapshot: Option<&Path>,
    ) -> Result<Option<End>, JournalError> {
        let segments = segment::list(self.directory)?;
        let first = segments.partition_point(|(first, _)| *first <= from.next_seq);
        let first = first.saturating_sub(1);
        check_begins(&segments, self.directory, from.next_seq, self.report)?;
        self.report.head = from.head;
        let mut before: Option<(JournalId, ChainEnd)> = None;
        let mut end = None;
        let mut said = Instant::now();
        for (position, (named, path)) in segments.iter().enumerate().skip(first) {
            let segment = SegmentReader::open(path)?;
            let journal = segment.header.journal;
            // What a snapshot or nothing comes before is known as well as what a segment does.
            let begins_here = before.is_none() && *named >= from.next_seq;
            check_follows(
                &segment,
                *named,
                if begins_here { Some((journal, from)) } else { before },
            )?;
            let is_last = position + 1 == segments.len();
            let mut frames = SegmentFrames::new(segment, is_last);
            if before.is_none() && !begins_here {
                skip_known(&mut frames, from, is_last, snapshot)?;
            }
            let last_frame = self.apply(&mut frames)?;
            before = Some((journal, frames.end));
            if frames.is_torn {
                let path = frames.segment.path.display().to_string();
                self.report.torn_tail = Some((path, frames.offset));
            }
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
        self.ledger.end_batch();
        Ok(end)
    }

    /// Applies the frames of a segment that are left. Returns where the last one starts.
    fn apply(&mut self, frames: &mut SegmentFrames) -> Result<u64, JournalError> {
        let fresh = frames.offset == segment::FIRST_FRAME;
        let mut last_frame = if fresh { 0 } else { frames.offset };
        while let Some(Frame { offset, header, body, .. }) = frames.next()? {
            let events_len = (header.events_len as usize).min(body.len());
            let events_max = record::count_max(events_len, header.event_count);
            let mut events = Vec::with_capacity(events_max);
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
            self.ledger.begin_recorded_batch(header.time);
            for (FeedEvent { event, context, .. }, continues_group) in &events {
                let applied =
                    self.ledger.apply_recorded(event, context, *continues_group, self.gate);
                applied.map_err(|divergence| JournalError::Diverged {
                    path: frames.segment.path.clone(),
                    divergence,
                })?;
            }
            (self.after_frame)(self.ledger)?;
            self.report.frames += 1;
            last_frame = offset;
        }
        Ok(last_frame)
    }
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

/// Passes by the frames that a snapshot knows, and checks that it is of this very history.
fn skip_known(
    frames: &mut SegmentFrames,
    from: ChainEnd,
    is_last: bool,
    snapshot: Option<&Path>,
) -> Result<(), JournalError> {
    frames.skip_while(|header| header.next_seq() <= from.next_seq)?;
    let path = snapshot.unwrap_or(&frames.path).to_owned();
    let last = EventSeq(frames.end.next_seq.0 - 1);
    let known = EventSeq(from.next_seq.0 - 1);
    if frames.end == from {
        return Ok(());
    }
    if last < known && is_last && frames.next()?.is_none() {
        return Err(JournalError::SnapshotAhead { path, known, last });
    }
    let what = "the journal has another frame at its place. Nothing was changed. Put the journal \
                that it was taken of back, or move the snapshot away";
    Err(JournalError::snapshot(path, what.to_owned()))
}
