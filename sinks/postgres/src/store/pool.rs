//! Connections that queries share: consumes statements, produces rows. Guarantees that a query
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

/// A pool of connections to one database.
pub(crate) struct Reads {
    pool: Pool,
    label: String,
    wait_ms: u64,
    statement_timeout_ms: u64,
}

impl Reads {
    pub(crate) fn new(database: Database, config: &PostgresConfig) -> Result<Self, SinkError> {
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
            label: database.label,
            wait_ms: config.pool_wait_ms,
            statement_timeout_ms: config.statement_timeout_ms,
        })
    }

    /// Runs a statement that is prepared once per connection. For those of a fixed text.
    pub(crate) async fn prepared(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, ReadError> {
        let client = self.connection().await?;
        let started = Instant::now();
        let statement = client.prepare_cached(sql).await.map_err(|error| self.failed(&error))?;
        let rows = client.query(&statement, params).await;
        self.finish(started, rows)
    }

    /// Runs a statement that is planned for its values. For those whose text depends on the filters
    /// of a query: there are too many to keep, and the best plan depends on the values.
    pub(crate) async fn planned(
        &self,
        sql: &str,
        params: &[(Param<'_>, Type)],
    ) -> Result<Vec<Row>, ReadError> {
        let client = self.connection().await?;
        let started = Instant::now();
        let rows = client.query_typed(sql, params).await;
        self.finish(started, rows)
    }

    fn finish(
        &self,
        started: Instant,
        rows: Result<Vec<Row>, Error>,
    ) -> Result<Vec<Row>, ReadError> {
        histogram!("millrace_postgres_query_seconds", "sink" => NAME)
            .record(started.elapsed().as_secs_f64());
        rows.map_err(|error| self.failed(&error))
    }

    async fn connection(&self) -> Result<Object, ReadError> {
        let started = Instant::now();
        let connection = self.pool.get().await;
        let status = self.pool.status();
        let in_use = status.size.saturating_sub(status.available);
        gauge!("millrace_postgres_pool_open_connections", "sink" => NAME).set(status.size as f64);
        gauge!("millrace_postgres_pool_used_connections", "sink" => NAME).set(in_use as f64);
        gauge!("millrace_postgres_pool_waiting_queries", "sink" => NAME).set(status.waiting as f64);
        histogram!("millrace_postgres_pool_wait_seconds", "sink" => NAME)
            .record(started.elapsed().as_secs_f64());
        connection.map_err(|error| {
            let problem = match error {
                PoolError::Timeout(TimeoutType::Wait) => {
                    format!("all of its connections were in use for {} ms", self.wait_ms)
                }
                PoolError::Timeout(_) => "it did not answer in time".to_owned(),
                PoolError::Backend(error) => text_of(&error),
                error => error.to_string(),
            };
            ReadError::Unavailable(format!("PostgreSQL at {}: {problem}", self.label))
        })
    }

    fn failed(&self, error: &Error) -> ReadError {
        let problem = || format!("PostgreSQL at {}: {}", self.label, text_of(error));
        if error.code() == Some(&SqlState::QUERY_CANCELED) {
            return ReadError::TooSlow(self.statement_timeout_ms);
        }
        // A replica cancels what stands in the way of what it has to apply.
        let conflict = error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE);
        match is_transient(error) || conflict {
            true => ReadError::Unavailable(problem()),
            false => ReadError::Failed(problem()),
        }
    }
}
