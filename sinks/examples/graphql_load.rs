//! Measures the GraphQL service on a large store: consumes made-up payments, produces how long a page
//! takes that finds nothing, how long `payment(id)` takes at a steady rate, and how long after its
//! commit a payment reaches a subscriber. Arguments: payments (default 2,000,000), requests a second
//! (2,000), seconds (20), and a directory, where the store is kept and used again.
//!
//! `cargo run --release -p millrace-sinks --example graphql_load -- 10000000 2000 20 /tmp/load`
//!
//! Requests have their times: one that waits for its turn counts from when it was due. Server and
//! clients share the machine's processors.

use std::{
    env,
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountEvent, AccountId, AccountSpec, AccountState, Amount, Balances, Code, Event,
    EventSeq, LedgerId, Operation, Outcome, Payment, PaymentEvent, PaymentId, Status, Timestamp,
    Verdict,
};
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, ReadStore, Sink,
    graphql::{
        Services,
        model::{PageQuery, PaymentQuery, Stop},
        serve,
    },
    yield_to_payments,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    time::sleep_until,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use uuid::Uuid;

const ACCOUNTS: u64 = 100_000;
const BATCH: u64 = 4_096;
const CONNECTIONS: usize = 32;
const TIME_NS: u64 = 1_795_163_400_000_000_000;
/// Payments a second while a subscriber follows, and how many.
const FOLLOWED_RATE: u64 = 500;
const FOLLOWED: u64 = 5_000;
/// How often the feed is looked at.
const FEED_POLL: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u64>());
    let (payments, rate, seconds) = (number(2_000_000)?, number(2_000)?, number(20)?);
    let dir = arguments.next().map_or_else(|| env::temp_dir().join("millrace-load"), PathBuf::from);
    let config = GraphqlConfig::default();
    let (mut sink, store) = GraphqlSink::open(&dir, &config)?;
    fill(&mut sink, payments)?;
    println!("{} payments in a store of {} MiB", payments, size_of(&dir)? >> 20);

    print("a page that finds no such amount", find_nothing(&store)?);

    // As the pipeline serves: one thread, of low priority.
    let server = runtime("graphql", 1, yield_to_payments)?;
    let listener = server.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    let services = Services::new(Arc::new(store));
    server.spawn(async move { serve(listener, services, &config, std::future::pending()).await });

    let clients = runtime("client", 1, || {})?;
    for (pass, seconds) in [("cold", 5), ("warm", seconds)] {
        let took = clients.block_on(ask(address, payments, rate, seconds))?;
        print(&format!("payment(id), {rate}/s, {pass}"), took);
    }
    let took = clients.block_on(follow(address, sink))?;
    print("subscription, from commit", took);
    Ok(())
}

fn runtime(name: &str, threads: usize, start: fn()) -> std::io::Result<Runtime> {
    let builder = &mut Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).on_thread_start(start).enable_all().build()
}

fn print(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: {} of them, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, most {:.2} ms",
        took.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// Walks the whole store for an amount that nobody paid, page by page.
fn find_nothing(store: &ReadStore) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut query = PaymentQuery::all(PageQuery::first(50));
    query.amount_min = Some(u128::MAX);
    let mut took = Vec::new();
    loop {
        let started = Instant::now();
        let page = store.payments(&query)?;
        took.push(started.elapsed());
        match page.stopped_at {
            Some(Stop::After(place)) => query.page.after = Some(EventSeq(place)),
            _ => return Ok(took),
        }
    }
}

/// Adds what is missing: the accounts, then the payments.
fn fill(sink: &mut GraphqlSink, payments: u64) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    if sink.next_seq() == EventSeq::FIRST {
        let openings = (1..=ACCOUNTS).map(opening).collect();
        sink.apply(&[FeedBatch { time: Timestamp(TIME_NS), events: openings }])?;
    }
    let first = sink.next_seq().0;
    while sink.next_seq().0 <= ACCOUNTS + payments {
        let batch = |start: u64| FeedBatch {
            time: Timestamp(TIME_NS + start * 1_000),
            events: (start..(start + BATCH).min(ACCOUNTS + payments + 1)).map(paid).collect(),
        };
        let next = sink.next_seq().0;
        let batches = (0..8).map(|index| next + index * BATCH);
        let batches = batches.filter(|start| *start <= ACCOUNTS + payments).map(batch);
        sink.apply(&batches.collect::<Vec<_>>())?;
    }
    let filled = sink.next_seq().0 - first;
    if filled > 0 {
        println!("filled {filled} in {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn opening(seq: u64) -> FeedEvent {
    let spec = AccountSpec {
        id: account_id(seq - 1),
        ledger: LedgerId(203),
        code: Code(1),
        ..AccountSpec::default()
    };
    let account = Account { spec, state: AccountState::Open, balances: Balances::default() };
    let event = Event::Account(AccountEvent { seq: EventSeq(seq), change: None, account });
    FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() }
}

fn paid(seq: u64) -> FeedEvent {
    let debit = mixed(seq) % ACCOUNTS;
    let credit = (debit + 1 + mixed(seq + 1) % (ACCOUNTS - 1)) % ACCOUNTS;
    let minor = u128::from(mixed(seq + 2) % 1_000_000 + 1);
    let event = Event::Payment(PaymentEvent {
        seq: EventSeq(seq),
        payment: Payment {
            id: payment_id(seq),
            debit: account_id(debit),
            credit: account_id(credit),
            amount: Amount(minor),
            ledger: LedgerId(203),
            code: Code(1),
            operation: Operation::Pay,
            ..Payment::default()
        },
        outcome: Outcome { status: Status::Settled, amount: Amount(minor) },
        verdict: Verdict::APPROVE,
        balances: Some([Balances::default(); 2]),
    });
    let head = b"\x08\x02\x22\x02CZ\x2a\x045411\x32\x14".as_slice();
    let context = [head, format!("receipt {seq:012}").as_bytes()].concat();
    FeedEvent { event, context: context.into(), evidence: Bytes::new() }
}

/// A UUIDv7 that can be told from the position: milliseconds, then bits that look random.
fn payment_id(seq: u64) -> PaymentId {
    let ms = u128::from((TIME_NS + seq * 1_000) / 1_000_000);
    PaymentId(ms << 80 | 7 << 76 | 2 << 62 | u128::from(mixed(seq) >> 2))
}

fn account_id(index: u64) -> AccountId {
    AccountId((u128::from(index) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Asks for payments anywhere in the store, each request at its time.
async fn ask(
    address: SocketAddr,
    payments: u64,
    rate: u64,
    seconds: u64,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let start = Instant::now() + Duration::from_millis(100);
    let mut connections = Vec::new();
    for index in 0..CONNECTIONS as u64 {
        connections.push(tokio::spawn(async move {
            let mut connection = TcpStream::connect(address).await?;
            connection.set_nodelay(true)?;
            let mut took = Vec::new();
            for turn in (index..rate * seconds).step_by(CONNECTIONS) {
                let due = start + Duration::from_nanos(turn * 1_000_000_000 / rate);
                sleep_until(due.into()).await;
                let seq = ACCOUNTS + 1 + mixed(turn ^ seconds << 40) % payments;
                let id = Uuid::from_u128(payment_id(seq).0);
                let answer = post(&mut connection, id).await?;
                if answer["data"]["payment"]["seq"].as_str() != Some(&seq.to_string()) {
                    return Err(std::io::Error::other(answer.to_string()));
                }
                took.push(due.elapsed());
            }
            Ok(took)
        }));
    }
    let mut took = Vec::new();
    for connection in connections {
        took.extend(connection.await??);
    }
    Ok(took)
}

async fn post(connection: &mut TcpStream, id: Uuid) -> std::io::Result<Value> {
    let query = "query($id: UUID!) { payment(id: $id) { seq status time operation \
                   amount { amount currency } debitAccountId creditAccountId riskDecision } }";
    let body = json!({ "query": query, "variables": { "id": id } }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if connection.read_buf(&mut answer).await? == 0 {
            return Err(std::io::Error::other("the server closed the connection"));
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_ascii_lowercase().split("content-length: ").nth(1).map(|rest| {
                rest.split("\r\n").next().and_then(|digits| digits.parse::<usize>().ok())
            });
        if length.flatten() == Some(body.len()) {
            return serde_json::from_str(body).map_err(std::io::Error::other);
        }
    }
}

/// Follows payments that are committed at a steady rate, and applied as the feed hands them on.
async fn follow(address: SocketAddr, sink: GraphqlSink) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let query = "subscription { payments { seq status amount { amount } } }";
    for message in [
        json!({ "type": "connection_init" }),
        json!({ "id": "1", "type": "subscribe", "payload": { "query": query } }),
    ] {
        socket.send(Message::text(message.to_string())).await?;
    }
    // The subscription begins a moment after it was sent.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let first = sink.next_seq().0;
    let committed = Arc::new(Mutex::new(Vec::new()));
    let done = Arc::new(AtomicBool::new(false));
    let applying = apply(sink, Arc::clone(&committed), Arc::clone(&done));
    let times = Arc::clone(&committed);
    let committing = thread::spawn(move || {
        let start = Instant::now();
        for turn in 0..FOLLOWED {
            let due = start + Duration::from_nanos(turn * 1_000_000_000 / FOLLOWED_RATE);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            times.lock().expect("no panics").push(Instant::now());
        }
    });
    let mut took = Vec::new();
    while took.len() < FOLLOWED as usize {
        let message = socket.next().await.ok_or("the server closed the connection")??;
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text)?;
        let Some(seq) = message["payload"]["data"]["payments"]["seq"].as_str() else { continue };
        let place = seq.parse::<u64>()? - first;
        let at = committed.lock().expect("no panics")[place as usize];
        took.push(at.elapsed());
    }
    done.store(true, Ordering::Relaxed);
    committing.join().expect("no panics");
    applying.join().expect("no panics");
    Ok(took)
}

/// Applies what was committed, as a sink's thread does.
fn apply(
    mut sink: GraphqlSink,
    committed: Arc<Mutex<Vec<Instant>>>,
    done: Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        yield_to_payments();
        let mut applied = 0;
        while !done.load(Ordering::Relaxed) {
            thread::sleep(FEED_POLL);
            let there = committed.lock().expect("no panics").len();
            if there == applied {
                continue;
            }
            let next = sink.next_seq().0;
            let events: Vec<_> = (next..next + (there - applied) as u64).map(paid).collect();
            let batch = FeedBatch { time: Timestamp(TIME_NS + next * 1_000), events };
            sink.apply(&[batch]).expect("applies");
            applied = there;
        }
    })
}

fn size_of(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
