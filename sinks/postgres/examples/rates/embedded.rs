//! The sinks that keep files of their own: consumes made-up payments, produces a row for each.

use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use millrace_engine::feed::FeedBatch;
use millrace_sinks::{
    AuditConfig, AuditSink, GraphqlConfig, GraphqlSink, NotifyConfig, NotifyService, NotifySink,
    Sink,
    audit::{VerifyOptions, verify},
    notify::Transport,
};

use crate::{bank::Bank, cpu_time};

const BATCH_EVENTS: usize = 4_096;
const APPLY_BATCHES: usize = 8;

pub(crate) fn run(payments: u64, accounts: u64, dir: &Path) -> Result<(), Box<dyn Error>> {
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
    let mut bank = Bank::scored(accounts);
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

fn size_of(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
