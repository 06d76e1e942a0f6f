//! Memory is bounded; who is forgotten depends on the payments alone; strangers are ignored.

use millrace_ledger::Timestamp;
use millrace_risk::features::{Attempt, Catalogue, EntityKey, Label, ProfileLimits, Profiles};
use proptest::prelude::*;

use crate::{
    naive::SECOND,
    stream::{START, events},
};

const LIMITS: ProfileLimits = ProfileLimits { entities_max: 20, payments_max: 1_000 };

/// Something of everything that a row can have.
fn catalogue() -> Catalogue {
    let mut text =
        "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\n".to_owned();
    for (name, more) in [
        ("amount", "statistic = \"amount\""),
        ("hour", "statistic = \"hour\""),
        ("payer.count", "entity = \"payer\"\nstatistic = \"count\"\nwindow = \"30d\""),
        ("payer.since_last", "entity = \"payer\"\nstatistic = \"since_last\""),
        ("payer.max", "entity = \"payer\"\nstatistic = \"max\"\nwindow = \"1d\"\nform = \"ring\""),
        ("payee.since_fraud", "entity = \"payee\"\nstatistic = \"since_fraud\""),
        (
            "payee.share",
            "entity = \"payee\"\nstatistic = \"fraud_share\"\nwindow = \"1d\"\ndelay = \"7d\"\nmissing = 0.5",
        ),
    ] {
        text += &format!("[[feature]]\nname = \"{name}\"\n{more}\n");
    }
    Catalogue::parse(&text).expect("right")
}

fn pay(profiles: &mut Profiles, second: u64, keys: [u64; 2], amount: f64) -> Vec<f32> {
    let mut row = vec![0.0; profiles.catalogue().len()];
    let at = Timestamp(START + second * SECOND);
    let entities = &keys.map(EntityKey);
    profiles.observe(&Attempt { at, amount, entities }, &mut row);
    row
}

fn value(profiles: &Profiles, row: &[f32], name: &str) -> f32 {
    row[profiles.catalogue().index_of(name).expect("it is there")]
}

fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn the_coldest_of_eight_gives_way() {
    let mut profiles = Profiles::new(catalogue(), LIMITS);
    for n in 1..=20 {
        pay(&mut profiles, n, [n, 1], 1.0);
    }
    // The first is seen again, so the second is the coldest of the first eight rows.
    pay(&mut profiles, 100, [1, 1], 1.0);
    pay(&mut profiles, 101, [50, 1], 1.0);
    assert_eq!(profiles.counts().evicted, 1);
    let row = pay(&mut profiles, 102, [1, 1], 1.0);
    assert!(value(&profiles, &row, "payer.count") > 2.9, "remembered");
    let row = pay(&mut profiles, 103, [2, 1], 1.0);
    assert_eq!(value(&profiles, &row, "payer.count"), 1.0, "forgotten");
    assert!(value(&profiles, &row, "payer.since_last").is_nan());
    let bytes = profiles.bytes();
    for n in 0..5_000 {
        pay(&mut profiles, 200 + n, [1_000 + n, 2_000 + n], 1.0);
    }
    assert_eq!(profiles.entity_counts(), [20, 20]);
    assert!(profiles.bytes() < bytes + 100_000, "the index does not grow either");
}

#[test]
fn a_list_is_bounded_by_its_window_and_by_its_limit() {
    let mut profiles = Profiles::new(Catalogue::book(), LIMITS);
    let mut bytes = Vec::new();
    for n in 0..20_000 {
        pay(&mut profiles, n * 60, [1, 1], 1.0);
        bytes.push(profiles.bytes());
    }
    let row = pay(&mut profiles, 20_000 * 60, [1, 1], 1.0);
    assert_eq!(value(&profiles, &row, "payer.count_30d"), 1_000.0, "1,000 payments are kept");
    assert!(bytes[1_500..].iter().all(|later| *later == bytes[1_500]));
}

#[test]
fn labels_of_strangers_are_counted_and_ignored() {
    let mut profiles = Profiles::new(catalogue(), LIMITS);
    pay(&mut profiles, 100, [1, 2], 5.0);
    let mut label = |keys: [u64; 2], paid: u64, fraud: bool| {
        profiles.label(&Label {
            at: Timestamp(START + 200 * SECOND),
            paid_at: Timestamp(START + paid * SECOND),
            amount: 5.0,
            entities: &keys.map(EntityKey),
            fraud,
            takes_back: false,
        });
        (profiles.counts().labels, profiles.counts().labels_unknown)
    };
    assert_eq!(label([7, 8], 100, true), (1, 1), "never seen");
    assert_eq!(label([0, 0], 100, true), (2, 2), "absent");
    assert_eq!(label([1, 2], 101, true), (3, 3), "not seen since that payment");
    assert_eq!(label([1, 2], 100, false), (4, 3), "known to be honest");
    let row = pay(&mut profiles, 300, [1, 2], 5.0);
    assert!(value(&profiles, &row, "payee.since_fraud").is_nan());
    profiles.label(&Label {
        at: Timestamp(START + 350 * SECOND),
        paid_at: Timestamp(START + 100 * SECOND),
        amount: 5.0,
        entities: &[EntityKey(7), EntityKey(2)],
        fraud: true,
        takes_back: false,
    });
    let row = pay(&mut profiles, 400, [1, 2], 5.0);
    assert_eq!(value(&profiles, &row, "payee.since_fraud"), 50.0);
}

#[test]
fn what_is_absent_or_no_number_is_missing() {
    let mut profiles = Profiles::new(catalogue(), LIMITS);
    let before = pay(&mut profiles, 10, [1, 2], 5.0);
    for (keys, amount) in [([1, 2], f64::NAN), ([1, 2], f64::INFINITY), ([0, 0], 5.0)] {
        let row = pay(&mut profiles, 20, keys, amount);
        for (feature, value) in profiles.catalogue().features().iter().zip(&row) {
            match feature.entity {
                Some(_) => {
                    let (value, missing) = (value.to_bits(), feature.missing.to_bits());
                    assert_eq!(value, missing, "{}", feature.name);
                }
                None if feature.name == "amount" => {
                    assert_eq!(value.is_nan(), !amount.is_finite());
                }
                None => assert!(value.is_finite(), "{}", feature.name),
            }
        }
    }
    assert_eq!(profiles.counts().amounts_refused, 2);
    let row = pay(&mut profiles, 10, [3, 4], 5.0);
    assert_eq!(bits(&row), bits(&before), "nothing else was counted");
    let mut short = vec![0.0; profiles.catalogue().len()];
    let at = Timestamp(START);
    profiles.observe(&Attempt { at, amount: 1.0, entities: &[] }, &mut short);
    assert!(short[profiles.catalogue().index_of("payer.count").expect("there")].is_nan());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Also while entities give way to each other inside of a block.
    #[test]
    fn blocks_equal_one_by_one(events in events(400, 40), cuts in prop::collection::vec(1_usize..150, 400)) {
        for catalogue in [catalogue(), Catalogue::standard(), Catalogue::book()] {
            let mut single = Profiles::new(catalogue.clone(), LIMITS);
            let mut blocks = single.clone();
            let columns = catalogue.len();
            let (mut from, mut cuts) = (0, cuts.iter());
            while from < events.len() {
                if let Some(label) = events[from].label() {
                    single.label(&label);
                    blocks.label(&label);
                    from += 1;
                    continue;
                }
                let len = *cuts.next().expect("as many as events");
                let attempts: Vec<_> =
                    events[from..].iter().take(len).map_while(|event| event.attempt()).collect();
                let mut rows = vec![0.0; attempts.len() * columns];
                blocks.observe_block(&attempts, &mut rows);
                let mut expected = vec![0.0; attempts.len() * columns];
                for (attempt, row) in attempts.iter().zip(expected.chunks_mut(columns)) {
                    single.observe(attempt, row);
                }
                prop_assert_eq!(bits(&rows), bits(&expected));
                from += attempts.len();
            }
            prop_assert_eq!(single.counts(), blocks.counts());
            prop_assert!(single.entity_counts().iter().all(|count| *count <= 20));
        }
    }
}
