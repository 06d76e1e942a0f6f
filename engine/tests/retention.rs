//! Retention, around the real engine and on real files: what the settings, both snapshots and
//! readers say, and what those are told who come too late.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use millrace_engine::{
    Engine, EngineConfig, JournalError, RecoveryReport, Retention,
    archive::archive_segments,
    recover,
    redecide::redecide_within,
    retention::delete_unwanted,
    scan::{JournalScan, Start},
    trial_balance::{TrialBalanceError, trial_balance},
};
use millrace_ledger::{ApproveAll, EventSeq, Ledger, Timestamp};
use support::{
    archived,
    backups::{self, fill},
    first_seq, journal, open_accounts, segments,
};

const ALL: EventSeq = EventSeq(u64::MAX);
const NOTHING: Retention = Retention { age_max: None, bytes_max: Some(0) };

/// Segments, generations and snapshots as small as they get, and no archived segment is wanted.
fn config(directory: &Path) -> EngineConfig {
    EngineConfig { archive: true, retention: NOTHING, ..backups::config(directory) }
}

fn start(directory: &Path) -> Result<(Engine, RecoveryReport), JournalError> {
    Engine::start(&config(directory), &ApproveAll)
}

/// The first event that is there.
fn begins(directory: &Path) -> EventSeq {
    let first = archived(directory).into_iter().chain(segments(directory)).next();
    first_seq(&first.expect("a journal has a segment"))
}

fn snapshots(directory: &Path) -> Vec<PathBuf> {
    support::files(&directory.join("snapshots"), ".snapshot")
}

/// Where the older of two snapshots stands.
fn older_snapshot(directory: &Path) -> EventSeq {
    let snapshots = snapshots(directory);
    assert_eq!(snapshots.len(), 2, "two are kept");
    first_seq(&snapshots[0])
}

/// A journal of which all is deleted that nobody needs.
fn trimmed() -> tempfile::TempDir {
    trimmed_to(ALL)
}

/// A journal of which all is deleted that nobody needs, where readers need it from this event on.
fn trimmed_to(needed: EventSeq) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = start(directory.path()).expect("starts");
    engine.retain_from(needed);
    open_accounts(&engine);
    fill(&engine, 1..2_001);
    engine.stop().expect("stops");
    // What a stop cut short is done after the next snapshot.
    let (engine, _) = start(directory.path()).expect("starts");
    engine.retain_from(needed);
    let taken = engine.stats().snapshots();
    let mut number = 2_001;
    while engine.stats().snapshots() < taken + 2 || begins(directory.path()) == EventSeq::FIRST {
        fill(&engine, number..number + 100);
        number += 100;
    }
    engine.stop().expect("stops");
    directory
}

#[test]
fn limits_of_age_and_size_choose_the_oldest() {
    let whole = journal();
    archive_segments(whole.path(), ALL, || false).expect("archives");
    let files = archived(whole.path());
    assert!(files.len() >= 3, "the table needs some segments");
    let lens: Vec<_> = files.iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    let total: u64 = lens.iter().sum();
    let last_times: Vec<_> = (1..=files.len())
        .map(|number| {
            let next = files.get(number).map_or(ALL, |path| first_seq(path));
            let frames = JournalScan::open(whole.path()).unwrap().map(Result::unwrap);
            let next = if next == ALL { first_seq(&segments(whole.path())[0]) } else { next };
            frames.filter(|frame| frame.first_seq < next).last().unwrap().time
        })
        .collect();
    let day = Duration::from_secs(86_400);
    let later = |time: Timestamp, by: Duration| Timestamp(time.0 + by.as_nanos() as u64);
    let age = |age_max| Retention { age_max: Some(age_max), bytes_max: None };
    let size = |bytes_max| Retention { age_max: None, bytes_max: Some(bytes_max) };
    let now = later(last_times[1], day);
    for (name, retention, now, needed_from, expected) in [
        ("no limit", Retention::default(), Timestamp(u64::MAX), ALL, 0),
        ("as old as is allowed", age(day), later(last_times[0], day), ALL, 0),
        ("older than that", age(day), later(last_times[0], day + Duration::from_nanos(1)), ALL, 1),
        ("the second just not", age(day), now, ALL, 1),
        ("all are old", age(day), Timestamp(u64::MAX), ALL, files.len()),
        ("the clock was set back", age(day), Timestamp(0), ALL, 0),
        ("as large as is allowed", size(total), now, ALL, 0),
        ("a byte more", size(total - 1), now, ALL, 1),
        ("the first makes up for it", size(total - lens[0]), now, ALL, 1),
        ("the first does not", size(total - lens[0] - 1), now, ALL, 2),
        ("nothing is wanted", size(0), now, ALL, files.len()),
        ("either limit", Retention { bytes_max: Some(total), ..age(day) }, now, ALL, 1),
        ("readers have said nothing", size(0), now, EventSeq(0), 0),
        ("readers need all", size(0), now, EventSeq::FIRST, 0),
        ("readers need the second", size(0), now, first_seq(&files[1]), 1),
        ("before its end", size(0), now, EventSeq(first_seq(&files[2]).0 - 1), 1),
        ("readers need the third", size(0), now, first_seq(&files[2]), 2),
    ] {
        let copy = journal();
        archive_segments(copy.path(), ALL, || false).expect("archives");
        for (path, whole) in archived(copy.path()).iter().zip(&files) {
            fs::copy(whole, path).unwrap();
        }
        let deleted = delete_unwanted(copy.path(), retention, now, needed_from).expect(name);
        assert_eq!(deleted.len(), expected, "{name}");
        assert_eq!(archived(copy.path()).len(), files.len() - expected, "{name}");
    }
}

/// With nothing wanted, what is left is what a start from the older snapshot needs; and that start
/// comes to the same as one from the newer.
#[test]
fn both_snapshots_keep_what_a_start_from_them_needs() {
    let directory = trimmed();
    let directory = directory.path();
    let (begins, older) = (begins(directory), older_snapshot(directory));
    assert!(begins > EventSeq::FIRST && begins <= older.next(), "{begins} for {older}");
    let (report, state) = recover::verify_recovery(&config(directory), &ApproveAll).expect("reads");
    assert!(report.snapshot.is_some_and(|seq| seq > older));
    fs::remove_file(&snapshots(directory)[1]).unwrap();
    let (report, from_older) = recover::verify_recovery(&config(directory), &ApproveAll).unwrap();
    assert_eq!((report.snapshot, from_older), (Some(older), state));
    start(directory).expect("starts").0.stop().expect("stops");
}

/// A reader that was not heard of, or is behind, finds every event, whatever the settings want.
#[test]
fn readers_keep_what_they_need() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    let mut number = 1;
    while engine.stats().snapshots() < 4 || archived(directory.path()).is_empty() {
        fill(&engine, number..number + 100);
        number += 100;
    }
    assert_eq!(begins(directory.path()), EventSeq::FIRST, "nobody has said what is needed");
    let mut reader = engine.feed().reader(EventSeq::FIRST);
    while reader.next_seq() < EventSeq(500) {
        reader.next(Duration::ZERO).expect("reads").expect("is there");
    }
    engine.retain_from(reader.next_seq());
    while begins(directory.path()) == EventSeq::FIRST {
        fill(&engine, number..number + 100);
        number += 100;
    }
    let taken = engine.stats().snapshots();
    while engine.stats().snapshots() < taken + 3 {
        fill(&engine, number..number + 100);
        number += 100;
    }
    assert!(begins(directory.path()) <= reader.next_seq());
    let mut read = reader.next_seq();
    while let Some(batch) = reader.next(Duration::ZERO).expect("nothing is missing") {
        assert_eq!(batch.events[0].event.seq(), read);
        read = reader.next_seq();
    }
    assert_eq!(read, engine.feed().durable_seq().next());
    engine.stop().expect("stops");
}

/// Whoever needs the beginning is told what is there, and what to do; what is there can be read.
#[test]
fn who_needs_the_beginning_is_told_that_it_is_gone() {
    let directory = trimmed();
    let directory = directory.path();
    let first = begins(directory);
    let scratch = tempfile::tempdir().unwrap();
    let verified = recover::verify(directory, &mut Ledger::new(0), &mut ApproveAll);
    let early = trial_balance(directory, Some(Timestamp(1)), |_| {});
    let (engine, _) = start(directory).expect("starts");
    let sink = engine.feed().reader(EventSeq(7)).next(Duration::ZERO);
    for (who, error) in [
        ("verify", verified.expect_err("is refused")),
        ("export --from 1", JournalScan::open(directory).expect_err("is refused")),
        ("a sink that starts anew", sink.expect_err("is refused")),
    ] {
        assert!(matches!(error, JournalError::BeginningGone { .. }), "{who}: {error}");
        let error = error.to_string();
        let begins = format!("begins with event {first}, and event ");
        assert!(error.contains(&begins) && error.contains("archive_retention_days"), "{error}");
    }
    engine.stop().expect("stops");
    let early = early.expect_err("is refused");
    assert!(matches!(early, TrialBalanceError::BeginningMissing { .. }), "{early}");
    trial_balance(directory, None, |_| {}).expect("a snapshot stands in for what is gone");
    let rest = JournalScan::open_at(directory, Start::Oldest).expect("opens");
    assert_eq!(rest.map(|frame| frame.unwrap().first_seq).next(), Some(first));
    backups::back_up(directory, &scratch.path().join("backup")).expect("can be backed up");
}

/// Without a usable snapshot a start is refused, and leaves the snapshots with what they need: put
/// right what they lack, and it starts.
#[test]
fn a_start_that_is_refused_leaves_snapshots_and_runs() {
    let directory = trimmed();
    let directory = directory.path();
    let runs = directory.join("runs");
    let before = backups::tree(&runs);
    let changed: Vec<_> = snapshots(directory)
        .into_iter()
        .map(|path| {
            let whole = fs::read(&path).unwrap();
            let mut damaged = whole.clone();
            *damaged.last_mut().unwrap() ^= 1;
            fs::write(&path, damaged).unwrap();
            (path, whole)
        })
        .collect();
    let error = start(directory).map(|_| ()).expect_err("is refused");
    assert!(matches!(error, JournalError::BeginningGone { .. }), "{error}");
    assert!(error.to_string().contains("do not match its hash"), "{error}");
    assert_eq!(backups::tree(&runs), before, "what the snapshots need is there");
    for (path, whole) in changed {
        assert!(path.exists(), "not renamed");
        fs::write(path, whole).unwrap();
    }
    start(directory).expect("starts").0.stop().expect("stops");
}

/// What checking a journal and deciding it again say is wrong with it.
#[track_caller]
fn errors(directory: &Path) -> [String; 2] {
    let scratch = || tempfile::tempdir().unwrap();
    let verified = recover::verify_within(directory, scratch().path(), &mut ApproveAll).map(|_| ());
    let again = redecide_within(directory, scratch().path(), |_| {}).map(|_| ());
    [verified, again].map(|result| result.expect_err("is damaged").to_string())
}

/// A journal that ends before the snapshot that stands in for its beginning has lost its end.
#[test]
fn an_end_before_the_oldest_snapshot_is_told_as_lost() {
    let directory = trimmed_to(EventSeq(500));
    let directory = directory.path();
    let [older, newest] = &snapshots(directory)[..] else { panic!("two are kept") };
    fs::remove_file(older).unwrap();
    let knows = first_seq(newest);
    let mut frames = JournalScan::open_at(directory, Start::Oldest).unwrap().map(Result::unwrap);
    // It is not archived: the older snapshot did not know all of its segment.
    let last = frames.find(|frame| frame.last_seq() >= knows).expect("the journal has it");
    for lost in segments(directory) {
        if first_seq(&lost) > first_seq(&last.segment) {
            fs::remove_file(lost).unwrap();
        }
    }
    let segment = fs::File::options().write(true).open(&last.segment).unwrap();
    let len = segment.metadata().unwrap().len();
    segment.set_len(last.offset).unwrap();
    segment.set_len(len).unwrap();
    let ends = EventSeq(last.first_seq.0 - 1);
    for error in errors(directory) {
        let told = format!("the journal ends with event {ends}, but the snapshot");
        assert!(error.starts_with(&told), "{error}");
    }
}

/// What is left can be checked, and decided again: from the oldest snapshot on, and frame by frame
/// before that. It comes to what a start comes to.
#[test]
fn what_is_left_is_verified_from_the_oldest_snapshot_on() {
    let directory = trimmed_to(EventSeq(500));
    let directory = directory.path();
    let (begins, older) = (begins(directory), older_snapshot(directory));
    assert!(begins < older, "there are events that the snapshot knows");
    let (_, state) = recover::verify_recovery(&config(directory), &ApproveAll).expect("reads");
    let before = backups::tree(directory);

    let scratch = tempfile::tempdir().unwrap();
    let verified = recover::verify_within(directory, scratch.path(), &mut ApproveAll);
    let (report, ledger) = verified.expect("is whole");
    assert_eq!((report.first_seq, report.snapshot), (begins, Some(older)));
    assert_eq!(ledger.state_hash(), state);

    let scratch = tempfile::tempdir().unwrap();
    let again = redecide_within(directory, scratch.path(), |_| {}).expect("is whole");
    assert_eq!(again.report, report, "the same was read");
    assert_eq!((again.differences, again.ledger.state_hash()), (Vec::new(), state));
    assert_eq!(again.redecided, again.report.last_seq.0 - older.0);
    assert!(backups::tree(directory) == before, "nothing was changed");

    // Every frame that is there is read, whether the snapshot knows it or not.
    let newest = segments(directory).pop().unwrap();
    let frames = support::frames(&newest);
    for (offset, _) in &frames[..frames.len() - 1] {
        support::with_bytes(&newest, offset + 140, &[0xff; 4], || {
            for error in errors(directory) {
                assert!(error.contains(&format!("at offset {offset}")), "{error}");
            }
        });
    }
    let archived = archived(directory);
    assert!(!archived.is_empty(), "some segments are before the snapshot");
    for path in archived {
        support::with_bytes(&path, 200, &[0xff; 4], || {
            for error in errors(directory) {
                assert!(error.contains(path.to_str().unwrap()), "{error}");
            }
        });
    }

    // Without a snapshot, nobody can say what came before.
    for path in snapshots(directory) {
        fs::write(path, b"nothing").unwrap();
    }
    let scratch = tempfile::tempdir().unwrap();
    let refused = recover::verify_within(directory, scratch.path(), &mut ApproveAll).map(|_| ());
    assert!(matches!(refused, Err(JournalError::BeginningGone { .. })), "{refused:?}");
}
