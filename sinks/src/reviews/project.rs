//! Projects events onto rows: consumes the events of one apply, produces one batch of rows.
//! Guarantees that what an earlier event of the same apply changed is seen by a later one.

use std::collections::HashMap;

use fjall::{Keyspace, OwnedWriteBatch};
use millrace_engine::feed::FeedEvent;
use millrace_ledger::{
    Event, EventSeq, HoldExpired, Operation, PaymentEvent, PaymentId, RiskDecision, Status,
    Timestamp,
};
use millrace_risk::{
    acts::{Act, ActKind},
    desk::{Deed, HoldEnd, PolicySet, Report, Resolution, ReviewKind, Standing},
};

use super::{
    row,
    tables::{Tables, open_key},
};
use crate::SinkError;

/// The rows of one apply, in the making.
pub(super) struct Projection<'a> {
    tables: &'a Tables,
    batch: OwnedWriteBatch,
    /// Standings that this apply made or changed.
    standings: HashMap<PaymentId, Standing, foldhash::fast::RandomState>,
    /// Number of the policy that was set last.
    policy_number: u32,
    buffer: Vec<u8>,
}

impl<'a> Projection<'a> {
    pub(super) fn new(tables: &'a Tables, policy_number: u32) -> Self {
        Self {
            tables,
            batch: tables.store.batch(64),
            standings: HashMap::default(),
            policy_number,
            buffer: Vec::new(),
        }
    }

    /// The rows, and the number of the policy that was set last.
    pub(super) fn finish(self) -> (OwnedWriteBatch, u32) {
        (self.batch, self.policy_number)
    }

    pub(super) fn add(&mut self, event: &FeedEvent, time: Timestamp) -> Result<(), SinkError> {
        match &event.event {
            Event::Payment(payment) => {
                self.add_decision(payment, time, event);
                self.follow_up(payment)
            }
            Event::HoldExpired(expired) => self.add_expiry(expired),
            Event::Account(_) => Ok(()),
            Event::Act(act) => self.add_act(act.seq, time, &event.context),
        }
    }

    fn add_decision(&mut self, event: &PaymentEvent, time: Timestamp, beside: &FeedEvent) {
        let decision = event.verdict.decision;
        if matches!(decision, RiskDecision::NotJudged | RiskDecision::Approve) {
            return;
        }
        // A refusal that leaves the id free decides nothing: the payment may come again.
        if matches!(event.outcome.status, Status::Rejected(reason) if !reason.burns_id()) {
            return;
        }
        let id = event.payment.id;
        self.buffer.clear();
        row::put_decided(&mut self.buffer, event, time, &beside.context, &beside.evidence);
        self.batch.insert(&self.tables.decisions, id.0.to_be_bytes(), &self.buffer[..]);
        let Some(kind) = ReviewKind::of(decision) else { return };
        if event.outcome.status != Status::Held {
            return;
        }
        let standing = Standing {
            kind,
            seq: event.seq.0,
            left_minor: event.outcome.amount.0,
            expires_at_ns: expiry(event, time),
            end: None,
            claim: None,
            resolution: None,
        };
        self.put_standing(id, standing);
    }

    /// What an accepted capture or void changes of a review.
    fn follow_up(&mut self, event: &PaymentEvent) -> Result<(), SinkError> {
        if !event.outcome.is_accepted() {
            return Ok(());
        }
        let end = match event.payment.operation {
            Operation::Capture => HoldEnd::Captured,
            Operation::Void => HoldEnd::Voided,
            Operation::Pay | Operation::Authorize | Operation::Refund => return Ok(()),
        };
        self.take_off(event.payment.original, event.outcome.amount.0, end)
    }

    fn add_expiry(&mut self, event: &HoldExpired) -> Result<(), SinkError> {
        self.take_off(event.payment, event.released.0, HoldEnd::Expired)
    }

    fn take_off(&mut self, id: PaymentId, minor: u128, end: HoldEnd) -> Result<(), SinkError> {
        let Some(mut standing) = self.standing(id)? else { return Ok(()) };
        standing.left_minor = standing.left_minor.saturating_sub(minor);
        if standing.left_minor == 0 || end != HoldEnd::Captured {
            standing.end = Some(end);
        }
        self.put_standing(id, standing);
        Ok(())
    }

    fn add_act(&mut self, seq: EventSeq, time: Timestamp, act: &[u8]) -> Result<(), SinkError> {
        let Act { actor, why, act } = match Act::read(act) {
            Ok(act) => act,
            Err(error) => {
                // A later version's act: nothing here is about it.
                tracing::warn!(%seq, %error, "the review desk leaves out an act");
                return Ok(());
            }
        };
        let deed = Deed { by: actor, why, at_ns: time.0, seq: seq.0 };
        match act {
            ActKind::SetPolicy { policy, .. } => {
                self.policy_number += 1;
                let row = PolicySet { number: self.policy_number, name: policy, deed };
                let key = self.policy_number.to_be_bytes();
                self.batch.insert(&self.tables.policies, key, row::json(&row));
            }
            // What is on the shelf decides nothing.
            ActKind::Upload { .. } => {}
            // Nor is it about a review.
            ActKind::ReplayEvent(_)
            | ActKind::DropEvent(_)
            | ActKind::RebuildSink(_)
            | ActKind::RotateAuditKey(_)
            | ActKind::OpenAccounts(_)
            | ActKind::ChangeAccount(_)
            | ActKind::ResendNotification(_)
            | ActKind::SetPreferences(_) => {}
            ActKind::Label(label) => {
                let row = Report { fraud: label.fraud, deed };
                let key = label.payment.as_u128().to_be_bytes();
                self.batch.insert(&self.tables.reports, key, row::json(&row));
            }
            ActKind::ClaimReview { payment, by } => {
                let id = PaymentId(payment.as_u128());
                let Some(mut standing) = self.standing(id)? else { return Ok(()) };
                standing.claim = (!by.is_empty()).then_some(Deed { by, ..deed });
                self.put_standing(id, standing);
            }
            ActKind::ResolveReview { payment, approve } => {
                let id = PaymentId(payment.as_u128());
                let Some(mut standing) = self.standing(id)? else { return Ok(()) };
                standing.resolution = Some(Resolution { approve, deed });
                self.put_standing(id, standing);
            }
        }
        Ok(())
    }

    fn standing(&mut self, id: PaymentId) -> Result<Option<Standing>, SinkError> {
        if let Some(known) = self.standings.get(&id) {
            return Ok(Some(known.clone()));
        }
        let store = &self.tables.store;
        let stored = self.tables.standings.get(id.0.to_be_bytes());
        let stored = stored.map_err(store.failed("read a standing"))?;
        let read = stored.map(|stored| row::from_json(&stored)).transpose();
        read.map_err(|_| store.damaged(&format!("standing of {id}")))
    }

    fn put_standing(&mut self, id: PaymentId, standing: Standing) {
        let key = open_key(standing.kind, standing.seq);
        let open: &Keyspace = &self.tables.open;
        match standing.end {
            Some(_) => self.batch.remove(open, key),
            None => {
                let claimed_by = standing.claim.as_ref().map(|claim| claim.by.as_str());
                self.batch.insert(open, key, row::open_row(id, claimed_by));
            }
        }
        self.batch.insert(&self.tables.standings, id.0.to_be_bytes(), row::json(&standing));
        self.standings.insert(id, standing);
    }
}

/// When the hold is released by itself: what the payment asked for, or risk if that is sooner.
fn expiry(event: &PaymentEvent, time: Timestamp) -> Option<u64> {
    let seconds = [event.payment.timeout_s, event.verdict.hold_s];
    let seconds = seconds.into_iter().filter(|seconds| *seconds > 0).min()?;
    Some(time.0.saturating_add(u64::from(seconds) * 1_000_000_000))
}
