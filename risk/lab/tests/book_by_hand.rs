//! The book's 15 features of a file that is small enough to compute by hand: the plain form of what
//! `risk/tests/features/book.rs` holds on the book's own data.

use millrace_risk::features::Catalogue;
use millrace_risk_lab::{
    data::{LabelDelay, ReadSettings, read},
    dataset::Replay,
};

/// 2 April 2018 was a Monday.
const FILE: &str = "\
payment_id,time,customer,terminal,amount,is_fraud
1,2018-04-02T10:00:00Z,alice,shop,10.00,0
2,2018-04-02T12:00:00Z,bob,shop,20.00,1
3,2018-04-03T09:00:00Z,alice,shop,30.00,0
4,2018-04-07T03:00:00Z,alice,kiosk,50.00,0
5,2018-04-09T11:00:00Z,carol,shop,5.00,0
6,2018-04-10T08:00:00Z,alice,shop,70.00,0
7,2018-04-11T10:00:00Z,bob,shop,40.00,0
8,2018-05-05T00:30:00Z,alice,kiosk,10.00,0
";

const THIRD: f32 = 1.0 / 3.0;

/// Amount, weekend, night; the customer's count and mean over 1, 7 and 30 days, this payment
/// included; the terminal's count and share of fraud over 1, 7 and 30 days that end 7 days before.
#[rustfmt::skip]
const EXPECTED: [[f32; 15]; 8] = [
    [10.0, 0.0, 0.0,  1.0, 10.0,  1.0, 10.0,  1.0, 10.0,  0.0, 0.0,  0.0, 0.0,  0.0, 0.0],
    [20.0, 0.0, 0.0,  1.0, 20.0,  1.0, 20.0,  1.0, 20.0,  0.0, 0.0,  0.0, 0.0,  0.0, 0.0],
    // 23 hours after the first.
    [30.0, 0.0, 0.0,  2.0, 20.0,  2.0, 20.0,  2.0, 20.0,  0.0, 0.0,  0.0, 0.0,  0.0, 0.0],
    // Saturday, three in the morning.
    [50.0, 1.0, 1.0,  1.0, 50.0,  3.0, 30.0,  3.0, 30.0,  0.0, 0.0,  0.0, 0.0,  0.0, 0.0],
    // Seven days ago the shop had had the first payment, and not yet the fraud.
    [ 5.0, 0.0, 0.0,  1.0,  5.0,  1.0,  5.0,  1.0,  5.0,  1.0, 0.0,  1.0, 0.0,  1.0, 0.0],
    // The customer's first payment is more than seven days old; the shop had had the fraud.
    [70.0, 0.0, 0.0,  1.0, 70.0,  3.0, 50.0,  4.0, 40.0,  2.0, 0.5,  2.0, 0.5,  2.0, 0.5],
    // The customer's fraud counts as a payment; the shop had had none for a day.
    [40.0, 0.0, 0.0,  1.0, 40.0,  1.0, 40.0,  2.0, 30.0,  0.0, 0.0,  3.0, THIRD,  3.0, THIRD],
    // Saturday, half past midnight. Payments of more than 30 days ago are forgotten.
    [10.0, 1.0, 1.0,  1.0, 10.0,  1.0, 10.0,  3.0, 130.0 / 3.0,  0.0, 0.0,  0.0, 0.0,  1.0, 0.0],
];

#[test]
fn the_features_of_eight_payments_are_as_computed_by_hand() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("payments.csv");
    std::fs::write(&file, FILE).expect("is written");
    let (payments, _) = read(&file, &ReadSettings::default(), &mut |_, _| {}).expect("is right");
    let catalogue = Catalogue::book();
    let replay =
        Replay { payments: &payments, catalogue: &catalogue, label_delay: LabelDelay::days(7) };
    let rows: Vec<u32> = (0..8).collect();
    let table = replay.table(&rows, &mut |_| {});
    for (place, expected) in EXPECTED.iter().enumerate() {
        let found = table.row(place);
        for (feature, (found, expected)) in
            catalogue.features().iter().zip(found.iter().zip(expected))
        {
            let (id, name) = (payments.id(place), &feature.name);
            assert!(
                (found - expected).abs() < 1e-5,
                "payment {id}, {name}: {found}, not {expected}"
            );
        }
    }
}
