//! Holds that ended long before their time-outs leave nothing behind: the ledger's memory is that of the holds
//! that are open.

#[path = "support/two_accounts.rs"]
mod two_accounts;

use millrace_ledger::{
    Amount, ApproveAll, Decision, Ledger, LedgerConfig, Operation, Payment, PaymentId, Timestamp,
};
use two_accounts::{ledger_of_two, payment};

const DAY_S: u32 = 86_400;

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

fn begin(ledger: &mut Ledger, seconds: u64) -> Vec<PaymentId> {
    let mut expired = Vec::new();
    ledger.begin_batch(at(seconds), &mut expired);
    expired.into_iter().map(|event| event.payment).collect()
}

fn take(ledger: &mut Ledger, payment: Payment) {
    let accepted = |decision: &Decision| match decision {
        Decision::New(event) => assert!(event.outcome.is_accepted(), "{event:?}"),
        Decision::Replay { .. } => panic!("it is new"),
    };
    ledger.decide(&[payment], &mut ApproveAll, accepted).expect("no history is asked");
}

fn hold(id: u128, timeout_s: u32) -> Payment {
    Payment { operation: Operation::Authorize, timeout_s, ..payment(id) }
}

fn end(id: u128, operation: Operation) -> Payment {
    let (id, original, amount) = (PaymentId(1_000_000 + id), PaymentId(id), Amount::ALL);
    Payment { id, original, amount, operation, ..Payment::default() }
}

#[test]
fn time_outs_of_holds_that_ended_go_with_them() {
    let mut ledger = ledger_of_two(LedgerConfig::default());
    begin(&mut ledger, 1);
    for id in 1..=100 {
        take(&mut ledger, hold(id, 7 * DAY_S));
        let how = if id % 2 == 0 { Operation::Capture } else { Operation::Void };
        take(&mut ledger, end(id, how));
    }
    assert_eq!(ledger.next_expiry(), None);
    ledger.close_generation().expect("has payments");

    // Those that are open are not forgotten, whichever generation they are of.
    for id in 101..=200 {
        take(&mut ledger, hold(id, DAY_S * (id as u32 - 100)));
        if ![103, 150].contains(&id) {
            take(&mut ledger, end(id, Operation::Void));
        }
    }
    ledger.close_generation().expect("has payments");
    let days = |days: u32| u64::from(days * DAY_S) + 1;
    assert_eq!(ledger.next_expiry(), Some(at(days(3))));
    take(&mut ledger, hold(201, 5 * DAY_S));
    assert_eq!(begin(&mut ledger, days(3)), [PaymentId(103)]);
    assert_eq!(begin(&mut ledger, days(5)), [PaymentId(201)]);
    assert_eq!(ledger.next_expiry(), Some(at(days(50))));
    assert_eq!(begin(&mut ledger, days(50)), [PaymentId(150)]);
    assert_eq!(ledger.next_expiry(), None);
}
