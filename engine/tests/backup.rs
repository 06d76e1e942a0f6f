//! Backups of journals that engines wrote and write, restored and compared with a replay of the
//! original.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use millrace_engine::{
    Engine, EngineConfig,
    archive::{archive_segments, delete_archived},
    backup::{BackupOptions, Progress, Until, backup},
    recover,
};
use millrace_ledger::{ApproveAll, EventSeq};
use support::{
    backups::{Replay, TAKEN, back_up, bring_back, config, fill, journal, start, tree},
    open_accounts,
};

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
    let options = BackupOptions {
        taken: TAKEN,
        shelf: Path::new("none"),
        recheck: false,
        progress: &progress,
    };
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
