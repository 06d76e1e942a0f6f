//! Kills a process that drives all sinks, again and again, at whatever moment it comes, and
//! compares what they end up with to an undisturbed run.
//!
//! The process is this test's own binary, so it has a `main` of its own.

mod common;
#[path = "common/lists.rs"]
mod lists;

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{CZK, account, bank};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::{RejectReason, RiskDecision};
use millrace_risk::desk::OpenPage;
use millrace_sinks::{
    AuditConfig, AuditSink, GraphqlSink, NotifyConfig, NotifyService, NotifySink, ReviewsConfig,
    ReviewsSink, Sink,
    audit::{self, VerifyOptions},
    graphql::model::TimeRange,
    notify::{InboxQuery, Transport},
};

/// Names the directory to a process that is to be killed.
const DIR_VARIABLE: &str = "MILLRACE_KILL_TEST_DIR";
const ROUNDS: u64 = 12;
const SEGMENT_BYTES: u64 = 3 << 20;
const FILES: [&str; 3] =
    ["audit/audit.jsonl", "notify/notifications.jsonl", "notify/accounts.jsonl"];

fn main() -> ExitCode {
    let outcome = match env::var_os(DIR_VARIABLE) {
        Some(dir) => run_sinks(Path::new(&dir)).map(drop),
        None => kill_again_and_again(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every kind of event, many times.
fn history() -> Vec<FeedBatch> {
    let mut history = bank();
    history.open_keeping(4, CZK);
    history.open(5, CZK);
    for number in (1_000..40_000).step_by(10) {
        history.authorize(number, 4, 5, 700, 60);
        history.capture(number + 1, number, (4, 5), 300, false);
        match number / 10 % 3 {
            0 => history.capture(number + 2, number, (4, 5), 400, true),
            1 => history.void(number + 2, number, (4, 5), 400),
            _ => history.expire(number, (4, 5), 400),
        }
        history.refund(number + 3, number + 1, (4, 5), 200);
        history.reject(number + 4, 5, 4, 1 << 70, RejectReason::InsufficientFunds);
        history.open(number + 5, CZK);
        history.pay(number + 6, 5, number + 5, 90);
        history.hold_by_risk(number + 7, 80, RiskDecision::Review);
        match number / 10 % 4 {
            0 => history.claim(number + 7, "ann"),
            1 => history.capture(number + 8, number + 7, (1, 2), 80, true),
            2 => history.expire(number + 7, (1, 2), 80),
            _ => history.set_policy("bob", "a policy"),
        }
    }
    history.batches(48)
}

fn in_file() -> NotifyConfig {
    NotifyConfig { transport: Transport::File, ..NotifyConfig::default() }
}

/// Opens the sinks and applies all that they have not applied yet. Returns what the store says.
fn run_sinks(dir: &Path) -> Result<String, Box<dyn Error>> {
    let batches = history();
    // Segments are sealed and compressed all along.
    let (audit_dir, audit_config) = (dir.join("audit"), AuditConfig::default());
    let mut audit = AuditSink::open_sized(&audit_dir, &audit_config, SEGMENT_BYTES)?;
    let mut notify = NotifySink::open(&dir.join("notify"), &in_file())?;
    let outbox = NotifyService::open(&dir.join("outbox"), &NotifyConfig::default())?;
    let (mut outbox, inbox) = (outbox.sink, outbox.inbox.ok_or("an outbox has an inbox")?);
    let (mut graphql, store) = GraphqlSink::open(&dir.join("graphql"), &common::patient())?;
    let (mut reviews, desk) = ReviewsSink::open(&dir.join("reviews"), &ReviewsConfig::default())?;
    for batch in &batches {
        let sinks: [&mut dyn Sink; 5] =
            [&mut audit, &mut notify, outbox.as_mut(), &mut graphql, &mut reviews];
        for sink in sinks {
            sink.apply(std::slice::from_ref(batch))?;
        }
    }
    let page = OpenPage { limit: usize::MAX, ..OpenPage::default() };
    let open = desk.open_reviews(&page)?;
    let policies = desk.policies(None, usize::MAX)?;
    let mut state = format!("{} {open:?} {policies:?}\n", desk.applied_seq());
    state += &format!("{} {:?}\n", store.applied_seq(), store.conservation()?);
    for view in lists::payments(&store, None, None, usize::MAX)? {
        state += &format!("{:?} {:?}\n", view.event, view.state);
    }
    let told = inbox.list(InboxQuery::default(), None, usize::MAX)?;
    state += &format!("{} {told:?}\n", told.len());
    for number in 1..6 {
        let listed = lists::payments(&store, Some(account(number)), None, usize::MAX)?;
        state += &format!("{:?}\n", store.account(account(number))?);
        state += &format!("{:?}\n", listed.iter().map(|view| view.event.seq).collect::<Vec<_>>());
        let history =
            lists::history(&store, account(number), TimeRange::default(), None, usize::MAX)?;
        state += &format!("{history:?}\n");
        let expired = lists::timed_out(&store, Some(account(number)), None, usize::MAX)?;
        state += &format!("{:?}\n", expired.iter().map(|hold| hold.seq).collect::<Vec<_>>());
    }
    Ok(state)
}

fn kill_again_and_again() -> Result<(), Box<dyn Error>> {
    let (undisturbed, disturbed) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut killed_midway = 0;
    let log = disturbed.path().join("audit").join(audit::FILE_NAME);
    for round in 0..ROUNDS {
        let bytes_before = len(&log);
        let mut process = Command::new(env::current_exe()?)
            .env(DIR_VARIABLE, disturbed.path())
            .stdout(Stdio::null())
            .spawn()?;
        // Every other round kills while the sinks open, the rest once they are at work.
        let give_up = Instant::now() + Duration::from_secs(60);
        while round % 2 == 1
            && len(&log) == bytes_before
            && process.try_wait()?.is_none()
            && Instant::now() < give_up
        {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(round * 37 % 90));
        let still_running = process.try_wait()?.is_none();
        process.kill()?;
        let status = process.wait()?;
        if still_running {
            killed_midway += 1;
        } else if !status.success() {
            return Err(format!("round {round}: the sinks failed: {status}").into());
        }
    }
    // Between two segments there is no open one for a moment.
    let segments = fs::read_dir(disturbed.path().join("audit/segments"))?.count();
    let bytes_when_killed = len(&log);
    let expected = run_sinks(undisturbed.path())?;
    let found = run_sinks(disturbed.path())?;
    if found != expected {
        return Err("the stores differ".into());
    }
    for name in FILES {
        let read = |dir: &Path| fs::read(dir.join(name));
        if read(disturbed.path())? != read(undisturbed.path())? {
            return Err(format!("{name} differs").into());
        }
    }
    let [report, undisturbed] = [&disturbed, &undisturbed]
        .map(|dir| audit::verify(&dir.path().join("audit"), &VerifyOptions::default()));
    let report = report?;
    if report.checkpoint.root_hash != undisturbed?.checkpoint.root_hash {
        return Err("the audit logs have different roots".into());
    }
    println!(
        "killed {killed_midway} of {ROUNDS} times, the last at {bytes_when_killed} bytes of the open \
         audit segment; {} events in {} segments as undisturbed",
        report.lines, report.segments
    );
    if killed_midway < ROUNDS / 2 || bytes_when_killed == 0 && segments == 0 {
        return Err("the kills came too late or too early to mean anything".into());
    }
    Ok(())
}

/// Bytes of the file; none while it is not there.
fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}
