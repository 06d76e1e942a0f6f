//! Each statistic in each form equals its definition, whatever happens in whatever order.

use millrace_risk::features::{Catalogue, Form, ProfileLimits, Profiles, Statistic};
use proptest::prelude::*;

use crate::{naive::Naive, stream::flips};

const HEAD: &str = "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\n\
                    [[entity]]\nname = \"pair\"\nof = [\"payer\", \"payee\"]\n";

/// Every combination that a catalogue takes.
fn everything() -> Catalogue {
    let statistics = [
        ("count", ""),
        ("sum", ""),
        ("mean", ""),
        ("std", ""),
        ("min", ""),
        ("max", ""),
        ("distinct", "of = \"payee\"\n"),
        ("ratio", ""),
        ("zscore", ""),
        ("max_ratio", "usual = \"10d\"\n"),
        ("count_above", "above = 250\n"),
        ("share_above", "above = 400.5\n"),
        ("count_unusual", "times = 1.5\nusual = \"10d\"\n"),
        ("share_unusual", "times = 2\nprior = 0.1\nprior_weight = 3\n"),
        ("fraud_count", ""),
        ("fraud_share", "prior = 0.02\nprior_weight = 5\n"),
        ("fraud_share", "missing = 0\n"),
    ];
    let mut text = HEAD.to_owned();
    let mut taken = 0;
    for (statistic, more) in statistics {
        for form in ["decayed", "ring", "exact"] {
            for (window, delay) in
                [("6h", ""), ("3d", ""), ("ever", ""), ("1d", "2d"), ("6h", "12h")]
            {
                for (entity, current) in
                    [("payer", ""), ("payee", "current = false\n"), ("pair", "")]
                {
                    let delay = match delay {
                        "" => String::new(),
                        delay => format!("delay = \"{delay}\"\n"),
                    };
                    let feature = format!(
                        "[[feature]]\nname = \"f{taken}\"\nentity = \"{entity}\"\nstatistic = \"{statistic}\"\n\
                         window = \"{window}\"\nform = \"{form}\"\n{delay}{more}{current}"
                    );
                    if Catalogue::parse(&format!("{HEAD}{feature}")).is_ok() {
                        text += &feature;
                        taken += 1;
                    }
                }
            }
        }
    }
    let runs = ["fraud_average", "fraud_run_age", "fraud_run_gap", "since_honest"];
    let except = "except = \"payer\"\ntimes = 1.2\nusual = \"10d\"\n";
    let since = ["since_last", "age", "since_fraud"].map(|statistic| ("payer", statistic, ""));
    let plain = runs.map(|statistic| ("payer", statistic, ""));
    let excepted = runs.map(|statistic| ("payee", statistic, except));
    let others = since.into_iter().chain(plain).chain(excepted);
    for (n, (entity, statistic, more)) in others.enumerate() {
        text += &format!(
            "[[feature]]\nname = \"t{n}\"\nentity = \"{entity}\"\nstatistic = \"{statistic}\"\n{more}"
        );
    }
    assert!(taken > 250, "{taken}");
    Catalogue::parse(&text).expect("each was right alone")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn features_equal_their_definitions(events in flips(90, 3)) {
        let catalogue = everything();
        let mut profiles = Profiles::new(catalogue.clone(), ProfileLimits::default());
        let mut naive = Naive::new(catalogue.clone());
        let mut row = vec![0.0; catalogue.len()];
        for (n, event) in events.iter().enumerate() {
            if let Some(label) = event.label() {
                profiles.label(&label);
                naive.label(&label);
            }
            let Some(attempt) = event.attempt() else { continue };
            profiles.observe(&attempt, &mut row);
            let expected = naive.observe(&attempt);
            for ((feature, value), expected) in catalogue.features().iter().zip(&row).zip(expected) {
                let value = f64::from(*value);
                let tolerance = match (feature.statistic, feature.form) {
                    // A sketch of few keys is off by one at most.
                    (Statistic::Distinct, Form::Ring) => 1.1,
                    // What subtraction leaves of nearly equal numbers.
                    (Statistic::Std | Statistic::ZScore, _) => 1e-5 * (1.0 + expected.abs()),
                    _ => 1e-6 * (1.0 + expected.abs()),
                };
                let same = value.is_nan() && expected.is_nan() || (value - expected).abs() <= tolerance;
                prop_assert!(same, "event {n}, {feature:?}: {value}, not {expected}");
            }
        }
        prop_assert_eq!(profiles.counts().labels_unknown, 0);
    }
}

/// A steady stream gives what a sharp window of that length would.
#[test]
fn decayed_counts_compare_with_sharp_ones() {
    let features = ["decayed", "ring"].map(|form| {
        format!("[[feature]]\nname = \"{form}\"\nentity = \"payer\"\nstatistic = \"count\"\nwindow = \"1d\"\nform = \"{form}\"\n")
    });
    let catalogue = Catalogue::parse(&format!("{HEAD}{}", features.concat())).expect("right");
    let mut profiles = Profiles::new(catalogue, ProfileLimits::default());
    let mut row = [0.0; 2];
    for minute in 0..20 * 1_440_u64 {
        let at = millrace_ledger::Timestamp(crate::stream::START + minute * 60_000_000_000);
        let entities = &[millrace_risk::features::EntityKey(1)];
        let attempt = millrace_risk::features::Attempt { at, amount: 1.0, entities };
        profiles.observe(&attempt, &mut row);
    }
    assert_eq!(row[1], 1_440.0, "59 minutes into an hour, the window is a whole day");
    assert!((row[0] - 1_440.5).abs() < 0.01, "{row:?}");
}
