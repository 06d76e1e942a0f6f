//! A session of the sink: consumes events, produces transactions. Guarantees that each transaction has
//! the rows of its events and the cursor behind them, and that they are committed in order.
//!
//! One connection keeps one processor of the server busy. Where there is a backlog, two take turns:
//! while one merges what its transaction changes, the other copies the payments of the next one, which
//! are more than half of the work and depend on nothing. What follows from earlier events is read,
//! merged and committed only when the transaction before it is.

use std::collections::BTreeSet;

use futures_util::future::join;
use millrace_ledger::{Event, EventSeq, PaymentId};
use millrace_sinks::{SinkError, graphql::PaymentState};
use tokio_postgres::{Client, Error, Row, error::SqlState};
use uuid::Uuid;

use crate::{
    PostgresConfig,
    copy::timestamp,
    database::{Database, is_of_a_row, text_of},
    names::{PAYMENT_STATES, value_of},
    numeric::Minor,
    partitions::{Month, Partitions},
    project::{Due, Projection, Standing, UnknownPayment, ids_to_read},
    sink::Place,
    sql_time::SqlTime,
    write::{self, STAGES, Step, Units, WriteError},
};

/// Transactions that one apply has where there is a backlog.
const APPLY_TRANSACTIONS: usize = 4;

/// How events are spread over transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transactions {
    /// Of one that is not the last, where two go on at a time.
    events: usize,
    /// Whether two go on at a time.
    overlap: bool,
}

impl Transactions {
    pub(crate) fn of(config: &PostgresConfig) -> Self {
        let events = config.transaction_events.max(1);
        Self { events, overlap: config.write_connections > 1 }
    }

    /// Several transactions at once: the first and the last of them overlap with nothing.
    pub(crate) fn apply_events_max(self) -> usize {
        self.events.saturating_mul(APPLY_TRANSACTIONS)
    }
}

/// A connection that holds the lock, and one that helps it.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// Made when it is needed first. It has no lock: a transaction of it that is not expected any more
    /// finds that the cursor has moved.
    second: Option<Client>,
    pub(crate) partitions: Partitions,
    units: Units,
    transactions: Transactions,
}

impl Session {
    pub(crate) fn new(client: Client, partitions: Partitions, transactions: Transactions) -> Self {
        Self { client, second: None, partitions, units: Units::default(), transactions }
    }

    /// Writes the events, and tells of each transaction that is committed. What is refused is not, nor
    /// is anything behind it.
    pub(crate) async fn write(
        &mut self,
        database: &Database,
        events: &[Due<'_>],
        forgets: bool,
        mut committed: impl FnMut(Place, &Projection<'_>),
    ) -> Result<(), Refused> {
        let months = events.iter().filter(|(event, _)| matches!(event.event, Event::Payment(_)));
        let months: BTreeSet<_> = months.map(|(_, time)| Month::of(*time)).collect();
        self.partitions.prepare(&mut self.client, database, &months).await?;
        self.units.learn(events);
        let overlaps = self.transactions.overlap && events.len() > self.transactions.events;
        let second = if overlaps { self.second(database).await } else { None };
        let step_events = if second.is_some() { self.transactions.events } else { events.len() };
        let second = second.and(self.second.as_ref());
        let clients = [&self.client, second.unwrap_or(&self.client)];
        let (known, noted) = self.units.split();
        let done = async {
            let mut steps = events.chunks(step_events.max(1)).peekable();
            let Some(first) = steps.peek() else { return Ok(()) };
            let refused = |error, step: &[Due<'_>]| Refused::of(database, error, step.len());
            let begun = write::begin(clients[0], first, known).await;
            begun.map_err(|error| refused(error.into(), first))?;
            let mut turn = 0;
            while let Some(step) = steps.next() {
                let (this, next) = (clients[turn % 2], clients[(turn + 1) % 2]);
                turn += 1;
                // Without a second connection there is but one step.
                let beginning = async {
                    let Some(behind) = steps.peek() else { return Ok(()) };
                    let begun = write::begin(next, behind, known).await;
                    begun.map_err(|error| refused(error.into(), behind))
                };
                let merging = merge(this, database, Step { events: step, known, noted }, forgets);
                let (merged, begun) = join(merging, beginning).await;
                let (to, projection) = merged?;
                committed(to, &projection);
                begun?;
            }
            Ok(())
        };
        let done = done.await;
        if done.is_err() {
            // A connection that can't is gone, and its transaction with it.
            for client in clients {
                drop(client.batch_execute("ROLLBACK").await);
            }
            // What it said of ledgers went with the transaction.
            self.units.forget();
        }
        done
    }

    /// The other connection, made if need be. A server that has none to spare is written to by one.
    async fn second(&mut self, database: &Database) -> Option<()> {
        if self.second.as_ref().is_some_and(|second| !second.is_closed()) {
            return Some(());
        }
        self.second = None;
        let made = match database.connect().await.map_err(database.failed("connect once more")) {
            Ok(second) => create_stages(&second, database).await.map(|()| second),
            Err(error) => Err(error),
        };
        match made {
            Ok(second) => self.second = Some(second),
            Err(error) => tracing::warn!(%error, "the read model is written by one connection"),
        }
        self.second.as_ref().map(|_| ())
    }
}

/// Makes the temporary tables of a connection.
pub(crate) async fn create_stages(client: &Client, database: &Database) -> Result<(), SinkError> {
    let prepared = client.batch_execute(STAGES).await;
    prepared.map_err(database.failed("create its temporary tables"))
}

/// Finishes a transaction whose payments are copied.
async fn merge<'a>(
    client: &Client,
    database: &Database,
    mut step: Step<'_, 'a>,
    forgets: bool,
) -> Result<(Place, Projection<'a>), Refused> {
    let events = step.events;
    let (first, last) = (events.first(), events.last());
    let (Some((first, _)), Some((last, time))) = (first, last) else {
        unreachable!("a step has events")
    };
    let from = first.event.seq();
    let to = Place { next_seq: last.event.seq().next(), time: *time };
    let known = read_standings(client, database, &ids_to_read(events)).await?;
    let projection = Projection::of(events, known, forgets).map_err(|unknown| {
        let UnknownPayment { event, payment } = unknown;
        let problem = format!("it names payment {payment}, which no earlier event brought");
        Refused::Row { problem: format!("event {event}: {problem}"), events: events.len() }
    })?;
    let mut merged = write::merge(client, &mut step, &projection, from, to, false).await;
    if let Err(WriteError::Database(error)) = &merged
        && is_id_there(error)
    {
        step.noted.clear();
        merged = again(client, &mut step, &projection, from, to).await;
    }
    merged.map_err(|error| Refused::of(database, error, events.len()))?;
    Ok((to, projection))
}

/// The whole transaction once more: some of its ids are there.
async fn again(
    client: &Client,
    step: &mut Step<'_, '_>,
    projection: &Projection<'_>,
    from: EventSeq,
    to: Place,
) -> Result<(), WriteError> {
    client.batch_execute("ROLLBACK").await?;
    write::begin(client, step.events, step.known).await?;
    write::merge(client, step, projection, from, to, true).await
}

/// Why events were not written.
pub(crate) enum Refused {
    /// Because of what one of so many holds, the server or the projection says.
    Row { problem: String, events: usize },
    /// Whatever they hold.
    All(SinkError),
}

impl Refused {
    /// `events`: those of the transaction.
    pub(crate) fn of(database: &Database, error: WriteError, events: usize) -> Self {
        match error {
            WriteError::Database(error) if is_of_a_row(&error) => {
                Self::Row { problem: text_of(&error), events }
            }
            WriteError::Database(error) => Self::All(database.failed("write")(error)),
            WriteError::CursorMoved => {
                let problem = "another process moved the cursor in millrace.sink_cursor; let one \
                               process keep one schema";
                Self::All(database.wrong("write", false, problem))
            }
        }
    }
}

impl From<SinkError> for Refused {
    fn from(error: SinkError) -> Self {
        Self::All(error)
    }
}

fn is_id_there(error: &Error) -> bool {
    error.as_db_error().is_some_and(|said| {
        *said.code() == SqlState::UNIQUE_VIOLATION && said.constraint() == Some("payment_ids_pkey")
    })
}

/// How these payments stand.
async fn read_standings(
    client: &Client,
    database: &Database,
    ids: &[PaymentId],
) -> Result<Vec<(PaymentId, Standing)>, SinkError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = ids.iter().map(|id| Uuid::from_u128(id.0)).collect();
    let sql = "SELECT payment_id, event_seq, decided_at, state, remaining_minor, released_minor \
               FROM payment_ids WHERE payment_id = ANY($1)";
    let rows = client.query(sql, &[&ids]).await.map_err(database.failed("read payments"))?;
    let standings: Option<Vec<_>> = rows.iter().map(standing_of).collect();
    standings.ok_or_else(|| {
        let problem = "a row of millrace.payment_ids is not what this program writes. Rebuild the \
                       read model from the journal (millrace sinks rebuild graphql)";
        database.wrong("read payments", false, problem)
    })
}

fn standing_of(row: &Row) -> Option<(PaymentId, Standing)> {
    let state: PaymentState = value_of(&PAYMENT_STATES, row.get(3))?;
    let standing = Standing {
        seq: EventSeq(u64::try_from(row.get::<_, i64>(1)).ok()?),
        // Only names the month, and times of holds: to the microsecond, like its column.
        time: timestamp(row.get::<_, SqlTime>(2).0, 0)?,
        state,
        left: row.try_get::<_, Minor>(4).ok()?.0,
        released: row.try_get::<_, Minor>(5).ok()?.0,
        stored: true,
        changed: false,
    };
    Some((PaymentId(row.get::<_, Uuid>(0).as_u128()), standing))
}
