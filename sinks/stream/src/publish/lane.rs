//! A lane: publishes one stream. Consumes the feed, produces messages, and guarantees that the stream
//! holds each event once and in sequence, whatever is killed when.
//!
//! How: a session starts from what the stream holds, not from what was sent before. Its first message
//! names the stream's last sequence, and each one after it the id of the message before it
//! (`Nats-Expected-Last-Msg-Id`), which is the event before its first. So a message is taken only if it
//! continues the stream, also when several are in flight, and also when some of an earlier session
//! still come in. Whatever goes wrong ends the session, and the next one looks again.
//!
//! The first message does not name an id, because a server that was started again knows the id of its
//! last message only while that is younger than the duplicate window.
//!
//! Where servers keep copies, no message names an id: their leader finds out that it is wrong only when
//! all of them apply the message, and then each of them gives up the stream (seen with 2.15). It checks
//! a sequence before. So there, each message names the stream's last sequence. Of frames, only one is in
//! flight: a late one of an earlier session, which cut them at other places, might have the right
//! sequence and not continue the stream. Of single payments many are: those of one sequence are the same.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        Context,
        context::{ContextBuilder, PublishErrorKind},
        message::PublishMessage,
    },
};
use millrace_engine::{Feed, FeedReader};
use millrace_ledger::EventSeq;
use millrace_sinks::{Backoff, Pace};

use super::{
    in_flight::{Acked, InFlight},
    pack::{Outgoing, Packer},
    place,
    progress::Progress,
};
use crate::{
    StreamConfig, StreamError,
    connection::{ANSWER_MAX, Connection},
    setup::{self, Which, request},
    watched::Watched,
};

/// How long to wait before a session starts again.
const PACE: Pace = Pace { first: Duration::from_millis(50), ..Pace::USUAL };
/// How often the feed is looked at while it has nothing new.
const IDLE_WAIT: Duration = Duration::from_millis(5);
/// A message that is not full waits while so many are in flight: it fills up meanwhile.
const FULL_ONLY_ABOVE: usize = 4;
/// Most messages in flight; more brings nothing.
const MESSAGES_MAX: usize = 256;
/// What headers may take beside the payload.
const HEADERS_MAX: usize = 1_024;

/// Publishes one stream.
pub(super) struct Lane {
    pub(super) config: StreamConfig,
    pub(super) which: Which,
    pub(super) feed: Feed,
    pub(super) packer: Packer,
    pub(super) progress: Arc<Progress>,
    pub(super) watched: Watched,
}

impl Lane {
    /// Runs until it is stopped, or until no retry helps.
    pub(super) async fn run(mut self) -> Result<(), StreamError> {
        let mut backoff = Backoff::new(PACE);
        while !self.progress.stopped() {
            let published = self.progress.published_seq();
            let Err(error) = self.session().await else { return Ok(()) };
            if !error.is_transient() {
                return Err(error);
            }
            if self.progress.published_seq() > published {
                backoff.reset();
            }
            let wait = backoff.next_wait();
            let stream = self.which.stream(&self.config);
            tracing::warn!(stream, %error, ?wait, "publishing starts again");
            self.progress.shown.note_failure(&error.to_string(), backoff.failures(), wait);
            self.watched.note_restart();
            self.watched.note_in_flight(0);
            tokio::select! {
                () = self.progress.until_stopped() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    /// Publishes over one connection until it is stopped or something fails.
    async fn session(&mut self) -> Result<(), StreamError> {
        self.packer.clear();
        let name = self.which.stream(&self.config).to_owned();
        let connection = Connection::open(&self.config, "millrace publish").await?;
        self.check_payload(&connection)?;
        connection.during(self.publish_over(&connection, name)).await
    }

    async fn publish_over(
        &mut self,
        connection: &Connection,
        name: String,
    ) -> Result<(), StreamError> {
        let context = ContextBuilder::new().timeout(ANSWER_MAX).build(connection.client.clone());
        let stream = setup::ensure(&context, &self.config, self.which).await?;
        let place = place::find(&stream, &name, &self.feed).await?;
        self.progress.shown.note_recovery();
        tracing::info!(stream = name, next_seq = place.next_seq.0, "publishing");
        self.progress.shown.note_reached(EventSeq(place.next_seq.0 - 1));
        let journal = self.feed.journal_id()?.ok_or(StreamError::NoJournal)?;
        let messages_max = match (self.config.replicas, self.which) {
            (2.., Which::Events) => 1,
            _ => MESSAGES_MAX,
        };
        let in_flight = InFlight::new(messages_max, self.config.in_flight_mib << 20);
        let session = Session {
            reader: self.feed.reader(place.next_seq),
            lane: self,
            name,
            context,
            journal,
            expected: Expected::Sequence(place.stream_sequence),
            ready: VecDeque::new(),
            full_only_above: FULL_ONLY_ABOVE.min(messages_max),
            in_flight,
        };
        session.run().await
    }

    fn check_payload(&self, connection: &Connection) -> Result<(), StreamError> {
        let max_payload = connection.client.server_info().max_payload;
        let frame_kib = self.config.frame_kib;
        match (frame_kib << 10) + HEADERS_MAX <= max_payload {
            true => Ok(()),
            false => {
                let server = connection.server.clone();
                Err(StreamError::PayloadTooSmall { server, max_payload, frame_kib })
            }
        }
    }
}

/// What the stream's last message has to be for the next one to be taken.
enum Expected {
    /// Its sequence in the stream.
    Sequence(u64),
    /// Its id.
    MessageId(String),
}

struct Session<'a> {
    lane: &'a mut Lane,
    name: String,
    context: Context,
    journal: [u8; 16],
    reader: FeedReader,
    expected: Expected,
    ready: VecDeque<Outgoing>,
    full_only_above: usize,
    in_flight: InFlight,
}

impl Session<'_> {
    async fn run(mut self) -> Result<(), StreamError> {
        let progress = Arc::clone(&self.lane.progress);
        while !progress.stopped() {
            self.fill()?;
            match self.ready.front() {
                Some(message) if self.in_flight.has_room(message.payload.len()) => {
                    self.send().await?;
                    // The connection needs its turn, too, and what is acknowledged is taken.
                    tokio::task::yield_now().await;
                    self.take_acks()?;
                }
                _ => tokio::select! {
                    acked = self.in_flight.next() => {
                        let acked = acked.map_err(|error| self.not_taken(&error))?;
                        self.note_acked(acked.0, acked.1.duplicate)?;
                    }
                    () = tokio::time::sleep(IDLE_WAIT), if self.ready.is_empty() => {}
                    () = progress.until_stopped() => {}
                },
            }
        }
        Ok(())
    }

    /// Makes the next message ready, if there is something to publish.
    fn fill(&mut self) -> Result<(), StreamError> {
        while self.ready.is_empty() {
            match self.reader.next(Duration::ZERO)? {
                Some(batch) => {
                    self.lane.progress.shown.note_pending(batch.time);
                    let chain = self.reader.chain_hash();
                    self.lane.packer.pack(&batch, self.journal, chain, &mut self.ready);
                }
                None => {
                    if self.in_flight.len() < self.full_only_above {
                        self.ready.extend(self.lane.packer.rest());
                    }
                    if self.ready.is_empty() && self.in_flight.len() == 0 {
                        // What was read last may be nothing that this stream has.
                        let read = EventSeq(self.reader.next_seq().0 - 1);
                        self.lane.progress.shown.note_reached(read);
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), StreamError> {
        let Some(Outgoing { label, subject, events, payload, trace }) = self.ready.pop_front()
        else {
            return Ok(());
        };
        let mut headers = HeaderMap::new();
        label.put(&mut headers, trace);
        let next = match self.expected {
            Expected::Sequence(last) if self.lane.config.replicas > 1 => {
                Expected::Sequence(last + 1)
            }
            _ => Expected::MessageId(label.message_id()),
        };
        let message = PublishMessage::build().headers(headers).expected_stream(&self.name);
        let message = match std::mem::replace(&mut self.expected, next) {
            Expected::Sequence(sequence) => message.expected_last_sequence(sequence),
            Expected::MessageId(id) => message.expected_last_message_id(id),
        };
        let acked = Acked { last: label.last, events, bytes: payload.len() };
        let ack = self
            .context
            .send_publish(subject, message.payload(payload))
            .await
            .map_err(|error| self.not_taken(&error))?;
        self.in_flight.push(acked, ack.into_future());
        self.lane.watched.note_in_flight(self.in_flight.bytes());
        Ok(())
    }

    /// Takes the acknowledgements that are there.
    fn take_acks(&mut self) -> Result<(), StreamError> {
        use futures_util::FutureExt as _;
        while let Some(acked) = self.in_flight.next().now_or_never() {
            let (message, ack) = acked.map_err(|error| self.not_taken(&error))?;
            self.note_acked(message, ack.duplicate)?;
        }
        Ok(())
    }

    fn note_acked(&self, message: Acked, duplicate: bool) -> Result<(), StreamError> {
        if duplicate {
            // An earlier session's message came in after it was looked for; or it was purged a
            // moment ago, and the server still knows its id.
            return Err(request("continue", &self.name, "it has this message already"));
        }
        // Who sees that it was reached finds it counted.
        self.lane.watched.note_published(message.events, message.bytes);
        self.lane.watched.note_in_flight(self.in_flight.bytes());
        self.lane.progress.shown.note_reached(message.last);
        Ok(())
    }

    fn not_taken(&self, error: &async_nats::jetstream::context::PublishError) -> StreamError {
        let action = match error.kind() {
            PublishErrorKind::WrongLastMessageId | PublishErrorKind::WrongLastSequence => {
                "continue"
            }
            _ => "publish to",
        };
        request(action, &self.name, error)
    }
}
