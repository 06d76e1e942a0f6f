//! The read model in PostgreSQL: consumes made-up payments, produces how many are written a second, and
//! how soon the store answers.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use crate::{bank::Bank, cpu_time};
use millrace_postgres::{PostgresConfig, PostgresSink, PostgresStore};
use millrace_services::Postgres;
use millrace_sinks::{
    Sink,
    graphql::model::{PageQuery, PaymentQuery, ReadModel},
};

const BATCH_EVENTS: u64 = 4_096;
const LOOK_UPS: usize = 5_000;

/// In the database at `url`, or on a server of its own.
pub(crate) fn run(
    payments: u64,
    accounts: u64,
    apply_events: Option<u64>,
    transaction_events: Option<usize>,
    url: Option<String>,
) -> Result<(), Box<dyn Error>> {
    let (url, _server) = match url {
        Some(url) => (url, None),
        None => {
            let server = Postgres::start()?;
            (server.url(), Some(server))
        }
    };
    let mut config = PostgresConfig::new(&url);
    config.transaction_events = transaction_events.unwrap_or(config.transaction_events);
    let mut sink = PostgresSink::open(&config)?;
    let apply_events = apply_events.unwrap_or(sink.apply_events_max() as u64);
    let mut bank = Bank::new(accounts);
    sink.apply(&[bank.openings()])?;

    println!("{payments} payments, {accounts} accounts, {apply_events} events per apply");
    let (mut elapsed, mut cpu) = (Duration::ZERO, Duration::ZERO);
    let mut slowest = Duration::ZERO;
    let mut left: u64 = payments;
    while left > 0 {
        let mut pending = Vec::new();
        let mut events = 0;
        while left > 0 && events < apply_events {
            let count = left.min(BATCH_EVENTS).min(apply_events);
            pending.push(bank.payments(count));
            (left, events) = (left - count, events + count);
        }
        let (started, cpu_before) = (Instant::now(), cpu_time());
        sink.apply(&pending)?;
        slowest = slowest.max(started.elapsed());
        elapsed += started.elapsed();
        cpu += cpu_time() - cpu_before;
    }
    let per_s = payments as f64 / elapsed.as_secs_f64();
    println!("written:        {per_s:>9.0} payments/s, slowest apply {slowest:.0?}");
    println!("of that, here:  {:>9.2} us of processor a payment", micros(cpu) / payments as f64);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(look_ups(&config, &sink, &mut bank, payments, &url))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

async fn look_ups(
    config: &PostgresConfig,
    sink: &PostgresSink,
    bank: &mut Bank,
    payments: u64,
    url: &str,
) -> Result<(), Box<dyn Error>> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let size = "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c \
                WHERE relnamespace = 'millrace'::regnamespace AND relkind = 'r'";
    let bytes: i64 = client.query_one(size, &[]).await?.get(0);
    println!("on disk:        {:>9} bytes a payment", bytes as u64 / payments);
    client.batch_execute("VACUUM ANALYZE").await?;

    let store = PostgresStore::open(config, Some(sink))?;
    let mut by_id = Vec::new();
    let mut of_account = Vec::new();
    for _ in 0..LOOK_UPS {
        let drawn = bank.draw() as usize;
        let id = bank.ids[drawn % bank.ids.len()];
        let started = Instant::now();
        let found = store.payments_by_id(vec![id]).await?;
        by_id.push(started.elapsed());
        let account = found[0].as_ref().ok_or("the payment is not there")?.event.payment.debit;
        let query = PaymentQuery::all(PageQuery::first(20));
        let started = Instant::now();
        store.payments(PaymentQuery { account: Some(account), ..query }).await?;
        of_account.push(started.elapsed());
    }
    for (what, mut times) in [("payment by id", by_id), ("20 of an account", of_account)] {
        times.sort_unstable();
        let (median, p99) = (times[LOOK_UPS / 2], times[LOOK_UPS * 99 / 100]);
        println!("{what:<16} {:>8.0} us median, {:.0} us p99", micros(median), micros(p99));
    }
    Ok(())
}
