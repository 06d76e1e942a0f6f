//! The scan for tools, on real files: the same events as the feed, from any place, archived or not,
//! and the same complaints as recovery.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use millrace_engine::{
    FeedEvent,
    archive::archive_segments,
    scan::{JournalScan, ScannedFrame, Start, TornTail, last_seq},
    segment_summary::{SegmentSummaries, SegmentSummary},
};
use millrace_ledger::{EventSeq, Timestamp};
use support::{EVENTS, feed_from, first_seq, journal, pay, refusal, segments, start};

const ALL: EventSeq = EventSeq(u64::MAX);

fn frames(scan: JournalScan) -> Vec<ScannedFrame> {
    scan.map(|frame| frame.expect("is whole")).collect()
}

fn scan_at(directory: &Path, start: Start) -> Vec<ScannedFrame> {
    frames(JournalScan::open_at(directory, start).expect("opens"))
}

fn events(frames: &[ScannedFrame]) -> Vec<FeedEvent> {
    frames.iter().flat_map(|frame| frame.events().expect("valid")).collect()
}

/// The error that ends a scan of the whole journal.
fn complaint(directory: &Path) -> String {
    let mut errors = JournalScan::open(directory).expect("opens").filter_map(Result::err);
    let error = errors.next().expect("is refused").to_string();
    assert!(errors.next().is_none(), "ends after its first error");
    error
}

fn summaries(directory: &Path) -> Vec<SegmentSummary> {
    SegmentSummaries::open(directory, EventSeq(1)).expect("opens").collect()
}

fn write_at(path: &Path, bytes: &[u8], offset: u64) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

#[test]
fn a_scan_gives_what_the_feed_gives_from_any_place() {
    let directory = journal();
    let directory = directory.path();
    let (engine, report) = start(directory).expect("starts");
    let expected = feed_from(&engine, 1);
    engine.stop().expect("stops");
    for archive in [false, true] {
        if archive {
            archive_segments(directory, ALL, || false).expect("archives");
        }
        let all = frames(JournalScan::open(directory).expect("opens"));
        assert_eq!(events(&all), expected);
        assert_eq!((all.len() as u64, all.last().unwrap().hash), (report.frames, report.head));
        assert!(all.windows(2).all(|pair| pair[1].previous == pair[0].hash));
        assert_eq!(last_seq(directory).expect("reads"), EventSeq(EVENTS));
        for seq in 1..=EVENTS {
            let found = scan_at(directory, Start::Seq(EventSeq(seq)));
            assert!((found[0].first_seq..=found[0].last_seq()).contains(&EventSeq(seq)));
            assert_eq!(events(&found), expected[found[0].first_seq.0 as usize - 1..]);
        }
        assert!(scan_at(directory, Start::Seq(EventSeq(EVENTS + 1))).is_empty());
        for frame in &all {
            let first = &scan_at(directory, Start::Time(frame.time))[0];
            assert!(first.time == frame.time && first.first_seq <= frame.first_seq);
            let after = Timestamp(frame.time.0 + 1);
            let later = scan_at(directory, Start::Time(after));
            assert!(later.iter().all(|later| later.time >= after));
            assert_eq!(later.len(), all.iter().filter(|frame| frame.time >= after).count());
        }
        assert_eq!(scan_at(directory, Start::Time(Timestamp(0))).len(), all.len());
    }
}

#[test]
fn a_new_journal_has_no_frames() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(last_seq(directory.path()).expect("reads"), EventSeq(0), "no segment");
    assert!(scan_at(directory.path(), Start::Seq(EventSeq(1))).is_empty());
    start(directory.path()).expect("starts").0.stop().expect("stops");
    assert_eq!(last_seq(directory.path()).expect("reads"), EventSeq(0), "an empty segment");
    assert!(scan_at(directory.path(), Start::Time(Timestamp(1))).is_empty());
    let summaries = summaries(directory.path());
    assert_eq!((summaries.len(), summaries[0].frames, summaries[0].last_seq), (1, 0, EventSeq(0)));
    assert!(summaries[0].damage.is_none());
}

#[test]
fn a_torn_tail_ends_the_scan_and_is_told() {
    let directory = journal();
    let directory = directory.path();
    let last = segments(directory).pop().unwrap();
    let all = frames(JournalScan::open(directory).expect("opens"));
    let torn = all.last().unwrap();
    // The header is whole, the body is not.
    write_at(&last, &[0xff; 8], torn.offset + 140);
    fs::remove_file(directory.join("durable")).unwrap();
    let mut scan = JournalScan::open(directory).expect("opens");
    let read: Vec<_> = scan.by_ref().map(|frame| frame.expect("is whole")).collect();
    assert_eq!(read.len(), all.len() - 1);
    let tail = TornTail { segment: last, offset: torn.offset };
    assert_eq!(scan.torn_tail(), Some(&tail));
    assert_eq!(last_seq(directory).expect("reads"), EventSeq(EVENTS - 1));
    assert_eq!(summaries(directory).pop().unwrap().torn_tail, Some(tail));
}

#[test]
fn damage_is_told_as_recovery_tells_it() {
    let directory = journal();
    let directory = directory.path();
    let second = &segments(directory)[1];
    let whole = fs::read(second).unwrap();
    for at in [20, 140, 180, 270, 300] {
        write_at(second, &[whole[at] ^ 1], at as u64);
        assert_eq!(complaint(directory), refusal(directory), "byte {at}");
        let summaries = summaries(directory);
        let wrong: Vec<_> = summaries.iter().filter(|summary| summary.damage.is_some()).collect();
        assert_eq!((wrong.len(), &wrong[0].path), (1, second), "byte {at}: only this segment");
        write_at(second, &whole, 0);
    }
    archive_segments(directory, first_seq(second), || false).expect("archives");
    let aside = directory.join("aside");
    fs::rename(second, &aside).unwrap();
    assert_eq!(complaint(directory), refusal(directory), "missing");
    fs::rename(&aside, second).unwrap();
    assert!(summaries(directory).iter().all(|summary| summary.damage.is_none()));
}

#[test]
fn a_place_that_was_deleted_is_told() {
    let directory = journal();
    fs::remove_file(&segments(directory.path())[0]).unwrap();
    let error = JournalScan::open(directory.path()).expect_err("is refused").to_string();
    assert!(error.contains("event 1 is needed"), "{error}");
    let from = first_seq(&segments(directory.path())[0]);
    assert!(!scan_at(directory.path(), Start::Seq(from)).is_empty());
    assert_eq!(scan_at(directory.path(), Start::Time(Timestamp(0)))[0].first_seq, from);
    assert_eq!(scan_at(directory.path(), Start::Oldest)[0].first_seq, from);
}

#[test]
fn summaries_tell_what_is_where() {
    let directory = journal();
    let directory = directory.path();
    let second = first_seq(&segments(directory)[2]);
    archive_segments(directory, second, || false).expect("archives");
    let summaries = summaries(directory);
    let archived: Vec<_> = summaries.iter().map(|it| it.archived_bytes.is_some()).collect();
    assert_eq!(archived[..3], [true, true, false]);
    assert!(summaries.windows(2).all(|pair| pair[1].first_seq == pair[0].last_seq.next()));
    assert_eq!(summaries.last().unwrap().last_seq, EventSeq(EVENTS));
    assert_eq!(summaries.iter().map(|it| it.frames).sum::<u64>(), EVENTS - 2);
    let from = SegmentSummaries::open(directory, second).expect("opens").next().unwrap();
    assert_eq!(from.first_seq, second);
}

/// A journal that an engine writes and archives meanwhile is never called damaged.
#[test]
fn a_scan_beside_a_running_engine_sees_a_whole_journal() {
    let directory = journal();
    let (engine, _) = start(directory.path()).expect("starts");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for id in 100..400 {
                pay(&engine, id);
                if id % 50 == 0 {
                    archive_segments(directory.path(), ALL, || false).expect("archives");
                }
            }
        });
        while !writer.is_finished() {
            let all = frames(JournalScan::open(directory.path()).expect("opens"));
            let last = all.last().unwrap().last_seq();
            assert!(last >= EventSeq(EVENTS) && events(&all).len() as u64 == last.0);
            assert!(last_seq(directory.path()).expect("reads") >= last);
        }
    });
    engine.stop().expect("stops");
}
