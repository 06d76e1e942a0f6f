//! Leaks: consumes columns and labels, produces a warning for each column that gives the label
//! away.
//!
//! A column that alone ranks fraud nearly perfectly was most likely filled in after the fact (a
//! chargeback code, the kind of fraud), and a model trained on it is worthless on new payments.

use std::fmt;

use serde::Serialize;

use super::{
    names::Names,
    payments::{Context, Payments},
    separation::{AUC_SUSPECT, Group, marked, roc_auc},
};
use crate::metrics::Ranking;

/// Of each class, up to so many payments are ranked by a feature: the area under the ROC curve does
/// not depend on how many of a class are looked at, only its precision does.
const RANKED_MAX: usize = 25_000;

/// How a column gives the label away.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakSign {
    /// Its value is the label, or the opposite of it.
    EqualsLabel,
    /// It is filled in for fraud only, or for legitimate payments only.
    FilledByLabel,
    /// Its value alone ranks the payments with this area under the ROC curve.
    Separates(f64),
    /// Payments of some values are nearly all fraud, and half of all frauds or more have them.
    Marks {
        /// Which, such as `is filled in` or `is "lost"`.
        values: String,
        /// Share of fraud among the payments of these values.
        share_fraud: f64,
        /// Share of all frauds that have them.
        share_of_frauds: f64,
    },
}

/// What gives the label away, and so what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakPlace {
    /// A column that is read.
    Column,
    /// A column that nothing is read from.
    Unread,
    /// A feature of the catalogue.
    Feature,
}

/// A column or a feature that gives the label away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leak {
    /// Its name.
    pub column: String,
    /// What it is.
    pub place: LeakPlace,
    /// How.
    pub sign: LeakSign,
}

impl fmt::Display for Leak {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.column;
        let what = match self.place {
            LeakPlace::Feature => "feature",
            LeakPlace::Column | LeakPlace::Unread => "column",
        };
        match &self.sign {
            LeakSign::EqualsLabel => write!(out, "{what} {name} equals the label"),
            LeakSign::FilledByLabel => {
                write!(out, "whether {what} {name} is filled in tells the label")
            }
            LeakSign::Separates(auc) => {
                write!(out, "{what} {name} alone separates fraud with a ROC AUC of {auc:.4}")
            }
            LeakSign::Marks { values, share_fraud, share_of_frauds } => write!(
                out,
                "where {what} {name} {values}, {:.1} % are fraud, and {:.1} % of all frauds are \
                 there",
                share_fraud * 100.0,
                share_of_frauds * 100.0
            ),
        }?;
        out.write_str(match self.place {
            LeakPlace::Column => "; if it is known only after the payment, leave it out",
            LeakPlace::Unread => {
                "; it is not read now: leave it so if it is known only after the payment"
            }
            LeakPlace::Feature => {
                "; if what it counts is known only after the payment, take it out of the catalogue"
            }
        })
    }
}

/// Looks at the amount, the parties and the further columns of payments. One class only gives no
/// warning.
#[must_use]
pub fn leaks_in_payments(payments: &Payments) -> Vec<Leak> {
    let labels = payments.is_fraud();
    let amounts: Vec<f32> = payments.amount().iter().map(|amount| *amount as f32).collect();
    let amount = sign(&amounts, labels).map(|sign| named("amount", sign));
    let parties = [
        ("payer", payments.payers(), payments.payer()),
        ("payee", payments.payees(), payments.payee()),
    ];
    // A party's number is a name: only what others of it are says something.
    let of_parties = parties.into_iter().filter_map(|(name, names, values)| {
        value_sign(names, &groups(names, values, labels)).map(|sign| named(name, sign))
    });
    let of_contexts = payments
        .contexts()
        .iter()
        .filter_map(|context| context_sign(context, labels).map(|sign| named(&context.name, sign)));
    amount.into_iter().chain(of_parties).chain(of_contexts).collect()
}

/// Looks at whether a column is filled in first, then at its values as numbers, where they are, then
/// at each value alone.
fn context_sign(context: &Context, labels: &[bool]) -> Option<LeakSign> {
    let (names, values) = (&context.names, context.values.as_slice());
    let is_filled: Vec<bool> = names.iter().map(|text| !text.trim().is_empty()).collect();
    let fill = |value: &u32| f32::from(u8::from(is_filled[*value as usize]));
    let filled: Vec<f32> = values.iter().map(fill).collect();
    if sign(&filled, labels).is_some() {
        return Some(LeakSign::FilledByLabel);
    }
    let of_numbers = as_numbers(names, values).and_then(|numbers| sign(&numbers, labels));
    match of_numbers {
        // Only a column of two values can equal the label.
        Some(LeakSign::EqualsLabel) if names.len() > 2 => return Some(LeakSign::Separates(1.0)),
        Some(sign) => return Some(sign),
        None => (),
    }
    let groups = groups(names, values, labels);
    let mut filling = [Group::default(); 2];
    for (group, is_filled) in groups.iter().zip(&is_filled) {
        filling[usize::from(*is_filled)].join(*group);
    }
    marked(&filling, |filled| ["is empty", "is filled in"][filled].to_owned())
        .or_else(|| value_sign(names, &groups))
}

/// What the values say, however many there are: a payment is judged by the others of its value.
fn value_sign(names: &Names, groups: &[Group]) -> Option<LeakSign> {
    let separates = roc_auc(groups).map(LeakSign::Separates);
    separates.or_else(|| marked(groups, |value| format!("is \"{}\"", names.name(value as u32))))
}

fn groups(names: &Names, values: &[u32], labels: &[bool]) -> Vec<Group> {
    let mut groups = vec![Group::default(); names.len()];
    for (value, is_fraud) in values.iter().zip(labels) {
        groups[*value as usize].add(*is_fraud);
    }
    groups
}

/// Looks at each feature of rows that lie one after the other. A missing value ranks below all. Of
/// many payments, some of each class are looked at, evenly spaced.
///
/// # Panics
/// When the rows do not have one value per feature and label.
#[must_use]
pub fn leaks_in_features(features: &[&str], rows: &[f32], is_fraud: &[bool]) -> Vec<Leak> {
    assert_eq!(rows.len(), features.len() * is_fraud.len(), "one value per feature and label");
    let of_class = |class: bool| {
        let places: Vec<usize> =
            (0..is_fraud.len()).filter(|place| is_fraud[*place] == class).collect();
        let stride = places.len().div_ceil(RANKED_MAX).max(1);
        places.into_iter().step_by(stride)
    };
    let ranked: Vec<usize> = of_class(true).chain(of_class(false)).collect();
    let labels: Vec<bool> = ranked.iter().map(|place| is_fraud[*place]).collect();
    let leak = |(feature, name): (usize, &&str)| {
        let value = |place: &usize| match rows[place * features.len() + feature] {
            value if value.is_nan() => f32::NEG_INFINITY,
            value => value,
        };
        let column: Vec<f32> = ranked.iter().map(value).collect();
        let place = LeakPlace::Feature;
        sign(&column, &labels).map(|sign| Leak { column: (*name).to_owned(), place, sign })
    };
    features.iter().enumerate().filter_map(leak).collect()
}

fn named(column: &str, sign: LeakSign) -> Leak {
    Leak { column: column.to_owned(), place: LeakPlace::Column, sign }
}

fn sign(values: &[f32], is_fraud: &[bool]) -> Option<LeakSign> {
    let auc = Ranking::new(values, is_fraud).ok()?.roc_auc();
    let auc = auc.max(1.0 - auc);
    let is_binary = values.iter().all(|value| *value == 0.0 || *value == 1.0);
    match auc {
        1.0 if is_binary => Some(LeakSign::EqualsLabel),
        auc if auc > AUC_SUSPECT => Some(LeakSign::Separates(auc)),
        _ => None,
    }
}

/// The values as numbers, where each is one. An empty one ranks below all.
fn as_numbers(names: &Names, values: &[u32]) -> Option<Vec<f32>> {
    let number = |text: &str| match text.trim() {
        "" => Some(f32::NEG_INFINITY),
        text => text.parse().ok().filter(|number: &f32| !number.is_nan()),
    };
    let numbers: Option<Vec<f32>> = names.iter().map(number).collect();
    numbers.map(|numbers| values.iter().map(|value| numbers[*value as usize]).collect())
}

#[cfg(test)]
mod tests {
    use millrace_ledger::Timestamp;

    use super::*;
    use crate::data::{Payment, PaymentsBuilder};

    /// The value of a column, from the row and its label.
    type Value = fn(usize, bool) -> String;

    /// Of 400 payments, every eighth is fraud.
    fn payments(columns: &[(&str, Value)]) -> Payments {
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let mut builder = PaymentsBuilder::new(&names, true);
        for row in 0..400 {
            let is_fraud = row % 8 == 3;
            let payment = Payment {
                id: "",
                at: Timestamp(row as u64),
                payer: "p",
                payee: "q",
                amount: (row % 7) as f64,
                is_fraud,
                reported_at: None,
            };
            let values: Vec<_> = columns.iter().map(|(_, value)| value(row, is_fraud)).collect();
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            builder.push(&payment, &values);
        }
        builder.finish()
    }

    #[test]
    fn columns_that_give_the_label_away_are_told() {
        let leaks = leaks_in_payments(&payments(&[
            ("copy", |_, is_fraud| u8::from(is_fraud).to_string()),
            (
                "pattern",
                |row, is_fraud| if is_fraud { format!("kind {}", row % 3) } else { String::new() },
            ),
            ("verdict", |row, is_fraud| {
                format!("{}{}", if is_fraud { "stopped" } else { "ok" }, row % 2)
            }),
            ("score", |row, is_fraud| format!("{}", row % 50 + 45 * usize::from(is_fraud))),
            ("reason", |row, is_fraud| match is_fraud && row % 5 > 1 {
                true => "lost".to_owned(),
                false => format!("code {}", row % 3),
            }),
            ("device", |row, _| format!("device {}", row % 11)),
            ("session", |row, _| format!("session {row}")),
            ("risk", |row, is_fraud| format!("{}", row % 50 + 9 * usize::from(is_fraud))),
            // More than a hundred values, of which one is the frauds' alone.
            ("wallet", |row, is_fraud| match is_fraud {
                true => "fraudster".to_owned(),
                false => format!("wallet {}", row / 2),
            }),
            ("terminal", |row, is_fraud| match is_fraud && row % 5 > 1 {
                true => "cloned".to_owned(),
                false => format!("terminal {}", row % 150),
            }),
            ("pair", |row, _| format!("pair {}", row / 2)),
        ]));
        let told: Vec<_> =
            leaks.iter().map(|leak| (leak.column.as_str(), leak.sign.clone())).collect();
        assert_eq!(told.len(), 7, "{told:?}");
        assert_eq!(told[0], ("copy", LeakSign::EqualsLabel));
        assert_eq!(told[1], ("pattern", LeakSign::FilledByLabel));
        assert_eq!(told[2], ("verdict", LeakSign::Separates(1.0)));
        assert!(matches!(told[3], ("score", LeakSign::Separates(auc)) if auc > 0.99 && auc < 1.0));
        let marks = "where column reason is \"lost\", 100.0 % are fraud, and 60.0 % of all frauds";
        assert!(leaks[4].to_string().starts_with(marks), "{}", leaks[4]);
        assert!(matches!(told[5], ("wallet", LeakSign::Separates(auc)) if auc > 0.99), "{told:?}");
        let marks = "where column terminal is \"cloned\", 100.0 % are fraud, and 60.0 % of all";
        assert!(leaks[6].to_string().starts_with(marks), "{}", leaks[6]);
        let expected =
            "column copy equals the label; if it is known only after the payment, leave it out";
        assert_eq!(leaks[0].to_string(), expected);
    }

    #[test]
    fn features_leak_too() {
        let is_fraud: Vec<bool> = (0..100).map(|row| row % 5 == 0).collect();
        let row = |(row, is_fraud): (usize, &bool)| {
            [if *is_fraud { f32::NAN } else { row as f32 }, (row % 3) as f32]
        };
        let rows: Vec<f32> = is_fraud.iter().enumerate().flat_map(row).collect();
        let leaks = leaks_in_features(&["missing", "fine"], &rows, &is_fraud);
        let expected = Leak {
            column: "missing".into(),
            place: LeakPlace::Feature,
            sign: LeakSign::Separates(1.0),
        };
        assert_eq!(leaks, [expected]);
    }
}
