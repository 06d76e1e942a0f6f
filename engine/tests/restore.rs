//! A journal that is brought back to any of its events or times, and goes on from there.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{fs, path::Path};

use millrace_engine::{
    Engine, archive::archive_segments, backup::Until, recover, scan::JournalScan,
};
use millrace_ledger::{ApproveAll, EventSeq, Status, Timestamp};
use support::{
    backups::{Replay, TAKEN, back_up, bring_back, config, context, fill, journal, start},
    open_accounts,
};

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
        check_contents(&place, seq, replay.times[seq.0 as usize]);
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

/// Contexts are those of the payments that they were sent with, and the last frame has its time.
fn check_contents(journal: &Path, last: EventSeq, last_time: Timestamp) {
    let (mut seen, mut time) = (0, Timestamp(0));
    for frame in JournalScan::open(journal).expect("opens") {
        let frame = frame.expect("is whole");
        time = frame.time;
        for event in frame.events().expect("decodes") {
            seen += 1;
            // Three accounts are first.
            let number = event.event.seq().0.saturating_sub(3);
            let expected = if number == 0 { String::new() } else { context(number.into()) };
            assert_eq!(event.context, expected.as_bytes(), "event {}", event.event.seq());
        }
    }
    assert_eq!((seen, time), (last.0, last_time));
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

/// What a restore leaves that is killed while it reads what it has written is no obstacle to the next one.
#[test]
fn a_restore_is_made_after_one_was_killed_while_it_was_verified() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let target = scratch.path().join("backup");
    back_up(journal.path(), &target).expect("backs up");
    let left = scratch.path().join("journal.restoring");
    fs::create_dir_all(left.join("scratch")).unwrap();
    fs::create_dir_all(left.join("runs")).unwrap();
    fs::write(left.join("runs/000000000001-000000000001.run"), "half of it").unwrap();
    let place = scratch.path().join("journal");
    bring_back(&target, &place, Some(Until::Event(EventSeq(5)))).expect("restores");
    assert!(!place.join("scratch").exists() && !left.exists());
}
