//! Consuming: a source of batches for a sink that runs in another process than the engine, or on
//! another machine. Guarantees that the sink gets each event once and in sequence from its own cursor
//! on, or is told what is missing.

mod end;
mod pump;
mod seek;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::jetstream::message::Acker;
use metrics::Gauge;
use millrace_engine::{Feed, FeedBatch, FeedEvent};
use millrace_ledger::EventSeq;
use millrace_sinks::{Head, Source, SourceError, yield_to_payments};
use tokio::{runtime::Runtime, sync::mpsc, task::JoinHandle};

use self::{
    end::End,
    pump::{Pump, Received},
};
use crate::{
    StreamConfig, StreamError, connection,
    label::hex,
    watched::{Watched, consumer_lag},
};

/// The stream of all events, for one sink.
#[derive(Debug)]
pub struct StreamSource {
    config: StreamConfig,
    durable: String,
    runtime: Arc<Runtime>,
    /// Of the journal that is here, or of the first message. All events that a sink gets are of one.
    journal: Arc<OnceLock<[u8; 16]>>,
    end: End,
    beside: Option<Feed>,
    was_opened: AtomicBool,
}

/// A place in the stream.
pub struct StreamReader {
    stream: String,
    durable: String,
    runtime: Arc<Runtime>,
    journal: Arc<OnceLock<[u8; 16]>>,
    received: mpsc::Receiver<Result<Received, StreamError>>,
    pump: JoinHandle<()>,
    /// The event that is due.
    expected: EventSeq,
    ready: VecDeque<FeedBatch>,
    /// What the sink has committed ends before this event.
    committed: EventSeq,
    /// The last event of each message that was received, until the sink has committed it.
    unacknowledged: Vec<(EventSeq, Acker)>,
    end: End,
    watched: Watched,
    lag: Gauge,
}

impl StreamSource {
    /// A source that calls itself `durable` on the server: letters, digits, `-` and `_`. No two sinks
    /// may have one name.
    ///
    /// # Errors
    /// When the settings are not right. The server is not asked yet.
    pub fn new(config: &StreamConfig, durable: &str) -> Result<Self, StreamError> {
        config.check()?;
        if config.url.is_none() {
            return Err(StreamError::NoUrl);
        }
        connection::check_files(config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("stream-{durable}"))
            .on_thread_start(yield_to_payments)
            .enable_all()
            .build()
            .map_err(StreamError::Thread)?;
        Ok(Self {
            config: config.clone(),
            durable: durable.to_owned(),
            runtime: Arc::new(runtime),
            journal: Arc::default(),
            end: End::default(),
            beside: None,
            was_opened: AtomicBool::new(false),
        })
    }

    /// The journal is here, too: it tells how far the sink is behind, also while the server is away,
    /// and whose events the stream should hold. Without it, the stream's last message tells the one,
    /// and its first one the other.
    #[must_use]
    pub fn beside(self, journal: &Feed) -> Self {
        if let Ok(Some(id)) = journal.journal_id() {
            self.journal.get_or_init(|| id);
        }
        Self { beside: Some(journal.clone()), ..self }
    }
}

impl Source for StreamSource {
    type Reader = StreamReader;

    fn reader(&self, from: EventSeq) -> Result<StreamReader, SourceError> {
        let from = from.max(EventSeq::FIRST);
        let watched = Watched::consumer(&self.durable);
        let pump = self.runtime.block_on(Pump::open(&self.config, &self.durable, from))?;
        if self.was_opened.swap(true, Ordering::Relaxed) {
            watched.note_restart();
        }
        let (out, received) = mpsc::channel(self.config.consumer_messages);
        let pump = self.runtime.spawn(pump.run(out, self.end.clone()));
        Ok(StreamReader {
            stream: self.config.stream.clone(),
            durable: self.durable.clone(),
            runtime: Arc::clone(&self.runtime),
            journal: Arc::clone(&self.journal),
            received,
            pump,
            expected: from,
            ready: VecDeque::new(),
            committed: from,
            unacknowledged: Vec::new(),
            end: self.end.clone(),
            watched,
            lag: consumer_lag(&self.durable),
        })
    }

    fn head(&self) -> Head {
        self.beside.as_ref().map_or_else(|| self.end.head(), Source::head)
    }

    fn next(
        reader: &mut StreamReader,
        timeout: Duration,
    ) -> Result<Option<FeedBatch>, SourceError> {
        Ok(reader.next(timeout)?)
    }

    /// Read from the message that holds it, on a connection of its own: the consumer stays where it is.
    fn event(&self, seq: EventSeq) -> Result<Option<FeedEvent>, SourceError> {
        Ok(self.runtime.block_on(pump::read_event(&self.config, &self.durable, seq))?)
    }

    fn committed(reader: &mut StreamReader, next_seq: EventSeq) -> Result<(), SourceError> {
        Ok(reader.acknowledge(next_seq)?)
    }
}

impl StreamReader {
    fn next(&mut self, timeout: Duration) -> Result<Option<FeedBatch>, StreamError> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let left = until.saturating_duration_since(Instant::now());
            let received = match self.received.try_recv() {
                Err(mpsc::error::TryRecvError::Empty) if !left.is_zero() => {
                    let received = self.received.recv();
                    let received = async { tokio::time::timeout(left, received).await };
                    let Ok(received) = self.runtime.block_on(received) else { return Ok(None) };
                    received
                }
                Err(mpsc::error::TryRecvError::Empty) => return Ok(None),
                received => received.ok(),
            };
            // It told why it ended before it did.
            let Some(received) = received else { return Err(self.ended()) };
            self.take(received?)?;
            // Many messages in a row may be none that the sink needs: a stop is not kept waiting.
            if self.ready.is_empty() && left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Makes the new events of a message ready.
    fn take(&mut self, received: Received) -> Result<(), StreamError> {
        let Received { label, stream_sequence, batches, bytes, pending, acker } = received;
        let journal = *self.journal.get_or_init(|| label.journal);
        if label.journal != journal {
            return Err(StreamError::ForeignMessage {
                stream: self.stream.clone(),
                sequence: stream_sequence,
                problem: format!(
                    "it is of journal {}, and what this sink reads is journal {}",
                    hex(&label.journal),
                    hex(&journal)
                ),
            });
        }
        if label.first > self.expected {
            return Err(StreamError::Skipped {
                consumer: self.durable.clone(),
                stream: self.stream.clone(),
                needed: self.expected,
                found: label.first,
            });
        }
        self.unacknowledged.push((label.last, acker));
        self.watched.note_in_flight(self.unacknowledged.len());
        self.lag.set(pending as f64);
        self.end.note(label.last);
        if label.last < self.expected {
            // The sink commits nothing because of it; and a server that waits for too many
            // acknowledgements sends no more.
            return self.acknowledge(self.committed);
        }
        self.watched.note_published(label.last.0 - self.expected.0 + 1, bytes);
        for mut batch in batches {
            batch.events.retain(|event| event.event.seq() >= self.expected);
            if !batch.events.is_empty() {
                self.ready.push_back(batch);
            }
        }
        self.expected = label.last.next();
        Ok(())
    }

    fn acknowledge(&mut self, next_seq: EventSeq) -> Result<(), StreamError> {
        self.committed = self.committed.max(next_seq);
        let committed = self.unacknowledged.extract_if(.., |(last, _)| *last < next_seq);
        let stream = &self.stream;
        self.runtime.block_on(async {
            for (_, acker) in committed {
                let acked = acker.ack().await;
                acked.map_err(|error| crate::setup::request("acknowledge", stream, error))?;
            }
            Ok::<(), StreamError>(())
        })?;
        self.watched.note_in_flight(self.unacknowledged.len());
        Ok(())
    }

    fn ended(&self) -> StreamError {
        crate::setup::request("consume", &self.stream, "its reader ended")
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("durable", &self.durable)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.pump.abort();
        self.end.forget();
    }
}

impl From<StreamError> for SourceError {
    fn from(error: StreamError) -> Self {
        Self { transient: error.is_transient(), text: error.to_string() }
    }
}
