//! The feed: the durable tail of the journal, read by event sequence.
//!
//! Consumes the journal's files, produces events in sequence. Guarantees that a reader sees only
//! what is durable, and that a slow reader costs nobody anything but disk: it reads files, and
//! nothing waits for it.
//!
//! The engine's own feed knows what is durable from the committer. Another process on the same disk
//! follows: it reads the engine's durable note, which never says more.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millrace_ledger::{Event, EventSeq, Timestamp};

use crate::{
    JournalError,
    durable_note::{self, DurableNote},
    frame::FrameHash,
    record,
    segment::{self, FIRST_FRAME, Found, JournalId, SegmentReader},
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
    origin: Origin,
}

/// Where the feed knows from what is durable.
#[derive(Debug)]
enum Origin {
    /// The committer tells it, and it tells others.
    Engine(Option<DurableNote>),
    /// The note of another process's engine, once it was seen; that of another journal is none.
    Note(OnceLock<JournalId>),
}

impl Feed {
    /// A feed that tells nobody else.
    #[cfg(test)]
    pub(crate) fn new(directory: &Path, durable_seq: EventSeq) -> Self {
        Self::with_origin(directory, durable_seq, Origin::Engine(None))
    }

    /// The feed of an engine, which other processes can follow.
    pub(crate) fn announced(
        directory: &Path,
        journal: JournalId,
        durable_seq: EventSeq,
    ) -> Result<Self, JournalError> {
        let note = DurableNote::open(directory, journal, durable_seq)?;
        Ok(Self::with_origin(directory, durable_seq, Origin::Engine(Some(note))))
    }

    /// The feed of a journal that the engine of another process writes, now or later. It changes
    /// nothing there.
    ///
    /// # Errors
    /// When the directory is there but can't be read.
    pub fn follow(directory: &Path) -> Result<Self, JournalError> {
        durable_note::read(directory).map_err(JournalError::io("can't read", directory))?;
        let feed = Self::with_origin(directory, EventSeq(0), Origin::Note(OnceLock::new()));
        feed.look_again();
        Ok(feed)
    }

    fn with_origin(directory: &Path, durable_seq: EventSeq, origin: Origin) -> Self {
        let durable_seq = AtomicU64::new(durable_seq.0);
        Self { shared: Arc::new(Shared { directory: directory.to_owned(), durable_seq, origin }) }
    }

    /// The last event that is durable; 0 when there is none. A feed that follows may know less.
    #[must_use]
    pub fn durable_seq(&self) -> EventSeq {
        self.look_again();
        self.known_seq()
    }

    /// The journal's id: random, the same for as long as the journal lives, backups and all. `None`
    /// while there is no journal.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn journal_id(&self) -> Result<Option<[u8; 16]>, JournalError> {
        let directory = &self.shared.directory;
        if !directory.is_dir() {
            return Ok(None);
        }
        let Some((_, newest)) = segment::list(directory)?.pop() else { return Ok(None) };
        Ok(Some(SegmentReader::open(&newest)?.header.journal))
    }

    /// The oldest event that the journal still has; `None` while there is no journal.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn first_seq(&self) -> Result<Option<EventSeq>, JournalError> {
        let directory = &self.shared.directory;
        if !directory.is_dir() {
            return Ok(None);
        }
        Ok(segment::list(directory)?.first().map(|(first, _)| *first))
    }

    /// Hash of the frame that holds an event; it covers all that came before it. `None` when the
    /// journal has no such event. Reads headers only, up to a segment of them.
    ///
    /// # Errors
    /// When the journal can't be read, or has no segment that could hold the event.
    pub fn chain_hash(&self, seq: EventSeq) -> Result<Option<[u8; 32]>, JournalError> {
        let segment = self.reader(seq).find_segment()?;
        let mut offset = FIRST_FRAME;
        while let Ok((header, bytes)) = segment.read_header(offset)? {
            if header.next_seq() > seq {
                return Ok(Some(FrameHash::of(&bytes).0));
            }
            offset += header.frame_len() as u64;
        }
        Ok(None)
    }

    /// The journal's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.shared.directory
    }

    fn known_seq(&self) -> EventSeq {
        EventSeq(self.shared.durable_seq.load(Ordering::Acquire))
    }

    /// Reads the note, if that is where this feed knows from.
    fn look_again(&self) {
        let Origin::Note(known) = &self.shared.origin else { return };
        // A note that can't be read now can be read later: until then there is nothing new.
        if let Ok(Some((journal, seq))) = durable_note::read(&self.shared.directory)
            && *known.get_or_init(|| journal) == journal
        {
            self.shared.durable_seq.fetch_max(seq.0, Ordering::AcqRel);
        }
    }

    /// Whether the event is durable, asking no file where that is known.
    fn has(&self, seq: EventSeq) -> bool {
        self.known_seq() >= seq || self.durable_seq() >= seq
    }

    /// A reader whose first event is `from`.
    #[must_use]
    pub fn reader(&self, from: EventSeq) -> FeedReader {
        let next_seq = from.max(EventSeq::FIRST);
        FeedReader { feed: self.clone(), next_seq, place: None, chain_hash: [0; 32] }
    }

    /// Everything up to `seq` is durable now.
    pub(crate) fn advance(&self, seq: EventSeq) {
        self.shared.durable_seq.store(seq.0, Ordering::Release);
    }

    /// Tells other processes what is durable.
    pub(crate) fn announce(&self, seq: EventSeq) {
        if let Origin::Engine(Some(note)) = &self.shared.origin {
            note.write(seq);
        }
    }

    /// Waits until `seq` is durable, at most until `deadline`.
    fn wait_for(&self, seq: EventSeq, deadline: Instant) -> bool {
        while !self.has(seq) {
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
    chain_hash: [u8; 32],
}

impl FeedReader {
    /// The sequence of the event that comes next.
    #[must_use]
    pub fn next_seq(&self) -> EventSeq {
        self.next_seq
    }

    /// Hash of the frame that the last batch came from; see [`Feed::chain_hash`]. Zeros before the
    /// first batch.
    #[must_use]
    pub fn chain_hash(&self) -> [u8; 32] {
        self.chain_hash
    }

    /// The next frame's events; waits at most `timeout` for one to become durable. `None` when
    /// none did.
    ///
    /// # Errors
    /// When the journal can't be read, or its bytes are not what was written.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<FeedBatch>, JournalError> {
        let there = self.feed.has(self.next_seq)
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
            let Found::Frame(header, hash, body) = segment.read(offset)? else {
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
            self.chain_hash = hash.0;
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
