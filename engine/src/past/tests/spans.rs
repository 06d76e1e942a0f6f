//! Where runs are asked for an id, and where they need not be.

use millrace_ledger::{Gap, History as _};

use super::*;

/// As UUIDv7 of many payments in a millisecond.
fn in_time(number: u64) -> u128 {
    u128::from(1_790_000_000_000 + number / 3_000) << 80 | u128::from(number) << 8
}

/// The id of the payment with this number, where it is not one in time.
type Others = fn(u64) -> Option<u128>;

/// Seals so many runs, in which some ids of `others` are in the place of those in time.
fn sealed(directory: &TempDir, runs: u64, others: Others) -> Runs {
    let sealed =
        Runs::open(directory.path(), JOURNAL, &[], u64::MAX, Room::reserving(0)).expect("opens");
    for run in 0..runs {
        let numbers = run * RUN_ROWS..(run + 1) * RUN_ROWS;
        let payment = |number| payment(others(number).unwrap_or(in_time(number)), run + 1);
        let payments: Vec<_> = numbers.map(payment).collect();
        seal(&sealed, run + 1, &payments);
    }
    sealed
}

const RUN_ROWS: u64 = 30_000;

fn gaps_at(runs: &Runs, number: u64) -> Vec<Option<Gap>> {
    let id = PaymentId(in_time(number));
    let each = runs.list().iter().map(|run| run.spans().gap(id)).collect::<Vec<_>>();
    each.into_iter().chain([runs.spans().gap(id)]).collect()
}

#[test]
fn an_id_in_time_is_told_to_be_new_without_a_run_being_asked() {
    let table: &[(&str, Others)] = &[
        ("ids in time alone", |_| None),
        ("the greatest id", |number| (number == 150_000).then_some(u128::MAX - 1)),
        ("a tiny id", |number| (number == 150_000).then_some(1)),
        ("a few random ones", |number| (number % 20_000 == 7).then(|| scrambled(number))),
        ("1 in 1,000 random", |number| (number % 1_000 == 7).then(|| scrambled(number))),
        ("1 in 100 random", |number| (number % 100 == 7).then(|| scrambled(number))),
        ("1 in 10 random", |number| (number % 10 == 7).then(|| scrambled(number))),
        ("half of them random", |number| (number % 2 == 0).then(|| scrambled(number))),
        ("a clock an hour ahead", |number| {
            (number % 1_000 == 7).then(|| in_time(number) + (3_600_000 << 80))
        }),
    ];
    for (what, others) in table {
        let directory = directory();
        let runs = sealed(&directory, 4, *others);
        let all = 4 * RUN_ROWS;
        assert!(
            gaps_at(&runs, all + 1).iter().all(Option::is_some),
            "{what}: {:#?}",
            gaps_at(&runs, all + 1)
        );
        assert!(runs.merge(0..3, &|_| false).expect("merged"));
        assert!(gaps_at(&runs, all + 1).iter().all(Option::is_some), "{what}, merged");
        let again = Runs::open(directory.path(), JOURNAL, &names(&runs), 0, Room::reserving(0))
            .expect("opens");
        assert!(gaps_at(&again, all + 1).iter().all(Option::is_some), "{what}, opened again");
    }
}
