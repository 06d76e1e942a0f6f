//! Measures how many payments a second the sink writes into PostgreSQL, and how soon the store
//! answers: consumes made-up payments, produces a table. Arguments: payments (default 1,000,000),
//! accounts (default 10,000), events per apply (default 32,768), and the url of an empty database
//! (default: a server of its own, on a free port).
//!
//! `cargo run --release -p millrace-postgres --example rates -- 1000000 10000`

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Balances,
    Code, Event, EventSeq, LedgerId, Operation, Outcome, Payment, PaymentEvent, PaymentFlags,
    PaymentId, Status, Timestamp, Verdict,
};
use millrace_postgres::{PostgresConfig, PostgresSink, PostgresStore};
use millrace_protos::v1::PaymentContext;
use millrace_services::Postgres;
use millrace_sinks::{
    Sink,
    graphql::model::{PageQuery, PaymentQuery, ReadModel},
};
use prost::Message as _;

const BATCH_EVENTS: u64 = 4_096;
const TIME_NS: u64 = 1_795_163_400_000_000_000;
const LOOK_UPS: usize = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let payments = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let accounts = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let apply_events = arguments.next().map_or(Ok(32_768), |text| text.parse())?;
    let (url, _server) = match arguments.next() {
        Some(url) => (url, None),
        None => {
            let server = Postgres::start()?;
            (server.url(), Some(server))
        }
    };
    let config = PostgresConfig::new(&url);
    let mut sink = PostgresSink::open(&config)?;
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
    runtime.block_on(look_ups(&config, &sink, &bank, payments, &url))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

async fn look_ups(
    config: &PostgresConfig,
    sink: &PostgresSink,
    bank: &Bank,
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
    let mut random = bank.random;
    let mut by_id = Vec::new();
    let mut of_account = Vec::new();
    for _ in 0..LOOK_UPS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let id = bank.ids[(random >> 33) as usize % bank.ids.len()];
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

/// Processor time of all threads of this process; the server is another one.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

struct Bank {
    balances: Vec<Balances>,
    seq: u64,
    random: u64,
    /// Some of the payments.
    ids: Vec<PaymentId>,
}

impl Bank {
    fn new(accounts: u64) -> Self {
        let balances = vec![Balances::default(); accounts as usize];
        Self { balances, seq: 0, random: 7, ids: Vec::new() }
    }

    fn openings(&mut self) -> FeedBatch {
        let events = (0..self.balances.len()).map(|index| {
            self.seq += 1;
            let spec = AccountSpec {
                id: id_of(index),
                ledger: LedgerId(203),
                code: Code(1),
                flags: AccountFlags::NONE,
                ..AccountSpec::default()
            };
            let account =
                Account { spec, state: AccountState::Open, balances: Balances::default() };
            let seq = EventSeq(self.seq);
            let event = Event::Account(AccountEvent { seq, change: None, account });
            FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() }
        });
        FeedBatch { time: Timestamp(TIME_NS), events: events.collect() }
    }

    fn payments(&mut self, count: u64) -> FeedBatch {
        let time = Timestamp(TIME_NS + self.seq * 10_000);
        let events = (0..count)
            .map(|_| {
                let event = Event::Payment(self.pay(time));
                let context = PaymentContext {
                    channel: 2,
                    country_code: "CZ".into(),
                    merchant_category_code: "5411".into(),
                    reference: format!("receipt {:016x}", self.draw()),
                    ..PaymentContext::default()
                };
                let context = context.encode_to_vec().into();
                FeedEvent { event, context, evidence: Bytes::new() }
            })
            .collect();
        FeedBatch { time, events }
    }

    fn pay(&mut self, time: Timestamp) -> PaymentEvent {
        self.seq += 1;
        let accounts = self.balances.len() as u64;
        let debit = (self.draw() % accounts) as usize;
        let credit = (debit + 1 + (self.draw() % (accounts - 1)) as usize) % accounts as usize;
        let minor = u128::from(self.draw() % 1_000_000 + 1);
        self.balances[debit].debits_posted += minor;
        self.balances[credit].credits_posted += minor;
        // A UUIDv7: milliseconds, then random bits.
        let id = u128::from(time.0 / 1_000_000) << 80 | 7 << 76 | u128::from(self.draw());
        if self.seq.is_multiple_of(97) {
            self.ids.push(PaymentId(id));
        }
        PaymentEvent {
            seq: EventSeq(self.seq),
            payment: Payment {
                id: PaymentId(id),
                debit: id_of(debit),
                credit: id_of(credit),
                amount: Amount(minor),
                ledger: LedgerId(203),
                code: Code(1),
                operation: Operation::Pay,
                flags: PaymentFlags::NONE,
                ..Payment::default()
            },
            outcome: Outcome { status: Status::Settled, amount: Amount(minor) },
            verdict: Verdict::APPROVE,
            balances: Some([self.balances[debit], self.balances[credit]]),
        }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}

/// Spread over the whole range, as account ids are.
fn id_of(index: usize) -> AccountId {
    let spread = (index as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    AccountId(spread)
}
