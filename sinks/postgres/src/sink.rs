//! The sink that keeps the read model in PostgreSQL: consumes batches of events, produces rows.
//! Guarantees that rows and cursor are one commit, and that one process at a time writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::{EventSeq, Timestamp};
use millrace_sinks::{Sink, SinkError, graphql::model::AppliedPlace};
use tokio_postgres::{Client, Row};

use crate::{
    PostgresConfig,
    applied::Applied,
    copy::timestamp,
    database::{Database, is_transient, text_of},
    migrate::migrate,
    partitions::Partitions,
    project::{Due, Projection},
    rebuild::remove_leftovers,
    schema::Schema,
    session::{Refused, Session, Transactions, create_stages},
    sql_time::SqlTime,
    worker::Worker,
    write::skip_to,
};

/// The name of the embedded sink, too: a deployment has one of the two.
pub(crate) const NAME: &str = "graphql";

/// How long the lock of a process that was killed may outlive it.
const LOCK_WAIT: Duration = Duration::from_secs(5);
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
    pub(crate) fn start() -> Self {
        Self { next_seq: EventSeq::FIRST, time: Timestamp(0) }
    }

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
    schema: Schema,
    promotion: Option<Promotion>,
    retention_days: u32,
    transactions: Transactions,
    place: Place,
    session: Option<Session>,
    /// Whether this process had the lock before.
    had_lock: bool,
    applied: Arc<Applied>,
    retention_at: Option<Instant>,
}

/// What a sink that builds beside the one that serves becomes.
pub(crate) struct Promotion {
    /// Its tables are in the place of those that served.
    pub(crate) swapped: Arc<AtomicBool>,
    /// Where they are from then on.
    pub(crate) live: Database,
}

impl PostgresSink {
    /// Connects, brings the schema to this program's version, and goes on from where the tables
    /// stand. Where the server is away, it says so, and the first apply tries again.
    ///
    /// # Errors
    /// When the database refuses, is of a later version, or when another process keeps this read
    /// model.
    pub fn open(config: &PostgresConfig) -> Result<Self, SinkError> {
        let sink = Self::open_in(config, Schema::Live, None)?;
        if let Some(session) = &sink.writer.session {
            let removed = remove_leftovers(&session.client, &sink.writer.database);
            if let Err(error) = sink.worker.run(removed) {
                tracing::warn!(%error, "what an earlier rebuild left stays");
            }
        }
        Ok(sink)
    }

    pub(crate) fn open_in(
        config: &PostgresConfig,
        schema: Schema,
        promotion: Option<Promotion>,
    ) -> Result<Self, SinkError> {
        let database = database(config, schema)?;
        let worker = Worker::new();
        let worker =
            worker.map_err(|error| database.wrong("start a runtime for it", true, error))?;
        let place = Place::start();
        let mut writer = Writer {
            database,
            schema,
            promotion,
            retention_days: config.retention_days,
            transactions: Transactions::of(config),
            place,
            session: None,
            had_lock: false,
            applied: Arc::new(Applied::new(place.applied())),
            retention_at: None,
        };
        match worker.run(writer.connect()) {
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => tracing::warn!(%error, "the read model waits for its database"),
            Ok(()) => {}
        }
        Ok(Self { worker, writer })
    }

    /// Where the tables stand, and what changed on the way.
    pub(crate) fn applied(&self) -> Arc<Applied> {
        Arc::clone(&self.writer.applied)
    }
}

/// Where the sink writes. All of its statements leave the schema to the session.
pub(crate) fn database(config: &PostgresConfig, schema: Schema) -> Result<Database, SinkError> {
    let session = [
        ("search_path", schema.name().to_owned()),
        ("synchronous_commit", schema.synchronous_commit().to_owned()),
        ("statement_timeout", config.apply_timeout_ms.to_string()),
        ("idle_in_transaction_session_timeout", "60000".to_owned()),
        // The lock of a process whose machine went away is free after half a minute.
        ("tcp_keepalives_idle", "15".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        // All that is merged is found by an index, however few the rows seem to be.
        ("enable_hashjoin", "off".to_owned()),
        ("enable_mergejoin", "off".to_owned()),
        ("jit", "off".to_owned()),
        ("temp_buffers", "32MB".to_owned()),
        ("client_min_messages", "warning".to_owned()),
    ];
    Database::parse("url", &config.url, config, &session)
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
        self.writer.forget_session_after(applied)
    }

    fn apply_events_max(&self) -> usize {
        self.writer.transactions.apply_events_max()
    }

    fn skip(&mut self, seq: EventSeq, time: Timestamp, _reason: &str) -> Result<(), SinkError> {
        let skipped = self.worker.run(self.writer.skip(seq, time));
        self.writer.forget_session_after(skipped)
    }
}

impl Writer {
    /// Whatever a session that failed is in the middle of goes with it.
    fn forget_session_after(&mut self, done: Result<(), SinkError>) -> Result<(), SinkError> {
        if done.is_err() {
            self.session = None;
        }
        done
    }

    /// Makes a session, and takes the place from the database: whether the last commit of a session
    /// that was lost came through is known there alone.
    async fn connect(&mut self) -> Result<(), SinkError> {
        let database = &self.database;
        // What a server says that was connected to before may be mended there: a certificate that
        // ended, a password that changed.
        let may_pass = |error: &_| self.had_lock || is_transient(error);
        let mut client = database
            .connect()
            .await
            .map_err(|error| database.wrong("connect", may_pass(&error), text_of(&error)))?;
        lock(&client, database, self.schema, self.had_lock).await?;
        self.had_lock = true;
        migrate(&mut client, database, self.schema).await?;
        create_stages(&client, database).await?;
        let place = read_place(&client, database).await?;
        if place != self.place {
            self.place = place;
            self.applied.jump(place.applied());
        }
        let partitions = Partitions::load(&client, database).await?;
        self.session = Some(Session::new(client, partitions, self.transactions));
        Ok(())
    }

    /// Makes a session where there is none. Where the tables stand elsewhere than thought, the
    /// events must be read from there: an error that is transient says so.
    async fn connected(&mut self) -> Result<(), SinkError> {
        let swapped = |promotion: &mut Promotion| promotion.swapped.load(Ordering::Acquire);
        if let Some(Promotion { live, .. }) = self.promotion.take_if(swapped) {
            self.session = None;
            (self.database, self.schema) = (live, Schema::Live);
        }
        if self.session.as_ref().is_some_and(|session| !session.client.is_closed()) {
            return Ok(());
        }
        self.session = None;
        let before = self.place.next_seq;
        self.connect().await?;
        let found = self.place.next_seq;
        if found == before {
            return Ok(());
        }
        let problem = format!("its tables go on at event {found}, and not at {before}");
        Err(self.database.wrong("go on where it was", true, problem))
    }

    async fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        self.connected().await?;
        let events = due(self.place.next_seq, batches)?;
        let mut left = events.as_slice();
        let mut count = left.len();
        while !left.is_empty() {
            let written = self.write(&left[..count.min(left.len())]).await;
            left = behind(self.place.next_seq, left);
            match written {
                Ok(()) => {}
                // The first half is right, or has it, too.
                Err(Refused::Row { events, .. }) if events > 1 => count = events / 2,
                Err(Refused::Row { problem, .. }) => {
                    let seq = left[0].0.event.seq();
                    return Err(SinkError::Poison { sink: NAME, seq, problem });
                }
                Err(Refused::All(error)) => return Err(error),
            }
        }
        self.drop_old().await
    }

    /// Writes these events, as many of them as the server takes, in order.
    async fn write(&mut self, events: &[Due<'_>]) -> Result<(), Refused> {
        let session = self.session.as_mut().expect("was made before");
        let (place, applied) = (&mut self.place, &self.applied);
        let committed = |to: Place, projection: &Projection<'_>| {
            *place = to;
            applied.advance(to.applied(), projection.changed());
        };
        let forgets = self.retention_days > 0;
        session.write(&self.database, events, forgets, committed).await
    }

    async fn skip(&mut self, seq: EventSeq, time: Timestamp) -> Result<(), SinkError> {
        self.connected().await?;
        let session = self.session.as_mut().expect("was made before");
        if seq != self.place.next_seq {
            return Err(SinkError::Gap { sink: NAME, expected: self.place.next_seq, found: seq });
        }
        let to = Place { next_seq: seq.next(), time };
        if let Err(error) = skip_to(&session.client, [self.place, to]).await {
            return Err(match Refused::of(&self.database, error, 1) {
                Refused::All(error) => error,
                Refused::Row { problem, .. } => {
                    self.database.wrong("skip an event", false, problem)
                }
            });
        }
        self.place = to;
        self.applied.advance(to.applied(), []);
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

/// The events that are due.
fn due(mut next: EventSeq, batches: &[FeedBatch]) -> Result<Vec<Due<'_>>, SinkError> {
    let mut events = Vec::with_capacity(batches.iter().map(|batch| batch.events.len()).sum());
    for batch in batches {
        for event in &batch.events {
            let found = event.event.seq();
            if found > next {
                return Err(SinkError::Gap { sink: NAME, expected: next, found });
            }
            if found == next {
                events.push((event, batch.time));
                next = found.next();
            }
        }
    }
    Ok(events)
}

/// Those of the events that are not in the tables yet.
fn behind<'a, 'b>(next: EventSeq, events: &'a [Due<'b>]) -> &'a [Due<'b>] {
    &events[events.partition_point(|(event, _)| event.event.seq() < next)..]
}

/// Takes the lock that one session at a time has. Where this process `had` it, it is not another
/// one that keeps it for long: the server has yet to notice that its connection is gone.
pub(crate) async fn lock(
    client: &Client,
    database: &Database,
    schema: Schema,
    had: bool,
) -> Result<(), SinkError> {
    let started = Instant::now();
    loop {
        let sql = format!("SELECT pg_try_advisory_lock({})", schema.lock());
        let row = client.query_one(&sql, &[]).await.map_err(database.failed("take its lock"))?;
        if row.get(0) {
            return Ok(());
        }
        if started.elapsed() >= LOCK_WAIT {
            return Err(database.wrong("take its lock", had, schema.is_kept()));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

async fn read_place(client: &Client, database: &Database) -> Result<Place, SinkError> {
    let failed = database.failed("read its cursor");
    let sql = "INSERT INTO sink_cursor (sink, next_seq, batch_time, batch_ns) \
               VALUES ($1, 1, to_timestamp(0), 0) ON CONFLICT DO NOTHING";
    client.execute(sql, &[&NAME]).await.map_err(&failed)?;
    let sql = "SELECT next_seq, batch_time, batch_ns FROM sink_cursor WHERE sink = $1";
    let row = client.query_one(sql, &[&NAME]).await.map_err(&failed)?;
    place_of(&row).ok_or_else(|| {
        let problem = "the row in millrace.sink_cursor is not what this program writes";
        database.wrong("read its cursor", false, problem)
    })
}

/// The place that a row of `next_seq, batch_time, batch_ns` tells.
pub(crate) fn place_of(row: &Row) -> Option<Place> {
    let next_seq = u64::try_from(row.get::<_, i64>(0)).ok().filter(|seq| *seq > 0)?;
    let time = timestamp(row.get::<_, SqlTime>(1).0, row.get(2))?;
    Some(Place { next_seq: EventSeq(next_seq), time })
}
