//! Brings a schema to this program's version: consumes the migrations of `migrations/`, produces the
//! tables, in the schema that the session's `search_path` names. Guarantees that each migration is applied once, wholly or not at all, also
//! where several processes start at a time.

use millrace_sinks::SinkError;
use tokio_postgres::Client;

use crate::{database::Database, schema::Schema};

/// The migrations, in the order of their versions, which count from 1.
const MIGRATIONS: [(&str, &str); 1] =
    [("read model", include_str!("../migrations/0001_read_model.sql"))];

/// The version that this program reads and writes.
pub(crate) const VERSION: i32 = MIGRATIONS.len() as i32;

/// The oldest server that is taken.
const SERVER_MIN: i32 = 150_000;

/// "mill", and what is locked.
const LOCK: &str = "1835625580, 1";

const TABLE: &str = "
    CREATE TABLE migrations (
        version     integer     PRIMARY KEY,
        name        text        NOT NULL,
        applied_at  timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE migrations IS 'The versions of this schema.';
    COMMENT ON COLUMN migrations.version IS 'Counts from 1.';
    COMMENT ON COLUMN migrations.name IS 'What it brought.';
    COMMENT ON COLUMN migrations.applied_at IS 'When it was applied.';
";

/// Applies what is missing.
pub(crate) async fn migrate(
    client: &mut Client,
    database: &Database,
    schema: Schema,
) -> Result<(), SinkError> {
    let failed = database.failed("bring the schema to this program's version");
    check_server(client, database).await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
    transaction.batch_execute(&lock).await.map_err(&failed)?;
    let there = transaction.query_one("SELECT to_regclass('migrations') IS NOT NULL", &[]);
    let there: bool = there.await.map_err(&failed)?.get(0);
    if !there {
        transaction.batch_execute(&schema.create_sql()).await.map_err(&failed)?;
        transaction.batch_execute(TABLE).await.map_err(&failed)?;
    }
    let found = transaction
        .query_one("SELECT coalesce(max(version), 0) FROM migrations", &[])
        .await
        .map_err(&failed)?;
    let found: i32 = found.get(0);
    if found > VERSION {
        return Err(database.wrong("use the schema", false, newer(found)));
    }
    for (version, (name, sql)) in (1..).zip(MIGRATIONS).skip(found as usize) {
        transaction.batch_execute(sql).await.map_err(&failed)?;
        let note = "INSERT INTO migrations (version, name) VALUES ($1, $2)";
        transaction.execute(note, &[&version, &name]).await.map_err(&failed)?;
        tracing::info!(database = database.label, version, name, "the schema was brought up");
    }
    transaction.commit().await.map_err(&failed)
}

/// What is said of a schema of a later program.
pub(crate) fn newer(found: i32) -> String {
    format!(
        "the schema millrace has version {found}, this program knows versions up to {VERSION}. \
         Start the later program that wrote it, or name another database"
    )
}

async fn check_server(client: &Client, database: &Database) -> Result<(), SinkError> {
    let version = "SELECT current_setting('server_version_num')::integer, \
                   current_setting('server_version')";
    let row =
        client.query_one(version, &[]).await.map_err(database.failed("ask for its version"))?;
    let (number, text): (i32, String) = (row.get(0), row.get(1));
    if number < SERVER_MIN {
        let problem = format!("it is PostgreSQL {text}, and 15 or later is needed");
        return Err(database.wrong("use the server", false, &problem));
    }
    Ok(())
}
