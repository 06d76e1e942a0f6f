//! Rebuilding the read model: makes room for tables beside those that serve, and swaps the two.
//! Guarantees that readers see the one or the other, never a mix, and that a stop at any moment
//! leaves whole tables in place:
//!
//! | `millrace` | `millrace_rebuild` | `millrace_old` | what happened | what is done at the next start or rebuild |
//! |---|---|---|---|---|
//! | there | | | nothing, or all | nothing |
//! | there | there | | it stopped while it built | `millrace_rebuild` is removed |
//! | there | | there | it stopped behind the swap | `millrace_old` is removed |
//!
//! The swap is one transaction: `millrace` becomes `millrace_old`, `millrace_rebuild` becomes
//! `millrace`. The cursor is in the schema, and so is swapped with the rows that belong to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_sinks::SinkError;
use tokio::time::sleep;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    PostgresConfig, PostgresSink,
    database::Database,
    schema::Schema,
    sink::{Promotion, database, lock},
    worker::Worker,
};

/// How long queries may be kept waiting by the swap at a time, and how long it goes on trying.
const LOCK_TIMEOUT_MS: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
const SWAP_WAIT: Duration = Duration::from_secs(120);

/// Whether the sink that is to be replaced runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// In this process, which keeps others out.
    Here,
    /// Nowhere. Others are kept out until the rebuild is dropped.
    Nowhere,
}

/// A rebuild under way.
pub struct PostgresRebuild {
    worker: Worker,
    database: Database,
    swapped: Arc<AtomicBool>,
    /// A session that keeps other processes out.
    guard: Option<Client>,
}

impl PostgresRebuild {
    /// Removes what an earlier rebuild left, and opens a sink that builds from the first event,
    /// beside the tables that serve. It goes on in their place once they are swapped.
    ///
    /// # Errors
    /// When the database refuses; when another process writes the tables or rebuilds them; when
    /// other objects are built on the tables.
    pub fn begin(config: &PostgresConfig, runs: Runs) -> Result<(Self, PostgresSink), SinkError> {
        let live = database(config, Schema::Live)?;
        let worker =
            Worker::new().map_err(|error| live.wrong("start a runtime for it", true, error))?;
        let guard = worker.run(async {
            let client = live.connect().await.map_err(live.failed("connect"))?;
            if runs == Runs::Nowhere {
                lock(&client, &live, Schema::Live, false).await?;
            }
            check_dependents(&client, &live).await?;
            remove_leftovers(&client, &live).await?;
            Ok::<_, SinkError>(client)
        })?;
        let swapped = Arc::new(AtomicBool::new(false));
        let promotion = Promotion { swapped: Arc::clone(&swapped), live: live.clone() };
        let sink = PostgresSink::open_in(config, Schema::Rebuilt, Some(promotion))?;
        let guard = Some(guard).filter(|_| runs == Runs::Nowhere);
        Ok((Self { worker, database: live, swapped, guard }, sink))
    }

    /// Puts the tables that were built in the place of those that serve. May be called again after
    /// an error that is transient.
    ///
    /// # Errors
    /// When the database refuses. What served serves.
    pub fn swap(&self) -> Result<(), SinkError> {
        self.worker.run(async {
            match &self.guard {
                // Who has been kept out until now is what this session knows.
                Some(guard) => swap(guard, &self.database).await,
                None => swap(&self.connect().await?, &self.database).await,
            }
        })?;
        self.swapped.store(true, Ordering::Release);
        Ok(())
    }

    /// Removes the tables that were replaced.
    ///
    /// # Errors
    /// When the database refuses: the next start or rebuild removes them.
    pub fn remove_old(&self) -> Result<(), SinkError> {
        self.worker
            .run(async { Schema::Replaced.remove(&self.connect().await?, &self.database).await })
    }

    async fn connect(&self) -> Result<Client, SinkError> {
        self.database.connect().await.map_err(self.database.failed("connect"))
    }
}

/// Removes what rebuilds left that nobody works on any more.
pub(crate) async fn remove_leftovers(
    client: &Client,
    database: &Database,
) -> Result<(), SinkError> {
    lock(client, database, Schema::Rebuilt, false).await?;
    let mut removed = Schema::Rebuilt.remove(client, database).await;
    if removed.is_ok() {
        removed = Schema::Replaced.remove(client, database).await;
    }
    let unlock = format!("SELECT pg_advisory_unlock({})", Schema::Rebuilt.lock());
    client.batch_execute(&unlock).await.map_err(database.failed("give its lock back"))?;
    removed
}

/// Views of other schemas hang on the tables themselves, and would go with them.
async fn check_dependents(client: &Client, database: &Database) -> Result<(), SinkError> {
    let sql = "SELECT DISTINCT v.oid::regclass::text FROM pg_depend d \
               JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid \
               JOIN pg_class v ON v.oid = r.ev_class \
               JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid \
               WHERE t.relnamespace = to_regnamespace($1) AND v.relnamespace <> t.relnamespace \
               ORDER BY 1";
    let views = client.query(sql, &[&Schema::Live.name()]).await;
    let views = views.map_err(database.failed("look for views on its tables"))?;
    if views.is_empty() {
        return Ok(());
    }
    let views: Vec<&str> = views.iter().map(|row| row.get(0)).collect();
    let problem = format!(
        "these are built on the tables, and would be lost with the old ones: {}. Drop them, \
         rebuild, and create them again",
        views.join(", ")
    );
    Err(database.wrong("rebuild the read model", false, problem))
}

async fn swap(client: &Client, database: &Database) -> Result<(), SinkError> {
    let failed = database.failed("put the rebuilt tables in place");
    if !Schema::Rebuilt.exists(client, database).await? {
        // A commit whose answer was lost.
        return Ok(());
    }
    check_dependents(client, database).await?;
    let replaces = Schema::Live.exists(client, database).await?;
    let started = Instant::now();
    loop {
        let sql = match replaces {
            true => swap_sql(client, database).await?,
            false => rename_sql(Schema::Rebuilt, Schema::Live, &literal(Schema::Live.comment())),
        };
        let Err(error) = client.batch_execute(&format!("BEGIN; {sql} COMMIT;")).await else {
            return Ok(());
        };
        let busy = [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::T_R_DEADLOCK_DETECTED];
        if !error.code().is_some_and(|code| busy.contains(&code)) || started.elapsed() > SWAP_WAIT {
            return Err(failed(error));
        }
        client.batch_execute("ROLLBACK").await.map_err(&failed)?;
        sleep(LOCK_PAUSE).await;
    }
}

/// What swaps the two. A query that names several tables must find all of them before the swap or all
/// behind it: each table is locked for that moment. Who may read the old tables may read the new.
async fn swap_sql(client: &Client, database: &Database) -> Result<String, SinkError> {
    let failed = database.failed("put the rebuilt tables in place");
    let sql = "SELECT format('%s', c.oid::regclass), quote_literal(coalesce(
                   obj_description(c.relnamespace, 'pg_namespace'), ''))
               FROM pg_class c WHERE c.relnamespace = to_regnamespace($1)
                   AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname";
    let tables = client.query(sql, &[&Schema::Live.name()]).await.map_err(&failed)?;
    let names: Vec<&str> = tables.iter().map(|row| row.get(0)).collect();
    let comment: String = match tables.first() {
        Some(row) => row.get(1),
        None => literal(Schema::Live.comment()),
    };
    let grants = client.query(GRANTS, &[&Schema::Live.name(), &Schema::Rebuilt.name()]).await;
    let grants = grants.map_err(&failed)?;
    let mut swap = format!("SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS};");
    if !names.is_empty() {
        swap.push_str(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE;", names.join(", ")));
    }
    grants.iter().for_each(|row| swap.push_str(row.get(0)));
    let old = literal(Schema::Replaced.comment());
    swap.push_str(&rename_sql(Schema::Live, Schema::Replaced, &old));
    swap.push_str(&rename_sql(Schema::Rebuilt, Schema::Live, &comment));
    Ok(swap)
}

/// Statements that give to whoever has a right to schema `$1` or a table or view in it the same right
/// to its like in schema `$2`.
const GRANTS: &str = "
    SELECT format('GRANT %s ON SCHEMA %I TO %s%s;', a.privilege_type, $2::text,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_namespace n, aclexplode(n.nspacl) a
    WHERE n.nspname = $1 AND a.grantee <> n.nspowner
    UNION ALL
    SELECT format('GRANT %s ON %I.%I TO %s%s;', a.privilege_type, $2::text, c.relname,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'v')
        AND a.grantee <> c.relowner
        AND EXISTS (SELECT FROM pg_class l
            WHERE l.relnamespace = to_regnamespace($2) AND l.relname = c.relname)";

fn rename_sql(from: Schema, to: Schema, comment: &str) -> String {
    let (from, to) = (from.name(), to.name());
    format!("ALTER SCHEMA {from} RENAME TO {to}; COMMENT ON SCHEMA {to} IS {comment};")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
