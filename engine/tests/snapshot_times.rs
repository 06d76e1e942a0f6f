//! Snapshots that are due by time: taken while nobody asks for anything, and none where nothing
//! happened since the last one.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use millrace_engine::{
    Command, Engine, EngineConfig, recover, scan::JournalScan, trial_balance::trial_balance,
};
use millrace_ledger::{
    AccountId, AccountSpec, ApproveAll, Code, Event, EventSeq, LedgerId, Operation, Payment,
};
use support::{
    ask,
    backups::{config, fill},
    files, open_accounts, payment, state_hash,
};

const INTERVAL: Duration = Duration::from_millis(200);

/// Never due by size.
fn by_time(directory: &Path) -> EngineConfig {
    EngineConfig { snapshot_bytes: 1 << 40, snapshot_interval: INTERVAL, ..config(directory) }
}

fn start(config: &EngineConfig) -> Engine {
    Engine::start(config, &ApproveAll).expect("starts").0
}

/// Waits, without asking the engine for anything, until a snapshot of this event is there.
fn wait_for(directory: &Path, seq: EventSeq) {
    let started = Instant::now();
    let name = format!("{:020}.snapshot", seq.0);
    while files(&directory.join("snapshots"), &name).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(120), "no {name}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn wait_for_some_intervals() {
    thread::sleep(INTERVAL * 5);
}

#[test]
fn an_idle_engine_takes_its_snapshot_in_time_and_then_none() {
    let directory = tempfile::tempdir().unwrap();
    let config = by_time(directory.path());
    let engine = start(&config);
    wait_for_some_intervals();
    let snapshots = || files(&directory.path().join("snapshots"), ".snapshot");
    assert_eq!(snapshots().len(), 0, "a journal without events has nothing to tell");
    open_accounts(&engine);
    fill(&engine, 1..41);
    wait_for(directory.path(), EventSeq(43));
    let after_first = snapshots();
    wait_for_some_intervals();
    assert_eq!(snapshots(), after_first, "nothing happened");
    // Replays are no events.
    assert!(fill(&engine, 1..41).iter().all(|reply| reply.replayed));
    wait_for_some_intervals();
    assert_eq!(snapshots(), after_first, "nothing happened but replays");
    fill(&engine, 41..51);
    wait_for(directory.path(), EventSeq(53));
    // An idle engine looks once a second whether it is written.
    let started = Instant::now();
    while engine.stats().snapshot_is_under_way() {
        assert!(started.elapsed() < Duration::from_secs(120), "it is written");
        thread::sleep(Duration::from_millis(5));
    }
    engine.stop().expect("stops");

    let (report, hash) = recover::verify_recovery(&config, &ApproveAll).expect("recovers");
    assert_eq!((report.snapshot, report.frames), (Some(EventSeq(53)), 0), "{report:?}");
    assert_eq!(hash, state_hash(directory.path()));
    let before = snapshots();
    let engine = start(&config);
    wait_for_some_intervals();
    assert_eq!(snapshots(), before, "nothing happened since the start");
    engine.stop().expect("stops");
}

/// What an earlier process left without a snapshot is taken up by the next one.
#[test]
fn a_tail_without_a_snapshot_gets_one_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let none = EngineConfig { snapshot_bytes: 0, ..by_time(directory.path()) };
    let engine = start(&none);
    open_accounts(&engine);
    fill(&engine, 1..41);
    wait_for_some_intervals();
    fill(&engine, 41..51);
    engine.stop().expect("stops");
    let snapshots = files(&directory.path().join("snapshots"), ".snapshot");
    assert_eq!(snapshots.len(), 0, "a size of 0 takes none at all");
    let config = by_time(directory.path());
    let engine = start(&config);
    wait_for(directory.path(), EventSeq(53));
    engine.stop().expect("stops");
    let (report, hash) = recover::verify_recovery(&config, &ApproveAll).expect("recovers");
    assert_eq!(report.snapshot, Some(EventSeq(53)), "{report:?}");
    assert_eq!(hash, state_hash(directory.path()));
}

/// A snapshot that is taken a while after the last batch tells that batch's time, as the journal does.
#[test]
fn a_snapshot_by_time_has_the_time_of_the_last_batch() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let engine = start(&by_time(directory));
    open_accounts(&engine);
    fill(&engine, 1..11);
    wait_for(directory, EventSeq(13));
    engine.stop().unwrap();
    let last = JournalScan::open(directory).unwrap().last().unwrap().unwrap();
    assert_eq!(last.last_seq(), EventSeq(13));
    for at in [None, Some(last.time)] {
        let balance = trial_balance(directory, at, |_| {}).unwrap();
        assert_eq!((balance.as_of, balance.time), (EventSeq(13), last.time), "{at:?}");
        assert_eq!(balance.snapshot, Some(EventSeq(13)), "{at:?}");
    }
}

/// A snapshot that takes long, as of many accounts, does not keep holds of an idle engine from expiring.
#[test]
fn holds_expire_while_a_snapshot_is_written_and_nobody_asks() {
    let directory = tempfile::tempdir().unwrap();
    let config = EngineConfig { snapshot_bytes_per_s: 128 << 10, ..by_time(directory.path()) };
    let engine = start(&config);
    let account = |id| AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(203),
        code: Code(1),
        ..AccountSpec::default()
    };
    for from in (0..80_000_u128).step_by(8_000) {
        let specs = (from + 1..=from + 8_000).map(account).collect();
        ask(&engine, |reply| Command::CreateAccounts { specs, acts: Vec::new(), reply });
    }
    let started = Instant::now();
    while !engine.stats().snapshot_is_under_way() {
        assert!(started.elapsed() < Duration::from_secs(120), "no snapshot");
        thread::sleep(Duration::from_millis(5));
    }
    let taken = engine.stats().snapshots();
    let hold = Payment { operation: Operation::Authorize, timeout_s: 1, ..payment(1) };
    let (payments, contexts) = (vec![hold], Vec::new());
    let replies = ask(&engine, |reply| Command::Payments { payments, contexts, reply });
    let mut events = engine.feed().reader(EventSeq(replies[0].seq.0 + 1));
    let expired = events.next(Duration::from_secs(120)).unwrap().expect("it expires");
    assert!(matches!(expired.events[0].event, Event::HoldExpired(_)));
    assert!(engine.stats().snapshot_is_under_way(), "written at 128 KiB/s, it takes half a minute");
    assert_eq!(engine.stats().snapshots(), taken);
    engine.stop().expect("stops");
}
