//! The schemas that the tables may be in: the one that serves, the one that a rebuild makes beside
//! it, and the one that it replaced. Guarantees that nothing is removed but what a rebuild made.

use millrace_sinks::SinkError;
use tokio_postgres::Client;

use crate::database::Database;

/// A schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Where readers read.
    Live,
    /// What a rebuild makes.
    Rebuilt,
    /// What a rebuild replaced.
    Replaced,
}

impl Schema {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Live => "millrace",
            Self::Rebuilt => "millrace_rebuild",
            Self::Replaced => "millrace_old",
        }
    }

    /// Its comment; by those of the latter two, a rebuild knows its own.
    pub(crate) fn comment(self) -> &'static str {
        match self {
            Self::Live => {
                "The read model of Millrace: a copy of its journal, to be read. Only Millrace \
                 writes it."
            }
            Self::Rebuilt => {
                "Being built by millrace sinks rebuild. What is left of one that stopped is \
                 removed by the next start or rebuild."
            }
            Self::Replaced => {
                "Replaced by millrace sinks rebuild. Removed then, or by the next start or rebuild."
            }
        }
    }

    pub(crate) fn create_sql(self) -> String {
        let (name, comment) = (self.name(), self.comment());
        format!("CREATE SCHEMA IF NOT EXISTS {name}; COMMENT ON SCHEMA {name} IS '{comment}'")
    }

    /// "mill", and what is locked by who writes it.
    pub(crate) fn lock(self) -> &'static str {
        match self {
            Self::Live => "1835625580, 2",
            Self::Rebuilt | Self::Replaced => "1835625580, 3",
        }
    }

    /// What is said where somebody else has the lock.
    pub(crate) fn is_kept(self) -> &'static str {
        match self {
            Self::Live => {
                "another process keeps this read model; stop that one first, name another \
                 database, or have this process only answer from it (sinks.graphql.read_only)"
            }
            Self::Rebuilt | Self::Replaced => {
                "another process rebuilds this read model; wait until it is done"
            }
        }
    }

    /// What a rebuild wrote before the swap is made durable by the swap's own commit.
    pub(crate) fn synchronous_commit(self) -> &'static str {
        match self {
            Self::Live => "on",
            Self::Rebuilt | Self::Replaced => "off",
        }
    }

    /// Whether it is there.
    pub(crate) async fn exists(
        self,
        client: &Client,
        database: &Database,
    ) -> Result<bool, SinkError> {
        let row = client.query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&self.name()]).await;
        Ok(row.map_err(database.failed("look for a schema"))?.get(0))
    }

    /// Removes it if a rebuild left it.
    pub(crate) async fn remove(
        self,
        client: &Client,
        database: &Database,
    ) -> Result<(), SinkError> {
        let failed = database.failed("remove what an earlier rebuild left");
        let name = self.name();
        let sql =
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1";
        let Some(found) = client.query_opt(sql, &[&name]).await.map_err(&failed)? else {
            return Ok(());
        };
        if found.get::<_, Option<&str>>(0) != Some(self.comment()) {
            let problem = format!(
                "there is a schema {name} that no rebuild made, by its comment. Give it another \
                 name (ALTER SCHEMA {name} RENAME TO …), or remove it if nobody needs it"
            );
            return Err(database.wrong("remove what an earlier rebuild left", false, problem));
        }
        let drop = format!("DROP SCHEMA {name} CASCADE");
        client.batch_execute(&drop).await.map_err(&failed)?;
        tracing::info!(schema = name, "removed what a rebuild left");
        Ok(())
    }
}
