//! A journal whose first segments are gone: whether retention deleted them or nobody knows who, and
//! what becomes of it, and of the backup that still has them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{fs, path::Path};

use millrace_engine::{
    JournalError, Retention, archive::archive_segments, backup::BackupError, recover,
    retention::delete_unwanted, segment_summary::SegmentSummaries,
};
use millrace_ledger::{ApproveAll, EventSeq, Timestamp};
use support::{
    backups::{back_up, bring_back, journal, start, tree},
    first_seq, segments,
};

const ALL: EventSeq = EventSeq(u64::MAX);

fn verified(directory: &Path) -> Result<EventSeq, JournalError> {
    let scratch = tempfile::tempdir().unwrap();
    let verified = recover::verify_within(directory, scratch.path(), &mut ApproveAll);
    verified.map(|(report, _)| report.last_seq)
}

fn inspected(directory: &Path) -> Result<(), JournalError> {
    let mut summaries = SegmentSummaries::open(directory, EventSeq::FIRST).expect("opens");
    let damaged = summaries.by_ref().filter(|summary| summary.damage.is_some()).count();
    assert_eq!(damaged, 0, "what is there is whole");
    summaries.check_ends()
}

/// Somebody moved the oldest segments away, or the disk with the archive is not mounted. A start has no
/// need of them; but whoever checks the journal is to know, and the backup must not lose them, too.
#[test]
fn a_lost_beginning_is_told_and_does_not_shrink_the_backup() {
    let (directory, scratch) = (journal(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    let target = scratch.path().join("backup");
    back_up(directory, &target).expect("backs up");
    let last = verified(directory).expect("is whole");
    let moved: Vec<_> = segments(directory).drain(..2).collect();
    for segment in &moved {
        fs::rename(segment, scratch.path().join(segment.file_name().unwrap())).unwrap();
    }
    let first = first_seq(&segments(directory)[0]);

    let said =
        format!("begins with event {first}, and nothing deleted events 1 to {}", first.0 - 1);
    for error in [verified(directory).map(|_| ()), inspected(directory)] {
        let error = error.expect_err("is told").to_string();
        assert!(error.contains(&said), "{error}");
    }
    let files = || {
        let mut files = tree(&target);
        files.retain(|path, _| !path.ends_with("INCOMPLETE"));
        files
    };
    let before = files();
    let error = back_up(directory, &target).expect_err("would lose the beginning");
    assert!(matches!(error, BackupError::HasMore { had: EventSeq::FIRST, .. }), "{error}");
    assert!(files() == before, "the backup is as it was");
    start(directory).stop().expect("goes on");

    // What the errors offer: a copy elsewhere, and what is made of it begins there by right.
    let (elsewhere, restored) = (scratch.path().join("elsewhere"), scratch.path().join("restored"));
    back_up(directory, &elsewhere).expect("backs up");
    bring_back(&elsewhere, &restored, None).expect("restores");
    assert_eq!(verified(&restored).expect("begins where it should"), last);
    inspected(&restored).expect("begins where it should");
    back_up(&restored, &elsewhere).expect("the backup begins there, too");

    for segment in &moved {
        fs::rename(scratch.path().join(segment.file_name().unwrap()), segment).unwrap();
    }
    assert_eq!(verified(directory).expect("they are back"), last);
    back_up(directory, &target).expect("they are back");
}

/// A damaged segment that nobody wants any more does not keep retention from deleting it.
#[test]
fn a_damaged_archived_segment_is_deleted_like_others() {
    let directory = journal();
    let directory = directory.path();
    archive_segments(directory, ALL, || false).expect("archives");
    let [oldest, _, kept, ..] = &support::archived(directory)[..] else { panic!("three at least") };
    let mut bytes = fs::read(oldest).unwrap();
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    fs::write(oldest, bytes).unwrap();
    let nothing = Retention { age_max: None, bytes_max: Some(0) };
    let kept = first_seq(kept);
    let deleted = delete_unwanted(directory, nothing, Timestamp(u64::MAX), kept).expect("deletes");
    assert_eq!((deleted.len(), oldest.exists()), (2, false));
    verified(directory).expect("is as it should be");
}

/// What retention deleted is not missed, and goes from the backup, too. More than that is.
#[test]
fn what_retention_deleted_is_not_missed() {
    let (directory, scratch) = (journal(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    let target = scratch.path().join("backup");
    back_up(directory, &target).expect("backs up");
    let last = verified(directory).expect("is whole");
    archive_segments(directory, ALL, || false).expect("archives");
    let kept = first_seq(&support::archived(directory)[2]);
    let nothing = Retention { age_max: None, bytes_max: Some(0) };
    let deleted = delete_unwanted(directory, nothing, Timestamp(u64::MAX), kept).expect("deletes");
    assert_eq!(deleted.len(), 2);
    assert_eq!(verified(directory).expect("is as it should be"), last);
    inspected(directory).expect("is as it should be");
    assert_eq!(back_up(directory, &target).expect("shrinks").first_seq, kept);

    let next = support::archived(directory).remove(0);
    fs::rename(&next, scratch.path().join("lost")).unwrap();
    let error = verified(directory).expect_err("one more is gone").to_string();
    assert!(error.contains(&format!("nothing deleted events {kept} to")), "{error}");
    let error = back_up(directory, &target).expect_err("one more is gone");
    assert!(matches!(error, BackupError::HasMore { had, .. } if had == kept), "{error}");
    fs::rename(scratch.path().join("lost"), &next).unwrap();

    // A note that is damaged, or another journal's, says nothing.
    let note = directory.join("deleted");
    let whole = fs::read(&note).unwrap();
    for at in [0, 8, 24] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&note, &damaged).unwrap();
        assert!(verified(directory).is_err(), "byte {at}");
    }
    fs::write(&note, &whole).unwrap();
    assert_eq!(verified(directory).expect("is as it was"), last);
}
