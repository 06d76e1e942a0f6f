//! The rows of the recovery table about a journal that lost its end, or whose end is damaged: what a
//! snapshot or the durable note knows of is never cut, and nothing is written behind it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use millrace_engine::{
    Engine, EngineConfig, JournalError, RecoveryReport,
    backup::Until,
    recover,
    scan::{JournalScan, Start},
    segment_summary::SegmentSummaries,
    trial_balance::trial_balance,
};
use millrace_ledger::{ApproveAll, EventSeq, Ledger};
use support::{
    backups::{self, back_up, bring_back, fill, tree},
    files, frames, open_accounts, segments, with_bytes,
};
use tempfile::TempDir;

fn note(directory: &Path) -> std::path::PathBuf {
    directory.join("durable")
}

/// What a start says of a directory that it refuses, and leaves as it is; `verify` says the same.
fn refusal(directory: &Path) -> String {
    let mut before = tree(directory);
    // Runs that no snapshot needs, and what never had its name, may go.
    let stays = |path: &Path| !path.starts_with("runs") && !path.ends_with("next.unfinished");
    before.retain(|path, _| stays(path));
    let error = Engine::start(&backups::config(directory), &ApproveAll).map(|_| ());
    let error = error.expect_err("is refused").to_string();
    check_readers(directory, &error);
    let mut after = tree(directory);
    after.retain(|path, _| before.contains_key(path));
    assert!(before == after, "nothing was changed: {error}");
    let verified = recover::verify(directory, &mut Ledger::new(0), &mut ApproveAll);
    assert_eq!(verified.expect_err("verify refuses, too").to_string(), error);
    error
}

/// Who only reads the journal says the same, by the note, and does not take what is left for all there is.
fn check_readers(directory: &Path, refused: &str) {
    if !note(directory).exists() {
        return;
    }
    let scanned = JournalScan::open_at(directory, Start::Oldest);
    let scanned = scanned.and_then(|mut scan| scan.find_map(Result::err).map_or(Ok(()), Err));
    assert_eq!(scanned.expect_err("an export refuses, too").to_string(), refused);
    // With a snapshot, a report has no need of what comes before that.
    if files(&directory.join("snapshots"), ".snapshot").is_empty() {
        let balance = trial_balance(directory, None, |_| {});
        assert_eq!(balance.expect_err("a report refuses, too").to_string(), refused);
    }
    let mut summaries = SegmentSummaries::open(directory, EventSeq::FIRST).expect("opens");
    match summaries.find_map(|summary| summary.damage) {
        Some(damage) => assert_eq!(damage.to_string(), refused),
        None => {
            let ends = summaries.check_ends().expect_err("inspect refuses, too").to_string();
            // Where the damage is stands beside the segment.
            let place = refused.find(" (").map_or(refused, |at| &refused[..at]);
            assert!(ends.starts_with(place), "{ends}");
        }
    }
}

fn starts(directory: &Path) -> RecoveryReport {
    let (engine, report) = Engine::start(&backups::config(directory), &ApproveAll).expect("starts");
    engine.stop().expect("stops");
    report
}

/// A journal whose newest snapshot knows its last event.
fn covered() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let often = Duration::from_millis(20);
    let config = EngineConfig { snapshot_interval: often, ..backups::config(directory.path()) };
    let (engine, _) = Engine::start(&config, &ApproveAll).expect("starts");
    open_accounts(&engine);
    fill(&engine, 1..301);
    let newest = directory.path().join("snapshots/00000000000000000303.snapshot");
    let started = Instant::now();
    while !newest.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "no snapshot of the last event");
        thread::sleep(Duration::from_millis(2));
    }
    engine.stop().expect("stops");
    directory
}

/// A disk lost a sector of the newest segment, whose frames a snapshot knows. A start that looked at
/// headers only went on behind it, and the payments after it could never be read again.
#[test]
fn a_changed_byte_in_any_frame_of_the_last_segment_is_refused_though_a_snapshot_knows_it() {
    let directory = covered();
    let directory = directory.path();
    fs::remove_file(note(directory)).unwrap();
    let last = segments(directory).pop().unwrap();
    let frames = frames(&last);
    assert!(frames.len() > 2, "the test needs some frames");
    let bytes = fs::read(&last).unwrap();
    for (at, (offset, len)) in frames.iter().enumerate() {
        for within in [40, 130, 190, 250] {
            assert!(within < *len, "a frame of some payments");
            let place = offset + within;
            let changed = [bytes[place as usize] ^ 0x20];
            let error = with_bytes(&last, place, &changed, || refusal(directory));
            assert!(error.contains(&format!("at offset {offset}")), "byte {place}: {error}");
            assert!(error.contains(last.to_str().unwrap()), "byte {place}: {error}");
            let is_last = at + 1 == frames.len();
            let told = ["a whole frame follows", "acknowledged payments are missing"];
            assert!(error.contains(told[usize::from(is_last)]), "byte {place}: {error}");
        }
    }
    assert_eq!(starts(directory).snapshot, Some(EventSeq(303)), "as it was, it starts");
}

#[test]
fn a_header_that_is_damaged_in_a_sealed_segment_is_told_as_damage_though_a_snapshot_knows_it() {
    let directory = backups::journal();
    let directory = directory.path();
    // More than a segment lies between the two.
    let snapshots = files(&directory.join("snapshots"), ".snapshot");
    fs::remove_file(&snapshots[1]).unwrap();
    let known: u64 = snapshots[0].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let segments = segments(directory);
    // Where the snapshot ends with a segment, the next one is read first.
    let after = segments.partition_point(|path| support::first_seq(path).0 <= known + 1);
    let sealed = &segments[after - 1];
    assert!(after < segments.len(), "the snapshot ends in a sealed segment");
    let (offset, _) = frames(sealed)[0];
    let error = with_bytes(sealed, offset, &[0xff; 8], || refusal(directory));
    assert!(error.contains(&format!("is damaged: {} at offset", sealed.display())), "{error}");
}

/// Without a snapshot, only the note tells an acknowledged frame that is damaged from one that was
/// torn.
#[test]
fn an_acknowledged_end_that_is_damaged_or_gone_is_refused() {
    let directory = support::journal();
    let directory = directory.path();
    let path = note(directory);
    let names_note = format!("{} says that event 43 was durable", path.display());
    let last = segments(directory).pop().unwrap();
    let (offset, len) = *frames(&last).last().unwrap();

    let blank = vec![0; len as usize];
    for (within, damage) in [(140, &[0xff; 4][..]), (0, &[0xff; 128]), (0, &blank)] {
        let error = with_bytes(&last, offset + within, damage, || refusal(directory));
        assert!(error.contains(&names_note), "{error}");
        let place = format!("({} is damaged at offset {offset})", last.display());
        assert_eq!(error.contains(&place), damage[0] != 0, "{error}");
        assert!(error.contains("Put the newest segment back"), "{error}");
    }

    let aside = directory.join("aside");
    fs::rename(&last, &aside).unwrap();
    let error = refusal(directory);
    assert!(error.contains(&names_note) && !error.contains("damaged"), "{error}");
    let others: Vec<_> = segments(directory);
    for segment in &others {
        fs::rename(segment, segment.with_extension("away")).unwrap();
    }
    let error = refusal(directory);
    assert!(error.contains("the journal ends with event 0"), "no new journal is begun: {error}");
    for segment in &others {
        fs::rename(segment.with_extension("away"), segment).unwrap();
    }
    fs::rename(&aside, &last).unwrap();
    assert_eq!(starts(directory).last_seq, EventSeq(43), "as it was, it starts");
}

/// What the refusal offers: go on without what is lost.
#[test]
fn without_the_note_a_damaged_end_is_a_torn_one() {
    let directory = support::journal();
    let last = segments(directory.path()).pop().unwrap();
    let (offset, _) = *frames(&last).last().unwrap();
    fs::remove_file(note(directory.path())).unwrap();
    with_bytes(&last, offset + 140, &[0xff; 4], || {
        let report = starts(directory.path());
        assert_eq!((report.last_seq, report.torn_tail.is_some()), (EventSeq(42), true));
    });
}

/// After a power loss, any older state of the note may be on disk, or half of one.
#[test]
fn an_older_note_a_damaged_one_and_that_of_another_journal_are_no_reason_to_refuse() {
    let whole = support::journal();
    let other = backups::journal();
    let notes = {
        let mut older = fs::read(note(whole.path())).unwrap();
        older[..8].copy_from_slice(&40_u64.to_le_bytes());
        let checksum = crc32c::crc32c(&older[..24]);
        older[24..28].copy_from_slice(&checksum.to_le_bytes());
        let mut damaged = fs::read(note(whole.path())).unwrap();
        damaged[0] ^= 0x40;
        [older, damaged, Vec::new(), fs::read(note(other.path())).unwrap()]
    };
    for found in notes {
        fs::write(note(whole.path()), &found).unwrap();
        assert_eq!(starts(whole.path()).last_seq, EventSeq(43), "{found:?}");
    }
}

#[test]
fn a_backup_of_a_journal_that_lost_its_end_is_refused() {
    let directory = support::journal();
    let scratch = tempfile::tempdir().unwrap();
    let last = segments(directory.path()).pop().unwrap();
    let (offset, _) = *frames(&last).last().unwrap();
    let target = scratch.path().join("backup");
    let refused = with_bytes(&last, offset + 140, &[0xff; 4], || {
        back_up(directory.path(), &target).map(|_| ())
    });
    let error = refused.expect_err("is refused").to_string();
    assert!(error.contains("says that event 43 was durable"), "{error}");
    back_up(directory.path(), &target).expect("the journal is whole again");
    // A journal that was brought back to an earlier event is nobody's lost end.
    let place = scratch.path().join("earlier");
    bring_back(&target, &place, Some(Until::Event(EventSeq(20)))).expect("restores");
    assert_eq!(starts(&place).last_seq, EventSeq(20));
}

/// `verify` applies all events from the first one on. It must not pass over what a snapshot knows.
#[test]
fn verify_tells_of_snapshots_and_runs_that_can_not_be_used() {
    let directory = backups::journal();
    let directory = directory.path();
    let verified = || -> Result<RecoveryReport, JournalError> {
        recover::verify(directory, &mut Ledger::new(0), &mut ApproveAll)
    };
    assert_eq!(verified().expect("whole").snapshots_passed_over, Vec::<String>::new());
    let runs = files(&directory.join("runs"), ".run");
    let told = with_bytes(&runs[0], 4_096 + 700, &[0xff; 16], verified).expect("whole");
    assert!(!told.snapshots_passed_over.is_empty(), "{told:?}");
    for told in &told.snapshots_passed_over {
        assert!(told.contains(runs[0].to_str().unwrap()), "{told}");
    }
    let newest = files(&directory.join("snapshots"), ".snapshot").pop().unwrap();
    let told = with_bytes(&newest, 200, &[0xff; 16], verified).expect("whole");
    let [told] = &told.snapshots_passed_over[..] else { panic!("{told:?}") };
    assert!(told.contains(newest.to_str().unwrap()), "{told}");
}
