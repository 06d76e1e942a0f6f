//! Journals that are written fast and cut small, backups of them, and what replaying them says.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use millrace_engine::{
    Command, Engine, EngineConfig, PaymentReply,
    backup::{BackupError, BackupOptions, BackupReport, RestoreReport, Until, backup, restore},
    scan::JournalScan,
};
use millrace_ledger::{
    AccountId, Amount, ApproveAll, Code, EventSeq, Ledger, LedgerId, Operation, Payment, PaymentId,
    Timestamp, context_digest,
};
use tempfile::TempDir;

use super::{ask, open_accounts};
/// Segments, generations and snapshots as small as they get.
pub(crate) fn config(directory: &Path) -> EngineConfig {
    EngineConfig {
        segment_bytes: 16_384,
        generation_payments_max: 50,
        snapshot_bytes: 20_000,
        snapshot_interval: Duration::from_secs(3_600),
        ..EngineConfig::new(directory)
    }
}

pub(crate) fn start(directory: &Path) -> Engine {
    Engine::start(&config(directory), &ApproveAll).expect("starts").0
}

pub(crate) fn payment(number: u128) -> Payment {
    Payment {
        id: PaymentId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 1),
        debit: AccountId(1),
        credit: AccountId(2 + number % 2),
        amount: Amount(50 + number % 7),
        ledger: LedgerId(203),
        code: Code(1),
        context_digest: context_digest(context(number).as_bytes()),
        operation: if number.is_multiple_of(3) { Operation::Authorize } else { Operation::Pay },
        ..Payment::default()
    }
}

/// Every other payment has one.
pub(crate) fn context(number: u128) -> String {
    if number.is_multiple_of(2) { format!("context of {number}") } else { String::new() }
}

/// Payments with these numbers, ten a request.
pub(crate) fn fill(engine: &Engine, numbers: std::ops::Range<u128>) -> Vec<PaymentReply> {
    let all: Vec<_> = numbers.collect();
    let mut replies = Vec::new();
    for request in all.chunks(10) {
        let payments: Vec<_> = request.iter().map(|number| payment(*number)).collect();
        let contexts = request.iter().map(|number| context(*number).into()).collect();
        replies.extend(ask(engine, |reply| Command::Payments { payments, contexts, reply }));
    }
    replies
}

/// Pays 1,000 payments, and sees that two snapshots are taken meanwhile: on a busy machine, payments
/// are sooner decided than snapshots written.
pub(crate) fn fill_over_two_snapshots(engine: &Engine) {
    for (half, numbers) in [(1, 1..501), (2, 501..1_001)] {
        fill(engine, numbers);
        let started = Instant::now();
        while engine.stats().snapshots() < half {
            assert!(started.elapsed() < Duration::from_secs(120), "no snapshot {half}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A journal with 1,000 payments, several generations and two snapshots.
pub(crate) fn journal() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path());
    open_accounts(&engine);
    fill_over_two_snapshots(&engine);
    engine.stop().expect("stops");
    directory
}

/// After all that the tests do.
pub(crate) const TAKEN: Timestamp = Timestamp(9_000_000_000_000_000_000);

/// The shelf of the data directory that a journal would be in; beside the journals of tests.
pub(crate) fn shelf_of(journal: &Path) -> PathBuf {
    let mut shelf = journal.as_os_str().to_owned();
    shelf.push(".shelf");
    shelf.into()
}

pub(crate) fn back_up(journal: &Path, target: &Path) -> Result<BackupReport, BackupError> {
    backup(
        journal,
        target,
        &BackupOptions {
            taken: TAKEN,
            shelf: &shelf_of(journal),
            recheck: false,
            progress: &|_| {},
        },
    )
}

pub(crate) fn bring_back(
    backup: &Path,
    journal: &Path,
    until: Option<Until>,
) -> Result<RestoreReport, BackupError> {
    restore(backup, journal, &shelf_of(journal), until, &|_| {})
}

/// State hashes after each event, by replaying the journal; the first is that of no event.
pub(crate) struct Replay {
    pub(crate) hashes: Vec<[u8; 32]>,
    pub(crate) times: Vec<Timestamp>,
    /// Last events of frames.
    pub(crate) frame_ends: Vec<EventSeq>,
}

impl Replay {
    pub(crate) fn of(journal: &Path) -> Self {
        Self::of_some(journal, |_| true)
    }

    /// Of events that are not asked for, the hash is zero: it takes long.
    pub(crate) fn of_some(journal: &Path, asked: impl Fn(EventSeq) -> bool) -> Self {
        let mut ledger = Ledger::new(3);
        let mut replay = Self {
            hashes: vec![ledger.state_hash()],
            times: vec![Timestamp(0)],
            frame_ends: Vec::new(),
        };
        for frame in JournalScan::open(journal).expect("opens") {
            let frame = frame.expect("is whole");
            ledger.begin_recorded_batch(frame.time);
            for event in frame.events().expect("decodes") {
                ledger.apply(&event.event, &mut ApproveAll).expect("follows");
                let hash = if asked(ledger.last_seq()) { ledger.state_hash() } else { [0; 32] };
                replay.hashes.push(hash);
                replay.times.push(frame.time);
            }
            replay.frame_ends.push(frame.last_seq());
        }
        replay
    }

    pub(crate) fn last(&self) -> EventSeq {
        EventSeq(self.hashes.len() as u64 - 1)
    }
}

/// Files below a directory with their lengths and contents.
pub(crate) fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(above) = directories.pop() {
        for entry in fs::read_dir(above).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => {
                    files.insert(
                        path.strip_prefix(directory).unwrap().into(),
                        fs::read(&path).unwrap(),
                    );
                }
            }
        }
    }
    files
}
