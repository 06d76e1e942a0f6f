//! What history will be asked for is told to it before, all at once: reads from a disk overlap then.

#![allow(clippy::unwrap_used, reason = "a poisoned lock is a failed test")]
#![allow(clippy::disallowed_types, reason = "the history of a test is shared with the ledger")]

#[path = "support/two_accounts.rs"]
mod two_accounts;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use millrace_ledger::{
    Amount, ApproveAll, History, HistoryError, Ledger, LedgerConfig, Operation, Payment, PaymentId,
    Span, Spans, StoredPayment,
};
use two_accounts::{ledger_of_two, payment};

/// A history in memory that writes down what it is told and asked.
#[derive(Clone, Debug, Default)]
struct Witness(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    payments: BTreeMap<PaymentId, StoredPayment>,
    asked: Vec<Asked>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Expect(Vec<PaymentId>),
    Find(PaymentId),
}

impl History for Witness {
    fn spans(&self) -> Arc<Spans> {
        let seen = self.0.lock().unwrap();
        let all = seen.payments.first_key_value().zip(seen.payments.last_key_value());
        let span = all.map(|((first, _), (last, _))| Span { first: *first, last: *last, ids: 9 });
        Arc::new(Spans::of(span, 4))
    }

    fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        let mut seen = self.0.lock().unwrap();
        seen.asked.push(Asked::Find(id));
        Ok(seen.payments.get(&id).copied())
    }

    fn expect(&self, ids: &[PaymentId]) {
        self.0.lock().unwrap().asked.push(Asked::Expect(ids.to_vec()));
    }

    fn as_of_now(&self) -> Arc<dyn History> {
        Arc::new(self.clone())
    }
}

fn refund(id: u128, original: u128) -> Payment {
    let (id, original) = (PaymentId(id), PaymentId(original));
    Payment { id, original, amount: Amount(1), operation: Operation::Refund, ..Payment::default() }
}

/// What history was told and asked while these were decided.
fn decided(ledger: &mut Ledger, witness: &Witness, payments: &[Payment]) -> Vec<Asked> {
    witness.0.lock().unwrap().asked.clear();
    ledger.decide(payments, &mut ApproveAll, |_| {}).expect("history can be read");
    std::mem::take(&mut witness.0.lock().unwrap().asked)
}

fn voided(id: u128, original: u128) -> Payment {
    let (id, original) = (PaymentId(id), PaymentId(original));
    Payment { id, original, amount: Amount::ALL, operation: Operation::Void, ..Payment::default() }
}

/// A ledger that has let these go, all in one generation.
fn let_go(witness: &Witness, payments: &[Payment]) -> Ledger {
    let config = LedgerConfig { history: Arc::new(witness.clone()), ..LedgerConfig::default() };
    let mut ledger = ledger_of_two(config);
    decided(&mut ledger, witness, payments);
    let gone = ledger.close_generation().expect("has payments");
    while ledger.carry_on(usize::MAX) {}
    let shelved = gone.payments().map(|payment| (payment.id, *payment));
    witness.0.lock().unwrap().payments.extend(shelved);
    let digest = gone.digest();
    drop(gone);
    ledger.let_go(digest);
    ledger
}

fn expect(ids: &[u128]) -> Asked {
    Asked::Expect(ids.iter().copied().map(PaymentId).collect())
}

fn find(id: u128) -> Asked {
    Asked::Find(PaymentId(id))
}

/// An open hold is in memory whatever its age, and so is what was brought back before.
#[test]
fn nothing_is_read_for_what_memory_knows() {
    let witness = Witness::default();
    let hold = |id| Payment { operation: Operation::Authorize, ..payment(id) };
    let before = [payment(10), hold(11), hold(12), hold(13), payment(14)];
    let mut ledger = let_go(&witness, &before);
    assert_eq!(decided(&mut ledger, &witness, &[voided(20, 11), voided(21, 12)]), []);
    assert_eq!(decided(&mut ledger, &witness, &[refund(22, 10)]), [find(10)]);
    // One of them ended, one was brought back, one is neither.
    let again = [voided(23, 11), refund(24, 10), voided(25, 13), refund(26, 14)];
    assert_eq!(decided(&mut ledger, &witness, &again), [find(14)]);
    // All of these are in memory by now, ended or not.
    let twice = [refund(30, 14), refund(31, 14), voided(32, 13)];
    assert_eq!(decided(&mut ledger, &witness, &twice), []);
}

#[test]
fn originals_that_are_in_history_only_are_expected_together() {
    let witness = Witness::default();
    // 10 to 19 are let go, 20 is in a closed generation, 30 in the open one.
    let mut ledger = let_go(&witness, &(10..20).map(payment).collect::<Vec<_>>());
    decided(&mut ledger, &witness, &[payment(20)]);
    ledger.close_generation().expect("has a payment");
    decided(&mut ledger, &witness, &[payment(30)]);
    let refunds = [refund(40, 12), refund(41, 20), refund(42, 30), payment(43), refund(44, 17)];
    let asked = decided(&mut ledger, &witness, &refunds);
    assert_eq!(asked, [expect(&[12, 17]), find(12), find(17)]);
    // One alone waits once in any case; 99 is beyond all that history has.
    let asked = decided(&mut ledger, &witness, &[refund(50, 13), refund(51, 99)]);
    assert_eq!(asked, [find(13), find(99)]);
}
