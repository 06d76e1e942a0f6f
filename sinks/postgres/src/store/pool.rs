//! Connections to one server that queries share: consumes statements, produces rows. Guarantees that a query
//! waits for a connection, and the server works on it, only so long.

use std::time::{Duration, Instant};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use metrics::{gauge, histogram};
use millrace_sinks::{SinkError, graphql::ReadError};
use postgres_types::{ToSql, Type};
use tokio_postgres::{Error, Row, error::SqlState};

use crate::{
    PostgresConfig,
    database::{Database, is_transient, text_of},
    sink::NAME,
};

/// A value of a statement.
pub(crate) type Param<'a> = &'a (dyn ToSql + Sync);

/// Why a question has no answer.
pub(super) struct Unanswered {
    pub(super) error: ReadError,
    pub(super) cause: Cause,
}

/// What may be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server is away.
    Away,
    /// It gave the question up for the sake of what it has to apply, as replicas do.
    Conflict,
    /// The question's own, or too many of them.
    Question,
}

/// A pool of connections to one database.
pub(super) struct Connections {
    pool: Pool,
    /// `primary` or `replica`.
    server: &'static str,
    pub(super) label: String,
    wait_ms: u64,
    statement_timeout_ms: u64,
}

impl Connections {
    pub(super) fn new(
        server: &'static str,
        database: Database,
        config: &PostgresConfig,
    ) -> Result<Self, SinkError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager =
            Manager::from_config(database.config.clone(), database.tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(config.pool_max.max(1))
            .wait_timeout(Some(Duration::from_millis(config.pool_wait_ms)))
            .create_timeout(Some(Duration::from_millis(config.connect_timeout_ms)))
            .recycle_timeout(Some(Duration::from_millis(config.connect_timeout_ms)))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| database.wrong("make a pool of connections", false, error))?;
        Ok(Self {
            pool,
            server,
            label: database.label,
            wait_ms: config.pool_wait_ms,
            statement_timeout_ms: config.statement_timeout_ms,
        })
    }

    /// Runs a statement that is prepared once per connection. For those of a fixed text.
    pub(super) async fn prepared(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Unanswered> {
        let client = self.connection().await?;
        let started = Instant::now();
        let statement = client.prepare_cached(sql).await.map_err(|error| self.failed(&error))?;
        let rows = client.query(&statement, params).await;
        self.finish(started, rows)
    }

    /// Runs a statement that is planned for its values. For those whose text depends on the filters
    /// of a query: there are too many to keep, and the best plan depends on the values.
    pub(super) async fn planned(
        &self,
        sql: &str,
        params: &[(Param<'_>, Type)],
    ) -> Result<Vec<Row>, Unanswered> {
        let client = self.connection().await?;
        let started = Instant::now();
        let rows = client.query_typed(sql, params).await;
        self.finish(started, rows)
    }

    fn finish(
        &self,
        started: Instant,
        rows: Result<Vec<Row>, Error>,
    ) -> Result<Vec<Row>, Unanswered> {
        histogram!("millrace_postgres_query_seconds", "sink" => NAME, "server" => self.server)
            .record(started.elapsed().as_secs_f64());
        rows.map_err(|error| self.failed(&error))
    }

    async fn connection(&self) -> Result<Object, Unanswered> {
        let started = Instant::now();
        let connection = self.pool.get().await;
        let status = self.pool.status();
        let in_use = status.size.saturating_sub(status.available);
        gauge!("millrace_postgres_pool_open_connections", "sink" => NAME, "server" => self.server)
            .set(status.size as f64);
        gauge!("millrace_postgres_pool_used_connections", "sink" => NAME, "server" => self.server)
            .set(in_use as f64);
        gauge!("millrace_postgres_pool_waiting_queries", "sink" => NAME, "server" => self.server)
            .set(status.waiting as f64);
        histogram!("millrace_postgres_pool_wait_seconds", "sink" => NAME, "server" => self.server)
            .record(started.elapsed().as_secs_f64());
        connection.map_err(|error| {
            let (problem, cause) = match error {
                PoolError::Timeout(TimeoutType::Wait) => {
                    let problem =
                        format!("all of its connections were in use for {} ms", self.wait_ms);
                    (problem, Cause::Question)
                }
                PoolError::Timeout(_) => ("it did not answer in time".to_owned(), Cause::Away),
                PoolError::Backend(error) => (text_of(&error), Cause::Away),
                error => (error.to_string(), Cause::Away),
            };
            let problem = format!("PostgreSQL at {}: {problem}", self.label);
            Unanswered { error: ReadError::Unavailable(problem), cause }
        })
    }

    fn failed(&self, error: &Error) -> Unanswered {
        let problem = || format!("PostgreSQL at {}: {}", self.label, text_of(error));
        if error.code() == Some(&SqlState::QUERY_CANCELED) {
            let error = ReadError::TooSlow(self.statement_timeout_ms);
            return Unanswered { error, cause: Cause::Question };
        }
        // A replica cancels what stands in the way of what it has to apply.
        let conflict = error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE);
        let cause = match (conflict, is_transient(error)) {
            (true, _) => Cause::Conflict,
            (false, true) => Cause::Away,
            (false, false) => Cause::Question,
        };
        let error = match cause {
            Cause::Question => ReadError::Failed(problem()),
            Cause::Away | Cause::Conflict => ReadError::Unavailable(problem()),
        };
        Unanswered { error, cause }
    }
}
