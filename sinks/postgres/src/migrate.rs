//! Brings a schema to this program's version: consumes the migrations of `migrations/`, produces the
//! tables, in the schema that the session's `search_path` names. Guarantees that each migration is applied once, wholly or not at all, also
//! where several processes start at a time.

use millrace_sinks::SinkError;
use tokio_postgres::Client;

use crate::{database::Database, schema::Schema};

/// A name, and what it does to the schema.
type Migration = (&'static str, &'static str);

/// The migrations, in the order of their versions, which count from 1.
const MIGRATIONS: [Migration; 3] = [
    ("read model", include_str!("../migrations/0001_read_model.sql")),
    ("totals by hour", include_str!("../migrations/0002_totals_by_hour.sql")),
    ("traces", include_str!("../migrations/0003_trace.sql")),
];

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
    bring_up(client, database, schema, &MIGRATIONS).await
}

async fn bring_up(
    client: &mut Client,
    database: &Database,
    schema: Schema,
    migrations: &[Migration],
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
    if found > migrations.len() as i32 {
        return Err(database.wrong("use the schema", false, newer(found)));
    }
    for (version, (name, sql)) in (1..).zip(migrations).skip(found as usize) {
        transaction.batch_execute(sql).await.map_err(&failed)?;
        let note = "INSERT INTO migrations (version, name) VALUES ($1, $2)";
        transaction.execute(note, &[&version, name]).await.map_err(&failed)?;
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

#[cfg(test)]
mod tests {
    use millrace_services::{Postgres, required};

    use super::*;
    use crate::PostgresConfig;

    const SECOND: Migration = (
        "notes",
        "ALTER TABLE ledgers ADD COLUMN note text NOT NULL DEFAULT 'none'; \
         UPDATE ledgers SET digits = digits + 100",
    );
    /// Its second half fails, so its first has to go as well.
    const FAILING: Migration =
        ("half", "ALTER TABLE accounts ADD COLUMN half text; SELECT no_such_function()");

    struct Server {
        _server: Postgres,
        database: Database,
        runtime: tokio::runtime::Runtime,
    }

    impl Server {
        fn start() -> Option<Self> {
            let server = required(Postgres::start())?;
            let config = PostgresConfig::new(&server.url());
            let path = [("search_path", Schema::Live.name().to_owned())];
            let database = Database::parse("url", &config.url, &config, &path).expect("a url");
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            Some(Self { _server: server, database, runtime: runtime.expect("a runtime") })
        }

        fn bring_up(&self, migrations: &[Migration]) -> Result<(), SinkError> {
            self.runtime.block_on(async {
                let mut client = self.database.connect().await.expect("connects");
                bring_up(&mut client, &self.database, Schema::Live, migrations).await
            })
        }

        /// The first column of a question's rows, as text.
        fn texts(&self, sql: &str) -> Vec<String> {
            self.runtime.block_on(async {
                let client = self.database.connect().await.expect("connects");
                let rows = client.query(sql, &[]).await.expect("answers");
                rows.iter().map(|row| row.get(0)).collect()
            })
        }

        fn versions(&self) -> Vec<String> {
            self.texts("SELECT version || ' ' || name FROM migrations ORDER BY version")
        }

        fn has_column(&self, table: &str, column: &str) -> bool {
            let sql = format!(
                "SELECT attname::text FROM pg_attribute \
                 WHERE attrelid = '{table}'::regclass AND attname = '{column}'"
            );
            !self.texts(&sql).is_empty()
        }
    }

    /// What an older program left is brought up by the later one, with all that is in it, once; and
    /// the older one does not touch it any more.
    #[test]
    fn an_older_schema_is_brought_up_with_what_is_in_it() {
        let Some(server) = Server::start() else { return };
        let first = &MIGRATIONS[..1];
        server.bring_up(first).expect("the first version");
        server.texts("INSERT INTO ledgers (ledger, currency, digits) VALUES (203, 'CZK', 2)");
        let both = [MIGRATIONS[0], SECOND];
        for _ in 0..2 {
            server.bring_up(&both).expect("is brought up, and then is up already");
            assert_eq!(server.versions(), ["1 read model", "2 notes"]);
            let ledgers = "SELECT currency || ' ' || digits || ' ' || note FROM ledgers";
            assert_eq!(server.texts(ledgers), ["CZK 102 none"], "once");
        }
        let refused = server.bring_up(first).expect_err("is from a later program").to_string();
        assert!(refused.contains("the schema millrace has version 2"), "{refused}");
    }

    /// Several processes that start at a time.
    #[test]
    fn programs_that_start_at_a_time_bring_it_up_once() {
        let Some(server) = Server::start() else { return };
        let both = [MIGRATIONS[0], SECOND];
        std::thread::scope(|scope| {
            let starting: Vec<_> = (0..4).map(|_| scope.spawn(|| server.bring_up(&both))).collect();
            for started in starting {
                started.join().expect("does not panic").expect("is brought up");
            }
        });
        assert_eq!(server.versions(), ["1 read model", "2 notes"]);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_schema_as_it_was() {
        let Some(server) = Server::start() else { return };
        server.bring_up(&MIGRATIONS[..1]).expect("the first version");
        let failed = server.bring_up(&[MIGRATIONS[0], SECOND, FAILING]);
        let failed = failed.expect_err("fails").to_string();
        assert!(failed.contains("no_such_function"), "{failed}");
        assert_eq!(server.versions(), ["1 read model"], "not the second one either");
        assert!(!server.has_column("ledgers", "note") && !server.has_column("accounts", "half"));
        server.bring_up(&[MIGRATIONS[0], SECOND]).expect("goes on from there");
        assert_eq!(server.versions(), ["1 read model", "2 notes"]);
    }
}
