//! Measures the notification service: consumes made-up payments, produces how many notifications a
//! second are put into the outbox, and how many are handed over to a receiver. Arguments:
//! notifications (default 20,000), and messages under way at a time (16).
//!
//! `cargo run --release -p millrace-sinks --example outbox -- 20000 16`
//!
//! Each notification is a webhook: rendered, signed, sent over HTTP to a receiver in this process that
//! takes everything, and noted as sent. Server and receiver share the machine's processors.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{Router, routing::post};
use bytes::Bytes;
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountEvent, AccountId, AccountSpec, AccountState, Amount, Balances, Code, Event,
    EventSeq, LedgerId, Operation, Outcome, OwnerId, Payment, PaymentEvent, PaymentId, Status,
    Timestamp, Verdict,
};
use millrace_sinks::{
    NotifyConfig, NotifyService, Sink,
    notify::{
        Channel, DeliveryConfig, EventKind, InboxQuery, RuleConfig, SecretConfig, StateKind,
        WebhookConfig,
    },
};
use serde_json::json;
use uuid::Uuid;

const OWNERS: u128 = 1_000;
const BATCH: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let notifications: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let in_flight: u32 = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let dir = env::temp_dir().join(format!("millrace-outbox-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let (receiver, taken) = receive()?;
    let service = NotifyService::open(&dir.join("outbox"), &config(&dir, receiver, in_flight)?)?;
    let inbox = service.inbox.ok_or("no inbox")?;
    let mut sink = service.sink;
    sink.apply(&[openings()])?;

    // Each payment tells the payer and the payee.
    let payments = notifications / 2;
    let started = Instant::now();
    enqueue(sink.as_mut(), payments)?;
    let enqueued = started.elapsed();
    let made = inbox.latest_id();

    let started = Instant::now();
    let running = service.dispatcher.ok_or("no dispatcher")?.start()?;
    while taken.load(Ordering::Relaxed) < made {
        thread::sleep(Duration::from_millis(5));
    }
    let handed_over = started.elapsed();
    let pending = InboxQuery { state: Some(StateKind::Pending), ..InboxQuery::default() };
    while !inbox.list(pending, None, 1)?.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let noted = started.elapsed();
    running.join();
    let per_s = |time: Duration| made as f64 / time.as_secs_f64();
    println!("{made} notifications to {OWNERS} owners, {in_flight} under way at a time");
    println!("put into the outbox            {:>8.0} /s", per_s(enqueued));
    println!("handed over to the receiver    {:>8.0} /s", per_s(handed_over));
    println!("handed over and noted as sent  {:>8.0} /s", per_s(noted));
    println!("received                       {:>8}", taken.load(Ordering::Relaxed));
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// A receiver that takes everything, and how much it took.
fn receive() -> Result<(SocketAddr, Arc<AtomicU64>), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let take = move |_: axum::body::Bytes| {
        counter.fetch_add(1, Ordering::Relaxed);
        async {}
    };
    let router = Router::new().route("/hook", post(take));
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    thread::spawn(move || runtime.block_on(async { axum::serve(listener, router).await }));
    Ok((address, taken))
}

fn config(
    dir: &Path,
    receiver: SocketAddr,
    in_flight_max: u32,
) -> Result<NotifyConfig, Box<dyn Error>> {
    let entry = |number: u128| {
        let entry = json!({ "webhook": format!("http://{receiver}/hook") });
        (Uuid::from_u128(number).to_string(), entry)
    };
    let entries: BTreeMap<_, _> = (1..=OWNERS).map(entry).collect();
    let (owners, secret) = (dir.join("owners.json"), dir.join("secret"));
    fs::write(&owners, json!({ "owners": entries }).to_string())?;
    fs::write(&secret, "a secret for webhooks of the bench\n")?;
    let rule =
        RuleConfig { channels: vec![Channel::Webhook], ..RuleConfig::any(EventKind::Settled) };
    Ok(NotifyConfig {
        owners,
        rules: vec![rule],
        webhook: WebhookConfig {
            enabled: true,
            https_only: false,
            secret: SecretConfig { file: secret, ..SecretConfig::default() },
            ..WebhookConfig::default()
        },
        delivery: DeliveryConfig {
            in_flight_max,
            recipient_max: u32::MAX,
            ..DeliveryConfig::default()
        },
        ..NotifyConfig::default()
    })
}

fn openings() -> FeedBatch {
    let events = (1..=OWNERS).map(|number| {
        let spec = AccountSpec {
            id: AccountId(number),
            ledger: LedgerId(203),
            code: Code(1),
            owner: OwnerId(number),
            ..AccountSpec::default()
        };
        let account = Account { spec, state: AccountState::Open, balances: Balances::default() };
        let seq = EventSeq(number as u64);
        event_of(Event::Account(AccountEvent { seq, change: None, account }))
    });
    FeedBatch { time: now(), events: events.collect() }
}

fn enqueue(sink: &mut dyn Sink, payments: u64) -> Result<(), Box<dyn Error>> {
    let mut seq = OWNERS as u64;
    let mut left = payments;
    while left > 0 {
        let count = left.min(BATCH);
        left -= count;
        let events = (0..count).map(|_| {
            seq += 1;
            event_of(Event::Payment(paid(seq)))
        });
        let batch = FeedBatch { time: now(), events: events.collect() };
        sink.apply(&[batch])?;
    }
    Ok(())
}

fn paid(seq: u64) -> PaymentEvent {
    let debit = u128::from(seq) % OWNERS + 1;
    let amount = Amount(u128::from(seq % 10_000) + 100);
    PaymentEvent {
        seq: EventSeq(seq),
        payment: Payment {
            id: PaymentId(u128::from(seq)),
            debit: AccountId(debit),
            credit: AccountId(debit % OWNERS + 1),
            amount,
            ledger: LedgerId(203),
            code: Code(1),
            operation: Operation::Pay,
            ..Payment::default()
        },
        outcome: Outcome { status: Status::Settled, amount },
        verdict: Verdict::APPROVE,
        balances: Some([Balances::default(); 2]),
    }
}

fn event_of(event: Event) -> FeedEvent {
    FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(since_epoch.as_nanos() as u64)
}
