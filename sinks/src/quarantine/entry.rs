//! An event that a sink could not process, as a file that people can read and the sink can replay.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use millrace_engine::{FeedBatch, FeedEvent};
use millrace_ledger::{Event, EventSeq, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{runner::now_ns, text::rfc3339};

/// Longer reasons are cut: a sink may quote what it was given.
const REASON_CHARS_MAX: usize = 2_000;
const FORMAT: u32 = 1;

/// An entry of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of this layout.
    pub format: u32,
    /// The sink that could not process it.
    pub sink: String,
    /// The event's place in the journal.
    pub seq: u64,
    /// `payment`, `account`, `hold-expired` or `act`.
    pub kind: String,
    /// The payment or account that it is about.
    pub subject: Option<Uuid>,
    /// When it happened.
    pub happened: String,
    /// The same in nanoseconds since 1970.
    pub happened_ns: u64,
    /// When it was put here.
    pub quarantined: String,
    /// Why.
    pub reason: String,
    /// How often it was tried, replays included.
    pub tries: u32,
    /// What the last replay failed with, or why what was asked was not done.
    pub replay_error: Option<String>,
    /// The event itself, in Base64 of the journal's encoding.
    pub event: String,
}

impl Entry {
    pub(crate) fn new(
        sink: &str,
        time: Timestamp,
        event: &FeedEvent,
        reason: &str,
        tries: u32,
    ) -> Self {
        let (kind, subject) = match &event.event {
            Event::Payment(paid) => ("payment", Some(paid.payment.id.0)),
            Event::HoldExpired(expired) => ("hold-expired", Some(expired.payment.0)),
            Event::Account(account) => ("account", Some(account.account.spec.id.0)),
            Event::Act(_) => ("act", None),
        };
        Self {
            format: FORMAT,
            sink: sink.to_owned(),
            seq: event.event.seq().0,
            kind: kind.to_owned(),
            subject: subject.map(Uuid::from_u128),
            happened: rfc3339(time),
            happened_ns: time.0,
            quarantined: rfc3339(Timestamp(now_ns())),
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            tries,
            replay_error: None,
            event: STANDARD.encode(event.to_bytes()),
        }
    }

    /// The event, as the feed would hand it out.
    ///
    /// # Errors
    /// When the file was changed.
    pub fn batch(&self) -> Result<FeedBatch, String> {
        if self.format != FORMAT {
            return Err(format!(
                "it has format {}, and this millrace reads {FORMAT}; use the one that wrote it",
                self.format
            ));
        }
        let bytes = STANDARD.decode(&self.event).map_err(|error| error.to_string())?;
        let event = FeedEvent::from_bytes(EventSeq(self.seq), &Bytes::from(bytes));
        let event = event.map_err(|error| error.to_string())?;
        Ok(FeedBatch { time: Timestamp(self.happened_ns), events: vec![event] })
    }

    pub(super) fn replay_failed(mut self, error: &str) -> Self {
        self.tries += 1;
        self.replay_error = Some(error.chars().take(REASON_CHARS_MAX).collect());
        self
    }

    /// What was asked is not done.
    pub(super) fn refused(mut self, why: &str) -> Self {
        self.replay_error = Some(why.chars().take(REASON_CHARS_MAX).collect());
        self
    }
}
