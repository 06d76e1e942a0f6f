//! Reasons in words: consumes a feature and a payment's row, produces what an analyst reads: "amount
//! is 6.2 times the payer's 30-day mean".
//!
//! Guarantees a sentence for every feature of every catalogue; what has no wording of its own here
//! is told by its description and its value.

use crate::{
    features::{Catalogue, EntitySource, Feature, Form, Span, Statistic},
    rules::unit::Unit,
};

/// What the value of a feature says of a payment.
///
/// # Panics
/// When the catalogue has no such feature, or the row is not one of its rows.
#[must_use]
pub fn in_words(catalogue: &Catalogue, feature: usize, row: &[f32]) -> String {
    value_in_words(catalogue, feature, row[feature])
}

/// What this value of a feature says of a payment.
///
/// # Panics
/// When the catalogue has no such feature.
#[must_use]
pub fn value_in_words(catalogue: &Catalogue, feature: usize, value: f32) -> String {
    let feature_is = &catalogue.features()[feature];
    let name_of = |place: usize| catalogue.entities()[place].name.as_str();
    let entity = feature_is.entity.map_or("payment", name_of);
    let pair = feature_is.entity.and_then(|place| match catalogue.entities()[place].source {
        EntitySource::Pair(one, other) => Some((name_of(one), name_of(other))),
        _ => None,
    });
    let counted = match feature_is.statistic {
        Statistic::Distinct => feature_is.of.first().map_or("", |place| name_of(*place)),
        _ => "",
    };
    let words = Words { feature: feature_is, entity, pair, counted, value };
    match value.is_nan() {
        true => words.missing(),
        false => words.known().unwrap_or_else(|| words.described()),
    }
}

/// The features that moved a payment's score up most, the farthest first, and by what share of all
/// that moved it up. `contributions` are those of [`crate::model::Model::contributions`]; where a
/// lower sum is the higher score, turn their signs.
#[must_use]
pub fn strongest(contributions: &[f32], most: usize) -> Vec<(usize, f32)> {
    let up = contributions.iter().copied().enumerate().filter(|(_, by)| *by > 0.0);
    let mut up: Vec<_> = up.collect();
    let all: f32 = up.iter().map(|(_, by)| by).sum();
    up.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    up.truncate(most);
    up.iter_mut().for_each(|(_, by)| *by /= all);
    up
}

struct Words<'a> {
    feature: &'a Feature,
    entity: &'a str,
    /// The two that an entity of both is made of.
    pair: Option<(&'a str, &'a str)>,
    /// What is counted, if something other than payments is.
    counted: &'a str,
    value: f32,
}

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Words<'_> {
    /// `None` where there is no wording for the statistic.
    fn known(&self) -> Option<String> {
        let (entity, yes) = (self.entity, self.value != 0.0);
        let value = self.shown();
        let over = self.over();
        let times = self.feature.times;
        Some(match self.feature.statistic.name() {
            "amount" => format!("amount is {value}"),
            "hour" => format!("paid between {0}:00 and {0}:59 UTC", self.value),
            "weekday" => {
                format!("paid on a {}", DAYS.get(self.value as usize).unwrap_or(&"strange day"))
            }
            "weekend" if yes => "paid on a weekend".to_owned(),
            "weekend" => "paid on a working day".to_owned(),
            "night" if yes => "paid at night".to_owned(),
            "night" => "paid in the daytime".to_owned(),
            "count" => {
                let (payments, _) = self.payments();
                format!("{payments} of the {entity}{over}")
            }
            "sum" => format!("the {entity}'s payments{over} add up to {value}"),
            "mean" => format!("the {entity}'s mean amount{over} is {value}"),
            "std" => format!("amounts of the {entity}{over} vary by {value}"),
            "min" => format!("the {entity}'s least amount{over} is {value}"),
            "max" => format!("the {entity}'s greatest amount{over} is {value}"),
            "since_last" => format!("the {entity}'s payment before was {value} ago"),
            "distinct" => match self.value {
                1.0 => format!("one {} at the {entity}{over}", self.counted),
                _ => format!("{value} different {}s at the {entity}{over}", self.counted),
            },
            "age" => match (self.pair, yes) {
                (Some((one, other)), false) => {
                    format!("{one} and {other} were never seen together before")
                }
                (Some((one, other)), true) => {
                    format!("{one} and {other} were first seen together {value} ago")
                }
                (None, false) => format!("the {entity} was never seen before"),
                (None, true) => format!("the {entity} was first seen {value} ago"),
            },
            "ratio" => {
                format!("amount is {value} times the {entity}'s {}mean", self.of_days())
            }
            "max_ratio" => {
                format!("a payment of the {entity}{over} was {value} times its usual amount")
            }
            "zscore" => format!(
                "amount is {:.1} standard deviations {} the {entity}'s {}mean",
                self.value.abs(),
                if self.value < 0.0 { "below" } else { "above" },
                self.of_days()
            ),
            "count_unusual" => {
                let (payments, is_one) = self.payments();
                let were = if is_one { "was" } else { "were" };
                format!(
                    "{payments} of the {entity}{over} {were} above {times} times its usual amount"
                )
            }
            "share_unusual" => format!(
                "{value} of the {entity}'s payments{over} were above {times} times its usual amount"
            ),
            "fraud_count" => {
                let (payments, is_one) = self.payments();
                let are = if is_one { "is" } else { "are" };
                format!("{payments} of the {entity}{over} {are} known as fraud")
            }
            "fraud_share" => {
                format!("{value} of the {entity}'s payments{over} are known as fraud")
            }
            "since_fraud" => format!("a fraud of the {entity} was reported {value} ago"),
            "fraud_average" => {
                format!("of the {entity}'s payments that were judged last, {value} were fraud")
            }
            "fraud_run_age" => {
                format!("the {entity} has had nothing but fraud reported, the first {value} ago")
            }
            "fraud_run_gap" => format!(
                "the {entity}'s last honest payment was {value} before the first of its frauds"
            ),
            "since_honest" => {
                format!("the {entity}'s last payment that is known as honest was {value} ago")
            }
            _ => return None,
        })
    }

    fn missing(&self) -> String {
        let entity = self.entity;
        match self.feature.statistic.name() {
            "since_last" | "ratio" | "zscore" | "mean" => {
                format!(
                    "nothing is known of the {entity}'s payments before ({})",
                    self.feature.name
                )
            }
            "since_fraud" => format!("no fraud of the {entity} was reported"),
            "fraud_run_age" | "fraud_run_gap" => {
                format!("the {entity}'s newest payments of which it is known are honest")
            }
            "since_honest" => format!("no payment of the {entity} is known as honest"),
            _ => format!("{} is not known", self.described_as()),
        }
    }

    fn described(&self) -> String {
        format!("{}: {}", self.described_as(), self.shown())
    }

    fn described_as(&self) -> &str {
        match self.feature.description.as_str() {
            "" => &self.feature.name,
            description => description.trim_end_matches('.'),
        }
    }

    /// So many payments, and whether that is one. What fades is no whole number: it is rounded.
    fn payments(&self) -> (String, bool) {
        let rounded = self.value.round();
        let about = if rounded == self.value { "" } else { "about " };
        match rounded {
            0.0 if self.value > 0.05 => ("hardly any payments".to_owned(), false),
            0.0 => ("no payments".to_owned(), false),
            1.0 => (format!("{about}1 payment"), true),
            _ => {
                let shown = Unit::named(&self.feature.unit).show(rounded);
                (format!("{about}{shown} payments"), false)
            }
        }
    }

    fn shown(&self) -> String {
        Unit::named(&self.feature.unit).show(self.value)
    }

    /// ` in 7 days`; what fades is not sharp.
    fn over(&self) -> String {
        match (self.feature.window, self.feature.form) {
            (None, _) => String::new(),
            (Some(Span::Ever), _) => " so far".to_owned(),
            (Some(window), Form::Decayed) => format!(" in about {}", spelled(window)),
            (Some(window), _) => format!(" in {}", spelled(window)),
        }
    }

    /// `30-day `, or nothing where the window has no end.
    fn of_days(&self) -> String {
        match self.feature.window {
            Some(window @ Span::Seconds(_)) => {
                let spelled = spelled(window);
                format!("{} ", spelled.trim_end_matches('s').replace(' ', "-"))
            }
            _ => String::new(),
        }
    }
}

fn spelled(window: Span) -> String {
    const UNITS: [(&str, u64); 4] =
        [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let Span::Seconds(seconds) = window else { return "all time".to_owned() };
    let whole = UNITS.iter().find(|(_, size)| seconds.is_multiple_of(*size) && seconds > 0);
    let (unit, size) = whole.unwrap_or(&("second", 1));
    match seconds / size {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
