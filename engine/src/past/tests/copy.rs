//! Merges that copy pages as they are, against a plain map: the same payments are left, however the
//! ids of runs lie to each other.

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt as _, sync::Arc};

use millrace_ledger::{History as _, PaymentId, StoredPayment};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    super::{Run, Runs, layout::Layout},
    *,
};

/// Parts of several pages, so that some of a part's pages can be copied and others not.
const LAYOUT: Layout = Layout { page_bytes: 256, part_rows_max: 28, small_rows: 4, class_rows: 16 };

fn open_with(directory: &TempDir, names: &[String], layout: Layout) -> Runs {
    Runs::open_with(directory.path(), JOURNAL, names, u64::MAX, Room::reserving(0), layout)
        .expect("opens")
}

/// The hash of each part's filter.
fn filters(run: &Run) -> Vec<[u8; 32]> {
    let parts = (0..).take_while(|part| run.pages_of(*part).is_some());
    parts.map(|part| run.part(part).filter_hash).collect()
}

/// Merges runs of these ids, oldest first. How many parts the result has, and how many of their
/// filters were taken from the runs.
fn merged(ids: &[Vec<u128>], sealed_with: Layout) -> (usize, usize) {
    let directory = directory();
    let runs = open_with(&directory, &[], sealed_with);
    let mut model = BTreeMap::<u128, StoredPayment>::new();
    for (number, ids) in (1..).zip(ids) {
        let payments: Vec<_> = ids.iter().map(|id| payment(*id, number)).collect();
        seal(&runs, number, &payments);
        model.extend(payments.iter().map(|payment| (payment.id.0, *payment)));
    }
    let before: Vec<_> = runs.list().iter().flat_map(|run| filters(run)).collect();
    let names = names(&runs);
    runs.keep_files();
    drop(runs);
    let runs = open_with(&directory, &names, LAYOUT);
    assert!(runs.merge(0..ids.len(), &|_| false).expect("merged"));
    for runs in [&runs, &open_with(&directory, &self::names(&runs), LAYOUT)] {
        let [run] = <[Arc<Run>; 1]>::try_from(runs.list()).expect("one is left");
        run.verify().expect("whole");
        let rows: Vec<_> = run.iter().map(|row| row.expect("whole")).collect();
        assert_eq!(rows, model.values().copied().collect::<Vec<_>>());
        assert_eq!(run.bounds().1.0, model.keys().next_back().copied().unwrap_or_default());
        for id in ids.iter().flatten().flat_map(|id| [id.saturating_sub(1), *id, id + 1]) {
            assert_eq!(runs.find(PaymentId(id)), Ok(model.get(&id).copied()), "{id}");
        }
    }
    let after = filters(&runs.list()[0]);
    (after.len(), after.iter().filter(|filter| before.contains(filter)).count())
}

/// Every `step`th id, so that others can lie between.
fn ids(from: u128, count: u128, step: u128) -> Vec<u128> {
    (0..count).map(|number| from + number * step).collect()
}

fn also(mut ids: Vec<u128>, more: &[u128]) -> Vec<u128> {
    ids.extend(more);
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[test]
fn pages_are_copied_where_no_other_run_has_ids_between() {
    // Parts have 28 rows. A run of 112 has four of them.
    let first = || ids(1000, 112, 2);
    let table: &[(&str, Vec<Vec<u128>>, usize, usize)] = &[
        ("apart", vec![first(), ids(2000, 112, 2), ids(3000, 56, 2)], 10, 10),
        ("one id apart", vec![ids(1000, 112, 1), ids(1112, 112, 1)], 8, 8),
        ("in the wrong order", vec![ids(2000, 112, 2), first()], 8, 8),
        (
            "runs without rows between",
            vec![vec![], first(), vec![], ids(2000, 28, 2), vec![]],
            5,
            5,
        ),
        ("without any row", vec![vec![], vec![]], 0, 0),
        ("the last id of one is the first of the next", vec![first(), ids(1222, 112, 2)], 9, 8),
        ("an id between the last two of the other", vec![first(), ids(1221, 112, 2)], 9, 8),
        ("the last part and the other's first by turns", vec![first(), ids(1191, 112, 2)], 9, 7),
        ("an old id in the newer run", vec![first(), also(ids(2000, 111, 2), &[1001])], 10, 8),
        ("an old id in a newer version", vec![first(), also(ids(2000, 111, 2), &[1000])], 10, 8),
        // Shifted by one, so that no part happens to be what it was.
        ("the same ids twice", vec![first(), first(), vec![999]], 5, 0),
        ("by turns", vec![first(), ids(1001, 112, 2)], 8, 0),
        (
            "two parts too small to be copied",
            vec![first(), ids(2000, 6, 2), ids(2100, 6, 2), ids(3000, 112, 2)],
            9,
            8,
        ),
    ];
    for (what, ids, parts, copied) in table {
        assert_eq!(merged(ids, LAYOUT), (*parts, *copied), "{what}: parts, and those copied");
    }
}

#[test]
fn parts_of_an_earlier_layout_are_copied_and_pages_of_another_size_are_not() {
    let runs = [ids(1000, 90, 2), ids(2000, 90, 2)];
    let larger_parts = Layout { part_rows_max: 112, ..LAYOUT };
    assert_eq!(merged(&runs, larger_parts), (2, 2));
    let larger_pages = Layout { page_bytes: 512, ..LAYOUT };
    // As many as 180 rows fill, not four of each run.
    assert_eq!(merged(&runs, larger_pages).0, 7);
}

/// What is copied is looked at: damage must not get a checksum of its own.
#[test]
fn damage_is_not_copied() {
    let directory = directory();
    let runs = open_with(&directory, &[], LAYOUT);
    for number in 1..3_u64 {
        let ids = ids(u128::from(number) * 1000, 112, 2);
        seal(&runs, number, &ids.iter().map(|id| payment(*id, number)).collect::<Vec<_>>());
    }
    let before = (files(&directory), names(&runs));
    let path = directory.path().join(&before.1[0]);
    let bytes = std::fs::read(&path).expect("readable");
    let file = File::options().write(true).open(&path).expect("opens");
    // Pages and filters begin behind the header, and end before 64 bytes for each of four parts.
    let end = runs.list()[0].part(3).filter_offset as usize + 20;
    for at in (4096..end).step_by(113).filter(|at| bytes[*at] != 0) {
        file.write_all_at(&[!bytes[at]], at as u64).expect("written");
        let error = runs.merge(0..2, &|_| false).expect_err("told").to_string();
        assert!(error.contains(&before.1[0]) && error.contains("offset"), "{error}");
        assert_eq!((files(&directory), names(&runs)), before);
        file.write_all_at(&[bytes[at]], at as u64).expect("written");
    }
    assert!(runs.merge(0..2, &|_| false).expect("whole again"));
}

/// Runs of stretches of ids, which lie apart, touch, overlap or repeat each other.
fn runs_of_stretches() -> impl Strategy<Value = Vec<Vec<u128>>> {
    let stretch =
        (0..300_u128, 1..90_u128, 1..4_u128).prop_map(|(from, count, step)| ids(from, count, step));
    let run =
        prop::collection::vec(stretch, 0..3).prop_map(|stretches| also(stretches.concat(), &[]));
    let later = |(number, run): (usize, Vec<u128>)| {
        run.iter().map(|id| id + number as u128 * 150).collect::<Vec<_>>()
    };
    prop::collection::vec(run, 2..6)
        .prop_map(move |runs| runs.into_iter().enumerate().map(later).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_merged_is_what_a_map_has(runs in runs_of_stretches()) {
        merged(&runs, LAYOUT);
    }
}
