//! Snapshots and runs around the real engine: small generations, a snapshot every few frames,
//! restarts, and snapshots that are damaged in every way of the decision table.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use millrace_engine::{
    Command, Engine, EngineConfig, JournalError, PaymentReply, RecoveryReport, recover,
};
use millrace_ledger::{
    AccountId, Amount, ApproveAll, Code, Ledger, LedgerId, Operation, Payment, PaymentId,
    RejectReason, Status,
};
use support::{ask, backups::config, open_accounts};
use tempfile::TempDir;

fn start(directory: &Path) -> Result<(Engine, RecoveryReport), JournalError> {
    Engine::start(&config(directory), &ApproveAll)
}

fn payment(number: u128, operation: Operation, amount: u128, original: u128) -> Payment {
    let follow_up = operation.needs_original();
    Payment {
        id: PaymentId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 1),
        debit: AccountId(if follow_up { 0 } else { 1 }),
        credit: AccountId(if follow_up { 0 } else { 2 + number % 2 }),
        original: match original {
            0 => PaymentId(0),
            number => payment(number, Operation::Pay, 1, 0).id,
        },
        amount: Amount(amount),
        ledger: LedgerId(if follow_up { 0 } else { 203 }),
        code: Code(u16::from(!follow_up)),
        operation,
        ..Payment::default()
    }
}

fn pay(engine: &Engine, payments: Vec<Payment>) -> Vec<PaymentReply> {
    ask(engine, |reply| Command::Payments { payments, contexts: Vec::new(), reply })
}

/// Payments with these numbers, ten a request: every third is a hold.
fn fill(engine: &Engine, numbers: std::ops::Range<u128>) {
    let all: Vec<_> = numbers
        .map(|number| match number % 3 {
            0 => payment(number, Operation::Authorize, 90, 0),
            _ => payment(number, Operation::Pay, 50, 0),
        })
        .collect();
    for request in all.chunks(10) {
        for reply in pay(engine, request.to_vec()) {
            assert!(reply.outcome.is_accepted() && !reply.replayed, "{reply:?}");
        }
    }
}

/// A journal with 1,000 payments, several generations and two snapshots.
fn journal() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    for (half, numbers) in [(1, 1..501), (2, 501..1_001)] {
        fill(&engine, numbers);
        // On a busy machine, a thousand payments are sooner decided than two snapshots are written.
        let deadline = Instant::now() + Duration::from_secs(120);
        while engine.stats().snapshots() < half {
            assert!(Instant::now() < deadline, "no snapshot {half}");
            thread::sleep(Duration::from_millis(2));
        }
    }
    assert!(engine.stats().generations() >= 10, "generations are closed");
    engine.stop().expect("stops");
    assert_eq!(snapshots(directory.path()).len(), 2, "the two newest are kept");
    directory
}

/// Generations are large: only a snapshot closes one.
#[test]
fn a_generation_that_a_snapshot_closes_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let config = EngineConfig { generation_payments_max: 1 << 19, ..config(directory.path()) };
    let (engine, _) = Engine::start(&config, &ApproveAll).expect("starts");
    open_accounts(&engine);
    let (deadline, mut number) = (Instant::now() + Duration::from_secs(120), 1);
    while engine.stats().snapshots() == 0 {
        assert!(Instant::now() < deadline, "no snapshot");
        fill(&engine, number..number + 100);
        number += 100;
    }
    assert!(engine.stats().generations() > 0);
    engine.stop().expect("stops");
}

/// Newest first.
fn snapshots(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("snapshots")).unwrap();
    let mut snapshots: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    snapshots.sort();
    snapshots.reverse();
    snapshots
}

fn replayed_hash(directory: &Path) -> [u8; 32] {
    let mut ledger = Ledger::new(7);
    recover::verify(directory, &mut ledger, &mut ApproveAll).expect("the journal is whole");
    ledger.state_hash()
}

fn recovered(directory: &Path) -> (RecoveryReport, [u8; 32]) {
    recover::verify_recovery(&config(directory), &ApproveAll).expect("recovers")
}

#[test]
fn a_snapshot_and_what_follows_come_to_what_the_whole_journal_comes_to() {
    let directory = journal();
    let (report, hash) = recovered(directory.path());
    assert!(report.snapshot.is_some_and(|seq| seq.0 > 500), "{report:?}");
    assert!(report.frames < 60, "only the tail is read: {report:?}");
    assert_eq!(hash, replayed_hash(directory.path()));
}

/// The first process of a journal knows what it has let go, too: a retry is answered as before.
#[test]
fn payments_of_every_age_are_known_before_any_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    fill(&engine, 1..1_001);
    for number in [1, 2, 100, 500, 998, 1_000] {
        let first = payment(number, Operation::Pay, 50, 0);
        assert!(pay(&engine, vec![first])[0].replayed, "payment {number}");
    }
    let captured = pay(&engine, vec![payment(20_003, Operation::Capture, 30, 3)])[0];
    assert_eq!(captured.outcome.status, Status::Settled);
    let refunded = pay(&engine, vec![payment(20_001, Operation::Refund, 20, 1)])[0];
    assert_eq!(refunded.outcome.status, Status::Settled);
    engine.stop().expect("stops");
}

/// Ids and originals of every age are known: in memory, in runs, from before and after a restart.
#[test]
fn payments_of_every_age_are_known_after_a_restart() {
    let directory = journal();
    for round in 0..3_u128 {
        let (engine, report) = start(directory.path()).expect("starts");
        assert!(report.snapshot.is_some(), "{report:?}");
        for number in [1, 3, 100, 499, 750, 996, 1_000] {
            let first = match number % 3 {
                0 => payment(number, Operation::Authorize, 90, 0),
                _ => payment(number, Operation::Pay, 50, 0),
            };
            assert!(pay(&engine, vec![first])[0].replayed, "payment {number}");
            let mut other = first;
            other.amount = Amount(51);
            let status = pay(&engine, vec![other])[0].outcome.status;
            assert_eq!(status, Status::Rejected(RejectReason::IdReusedAmountDiffers));
            let id = 10_000 + 1_000 * round + number;
            let (operation, expected) = match number % 3 {
                0 => (Operation::Capture, 30),
                _ => (Operation::Refund, 20),
            };
            let follow_up = payment(id, operation, expected, number);
            let outcome = pay(&engine, vec![follow_up])[0].outcome;
            let left = [90, 50][usize::from(number % 3 != 0)] - expected * round;
            match left >= expected {
                true => assert_eq!(outcome.status, Status::Settled, "{number} in round {round}"),
                false => assert_eq!(
                    outcome.status,
                    Status::Rejected(RejectReason::ExceedsRemainingAmount),
                    "{number} in round {round}"
                ),
            }
            let found = ask(&engine, |reply| Command::GetPayment { id: first.id, reply });
            assert_eq!(
                found.expect("can be read").expect("known").left.0,
                left - if left >= expected { expected } else { 0 }
            );
        }
        let from = 20_000 + 1_000 * round;
        fill(&engine, from..from + 200);
        engine.stop().expect("stops");
        let (_, hash) = recovered(directory.path());
        assert_eq!(hash, replayed_hash(directory.path()), "round {round}");
    }
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let directory = journal();
    let expected = replayed_hash(directory.path());
    let newest = snapshots(directory.path()).remove(0);
    let whole = fs::read(&newest).unwrap();
    let len = whole.len();
    for place in [0, 20, 40, 90, 97, len / 3, len / 2, len - 60, len - 1] {
        let file = fs::File::options().write(true).open(&newest).unwrap();
        file.write_all_at(&[whole[place] ^ 0x10], place as u64).unwrap();
        let (report, hash) = recovered(directory.path());
        assert_eq!(report.snapshots_passed_over.len(), 1, "byte {place}: {report:?}");
        assert!(report.snapshot.is_some(), "the one before it serves");
        assert_eq!(hash, expected, "byte {place}");
        file.write_all_at(&whole[place..=place], place as u64).unwrap();
    }
    for len in [0, 50, 96, 200, len - 1] {
        fs::write(&newest, &whole[..len]).unwrap();
        let (report, hash) = recovered(directory.path());
        assert_eq!(report.snapshots_passed_over.len(), 1, "cut to {len}: {report:?}");
        assert_eq!(hash, expected);
    }
    for snapshot in snapshots(directory.path()) {
        fs::write(snapshot, b"nothing").unwrap();
    }
    let (report, hash) = recovered(directory.path());
    assert_eq!((report.snapshot, report.snapshots_passed_over.len()), (None, 2));
    assert_eq!(hash, expected, "the whole journal serves");
    let (engine, _) = start(directory.path()).expect("starts all the same");
    fill(&engine, 5_000..5_400);
    engine.stop().expect("stops");
    assert!(recovered(directory.path()).0.snapshot.is_some(), "new snapshots are taken");
}

#[test]
fn a_snapshot_whose_runs_are_damaged_or_gone_is_passed_over() {
    let directory = journal();
    let expected = replayed_hash(directory.path());
    let runs = fs::read_dir(directory.path().join("runs")).unwrap();
    for run in runs.map(|entry| entry.unwrap().path()) {
        fs::remove_file(run).unwrap();
    }
    let (report, hash) = recovered(directory.path());
    assert_eq!((report.snapshot, hash), (None, expected), "{report:?}");
}

#[test]
fn a_snapshot_ahead_of_the_journal_is_refused() {
    let directory = journal();
    let mut files: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "segment"))
        .collect();
    files.sort();
    // A snapshot is due after more than a segment: however late one was taken, it knows more.
    for lost in files.split_off(1) {
        fs::remove_file(lost).unwrap();
    }
    let error = start(directory.path()).map(|_| ()).expect_err("events are missing").to_string();
    assert!(error.contains("acknowledged payments are missing from the journal"), "{error}");
}

#[test]
fn a_snapshot_of_another_journal_is_passed_over() {
    let (one, other) = (journal(), journal());
    let foreign = snapshots(other.path()).remove(0);
    let place = one.path().join("snapshots/00000000000000099999.snapshot");
    fs::copy(foreign, place).unwrap();
    let (report, hash) = recovered(one.path());
    assert!(report.snapshots_passed_over[0].contains("another journal"), "{report:?}");
    assert_eq!(hash, replayed_hash(one.path()));
}

/// With a snapshot, segments before it are not needed any more.
#[test]
fn a_journal_whose_beginning_is_gone_starts_from_its_snapshot() {
    let directory = journal();
    let (_, expected) = recovered(directory.path());
    let first = directory.path().join("00000000000000000001.segment");
    fs::remove_file(first).unwrap();
    assert_eq!(recovered(directory.path()).1, expected);
    let (engine, _) = start(directory.path()).expect("starts");
    engine.stop().expect("stops");
    for snapshot in snapshots(directory.path()) {
        fs::remove_file(snapshot).unwrap();
    }
    let error = start(directory.path()).map(|_| ()).expect_err("refused").to_string();
    assert!(error.contains("from the one that has event 1 on"), "{error}");
}

#[test]
fn shards_do_not_change_what_is_recovered() {
    let directory = journal();
    let expected = replayed_hash(directory.path());
    for shards in [2, 5] {
        let config = EngineConfig { shards, ..config(directory.path()) };
        let (engine, _) = Engine::start(&config, &ApproveAll).expect("starts");
        assert!(pay(&engine, vec![payment(1, Operation::Pay, 50, 0)])[0].replayed);
        engine.stop().expect("stops");
        assert_eq!(recover::verify_recovery(&config, &ApproveAll).unwrap().1, expected);
    }
}

/// A snapshot that was passed over must not come back when its runs were written anew, with other
/// payments, under the same names.
#[test]
fn a_snapshot_that_was_passed_over_stays_out() {
    let directory = journal();
    let expected = replayed_hash(directory.path());
    let runs = fs::read_dir(directory.path().join("runs")).unwrap();
    for run in runs.map(|entry| entry.unwrap().path()) {
        let len = fs::metadata(&run).unwrap().len();
        let file = fs::File::options().write(true).open(&run).unwrap();
        file.write_all_at(&[0xff; 8], len - 20).unwrap();
    }
    let other =
        EngineConfig { generation_payments_max: 40, snapshot_bytes: 0, ..config(directory.path()) };
    let (engine, report) = Engine::start(&other, &ApproveAll).expect("starts without a snapshot");
    assert_eq!((report.snapshot, report.snapshots_passed_over.len()), (None, 2), "{report:?}");
    engine.stop().expect("stops");
    assert_eq!(recovered(directory.path()).1, expected);
    let (engine, report) = start(directory.path()).expect("starts again");
    assert_eq!((report.snapshot, report.snapshots_passed_over.len()), (None, 0), "{report:?}");
    assert!(pay(&engine, vec![payment(1, Operation::Pay, 50, 0)])[0].replayed);
    engine.stop().expect("stops");
}
