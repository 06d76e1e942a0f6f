//! The load: consumes a connection, produces payments of every kind until it is told to stop, and what
//! their outcomes come to. Guarantees that every request was answered as it must be.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_client::Connection;
use millrace_protos::v1::{
    CreateAccountsRequest, Operation, Payment, PaymentOutcome, PaymentStatus,
};

use crate::support::{
    payments::{LEDGER, account, id_bytes, pay, submit},
    within,
};

pub(crate) const ACCOUNTS: u128 = 40;
/// Nobody opened it.
const UNKNOWN_ACCOUNT: u128 = 9_999;
/// Holds of ten payments that time out.
const TIMEOUT_S: u32 = 1;

/// How the sender sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Payments of a request, a multiple of ten.
    pub(crate) request_payments: u128,
    /// Between two requests.
    pub(crate) pause: Duration,
}

/// What the sender was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Payments that were decided, each counted once.
    pub(crate) payments: u128,
    /// Number and minor units, by the word for what became of them.
    pub(crate) by_status: BTreeMap<&'static str, (u128, u128)>,
    /// Holds that have to time out.
    pub(crate) expiring: u128,
    /// Messages that owners have to get of all that, expiries included.
    pub(crate) notices: u128,
    /// The longest that a request waited for its answer.
    pub(crate) slowest: Duration,
}

impl Told {
    /// Accounts, payments, expiries: each is an event.
    pub(crate) fn events(&self) -> u128 {
        ACCOUNTS + self.payments + self.expiring
    }
}

/// Opens the accounts, each with an owner, so that somebody is told.
pub(crate) async fn open_owned(connection: &Connection) {
    let accounts = (1..=ACCOUNTS).map(|id| {
        let mut account = account(id, &[]);
        account.owner_id = id_bytes(owner_of(id));
        account
    });
    let request = CreateAccountsRequest { accounts: accounts.collect(), ..Default::default() };
    let response = within("accounts", connection.accounts().create_accounts(request)).await;
    assert_eq!(response.expect("is taken").into_inner().outcomes.len() as u128, ACCOUNTS);
}

fn owner_of(account: u128) -> u128 {
    0xabc_0000 + account
}

/// A payment, what has to become of it, and how many owners are told.
type Expected = (Payment, PaymentStatus, u128);

/// Ten payments that follow each other: holds that are captured in two parts, voided, left to time
/// out, left open; a payment and its refund; a refusal.
fn ten(first: u128) -> [Expected; 10] {
    use PaymentStatus::{Held, Rejected, Settled, Voided};
    let group = first / 10;
    let (debit, credit) = (1 + group % ACCOUNTS, 1 + (group * 7 + 3) % ACCOUNTS);
    let credit = if credit == debit { 1 + credit % ACCOUNTS } else { credit };
    let minor = 2 + group as u64 % 1_000;
    // In time, as the ids that are recommended.
    let id = |place: u128| ((first + place) << 64) | 0x7000;
    let plain = |place, credit| pay(id(place), debit, credit, minor);
    let hold = |place, timeout_seconds| Payment {
        operation: Operation::Authorize as i32,
        timeout_seconds,
        ..plain(place, credit)
    };
    let follow_up = |place, operation: Operation, original, amount_minor| Payment {
        payment_id: id(place),
        original_payment_id: id(original),
        operation: operation as i32,
        amount_minor,
        ledger: LEDGER,
        ..Payment::default()
    };
    [
        (hold(0, 0), Held, 1),
        (follow_up(1, Operation::Capture, 0, Some(minor / 2)), Settled, 2),
        (follow_up(2, Operation::Capture, 0, None), Settled, 2),
        (hold(3, 0), Held, 1),
        (follow_up(4, Operation::Void, 3, None), Voided, 1),
        (plain(5, credit), Settled, 2),
        (follow_up(6, Operation::Refund, 5, Some(1)), Settled, 2),
        (plain(7, UNKNOWN_ACCOUNT), Rejected, 1),
        (hold(8, TIMEOUT_S), Held, 1),
        (hold(9, 0), Held, 1),
    ]
}

/// Pays round and round until it is told to stop, and tells how far it is. Each request must be
/// answered, whatever is dead; its last payment is one of the request before, and must do nothing.
pub(crate) async fn pay_until(
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    connection: Connection,
    pace: Pace,
) -> Told {
    let mut told = Told::default();
    let mut first = 10;
    let mut again: Option<Payment> = None;
    while !stop.load(Ordering::Relaxed) {
        let next = first + pace.request_payments;
        let expected: Vec<Expected> = (first..next).step_by(10).flat_map(ten).collect();
        let payments = expected.iter().map(|(payment, ..)| payment.clone());
        let repeated = again.replace(expected[0].0.clone());
        let payments: Vec<_> = payments.chain(repeated.clone()).collect();
        let asked = Instant::now();
        let outcomes = submit(&connection, payments).await.expect("is answered");
        told.slowest = told.slowest.max(asked.elapsed());
        let (fresh, replayed) = outcomes.split_at(expected.len());
        for ((_, status, notices), outcome) in expected.iter().zip(fresh) {
            assert!(outcome.status == *status as i32 && !outcome.replayed, "{outcome:?}");
            told.note(outcome, *notices);
        }
        assert_eq!(replayed.len(), usize::from(repeated.is_some()));
        assert!(replayed.iter().all(|outcome| outcome.replayed), "{replayed:?}");
        let timing_out = pace.request_payments / 10;
        told.expiring += timing_out;
        told.notices += timing_out;
        sent.store(told.payments as u64, Ordering::Relaxed);
        first = next;
        tokio::time::sleep(pace.pause).await;
    }
    told
}

impl Told {
    fn note(&mut self, outcome: &PaymentOutcome, notices: u128) {
        self.payments += 1;
        self.notices += notices;
        let status = match PaymentStatus::try_from(outcome.status) {
            Ok(PaymentStatus::Settled) => "settled",
            Ok(PaymentStatus::Held) => "held",
            Ok(PaymentStatus::Voided) => "voided",
            Ok(PaymentStatus::Rejected) => "rejected",
            _ => panic!("{outcome:?}"),
        };
        let (count, sum) = self.by_status.entry(status).or_default();
        *count += 1;
        *sum += u128::from(outcome.amount_minor);
    }
}
