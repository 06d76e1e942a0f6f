//! Archiving, on real files: what readers see stays the same, damage is named, and a crash at any
//! step loses nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use millrace_engine::archive::{ArchiveReport, archive_segments, delete_archived};
use millrace_ledger::EventSeq;
use support::{
    EVENTS, archived, feed_from, files, first_seq, journal, pay, refusal, segments, start,
    state_hash,
};

const ALL: EventSeq = EventSeq(u64::MAX);

fn archive_all(directory: &Path) -> ArchiveReport {
    archive_segments(directory, ALL, || false).expect("archives")
}

/// Recovery, feed and state are what they were, from any place, when all but the newest segment is
/// archived; and the journal goes on.
#[test]
fn an_archived_journal_reads_as_it_did() {
    let directory = journal();
    let directory = directory.path();
    let (state, count) = (state_hash(directory), segments(directory).len());
    let (engine, before) = start(directory).expect("starts");
    let events = feed_from(&engine, 1);
    assert_eq!(events.len() as u64, EVENTS);
    engine.stop().expect("stops");

    let report = archive_all(directory);
    assert_eq!((report.archived.len(), report.too_large.len()), (count - 1, 0));
    assert_eq!((segments(directory).len(), archived(directory).len()), (1, count - 1));
    for archived in &report.archived {
        assert!(archived.archived_bytes < archived.segment_bytes, "{archived:?}");
        assert_eq!(fs::metadata(&archived.path).unwrap().len(), archived.archived_bytes);
    }
    assert_eq!(state_hash(directory), state);
    let (engine, after) = start(directory).expect("starts");
    assert_eq!(
        (after.frames, after.last_seq, after.head),
        (before.frames, before.last_seq, before.head)
    );
    for from in 1..=EVENTS {
        assert_eq!(feed_from(&engine, from), events[from as usize - 1..], "from {from}");
    }
    pay(&engine, 41);
    let mut reader = engine.feed().reader(EventSeq(EVENTS + 1));
    let batch = reader.next(Duration::ZERO).expect("reads").expect("is there");
    assert_eq!(batch.events.len(), 1);
    engine.stop().expect("stops");
    assert_eq!(archive_all(directory), ArchiveReport::default(), "nothing is left to do");
}

/// A reader that is in the middle of the journal goes on while segments move under it.
#[test]
fn a_reader_does_not_notice_that_segments_move() {
    let directory = journal();
    let (engine, _) = start(directory.path()).expect("starts");
    let mut reader = engine.feed().reader(EventSeq(1));
    let mut read = 0;
    while let Some(batch) = reader.next(Duration::ZERO).expect("reads") {
        read += batch.events.len() as u64;
        archive_segments(directory.path(), EventSeq(read + 9), || false).expect("archives");
    }
    assert_eq!(read, EVENTS);
    assert!(!archived(directory.path()).is_empty());
    engine.stop().expect("stops");
}

/// `zstd -d` restores what recovery needs: the segment without the zeros at its end.
#[test]
fn an_archived_segment_is_a_zstd_file_of_its_bytes() {
    let directory = journal();
    let first = segments(directory.path())[0].clone();
    let original = fs::read(&first).unwrap();
    archive_all(directory.path());
    let compressed = fs::File::open(&archived(directory.path())[0]).unwrap();
    let restored = zstd::stream::decode_all(compressed).expect("is zstd");
    assert_eq!(restored, original[..restored.len()]);
    assert!(original[restored.len()..].iter().all(|byte| *byte == 0), "only zeros are left out");

    fs::write(&first, &restored).unwrap();
    fs::remove_file(&archived(directory.path())[0]).unwrap();
    start(directory.path()).expect("starts").0.stop().expect("stops");
}

#[test]
fn only_sealed_segments_before_the_limit_are_archived() {
    let whole = journal();
    let firsts: Vec<_> = segments(whole.path()).iter().map(|path| first_seq(path)).collect();
    for (keep_from, expected) in [
        (EventSeq(0), 0),
        (EventSeq(1), 0),
        (EventSeq(firsts[1].0 - 1), 0),
        (firsts[1], 1),
        (EventSeq(firsts[1].0 + 1), 1),
        (EventSeq(firsts[2].0 - 1), 1),
        (firsts[2], 2),
        (ALL, firsts.len() - 1),
    ] {
        let directory = journal();
        let report = archive_segments(directory.path(), keep_from, || false).expect("archives");
        assert_eq!(report.archived.len(), expected, "keep from {keep_from}");
        for (archived, first) in report.archived.iter().zip(&firsts) {
            assert_eq!(archived.first_seq, *first);
            assert!(archived.last_seq < keep_from);
        }
    }
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(archive_all(empty.path()), ArchiveReport::default());
}

/// The process dies at a step of the table in `archive.rs`; the next run makes it good.
#[test]
fn a_crash_at_any_step_leaves_the_segment_or_both() {
    let directory = journal();
    let directory = directory.path();
    let state = state_hash(directory);
    let first = segments(directory)[0].clone();
    let original = fs::read(&first).unwrap();

    // While it was compressed: half of a file under a temporary name.
    fs::create_dir(directory.join("archive")).unwrap();
    let unfinished = directory.join("archive/00000000000000000001.unfinished");
    fs::write(&unfinished, "half").unwrap();
    assert_eq!(state_hash(directory), state);
    archive_segments(directory, EventSeq(1), || false).expect("archives nothing");
    assert!(!unfinished.exists(), "removed by the next run");

    // Before the segment was removed: both are there, and the archived one may be anything.
    archive_all(directory);
    let archived_first = archived(directory)[0].clone();
    fs::write(&first, &original).unwrap();
    for content in [fs::read(&archived_first).unwrap(), b"broken".to_vec(), Vec::new()] {
        fs::write(&first, &original).unwrap();
        fs::write(&archived_first, content).unwrap();
        assert_eq!(state_hash(directory), state, "the segment is preferred");
        assert_eq!(archive_all(directory).archived.len(), 1, "archived again");
        assert!(!first.exists());
        assert_eq!(state_hash(directory), state);
    }
}

#[test]
fn a_run_that_is_stopped_leaves_nothing_half_done() {
    let directory = journal();
    let state = state_hash(directory.path());
    for stop_after in 0..8 {
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > stop_after
        };
        archive_segments(directory.path(), ALL, stop).expect("stops");
        let unfinished = files(&directory.path().join("archive"), ".unfinished");
        assert_eq!(unfinished, Vec::<PathBuf>::new(), "stopped after {stop_after}");
        assert_eq!(state_hash(directory.path()), state);
    }
    assert!(!archived(directory.path()).is_empty());
}

/// Any byte of an archived file that changes, is lost or is one too many, makes the journal be
/// refused, with the file's name.
#[test]
fn damage_to_an_archived_file_is_named() {
    let directory = journal();
    let directory = directory.path();
    archive_all(directory);
    let state = state_hash(directory);
    let file = &archived(directory)[1];
    let whole = fs::read(file).unwrap();
    let len = whole.len();
    let mut damages: Vec<(String, Vec<u8>)> = Vec::new();
    for at in (0..len).step_by(3).chain([len - 1, len - 4, 16, 79, 127, 128, 132]) {
        let mut changed = whole.clone();
        changed[at] ^= 0x20;
        damages.push((format!("byte {at} changed"), changed));
    }
    for kept in [0, 1, 127, 128, 129, len / 2, len - 4, len - 1] {
        damages.push((format!("{kept} bytes left"), whole[..kept].to_vec()));
    }
    damages.push(("a byte too many".to_owned(), [&whole[..], &[0]].concat()));
    for (what, content) in damages {
        fs::write(file, content).unwrap();
        let error = refusal(directory);
        assert!(error.contains(file.to_str().unwrap()), "{what}: {error}");
        let told = error.contains("is damaged") || error.contains("journal format version");
        assert!(told, "{what}: {error}");
    }
    fs::write(file, &whole).unwrap();
    assert_eq!(state_hash(directory), state);
}

/// A header that claims terabytes is refused before memory is asked for, and content that goes on
/// longer than its header says is not read to its end.
#[test]
fn a_decompression_bomb_is_refused() {
    let directory = journal();
    archive_all(directory.path());
    let file = &archived(directory.path())[0];
    let whole = fs::read(file).unwrap();
    let with_header = |at: usize, number: u64, content: &[u8]| {
        let mut header = whole[..128].to_vec();
        header[at..at + 8].copy_from_slice(&number.to_le_bytes());
        header[80..88].copy_from_slice(&(content.len() as u64).to_le_bytes());
        header[120..124].copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
        let checksum = crc32c::crc32c(&header[..124]);
        header[124..128].copy_from_slice(&checksum.to_le_bytes());
        [&header[..], content].concat()
    };
    fs::write(file, with_header(72, 1 << 50, &whole[128..])).unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("more than a gibibyte"), "{error}");

    let zeros = zstd::stream::encode_all(std::io::repeat(0).take_mib(64), 3).unwrap();
    fs::write(file, with_header(64, 4_096, &zeros)).unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("is not what its header says"), "{error}");
}

trait TakeMib: std::io::Read + Sized {
    fn take_mib(self, mib: u64) -> std::io::Take<Self> {
        self.take(mib << 20)
    }
}

impl TakeMib for std::io::Repeat {}

#[test]
fn a_missing_segment_is_named() {
    let directory = journal();
    let directory = directory.path();
    archive_all(directory);
    let files = archived(directory);
    let aside = directory.join("aside");

    fs::rename(&files[1], &aside).unwrap();
    let error = refusal(directory);
    let expected = format!("starts with event {}", first_seq(&files[1]));
    assert!(
        error.contains("a segment before it is missing") && error.contains(&expected),
        "{error}"
    );
    fs::rename(&aside, &files[1]).unwrap();

    // The newest is never archived, so an archived one at the end has lost its successor.
    let newest = &segments(directory)[0];
    fs::rename(newest, &aside).unwrap();
    let error = refusal(directory);
    let expected = format!("starts with event {}", first_seq(newest));
    assert!(error.contains("another segment follows") && error.contains(&expected), "{error}");
    fs::rename(&aside, newest).unwrap();

    // An archived file under another's name.
    fs::copy(&files[0], &aside).unwrap();
    fs::copy(&files[1], &files[0]).unwrap();
    let error = refusal(directory);
    assert!(error.contains("its name and its header tell different"), "{error}");
    fs::rename(&aside, &files[0]).unwrap();
    start(directory).expect("all is in place again").0.stop().expect("stops");
}

/// A damaged segment stays where it is: archiving it would only hide what happened.
#[test]
fn a_damaged_segment_is_not_archived() {
    let directory = journal();
    let second = segments(directory.path())[1].clone();
    let whole = fs::read(&second).unwrap();
    // A segment is archived when the next one says that it ends there, so its header must be right.
    for (at, archived_before) in [(20, 0), (140, 1), (300, 1), (whole.len() - 1, 1)] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&second, &changed).unwrap();
        let error = archive_segments(directory.path(), ALL, || false).expect_err("is refused");
        let error = error.to_string();
        assert!(
            error.contains("is damaged") && error.contains(second.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(fs::read(&second).unwrap(), changed, "byte {at}: it was left alone");
        assert_eq!(archived(directory.path()).len(), archived_before, "byte {at}");
    }
}

#[test]
fn archived_segments_are_deleted_from_the_oldest_on() {
    let directory = journal();
    let directory = directory.path();
    let firsts: Vec<_> = segments(directory).iter().map(|path| first_seq(path)).collect();
    assert_eq!(delete_archived(directory, ALL).unwrap(), Vec::<PathBuf>::new(), "none is archived");
    archive_all(directory);
    assert_eq!(delete_archived(directory, EventSeq(firsts[1].0 - 1)).unwrap().len(), 0);
    let deleted = delete_archived(directory, firsts[2]).unwrap();
    assert_eq!(deleted.iter().map(|path| first_seq(path)).collect::<Vec<_>>(), firsts[..2]);
    assert_eq!(first_seq(&archived(directory)[0]), firsts[2]);
    assert_eq!(delete_archived(directory, ALL).unwrap().len(), firsts.len() - 3);
    assert_eq!((archived(directory).len(), segments(directory).len()), (0, 1));
    let error = refusal(directory);
    assert!(error.contains("event 1 is needed"), "{error}");
}
