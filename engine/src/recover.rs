//! Recovery: consumes the journal's segments, produces the ledger as it was and the place to go on.
//!
//! Guarantees that every acknowledged event is applied or the start is refused. What is found
//! decides, row by row:
//!
//! | found | where | what happens |
//! |---|---|---|
//! | nothing | the directory has no segment | a new journal is started |
//! | a whole frame that continues the chain | anywhere | its events are applied |
//! | zeros to the end | the last segment | the journal ends here |
//! | zeros, then the next segment continues the chain | a sealed segment | go on there |
//! | bytes that are no whole frame, no whole frame after them | the last segment | a torn tail: it was never acknowledged, so it is blanked and reported |
//! | bytes that are no whole frame, a whole frame after them | the last segment | damaged: refused |
//! | bytes that are no whole frame | a sealed segment | damaged: refused |
//! | a whole frame that does not continue the chain | anywhere | damaged: refused |
//! | a segment whose name, header or chain does not follow | after another | missing, swapped or foreign segment: refused |
//! | a first segment that does not start with event 1 | first | missing segment: refused |
//! | a frame or segment of a later version | anywhere | refused |
//! | events that do not follow from each other | anywhere | refused: a defect |
//! | a segment without its final name | anywhere | never held a frame: removed |
//! | another process holds the directory | before reading | refused |
//!
//! A whole frame is one of this journal: its header names the journal, which no client knows, so
//! nothing that a client sent is ever mistaken for one. What was read last is synced again before
//! anything is answered, because a process that was killed may have left it in memory only.
//!
//! A frame that was torn can't be followed by a whole one, because a frame is written only when
//! the one before it is durable.

use std::{fs, path::Path, time::Instant};

use millrace_ledger::{EventSeq, Gate, Ledger};

use crate::{
    JournalError,
    frame::{ALIGNMENT, FrameHash, MAGIC},
    record,
    segment::{self, FIRST_FRAME, Found, SegmentReader, SegmentWriter},
};

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments read.
    pub segments: usize,
    /// Frames applied.
    pub frames: u64,
    /// Bytes of segment headers and frames.
    pub bytes: u64,
    /// The last event; 0 in a new journal.
    pub last_seq: EventSeq,
    /// Hash of the last frame.
    pub head: FrameHash,
    /// A torn tail: the segment, and where in it.
    pub torn_tail: Option<(String, u64)>,
}

/// The journal, read to its end.
struct End {
    segment: SegmentReader,
    /// Where its last frame starts; the segment's header, if it has none.
    last_frame: u64,
    offset: u64,
}

/// Reads the whole journal of a directory, applies it, and checks that money is conserved. Changes
/// nothing.
///
/// # Errors
/// See the decision table above.
pub fn verify(
    directory: &Path,
    ledger: &mut Ledger,
    gate: &mut impl Gate,
) -> Result<RecoveryReport, JournalError> {
    read(directory, ledger, gate).map(|(report, _)| report)
}

/// Reads the journal, cuts a torn tail, and opens it for writing.
pub(crate) fn recover(
    directory: &Path,
    segment_bytes: u64,
    ledger: &mut Ledger,
    gate: &mut impl Gate,
) -> Result<(RecoveryReport, SegmentWriter), JournalError> {
    remove_unfinished(directory)?;
    let (report, end) = read(directory, ledger, gate)?;
    let writer = match end {
        None => SegmentWriter::create(directory, segment_bytes)?,
        Some(End { segment, last_frame, offset }) => {
            let mut writer =
                SegmentWriter::resume(directory, segment_bytes, &segment, offset, report.head)?;
            if report.torn_tail.is_some() {
                writer.blank_rest()?;
            }
            writer.settle(last_frame)?;
            writer
        }
    };
    Ok((report, writer))
}

fn read(
    directory: &Path,
    ledger: &mut Ledger,
    gate: &mut impl Gate,
) -> Result<(RecoveryReport, Option<End>), JournalError> {
    let segments = segment::list(directory)?;
    let mut report = RecoveryReport::default();
    let mut end: Option<End> = None;
    let mut said = Instant::now();
    for (position, (named, path)) in segments.iter().enumerate() {
        let segment = SegmentReader::open(path)?;
        check_follows(&segment, *named, end.as_ref(), ledger.last_seq().next(), report.head)?;
        let is_last = position + 1 == segments.len();
        let (last_frame, offset) = read_segment(&segment, is_last, ledger, gate, &mut report)?;
        end = Some(End { segment, last_frame, offset });
        report.segments += 1;
        report.bytes += offset;
        if said.elapsed().as_secs() >= 2 {
            said = Instant::now();
            tracing::info!(
                segments = position + 1,
                of = segments.len(),
                events = ledger.last_seq().0,
                "reading the journal"
            );
        }
    }
    report.last_seq = ledger.last_seq();
    ledger.end_batch();
    Ok((report, end))
}

/// Whether a segment is the one that comes next.
fn check_follows(
    segment: &SegmentReader,
    named: EventSeq,
    before: Option<&End>,
    expected: EventSeq,
    head: FrameHash,
) -> Result<(), JournalError> {
    let wrong = |what| JournalError::WrongSegment { path: segment.path.clone(), what, expected };
    if segment.header.first_seq != named {
        return Err(wrong("its name and its header tell different first events"));
    }
    if before.is_some_and(|before| before.segment.header.journal != segment.header.journal) {
        return Err(wrong("it belongs to another journal"));
    }
    if segment.header.first_seq != expected {
        return Err(wrong("a segment before it is missing, or it is here twice"));
    }
    if segment.header.previous != head {
        return Err(wrong("the segment before it ends with another frame than it should"));
    }
    Ok(())
}

/// Applies the frames of a segment. Returns where the last one starts and ends.
fn read_segment(
    segment: &SegmentReader,
    is_last: bool,
    ledger: &mut Ledger,
    gate: &mut impl Gate,
    report: &mut RecoveryReport,
) -> Result<(u64, u64), JournalError> {
    let (mut last_frame, mut offset) = (0, FIRST_FRAME);
    loop {
        let damaged = |what| JournalError::Damaged { path: segment.path.clone(), offset, what };
        let (header, hash, body) = match segment.read(offset)? {
            Found::Frame(header, hash, body) => (header, hash, body),
            Found::Newer(found) => {
                let path = segment.path.clone();
                return Err(JournalError::NewerVersion { path, found, supported: 1 });
            }
            Found::End | Found::Broken(_) if is_last => {
                check_nothing_follows(segment, offset)?;
                if !is_blank(segment, offset)? {
                    report.torn_tail = Some((segment.path.display().to_string(), offset));
                }
                return Ok((last_frame, offset));
            }
            Found::End => return Ok((last_frame, offset)),
            Found::Broken(what) => return Err(damaged(what)),
        };
        if header.previous != report.head || header.first_seq != ledger.last_seq().next() {
            return Err(damaged("a frame does not continue the one before it"));
        }
        let events_len = header.events_len as usize;
        let events = record::decode_body(&body, events_len, header.first_seq, header.event_count)
            .map_err(|_| damaged("a frame's body holds no valid events"))?;
        ledger.begin_recorded_batch(header.time);
        for event in &events {
            ledger.apply(&event.event, gate).map_err(|divergence| JournalError::Diverged {
                path: segment.path.clone(),
                divergence,
            })?;
        }
        report.head = hash;
        report.frames += 1;
        last_frame = offset;
        offset += header.frame_len() as u64;
    }
}

/// A torn frame has no whole frame after it. If there is one, the journal lost something that was
/// acknowledged.
fn check_nothing_follows(segment: &SegmentReader, offset: u64) -> Result<(), JournalError> {
    for (at, piece) in pieces(segment, offset) {
        let piece = piece?;
        for (index, start) in piece.chunks(ALIGNMENT).enumerate() {
            let place = at + (index * ALIGNMENT) as u64;
            if start.starts_with(&MAGIC)
                && place > offset
                && matches!(segment.read(place)?, Found::Frame(..) | Found::Newer(_))
            {
                return Err(JournalError::Damaged {
                    path: segment.path.clone(),
                    offset,
                    what: "what stands here is no frame, but a whole frame follows",
                });
            }
        }
    }
    Ok(())
}

fn is_blank(segment: &SegmentReader, offset: u64) -> Result<bool, JournalError> {
    for (_, piece) in pieces(segment, offset) {
        if piece?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rest of a segment in pieces of a mebibyte, each with its offset.
fn pieces(
    segment: &SegmentReader,
    offset: u64,
) -> impl Iterator<Item = (u64, Result<Vec<u8>, JournalError>)> {
    const PIECE: u64 = 1 << 20;
    (offset..segment.len)
        .step_by(PIECE as usize)
        .map(move |at| (at, segment.bytes(at, PIECE.min(segment.len - at) as usize)))
}

fn remove_unfinished(directory: &Path) -> Result<(), JournalError> {
    let entries = fs::read_dir(directory).map_err(JournalError::io("can't list", directory))?;
    for entry in entries {
        let path = entry.map_err(JournalError::io("can't list", directory))?.path();
        if path.extension().is_some_and(|suffix| suffix == "unfinished") {
            fs::remove_file(&path).map_err(JournalError::io("can't remove", &path))?;
        }
    }
    Ok(())
}
