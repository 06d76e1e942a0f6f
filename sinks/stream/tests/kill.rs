//! Kills the server, the publisher and the sink, again and again, at whatever moment it comes, while
//! payments go on; and compares what stream and sink end up with to the journal.
//!
//! The publisher that is killed is a process of its own, which follows the journal: this test's own
//! binary, so it has a `main` of its own.

mod common;

use std::{
    env,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use common::{Bank, Keeper, Kept, Random, assert_same, config, events_of, eventually, read_stream};
use millrace_engine::Feed;
use millrace_services::{Nats, required};
use millrace_sinks::spawn;
use millrace_stream::{Publisher, StreamConfig, StreamSource};

/// Names the journal to a process that is to publish it.
const JOURNAL_VARIABLE: &str = "MILLRACE_STREAM_TEST_JOURNAL";
const URL_VARIABLE: &str = "MILLRACE_STREAM_TEST_URL";
const ROUNDS: u64 = 36;

fn main() -> ExitCode {
    match (env::var_os(JOURNAL_VARIABLE), env::var(URL_VARIABLE)) {
        (Some(journal), Ok(url)) => publish(Path::new(&journal), url),
        _ => kill_again_and_again(),
    }
    ExitCode::SUCCESS
}

fn settings(url: String) -> StreamConfig {
    StreamConfig { per_payment: true, ..config(url) }
}

fn publish(journal: &Path, url: String) {
    let feed = Feed::follow(journal).expect("follows");
    let publisher = Publisher::spawn(&settings(url), &feed).expect("starts");
    while publisher.error().is_none() {
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the publisher stopped: {:?}", publisher.error());
}

/// The publisher's process, which ends with this value.
struct Process(Child);

impl Process {
    fn start(journal: &Path, url: &str) -> Self {
        let child = Command::new(env::current_exe().expect("has a path"))
            .env(JOURNAL_VARIABLE, journal)
            .env(URL_VARIABLE, url)
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.0.try_wait().expect("can be asked");
        self.0.kill().expect("is killed");
        self.0.wait().expect("ends");
        assert!(ended.is_none() || thread::panicking(), "the publisher ended by itself: {ended:?}");
    }
}

fn kill_again_and_again() {
    let Some(mut nats) = required(Nats::start()) else { return };
    let config = settings(nats.url());
    let mut bank = Bank::open(42);
    bank.holds_expire = true;
    let mut random = Random::new(4_711);
    let kept = Kept::default();
    let start_sink = || {
        let source = StreamSource::new(&config, "keeper").expect("starts");
        spawn(Box::new(Keeper { kept: Arc::clone(&kept) }), source)
    };
    let mut sink = start_sink();
    let mut process = Process::start(bank.journal(), &nats.url());
    for round in 0..ROUNDS {
        bank.trade(5 + random.below(40));
        thread::sleep(Duration::from_millis(random.below(250)));
        match round % 3 {
            0 => {
                nats.kill();
                bank.trade(random.below(20));
                thread::sleep(Duration::from_millis(random.below(200)));
                nats.start_again().expect("starts");
            }
            1 => {
                drop(process);
                bank.trade(random.below(20));
                process = Process::start(bank.journal(), &nats.url());
            }
            _ => {
                assert_eq!(sink.error(), None);
                sink.stop();
                sink.join();
                sink = start_sink();
            }
        }
        if round == ROUNDS / 2 {
            bank.start_again();
        }
    }
    bank.until_holds_expired();
    let last = bank.feed().durable_seq();
    eventually("the sink has everything", || {
        assert_eq!(sink.error(), None);
        sink.applied_seq() >= last
    });
    let events = bank.events();
    assert_same(&kept.lock().expect("not poisoned").clone(), &events);
    assert_same(&events_of(read_stream(&nats.url(), &config.stream, "")), &events);
    let payments = events.iter().filter(|(_, it)| is_payment(&it.event)).map(|(_, it)| it);
    let payments: Vec<String> = payments.map(|it| it.event.seq().to_string()).collect();
    let mut held = Vec::new();
    eventually("all single payments are there", || {
        held = read_stream(&nats.url(), &config.payments_stream, "");
        held.len() >= payments.len()
    });
    let ids: Vec<String> = held.iter().map(|held| held.header("Nats-Msg-Id")).collect();
    for (id, payment) in ids.iter().zip(&payments) {
        assert_eq!(id, payment, "each payment once, in sequence");
    }
    assert_eq!(ids.len(), payments.len());
    println!("{} events, {} payments, {ROUNDS} kills", events.len(), payments.len());
}

fn is_payment(event: &millrace_ledger::Event) -> bool {
    use millrace_ledger::Event;
    matches!(event, Event::Payment(_) | Event::HoldExpired(_))
}
