//! Holds that end by themselves: consumes payments that reserve and release money, and guarantees
//! that a hold which ended is not announced any more.

use std::collections::HashMap;

use fjall::OwnedWriteBatch;
use millrace_ledger::{
    AccountId, Amount, Event, EventSeq, Operation, PaymentEvent, PaymentId, Status, Timestamp,
};
use millrace_protos::Trace;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{
    EventKind,
    occasion::Occasion,
    outbox::{Outbox, tables::ending_key},
};
use super::story::Telling;
use crate::{SinkError, notify::Role};

const NS_PER_S: u64 = 1_000_000_000;

/// A hold whose end is still to be announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Hold {
    seq: u64,
    payer: Uuid,
    payee: Uuid,
    left_minor: u128,
    /// When the payee is told.
    pub(in super::super) near_ns: u64,
    pub(in super::super) expires_ns: u64,
    /// The trace in which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl Hold {
    /// What the payee is told, and when.
    pub(in super::super) fn telling(&self, payment: PaymentId, now: Timestamp) -> Telling {
        let occasion = Occasion {
            seq: EventSeq(self.seq),
            time: now,
            kind: EventKind::HoldExpiring,
            payment,
            original: PaymentId::ZERO,
            operation: "authorize",
            payer: AccountId(self.payer.as_u128()),
            payee: AccountId(self.payee.as_u128()),
            amount: Amount(self.left_minor),
            reason: None,
        };
        Telling {
            occasion,
            kinds: vec![EventKind::HoldExpiring],
            role: Role::Payee,
            available: None,
            expires: Some(Timestamp(self.expires_ns)),
            trace: self.traceparent.as_deref().and_then(Trace::parse),
        }
    }
}

/// The holds that one apply changes.
pub(super) struct Holds {
    outbox: Outbox,
    /// How long before its end a hold is announced, in seconds; 0 for never.
    before_s: u32,
    /// As this apply leaves them; `None` for those that ended.
    changed: HashMap<PaymentId, Change, foldhash::fast::RandomState>,
}

#[derive(Clone)]
struct Change {
    before: Option<Hold>,
    after: Option<Hold>,
}

impl Holds {
    pub(super) fn new(outbox: Outbox, before_s: u32) -> Self {
        Self { outbox, before_s, changed: HashMap::default() }
    }

    pub(super) fn begin(&mut self) {
        self.changed.clear();
    }

    /// Notes what the event does to holds.
    pub(super) fn note(
        &mut self,
        event: &Event,
        time: Timestamp,
        trace: Option<Trace>,
    ) -> Result<(), SinkError> {
        match event {
            Event::Payment(payment) if payment.outcome.is_accepted() => {
                self.note_payment(payment, time, trace)
            }
            Event::HoldExpired(expired) => self.take_off(expired.payment, None),
            Event::Payment(_) | Event::Account(_) | Event::Act(_) => Ok(()),
        }
    }

    fn note_payment(
        &mut self,
        event: &PaymentEvent,
        time: Timestamp,
        trace: Option<Trace>,
    ) -> Result<(), SinkError> {
        match (event.outcome.status, event.payment.operation) {
            (Status::Held, _) => {
                self.open(event, time, trace);
                Ok(())
            }
            (_, Operation::Capture) => {
                self.take_off(event.payment.original, Some(event.outcome.amount))
            }
            (_, Operation::Void) => self.take_off(event.payment.original, None),
            _ => Ok(()),
        }
    }

    fn open(&mut self, event: &PaymentEvent, time: Timestamp, trace: Option<Trace>) {
        let seconds = [event.payment.timeout_s, event.verdict.hold_s];
        let Some(seconds) = seconds.into_iter().filter(|seconds| *seconds > 0).min() else {
            return;
        };
        if self.before_s == 0 || seconds <= self.before_s {
            return;
        }
        let after_s = |seconds: u32| time.0.saturating_add(u64::from(seconds) * NS_PER_S);
        let hold = Hold {
            seq: event.seq.0,
            payer: Uuid::from_u128(event.payment.debit.0),
            payee: Uuid::from_u128(event.payment.credit.0),
            left_minor: event.outcome.amount.0,
            near_ns: after_s(seconds - self.before_s),
            expires_ns: after_s(seconds),
            traceparent: trace.map(|trace| trace.to_string()),
        };
        self.changed.insert(event.payment.id, Change { before: None, after: Some(hold) });
    }

    /// Takes an amount off a hold, or all of it.
    fn take_off(&mut self, payment: PaymentId, amount: Option<Amount>) -> Result<(), SinkError> {
        let known = match self.changed.get(&payment) {
            Some(change) => change.clone(),
            None => {
                let stored = read(&self.outbox, payment)?;
                Change { before: stored.clone(), after: stored }
            }
        };
        let Some(mut hold) = known.after else { return Ok(()) };
        hold.left_minor = match amount {
            Some(amount) => hold.left_minor.saturating_sub(amount.0),
            None => 0,
        };
        let after = (hold.left_minor > 0).then_some(hold);
        self.changed.insert(payment, Change { after, ..known });
        Ok(())
    }

    /// Hands over what was noted.
    pub(super) fn put_noted(&mut self, batch: &mut OwnedWriteBatch) {
        for (payment, Change { before, after }) in self.changed.drain() {
            let tables = &self.outbox.tables;
            let key = payment.0.to_be_bytes();
            match (before, after) {
                (None, None) => {}
                (None, Some(hold)) => {
                    let near = ending_key(Timestamp(hold.near_ns), payment.0);
                    batch.insert(&tables.ending, near, []);
                    batch.insert(&tables.holds, key, json(&hold));
                }
                // It may have been announced meanwhile; it is not announced again.
                (Some(_), Some(hold)) => batch.insert(&tables.holds, key, json(&hold)),
                (Some(hold), None) => {
                    batch.remove(&tables.ending, ending_key(Timestamp(hold.near_ns), payment.0));
                    batch.remove(&tables.holds, key);
                }
            }
        }
    }
}

fn json(hold: &Hold) -> Vec<u8> {
    serde_json::to_vec(hold).expect("text and numbers become JSON")
}

/// A hold as it is stored.
pub(in super::super) fn read(
    outbox: &Outbox,
    payment: PaymentId,
) -> Result<Option<Hold>, SinkError> {
    let tables = &outbox.tables;
    let stored = tables.holds.get(payment.0.to_be_bytes());
    let stored = stored.map_err(tables.store.failed("read a hold"))?;
    let hold = stored.map(|stored| serde_json::from_slice(&stored)).transpose();
    hold.map_err(|_| tables.store.damaged(&format!("{payment} of holds")))
}
