//! The read model's sink: consumes batches of events, writes their rows, and guarantees that rows
//! and cursor are one durable commit.

use std::{path::Path, sync::Arc};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::{EventSeq, Timestamp};

use super::{
    GraphqlConfig,
    applied::Applied,
    project::{HistoryAccounts, Projection},
    read::ReadStore,
    tables::Tables,
};
use crate::{Sink, SinkError, line_file::create_dir, sink::is_due, store::Place};

const NAME: &str = "graphql";

/// Keeps the read model.
pub struct GraphqlSink {
    tables: Tables,
    place: Place,
    /// In memory, because every event asks.
    history_accounts: HistoryAccounts,
    applied: Arc<Applied>,
}

impl GraphqlSink {
    /// Opens the store in `dir`, and goes on from where it stands.
    ///
    /// # Errors
    /// When the store can't be opened, is in use, or is of a later format.
    pub fn open(dir: &Path, config: &GraphqlConfig) -> Result<(Self, ReadStore), SinkError> {
        create_dir(dir)?;
        let tables = Tables::open(dir, config.cache_mib)?;
        let place = tables.place()?;
        let history_accounts = tables.history_accounts()?.into_iter().collect();
        let applied = Arc::new(Applied::new(place));
        let store = ReadStore::new(tables.clone(), Arc::clone(&applied), &config.limits);
        Ok((Self { tables, place, history_accounts, applied }, store))
    }
}

impl Sink for GraphqlSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        self.place.next_seq
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        let events = batches.iter().map(|batch| batch.events.len()).sum();
        let mut projection = Projection::new(&self.tables, &self.history_accounts, events);
        let mut place = self.place;
        for batch in batches {
            place.pass(NAME, batch, |event, time| projection.add(event, time))?;
        }
        if place == self.place {
            return Ok(());
        }
        let rows = projection.finish()?;
        self.tables.commit(rows.batch, place)?;
        self.history_accounts.extend(rows.history_accounts);
        self.place = place;
        self.applied.advance(place, rows.changed);
        Ok(())
    }

    fn skip(&mut self, seq: EventSeq, time: Timestamp, _reason: &str) -> Result<(), SinkError> {
        is_due(NAME, self.place.next_seq, seq)?;
        let place = Place { next_seq: seq.next(), time };
        self.tables.commit(self.tables.batch(1), place)?;
        self.place = place;
        self.applied.advance(place, []);
        Ok(())
    }
}
