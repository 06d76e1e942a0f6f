//! The segments of a journal at a glance, for tools: consumes a directory, produces one line's worth
//! for each segment. Goes on after a damaged one, so that an operator sees all of the damage at once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millrace_ledger::{EventSeq, Timestamp};

use crate::{
    JournalError, deleted_note,
    recover::Known,
    scan::{TornTail, check_follows},
    segment::{self, JournalId, SegmentReader},
    segment_frames::{ChainEnd, SegmentFrames},
};

/// What a segment holds, and whether it is right.
#[derive(Debug)]
pub struct SegmentSummary {
    /// The file, archived or not.
    pub path: PathBuf,
    /// The first event, as its name says.
    pub first_seq: EventSeq,
    /// The last event that could be read; one before the first where there is none.
    pub last_seq: EventSeq,
    /// Frames that could be read.
    pub frames: u64,
    /// Time of the first and the last of them.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Length of the segment header and these frames, in bytes.
    pub bytes: u64,
    /// Length of the compressed file, in bytes, if it is archived.
    pub archived_bytes: Option<u64>,
    /// What follows the last frame and is none, in the newest segment.
    pub torn_tail: Option<TornTail>,
    /// What is wrong with it.
    pub damage: Option<JournalError>,
}

/// The first event that a journal still has, by the name of its oldest segment; `None` where there is no
/// segment, so nothing that could be read. Opens no segment.
///
/// # Errors
/// When the directory can't be listed, or its newest segment is missing.
pub fn oldest_event(directory: &Path) -> Result<Option<EventSeq>, JournalError> {
    Ok(segment::list(directory)?.first().map(|(first, _)| *first))
}

/// Goes over the segments of a journal and reads every frame.
#[derive(Debug)]
pub struct SegmentSummaries {
    segments: std::vec::IntoIter<(EventSeq, PathBuf)>,
    /// Where the segment before ended; `None` when that is not known.
    before: Option<(JournalId, ChainEnd)>,
    directory: PathBuf,
    known: Known,
    /// Whether one was damaged, which tells more than where the journal ends.
    damaged: bool,
}

impl SegmentSummaries {
    /// Starts with the segment that holds an event. Each is checked as recovery does, but for the
    /// ledger: whether balances follow from the events is for [`crate::recover::verify`] to say.
    ///
    /// # Errors
    /// When the directory can't be listed, or its newest segment is missing.
    pub fn open(directory: &Path, from: EventSeq) -> Result<Self, JournalError> {
        let known = Known::by_note(directory)?;
        let mut segments = segment::list(directory)?;
        let at = segments.partition_point(|(first, _)| *first <= from);
        segments.drain(..at.saturating_sub(1));
        let (segments, directory) = (segments.into_iter(), directory.to_owned());
        Ok(Self { segments, before: None, directory, known, damaged: false })
    }

    /// Checks that the journal begins and ends where it should, once all segments were read and found
    /// right.
    ///
    /// # Errors
    /// When segments before the first one, or after the last one, are missing.
    pub fn check_ends(&self) -> Result<(), JournalError> {
        if self.damaged || self.segments.len() > 0 {
            return Ok(());
        }
        let (journal, last) = match self.before {
            Some((journal, end)) => (Some(journal), EventSeq(end.next_seq.0 - 1)),
            None => (None, EventSeq(0)),
        };
        self.known.end(journal, last, None)?;
        deleted_note::check(&self.directory)
    }

    fn read(&mut self, summary: &mut SegmentSummary) -> Result<(), JournalError> {
        let before = self.before.take();
        let segment = SegmentReader::open(&summary.path)?;
        // It may have been archived since it was listed.
        summary.path.clone_from(&segment.path);
        if segment.is_archived() {
            let len = fs::metadata(&segment.path).map(|metadata| metadata.len());
            summary.archived_bytes =
                Some(len.map_err(JournalError::io("can't read", &segment.path))?);
        }
        let follows = check_follows(&segment, summary.first_seq, before);
        let journal = segment.header.journal;
        let mut frames = SegmentFrames::new(segment, self.segments.len() == 0);
        while let Some(frame) = frames.next()? {
            summary.last_seq = EventSeq(frame.header.next_seq().0.saturating_sub(1));
            summary.frames += 1;
            let first = summary.times.map_or(frame.header.time, |(first, _)| first);
            summary.times = Some((first, frame.header.time));
            summary.bytes = frames.offset;
        }
        if frames.is_torn {
            let segment = summary.path.clone();
            summary.torn_tail = Some(TornTail { segment, offset: frames.offset });
        }
        self.before = Some((journal, frames.end));
        follows
    }
}

impl Iterator for SegmentSummaries {
    type Item = SegmentSummary;

    fn next(&mut self) -> Option<SegmentSummary> {
        let (first_seq, path) = self.segments.next()?;
        let mut summary = SegmentSummary {
            path,
            first_seq,
            last_seq: EventSeq(first_seq.0.saturating_sub(1)),
            frames: 0,
            times: None,
            bytes: 0,
            archived_bytes: None,
            torn_tail: None,
            damage: None,
        };
        summary.damage = self.read(&mut summary).err();
        self.damaged |= summary.damage.is_some();
        Some(summary)
    }
}
