//! Which server answers a question: consumes statements, produces rows, from the replica where one
//! is named and in use, and from the primary otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::gauge;
use millrace_sinks::{SinkError, graphql::ReadError};
use postgres_types::Type;
use tokio_postgres::Row;

use super::pool::{Cause, Connections, Param, Unanswered};
use crate::{PostgresConfig, database::Database, sink::NAME};

/// The servers that queries read.
pub(crate) struct Reads {
    /// Where queries read that the replica does not answer.
    main: Connections,
    replica: Option<Replica>,
    /// Positions that one page may look at where no index helps.
    pub(super) page_looks: u64,
}

/// A replica that the primary stands in for.
struct Replica {
    connections: Connections,
    in_use: AtomicBool,
}

impl Reads {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, SinkError> {
        let connections = |server, setting, url: &str| {
            let session = [
                ("statement_timeout", config.statement_timeout_ms.to_string()),
                ("default_transaction_read_only", "on".to_owned()),
                ("jit", "off".to_owned()),
            ];
            Connections::new(server, Database::parse(setting, url, config, &session)?, config)
        };
        let page_looks = config.page_looks.max(1);
        let primary = || connections("primary", "url", &config.url);
        if config.read_url.is_empty() {
            return Ok(Self { main: primary()?, replica: None, page_looks });
        }
        let replica = connections("replica", "read_url", &config.read_url)?;
        if !config.read_fallback {
            return Ok(Self { main: replica, replica: None, page_looks });
        }
        let replica = Replica { connections: replica, in_use: AtomicBool::new(false) };
        Ok(Self { main: primary()?, replica: Some(replica), page_looks })
    }

    /// Runs a statement that is prepared once per connection. For those of a fixed text.
    pub(crate) async fn prepared(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, ReadError> {
        if let Some(replica) = self.replica_in_use()
            && let Some(answer) = replica.answer(replica.connections.prepared(sql, params).await)
        {
            return answer;
        }
        self.main.prepared(sql, params).await.map_err(|unanswered| unanswered.error)
    }

    /// Runs a statement that is planned for its values. For those whose text depends on the filters
    /// of a query: there are too many to keep, and the best plan depends on the values.
    pub(crate) async fn planned(
        &self,
        sql: &str,
        params: &[(Param<'_>, Type)],
    ) -> Result<Vec<Row>, ReadError> {
        if let Some(replica) = self.replica_in_use()
            && let Some(answer) = replica.answer(replica.connections.planned(sql, params).await)
        {
            return answer;
        }
        self.main.planned(sql, params).await.map_err(|unanswered| unanswered.error)
    }

    fn replica_in_use(&self) -> Option<&Replica> {
        self.replica.as_ref().filter(|replica| replica.in_use.load(Ordering::Acquire))
    }

    /// The server to ask how far the tables are that queries are to be answered from.
    pub(super) fn followed(&self) -> &Connections {
        self.replica.as_ref().map_or(&self.main, |replica| &replica.connections)
    }

    /// The server that stands in for that one.
    pub(super) fn stand_in(&self) -> Option<&Connections> {
        self.replica.as_ref().map(|_| &self.main)
    }

    /// The replica is as far as what was shown, or is not.
    pub(super) fn use_replica(&self, whether: bool) {
        if let Some(replica) = &self.replica {
            replica.set_in_use(whether, "it is away, or behind what was shown");
        }
    }
}

impl Replica {
    /// What the replica says, unless the primary is to be asked instead.
    fn answer(&self, answer: Result<Vec<Row>, Unanswered>) -> Option<Result<Vec<Row>, ReadError>> {
        match answer {
            Err(Unanswered { error, cause: Cause::Away }) => {
                self.set_in_use(false, &error.to_string());
                None
            }
            Err(Unanswered { cause: Cause::Conflict, .. }) => None,
            answer => Some(answer.map_err(|unanswered| unanswered.error)),
        }
    }

    fn set_in_use(&self, whether: bool, reason: &str) {
        let was = self.in_use.swap(whether, Ordering::AcqRel);
        gauge!("millrace_postgres_replica_in_use", "sink" => NAME)
            .set(f64::from(u8::from(whether)));
        let replica = &self.connections.label;
        match (was, whether) {
            (true, false) => {
                tracing::warn!(
                    replica,
                    reason,
                    "queries go to the primary until the replica is back"
                );
            }
            (false, true) => tracing::info!(replica, "queries go to the replica"),
            _ => {}
        }
    }
}
