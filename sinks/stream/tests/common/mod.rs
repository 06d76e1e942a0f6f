//! A bank whose engine writes a real journal, a sink that keeps what it gets, and waiting.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millrace_engine::{
    Command, Engine, EngineConfig, Feed, FeedBatch, FeedEvent, submission::Reply,
};
use millrace_ledger::{
    AccountChange, AccountFlags, AccountId, AccountSpec, Amount, ApproveAll, Code, EventSeq,
    LedgerId, Operation, OwnerId, Payment, PaymentFlags, PaymentId, Timestamp,
};
use millrace_protos::v1::{Channel, PaymentContext};
use millrace_sinks::{Sink, SinkError};
use millrace_stream::{PublisherHandle, StreamConfig};
use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::oneshot;

const ACCOUNTS: u128 = 20;

/// An engine with accounts, which is asked for random payments.
pub(crate) struct Bank {
    pub(crate) directory: TempDir,
    engine: Option<Engine>,
    random: Random,
    next_id: u128,
    /// Holds expire after a second, at whatever moment that is.
    pub(crate) holds_expire: bool,
}

/// The same numbers each time.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

impl Bank {
    pub(crate) fn open(seed: u64) -> Self {
        let bank = Self::at(tempfile::tempdir().expect("a temporary directory"), seed);
        bank.open_accounts();
        bank
    }

    /// With the journal that is there.
    pub(crate) fn at(directory: TempDir, seed: u64) -> Self {
        let engine = Some(start(directory.path()));
        let next_id = 1 + (u128::from(seed) << 64);
        Self { directory, engine, random: Random::new(seed), next_id, holds_expire: false }
    }

    pub(crate) fn journal(&self) -> &Path {
        self.directory.path()
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("runs")
    }

    pub(crate) fn feed(&self) -> Feed {
        self.engine().feed()
    }

    pub(crate) fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop().expect("stops");
        }
    }

    pub(crate) fn start_again(&mut self) {
        self.stop();
        self.engine = Some(start(self.directory.path()));
    }

    fn open_accounts(&self) {
        let spec = |id| AccountSpec {
            id: AccountId(id),
            ledger: LedgerId(if id % 5 == 0 { 978 } else { 203 }),
            code: Code(7),
            tenant: 3,
            owner: OwnerId(if id % 2 == 0 { id << 70 } else { 0 }),
            flags: match id % 3 {
                0 => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS.with(AccountFlags::KEEPS_HISTORY),
                _ => AccountFlags::NONE,
            },
            credit_limit: Amount(if id % 3 == 0 { 1 << 80 } else { 0 }),
            defect: None,
        };
        let specs = (1..=ACCOUNTS).map(spec).collect();
        self.ask(|reply| Command::CreateAccounts { specs, acts: Vec::new(), reply });
    }

    /// Waits until no hold is left that could expire: each command expires those that are due before.
    pub(crate) fn until_holds_expired(&self) {
        thread::sleep(Duration::from_millis(1_500));
        let found = self.ask(|reply| Command::GetPayment { id: PaymentId(1), reply });
        found.expect("the past can be read");
    }

    fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (reply, answer) = oneshot::channel();
            let room = Instant::now() + Duration::from_secs(120);
            let submitted = self.engine().submitter().submit(command(reply), None, room).await;
            submitted.expect("there is room");
            answer.await.expect("answered").expect("in time")
        })
    }

    /// Payments of all kinds, good and bad, in so many requests of up to 40.
    pub(crate) fn trade(&mut self, requests: u64) {
        for _ in 0..requests {
            let count = 1 + self.random.below(40);
            let payments: Vec<Payment> = (0..count).map(|_| self.payment()).collect();
            let contexts = payments.iter().map(|payment| self.context(payment.id)).collect();
            self.ask(|reply| Command::Payments { payments, contexts, reply });
            if self.random.below(20) == 0 {
                let id = AccountId(1 + u128::from(self.random.below(ACCOUNTS as u64)));
                let change = match self.random.below(3) {
                    0 => AccountChange::Freeze,
                    1 => AccountChange::Reopen,
                    _ => AccountChange::SetCreditLimit(Amount(1 << 90)),
                };
                self.ask(|reply| Command::UpdateAccount { id, change, act: None, reply });
            }
        }
    }

    fn payment(&mut self) -> Payment {
        let id = self.next_id;
        self.next_id += 1;
        let timeout_s = if self.holds_expire { 1 } else { 100_000 };
        let random = &mut self.random;
        let debit = 1 + u128::from(random.below(ACCOUNTS as u64 + 1));
        let plain = Payment {
            id: PaymentId(id),
            debit: AccountId(debit),
            credit: AccountId(1 + u128::from(random.below(ACCOUNTS as u64))),
            amount: Amount(1 + (u128::from(random.below(1_000)) << random.below(70))),
            ledger: LedgerId(if debit % 5 == 0 { 978 } else { 203 }),
            code: Code(1 + random.below(60_000) as u16),
            event_time: (random.below(3) == 0).then_some(Timestamp(1_700_000_000_000_000_000)),
            ..Payment::default()
        };
        let original = PaymentId(id - (1 + u128::from(random.below(30))));
        let follow_up = |operation| Payment {
            id: plain.id,
            original,
            operation,
            amount: Amount::ALL,
            ..Payment::default()
        };
        match random.below(8) {
            0 => Payment { operation: Operation::Authorize, timeout_s, ..plain },
            1 => Payment { operation: Operation::Authorize, ..plain },
            2 => follow_up(Operation::Capture),
            3 => follow_up(Operation::Void),
            4 => follow_up(Operation::Refund),
            5 => Payment { flags: PaymentFlags::BALANCING_DEBIT, ..plain },
            _ => plain,
        }
    }

    /// Most are contexts, some are nothing, and some can't be read.
    fn context(&mut self, id: PaymentId) -> Bytes {
        match self.random.below(10) {
            0 => Bytes::new(),
            1 => Bytes::from_static(b"\xff no context"),
            _ => PaymentContext {
                channel: Channel::Transfer as i32,
                reference: format!("payment {}", id.0),
                country_code: "CZ".to_owned(),
                ..PaymentContext::default()
            }
            .encode_to_vec()
            .into(),
        }
    }

    /// All events so far, each with its time.
    pub(crate) fn events(&self) -> Vec<(Timestamp, FeedEvent)> {
        let mut reader = self.feed().reader(EventSeq::FIRST);
        let next = || reader.next(Duration::ZERO).expect("reads");
        flat(std::iter::from_fn(next))
    }
}

fn start(directory: &Path) -> Engine {
    let config = EngineConfig { segment_bytes: 1 << 20, ..EngineConfig::new(directory) };
    Engine::start(&config, &ApproveAll).expect("starts").0
}

/// Events of batches, each with its time: where a batch ends has no meaning.
pub(crate) fn flat(batches: impl IntoIterator<Item = FeedBatch>) -> Vec<(Timestamp, FeedEvent)> {
    let timed = |batch: FeedBatch| {
        let time = batch.time;
        batch.events.into_iter().map(move |event| (time, event))
    };
    batches.into_iter().flat_map(timed).collect()
}

pub(crate) type Kept = Arc<Mutex<Vec<(Timestamp, FeedEvent)>>>;

/// Keeps the events that it gets, each once and in sequence.
pub(crate) struct Keeper {
    pub(crate) kept: Kept,
}

impl Sink for Keeper {
    fn name(&self) -> &'static str {
        "keeper"
    }

    fn next_seq(&self) -> EventSeq {
        EventSeq(self.kept.lock().expect("not poisoned").len() as u64 + 1)
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        let mut kept = self.kept.lock().expect("not poisoned");
        for (time, event) in flat(batches.iter().cloned()) {
            assert_eq!(event.event.seq().0, kept.len() as u64 + 1, "each once, in sequence");
            kept.push((time, event));
        }
        Ok(())
    }

    fn skip(&mut self, seq: EventSeq, _: Timestamp, reason: &str) -> Result<(), SinkError> {
        panic!("event {seq} was skipped: {reason}");
    }
}

/// Settings for a server: small frames, so that there are many.
pub(crate) fn config(url: String) -> StreamConfig {
    StreamConfig {
        url: Some(url),
        frame_kib: 8,
        in_flight_mib: 1,
        ack_wait_s: 5,
        max_bytes_mib: 256,
        ..StreamConfig::default()
    }
}

/// Waits until it holds, for longer than anything takes on a slow machine.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(180);
    while !holds() {
        assert!(Instant::now() < give_up, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until all that the journal holds is published.
pub(crate) fn until_published(publisher: &PublisherHandle, feed: &Feed) {
    eventually("everything is published", || {
        assert_eq!(publisher.error(), None);
        publisher.applied_seq() >= feed.durable_seq()
    });
}

/// Waits until the publisher has stopped by itself, and returns what it says.
pub(crate) fn refusal(publisher: &PublisherHandle) -> String {
    eventually("it is refused", || publisher.error().is_some());
    publisher.error().expect("is there")
}

/// What a stream holds: each message's headers, subject and payload.
pub(crate) struct Held {
    pub(crate) subject: String,
    pub(crate) headers: async_nats::HeaderMap,
    pub(crate) payload: Bytes,
}

impl Held {
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).expect(name).as_str().to_owned()
    }
}

/// Connects as a stranger would, with patience for a slow machine.
pub(crate) async fn connect(url: &str) -> async_nats::Client {
    let options = async_nats::ConnectOptions::new().connection_timeout(Duration::from_secs(60));
    options.connect(url).await.expect("connects")
}

/// Reads a stream as a stranger would, with a consumer that keeps nothing on the server.
pub(crate) fn read_stream(url: &str, stream: &str, filter: &str) -> Vec<Held> {
    use async_nats::jetstream::{self, consumer::pull};
    use futures_util::StreamExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut context = jetstream::new(connect(url).await);
        context.set_timeout(Duration::from_secs(60));
        let stream = context.get_stream(stream).await.expect("is there");
        let config = pull::OrderedConfig {
            filter_subject: filter.to_owned(),
            ..pull::OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.expect("a consumer");
        let mut held = Vec::new();
        if consumer.cached_info().num_pending == 0 {
            return held;
        }
        let mut messages = consumer.messages().await.expect("messages");
        while let Some(message) = messages.next().await {
            let message = message.expect("a message");
            let pending = message.info().expect("of JetStream").pending;
            let (message, _) = message.split();
            held.push(Held {
                subject: message.subject.to_string(),
                headers: message.headers.expect("headers"),
                payload: message.payload,
            });
            if pending == 0 {
                break;
            }
        }
        held
    })
}

/// The events of a stream of frames; each message has an id of its own and continues the one before.
pub(crate) fn events_of(held: Vec<Held>) -> Vec<(Timestamp, FeedEvent)> {
    let mut ids = HashSet::new();
    let mut events = Vec::new();
    for message in held {
        assert!(ids.insert(message.header("Nats-Msg-Id")), "each message once");
        let first: usize = message.header("Millrace-First-Sequence").parse().expect("a number");
        assert_eq!(first, events.len() + 1, "each event once, in sequence");
        let batches = millrace_stream::wire::read_frame(message.payload.clone()).expect("a frame");
        events.extend(flat(batches));
        assert_eq!(message.header("Millrace-Last-Sequence"), events.len().to_string());
    }
    events
}

/// Compares, and tells the first event that differs rather than all of them.
pub(crate) fn assert_same(found: &[(Timestamp, FeedEvent)], expected: &[(Timestamp, FeedEvent)]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}
