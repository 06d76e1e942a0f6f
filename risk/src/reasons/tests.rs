//! What features say of payments, as a table, and which of them are told first.

use super::{in_words, strongest};
use crate::features::Catalogue;

#[test]
fn features_speak_as_the_table_says() {
    let catalogue = Catalogue::parse(
        r#"
version = 1
[[entity]]
name = "payer"
[[entity]]
name = "payee"
[[entity]]
name = "device"
context = "device"
[[entity]]
name = "own"
of = ["payer", "device"]
[[feature]]
name = "amount"
statistic = "amount"
description = "Amount"
[[feature]]
name = "payer.ratio_30d"
entity = "payer"
statistic = "ratio"
window = "30d"
form = "decayed"
description = "Ratio"
[[feature]]
name = "payer.count_1h"
entity = "payer"
statistic = "count"
window = "1h"
form = "ring"
description = "Count"
[[feature]]
name = "payer.count_30d"
entity = "payer"
statistic = "count"
window = "30d"
description = "Count, fading"
[[feature]]
name = "payer.unusual_14d"
entity = "payer"
statistic = "count_unusual"
window = "14d"
times = 2
usual = "30d"
description = "Unusual ones"
[[feature]]
name = "payee.fraud_share_7d"
entity = "payee"
statistic = "fraud_share"
window = "7d"
form = "decayed"
description = "Share"
[[feature]]
name = "payer.zscore_1d"
entity = "payer"
statistic = "zscore"
window = "1d"
form = "decayed"
description = "Deviations"
[[feature]]
name = "weekday"
statistic = "weekday"
description = "Day"
[[feature]]
name = "night"
statistic = "night"
description = "Night"
[[feature]]
name = "payee.fraud_run_age"
entity = "payee"
statistic = "fraud_run_age"
description = "Run"
[[feature]]
name = "device.payers_1d"
entity = "device"
statistic = "distinct"
of = "payer"
window = "1d"
form = "ring"
description = "Payers"
[[feature]]
name = "device.age"
entity = "device"
statistic = "age"
description = "Age"
[[feature]]
name = "own.age"
entity = "own"
statistic = "age"
description = "Age together"
[[feature]]
name = "odd"
statistic = "quotient"
of = ["amount", "payer.count_1h"]
description = "Amount per payment."
"#,
    )
    .expect("a right catalogue");
    let told = |name: &str, value: f32| {
        let place = catalogue.index_of(name).expect("it is there");
        let mut row = vec![0.0; catalogue.len()];
        row[place] = value;
        in_words(&catalogue, place, &row)
    };
    for (name, value, words) in [
        ("amount", 412.5, "amount is 412.50"),
        ("payer.ratio_30d", 6.21, "amount is 6.2 times the payer's 30-day mean"),
        (
            "payer.ratio_30d",
            f32::NAN,
            "nothing is known of the payer's payments before (payer.ratio_30d)",
        ),
        ("payer.count_1h", 21.0, "21 payments of the payer in 1 hour"),
        ("payer.count_1h", 1.0, "1 payment of the payer in 1 hour"),
        ("payer.count_1h", 0.0, "no payments of the payer in 1 hour"),
        ("payer.count_30d", 1_234.4, "about 1,234 payments of the payer in about 30 days"),
        ("payer.count_30d", 1.0002, "about 1 payment of the payer in about 30 days"),
        (
            "payer.unusual_14d",
            4.4,
            "about 4 payments of the payer in about 14 days were above 2 times its usual amount",
        ),
        (
            "payer.unusual_14d",
            0.9,
            "about 1 payment of the payer in about 14 days was above 2 times its usual amount",
        ),
        (
            "payer.unusual_14d",
            0.02,
            "no payments of the payer in about 14 days were above 2 times its usual amount",
        ),
        (
            "payer.unusual_14d",
            0.3,
            "hardly any payments of the payer in about 14 days were above 2 times its usual amount",
        ),
        (
            "payee.fraud_share_7d",
            0.083,
            "8.3 % of the payee's payments in about 7 days are known as fraud",
        ),
        (
            "payer.zscore_1d",
            -3.06,
            "amount is 3.1 standard deviations below the payer's 1-day mean",
        ),
        ("weekday", 6.0, "paid on a Sunday"),
        ("night", 1.0, "paid at night"),
        (
            "payee.fraud_run_age",
            273_600.0,
            "the payee has had nothing but fraud reported, the first 3 d 4 h ago",
        ),
        (
            "payee.fraud_run_age",
            f32::NAN,
            "the payee's newest payments of which it is known are honest",
        ),
        ("device.payers_1d", 4.0, "4 different payers at the device in 1 day"),
        ("device.payers_1d", 1.0, "one payer at the device in 1 day"),
        ("device.age", 0.0, "the device was never seen before"),
        ("device.age", 7_200.0, "the device was first seen 2 h ago"),
        ("own.age", 0.0, "payer and device were never seen together before"),
        ("own.age", 3_600.0, "payer and device were first seen together 1 h ago"),
        ("odd", 2.5, "Amount per payment: 2.5"),
        ("odd", f32::NAN, "Amount per payment is not known"),
    ] {
        assert_eq!(told(name, value), words, "{name}");
    }
}

#[test]
fn the_strongest_come_first() {
    let moved = [0.1, -5.0, 0.6, 0.0, 0.3];
    assert_eq!(strongest(&moved, 2), [(2, 0.6), (4, 0.3)]);
    assert!(strongest(&[-1.0, 0.0], 3).is_empty());
}

#[test]
fn every_shipped_feature_has_words() {
    for catalogue in [Catalogue::book(), Catalogue::standard(), Catalogue::devices()] {
        for value in [f32::NAN, 0.0, 1.0, 2.5, 1e9, -1.0] {
            let row = vec![value; catalogue.len()];
            for feature in 0..catalogue.len() {
                assert!(!in_words(&catalogue, feature, &row).is_empty());
            }
        }
    }
}
