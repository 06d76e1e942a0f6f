//! The sink of the outbox: consumes batches of events, writes notifications, holders and holds, and
//! guarantees that they and the place in the feed are one durable commit.

use std::sync::Arc;

use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{Event, EventSeq, Status, Timestamp};
use millrace_protos::Trace;

use super::{
    super::outbox::{Outbox, Row},
    holders::Holders,
    holds::Holds,
    story::{Telling, tellings},
    teller::Teller,
};
use crate::{Sink, SinkError, sink::is_due, store::Place};

const NAME: &str = "notify";
/// Notifications of one commit, give or take those of a batch.
const COMMIT_ROWS: usize = 4_096;

/// Fills the outbox.
pub struct OutboxSink {
    outbox: Outbox,
    teller: Arc<Teller>,
    holders: Holders,
    holds: Holds,
    place: Place,
    /// Composed, but not yet committed.
    rows: Vec<Row>,
}

impl OutboxSink {
    pub(in super::super) fn new(outbox: Outbox, teller: Arc<Teller>, hold_expiring_s: u32) -> Self {
        Self {
            place: outbox.standing().place,
            holders: Holders::new(outbox.clone()),
            holds: Holds::new(outbox.clone(), hold_expiring_s),
            rows: Vec::new(),
            outbox,
            teller,
        }
    }

    fn tell(&mut self, event: &FeedEvent, time: Timestamp) -> Result<(), SinkError> {
        if let Event::Account(account) = &event.event {
            self.holders.note(account);
        }
        let trace = trace_of(event);
        if self.concerns_holds(&event.event)? {
            self.holds.note(&event.event, time, trace)?;
        }
        for telling in tellings(&event.event, time) {
            let telling = Telling { trace, ..telling };
            let (account, _) = telling.occasion.accounts(telling.role);
            let holder = self.holders.get(account, event.event.seq())?;
            if let Some(holder) = holder {
                self.rows.extend(self.teller.compose(&telling, holder)?);
            }
        }
        Ok(())
    }

    /// Nobody is told of the end of a hold whose payee nobody is known to own.
    fn concerns_holds(&mut self, event: &Event) -> Result<bool, SinkError> {
        let Event::Payment(payment) = event else { return Ok(true) };
        match payment.outcome.status {
            Status::Held => Ok(self.holders.get(payment.payment.credit, payment.seq)?.is_some()),
            _ => Ok(true),
        }
    }

    /// Makes durable what was composed, and the place after it.
    fn commit(&mut self, place: Place) -> Result<(), SinkError> {
        let mut change = self.outbox.change();
        self.holders.put_noted(&mut change.batch);
        self.holds.put_noted(&mut change.batch);
        for row in self.rows.drain(..) {
            change.add(row)?;
        }
        change.set_place(place);
        change.commit()?;
        self.place = place;
        Ok(())
    }
}

impl Sink for OutboxSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        self.place.next_seq
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        self.holders.begin();
        self.holds.begin();
        self.rows.clear();
        self.teller.owners.recipients.refresh();
        let mut place = self.place;
        for batch in batches {
            place.pass(NAME, batch, |event, time| {
                self.tell(event, time).map_err(|error| poisoned(error, event))
            })?;
            if self.rows.len() >= COMMIT_ROWS {
                self.commit(place)?;
            }
        }
        if place != self.place {
            self.commit(place)?;
        }
        Ok(())
    }

    /// What the event would have told is not told.
    fn skip(&mut self, seq: EventSeq, time: Timestamp, _reason: &str) -> Result<(), SinkError> {
        is_due(NAME, self.place.next_seq, seq)?;
        self.holders.begin();
        self.holds.begin();
        self.rows.clear();
        self.commit(Place { next_seq: seq.next(), time })
    }

    /// Tells what the events tell, each once. Ends of holds are announced only where the sink saw
    /// the hold in its turn.
    fn replay(&mut self, batch: &FeedBatch) -> Result<(), SinkError> {
        self.holders.begin();
        self.holds.begin();
        self.rows.clear();
        for event in &batch.events {
            self.tell(event, batch.time).map_err(|error| poisoned(error, event))?;
        }
        self.holds.begin();
        self.commit(self.place)
    }
}

/// The trace in which the event's payment was made. What is beside other events is no context.
fn trace_of(event: &FeedEvent) -> Option<Trace> {
    match event.event {
        Event::Payment(_) => Trace::of_context(&event.context),
        Event::HoldExpired(_) | Event::Account(_) | Event::Act(_) => None,
    }
}

/// A template that can't be rendered for an event is at fault for this event only.
fn poisoned(error: SinkError, event: &FeedEvent) -> SinkError {
    match error {
        SinkError::Template { .. } => {
            SinkError::Poison { sink: NAME, seq: event.event.seq(), problem: error.to_string() }
        }
        other => other,
    }
}
