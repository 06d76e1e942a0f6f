//! What the server's profiles say of payments while frauds are reported, taken back and reported
//! again, and what a replay of the journal says of them afterwards, are the same to the bit.

use millrace_ledger::Timestamp;
use millrace_risk::features::{Attempt, Catalogue, EntityKey, Label, ProfileLimits, Profiles};
use millrace_risk_lab::{
    data::{Payment, Payments, PaymentsBuilder, Report},
    dataset::Replay,
};
use proptest::prelude::*;

const HOUR_NS: u64 = 3_600 * 1_000_000_000;
const FIRST_HOUR: u64 = 400_000;

/// Shares of frauds in every form of window, with and without delay.
fn forms() -> String {
    let mut text =
        "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\n".to_owned();
    for form in ["decayed", "ring", "exact"] {
        for delay in ["", "delay = \"1d\"\n"] {
            for statistic in ["fraud_share", "fraud_count"] {
                let name = format!("payee.{statistic}_{form}_{}", delay.len());
                text += &format!(
                    "[[feature]]\nname = \"{name}\"\nentity = \"payee\"\nstatistic = \"{statistic}\"\n\
                     window = \"9d\"\nform = \"{form}\"\n{delay}"
                );
            }
        }
    }
    text + "[[feature]]\nname = \"payer.since_fraud\"\nentity = \"payer\"\nstatistic = \"since_fraud\"\n"
}

/// A payment of this hour, and after how many hours each it was reported as fraud, taken back,
/// reported again and so on.
#[derive(Clone, Debug)]
struct Made {
    hour: u64,
    payer: u8,
    payee: u8,
    reports: Vec<u64>,
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    let reports = prop::collection::vec(1_u64..200, 0..5);
    let one = (0_u64..600, 0_u8..3, 0_u8..3, reports);
    let one = one.prop_map(|(hour, payer, payee, reports)| Made { hour, payer, payee, reports });
    prop::collection::vec(one, 1..60).prop_map(|mut made| {
        made.sort_by_key(|one| one.hour);
        made
    })
}

fn time(hour: u64) -> Timestamp {
    Timestamp((FIRST_HOUR + hour) * HOUR_NS)
}

/// When each report comes, of which payment, and whether it says fraud. In this order they are
/// journaled.
fn reports(made: &[Made]) -> Vec<(u64, usize, bool)> {
    let mut reports = Vec::new();
    for (row, one) in made.iter().enumerate() {
        let mut hour = one.hour;
        for (number, after) in one.reports.iter().enumerate() {
            hour += after;
            reports.push((hour, row, number % 2 == 0));
        }
    }
    reports.sort_by_key(|(hour, row, _)| (*hour, *row));
    reports
}

/// As the journal has it; payments are added backwards, so that they have to be sorted.
fn journal(made: &[Made]) -> Payments {
    let mut builder = PaymentsBuilder::new(&[], true);
    for one in made.iter().rev() {
        let payment = Payment {
            id: "",
            at: time(one.hour),
            payer: &one.payer.to_string(),
            payee: &one.payee.to_string(),
            amount: 1.0 + one.hour as f64,
            is_fraud: false,
            reported_at: None,
        };
        builder.push(&payment, &[]);
    }
    for (hour, row, is_fraud) in reports(made) {
        let row = (made.len() - 1 - row) as u32;
        builder.report(Report { row, at: time(hour), is_fraud, takes_back: !is_fraud });
    }
    builder.finish()
}

fn keys(payments: &Payments, row: usize) -> [EntityKey; 2] {
    let payer = payments.payers().name(payments.payer()[row]);
    let payee = payments.payees().name(payments.payee()[row]);
    [EntityKey::of("payer", payer.as_bytes()), EntityKey::of("payee", payee.as_bytes())]
}

/// One event after the other, as the server sees them.
fn live(payments: &Payments, told: &[Report], catalogue: &Catalogue) -> Vec<u32> {
    let mut profiles = Profiles::new(catalogue.clone(), ProfileLimits::default());
    let (mut rows, mut told) = (Vec::new(), told.iter().peekable());
    for (row, at) in payments.at().iter().enumerate() {
        while let Some(report) = told.next_if(|report| report.at <= *at) {
            let its = report.row as usize;
            profiles.label(&Label {
                at: report.at,
                paid_at: payments.at()[its],
                amount: payments.amount()[its],
                entities: &keys(payments, its),
                fraud: report.is_fraud,
                takes_back: report.takes_back,
            });
        }
        let mut features = vec![0.0_f32; catalogue.len()];
        let (amount, entities) = (payments.amount()[row], &keys(payments, row)[..]);
        profiles.observe(&Attempt { at: *at, amount, entities }, &mut features);
        rows.extend(features.iter().map(|value| value.to_bits()));
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replay_says_what_the_server_said(made in made(), which in 0_usize..3) {
        let forms = forms();
        let catalogue = [&*forms, Catalogue::STANDARD, Catalogue::BOOK][which];
        let catalogue = Catalogue::parse(catalogue).expect("a right catalogue");
        let payments = journal(&made);
        let mut told = payments.reports().to_vec();
        prop_assert_eq!(told.len(), made.iter().map(|one| one.reports.len()).sum::<usize>());
        told.sort_by_key(|report| (report.at, report.row));
        let label_delay = "7d".parse().expect("a delay");
        let replay = Replay { payments: &payments, catalogue: &catalogue, label_delay };
        let all: Vec<u32> = (0..payments.len() as u32).collect();
        let replayed = replay.table(&all, &mut |_| ());
        let replayed: Vec<_> = replayed.values.iter().map(|value| value.to_bits()).collect();
        prop_assert_eq!(replayed, live(&payments, &told, &catalogue));
    }
}

/// What is said last is the label, known when it was said.
#[test]
fn the_last_report_is_the_label() {
    let one = |hour, reports: &[u64]| Made { hour, payer: 1, payee: 1, reports: reports.to_vec() };
    let payments = journal(&[one(1, &[]), one(2, &[3]), one(3, &[3, 4]), one(4, &[3, 4, 5])]);
    assert_eq!(payments.is_fraud(), [false, true, false, true]);
    let known: Vec<_> = (0..4).map(|row| payments.reported_at(row)).collect();
    assert_eq!(known, [None, Some(time(5)), Some(time(10)), Some(time(16))]);
    let rows: Vec<_> = payments.reports().iter().map(|report| report.row).collect();
    assert_eq!(rows, [1, 2, 2, 3, 3, 3]);
}

/// A report may say that it was known before the one that it takes back. It can't have been.
#[test]
fn no_report_is_known_before_the_one_that_it_follows() {
    let mut builder = PaymentsBuilder::new(&[], true);
    let (id, payer, payee) = ("", "p", "q");
    let (is_fraud, reported_at) = (false, None);
    let payment = Payment { id, at: time(1), payer, payee, amount: 1.0, is_fraud, reported_at };
    builder.push(&payment, &[]);
    for (hour, is_fraud) in [(9, true), (5, false)] {
        builder.report(Report { row: 0, at: time(hour), is_fraud, takes_back: !is_fraud });
    }
    let payments = builder.finish();
    assert_eq!(payments.reports().iter().map(|it| it.at).collect::<Vec<_>>(), [time(9); 2]);
}
