//! Everything that was ever sealed is found as it was sealed last, and nothing else.

use std::{collections::BTreeMap, sync::Arc};

use millrace_ledger::{
    AccountId, Amount, ApproveAll, Code, History as _, Ledger, LedgerConfig, LedgerId, Operation,
    Payment, PaymentId, StoredPayment, Timestamp,
};
use proptest::prelude::*;

use super::{super::row, *};

/// What may happen to runs.
#[derive(Clone, Debug)]
enum Step {
    /// Seals payments with these places in the list of ids.
    Seal(Vec<(u8, StoredPayment)>),
    MergeIfDue,
    /// Merges this many runs from this place on, as far as there are any.
    Merge(usize, usize),
    /// Opens the runs again, with so much memory for filters.
    Reopen(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let payments = prop::collection::vec((any::<u8>(), row::tests::payment()), 0..40);
    let memory = prop_oneof![Just(0), Just(8192), Just(u64::MAX)];
    let step = prop_oneof![
        6 => payments.prop_map(Step::Seal),
        2 => Just(Step::MergeIfDue),
        1 => (0..8_usize, 2..5_usize).prop_map(|(from, count)| Step::Merge(from, count)),
        1 => memory.prop_map(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

/// In which order ids come.
#[derive(Clone, Copy, Debug)]
enum Ids {
    InNoOrder,
    /// A later generation has greater ones.
    InTime,
    /// In time, but for some that are far from the others.
    Mixed,
}

fn id_of(place: u8, generation: u64, ids: Ids) -> u128 {
    let in_time =
        |generation: u64| (1 << 40 | u128::from(generation * 256 + u64::from(place))) << 80;
    match (ids, place) {
        (Ids::InNoOrder, _) => scrambled(place.into()),
        // Now and then one that an earlier generation may have.
        (_, ..16) => in_time(generation.saturating_sub(2)) + (16 << 80),
        (Ids::Mixed, 16..24) => u128::MAX - u128::from(generation * 256 + u64::from(place)),
        (Ids::Mixed, 24..32) => u128::from(generation * 256 + u64::from(place)),
        (Ids::Mixed, 32..40) => in_time(generation + 3),
        (Ids::Mixed, 40..60) => scrambled(generation * 256 + u64::from(place)),
        _ => in_time(generation),
    }
}

fn check(runs: &Runs, model: &BTreeMap<u128, StoredPayment>, absent: impl Iterator<Item = u128>) {
    for (id, payment) in model {
        assert_eq!(runs.find(PaymentId(*id)), Ok(Some(*payment)));
    }
    for id in absent.filter(|id| !model.contains_key(id)) {
        assert_eq!(runs.find(PaymentId(id)), Ok(None));
    }
    let mut merged = BTreeMap::new();
    for run in runs.list() {
        run.verify().expect("whole");
        let rows = run.iter().map(|row| row.expect("whole")).map(|row| (row.id.0, row));
        merged.extend(rows);
    }
    assert_eq!(&merged, model);
}

fn run(steps: Vec<Step>, ids: Ids) {
    let directory = directory();
    let mut runs = open(&directory, &[], u64::MAX);
    let (mut model, mut generation) = (BTreeMap::new(), 0);
    for step in steps {
        match step {
            Step::Seal(payments) => {
                generation += 1;
                let sealed: BTreeMap<u128, StoredPayment> = payments
                    .into_iter()
                    .map(|(place, payment)| (id_of(place, generation, ids), payment))
                    .map(|(id, payment)| (id, StoredPayment { id: PaymentId(id), ..payment }))
                    .collect();
                // In no particular order.
                let mut unordered: Vec<_> = sealed.values().copied().collect();
                unordered.sort_by_key(|payment| payment.left);
                assert_eq!(seal(&runs, generation, &unordered).rows(), sealed.len() as u64);
                model.extend(sealed);
            }
            Step::MergeIfDue => while runs.merge_if_due(&|| false).expect("merged") {},
            Step::Merge(from, count) => {
                let len = runs.list().len();
                let from = from.min(len);
                let range = from..(from + count).min(len);
                if range.len() > 1 {
                    assert!(runs.merge(range, &|_| false).expect("merged"));
                }
            }
            Step::Reopen(memory) => {
                let names = names(&runs);
                drop(runs);
                Runs::remove_unlisted(directory.path(), &names).expect("removed");
                runs = open(&directory, &names, memory);
            }
        }
        assert_eq!(files(&directory), names(&runs));
    }
    for generation in generation.saturating_sub(2)..=generation + 2 {
        check(&runs, &model, (0..=255).map(|place| id_of(place, generation, ids)));
    }
    check(&runs, &model, (0..300).map(|number| scrambled(number) ^ 1));
    check(&open(&directory, &names(&runs), 0), &model, (0..300).map(scrambled));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ids_in_no_order(steps in steps()) {
        run(steps, Ids::InNoOrder);
    }

    #[test]
    fn ids_that_grow_with_time(steps in steps()) {
        run(steps, Ids::InTime);
    }

    #[test]
    fn ids_in_time_and_some_far_from_them(steps in steps()) {
        run(steps, Ids::Mixed);
    }
}

/// The older of two snapshots names runs that were merged away since. They are there for as long as it
/// is, and gone with it.
#[test]
fn runs_that_only_an_older_snapshot_names_go_with_it() {
    let directory = directory();
    let runs = open(&directory, &[], u64::MAX);
    for number in 1..=3 {
        seal(&runs, number, &[payment(scrambled(number), number)]);
    }
    let older = names(&runs);
    let before = runs.list();
    assert!(runs.merge(0..2, &|_| false).expect("merged"));
    let newer = names(&runs);
    // The engine stops, with both snapshots on disk.
    runs.keep_files();
    drop((runs, before));
    let all = files(&directory);
    assert_eq!((older.len(), newer.len(), all.len()), (3, 2, 4));

    for is_used in [false, true] {
        let runs = open(&directory, &newer, u64::MAX);
        let beside = runs.open_beside(&older).expect("opens");
        assert_eq!(beside.iter().map(|run| run.name()).collect::<Vec<_>>(), older);
        assert!(Arc::ptr_eq(&beside[2], &runs.list()[1]), "one that both name is opened once");
        if is_used {
            runs.delete_after_use(beside.iter());
            assert_eq!(files(&directory), all, "the older snapshot is there still");
        }
        drop(beside);
        assert_eq!(files(&directory), if is_used { newer.clone() } else { all.clone() });
    }
    let gone = open(&directory, &newer, u64::MAX).open_beside(&older);
    assert!(gone.expect_err("it is deleted").to_string().contains(&older[0]));
}

/// Refused because its accounts are unknown, which burns its id.
fn refused(id: u128) -> Payment {
    Payment {
        id: PaymentId(id),
        debit: AccountId(1),
        credit: AccountId(2),
        amount: Amount(5),
        ledger: LedgerId(978),
        code: Code(1),
        operation: Operation::Pay,
        ..Payment::default()
    }
}

#[test]
fn a_ledger_finds_again_what_it_let_go() {
    let directory = directory();
    let runs = open(&directory, &[], 8192);
    let mut ledger = Ledger::with_config(LedgerConfig {
        shards: 2,
        generation_payments_max: 20,
        history: Arc::new(runs.clone()),
        ..LedgerConfig::default()
    });
    let mut views = Vec::new();
    for round in 0..10_u64 {
        ledger.begin_batch(Timestamp(round), &mut Vec::new());
        let ids = round * 20..round * 20 + 20;
        let payments: Vec<_> = ids.clone().map(|number| refused(scrambled(number))).collect();
        ledger.decide(&payments, &mut ApproveAll, |_| {}).expect("history can be read");
        ledger.end_batch();
        let ids = ids.map(|number| PaymentId(scrambled(number)));
        views.extend(ids.map(|id| (id, ledger.payment(id).expect("read").expect("known"))));
        let generation = ledger.close_generation().expect("full");
        assert_eq!(runs.seal(&generation).expect("sealed").rows(), 20);
        ledger.let_go(generation.digest());
        runs.merge_if_due(&|| false).expect("merged");
    }
    assert!(runs.list().len() < 10);
    for (id, view) in views {
        assert_eq!(ledger.payment(id), Ok(Some(view)));
    }
}
