//! Measures how many events a second each sink takes on one core: consumes made-up payments,
//! produces a table. Arguments: payments (default 1,000,000), accounts (default 10,000), and the
//! directory to write in (default: the system's for temporary files).
//!
//! `cargo run --release -p millrace-sinks --example rates -- 1000000 10000`

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Balances,
    Code, Event, EventSeq, LedgerId, Operation, Outcome, OwnerId, Payment, PaymentEvent,
    PaymentFlags, PaymentId, Status, Timestamp, Verdict,
};
use millrace_risk::evidence::Evidence;
use millrace_sinks::{
    AuditConfig, AuditSink, GraphqlConfig, GraphqlSink, NotifyConfig, NotifyService, NotifySink,
    Sink,
    audit::{VerifyOptions, verify},
    notify::Transport,
};

const BATCH_EVENTS: usize = 4_096;
const APPLY_BATCHES: usize = 8;
const TIME_NS: u64 = 1_795_163_400_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let payments = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let accounts = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let dir = arguments.next().map_or_else(env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("millrace-rates-{}", std::process::id()));

    println!("{payments} payments, {accounts} accounts");
    println!("{:<8} {:>12} {:>12} {:>12}", "sink", "events/s", "of CPU/s", "MiB");
    let audit_dir = dir.join("audit");
    let sink = AuditSink::open(&audit_dir, &AuditConfig::default())?;
    measure("audit", Box::new(sink), payments, accounts, &audit_dir)?;
    let started = Instant::now();
    let report = verify(&audit_dir, &VerifyOptions::default())?;
    let per_s = report.lines as f64 / started.elapsed().as_secs_f64();
    println!("{:<8} {per_s:>12.0}", "verify");
    fs::remove_dir_all(&audit_dir)?;

    let graphql_dir = dir.join("graphql");
    let (sink, _store) = GraphqlSink::open(&graphql_dir, &GraphqlConfig::default())?;
    measure("graphql", Box::new(sink), payments, accounts, &graphql_dir)?;

    let notify_dir = dir.join("notify");
    let in_file = NotifyConfig { transport: Transport::File, ..NotifyConfig::default() };
    let sink = NotifySink::open(&notify_dir, &in_file)?;
    measure("notify", Box::new(sink), payments / 10, accounts, &notify_dir)?;

    // Accounts that somebody owns, and inboxes only.
    let outbox_dir = dir.join("outbox");
    let service = NotifyService::open(&outbox_dir, &NotifyConfig::default())?;
    measure("outbox", service.sink, payments / 10, accounts, &outbox_dir)?;
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Feeds the sink, and prints its rate over the time within it.
fn measure(
    name: &str,
    mut sink: Box<dyn Sink>,
    payments: u64,
    accounts: u64,
    dir: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut bank = Bank::new(accounts);
    sink.apply(&[bank.openings()])?;
    let mut pending: Vec<FeedBatch> = Vec::new();
    let (mut elapsed, cpu_before) = (Duration::ZERO, cpu_time());
    let mut making = Duration::ZERO;
    let mut left = payments;
    while left > 0 {
        let making_started = cpu_time();
        while left > 0 && pending.len() < APPLY_BATCHES {
            let events = left.min(BATCH_EVENTS as u64);
            pending.push(bank.payments(events));
            left -= events;
        }
        making += cpu_time() - making_started;
        let started = Instant::now();
        sink.apply(&pending)?;
        elapsed += started.elapsed();
        pending.clear();
    }
    drop(sink);
    let cpu = cpu_time() - cpu_before - making;
    let per = |time: Duration| payments as f64 / time.as_secs_f64();
    let mib = size_of(dir)? >> 20;
    println!("{name:<8} {:>12.0} {:>12.0} {mib:>12}", per(elapsed), per(cpu));
    Ok(())
}

/// Processor time of all threads.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn size_of(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

struct Bank {
    balances: Vec<Balances>,
    seq: u64,
    random: u64,
}

impl Bank {
    fn new(accounts: u64) -> Self {
        Self { balances: vec![Balances::default(); accounts as usize], seq: 0, random: 7 }
    }

    fn openings(&mut self) -> FeedBatch {
        let events = (0..self.balances.len()).map(|index| {
            self.seq += 1;
            let spec = AccountSpec {
                id: id_of(index),
                ledger: LedgerId(203),
                code: Code(1),
                flags: AccountFlags::NONE,
                owner: OwnerId(index as u128 + 1),
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
        let time = Timestamp(TIME_NS + self.seq * 1_000);
        // Every payment has a reference of its own, and a score.
        let context = |seq: u64| {
            let head = b"\x08\x02\x22\x02CZ\x2a\x045411\x32\x14".as_slice();
            Bytes::from([head, format!("receipt {seq:012}").as_bytes()].concat())
        };
        let evidence = Evidence { policy: 1, score: Some(0.25), ..Evidence::default() };
        let mut bytes = Vec::new();
        evidence.put(&mut bytes);
        let evidence = Bytes::from(bytes);
        let events = (0..count)
            .map(|_| FeedEvent {
                event: Event::Payment(self.pay(time)),
                context: context(self.seq),
                evidence: evidence.clone(),
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
