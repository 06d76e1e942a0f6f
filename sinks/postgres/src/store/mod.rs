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
mod reads;
mod replica;
mod rows;
mod statement;
mod totals;

use std::sync::Arc;

use millrace_sinks::{SinkError, graphql::ReadError};

use tokio_postgres::Row;

use crate::{
    PostgresConfig, PostgresSink,
    applied::Applied,
    sink::{NAME, Place, place_of},
};
use reads::Reads;
use replica::follow;

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
        let reads = Arc::new(Reads::new(config)?);
        let written = sink.map(PostgresSink::applied);
        let applied = match written {
            Some(applied) if config.read_url.is_empty() => applied,
            written => {
                let start = Place::start().applied();
                let applied = Arc::new(Applied::new(start));
                tokio::spawn(follow(Arc::downgrade(&reads), Arc::downgrade(&applied), written));
                applied
            }
        };
        Ok(Self { reads, applied })
    }
}

/// Where the tables are, as the database says.
async fn read_place(reads: &Reads) -> Result<Place, ReadError> {
    place_in(&reads.prepared(PLACE, &[&NAME]).await?)
}

const PLACE: &str =
    "SELECT next_seq, batch_time, batch_ns FROM millrace.sink_cursor WHERE sink = $1";

fn place_in(rows: &[Row]) -> Result<Place, ReadError> {
    match rows.first() {
        Some(row) => place_of(row).ok_or(ReadError::Damaged),
        None => Ok(Place::start()),
    }
}
