//! Payments that come late are counted where they belong, and harm nothing.

use millrace_ledger::Timestamp;
use millrace_risk::features::{Attempt, Catalogue, EntityKey, ProfileLimits, Profiles};

use crate::{naive::SECOND, stream::START};

const DAY: u64 = 86_400;
const NOW: u64 = 400 * DAY;

fn profiles(form: &str) -> Profiles {
    let feature = |statistic: &str, window: &str| {
        format!(
            "[[feature]]\nname = \"{statistic}_{window}\"\nentity = \"payer\"\nstatistic = \"{statistic}\"\n\
             window = \"{window}\"\nform = \"{form}\"\n"
        )
    };
    let text = format!(
        "version = 1\n[[entity]]\nname = \"payer\"\n{}{}{}",
        feature("count", "1d"),
        feature("sum", "7d"),
        feature("std", "7d")
    );
    Profiles::new(Catalogue::parse(&text).expect("right"), ProfileLimits::default())
}

fn pay(profiles: &mut Profiles, second: u64, amount: f64) -> Vec<f32> {
    let mut row = vec![0.0; profiles.catalogue().len()];
    let at = Timestamp(START + second * SECOND);
    profiles.observe(&Attempt { at, amount, entities: &[EntityKey(1)] }, &mut row);
    row
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        let near = (found - expected).abs() <= 1e-5 * (1.0 + expected.abs());
        assert!(near, "{what}: {found}, not {expected}");
    }
}

/// The same payments in another order end in the same place.
#[test]
fn order_does_not_matter_in_the_end() {
    let payments = [(0, 5.0), (3_600, 7.0), (90_000, 11.0), (100_000, 2.0), (400_000, 4.0)];
    for form in ["decayed", "ring", "exact"] {
        let mut straight = profiles(form);
        payments.iter().for_each(|(at, amount)| drop(pay(&mut straight, NOW + at, *amount)));
        let expected = pay(&mut straight, NOW + 400_100, 1.0);
        for order in [[4, 3, 2, 1, 0], [1, 4, 0, 3, 2], [3, 0, 4, 1, 2]] {
            let mut mixed = profiles(form);
            for place in order {
                let (at, amount) = payments[place];
                pay(&mut mixed, NOW + at, amount);
            }
            assert!(mixed.counts().late > 0);
            assert_near(&pay(&mut mixed, NOW + 400_100, 1.0), &expected, form);
        }
    }
}

/// Somebody sends last year's payments again: they are history, and the windows stay as they are.
#[test]
fn a_backfill_leaves_the_windows_alone() {
    for form in ["decayed", "ring", "exact"] {
        let (mut plain, mut filled) = (profiles(form), profiles(form));
        for hour in 0..72 {
            for profiles in [&mut plain, &mut filled] {
                pay(profiles, NOW + hour * 3_600, 10.0 + hour as f64);
            }
        }
        for n in 0..10_000 {
            let row = pay(&mut filled, n * 30, 1e6);
            assert!(row.iter().all(|value| value.is_finite()));
        }
        assert_eq!(filled.counts().late, 10_000);
        let (expected, found) =
            [&mut plain, &mut filled].map(|profiles| pay(profiles, NOW + 72 * 3_600, 10.0)).into();
        assert_near(&found, &expected, form);
    }
}

/// A row that comes late is as of the entity's newest payment.
#[test]
fn late_rows_are_as_of_the_newest_payment() {
    for form in ["ring", "exact"] {
        let mut profiles = profiles(form);
        pay(&mut profiles, NOW, 5.0);
        let row = pay(&mut profiles, NOW - 3_600, 7.0);
        assert_eq!(row[..2], [2.0, 12.0], "{form}: both are of that day");
        let row = pay(&mut profiles, NOW - 3 * DAY, 9.0);
        assert_eq!(row[..2], [2.0, 21.0], "{form}: of that week, not of that day");
        let row = pay(&mut profiles, NOW - 30 * DAY, 9.0);
        assert_eq!(row[..2], [2.0, 21.0], "{form}: older than both");
    }
}
