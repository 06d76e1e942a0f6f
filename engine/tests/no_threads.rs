//! A start that finds no thread is refused and leaves everything as it is; an engine that finds none for a snapshot
//! goes on without. In a process of its own, whose limit of threads goes down and up again.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, thread};

use millrace_engine::{Engine, EngineConfig, Retention};
use millrace_ledger::{ApproveAll, EventSeq};
use rustix::{
    process::{Resource, Rlimit, Uid, geteuid, getrlimit, setrlimit},
    thread::set_thread_uid,
};
use support::{
    backups::{config, fill, fill_over_two_snapshots},
    files, open_accounts,
};

/// Somebody who runs nothing else.
const NOBODY: u32 = 60_123;

/// Threads that the user of this thread has.
fn threads() -> u64 {
    let me = if geteuid().is_root() { NOBODY } else { geteuid().as_raw() };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let tasks = processes.filter_map(|process| fs::read_dir(process.path().join("task")).ok());
    let mine = |task: &fs::DirEntry| task.metadata().is_ok_and(|task| task.uid() == me);
    tasks.map(|tasks| tasks.flatten().filter(mine).count() as u64).sum()
}

/// Runs something with so many threads at most.
fn with_threads<T>(threads_max: u64, run: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nproc);
    setrlimit(Resource::Nproc, Rlimit { current: Some(threads_max), ..before }).unwrap();
    let result = run();
    setrlimit(Resource::Nproc, before).unwrap();
    result
}

/// A journal that retention has trimmed, so that nothing but snapshots and their runs knows what was before; with many
/// payments since, whose generations are merged with those runs at a start.
fn trimmed(directory: &Path) -> EngineConfig {
    let retention = Retention { bytes_max: Some(1), ..Retention::default() };
    let config = EngineConfig { archive: true, retention, ..config(directory) };
    let (engine, _) = Engine::start(&config, &ApproveAll).unwrap();
    engine.retain_from(EventSeq(u64::MAX));
    open_accounts(&engine);
    fill_over_two_snapshots(&engine);
    engine.stop().unwrap();
    let config = EngineConfig { snapshot_bytes: 1 << 40, ..config };
    let (engine, _) = Engine::start(&config, &ApproveAll).unwrap();
    fill(&engine, 1_001..2_501);
    engine.stop().unwrap();
    config
}

fn starts_without_threads_leave_snapshots_and_runs() {
    let (mut refused, mut started) = (0, 0);
    for left in 0..16 {
        let directory = tempfile::tempdir().unwrap();
        let config = trimmed(directory.path());
        let there = files(&directory.path().join("snapshots"), ".snapshot");
        let outcome = with_threads(threads() + left, || Engine::start(&config, &ApproveAll));
        let Err(error) = outcome.map(|(engine, _)| engine.stop().unwrap()) else {
            started += 1;
            continue;
        };
        refused += 1;
        assert!(error.to_string().contains("Raise the limit of threads"), "{left}: {error}");
        assert_eq!(files(&directory.path().join("snapshots"), ".snapshot"), there, "{left}");
        let (engine, report) = Engine::start(&config, &ApproveAll).expect("nothing is lost");
        assert!(report.snapshot.is_some(), "{left}: {report:?}");
        assert_eq!(report.snapshots_passed_over, Vec::<String>::new(), "{left}");
        engine.stop().unwrap();
    }
    assert!(refused > 5 && started > 0, "{refused} were refused, {started} were not");
}

fn payments_go_on_where_a_snapshot_finds_no_thread() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::start(&config(directory.path()), &ApproveAll).unwrap();
    open_accounts(&engine);
    // More than these are there already.
    with_threads(1, || {
        // Accepted or not: each is answered.
        assert_eq!(fill(&engine, 1..1_001).len(), 1_000);
        assert_eq!(engine.stats().snapshots(), 0, "there was no thread to write one");
    });
    let mut next = 1_001;
    while engine.stats().snapshots() == 0 {
        fill(&engine, next..next + 100);
        next += 100;
    }
    engine.stop().unwrap();
}

#[test]
fn an_engine_without_threads_loses_nothing() {
    // This thread and all that it starts: nobody limits root. A container may know no other user.
    if geteuid().is_root() && set_thread_uid(Uid::from_raw(NOBODY)).is_err() {
        return println!("skipped: root can't become another user here");
    }
    if with_threads(1, || thread::Builder::new().spawn(|| ()).is_ok()) {
        return println!("skipped: this system does not limit threads");
    }
    starts_without_threads_leave_snapshots_and_runs();
    payments_go_on_where_a_snapshot_finds_no_thread();
}
