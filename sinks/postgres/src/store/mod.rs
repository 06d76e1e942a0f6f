//! Answers queries from the tables: consumes ids, filters and pages, produces views. Guarantees
//! that each answer is one statement, so that it is as of one commit, and that no statement takes
//! longer than it may.

mod accounts;
#[cfg(test)]
mod explain_tests;
mod history;
mod model;
mod payments;
mod pool;
mod rows;
mod statement;
mod totals;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use millrace_sinks::{SinkError, graphql::ReadError};
use tokio::time::sleep;

use crate::{
    PostgresConfig, PostgresSink,
    applied::Applied,
    database::Database,
    sink::{NAME, Place, place_of},
};
use pool::Reads;

/// How often a store that has no sink beside it looks how far the tables are.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it waits where the database does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The read model in PostgreSQL, readable from any task. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore {
    reads: Arc<Reads>,
    applied: Arc<Applied>,
}

impl PostgresStore {
    /// Reads what a sink writes: one of this process, whose commits are then known at once, or
    /// another one, or one whose replica is read. Connections are made when queries need them.
    ///
    /// # Errors
    /// When a url is none.
    ///
    /// # Panics
    /// Outside of a runtime, unless the sink's own database is read.
    pub fn open(config: &PostgresConfig, sink: Option<&PostgresSink>) -> Result<Self, SinkError> {
        let (setting, url) = config.url_to_read();
        let session = [
            ("statement_timeout", config.statement_timeout_ms.to_string()),
            ("default_transaction_read_only", "on".to_owned()),
            ("jit", "off".to_owned()),
        ];
        let database = Database::parse(setting, url, config, &session)?;
        let reads = Arc::new(Reads::new(database, config)?);
        let applied = match sink.filter(|_| config.read_url.is_empty()) {
            Some(sink) => sink.applied(),
            None => {
                let start = Place::start().applied();
                let applied = Arc::new(Applied::new(start));
                tokio::spawn(follow(Arc::downgrade(&reads), Arc::downgrade(&applied)));
                applied
            }
        };
        Ok(Self { reads, applied })
    }
}

/// Looks how far the tables are, as long as there is a store.
async fn follow(reads: Weak<Reads>, applied: Weak<Applied>) {
    let mut was_away = false;
    loop {
        let (Some(reads), Some(applied)) = (reads.upgrade(), applied.upgrade()) else { return };
        let wait = match read_place(&reads).await {
            Ok(place) => {
                if place.applied().seq > applied.place().seq {
                    applied.jump(place.applied());
                }
                was_away = false;
                LOOK_EVERY
            }
            Err(error) => {
                if !was_away {
                    tracing::warn!(%error, "can't see how far the read model is");
                }
                was_away = true;
                LOOK_AGAIN
            }
        };
        drop((reads, applied));
        sleep(wait).await;
    }
}

/// Where the tables are, as the database says.
async fn read_place(reads: &Reads) -> Result<Place, ReadError> {
    let sql = "SELECT next_seq, batch_time, batch_ns FROM millrace.sink_cursor WHERE sink = $1";
    let rows = reads.prepared(sql, &[&NAME]).await?;
    match rows.first() {
        Some(row) => place_of(row).ok_or(ReadError::Damaged),
        None => Ok(Place::start()),
    }
}
