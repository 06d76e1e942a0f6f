//! The sink that keeps the read model in PostgreSQL: consumes batches of events, produces rows.
//! Guarantees that rows and cursor are one commit, and that one process at a time writes.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::{Event, EventSeq, PaymentId, Timestamp};
use millrace_sinks::{
    Sink, SinkError,
    graphql::{PaymentState, model::AppliedPlace},
};
use tokio::sync::watch;
use tokio_postgres::{Client, Row, error::SqlState};
use uuid::Uuid;

use crate::{
    PostgresConfig,
    copy::timestamp,
    database::Database,
    migrate::migrate,
    names::{PAYMENT_STATES, value_of},
    numeric::Minor,
    partitions::{Month, Partitions},
    project::{Due, Projection, Standing, ids_to_read},
    sql_time::SqlTime,
    worker::Worker,
    write::{STAGES, Units, WriteError, write},
};

/// The name of the embedded sink, too: a deployment has one of the two.
pub(crate) const NAME: &str = "graphql";

/// "mill", and what is locked.
const LOCK: &str = "1835625580, 2";
/// How long the lock of a process that was killed may outlive it.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(200);
/// How often retention looks.
const RETENTION_EVERY: Duration = Duration::from_secs(600);

/// Where the tables stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) next_seq: EventSeq,
    pub(crate) time: Timestamp,
}

impl Place {
    pub(crate) fn applied(self) -> AppliedPlace {
        AppliedPlace { seq: EventSeq(self.next_seq.0 - 1), time: self.time }
    }
}

/// Keeps the read model in PostgreSQL.
pub struct PostgresSink {
    worker: Worker,
    writer: Writer,
}

/// All but the runtime.
struct Writer {
    database: Database,
    retention_days: u32,
    place: Place,
    session: Option<Session>,
    applied: watch::Sender<AppliedPlace>,
    retention_at: Option<Instant>,
}

/// A connection that holds the lock.
struct Session {
    client: Client,
    partitions: Partitions,
    units: Units,
}

impl PostgresSink {
    /// Connects, brings the schema to this program's version, and goes on from where the tables
    /// stand.
    ///
    /// # Errors
    /// When the database can't be reached or refuses, is of a later version, or when another
    /// process keeps this read model.
    pub fn open(config: &PostgresConfig) -> Result<Self, SinkError> {
        let session = [
            ("statement_timeout", config.apply_timeout_ms.to_string()),
            ("idle_in_transaction_session_timeout", "60000".to_owned()),
            // All that is merged is found by an index, however few the rows seem to be.
            ("enable_hashjoin", "off".to_owned()),
            ("enable_mergejoin", "off".to_owned()),
            ("jit", "off".to_owned()),
            ("temp_buffers", "32MB".to_owned()),
            ("client_min_messages", "warning".to_owned()),
        ];
        let database = Database::parse("url", &config.url, config.connect_timeout_ms, &session)
            .map_err(|problem| SinkError::Database {
                sink: NAME,
                action: "connect",
                database: "the url of the settings".to_owned(),
                problem,
                transient: false,
            })?;
        let worker = Worker::new().map_err(|error| {
            database.wrong("start a runtime for it", true, error.to_string())
        })?;
        let place = Place { next_seq: EventSeq::FIRST, time: Timestamp(0) };
        let (applied, _) = watch::channel(place.applied());
        let mut writer = Writer {
            database,
            retention_days: config.retention_days,
            place,
            session: None,
            applied,
            retention_at: None,
        };
        worker.run(writer.connect())?;
        Ok(Self { worker, writer })
    }

    /// Tells of every commit. A [`crate::PostgresStore`] that reads the same database answers from
    /// at least that place.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<AppliedPlace> {
        self.writer.applied.subscribe()
    }
}

impl Sink for PostgresSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        self.writer.place.next_seq
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        let applied = self.worker.run(self.writer.apply(batches));
        if applied.is_err() {
            // Whatever the session is in the middle of goes with it.
            self.writer.session = None;
        }
        applied
    }
}

impl Writer {
    /// Makes a session, and takes the place from the database: whether the last commit of a session
    /// that was lost came through is known there alone.
    async fn connect(&mut self) -> Result<(), SinkError> {
        let database = &self.database;
        let mut client = database.connect().await.map_err(database.failed("connect"))?;
        lock(&client, database).await?;
        migrate(&mut client, database).await?;
        let prepared = client.batch_execute(STAGES).await;
        prepared.map_err(database.failed("create its temporary tables"))?;
        self.place = read_place(&client, database).await?;
        self.applied.send_replace(self.place.applied());
        let partitions = Partitions::load(&client, database).await?;
        self.session = Some(Session { client, partitions, units: Units::new() });
        Ok(())
    }

    async fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            self.session = None;
            let before = self.place;
            self.connect().await?;
            if self.place.next_seq < before.next_seq {
                let problem = format!(
                    "it went back from event {} to {}; its events are read again",
                    before.next_seq, self.place.next_seq
                );
                return Err(self.database.wrong("go on", true, problem));
            }
        }
        let (events, to) = due(self.place, batches)?;
        if events.is_empty() {
            return Ok(());
        }
        self.write(&events, to).await?;
        self.place = to;
        self.applied.send_replace(to.applied());
        self.drop_old().await
    }

    async fn write(&mut self, events: &[Due<'_>], to: Place) -> Result<(), SinkError> {
        let database = &self.database;
        let session = self.session.as_mut().expect("was made before");
        let known = read_standings(&session.client, database, &ids_to_read(events)).await?;
        let projection = Projection::of(events, known, self.retention_days > 0);
        let projection = projection.map_err(|unknown| {
            let problem = format!(
                "payment {} is not in millrace.payment_ids, and a later event names it. Drop the \
                 schema millrace and start again: it is rebuilt from the journal",
                unknown.0
            );
            database.wrong("find a payment", false, problem)
        })?;
        let months = events.iter().filter(|(event, _)| matches!(event.event, Event::Payment(_)));
        let months: BTreeSet<_> = months.map(|(_, time)| Month::of(*time)).collect();
        session.partitions.prepare(&mut session.client, database, &months).await?;
        let places = [self.place, to];
        for merge_ids in [false, true] {
            let (client, units) = (&mut session.client, &mut session.units);
            match write(client, events, &projection, units, places, merge_ids).await {
                Ok(()) => return Ok(()),
                Err(WriteError::Database(error)) if !merge_ids && is_id_there(&error) => {
                    // The transaction took them along.
                    units.clear();
                }
                Err(WriteError::Database(error)) => return Err(database.failed("write")(error)),
                Err(WriteError::CursorMoved) => {
                    let problem = "another process moved the cursor in millrace.sink_cursor; let \
                                   one process keep one schema";
                    return Err(database.wrong("write", false, problem.to_owned()));
                }
            }
        }
        Ok(())
    }

    async fn drop_old(&mut self) -> Result<(), SinkError> {
        let due = self.retention_at.is_none_or(|at| at.elapsed() >= RETENTION_EVERY);
        let Some(session) = self.session.as_mut().filter(|_| due && self.retention_days > 0) else {
            return Ok(());
        };
        self.retention_at = Some(Instant::now());
        let (client, database) = (&mut session.client, &self.database);
        let (now, days) = (self.place.time, self.retention_days);
        let dropped = session.partitions.drop_old(client, database, now, days).await;
        if let Err(error) = dropped {
            // What is old stays until the next look; what is new was committed.
            tracing::warn!(%error, "retention could not drop a month of payments");
            self.session = None;
        }
        Ok(())
    }
}

/// The events that are due, and the place behind them.
fn due(from: Place, batches: &[FeedBatch]) -> Result<(Vec<Due<'_>>, Place), SinkError> {
    let mut to = from;
    let mut events = Vec::with_capacity(batches.iter().map(|batch| batch.events.len()).sum());
    for batch in batches {
        for event in &batch.events {
            let found = event.event.seq();
            if found > to.next_seq {
                return Err(SinkError::Gap { sink: NAME, expected: to.next_seq, found });
            }
            if found == to.next_seq {
                events.push((event, batch.time));
                to = Place { next_seq: found.next(), time: batch.time };
            }
        }
    }
    Ok((events, to))
}

fn is_id_there(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|said| {
        *said.code() == SqlState::UNIQUE_VIOLATION && said.constraint() == Some("payment_ids_pkey")
    })
}

/// Takes the lock that one session at a time has.
async fn lock(client: &Client, database: &Database) -> Result<(), SinkError> {
    let started = Instant::now();
    loop {
        let sql = format!("SELECT pg_try_advisory_lock({LOCK})");
        let row = client.query_one(&sql, &[]).await.map_err(database.failed("take its lock"))?;
        if row.get(0) {
            return Ok(());
        }
        if started.elapsed() >= LOCK_WAIT {
            let problem = "another process keeps this read model; stop that one first, or name \
                           another database";
            return Err(database.wrong("take its lock", false, problem.to_owned()));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

async fn read_place(client: &Client, database: &Database) -> Result<Place, SinkError> {
    let failed = database.failed("read its cursor");
    let sql = "INSERT INTO millrace.sink_cursor (sink, next_seq, batch_time, batch_ns) \
               VALUES ($1, 1, to_timestamp(0), 0) ON CONFLICT DO NOTHING";
    client.execute(sql, &[&NAME]).await.map_err(&failed)?;
    let sql = "SELECT next_seq, batch_time, batch_ns FROM millrace.sink_cursor WHERE sink = $1";
    let row = client.query_one(sql, &[&NAME]).await.map_err(&failed)?;
    place_of(&row).ok_or_else(|| {
        let problem = "the row in millrace.sink_cursor is not what this program writes".to_owned();
        database.wrong("read its cursor", false, problem)
    })
}

/// The place that a row of `next_seq, batch_time, batch_ns` tells.
pub(crate) fn place_of(row: &Row) -> Option<Place> {
    let next_seq = u64::try_from(row.get::<_, i64>(0)).ok().filter(|seq| *seq > 0)?;
    let time = timestamp(row.get::<_, SqlTime>(1).0, row.get(2))?;
    Some(Place { next_seq: EventSeq(next_seq), time })
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
               FROM millrace.payment_ids WHERE payment_id = ANY($1)";
    let rows = client.query(sql, &[&ids]).await.map_err(database.failed("read payments"))?;
    let standings: Option<Vec<_>> = rows.iter().map(standing_of).collect();
    standings.ok_or_else(|| {
        let problem = "a row of millrace.payment_ids is not what this program writes. Drop the \
                       schema millrace and start again: it is rebuilt from the journal";
        database.wrong("read payments", false, problem.to_owned())
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
