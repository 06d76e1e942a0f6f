//! The row of the recovery table about a damaged page of a run, which shows only when it is read: the
//! engine stops once, and the next start makes the run anew from the journal.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use millrace_engine::{
    Command, Engine, EngineConfig, JournalError, RecoveryReport, recover, submission::Reply,
};
use millrace_ledger::{Amount, ApproveAll, Ledger, Operation, Payment, PaymentId};
use support::{
    backups::{self, fill, journal, payment},
    files, state_hash,
};
use tokio::sync::oneshot;

/// No snapshot is taken: the one that is there goes on naming the damaged runs.
fn config(directory: &Path) -> EngineConfig {
    EngineConfig { snapshot_bytes: 0, ..backups::config(directory) }
}

fn start(directory: &Path) -> Result<(Engine, RecoveryReport), JournalError> {
    Engine::start(&config(directory), &ApproveAll)
}

/// `None` when the engine stopped instead.
fn ask<T>(engine: &Engine, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reply, answer) = oneshot::channel();
        let room = Instant::now() + Duration::from_secs(5);
        engine.submitter().submit(command(reply), None, room).await.ok()?;
        answer.await.ok().map(|answer| answer.expect("in time"))
    })
}

/// Sends all payments of the journal again. Whether all were known, or `None` when the engine stopped.
fn retry(engine: &Engine) -> Option<bool> {
    let payments: Vec<_> = (1..1_001).map(payment).collect();
    let contexts = (1..1_001).map(|number| backups::context(number).into()).collect();
    let replies = ask(engine, |reply| Command::Payments { payments, contexts, reply })?;
    Some(replies.iter().all(|reply| reply.replayed))
}

/// Changes the first page of every run.
fn damage_runs(directory: &Path) {
    let runs = files(&directory.join("runs"), ".run");
    assert!(!runs.is_empty(), "the test needs runs");
    for run in runs {
        let file = fs::File::options().write(true).open(run).unwrap();
        file.write_all_at(&[0xff; 16], 4_096 + 500).unwrap();
    }
}

/// A page goes bad while the engine runs. A snapshot names its run, and opening that sees nothing:
/// before, every start went well, and the first retry of an old payment stopped the engine, again and
/// again.
#[test]
fn a_damaged_page_stops_the_engine_once_and_the_next_start_makes_the_run_anew() {
    let directory = journal();
    let directory = directory.path();
    let whole = state_hash(directory);

    let (engine, report) = start(directory).expect("starts");
    assert!(report.snapshot.is_some() && report.snapshots_passed_over.is_empty(), "{report:?}");
    damage_runs(directory);
    assert_eq!(retry(&engine), None, "nobody knows whether they are known");
    let error = engine.stop().expect_err("tells why").to_string();
    assert!(error.contains("can't be used: at offset") && error.contains("Start again"), "{error}");

    let (engine, report) = start(directory).expect("the journal is whole");
    assert_eq!((report.snapshot, report.snapshots_passed_over.len()), (None, 2), "{report:?}");
    assert_eq!(retry(&engine), Some(true), "every payment is known, once");
    fill(&engine, 5_000..5_200);
    engine.stop().expect("stops");
    assert_eq!(files(&directory.join("snapshots"), ".unusable").len(), 2);

    let (engine, report) = start(directory).expect("starts");
    assert_eq!(report.snapshots_passed_over.len(), 0, "{report:?}");
    assert_eq!(retry(&engine), Some(true));
    engine.stop().expect("stops");
    assert_ne!(state_hash(directory), whole, "payments came after");
    let verified = recover::verify(directory, &mut Ledger::new(0), &mut ApproveAll);
    assert_eq!(verified.expect("whole").snapshots_passed_over, Vec::<String>::new());
}

/// Reading the journal after the snapshot looks payments up as well. What it meets there must not make
/// every start fail.
#[test]
fn a_start_that_meets_a_damaged_page_makes_the_run_anew_at_once() {
    let directory = journal();
    let directory = directory.path();
    let (engine, _) = start(directory).expect("starts");
    let settled = (1..301_u128).filter(|number| !number.is_multiple_of(3));
    let refund = |number| Payment {
        id: PaymentId(0x5eed_0000 + number),
        original: payment(number).id,
        operation: Operation::Refund,
        amount: Amount(1),
        ..Payment::default()
    };
    let (payments, contexts) = (settled.map(refund).collect(), Vec::new());
    let refunded = ask(&engine, |reply| Command::Payments { payments, contexts, reply });
    assert!(refunded.expect("answered").iter().all(|reply| reply.outcome.is_accepted()));
    engine.stop().expect("stops");
    let whole = state_hash(directory);

    damage_runs(directory);
    let (engine, report) = start(directory).expect("the journal is whole");
    assert_eq!((report.snapshot, report.snapshots_passed_over.len()), (None, 2), "{report:?}");
    assert_eq!(retry(&engine), Some(true));
    engine.stop().expect("stops");
    assert_eq!(state_hash(directory), whole);
}

/// A read that can't be answered stops nothing, and has the next start look all the same.
#[test]
fn a_read_that_meets_a_damaged_page_has_the_next_start_check_the_runs() {
    let directory = journal();
    let directory = directory.path();
    let (engine, _) = start(directory).expect("starts");
    damage_runs(directory);
    let read = |number| {
        let id = payment(number).id;
        ask(&engine, |reply| Command::GetPayment { id, reply }).expect("goes on")
    };
    let unread = (1..1_001).filter(|number| read(*number).is_err()).count();
    assert!(unread > 0, "a payment of a damaged page was asked for");
    engine.stop().expect("stops");

    let (engine, report) = start(directory).expect("starts");
    assert_eq!((report.snapshot, report.snapshots_passed_over.len()), (None, 2), "{report:?}");
    assert_eq!(retry(&engine), Some(true));
    engine.stop().expect("stops");
}

/// Where the beginning of the journal is gone, the run can't be made anew: that is said before a
/// payment is taken, and nothing is thrown away.
#[test]
fn without_the_beginning_the_next_start_is_refused_and_says_which_file_is_missing() {
    let directory = journal();
    let directory = directory.path();
    fs::remove_file(directory.join("00000000000000000001.segment")).unwrap();
    let (engine, _) = start(directory).expect("starts from the snapshot");
    let runs = files(&directory.join("runs"), ".run").into_iter();
    let whole: Vec<_> = runs.map(|path| (fs::read(&path).unwrap(), path)).collect();
    damage_runs(directory);
    assert_eq!(retry(&engine), None);
    engine.stop().expect_err("tells why");
    for _ in 0..2 {
        let error = start(directory).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains("event 1 is needed") && error.contains("can't be used"), "{error}");
        assert!(error.contains("put it back from a copy"), "{error}");
    }
    // What the error asks for helps.
    for (bytes, path) in whole {
        fs::write(path, bytes).unwrap();
    }
    let (engine, report) = start(directory).expect("starts");
    assert!(report.snapshot.is_some(), "{report:?}");
    assert_eq!(retry(&engine), Some(true));
    engine.stop().expect("stops");
}
