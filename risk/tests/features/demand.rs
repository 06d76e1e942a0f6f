//! What is kept on demand equals what would be kept always, had the stream begun at the demand.

use millrace_risk::features::{Catalogue, ProfileLimits, Profiles};
use proptest::prelude::*;

use crate::stream::{Event, events};

const LIMITS: ProfileLimits = ProfileLimits { entities_max: 20, payments_max: 50 };

/// Some features are kept always, some on demand: rings, decayed, exact, of one kind and of several.
fn catalogue() -> Catalogue {
    let mut text = "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\n\
                    [[entity]]\nname = \"pair\"\nof = [\"payer\", \"payee\"]\n"
        .to_owned();
    for (name, on_demand, more) in [
        ("amount", false, "statistic = \"amount\""),
        ("night", true, "statistic = \"night\""),
        ("mean", false, "entity = \"payer\"\nstatistic = \"mean\"\nwindow = \"7d\""),
        (
            "count",
            true,
            "entity = \"payer\"\nstatistic = \"count\"\nwindow = \"1d\"\nform = \"ring\"",
        ),
        (
            "share",
            true,
            "entity = \"payee\"\nstatistic = \"fraud_share\"\nwindow = \"7d\"\nform = \"ring\"",
        ),
        ("sum", true, "entity = \"payer\"\nstatistic = \"sum\"\nwindow = \"3d\""),
        (
            "pairs",
            true,
            "entity = \"pair\"\nstatistic = \"count\"\nwindow = \"9d\"\nform = \"exact\"",
        ),
        ("part", false, "statistic = \"quotient\"\nof = [\"amount\", \"mean\"]"),
        ("last", true, "entity = \"pair\"\nstatistic = \"since_last\""),
    ] {
        text += &format!("[[feature]]\nname = \"{name}\"\non_demand = {on_demand}\n{more}\n");
    }
    Catalogue::parse(&text).expect("right")
}

const ON_DEMAND: [&str; 6] = ["night", "count", "share", "sum", "pairs", "last"];

/// Rows of the payments.
fn run(profiles: &mut Profiles, events: &[Event]) -> Vec<Vec<u32>> {
    let mut rows = Vec::new();
    for event in events {
        if let Some(label) = event.label() {
            profiles.label(&label);
        }
        if let Some(attempt) = event.attempt() {
            let mut row = vec![0.0_f32; profiles.catalogue().len()];
            profiles.observe(&attempt, &mut row);
            rows.push(row.iter().map(|value| value.to_bits()).collect());
        }
    }
    rows
}

/// Which of the features on demand.
fn named(bits: u8) -> impl Iterator<Item = &'static str> {
    ON_DEMAND
        .into_iter()
        .enumerate()
        .filter(move |(at, _)| bits >> at & 1 == 1)
        .map(|(_, name)| name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Demands at any time. What is demanded together is missing once no demand, nor the one before,
    /// names any of it; until then it is what a stream gives that began at the demand.
    #[test]
    fn a_feature_begins_where_it_is_demanded(
        parts in prop::collection::vec((events(60, 12), 0_u8..64), 1..6),
    ) {
        let catalogue = catalogue();
        let whole = Profiles::new(catalogue.keeping(ON_DEMAND), LIMITS);
        let mut profiles = Profiles::new(catalogue.clone(), LIMITS);
        let mut always = whole.clone();
        let mut groups: Vec<(Vec<&str>, Profiles)> = Vec::new();
        let mut before = 0;
        for (events, demanded) in &parts {
            profiles.demand(named(*demanded));
            groups.retain(|(names, _)| named(*demanded | before).any(|name| names.contains(&name)));
            let is_new = |name: &&str| !groups.iter().any(|(names, _)| names.contains(name));
            let new: Vec<_> = named(*demanded).filter(is_new).collect();
            groups.push((new, whole.clone()));
            before = *demanded;
            let rows = run(&mut profiles, events);
            let mut expected = run(&mut always, events);
            let of_groups: Vec<_> = groups.iter_mut().map(|(_, own)| run(own, events)).collect();
            for (column, feature) in catalogue.features().iter().enumerate() {
                let group = groups.iter().position(|(names, _)| names.contains(&&*feature.name));
                prop_assert_eq!(
                    profiles.demanded().contains(&&*feature.name),
                    group.is_some(),
                    "{}", &feature.name
                );
                for (at, row) in expected.iter_mut().enumerate().filter(|_| feature.on_demand) {
                    row[column] = group.map_or(f32::NAN.to_bits(), |group| of_groups[group][at][column]);
                }
            }
            prop_assert_eq!(rows, expected);
        }
    }

    /// Snapshots hold what is on demand, too.
    #[test]
    fn a_snapshot_keeps_what_is_on_demand(
        parts in prop::collection::vec((events(60, 12), 0_u8..64), 3..5),
        rows_max in 1_usize..12,
    ) {
        let ((after, next), before) = parts.split_last().expect("three at least");
        let mut original = Profiles::new(catalogue(), LIMITS);
        for (events, demanded) in before {
            original.demand(named(*demanded));
            run(&mut original, events);
        }
        original.begin_snapshot();
        let mut restored = Profiles::new(catalogue(), LIMITS);
        let mut more = true;
        let mut demanded_meanwhile = original.clone();
        while more {
            let mut piece = Vec::new();
            more = demanded_meanwhile.snapshot_slice(rows_max, &mut piece);
            prop_assert_eq!(restored.restore(&piece), Ok(()));
            // What is let go or begins while the snapshot is written is not seen in it.
            demanded_meanwhile.demand(named(*next));
            run(&mut demanded_meanwhile, after);
        }
        prop_assert_eq!(restored.end_restore(), Ok(()));
        prop_assert_eq!(restored.demanded(), original.demanded());
        original.demand(named(*next));
        restored.demand(named(*next));
        prop_assert_eq!(run(&mut restored, after), run(&mut original, after));
        prop_assert_eq!(restored.counts(), original.counts());
        prop_assert_eq!(restored.demanded(), original.demanded());
    }
}

#[test]
fn a_snapshot_of_features_that_mean_something_else_by_now_is_refused() {
    let mut original = Profiles::new(catalogue(), LIMITS);
    original.demand(["count"]);
    original.begin_snapshot();
    let mut heading = Vec::new();
    original.snapshot_slice(1, &mut heading);
    assert_eq!(Profiles::new(catalogue(), LIMITS).restore(&heading), Ok(()));
    for len in 0..heading.len() {
        assert!(
            Profiles::new(catalogue(), LIMITS).restore(&heading[..len]).is_err(),
            "{len} bytes"
        );
    }
    let change = |from: &str, to: &str| {
        let text = Catalogue::STANDARD.replace(from, to);
        assert_ne!(text, Catalogue::STANDARD);
        Catalogue::parse(&text).expect("right")
    };
    let mut standard = Profiles::new(Catalogue::standard(), LIMITS);
    standard.demand(["payer.count_1h"]);
    standard.begin_snapshot();
    let mut heading = Vec::new();
    standard.snapshot_slice(1, &mut heading);
    let restored = |catalogue| Profiles::new(catalogue, LIMITS).restore(&heading);
    assert_eq!(
        restored(change("payer.count_1d", "payer.count_day")),
        Ok(()),
        "nothing is kept of it"
    );
    assert!(restored(change("name = \"payer.count_1h\"", "name = \"payer.hour\"")).is_err());
    assert!(restored(change("window = \"1h\"", "window = \"2h\"")).is_err());
}
