//! The review desk's sink: consumes batches of events, writes their rows, and guarantees that rows
//! and cursor are one durable commit.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::{EventSeq, Timestamp};

use super::{ReviewStore, ReviewsConfig, project::Projection, tables::Tables};
use crate::{Sink, SinkError, line_file::create_dir, sink::is_due, store::Place};

const NAME: &str = "reviews";

/// Keeps the review desk.
pub struct ReviewsSink {
    tables: Tables,
    place: Place,
    /// Number of the policy that was set last; 0 before the first.
    policy_number: u32,
    applied_seq: Arc<AtomicU64>,
}

impl ReviewsSink {
    /// Opens the store in `dir`, and goes on from where it stands.
    ///
    /// # Errors
    /// When the store can't be opened, is in use, or is of a later format.
    pub fn open(dir: &Path, _: &ReviewsConfig) -> Result<(Self, ReviewStore), SinkError> {
        create_dir(dir)?;
        let tables = Tables::open(dir)?;
        let place = tables.store.place()?;
        let applied_seq = Arc::new(AtomicU64::new(place.next_seq.0 - 1));
        let store = ReviewStore::new(tables.clone(), Arc::clone(&applied_seq));
        let newest = store.policies(None, 1).map_err(|_| tables.store.damaged("policies"))?;
        let policy_number = newest.first().map_or(0, |policy| policy.number);
        Ok((Self { tables, place, policy_number, applied_seq }, store))
    }
}

impl Sink for ReviewsSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        self.place.next_seq
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        let mut projection = Projection::new(&self.tables, self.policy_number);
        let mut place = self.place;
        for batch in batches {
            place.pass(NAME, batch, |event, time| projection.add(event, time))?;
        }
        if place == self.place {
            return Ok(());
        }
        let (rows, policy_number) = projection.finish();
        self.tables.store.commit(rows, place)?;
        (self.place, self.policy_number) = (place, policy_number);
        self.applied_seq.store(place.next_seq.0 - 1, Ordering::Release);
        Ok(())
    }

    fn skip(&mut self, seq: EventSeq, time: Timestamp, _reason: &str) -> Result<(), SinkError> {
        is_due(NAME, self.place.next_seq, seq)?;
        let place = Place { next_seq: seq.next(), time };
        self.tables.store.commit(self.tables.store.batch(1), place)?;
        self.place = place;
        self.applied_seq.store(place.next_seq.0 - 1, Ordering::Release);
        Ok(())
    }
}
