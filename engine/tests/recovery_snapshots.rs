//! The rows of the recovery table about snapshots that are whole and all the same can't be used: of
//! another history, of a later version, of another risk policy, never finished, or too many.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use millrace_engine::{
    Command, Engine, EngineConfig, RecoveryReport, backup::Until, recover,
    trial_balance::trial_balance,
};
use millrace_ledger::{ApproveAll, EventSeq, Gate, GateActError, GateStateError, Judged, Verdict};
use support::{
    ask,
    backups::{
        back_up, bring_back, config, context, fill, fill_over_two_snapshots, journal, payment,
        start,
    },
    files, first_seq, open_accounts, state_hash,
};
use tempfile::TempDir;

fn recovered(directory: &Path) -> (RecoveryReport, [u8; 32]) {
    recover::verify_recovery(&config(directory), &ApproveAll).expect("recovers")
}

fn copy_all(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A journal that was brought back to an earlier event has another future, under the same id. A
/// snapshot of the first future must not be taken for one of the second: at its place stands another
/// frame, whether or not it ends with the same event, and whether or not a segment ends there.
#[test]
fn a_snapshot_at_whose_place_another_frame_stands_is_refused() {
    let (first, scratch) = (journal(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    back_up(first.path(), &target).expect("backs up");
    // Three accounts and ten payments a frame: inside a frame, so that none ends where one of the
    // first future did, and at the end of one, so that all do.
    for (until, segment_bytes) in [(300, 16_384), (303, 16_384), (303, 4_096)] {
        let place = scratch.path().join(format!("until-{until}-{segment_bytes}"));
        bring_back(&target, &place, Some(Until::Event(EventSeq(until)))).expect("restores");
        let limits = EngineConfig { segment_bytes, ..config(&place) };
        let (engine, _) = Engine::start(&limits, &ApproveAll).expect("starts");
        fill(&engine, 5_000..6_000);
        engine.stop().expect("stops");
        let whole = state_hash(&place);
        assert_eq!(recovered(&place).1, whole);

        for shelf in ["snapshots", "runs"] {
            copy_all(&first.path().join(shelf), &place.join(shelf));
        }
        let newest = snapshots(&place).pop().unwrap();
        let after = first_seq(&newest).next();
        let segment_begins = support::segments(&place).iter().any(|it| first_seq(it) == after);
        assert!(segment_begins || segment_bytes > 4_096, "a frame fills a small segment");
        let segments = support::segments(&place).into_iter().map(|it| fs::read(it).unwrap());
        let before: Vec<_> = segments.collect();
        let refused = Engine::start(&config(&place), &ApproveAll).map(|_| ());
        let error = refused.expect_err("another history").to_string();
        assert!(error.contains("the journal has another frame at its place"), "{error}");
        assert!(error.contains(newest.file_name().unwrap().to_str().unwrap()), "{error}");
        let verified = recover::verify_recovery(&config(&place), &ApproveAll);
        assert_eq!(verified.expect_err("the same").to_string(), error);
        let summed = trial_balance(&place, None, |_| {}).expect_err("sums of nothing").to_string();
        assert!(summed.contains("the journal has another frame at its place"), "{summed}");
        let after: Vec<_> =
            support::segments(&place).into_iter().map(|it| fs::read(it).unwrap()).collect();
        assert!(before == after && newest.exists(), "nothing was changed");

        // What the error asks for helps.
        fs::rename(place.join("snapshots"), place.join("aside")).unwrap();
        start(&place).stop().expect("stops");
        assert_eq!(recovered(&place).1, whole, "until {until}, {segment_bytes}");
    }
}

#[test]
fn a_snapshot_of_a_later_version_is_passed_over_and_put_aside() {
    let directory = journal();
    let whole = state_hash(directory.path());
    let newest = files(&directory.path().join("snapshots"), ".snapshot").pop().unwrap();
    let mut header = fs::read(&newest).unwrap()[..96].to_vec();
    header[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..88]).to_le_bytes();
    header[88..92].copy_from_slice(&checksum);
    let file = fs::File::options().write(true).open(&newest).unwrap();
    file.write_all_at(&header, 0).unwrap();

    let (report, hash) = recovered(directory.path());
    let [said] = &report.snapshots_passed_over[..] else { panic!("{report:?}") };
    assert!(said.contains("version 2, and this millrace reads up to 1"), "{said}");
    assert!(report.snapshot.is_some(), "the one before it serves: {report:?}");
    assert_eq!(hash, whole);
    let (engine, report) = Engine::start(&config(directory.path()), &ApproveAll).expect("starts");
    assert_eq!(report.snapshots_passed_over.len(), 1, "{report:?}");
    engine.stop().expect("stops");
    assert!(!newest.exists() && newest.with_extension("unusable").exists());
}

/// The newest segment says of which journal snapshots have to be. One that came here by mistake must not
/// cost those that are right.
#[test]
fn a_foreign_segment_at_the_end_costs_no_snapshot_and_no_run() {
    let (directory, other) = (journal(), journal());
    let directory = directory.path();
    let whole = state_hash(directory);
    let newest = support::segments(directory).pop().unwrap();
    let foreign = support::segments(other.path()).pop().unwrap();
    let behind = directory.join("00000000000000099999.segment");
    let aside = directory.join("aside");
    for (place, replaces) in [(&newest, true), (&behind, false)] {
        if replaces {
            fs::rename(&newest, &aside).unwrap();
        }
        fs::copy(&foreign, place).unwrap();
        let tree = || {
            let mut tree = support::backups::tree(directory);
            tree.retain(|path, _| !path.ends_with("next.unfinished"));
            tree
        };
        let before = tree();
        let refused = Engine::start(&config(directory), &ApproveAll).map(|_| ());
        let error = refused.expect_err("is refused").to_string();
        assert!(error.contains("belongs to another journal"), "{error}");
        assert!(tree() == before, "nothing was changed");
        fs::remove_file(place).unwrap();
        if replaces {
            fs::rename(&aside, &newest).unwrap();
        }
    }
    let (engine, report) = Engine::start(&config(directory), &ApproveAll).expect("starts");
    assert!(report.snapshot.is_some() && report.snapshots_passed_over.is_empty(), "{report:?}");
    engine.stop().expect("stops");
    assert_eq!(state_hash(directory), whole);
}

/// A gate that remembers under which policy it does so.
#[derive(Clone, Debug)]
struct Policy(u8);

impl Gate for Policy {
    fn judge(&mut self, _: Judged<'_>) -> Verdict {
        Verdict::APPROVE
    }

    fn observe(&mut self, _: Judged<'_>) {}
    fn begin_group(&mut self) {}
    fn end_group(&mut self, _: bool) {}

    fn snapshot_slice(&mut self, _: usize, piece: &mut Vec<u8>) -> bool {
        piece.push(self.0);
        false
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), GateStateError> {
        match piece == [self.0] {
            true => Ok(()),
            false => Err(GateStateError("it was taken under another policy")),
        }
    }
}

#[test]
fn snapshots_of_another_risk_policy_are_passed_over_and_the_whole_journal_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let limits = config(directory.path());
    let (engine, _) = Engine::start(&limits, &Policy(1)).expect("starts");
    open_accounts(&engine);
    fill_over_two_snapshots(&engine);
    engine.stop().expect("stops");
    let whole = state_hash(directory.path());
    let (report, hash) = recover::verify_recovery(&limits, &Policy(1)).expect("recovers");
    assert!(report.snapshot.is_some() && report.snapshots_passed_over.is_empty(), "{report:?}");
    assert_eq!(hash, whole);

    let (engine, report) = Engine::start(&limits, &Policy(2)).expect("starts from the journal");
    assert_eq!((report.snapshot, report.snapshots_passed_over.len()), (None, 2), "{report:?}");
    let of_policy = |said: &String| said.contains("it was taken under another policy");
    assert!(report.snapshots_passed_over.iter().all(of_policy), "{report:?}");
    assert_eq!(report.last_seq, EventSeq(1_003), "every event is read");
    let (payments, contexts) = (vec![payment(7)], vec![context(7).into()]);
    let replies = ask(&engine, |reply| Command::Payments { payments, contexts, reply });
    assert!(replies[0].replayed, "{replies:?}");
    engine.stop().expect("stops");
    assert_eq!(files(&directory.path().join("snapshots"), ".unusable").len(), 2);
}

/// The second snapshot was given up in silence when its runs could not be told: its file kept its name
/// for ever, while the runs that it needs went, and others might come under their names.
#[test]
fn a_second_snapshot_that_is_given_up_is_put_aside_like_the_newest() {
    let (damaged, foreign) = ("damaged", "of another journal");
    for how in [damaged, foreign] {
        let directory = journal();
        let whole = state_hash(directory.path());
        let snapshots = directory.path().join("snapshots");
        let [second, newest] = &files(&snapshots, ".snapshot")[..] else { panic!("two are kept") };
        let unusable = second.with_extension("unusable");
        let bytes = match how == damaged {
            true => [&[0; 96], &fs::read(second).unwrap()[96..]].concat(),
            false => {
                let other = journal();
                fs::read(&files(&other.path().join("snapshots"), ".snapshot")[0]).unwrap()
            }
        };
        fs::write(second, bytes).unwrap();
        let (report, hash) = recovered(directory.path());
        assert_eq!((report.snapshots_passed_over.len(), hash), (1, whole), "{how}: {report:?}");
        let (engine, report) = Engine::start(&config(directory.path()), &ApproveAll).unwrap();
        assert!(report.snapshot.is_some(), "{how}: the newest serves");
        let [said] = &report.snapshots_passed_over[..] else { panic!("{how}: {report:?}") };
        assert!(said.contains(second.to_str().unwrap()), "{how}: {said}");
        let left = files(&snapshots, ".snapshot");
        assert!(left.iter().eq([newest]), "{how}: {left:?}");
        assert!(unusable.exists(), "{how}");
        let taken = engine.stats().snapshots();
        let mut number = 10_000;
        while engine.stats().snapshots() < taken + 2 {
            fill(&engine, number..number + 100);
            number += 100;
        }
        engine.stop().expect("stops");
        assert_eq!(files(&snapshots, ".snapshot").len(), 2, "{how}: there are two again");
    }
}

/// A process ended between taking a snapshot and removing the third.
#[test]
fn a_third_snapshot_is_removed_by_the_next_start() {
    let directory = journal();
    let snapshots = directory.path().join("snapshots");
    let two = files(&snapshots, ".snapshot");
    let third = snapshots.join("00000000000000000002.snapshot");
    fs::copy(&two[0], &third).unwrap();
    recovered(directory.path());
    assert!(third.exists(), "looking changes nothing");
    let (engine, report) = Engine::start(&config(directory.path()), &ApproveAll).expect("starts");
    assert!(report.snapshots_passed_over.is_empty(), "{report:?}");
    assert!(!third.exists() && two.iter().all(|path| path.exists()));
    engine.stop().expect("stops");
}

#[test]
fn an_unfinished_snapshot_is_removed() {
    let directory = journal();
    let unfinished = directory.path().join("snapshots/00000000000000009999.unfinished");
    let newest = files(&directory.path().join("snapshots"), ".snapshot").pop().unwrap();
    fs::copy(&newest, &unfinished).unwrap();
    let (engine, report) = Engine::start(&config(directory.path()), &ApproveAll).expect("starts");
    assert!(report.snapshot.is_some() && report.snapshots_passed_over.is_empty(), "{report:?}");
    engine.stop().expect("stops");
    assert!(!unfinished.exists() && newest.exists());
}

/// What `millrace journal verify` looks at, whole and as a start would.
fn is_right(directory: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let (report, _) = recover::verify_within(directory, scratch.path(), &mut ApproveAll).unwrap();
    assert!(report.snapshots_passed_over.is_empty(), "{report:?}");
    let (report, hash) = recovered(directory);
    assert!(report.snapshot.is_some() && report.snapshots_passed_over.is_empty(), "{report:?}");
    assert_eq!(hash, state_hash(directory));
}

fn snapshots(directory: &Path) -> Vec<PathBuf> {
    files(&directory.join("snapshots"), ".snapshot")
}

/// Pays until there are two snapshots more.
fn take_two_more(directory: &Path) {
    let engine = start(directory);
    for (taken, from) in [(1, 5_000), (2, 6_000)] {
        fill(&engine, from..from + 500);
        while engine.stats().snapshots() < taken {
            thread::sleep(Duration::from_millis(2));
        }
    }
    engine.stop().expect("stops");
}

/// A process is killed when a snapshot has its name and the one that it replaces was not removed yet.
/// Before, nobody ever removed it, the next merges took its runs, and from then on every check of the
/// journal said that a snapshot can't be used.
#[test]
fn three_snapshots_at_a_start_leave_two() {
    let directory = journal();
    let directory = directory.path();
    let aside = tempfile::tempdir().unwrap();
    for shelf in ["snapshots", "runs"] {
        fs::create_dir(aside.path().join(shelf)).unwrap();
        copy_all(&directory.join(shelf), &aside.path().join(shelf));
    }
    let oldest = snapshots(directory).remove(0);
    take_two_more(directory);
    let newest = snapshots(directory);
    assert!(newest.len() == 2 && !newest.contains(&oldest), "{newest:?}");
    for shelf in ["snapshots", "runs"] {
        for path in files(&aside.path().join(shelf), "") {
            let name = path.file_name().unwrap();
            if shelf == "runs" || name == oldest.file_name().unwrap() {
                fs::copy(&path, directory.join(shelf).join(name)).unwrap();
            }
        }
    }
    assert_eq!(snapshots(directory).len(), 3);
    is_right(directory);
    let runs_before = files(&directory.join("runs"), ".run").len();
    start(directory).stop().expect("stops");
    assert_eq!(snapshots(directory), newest);
    assert!(files(&directory.join("snapshots"), ".unusable").is_empty(), "it was good");
    assert!(files(&directory.join("runs"), ".run").len() < runs_before, "what only it named went");
    is_right(directory);
}

/// As before, but what the oldest snapshot names is gone, as an earlier version of this program left it.
#[test]
fn an_older_snapshot_without_its_runs_is_put_aside() {
    let directory = journal();
    let directory = directory.path();
    let oldest = snapshots(directory).remove(0);
    let whole = fs::read(&oldest).unwrap();
    take_two_more(directory);
    fs::remove_file(&snapshots(directory)[0]).unwrap();
    fs::write(&oldest, whole).unwrap();
    let newest = snapshots(directory).remove(1);

    let (engine, report) = Engine::start(&config(directory), &ApproveAll).expect("starts");
    let [said] = &report.snapshots_passed_over[..] else { panic!("{report:?}") };
    assert!(said.contains("can't open") && said.contains(".run"), "{said}");
    assert!(report.snapshot.is_some(), "{report:?}");
    engine.stop().expect("stops");
    assert_eq!(snapshots(directory), [newest]);
    assert!(oldest.with_extension("unusable").exists());
    is_right(directory);
}

/// A journal with two snapshots, after a start that failed, but not before it had merged runs that they name.
/// Runs are merged beside the reading, so it may take more than one.
fn after_a_start_that_merged_and_failed(
    fail: impl Fn(&Path, &EngineConfig),
) -> (TempDir, EngineConfig) {
    for _ in 0..100 {
        let directory = journal();
        let limits = EngineConfig { snapshot_bytes: 0, ..config(directory.path()) };
        let (engine, _) = Engine::start(&limits, &ApproveAll).expect("starts");
        fill(&engine, 5_000..5_400);
        engine.stop().expect("stops");
        let runs = || files(&directory.path().join("runs"), ".run");
        // A start that seals nothing leaves the runs that the snapshots name.
        let large = EngineConfig { generation_payments_max: 1 << 19, ..limits.clone() };
        Engine::start(&large, &ApproveAll).expect("starts").0.stop().expect("stops");
        let before = runs();
        fail(directory.path(), &limits);
        let is_merged = |run: &PathBuf| {
            let name = run.file_stem().unwrap().to_str().unwrap();
            name[..12] != name[13..]
        };
        if runs().into_iter().filter(|run| !before.contains(run)).any(|run| is_merged(&run)) {
            return (directory, limits);
        }
    }
    panic!("no start merged before it failed");
}

fn starts_with_its_snapshot(limits: &EngineConfig) {
    let (engine, report) = Engine::start(limits, &ApproveAll).expect("starts");
    assert!(report.snapshot.is_some() && report.snapshots_passed_over.is_empty(), "{report:?}");
    engine.stop().expect("stops");
}

/// A start that fails half-way had merged runs that the snapshot names, and deleted them on the way out:
/// the next start had to read the whole journal, if that was there.
#[test]
fn a_start_that_fails_leaves_the_runs_of_its_snapshots() {
    let (_directory, limits) = after_a_start_that_merged_and_failed(|directory, limits| {
        let (last, frames) = support::segments(directory)
            .into_iter()
            .rev()
            .map(|segment| (segment.clone(), support::frames(&segment)))
            .find(|(_, frames)| frames.len() > 1)
            .unwrap();
        let (at, _) = frames[frames.len() - 2];
        let error = support::with_bytes(&last, at + 200, &[0xff; 8], || {
            Engine::start(limits, &ApproveAll).map(|_| ()).expect_err("damaged").to_string()
        });
        assert!(error.contains("the journal is damaged"), "{error}");
    });
    starts_with_its_snapshot(&limits);
}

/// A gate that can't go on once the journal is read: its policy's files are not there.
#[derive(Clone, Debug)]
struct Unready;

impl Gate for Unready {
    fn judge(&mut self, _: Judged<'_>) -> Verdict {
        Verdict::APPROVE
    }

    fn observe(&mut self, _: Judged<'_>) {}

    fn begin_group(&mut self) {}

    fn end_group(&mut self, _: bool) {}

    fn recovered(&mut self) -> Result<(), GateActError> {
        Err(GateActError("the risk policy in force can't be used".to_owned()))
    }
}

/// The same where what fails comes after reading.
#[test]
fn a_start_that_fails_after_reading_leaves_the_runs_of_its_snapshots() {
    let (_directory, limits) = after_a_start_that_merged_and_failed(|_, limits| {
        let error = Engine::start(limits, &Unready).map(|_| ()).expect_err("no policy").to_string();
        assert!(error.contains("can't be used"), "{error}");
    });
    starts_with_its_snapshot(&limits);
}
