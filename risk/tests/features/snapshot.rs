//! A snapshot that is taken while payments go on is of the moment at which it was begun, and what
//! is restored from it goes on bit by bit as the original did.

use millrace_risk::features::{Catalogue, ProfileLimits, Profiles};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use crate::stream::{Event, flips};

const LIMITS: ProfileLimits = ProfileLimits { entities_max: 20, payments_max: 50 };

/// All forms, and everything that a profile can keep.
fn catalogue() -> Catalogue {
    let mut text = "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\nhonest_after = \"3d\"\n\
                    [[entity]]\nname = \"pair\"\nof = [\"payer\", \"payee\"]\nentities_max = 30\n"
        .to_owned();
    for (n, (entity, statistic, more)) in [
        ("payer", "mean", "window = \"7d\""),
        ("payer", "distinct", "window = \"1d\"\nform = \"ring\"\nof = \"payee\""),
        ("payer", "max", "window = \"1d\"\nform = \"ring\""),
        ("payer", "max", "window = \"9d\""),
        ("payer", "age", ""),
        ("payee", "fraud_share", "window = \"7d\"\ndelay = \"2d\""),
        ("payee", "since_fraud", ""),
        ("payee", "fraud_run_gap", "except = \"payer\"\ntimes = 1.5\nusual = \"5d\""),
        ("pair", "distinct", "window = \"7d\"\nform = \"exact\"\nof = \"payer\""),
        ("pair", "fraud_share", "window = \"7d\"\nform = \"exact\""),
        ("pair", "sum", "window = \"7d\"\nform = \"exact\""),
    ]
    .into_iter()
    .enumerate()
    {
        text += &format!(
            "[[feature]]\nname = \"f{n}\"\nentity = \"{entity}\"\nstatistic = \"{statistic}\"\n{more}\n"
        );
    }
    Catalogue::parse(&text).expect("right")
}

fn run(profiles: &mut Profiles, events: &[Event]) -> Vec<u32> {
    let mut bits = Vec::new();
    for event in events {
        if let Some(label) = event.label() {
            profiles.label(&label);
        }
        if let Some(attempt) = event.attempt() {
            let mut row = vec![0.0; profiles.catalogue().len()];
            profiles.observe(&attempt, &mut row);
            bits.extend(row.iter().map(|value| value.to_bits()));
        }
    }
    bits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_restored_goes_on_as_the_original(
        events in flips(300, 40),
        cut in 0.0..1.0_f64,
        rows_max in 1_usize..12,
        between in 0_usize..5,
    ) {
        let (before, after) = events.split_at((events.len() as f64 * cut) as usize);
        let mut original = Profiles::new(catalogue(), LIMITS);
        run(&mut original, before);
        original.begin_snapshot();
        let (mut pieces, mut expected, mut from) = (Vec::new(), Vec::new(), 0);
        loop {
            let mut piece = Vec::new();
            let more = original.snapshot_slice(rows_max, &mut piece);
            pieces.push(piece);
            let to = (from + between).min(after.len());
            expected.extend(run(&mut original, &after[from..to]));
            from = to;
            if !more {
                break;
            }
        }
        prop_assert!(!original.snapshot_slice(rows_max, &mut Vec::new()), "it is over");
        expected.extend(run(&mut original, &after[from..]));

        let mut restored = Profiles::new(catalogue(), LIMITS);
        for piece in &pieces {
            prop_assert_eq!(restored.restore(piece), Ok(()));
        }
        prop_assert_eq!(restored.end_restore(), Ok(()));
        prop_assert_eq!(run(&mut restored, after), expected);
        prop_assert_eq!(restored.counts(), original.counts());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut runner = TestRunner::deterministic();
    let tree = flips(200, 40).new_tree(&mut runner).expect("a stream");
    let mut original = Profiles::new(catalogue(), LIMITS);
    run(&mut original, &tree.current());
    let mut pieces = Vec::new();
    original.begin_snapshot();
    loop {
        let mut piece = Vec::new();
        let more = original.snapshot_slice(7, &mut piece);
        pieces.push(piece);
        if !more {
            break;
        }
    }
    let fresh = || Profiles::new(catalogue(), LIMITS);
    let refused = |mut profiles: Profiles, piece: &[u8]| {
        profiles.restore(piece).expect_err("it does not fit").to_string()
    };
    let more = ProfileLimits { entities_max: 21, ..LIMITS };
    let other = "other limits";
    assert!(refused(Profiles::new(catalogue(), more), &pieces[0]).contains(other));
    assert!(refused(Profiles::new(Catalogue::book(), LIMITS), &pieces[0]).contains(other));
    assert!(refused(fresh(), &pieces[1]).contains("version"), "no heading");
    for len in 0..pieces[0].len() {
        assert!(fresh().restore(&pieces[0][..len]).is_err(), "{len} bytes of the heading");
    }
    // Cut anywhere, pieces give an error then or in the end.
    for len in (0..pieces[1].len()).chain([usize::MAX]) {
        let mut cut = fresh();
        assert_eq!(cut.restore(&pieces[0]), Ok(()));
        let piece = pieces[1].get(..len).unwrap_or_default();
        assert!(cut.restore(piece).is_err() || cut.end_restore().is_err(), "{len} bytes");
    }
    let mut twice = fresh();
    let mut results = pieces.iter().chain(&pieces[1..]).map(|piece| twice.restore(piece));
    assert!(results.any(|result| result.is_err()), "more than the heading promised");
    assert!(fresh().end_restore().is_err(), "nothing came");
}
