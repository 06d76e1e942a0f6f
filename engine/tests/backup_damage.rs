//! Damaged backups, damaged journals, and backups that died: what is wrong is named, and what was
//! whole stays whole.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use millrace_engine::{
    archive::archive_segments,
    backup::{BackupOptions, backup},
    recover,
};
use millrace_ledger::{ApproveAll, EventSeq, Ledger};
use support::backups::{TAKEN, back_up, bring_back, fill, journal, start, tree};

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
    let options =
        BackupOptions { taken: TAKEN, shelf: Path::new("none"), recheck: true, progress: &|_| {} };
    let report = backup(journal.path(), &target, &options).expect("backs up");
    assert_eq!(report.bytes_copied, whole.len() as u64);
    bring_back(&target, &scratch.path().join("mended"), None).expect("restores");
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
        shelf: Path::new("none"),
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
