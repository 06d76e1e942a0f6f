//! A file system without space left, for real: the engine runs in a small one until it can't go on.
//! Nothing that was answered is lost, the reason says what to do, and with space it goes on.
//!
//! The file system is in memory, mounted in a namespace of its own, which needs no privileges where
//! the system allows user namespaces; elsewhere the test says that it was skipped, and fails where
//! `MILLRACE_REQUIRE_SERVICES` is set, as in CI. Each case runs in a process of its own, this binary
//! again, inside that namespace.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command as Process,
    time::{Duration, Instant},
};

use millrace_engine::{
    Command, Engine, EngineConfig, JournalError, PaymentReply, archive::archive_segments,
};
use millrace_ledger::{AccountId, AccountSpec, ApproveAll, Code, EventSeq, LedgerId};
use support::{
    ask,
    backups::{back_up, bring_back, context, journal, payment},
    open_accounts,
};
use tokio::sync::oneshot;

const DIRECTORY: &str = "MILLRACE_TEST_SMALL_FILE_SYSTEM";
const CASE: &str = "MILLRACE_TEST_CASE";

#[test]
fn a_full_disk_loses_nothing_that_was_answered() {
    for case in ["journal", "runs", "merges", "snapshots", "archive", "backup", "restore"] {
        let directory = tempfile::tempdir().unwrap();
        let inside = "mount -t tmpfs -o size=24m tmpfs \"$1\" || exit 99; shift; exec \"$@\"";
        let ran = Process::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", inside, "sh"])
            .arg(directory.path())
            .arg(env::current_exe().unwrap())
            .args(["--exact", "inside_a_small_file_system", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(CASE, case)
            .output();
        let ran = match ran {
            Ok(ran) => ran,
            Err(error) => return skip(&format!("there is no program unshare: {error}")),
        };
        let said = String::from_utf8_lossy(&ran.stderr);
        if said.contains("unshare failed") || ran.status.code() == Some(99) {
            return skip(&format!("this system mounts nothing without privileges: {said}"));
        }
        assert!(ran.status.success(), "{case}: {said}{}", String::from_utf8_lossy(&ran.stdout));
        assert!(said.contains(&format!("{case}: done")), "{case} ran: {said}");
    }
}

/// What can't be tried here is no success where everything has to be tried.
fn skip(why: &str) {
    assert!(env::var_os("MILLRACE_REQUIRE_SERVICES").is_none(), "not tried: {why}");
    eprintln!("skipped: {why}");
}

/// One case; see above.
#[test]
#[ignore = "needs a small file system: the test above makes one and runs this in it"]
fn inside_a_small_file_system() {
    let (Ok(directory), Ok(case)) = (env::var(DIRECTORY), env::var(CASE)) else { return };
    let directory = Path::new(&directory);
    match case.as_str() {
        "journal" => {
            let config = EngineConfig {
                segment_bytes: 256 << 10,
                snapshot_bytes: 0,
                ..EngineConfig::new(directory.join("journal"))
            };
            stops_and_goes_on(&config, 4 << 20, &["can't create", ".segment", "unfinished"]);
        }
        "runs" => {
            let config = EngineConfig {
                segment_bytes: 8 << 20,
                snapshot_bytes: 0,
                generation_payments_max: 200,
                ..EngineConfig::new(directory.join("journal"))
            };
            stops_and_goes_on(&config, 1 << 20, &["/runs/"]);
        }
        "merges" => merges_leave_the_journal_its_space(directory),
        "snapshots" => a_snapshot_without_space_holds_nobody_up(directory),
        "archive" => an_archive_without_space_loses_no_segment(directory),
        "backup" => a_backup_without_space_is_made_when_there_is_some(directory),
        "restore" => a_restore_without_space_is_made_when_there_is_some(directory),
        other => panic!("no case {other}"),
    }
    eprintln!("{case}: done");
}

/// Takes all space but so much.
fn fill_up(directory: &Path, left: u64) -> PathBuf {
    let ballast = directory.join("ballast");
    let space = rustix::fs::statvfs(directory).unwrap();
    let len = (space.f_bavail * space.f_frsize).checked_sub(left).expect("there is more");
    let file = fs::File::create(&ballast).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len).unwrap();
    ballast
}

fn start(config: &EngineConfig) -> Result<Engine, JournalError> {
    Engine::start(config, &ApproveAll).map(|(engine, _)| engine)
}

/// Pays with these numbers in one request. `None` when the engine has stopped.
fn pay(engine: &Engine, numbers: std::ops::Range<u128>) -> Option<Vec<PaymentReply>> {
    let contexts = numbers.clone().map(|number| context(number).into()).collect();
    let payments = numbers.map(payment).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reply, answer) = oneshot::channel();
        let command = Command::Payments { payments, contexts, reply };
        let room = Instant::now() + Duration::from_secs(120);
        engine.submitter().submit(command, None, room).await.ok()?;
        answer.await.ok().map(|replies| replies.expect("without a deadline"))
    })
}

/// The next segment is made ready beside: it is to have its space before the disk is filled.
fn until_next_segment_is_ready(config: &EngineConfig) {
    let next = config.directory.join("next.unfinished");
    while !fs::metadata(&next).is_ok_and(|file| file.len() == config.segment_bytes) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Pays until the disk is full; what was answered is known after a restart, before and after there
/// is space again.
fn stops_and_goes_on(config: &EngineConfig, left: u64, named: &[&str]) {
    let engine = start(config).expect("starts");
    open_accounts(&engine);
    until_next_segment_is_ready(config);
    let ballast = fill_up(config.directory.parent().unwrap(), left);
    let mut answered = 1;
    while let Some(replies) = pay(&engine, answered..answered + 50) {
        assert!(replies.iter().all(|reply| reply.outcome.is_accepted() && !reply.replayed));
        answered += 50;
        assert!(answered < 1_000_000, "the disk is never full");
    }
    assert!(answered > 1, "some are answered before");
    let error = engine.stop().expect_err("tells why it stopped").to_string();
    assert!(named.iter().any(|named| error.contains(named)), "{error}");
    assert!(error.contains("No space left on device"), "{error}");
    assert!(error.contains("Free space on the file system, then start again"), "{error}");

    // Still full: either it starts and knows everything, or it says the same.
    match start(config) {
        Ok(engine) => drop(engine.stop()),
        Err(error) => assert!(error.to_string().contains("Free space"), "{error}"),
    }
    fs::remove_file(ballast).unwrap();
    let engine = start(config).expect("starts with space");
    for first in (1..answered).step_by(50) {
        let replies = pay(&engine, first..first + 50).expect("answers");
        assert!(replies.iter().all(|reply| reply.replayed), "{first} of {answered}");
    }
    // What was not answered is paid now, or was just durable: once in either case.
    let replies = pay(&engine, answered..answered + 50).expect("answers");
    assert!(replies.iter().all(|reply| reply.outcome.is_accepted()));
    engine.stop().expect("stops");
}

/// Less is free than the journal's next segments take: payments go on, and runs wait to be merged.
fn merges_leave_the_journal_its_space(directory: &Path) {
    let config = EngineConfig {
        segment_bytes: 2 << 20,
        snapshot_bytes: 0,
        generation_payments_max: 200,
        ..EngineConfig::new(directory.join("journal"))
    };
    let runs = || support::files(&config.directory.join("runs"), ".run");
    let engine = start(&config).expect("starts");
    open_accounts(&engine);
    let ballast = fill_up(directory, 6 << 20);
    for first in (1..2_001).step_by(50) {
        pay(&engine, first..first + 50).expect("payments go on");
    }
    engine.stop().expect("stops");
    let waiting = runs();
    assert!(waiting.len() >= 8, "four would do for a merge: {waiting:?}");
    fs::remove_file(ballast).unwrap();
    // Without a snapshot, a start writes the runs anew, and has space to merge them.
    start(&config).expect("starts").stop().expect("stops");
    assert!(runs().len() < 8, "{:?}", runs());
}

/// A snapshot has no space: payments go on, and it takes none of what the journal needs.
fn a_snapshot_without_space_holds_nobody_up(directory: &Path) {
    let config = EngineConfig {
        segment_bytes: 7 << 20,
        snapshot_bytes: 100_000,
        ..EngineConfig::new(directory.join("journal"))
    };
    let engine = start(&config).expect("starts");
    open_accounts(&engine);
    let account = |id| AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(203),
        code: Code(1),
        ..AccountSpec::default()
    };
    // 86 bytes each in a snapshot, which is due after as many bytes of journal.
    let specs = (100..30_100).map(account).collect();
    ask(&engine, |reply| Command::CreateAccounts { specs, acts: Vec::new(), reply });
    let taken = |engine: &Engine| engine.stats().snapshots();
    let started = Instant::now();
    while taken(&engine) == 0 {
        assert!(started.elapsed() < Duration::from_secs(120), "the first snapshot has space");
        pay(&engine, 1..2).expect("answers");
    }
    // Generations are large: only a snapshot closes one, to which a run is written.
    let runs = || support::files(&directory.join("journal/runs"), ".run").len();
    let runs_before = runs();
    until_next_segment_is_ready(&config);
    let ballast = fill_up(directory, 2 << 20);
    let mut number = 2;
    while runs() == runs_before {
        if pay(&engine, number..number + 50).is_none() {
            panic!("payments do not go on: {:?}", engine.stop());
        }
        number += 50;
        assert!(number < 60_000, "another one is due");
    }
    let (started, mut rounds) = (Instant::now(), 0);
    while !support::files(&directory.join("journal/snapshots"), ".unfinished").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(120), "it gives its space back");
        std::thread::sleep(Duration::from_millis(5));
        // Not so many that another snapshot is due meanwhile, whose run would find no space.
        if rounds < 50 {
            pay(&engine, number..number + 50).expect("payments go on");
            number += 50;
            rounds += 1;
        }
    }
    assert_eq!(taken(&engine), 1, "there was no space for another one");
    engine.stop().expect("stops");
    fs::remove_file(ballast).unwrap();
    let engine = start(&config).expect("starts");
    for first in (2..number).step_by(50) {
        let replies = pay(&engine, first..first + 50).expect("answers");
        assert!(replies.iter().all(|reply| reply.replayed), "{first} of {number}");
    }
    engine.stop().expect("stops");
}

fn check_says_so(error: &str) {
    assert!(error.contains("No space left on device"), "{error}");
    assert!(error.contains("Free space on "), "{error}");
}

/// The segment that finds no space for its archived self stays as it is.
fn an_archive_without_space_loses_no_segment(directory: &Path) {
    let journal = directory.join("journal");
    let config =
        EngineConfig { segment_bytes: 256 << 10, snapshot_bytes: 0, ..EngineConfig::new(&journal) };
    let engine = start(&config).expect("starts");
    open_accounts(&engine);
    for first in (1..5_001).step_by(50) {
        pay(&engine, first..first + 50).expect("answers");
    }
    engine.stop().expect("stops");
    let (whole, segments) = (support::state_hash(&journal), support::segments(&journal));
    assert!(segments.len() > 3, "the test needs several");
    let ballast = fill_up(directory, 8 << 10);
    let all = EventSeq(u64::MAX);
    let error = archive_segments(&journal, all, || false).expect_err("there is no space");
    check_says_so(&error.to_string());
    assert_eq!(support::segments(&journal), segments);
    assert_eq!(support::archived(&journal), Vec::<PathBuf>::new());
    assert_eq!(support::state_hash(&journal), whole);
    fs::remove_file(ballast).unwrap();
    let report = archive_segments(&journal, all, || false).expect("archives with space");
    assert_eq!(report.archived.len(), segments.len() - 1);
    assert_eq!(support::state_hash(&journal), whole);
}

fn a_backup_without_space_is_made_when_there_is_some(directory: &Path) {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let target = directory.join("backup");
    let ballast = fill_up(directory, 64 << 10);
    let error = back_up(journal.path(), &target).expect_err("there is no space");
    check_says_so(&error.to_string());
    let restored = scratch.path().join("journal");
    bring_back(&target, &restored, None).expect_err("what has no manifest is no backup");
    fs::remove_file(ballast).unwrap();
    back_up(journal.path(), &target).expect("backs up with space");
    bring_back(&target, &restored, None).expect("restores");
    assert_eq!(support::state_hash(&restored), support::state_hash(journal.path()));
}

fn a_restore_without_space_is_made_when_there_is_some(directory: &Path) {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    back_up(journal.path(), &target).expect("backs up");
    let restored = directory.join("journal");
    let ballast = fill_up(directory, 64 << 10);
    let error = bring_back(&target, &restored, None).expect_err("there is no space");
    check_says_so(&error.to_string());
    fs::remove_file(ballast).unwrap();
    bring_back(&target, &restored, None).expect("restores with space, in the same place");
    assert_eq!(support::state_hash(&restored), support::state_hash(journal.path()));
}
