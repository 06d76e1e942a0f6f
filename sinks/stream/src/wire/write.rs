//! Events to messages.

use bytes::Bytes;
use millrace_engine::{FeedBatch, FeedEvent};
use millrace_ledger::{AccountChange, AccountEvent, Event, HoldExpired, PaymentEvent, Timestamp};
use millrace_protos::{
    convert::{self, balances, halves, id_bytes, timestamp},
    v1::{self, event::Kind},
};

use super::{act, context, evidence};

/// The messages of a batch's events.
pub fn write_batch(batch: &FeedBatch) -> impl Iterator<Item = v1::Event> {
    batch.events.iter().map(|event| write_event(event, batch.time))
}

/// The message of an event, which happened in a batch of that time.
#[must_use]
pub fn write_event(event: &FeedEvent, time: Timestamp) -> v1::Event {
    let kind = match &event.event {
        Event::Payment(payment) => {
            Kind::PaymentDecided(payment_decided(payment, &event.context, &event.evidence))
        }
        Event::HoldExpired(expired) => Kind::HoldExpired(hold_expired(expired)),
        Event::Account(changed) => Kind::AccountChanged(account_changed(changed)),
        Event::Act(_) => Kind::ActRecorded(act::write(&event.context)),
    };
    let sequence = event.event.seq().0;
    v1::Event { sequence, time: Some(timestamp(time)), kind: Some(kind) }
}

fn payment_decided(event: &PaymentEvent, sent: &Bytes, risk: &Bytes) -> v1::PaymentDecided {
    let PaymentEvent { seq, payment, outcome, verdict, balances: both } = event;
    let (sent, unreadable_context) = match context::is_readable(sent) {
        true => (sent.clone(), Bytes::new()),
        false => (Bytes::new(), sent.clone()),
    };
    let risk_evidence = evidence::write(risk);
    let unreadable_risk_evidence = match &risk_evidence {
        Some(_) => Bytes::new(),
        None => risk.clone(),
    };
    v1::PaymentDecided {
        payment: Some(v1::Payment { context: sent, ..convert::wire_payment(payment) }),
        outcome: Some(convert::outcome(payment.id, *outcome, *verdict, seq.0, false)),
        debit_balances: both.as_ref().map(|[debit, _]| balances(debit)),
        credit_balances: both.as_ref().map(|[_, credit]| balances(credit)),
        event_time: payment.event_time.map(timestamp),
        risk_evidence,
        risk_hold_seconds: verdict.hold_s,
        defect: payment.defect.map_or(0, |reason| reason as i32),
        unreadable_context,
        unreadable_risk_evidence,
    }
}

fn hold_expired(event: &HoldExpired) -> v1::HoldExpired {
    let HoldExpired { seq: _, payment, debit, credit, released, balances: [payer, payee] } = event;
    let (released_minor, released_minor_high) = halves(released.0);
    v1::HoldExpired {
        payment_id: id_bytes(payment.0),
        debit_account_id: id_bytes(debit.0),
        credit_account_id: id_bytes(credit.0),
        released_minor,
        released_minor_high,
        debit_balances: Some(balances(payer)),
        credit_balances: Some(balances(payee)),
    }
}

fn account_changed(event: &AccountEvent) -> v1::AccountChanged {
    let change = match event.change {
        None => v1::AccountChange::Opened,
        Some(AccountChange::Freeze) => v1::AccountChange::Frozen,
        Some(AccountChange::Reopen) => v1::AccountChange::Reopened,
        Some(AccountChange::Close) => v1::AccountChange::Closed,
        // The limit is in the account.
        Some(AccountChange::SetCreditLimit(_)) => v1::AccountChange::CreditLimitSet,
    };
    v1::AccountChanged { change: change as i32, account: Some(convert::account(&event.account)) }
}
