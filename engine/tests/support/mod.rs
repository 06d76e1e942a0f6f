//! A journal for tests, written by the engine itself: three accounts, then payments, in segments
//! that hold a few frames each.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod backups;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use millrace_engine::{
    Command, Engine, EngineConfig, FeedEvent, JournalError, RecoveryReport, recover,
    submission::Reply,
};
use millrace_ledger::{
    AccountId, AccountSpec, Amount, ApproveAll, Code, EventSeq, Ledger, LedgerId, Payment,
    PaymentId,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Accounts, then payments, one per frame.
pub(crate) const EVENTS: u64 = 43;

pub(crate) fn config(directory: &Path) -> EngineConfig {
    EngineConfig { segment_bytes: 4_096, ..EngineConfig::new(directory) }
}

pub(crate) fn start(directory: &Path) -> Result<(Engine, RecoveryReport), JournalError> {
    Engine::start(&config(directory), &ApproveAll)
}

pub(crate) fn ask<T>(engine: &Engine, command: impl FnOnce(Reply<T>) -> Command) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reply, answer) = oneshot::channel();
        let room = Instant::now() + Duration::from_secs(120);
        engine.submitter().submit(command(reply), None, room).await.expect("there is room");
        answer.await.expect("answered").expect("in time")
    })
}

pub(crate) fn open_accounts(engine: &Engine) {
    let account = |id| AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(203),
        code: Code(1),
        ..AccountSpec::default()
    };
    let specs = (1..=3).map(account).collect();
    ask(engine, |reply| Command::CreateAccounts { specs, acts: Vec::new(), reply });
}

/// Of so much as its id says, between two of the three accounts.
pub(crate) fn payment(id: u128) -> Payment {
    Payment {
        id: PaymentId(id),
        debit: AccountId(1 + id % 3),
        credit: AccountId(1 + (id + 1) % 3),
        amount: Amount(id),
        ledger: LedgerId(203),
        code: Code(1),
        ..Payment::default()
    }
}

/// Pays, with a context that tells the payment.
pub(crate) fn pay(engine: &Engine, id: u128) {
    let contexts = vec![format!("context of {id}").into()];
    let payments = vec![payment(id)];
    ask(engine, |reply| Command::Payments { payments, contexts, reply });
}

/// A journal of [`EVENTS`] events in several segments.
pub(crate) fn journal() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    for id in 1..=40 {
        pay(&engine, id);
    }
    engine.stop().expect("stops");
    assert!(segments(directory.path()).len() > 3, "the tests need several segments");
    directory
}

/// Files of a directory whose name ends so, in order.
pub(crate) fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(suffix))
        .collect();
    files.sort();
    files
}

pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    files(directory, ".segment")
}

pub(crate) fn archived(directory: &Path) -> Vec<PathBuf> {
    files(&directory.join("archive"), ".segment.zst")
}

/// The first event of a segment, by its name.
pub(crate) fn first_seq(path: &Path) -> EventSeq {
    let name = path.file_name().unwrap().to_str().unwrap();
    EventSeq(name[..20].parse().unwrap())
}

pub(crate) fn state_hash(directory: &Path) -> [u8; 32] {
    let mut ledger = Ledger::new(7);
    recover::verify(directory, &mut ledger, &mut ApproveAll).expect("whole");
    ledger.state_hash()
}

/// What `start` and `verify` say of a journal that they refuse.
pub(crate) fn refusal(directory: &Path) -> String {
    let error = start(directory).map(|_| ()).expect_err("is refused").to_string();
    let verified = recover::verify(directory, &mut Ledger::new(0), &mut ApproveAll);
    assert_eq!(verified.expect_err("is refused").to_string(), error, "verify says the same");
    error
}

/// Offset and length of each frame of a segment, read by the documented layout.
pub(crate) fn frames(segment: &Path) -> Vec<(u64, u64)> {
    let bytes = fs::read(segment).unwrap();
    let number = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
    let (mut frames, mut at) = (Vec::new(), 128);
    while at + 128 <= bytes.len() && &bytes[at..at + 4] == b"MLRF" {
        let len = (128 + number(at + 8) + number(at + 12)).next_multiple_of(64);
        frames.push((at as u64, len));
        at += len as usize;
    }
    frames
}

/// Changes some bytes while `run` runs, then puts them back.
pub(crate) fn with_bytes<T>(path: &Path, offset: u64, bytes: &[u8], run: impl FnOnce() -> T) -> T {
    let whole = fs::read(path).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    let result = run();
    let at = offset as usize;
    file.write_all_at(&whole[at..at + bytes.len()], offset).unwrap();
    result
}

/// All events that the feed of a running engine gives, with their contexts.
pub(crate) fn feed_from(engine: &Engine, from: u64) -> Vec<FeedEvent> {
    let mut reader = engine.feed().reader(EventSeq(from));
    let next = || reader.next(Duration::ZERO).expect("reads");
    std::iter::from_fn(next).flat_map(|batch| batch.events).collect()
}
