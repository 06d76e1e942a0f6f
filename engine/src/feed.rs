//! The feed: the durable tail of the journal, read by event sequence.

use std::time::Duration;

use bytes::Bytes;
use millrace_ledger::{Event, EventSeq, Timestamp};

/// A durable event with what surrounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// What happened.
    pub event: Event,
    /// The payment's encoded `millrace.v1.PaymentContext`; empty where there is none.
    pub context: Bytes,
}

/// The events of one journal frame, in sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedBatch {
    /// Time of the batch in which they happened.
    pub time: Timestamp,
    /// Never empty, dense in sequence.
    pub events: Vec<FeedEvent>,
}

/// Why the feed could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// placeholder
    #[error("journal: {0}")]
    Journal(String),
}

/// Hands out readers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {}

impl Feed {
    /// The last event that is durable; 0 when there is none.
    #[must_use]
    pub fn durable_seq(&self) -> EventSeq {
        todo!()
    }

    /// A reader whose first event is `from`.
    pub fn reader(&self, from: EventSeq) -> Result<FeedReader, FeedError> {
        let _ = from;
        todo!()
    }
}

/// Reads durable events in sequence, each once.
#[derive(Debug)]
pub struct FeedReader {}

impl FeedReader {
    /// The next frame's events; waits at most `timeout` for one to become durable. `None` when
    /// none did.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<FeedBatch>, FeedError> {
        let _ = timeout;
        todo!()
    }
}
