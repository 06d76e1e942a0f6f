//! Measures how fast a journal goes through a real NATS server: makes a journal of payments, publishes
//! it, consumes it, and publishes it once more payment by payment. Arguments: payments (default
//! 1,000,000), and the directory to write in (default: the system's for temporary files).
//!
//! `cargo run --release -p millrace-stream --example publish_rates -- 1000000`

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millrace_engine::{Command, Engine, EngineConfig, Feed, submission::Reply};
use millrace_ledger::{
    AccountId, AccountSpec, Amount, ApproveAll, Code, EventSeq, LedgerId, Payment, PaymentId,
};
use millrace_services::Nats;
use millrace_sinks::Source as _;
use millrace_stream::{Publisher, StreamConfig, StreamSource};
use tokio::sync::oneshot;

const ACCOUNTS: u128 = 10_000;
const REQUEST: u64 = 8_192;
const DELAYS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let payments: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let directory = arguments.next().map_or_else(env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("millrace-stream-rates-{}", std::process::id()));
    let nats = Nats::start()?;
    let result = measure(payments, &directory, nats.url());
    std::fs::remove_dir_all(&directory)?;
    result
}

fn measure(payments: u64, directory: &Path, url: String) -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(&EngineConfig::new(directory), &ApproveAll)?.0;
    let mut next_id = 1;
    let specs = (1..=ACCOUNTS).map(account).collect();
    ask(&engine, |reply| Command::CreateAccounts { specs, acts: Vec::new(), reply })?;
    let mut left = payments;
    while left > 0 {
        let count = left.min(REQUEST);
        pay(&engine, &mut next_id, count)?;
        left -= count;
    }
    let feed = engine.feed();
    let events = feed.durable_seq().0;
    println!("{payments} payments, {ACCOUNTS} accounts");
    println!("{:<36} {:>12} {:>10}", "", "events/s", "MB/s");

    let started = Instant::now();
    let mut reader = feed.reader(EventSeq::FIRST);
    let mut bytes = 0;
    while let Some(batch) = reader.next(Duration::ZERO)? {
        let messages = millrace_stream::wire::write_batch(&batch);
        bytes += messages.map(|it| prost::Message::encode_to_vec(&it).len()).sum::<usize>();
    }
    row("read the journal and encode", events, bytes, started.elapsed());

    let config = StreamConfig { url: Some(url), max_bytes_mib: 2_048, ..StreamConfig::default() };
    let publisher = Publisher::spawn(&config, &feed)?;
    let started = Instant::now();
    until_published(&publisher, &feed)?;
    row("publish in frames", events, bytes, started.elapsed());

    let source = StreamSource::new(&config, "rates")?;
    let started = Instant::now();
    let mut reader = source.reader(EventSeq::FIRST)?;
    let mut read = 0;
    while read < events {
        let batch = StreamSource::next(&mut reader, Duration::from_secs(10))?;
        read += batch.ok_or("the stream ended early")?.events.len() as u64;
        StreamSource::committed(&mut reader, EventSeq(read + 1))?;
    }
    row("consume and acknowledge", events, bytes, started.elapsed());

    // Each payment is published and consumed before the next one is made.
    let mut delays = Vec::with_capacity(DELAYS);
    for _ in 0..DELAYS {
        pay(&engine, &mut next_id, 1)?;
        let started = Instant::now();
        StreamSource::next(&mut reader, Duration::from_secs(10))?.ok_or("nothing came")?;
        delays.push(started.elapsed());
        read += 1;
        StreamSource::committed(&mut reader, EventSeq(read + 1))?;
    }
    delays.sort_unstable();
    let (p50, p99) = (delays[DELAYS / 2], delays[DELAYS * 99 / 100]);
    println!("from the answer to a consumer, one by one: p50 {p50:.1?}, p99 {p99:.1?}");
    drop(publisher);

    let config = StreamConfig { per_payment: true, ..config };
    let publisher = Publisher::spawn(&config, &feed)?;
    let started = Instant::now();
    until_published(&publisher, &feed)?;
    row("publish payment by payment", events, bytes, started.elapsed());
    drop((reader, publisher));
    engine.stop()?;
    Ok(())
}

fn row(what: &str, events: u64, bytes: usize, elapsed: Duration) {
    let per_s = |amount: f64| amount / elapsed.as_secs_f64();
    println!("{what:<36} {:>12.0} {:>10.0}", per_s(events as f64), per_s(bytes as f64) / 1e6);
}

fn until_published(
    publisher: &millrace_stream::PublisherHandle,
    feed: &Feed,
) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    while publisher.applied_seq() < feed.durable_seq() {
        if let Some(why) = publisher.waiting_for().filter(|_| started.elapsed().as_secs() > 30) {
            return Err(why.into());
        }
        if let Some(error) = publisher.error() {
            return Err(error.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn account(id: u128) -> AccountSpec {
    let (ledger, code) = (LedgerId(203), Code(1));
    AccountSpec { id: AccountId(id), ledger, code, ..AccountSpec::default() }
}

fn pay(engine: &Engine, next_id: &mut u128, count: u64) -> Result<(), Box<dyn Error>> {
    let context = Bytes::from_static(b"\x08\x02\x22\x02CZ\x2a\x045411\x32\x0breceipt 123");
    let contexts = vec![context; count as usize];
    let payment = |id: u128| Payment {
        id: PaymentId(id),
        debit: AccountId(1 + id.wrapping_mul(7_919) % ACCOUNTS),
        credit: AccountId(1 + (id.wrapping_mul(7_919) + 1 + id % 97) % ACCOUNTS),
        amount: Amount(id % 10_000 + 1),
        ledger: LedgerId(203),
        code: Code(1),
        ..Payment::default()
    };
    let payments = (*next_id..).take(count as usize).map(payment).collect();
    *next_id += u128::from(count);
    ask(engine, |reply| Command::Payments { payments, contexts, reply })?;
    Ok(())
}

fn ask<T>(engine: &Engine, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (reply, answer) = oneshot::channel();
        let room = Instant::now() + Duration::from_secs(30);
        let submitted = engine.submitter().submit(command(reply), None, room).await;
        submitted.map_err(|error| format!("{error:?}"))?;
        answer.await?.map_err(|_| "it expired".into())
    })
}
