//! Backups of journals that engines wrote and write, restored and compared with a replay of the
//! original; damage that must be named; and the journal brought back to each of its events.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use millrace_engine::{
    Command, Engine, EngineConfig, PaymentReply,
    archive::{archive_segments, delete_archived},
    backup::{
        BackupError, BackupOptions, BackupReport, Progress, RestoreReport, Until, backup, restore,
    },
    recover,
    scan::JournalScan,
};
use millrace_ledger::{
    AccountId, Amount, ApproveAll, Code, EventSeq, Ledger, LedgerId, Operation, Payment, PaymentId,
    Status, Timestamp, context_digest,
};
use support::{ask, open_accounts};
use tempfile::TempDir;

/// Segments, generations and snapshots as small as they get.
fn config(directory: &Path) -> EngineConfig {
    EngineConfig {
        segment_bytes: 16_384,
        generation_payments_max: 50,
        snapshot_bytes: 20_000,
        snapshot_interval: Duration::from_secs(3_600),
        ..EngineConfig::new(directory)
    }
}

fn start(directory: &Path) -> Engine {
    Engine::start(&config(directory), &ApproveAll).expect("starts").0
}

fn payment(number: u128) -> Payment {
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
fn context(number: u128) -> String {
    if number.is_multiple_of(2) { format!("context of {number}") } else { String::new() }
}

/// Payments with these numbers, ten a request.
fn fill(engine: &Engine, numbers: std::ops::Range<u128>) -> Vec<PaymentReply> {
    let all: Vec<_> = numbers.collect();
    let mut replies = Vec::new();
    for request in all.chunks(10) {
        let payments: Vec<_> = request.iter().map(|number| payment(*number)).collect();
        let contexts = request.iter().map(|number| context(*number).into()).collect();
        replies.extend(ask(engine, |reply| Command::Payments { payments, contexts, reply }));
    }
    replies
}

/// A journal with 1,000 payments, several generations and two snapshots.
fn journal() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path());
    open_accounts(&engine);
    fill(&engine, 1..1_001);
    engine.stop().expect("stops");
    directory
}

/// After all that the tests do.
const TAKEN: Timestamp = Timestamp(9_000_000_000_000_000_000);

fn back_up(journal: &Path, target: &Path) -> Result<BackupReport, BackupError> {
    backup(journal, target, &BackupOptions { taken: TAKEN, recheck: false, progress: &|_| {} })
}

fn bring_back(
    backup: &Path,
    journal: &Path,
    until: Option<Until>,
) -> Result<RestoreReport, BackupError> {
    restore(backup, journal, until, &|_| {})
}

/// State hashes after each event, by replaying the journal; the first is that of no event.
struct Replay {
    hashes: Vec<[u8; 32]>,
    times: Vec<Timestamp>,
    /// Last events of frames.
    frame_ends: Vec<EventSeq>,
}

impl Replay {
    fn of(journal: &Path) -> Self {
        Self::of_some(journal, |_| true)
    }

    /// Of events that are not asked for, the hash is zero: it takes long.
    fn of_some(journal: &Path, asked: impl Fn(EventSeq) -> bool) -> Self {
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

    fn last(&self) -> EventSeq {
        EventSeq(self.hashes.len() as u64 - 1)
    }
}

/// Files below a directory with their lengths and contents.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

#[test]
fn a_stopped_journal_comes_back_as_it_was() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    archive_segments(journal.path(), EventSeq(500), || false).expect("archives");
    let before = tree(journal.path());
    let (target, restored) = (scratch.path().join("backup"), scratch.path().join("journal"));
    let last_progress = Cell::new(Progress::default());
    let progress = |now: Progress| {
        assert!(now.done >= last_progress.get().done && now.done <= now.total, "{now:?}");
        last_progress.set(now);
    };
    let options = BackupOptions { taken: TAKEN, recheck: false, progress: &progress };
    let report = backup(journal.path(), &target, &options).expect("backs up");
    assert!(last_progress.get().done > 0);
    assert_eq!(tree(journal.path()), before, "nothing was changed");
    assert_eq!((report.snapshots.len(), report.bytes_present), (2, 0), "{report:?}");
    assert!(report.runs > 0 && report.passed_over.is_empty() && report.attempts == 1, "{report:?}");
    let back = bring_back(&target, &restored, None).expect("restores");
    let replay = Replay::of_some(journal.path(), |seq| seq == report.last_seq);
    assert_eq!(back.state_hash, replay.hashes[replay.last().0 as usize]);
    assert_eq!(support::state_hash(&restored), back.state_hash, "the whole of it says the same");
    assert_eq!((back.head, back.last_seq, back.cut_from), (report.head, replay.last(), None));
    assert!(back.snapshot.is_some() && back.bytes == report.bytes_copied, "{back:?}");
    assert!(restored.join("archive").is_dir(), "archived segments stay as they are");
    let again = back_up(journal.path(), &target).expect("backs up");
    assert_eq!((again.bytes_copied, again.bytes_present), (0, report.bytes_copied));

    // What is sealed and archived since is copied once; what it replaces is removed.
    archive_segments(journal.path(), EventSeq(900), || false).expect("archives");
    let again = back_up(journal.path(), &target).expect("backs up");
    assert!(again.bytes_copied > 0 && again.bytes_copied < again.bytes_present, "{again:?}");
    let kept =
        tree(&target).keys().filter(|path| path.to_str().unwrap().contains("segment")).count();
    assert_eq!(kept, again.segments, "each segment once: {:?}", tree(&target).keys());
    let restored = scratch.path().join("again");
    assert_eq!(bring_back(&target, &restored, None).expect("restores").state_hash, back.state_hash);
}

/// Segments, generations and snapshots change several times in each backup; sometimes an archiver
/// works as well, and in the end deletes what the snapshots don't need.
#[test]
fn backups_of_a_running_engine_are_whole() {
    let (journal, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    let engine = start(journal.path());
    open_accounts(&engine);
    fill(&engine, 1..200);
    let done = AtomicBool::new(false);
    let reports = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut number = 200;
            while !done.load(Ordering::Relaxed) {
                fill(&engine, number..number + 100);
                number += 100;
            }
        });
        let mut reports = Vec::new();
        for round in 0..12 {
            if round % 3 == 2 {
                let last = engine.feed().durable_seq();
                archive_segments(journal.path(), EventSeq(last.0 - 20), || false)
                    .expect("archives");
            }
            let at_least = engine.feed().durable_seq();
            let report = back_up(journal.path(), &target).expect("backs up");
            assert!(report.last_seq >= at_least, "all that was durable: {report:?}");
            let restored = scratch.path().join(format!("restored-{round}"));
            let back = bring_back(&target, &restored, None).expect("restores");
            assert_eq!((back.last_seq, back.head), (report.last_seq, report.head));
            assert_eq!(support::state_hash(&restored), back.state_hash, "round {round}");
            fs::remove_dir_all(restored).unwrap();
            reports.push((report, back.state_hash));
        }
        done.store(true, Ordering::Relaxed);
        load.join().expect("pays");
        reports
    });
    assert!(reports[11].0.snapshots != reports[0].0.snapshots, "{reports:?}");
    engine.stop().expect("stops");
    let ends: Vec<_> = reports.iter().map(|(report, _)| report.last_seq).collect();
    let replay = Replay::of_some(journal.path(), |seq| ends.contains(&seq));
    for (report, hash) in &reports {
        assert_eq!(*hash, replay.hashes[report.last_seq.0 as usize], "{report:?}");
        assert!(replay.frame_ends.contains(&report.last_seq), "ends with a frame");
    }

    // The beginning is deleted: the backup has what is left of it, and says so.
    let last = back_up(journal.path(), &target).expect("backs up");
    let oldest = *last.snapshots.last().expect("two");
    archive_segments(journal.path(), EventSeq(oldest.0), || false).expect("archives");
    assert!(!delete_archived(journal.path(), oldest).expect("deletes").is_empty());
    let report = back_up(journal.path(), &target).expect("backs up");
    assert!(report.first_seq > EventSeq::FIRST && report.last_seq == replay.last(), "{report:?}");
    let restored = scratch.path().join("tail");
    let back = bring_back(&target, &restored, None).expect("restores");
    let (_, expected) = recover::verify_recovery(&config(journal.path()), &ApproveAll).unwrap();
    assert_eq!(back.state_hash, expected);
    let early = Until::Event(EventSeq(report.first_seq.0 - 1));
    let error = bring_back(&target, &scratch.path().join("early"), Some(early));
    let error = error.expect_err("is gone").to_string();
    assert!(error.contains("no snapshot of before") && error.contains("The earliest"), "{error}");
    let earliest = Until::Event(oldest.max(report.first_seq));
    bring_back(&target, &scratch.path().join("earliest"), Some(earliest)).expect("restores");
}

/// The beginning of the journal is archived and deleted under the backup's hands: what it has
/// listed is gone when it comes to copy it.
#[test]
fn backups_are_whole_while_the_beginning_is_deleted() {
    let (journal, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = start(journal.path());
    open_accounts(&engine);
    fill(&engine, 1..600);
    let done = AtomicBool::new(false);
    let goes_on = || !done.load(Ordering::Relaxed);
    let last = std::thread::scope(|scope| {
        scope.spawn(|| {
            (6..).take_while(|_| goes_on()).for_each(|hundred: u128| {
                fill(&engine, 100 * hundred..100 * hundred + 100);
            });
        });
        scope.spawn(|| {
            while goes_on() {
                let snapshots = support::files(&journal.path().join("snapshots"), ".snapshot");
                // Recovery reads no further back than to the older one of two.
                if let [older, _] = &snapshots[..] {
                    let below = support::first_seq(older);
                    archive_segments(journal.path(), below, || false).expect("archives");
                    delete_archived(journal.path(), below).expect("deletes");
                }
            }
        });
        let mut last = None;
        for round in 0..15 {
            // Now and then from nothing, which takes longest.
            let target = scratch.path().join(format!("backup-{}", round / 3));
            let at_least = engine.feed().durable_seq();
            let report = back_up(journal.path(), &target).expect("backs up");
            assert!(report.last_seq >= at_least && !report.snapshots.is_empty(), "{report:?}");
            let place = scratch.path().join(format!("journal-{round}"));
            let back = bring_back(&target, &place, None).expect("restores");
            assert_eq!((back.last_seq, back.head), (report.last_seq, report.head));
            assert_eq!(back.passed_over, Vec::<String>::new());
            last = Some(report);
        }
        done.store(true, Ordering::Relaxed);
        last.expect("several")
    });
    engine.stop().expect("stops");
    assert!(last.first_seq > EventSeq::FIRST, "{last:?}");
    let (target, place) = (scratch.path().join("backup-4"), scratch.path().join("journal"));
    back_up(journal.path(), &target).expect("backs up");
    let back = bring_back(&target, &place, None).expect("restores");
    let (_, expected) = recover::verify_recovery(&config(journal.path()), &ApproveAll).unwrap();
    assert_eq!(back.state_hash, expected);
}

/// The story: the risk policy changed, so all snapshots were useless, and runs were made anew: other
/// contents under the same names.
#[test]
fn runs_of_the_same_name_are_told_apart() {
    let (journal, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // So few that they are not merged.
    let write = |generation_payments_max, numbers| {
        let config = EngineConfig {
            generation_payments_max,
            snapshot_bytes: 12_000,
            ..config(journal.path())
        };
        let (engine, _) = Engine::start(&config, &ApproveAll).expect("starts");
        open_accounts(&engine);
        fill(&engine, numbers);
        engine.stop().expect("stops");
    };
    write(50, 1..90);
    let target = scratch.path().join("backup");
    let report = back_up(journal.path(), &target).expect("backs up");
    assert_eq!(report.snapshots.len(), 1, "{report:?}");
    let runs = |directory: &Path| -> BTreeMap<_, _> {
        let runs = support::files(&directory.join("runs"), ".run").into_iter();
        runs.map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap())).collect()
    };
    let before = runs(journal.path());
    fs::remove_dir_all(journal.path().join("snapshots")).unwrap();
    write(40, 90..120);
    let same_name = |(name, bytes): (&std::ffi::OsString, &Vec<u8>)| {
        before.get(name).is_some_and(|old| old != bytes)
    };
    assert!(runs(journal.path()).iter().any(same_name), "the test needs such a run");
    back_up(journal.path(), &target).expect("backs up");
    let back = bring_back(&target, &scratch.path().join("journal"), None).expect("restores");
    assert_eq!(back.state_hash, support::state_hash(journal.path()));
    assert!(back.snapshot.is_some(), "{back:?}");
    runs(&scratch.path().join("journal")).iter().for_each(|(name, bytes)| {
        assert_eq!(runs(journal.path()).get(name), Some(bytes), "{name:?}");
    });
}

/// A frame that was never acknowledged is not in the backup.
#[test]
fn torn_bytes_are_not_copied() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let expected = support::state_hash(journal.path());
    let newest = support::segments(journal.path()).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(64);
    let torn = bytes[128..128 + 300].to_vec();
    bytes.resize(bytes.len().max(end + 512), 0);
    bytes[end..end + 300].copy_from_slice(&torn);
    bytes[end + 200..end + 300].fill(0x55);
    fs::write(&newest, &bytes).unwrap();
    let torn_tail = |journal: &Path| {
        let report = recover::verify(journal, &mut Ledger::new(0), &mut ApproveAll);
        report.expect("recovers").torn_tail
    };
    assert!(torn_tail(journal.path()).is_some(), "the test needs one");
    let target = scratch.path().join("backup");
    back_up(journal.path(), &target).expect("backs up");
    let place = scratch.path().join("journal");
    let back = bring_back(&target, &place, None).expect("restores");
    assert_eq!((back.state_hash, torn_tail(&place)), (expected, None));
    assert_eq!(fs::read(&newest).unwrap(), bytes, "the journal is as it was");
}

/// Everything that a restore needs is compared with the manifest, and what is wrong is named. A
/// failure leaves nothing behind.
#[test]
fn damage_anywhere_in_a_backup_is_refused_and_named() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    archive_segments(journal.path(), EventSeq(500), || false).expect("archives");
    let (target, place) = (scratch.path().join("backup"), scratch.path().join("data/journal"));
    back_up(journal.path(), &target).expect("backs up");
    let refused = |file: &Path, how: &str| {
        let error = bring_back(&target, &place, None).expect_err(how).to_string();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(error.contains(name) && error.contains("Nothing was changed"), "{how}: {error}");
        assert!(!scratch.path().join("data").exists(), "{how}: nothing is left");
    };
    for (name, whole) in tree(&target) {
        let file = target.join(&name);
        if name == Path::new("LOCK") {
            continue;
        }
        let len = whole.len();
        for place in [0, 17, 100, len / 3, len / 2, len - 40, len - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x04;
            fs::write(&file, damaged).unwrap();
            refused(&file, &format!("byte {place} of {len}"));
        }
        for short in [0, len / 2, len - 1] {
            fs::write(&file, &whole[..short]).unwrap();
            refused(&file, &format!("cut to {short} of {len}"));
        }
        fs::write(&file, [&whole[..], b"\n"].concat()).unwrap();
        refused(&file, "a byte too many");
        fs::remove_file(&file).unwrap();
        match name == Path::new("backup.manifest") {
            false => refused(&file, "missing"),
            true => {
                let error = bring_back(&target, &place, None).expect_err("none").to_string();
                assert!(error.contains("it has no backup.manifest"), "{error}");
            }
        }
        fs::write(&file, &whole).unwrap();
    }
    for extra in ["00000000000000009999-0123456789abcdef.segment", "notes.txt", "runs/x.run"] {
        let file = target.join(extra);
        fs::write(&file, "extra").unwrap();
        refused(&file, extra);
        fs::remove_file(&file).unwrap();
    }
    bring_back(&target, &place, None).expect("is whole again");
    let error = bring_back(&target, &place, None).expect_err("taken").to_string();
    assert!(error.contains("is not empty"), "{error}");

    // A backup that rechecks finds a damaged file and copies it again.
    let (name, whole) =
        tree(&target).into_iter().find(|(name, _)| name.starts_with("runs")).unwrap();
    fs::write(target.join(&name), vec![7; whole.len()]).unwrap();
    let options = BackupOptions { taken: TAKEN, recheck: true, progress: &|_| {} };
    let report = backup(journal.path(), &target, &options).expect("backs up");
    assert_eq!(report.bytes_copied, whole.len() as u64);
    bring_back(&target, &scratch.path().join("mended"), None).expect("restores");
}

/// The journal brought back to each event: inside frames, at their ends, at the ends of segments,
/// archived ones among them, before and after each snapshot.
#[test]
fn a_journal_is_brought_back_to_each_of_its_events() {
    let (journal, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = start(journal.path());
    open_accounts(&engine);
    fill(&engine, 1..236);
    engine.stop().expect("stops");
    archive_segments(journal.path(), EventSeq(150), || false).expect("archives");
    let target = scratch.path().join("backup");
    let report = back_up(journal.path(), &target).expect("backs up");
    let replay = Replay::of(journal.path());
    assert!(report.segments > 2 && !report.snapshots.is_empty(), "{report:?}");
    let mut cuts = (0, 0);
    for seq in (1..=replay.last().0).map(EventSeq) {
        let place = scratch.path().join(format!("until-{seq}"));
        let back = bring_back(&target, &place, Some(Until::Event(seq))).expect("restores");
        let cut_from = (seq < replay.last()).then_some(replay.last());
        assert_eq!((back.last_seq, back.cut_from), (seq, cut_from));
        assert_eq!(back.last_time, replay.times[seq.0 as usize], "event {seq}");
        assert_eq!(back.state_hash, replay.hashes[seq.0 as usize], "event {seq}");
        assert_eq!(support::state_hash(&place), back.state_hash, "event {seq}, all of it");
        let newest = report.snapshots.iter().find(|snapshot| **snapshot <= seq);
        assert_eq!(back.snapshot.as_ref(), newest, "event {seq}");
        match replay.frame_ends.contains(&seq) {
            true => cuts.0 += 1,
            false => cuts.1 += 1,
        }
        check_contexts(&place, seq);
        fs::remove_dir_all(place).unwrap();
    }
    assert!(cuts.0 > 20 && cuts.1 > 150, "ends of frames, and places inside: {cuts:?}");

    let until = |until| bring_back(&target, &scratch.path().join("no"), Some(until));
    let beyond = EventSeq(replay.last().0 + 1);
    let error = until(Until::Event(beyond)).expect_err("beyond").to_string();
    assert!(error.contains(&format!("its last event is {}", replay.last())), "{error}");
    let error = until(Until::Time(Timestamp(replay.times[1].0 - 1))).expect_err("before");
    assert!(error.to_string().contains("before the first event"), "{error}");
    let error = until(Until::Time(Timestamp(TAKEN.0 + 1))).expect_err("after").to_string();
    assert!(error.contains("after the backup was taken"), "{error}");
    assert!(!scratch.path().join("no").exists());
}

/// Contexts are those of the payments that they were sent with.
fn check_contexts(journal: &Path, last: EventSeq) {
    let mut seen = 0;
    for frame in JournalScan::open(journal).expect("opens") {
        for event in frame.expect("is whole").events().expect("decodes") {
            seen += 1;
            // Three accounts are first.
            let number = event.event.seq().0.saturating_sub(3);
            let expected = if number == 0 { String::new() } else { context(number.into()) };
            assert_eq!(event.context, expected.as_bytes(), "event {}", event.event.seq());
        }
    }
    assert_eq!(seen, last.0);
}

#[test]
fn a_journal_is_brought_back_to_a_time() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    archive_segments(journal.path(), EventSeq(700), || false).expect("archives");
    let target = scratch.path().join("backup");
    back_up(journal.path(), &target).expect("backs up");
    let all = Replay::of_some(journal.path(), |_| false);
    let ends: Vec<_> = all.frame_ends.iter().step_by(7).copied().collect();
    let replay = Replay::of_some(journal.path(), |seq| ends.contains(&seq));
    for (at, seq) in ends.iter().enumerate() {
        let time = replay.times[seq.0 as usize];
        let next = replay.times.get(seq.0 as usize + 1).copied().unwrap_or(TAKEN);
        // With the batch, just before the next one, and somewhere in between.
        for time in [time, Timestamp(next.0 - 1), Timestamp(u64::midpoint(time.0, next.0 - 1))] {
            let place = scratch.path().join(format!("{at}-{}", time.0));
            let back = bring_back(&target, &place, Some(Until::Time(time))).expect("restores");
            assert_eq!((back.last_seq, back.last_time), (*seq, replay.times[seq.0 as usize]));
            assert_eq!(back.state_hash, replay.hashes[seq.0 as usize], "event {seq}");
            if place.exists() {
                fs::remove_dir_all(place).unwrap();
            }
        }
    }
}

/// What was paid before the point is known, what was paid after it is new.
#[test]
fn a_restored_journal_goes_on_from_its_point() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    let report = back_up(journal.path(), &target).expect("backs up");
    let newest = report.snapshots[0].0;
    // Before the snapshots; between them; after them, inside a frame; all of it.
    let points = [5, 333, newest - 3, newest, newest + 1, report.last_seq.0];
    for point in points {
        let place = scratch.path().join(format!("until-{point}"));
        let until = Some(Until::Event(EventSeq(point)));
        let back = bring_back(&target, &place, until).expect("restores");
        let (engine, found) = Engine::start(&config(&place), &ApproveAll).expect("starts");
        assert_eq!((found.last_seq.0, found.head), (point, back.head));
        // Three accounts are first.
        let paid = u128::from(point) - 3;
        let from = paid.saturating_sub(120).max(1);
        for (number, reply) in (from..).zip(fill(&engine, from..paid + 80)) {
            assert_eq!(reply.replayed, number <= paid, "payment {number} after {point}: {reply:?}");
            assert!(matches!(reply.outcome.status, Status::Settled | Status::Held), "{reply:?}");
        }
        engine.stop().expect("stops");
        let (_, hash) = recover::verify_recovery(&config(&place), &ApproveAll).expect("recovers");
        assert_eq!(support::state_hash(&place), hash, "until {point}");

        // Another future of the same journal: it takes the place of no backup of the first one.
        let error = back_up(&place, &target);
        match point == report.last_seq.0 {
            true => drop(error.expect("the same future")),
            false => {
                let error = error.expect_err("another future").to_string();
                assert!(error.contains("restored to an earlier point"), "{error}");
            }
        }
    }
}

#[test]
fn a_target_that_holds_something_else_is_left_alone() {
    let (one, other, scratch) = (journal(), journal(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("holiday.jpg"), "pixels").unwrap();
    let error = back_up(one.path(), &target).expect_err("occupied").to_string();
    assert!(error.contains("holiday.jpg") && error.contains("Name an empty directory"), "{error}");
    assert_eq!(tree(&target).len(), 1);
    let error = back_up(one.path(), one.path()).expect_err("the journal itself").to_string();
    assert!(error.contains("holds no backup of this journal"), "{error}");
    fs::remove_file(target.join("holiday.jpg")).unwrap();
    back_up(one.path(), &target).expect("backs up");
    let before = tree(&target);
    let error = back_up(other.path(), &target).expect_err("another journal").to_string();
    assert!(error.contains("another journal"), "{error}");
    assert_eq!(tree(&target), before);
    let nowhere = scratch.path().join("nowhere");
    let error = back_up(&nowhere, &target).expect_err("nothing there").to_string();
    assert!(error.contains("holds no journal"), "{error}");
    let error = bring_back(&nowhere, &scratch.path().join("new"), None).expect_err("no backup");
    assert!(error.to_string().contains("there is no backup in"), "{error}");
}

/// The story: a backup is killed. Until its manifest is there, the backup before it is; files that
/// were copied by then do no harm, and the next backup removes them.
#[test]
fn an_interrupted_backup_leaves_the_one_before() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    let first = back_up(journal.path(), &target).expect("backs up");
    let engine = start(journal.path());
    fill(&engine, 2_000..2_400);
    engine.stop().expect("stops");
    // As if it had died after it had copied some: it gives up when it can't go on.
    let seen = Cell::new(0);
    let options = BackupOptions {
        taken: TAKEN,
        recheck: false,
        progress: &|_| {
            seen.set(seen.get() + 1);
            assert!(seen.get() < 14, "dies here");
        },
    };
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = backup(journal.path(), &target, &options);
    }));
    assert!(died.is_err() && target.join("INCOMPLETE").exists());
    let left = tree(&target).len();
    let back = bring_back(&target, &scratch.path().join("old"), None).expect("the old one");
    assert_eq!((back.last_seq, back.head), (first.last_seq, first.head));
    let second = back_up(journal.path(), &target).expect("backs up");
    assert!(!target.join("INCOMPLETE").exists() && second.last_seq > first.last_seq);
    let back = bring_back(&target, &scratch.path().join("new"), None).expect("the new one");
    assert_eq!(back.head, second.head);
    assert!(left > 0);

    // Before the first backup is whole there is none, and another attempt makes one.
    let fresh = scratch.path().join("fresh");
    seen.set(0);
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = backup(journal.path(), &fresh, &options);
    }));
    assert!(died.is_err());
    let error = bring_back(&fresh, &scratch.path().join("none"), None).expect_err("no backup");
    assert!(error.to_string().contains("there is no backup in"), "{error}");
    back_up(journal.path(), &fresh).expect("backs up");
    bring_back(&fresh, &scratch.path().join("some"), None).expect("restores");
}

/// A journal that is damaged is not backed up over a backup that is not.
#[test]
fn a_damaged_journal_leaves_the_backup_as_it_was() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    let first = back_up(journal.path(), &target).expect("backs up");
    let engine = start(journal.path());
    fill(&engine, 2_000..2_400);
    engine.stop().expect("stops");
    let segments = support::segments(journal.path());
    let damaged = &segments[segments.len() - 2];
    let mut bytes = fs::read(damaged).unwrap();
    bytes[1_000] ^= 1;
    fs::write(damaged, bytes).unwrap();
    let error = back_up(journal.path(), &target).expect_err("damaged").to_string();
    assert!(error.contains("the journal is damaged") && error.contains(damaged.to_str().unwrap()));
    let back = bring_back(&target, &scratch.path().join("journal"), None).expect("restores");
    assert_eq!(back.head, first.head);

    // A journal that lost its end is not the same any more.
    for lost in &segments[segments.len() / 3..] {
        fs::remove_file(lost).unwrap();
    }
    let error = back_up(journal.path(), &target).expect_err("lost its end").to_string();
    assert!(error.contains("it lost its end"), "{error}");
}

/// A snapshot or a run that is damaged is not worth a copy: the journal says the same.
#[test]
fn damaged_snapshots_and_runs_are_passed_over() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let expected = support::state_hash(journal.path());
    let newest = support::files(&journal.path().join("snapshots"), ".snapshot").pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&newest, damaged).unwrap();
    let target = scratch.path().join("one");
    let report = back_up(journal.path(), &target).expect("backs up");
    assert_eq!((report.snapshots.len(), report.passed_over.len()), (1, 1), "{report:?}");
    let back = bring_back(&target, &scratch.path().join("a"), None).expect("restores");
    assert_eq!(back.state_hash, expected);
    fs::write(&newest, whole).unwrap();

    // In the middle of a page, where nobody looks until a payment is asked for.
    let runs = support::files(&journal.path().join("runs"), ".run");
    for run in &runs {
        let mut bytes = fs::read(run).unwrap();
        bytes[5_000] ^= 1;
        fs::write(run, bytes).unwrap();
    }
    let target = scratch.path().join("none");
    let report = back_up(journal.path(), &target).expect("backs up");
    assert!(report.snapshots.is_empty() && report.passed_over.len() == 2, "{report:?}");
    let named = |run: &PathBuf| report.passed_over[0].contains(run.to_str().unwrap());
    assert!(runs.iter().any(named), "{report:?}");
    let back = bring_back(&target, &scratch.path().join("b"), None).expect("restores");
    assert_eq!((back.snapshot, back.state_hash), (None, expected));
}

#[test]
fn a_journal_without_events_is_backed_up_as_well() {
    let (journal, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    start(journal.path()).stop().expect("stops");
    let target = scratch.path().join("backup");
    let report = back_up(journal.path(), &target).expect("backs up");
    assert_eq!(report.last_seq, EventSeq(0));
    let place = scratch.path().join("journal");
    bring_back(&target, &place, None).expect("restores");
    let engine = start(&place);
    open_accounts(&engine);
    fill(&engine, 1..300);
    engine.stop().expect("stops");
    support::state_hash(&place);
}
