//! Where a sink's batches come from: the feed of the journal, a stream, or a script in tests.

use std::{fmt, sync::Arc, time::Duration};

use millrace_engine::{
    JournalError,
    feed::{Feed, FeedBatch, FeedEvent, FeedReader},
};
use millrace_ledger::EventSeq;

/// How long reading may wait for an event that is there.
const EVENT_WAIT: Duration = Duration::from_millis(100);

/// Where batches come from: the feed, a stream, or a script in tests.
pub trait Source: Send + 'static {
    /// A place in the source.
    type Reader: Send;

    /// A reader whose first event is `from`.
    ///
    /// # Errors
    /// When the source is away, or has not that event any more.
    fn reader(&self, from: EventSeq) -> Result<Self::Reader, SourceError>;

    /// Tells the last event that there is, now and later.
    fn head(&self) -> Head {
        Head::unknown()
    }

    /// The next batch; waits at most `timeout`. `None` when there was none.
    ///
    /// # Errors
    /// When the source is away, or what it holds is not what was written.
    fn next(reader: &mut Self::Reader, timeout: Duration)
    -> Result<Option<FeedBatch>, SourceError>;

    /// One event, wherever readers stand; `None` while it is not there yet. A source whose readers
    /// share a place reads it beside them.
    ///
    /// # Errors
    /// When the source is away, or has not that event any more.
    fn event(&self, seq: EventSeq) -> Result<Option<FeedEvent>, SourceError> {
        if self.head().now().is_some_and(|head| head < seq) {
            return Ok(None);
        }
        let batch = Self::next(&mut self.reader(seq)?, EVENT_WAIT)?;
        let mut events = batch.into_iter().flat_map(|batch| batch.events);
        Ok(events.find(|found| found.event.seq() == seq))
    }

    /// Everything below `next_seq` is committed by the sink: tells the source that it need not keep
    /// it for this one.
    ///
    /// # Errors
    /// When the source is away. What was committed stays so.
    fn committed(reader: &mut Self::Reader, next_seq: EventSeq) -> Result<(), SourceError> {
        let _ = (reader, next_seq);
        Ok(())
    }
}

/// Tells where a source ends. It is asked by whoever watches, at the moment of the question, so that
/// what it says does not stand still when a reader does. Cheap to clone.
#[derive(Clone)]
pub struct Head(Arc<dyn Fn() -> Option<EventSeq> + Send + Sync>);

impl Head {
    /// Asks this, which must not wait for anybody.
    pub fn new(ask: impl Fn() -> Option<EventSeq> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Nobody knows.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(|| None)
    }

    /// The last event that there is; `None` while nobody knows.
    #[must_use]
    pub fn now(&self) -> Option<EventSeq> {
        (self.0)()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Head").field(&self.now()).finish()
    }
}

/// Why a source gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SourceError {
    /// What happened, where, and what an operator can do.
    pub text: String,
    /// Whether trying again may help. It is tried again without end, ever more slowly.
    pub transient: bool,
}

impl From<JournalError> for SourceError {
    fn from(error: JournalError) -> Self {
        Self { transient: matches!(error, JournalError::Io { .. }), text: error.to_string() }
    }
}

impl Source for Feed {
    type Reader = FeedReader;

    fn reader(&self, from: EventSeq) -> Result<FeedReader, SourceError> {
        Ok(Self::reader(self, from))
    }

    fn head(&self) -> Head {
        let feed = self.clone();
        Head::new(move || Some(feed.durable_seq()))
    }

    fn next(reader: &mut FeedReader, timeout: Duration) -> Result<Option<FeedBatch>, SourceError> {
        Ok(reader.next(timeout)?)
    }
}
