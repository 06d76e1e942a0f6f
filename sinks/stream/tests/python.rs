//! The example consumer in another language reads what was published, each payment once, also when it
//! is killed in between.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use common::{Bank, config, until_published};
use millrace_ledger::{Event, Status};
use millrace_services::{Nats, required, tools_dir};
use millrace_stream::Publisher;

fn python() -> Option<PathBuf> {
    let python = tools_dir().join("python/bin/python");
    if python.is_file() {
        return Some(python);
    }
    let required = std::env::var_os("MILLRACE_REQUIRE_SERVICES").is_some();
    assert!(!required, "{} is missing: run scripts/get-services.sh", python.display());
    eprintln!("skipped: {} is missing: run scripts/get-services.sh", python.display());
    None
}

fn consume(python: &Path, url: &str, directory: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/consume.py"))
        .args(["--url", url, "--stop-at-end", "--wait", "12"])
        .arg("--descriptors")
        .arg(directory.join("millrace.desc"))
        .arg("--database")
        .arg(directory.join("payments.sqlite"));
    command
}

/// The rows of the table that the consumer fills, as text.
fn rows(python: &Path, directory: &Path) -> Vec<String> {
    let script = "import sqlite3, sys\n\
         for row in sqlite3.connect(sys.argv[1]).execute('SELECT * FROM payments ORDER BY sequence'):\n\
         \x20   print('|'.join(map(str, row)))\n";
    let output = Command::new(python)
        .args(["-c", script])
        .arg(directory.join("payments.sqlite"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// What the table should hold.
fn expected(bank: &Bank) -> Vec<String> {
    use millrace_protos::v1::PaymentContext;
    use prost::Message as _;
    let row = |event: &millrace_engine::FeedEvent| {
        let Event::Payment(payment) = &event.event else { return None };
        let (status, reason) = match payment.outcome.status {
            Status::Settled => ("SETTLED", String::new()),
            Status::Held => ("HELD", String::new()),
            Status::Voided => ("VOIDED", String::new()),
            Status::Rejected(reason) => ("REJECTED", reason.upper_snake_name()),
        };
        let context = PaymentContext::decode(&event.context[..]).unwrap_or_default();
        let (id, amount) = (payment.payment.id.0, payment.outcome.amount.0);
        let (seq, ledger) = (payment.seq, payment.payment.ledger.0);
        Some(format!("{seq}|{id:032x}|{status}|{reason}|{amount}|{ledger}|{}", context.reference))
    };
    bank.events().iter().filter_map(|(_, event)| row(event)).collect()
}

#[test]
fn the_example_in_python_gets_each_payment_once() {
    let (Some(python), Some(nats)) = (python(), required(Nats::start())) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let descriptors = directory.path().join("millrace.desc");
    fs::write(descriptors, millrace_protos::FILE_DESCRIPTOR_SET).expect("written");
    let mut bank = Bank::open(14);
    let publisher = Publisher::spawn(&config(nats.url()), &bank.feed()).expect("starts");
    bank.trade(150);
    until_published(&publisher, &bank.feed());
    // Killed while it works; the next one goes on.
    for wait_ms in [300, 500, 700] {
        let mut process = consume(&python, &nats.url(), directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        thread::sleep(Duration::from_millis(wait_ms));
        process.kill().expect("is killed");
        process.wait().expect("ends");
        bank.trade(10);
    }
    until_published(&publisher, &bank.feed());
    let output = consume(&python, &nats.url(), directory.path()).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (found, expected) = (rows(&python, directory.path()), expected(&bank));
    assert!(expected.len() > 1_000);
    assert_eq!(found, expected);
}
