//! Pulls messages ahead of the sink, and decodes them. Consumes a durable consumer, produces batches
//! in a bounded channel; ends with the first thing that goes wrong.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    context::ContextBuilder,
    message::Acker,
    stream::Stream,
};
use futures_util::StreamExt as _;
use millrace_engine::{FeedBatch, FeedEvent};
use millrace_ledger::EventSeq;
use tokio::sync::mpsc::Sender;

use super::{end::End, seek};
use crate::{
    StreamConfig, StreamError,
    connection::{ANSWER_MAX, Connection},
    label::Label,
    setup::{self, Which, request},
    wire,
};

/// How often the server says that it is there while it has nothing new.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long it keeps a request for more.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long a new consumer may take to answer: longer than the 9 s in which its servers choose a leader.
const MADE_WAIT: Duration = Duration::from_secs(12);
/// How long a server's answer to a deletion is waited for. What is asked after it comes after it.
const DELETE_WAIT: Duration = Duration::from_secs(1);

/// A message that was received and understood.
pub(super) struct Received {
    pub(super) label: Label,
    pub(super) stream_sequence: u64,
    pub(super) batches: Vec<FeedBatch>,
    pub(super) bytes: usize,
    /// Messages that wait behind it.
    pub(super) pending: u64,
    pub(super) acker: Acker,
}

/// A consumer at its place, and the connection that it needs.
pub(super) struct Pump {
    connection: Connection,
    stream: Stream,
    consumer: PullConsumer,
    name: String,
    messages_max: usize,
}

/// The stream of events, which has to be there.
async fn find_stream(connection: &Connection, name: &str) -> Result<Stream, StreamError> {
    let context = ContextBuilder::new().timeout(ANSWER_MAX).build(connection.client.clone());
    setup::open(&context, name).await?.ok_or_else(|| {
        request("consume", name, "it is not there; the publisher makes it when it starts")
    })
}

/// One event, without a consumer; `None` while it is not published.
pub(super) async fn read_event(
    config: &StreamConfig,
    durable: &str,
    seq: EventSeq,
) -> Result<Option<FeedEvent>, StreamError> {
    let connection = Connection::open(config, durable).await?;
    let name = Which::Events.stream(config).to_owned();
    let read = async {
        let stream = find_stream(&connection, &name).await?;
        let sequence = seek::find(&stream, durable, &name, seq).await?;
        let info = stream.get_info().await.map_err(|error| request("look at", &name, error))?;
        if sequence > info.state.last_sequence {
            return Ok(None);
        }
        let message = stream.get_raw_message(sequence).await;
        let message = message.map_err(|error| request("read a message of", &name, error))?;
        let batches = wire::read_frame(message.payload).map_err(|error| {
            let problem = error.to_string();
            StreamError::ForeignMessage { stream: name.clone(), sequence, problem }
        })?;
        let mut events = batches.into_iter().flat_map(|batch| batch.events);
        Ok(events.find(|found| found.event.seq() == seq))
    };
    connection.during(read).await
}

impl Pump {
    /// Connects, finds `from` in the stream, and puts the durable consumer there.
    pub(super) async fn open(
        config: &StreamConfig,
        durable: &str,
        from: EventSeq,
    ) -> Result<Self, StreamError> {
        let connection = Connection::open(config, durable).await?;
        let name = Which::Events.stream(config).to_owned();
        let find = async {
            let stream = find_stream(&connection, &name).await?;
            let start = seek::find(&stream, durable, &name, from).await?;
            let consumer =
                consumer_at(&connection, &stream, &name, wanted(config, durable, start)).await?;
            Ok((stream, consumer))
        };
        let (stream, consumer) = connection.during(find).await?;
        let messages_max = config.consumer_messages;
        Ok(Self { connection, stream, consumer, name, messages_max })
    }

    /// Hands over what comes until the receiver is gone or something fails, and tells the stream's end
    /// meanwhile.
    pub(super) async fn run(self, out: Sender<Result<Received, StreamError>>, end: End) {
        let pull = async {
            tokio::select! {
                pulled = self.pull(&out) => pulled,
                never = end.ask(&self.stream, &self.name) => never,
            }
        };
        let pulled = self.connection.during(pull).await;
        end.forget();
        if let Err(error) = pulled {
            // Nobody waits for it if this fails.
            let _ = out.send(Err(error)).await;
        }
    }

    async fn pull(&self, out: &Sender<Result<Received, StreamError>>) -> Result<(), StreamError> {
        let failed = |error: &dyn std::fmt::Display| request("consume", &self.name, error);
        let mut messages = self
            .consumer
            .stream()
            .max_messages_per_batch(self.messages_max)
            .heartbeat(HEARTBEAT)
            .expires(EXPIRES)
            .messages()
            .await
            .map_err(|error| failed(&error))?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| failed(&error))?;
            if out.send(Ok(self.received(message)?)).await.is_err() {
                return Ok(());
            }
        }
        Err(request("consume", &self.name, "the server sends no more"))
    }

    fn received(&self, message: jetstream::Message) -> Result<Received, StreamError> {
        let info = message.info().map_err(|error| request("consume", &self.name, error))?;
        let (stream_sequence, pending) = (info.stream_sequence, info.pending);
        let foreign = |problem: String| StreamError::ForeignMessage {
            stream: self.name.clone(),
            sequence: stream_sequence,
            problem,
        };
        let headers = message.headers.as_ref().ok_or_else(|| foreign("no headers".to_owned()))?;
        let label = Label::read(headers).map_err(foreign)?;
        let (message, acker) = message.split();
        let bytes = message.payload.len();
        let batches =
            wire::read_frame(message.payload).map_err(|error| foreign(error.to_string()))?;
        let first = batches.first().and_then(|batch| batch.events.first());
        let last = batches.last().and_then(|batch| batch.events.last());
        let ends = [first, last].map(|event| event.map(|event| event.event.seq()));
        if ends != [Some(label.first), Some(label.last)] {
            return Err(foreign("its headers name other events than it holds".to_owned()));
        }
        Ok(Received { label, stream_sequence, batches, bytes, pending, acker })
    }
}

fn wanted(config: &StreamConfig, durable: &str, start: u64) -> pull::Config {
    pull::Config {
        durable_name: Some(durable.to_owned()),
        description: Some("A sink of Millrace. Its own cursor counts, not this".to_owned()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start },
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(config.ack_wait_s),
        max_deliver: -1,
        max_ack_pending: config.consumer_messages as i64,
        filter_subject: config.subject.clone(),
        ..pull::Config::default()
    }
}

/// A durable consumer whose next message is the one wanted. It is made anew each time: one that is left
/// from before stands elsewhere, or waits for acknowledgements of messages that the sink has to get
/// again. And in a cluster that lost a server it may have no leader and get none while the server is
/// away: then it can be neither looked at nor changed.
async fn consumer_at(
    connection: &Connection,
    stream: &Stream,
    name: &str,
    wanted: pull::Config,
) -> Result<PullConsumer, StreamError> {
    let durable = wanted.durable_name.as_deref().unwrap_or_default();
    let deleted = stream.delete_consumer(durable);
    // Mostly there is none. One without a leader is deleted without an answer; where nothing was
    // deleted, making it says why.
    let _ = tokio::time::timeout(DELETE_WAIT, deleted).await;
    let context = ContextBuilder::new().timeout(MADE_WAIT).build(connection.client.clone());
    let made = context.create_consumer_on_stream(wanted, name).await;
    made.map_err(|error| request("make a consumer of", name, error))
}
