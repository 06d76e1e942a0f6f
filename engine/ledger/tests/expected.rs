//! What history will be asked for is told to it before, all at once: reads from a disk overlap then.

#![allow(clippy::unwrap_used, reason = "a poisoned lock is a failed test")]
#![allow(clippy::disallowed_types, reason = "the history of a test is shared with the ledger")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use millrace_ledger::{
    AccountId, AccountSpec, Amount, ApproveAll, Code, History, HistoryError, Ledger, LedgerConfig,
    LedgerId, Operation, Payment, PaymentId, Span, Spans, StoredPayment,
};

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

fn pay(id: u128) -> Payment {
    Payment {
        id: PaymentId(id),
        debit: AccountId(1),
        credit: AccountId(2),
        amount: Amount(5),
        ledger: LedgerId(203),
        code: Code(1),
        ..Payment::default()
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

#[test]
fn originals_that_are_in_history_only_are_expected_together() {
    let witness = Witness::default();
    let config = LedgerConfig { history: Arc::new(witness.clone()), ..LedgerConfig::default() };
    let mut ledger = Ledger::with_config(config);
    for id in [1, 2].map(AccountId) {
        let (ledger_id, code) = (LedgerId(203), Code(1));
        let spec = AccountSpec { id, ledger: ledger_id, code, ..AccountSpec::default() };
        ledger.create_account(&spec);
    }
    // 10 to 19 are let go, 20 is in a closed generation, 30 in the open one.
    decided(&mut ledger, &witness, &(10..20).map(pay).collect::<Vec<_>>());
    let gone = ledger.close_generation().expect("has payments");
    decided(&mut ledger, &witness, &[pay(20)]);
    ledger.close_generation().expect("has a payment");
    decided(&mut ledger, &witness, &[pay(30)]);
    let shelved = gone.payments().map(|payment| (payment.id, *payment));
    witness.0.lock().unwrap().payments.extend(shelved);
    let digest = gone.digest();
    drop(gone);
    ledger.let_go(digest);

    let expect = |ids: &[u128]| Asked::Expect(ids.iter().copied().map(PaymentId).collect());
    let find = |id| Asked::Find(PaymentId(id));
    let refunds = [refund(40, 12), refund(41, 20), refund(42, 30), pay(43), refund(44, 17)];
    let asked = decided(&mut ledger, &witness, &refunds);
    assert_eq!(asked, [expect(&[12, 17]), find(12), find(17)]);
    // One alone waits once in any case; 99 is beyond all that history has.
    let asked = decided(&mut ledger, &witness, &[refund(50, 13), refund(51, 99)]);
    assert_eq!(asked, [find(13), find(99)]);
}
