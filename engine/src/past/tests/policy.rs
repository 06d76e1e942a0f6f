//! Which runs are merged when, and what becomes of their files.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use millrace_ledger::History as _;

use super::{
    super::{RUNS_CACHED, Run, pace::Pace},
    *,
};
use crate::page_cache::{
    self,
    tests::{can_release, is_cached},
};

/// Ids from `from` on, one apart, or in no order.
fn sealed(runs: &Runs, number: u64, rows: u64, in_time: bool) {
    let id = |row: u64| match in_time {
        true => u128::from(number * 1000 + row),
        false => scrambled(number * 1000 + row),
    };
    let payments: Vec<_> = (0..rows).map(|row| payment(id(row), number)).collect();
    seal(runs, number, &payments);
}

/// Rows of every run once no merge is due any more.
fn rows_after(sizes: &[u64], in_time: bool) -> Vec<u64> {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    for (number, rows) in (1..).zip(sizes) {
        sealed(&runs, number, *rows, in_time);
    }
    while runs.merge_if_due(&|| false).expect("merged") {}
    runs.list().iter().map(|run| run.rows()).collect()
}

#[test]
fn runs_are_merged_when_there_are_many_of_a_kind() {
    // Small: fewer than 4 rows. Classes: up to 63 rows, up to 255, up to 1,023.
    let table: &[(&str, bool, &[u64], &[u64])] = &[
        ("none", false, &[], &[]),
        ("three of a class", false, &[20, 20, 20], &[20, 20, 20]),
        ("four of a class", false, &[20, 20, 20, 20], &[80]),
        ("four of a class behind a larger one", false, &[90, 20, 30, 20, 20], &[90, 90]),
        ("a smaller one among them goes along", false, &[20, 20, 5, 20, 20], &[85]),
        ("four of the next class", false, &[80, 80, 80, 80], &[320]),
        ("newer ones of a lower class go along", false, &[80, 80, 80, 80, 20], &[340]),
        ("one after the other", false, &[20; 16], &[320]),
        ("four in order of time", true, &[20, 20, 20, 20], &[20, 20, 20, 20]),
        ("as many as there may be in order of time", true, &[20; 255], &[20; 255]),
        ("one more", true, &[20; 256], &[5_120]),
        ("four small ones in order of time", true, &[2, 3, 2, 0], &[7]),
        ("four small ones before a larger one", true, &[2, 3, 2, 2, 20], &[9, 20]),
        ("small ones apart", true, &[2, 3, 20, 2, 2], &[2, 3, 20, 2, 2]),
        ("runs without rows", true, &[0; 4], &[0]),
    ];
    for (what, in_time, sizes, expected) in table {
        assert_eq!(&rows_after(sizes, *in_time), expected, "{what}");
    }
}

/// A merge of runs in order keeps pace with payments, until runs come that lie among each other.
#[test]
fn a_merge_hurries_when_look_ups_wait_for_the_next_one() {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    (1..4).for_each(|number| sealed(&runs, number, 20, true));
    let pace = Pace::of(Some(60), 3);
    assert_eq!(runs.generation_for(&pace), 3);
    sealed(&runs, 4, 20, true);
    assert_eq!(runs.generation_for(&pace), 4);
    // Twice the same ids.
    let ids: Vec<_> = (0..20).map(|row| payment(5_000 + row, 5)).collect();
    seal(&runs, 5, &ids);
    assert_eq!(runs.generation_for(&pace), 5);
    seal(&runs, 6, &ids);
    assert_eq!(runs.generation_for(&pace), u64::MAX);
}

#[test]
fn a_stray_old_id_is_no_overlap() {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    for number in 1..5_u64 {
        let mut payments: Vec<_> =
            (0..200).map(|row| payment(u128::from(number * 1000 + row), number)).collect();
        payments.push(payment(1000, number + 100));
        payments.dedup_by_key(|payment| payment.id);
        if number == 1 {
            payments.pop();
        }
        seal(&runs, number, &payments);
    }
    assert!(!runs.merge_if_due(&|| false).expect("read"));
    assert_eq!(runs.find(PaymentId(1000)), Ok(Some(payment(1000, 104))));
}

#[test]
fn of_runs_in_order_of_time_the_newest_stay_in_the_page_cache() {
    let directory = directory();
    if !can_release(directory.path()) {
        return;
    }
    let cached = |runs: &Runs| -> Vec<bool> {
        let first_page = |run: &Arc<Run>| is_cached(run.file(), 4096) == Some(true);
        runs.list().iter().map(first_page).collect()
    };
    let released = 3;
    for in_time in [true, false] {
        let directory = self::directory();
        let runs = open(&directory, &[], 0);
        for number in 1..=(RUNS_CACHED + released) as u64 {
            sealed(&runs, number, 20, in_time);
        }
        let mut expected = vec![true; RUNS_CACHED + released];
        if in_time {
            expected[..released].fill(false);
        }
        assert_eq!(cached(&runs), expected, "in order of time: {in_time}");
        let first = payment(if in_time { 1000 } else { scrambled(1000) }, 1);
        assert_eq!(runs.find(first.id), Ok(Some(first)));
    }
}

/// Pages are read without anybody waiting for them.
#[test]
fn pages_of_payments_that_are_expected_are_read_ahead() {
    let directory = directory();
    if !can_release(directory.path()) {
        return;
    }
    // Without filters, which would be read, too.
    let runs = open(&directory, &[], 0);
    for number in 1..4 {
        sealed(&runs, number, 900, true);
    }
    // To look at a page has it read, so each is looked at once after it was released.
    let read_within = |wait: Duration| -> Vec<bool> {
        runs.list().iter().for_each(|run| page_cache::release(run.file()));
        // On the first page of the first run, on that of the third, and on none.
        runs.expect(&[1_000, 3_000, 5].map(PaymentId));
        thread::sleep(wait);
        runs.list().iter().map(|run| is_cached(run.file(), 4_096) == Some(true)).collect()
    };
    let mut waits = (0..15).map(|doubled| Duration::from_millis(1 << doubled));
    assert!(waits.any(|wait| read_within(wait) == [true, false, true]), "they are read in time");
}

#[test]
fn a_stopped_merge_leaves_no_trace() {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    for number in 1..5 {
        sealed(&runs, number, 600, false);
    }
    let before = (files(&directory), names(&runs));
    let asked = Cell::new(0);
    let stop_at = |stop: u32| {
        asked.set(0);
        runs.merge_if_due(&|| {
            asked.set(asked.get() + 1);
            asked.get() > stop
        })
    };
    for stop in 0..3 {
        assert!(!stop_at(stop).expect("stopped"));
        assert_eq!((files(&directory), names(&runs)), before);
    }
    assert!(stop_at(u32::MAX).expect("merged"));
    assert_eq!(files(&directory), ["000000000001-000000000004.run"]);
}

#[test]
fn a_merged_run_vanishes_with_the_last_that_holds_it() {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    for number in 1..5 {
        sealed(&runs, number, 20, false);
    }
    let (snapshot, first) = (runs.list(), names(&runs));
    assert!(runs.merge_if_due(&|| false).expect("merged"));
    assert_eq!(files(&directory).len(), 5);
    let again = snapshot[2].clone();
    drop(snapshot);
    assert_eq!(files(&directory), ["000000000001-000000000004.run", &first[2]]);
    let held = payment(scrambled(3001), 3);
    assert_eq!(again.find(held.id).expect("read"), Some(held));
    drop(again);
    assert_eq!(files(&directory), names(&runs));
    drop(runs);
    assert_eq!(files(&directory), ["000000000001-000000000004.run"]);
}

#[test]
fn no_file_is_deleted_on_the_way_out() {
    for explicitly in [true, false] {
        let directory = directory();
        let runs = open(&directory, &[], 0);
        for number in 1..5 {
            sealed(&runs, number, 20, false);
        }
        let snapshot = runs.list();
        let named = names(&runs);
        assert!(runs.merge_if_due(&|| false).expect("merged"));
        if explicitly {
            runs.keep_files();
            drop(snapshot);
        } else {
            drop(runs);
            drop(snapshot);
        }
        let runs = open(&directory, &named, 0);
        let held = payment(scrambled(3001), 3);
        assert_eq!(runs.find(held.id), Ok(Some(held)));
        Runs::remove_unlisted(directory.path(), &named).expect("removed");
        assert_eq!(files(&directory), named);
    }
}

#[test]
fn files_that_nobody_names_are_removed_and_others_are_not() {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    sealed(&runs, 1, 20, false);
    sealed(&runs, 2, 20, false);
    let keep = vec![names(&runs)[0].clone()];
    for name in ["000000000003-000000000003.run.unfinished", "notes.txt"] {
        std::fs::write(directory.path().join(name), "anything").expect("written");
    }
    drop(runs);
    Runs::remove_unlisted(directory.path(), &keep).expect("removed");
    assert_eq!(files(&directory), [keep[0].as_str(), "notes.txt"]);
}

#[test]
fn filters_take_no_more_memory_than_they_may() {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    for number in 1..4 {
        sealed(&runs, number, 20, false);
    }
    // Three runs of three parts each, and 4,096 bytes per filter.
    for (memory_max, used) in [(0, 0), (4095, 0), (20_000, 4 * 4096), (u64::MAX, 9 * 4096)] {
        let reopened = open(&directory, &names(&runs), memory_max);
        assert_eq!(reopened.filter_memory(), 0, "loaded on first use");
        for number in 0..10_000 {
            assert_eq!(reopened.find(PaymentId(scrambled(number) ^ 1)), Ok(None));
        }
        assert_eq!(reopened.filter_memory(), used);
        let run = reopened.list().remove(0);
        drop(reopened);
        drop(run);
    }
}

#[test]
fn without_room_runs_stay_as_they_are_until_there_is_some() {
    let directory = directory();
    let (reserve, free) = (1 << 20, Arc::new(AtomicU64::new(0)));
    let runs = open_in(&directory, &[], 0, Room::of(reserve, free.clone()));
    for number in 1..5 {
        sealed(&runs, number, 20, false);
    }
    let before = (files(&directory), names(&runs));
    let inputs: u64 = runs.list().iter().map(|run| run.len()).sum();
    let room = &runs.shared.room;
    for too_little in [0, reserve, inputs, inputs + reserve - 1] {
        free.store(too_little, Ordering::Relaxed);
        assert!(!runs.merge_if_due(&|| false).expect("is no failure"), "{too_little} bytes free");
        assert_eq!((files(&directory), names(&runs)), before);
        assert!(room.is_told());
    }
    // Others take it while the merge goes on: it gives back what it has written.
    free.store(inputs + reserve, Ordering::Relaxed);
    let others_write = || {
        free.store(reserve / 2 - 1, Ordering::Relaxed);
        false
    };
    assert!(!runs.merge_if_due(&others_write).expect("is no failure"));
    assert_eq!((files(&directory), names(&runs)), before);

    free.store(inputs + reserve, Ordering::Relaxed);
    assert!(runs.merge_if_due(&|| false).expect("merged"));
    assert_eq!(files(&directory), ["000000000001-000000000004.run"]);
    assert!(!room.is_told(), "the next time is told again");
    // Where nothing is due, nobody is told of space.
    free.store(0, Ordering::Relaxed);
    assert!(!runs.merge_if_due(&|| false).expect("nothing is due"));
    assert!(!room.is_told());
}
