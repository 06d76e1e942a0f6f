//! The feed: the durable tail of the journal, read by event sequence.
//!
//! Consumes the journal's files, produces events in sequence. Guarantees that a reader sees only
//! what is durable, and that a slow reader costs nobody anything but disk: it reads files, and
//! nothing waits for it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millrace_ledger::{Event, EventSeq, Timestamp};

use crate::{
    JournalError, record,
    segment::{self, FIRST_FRAME, Found, SegmentReader},
};

/// How often a reader that has nothing to read looks again. It looks at one number, without a lock:
/// readers run when nothing else does, and one that held a lock while it waits for a processor
/// would hold up the committer.
const POLL: Duration = Duration::from_millis(10);

/// A durable event with what surrounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// What happened.
    pub event: Event,
    /// The payment's encoded `millrace.v1.PaymentContext`, or an analyst's act; empty where there is
    /// none.
    pub context: Bytes,
    /// What risk has to say of the payment: score, versions, reasons. Empty where there is nothing.
    pub evidence: Bytes,
}

/// The events of one journal frame, in sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedBatch {
    /// Time of the batch in which they happened.
    pub time: Timestamp,
    /// Never empty, dense in sequence.
    pub events: Vec<FeedEvent>,
}

/// Hands out readers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    durable_seq: AtomicU64,
}

impl Feed {
    pub(crate) fn new(directory: &Path, durable_seq: EventSeq) -> Self {
        let shared =
            Shared { directory: directory.to_owned(), durable_seq: AtomicU64::new(durable_seq.0) };
        Self { shared: Arc::new(shared) }
    }

    /// The last event that is durable; 0 when there is none.
    #[must_use]
    pub fn durable_seq(&self) -> EventSeq {
        EventSeq(self.shared.durable_seq.load(Ordering::Acquire))
    }

    /// A reader whose first event is `from`.
    #[must_use]
    pub fn reader(&self, from: EventSeq) -> FeedReader {
        FeedReader { feed: self.clone(), next_seq: from.max(EventSeq::FIRST), place: None }
    }

    /// Everything up to `seq` is durable now.
    pub(crate) fn advance(&self, seq: EventSeq) {
        self.shared.durable_seq.store(seq.0, Ordering::Release);
    }

    /// Waits until `seq` is durable, at most until `deadline`.
    fn wait_for(&self, seq: EventSeq, deadline: Instant) -> bool {
        while self.durable_seq() < seq {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(POLL));
        }
        true
    }
}

/// Reads durable events in sequence, each once.
#[derive(Debug)]
pub struct FeedReader {
    feed: Feed,
    next_seq: EventSeq,
    place: Option<(SegmentReader, u64)>,
}

impl FeedReader {
    /// The sequence of the event that comes next.
    #[must_use]
    pub fn next_seq(&self) -> EventSeq {
        self.next_seq
    }

    /// The next frame's events; waits at most `timeout` for one to become durable. `None` when
    /// none did.
    ///
    /// # Errors
    /// When the journal can't be read, or its bytes are not what was written.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<FeedBatch>, JournalError> {
        let there = self.feed.durable_seq() >= self.next_seq
            || self.feed.wait_for(self.next_seq, Instant::now() + timeout);
        if there { self.read().map(Some) } else { Ok(None) }
    }

    /// Reads the frame with the next event, which is durable.
    fn read(&mut self) -> Result<FeedBatch, JournalError> {
        loop {
            let (segment, offset) = match self.place.take() {
                Some(place) => place,
                None => (self.find_segment()?, FIRST_FRAME),
            };
            let damaged = |what| JournalError::Damaged { path: segment.path.clone(), offset, what };
            let header = match segment.read_header(offset)? {
                Ok((header, _)) => header,
                // The event is in the segment that follows.
                Err(Found::End) if segment.header.first_seq < self.next_seq => {
                    let next = self.find_segment()?;
                    if next.path == segment.path {
                        return Err(damaged("a durable event is missing"));
                    }
                    self.place = Some((next, FIRST_FRAME));
                    continue;
                }
                Err(Found::Broken(what)) => return Err(damaged(what)),
                Err(_) => return Err(damaged("a durable event is missing")),
            };
            let after = offset + header.frame_len() as u64;
            if header.next_seq() <= self.next_seq {
                self.place = Some((segment, after));
                continue;
            }
            let Found::Frame(header, _, body) = segment.read(offset)? else {
                return Err(damaged("a frame's body does not match its hash"));
            };
            let mut events = record::decode_body(
                &body,
                header.events_len as usize,
                header.first_seq,
                header.event_count,
            )
            .map_err(|_| damaged("a frame's body holds no valid events"))?;
            events.drain(..self.next_seq.0.saturating_sub(header.first_seq.0) as usize);
            self.next_seq = header.next_seq();
            self.place = Some((segment, after));
            return Ok(FeedBatch { time: header.time, events });
        }
    }

    fn find_segment(&self) -> Result<SegmentReader, JournalError> {
        let directory = &self.feed.shared.directory;
        let segments = segment::list(directory)?;
        let at = segments.partition_point(|(first, _)| *first <= self.next_seq);
        match at.checked_sub(1).map(|at| &segments[at]) {
            Some((_, path)) => SegmentReader::open(path),
            None => Err(JournalError::BeginningGone {
                path: directory.clone(),
                first: segments.first().map_or(EventSeq(0), |(first, _)| *first),
                wanted: self.next_seq,
                snapshots: Vec::new(),
            }),
        }
    }
}
