//! The book's features on the book's data equal the book's definitions.

use std::{collections::BTreeMap, fs::File, path::Path};

use flate2::read::GzDecoder;
use millrace_ledger::Timestamp;
use millrace_risk::features::{Attempt, Catalogue, EntityKey, Label, ProfileLimits, Profiles};

use crate::naive::SECOND;

const ROWS: usize = 150_000;
const DAY: u64 = 86_400;

struct Paid {
    /// Seconds since 1970.
    at: u64,
    amount: f64,
    keys: [EntityKey; 2],
    is_fraud: bool,
}

fn payments() -> Option<Vec<Paid>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = File::open(root.join("../shared/data/card-payments/payments.csv.gz")).ok()?;
    let mut reader = csv::Reader::from_reader(GzDecoder::new(file));
    let payments = reader.records().take(ROWS).map(|record| {
        let record = record.expect("the file is right");
        let number = |field: usize| record[field].parse::<u64>().expect("a number");
        Paid {
            at: seconds(&record[1]),
            amount: record[4].parse().expect("an amount"),
            keys: [EntityKey(number(2) + 1), EntityKey(number(3) + 1)],
            is_fraud: &record[5] == "1",
        }
    });
    Some(payments.collect())
}

/// Of `2018-04-01T00:00:31Z`, in the year of the file.
fn seconds(text: &str) -> u64 {
    let part = |from: usize, len: usize| text[from..from + len].parse::<u64>().expect("digits");
    let days_before = [0, 31, 59, 90, 120, 151, 181, 212][part(5, 2) as usize - 1];
    // 1 January 2018 was day 17,532.
    let day = 17_532 + days_before + part(8, 2) - 1;
    day * DAY + part(11, 2) * 3_600 + part(14, 2) * 60 + part(17, 2)
}

/// The definitions, over all earlier payments of the entity: windows are `(t - w, t]`, of the
/// terminal `(t - 7 d - w, t - 7 d]`.
fn book(payment: &Paid, customer: &[Known], terminal: &[Known]) -> Vec<f64> {
    let hour = payment.at % DAY / 3_600;
    let weekday = (payment.at / DAY + 3) % 7;
    let mut row = vec![payment.amount, f64::from(weekday >= 5), f64::from(hour <= 6)];
    let within = |all: &[Known], from: u64, to: u64| {
        let from = all.partition_point(|paid| paid.0 <= from);
        let to = all.partition_point(|paid| paid.0 <= to);
        all[from..to].to_vec()
    };
    for days in [1, 7, 30] {
        let paid = within(customer, payment.at - days * DAY, payment.at);
        let sum: f64 = paid.iter().map(|paid| paid.1).sum();
        row.extend([paid.len() as f64, sum / paid.len() as f64]);
    }
    for days in [1, 7, 30] {
        let end = payment.at - 7 * DAY;
        let paid = within(terminal, end - days * DAY, end);
        let frauds = paid.iter().filter(|paid| paid.2).count() as f64;
        row.extend([
            paid.len() as f64,
            if paid.is_empty() { 0.0 } else { frauds / paid.len() as f64 },
        ]);
    }
    row
}

/// Time, amount, and whether it is fraud.
type Known = (u64, f64, bool);

#[test]
fn the_book_s_features_are_what_the_book_says() {
    let Some(payments) = payments() else {
        println!("skipped: ../shared/data/card-payments/payments.csv.gz is not there");
        return;
    };
    let mut profiles = Profiles::new(Catalogue::book(), ProfileLimits::default());
    let mut lists = [const { BTreeMap::<EntityKey, Vec<Known>>::new() }; 2];
    let (mut labelled, mut row, mut shares) = (0, [0.0; 15], 0);
    for payment in &payments {
        // Labels come seven days after the payment.
        while payments[labelled].at + 7 * DAY <= payment.at {
            let Paid { at, amount, keys, is_fraud } = &payments[labelled];
            let known_at = Timestamp((at + 7 * DAY) * SECOND);
            let paid_at = Timestamp(at * SECOND);
            let label = Label {
                at: known_at,
                paid_at,
                amount: *amount,
                entities: keys,
                fraud: *is_fraud,
                takes_back: false,
            };
            profiles.label(&label);
            labelled += 1;
        }
        let Paid { at, amount, keys, is_fraud } = payment;
        let at = Timestamp(at * SECOND);
        profiles.observe(&Attempt { at, amount: *amount, entities: keys }, &mut row);
        for (list, key) in lists.iter_mut().zip(keys) {
            list.entry(*key).or_default().push((payment.at, *amount, *is_fraud));
        }
        let expected = book(payment, &lists[0][&keys[0]], &lists[1][&keys[1]]);
        for (place, (value, expected)) in row.iter().zip(&expected).enumerate() {
            let name = &profiles.catalogue().features()[place].name;
            let near = (f64::from(*value) - expected).abs() <= 1e-6 * expected.abs();
            assert!(near, "{} {name}: {value}, not {expected}", payment.at);
        }
        shares += usize::from(row[14] > 0.0);
    }
    assert_eq!(profiles.counts().payments as usize, payments.len());
    assert!(shares > 100, "some terminals had frauds: {shares}");
}
