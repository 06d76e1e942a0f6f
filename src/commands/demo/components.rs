//! The demo over real components: makes room for a new journal in NATS and in PostgreSQL, and
//! guarantees that nothing is removed there but what an earlier demo made.

use std::path::PathBuf;

use millrace_postgres::PostgresConfig;
use millrace_stream::StreamConfig;
use tokio_postgres::{Client, config::Host};

use crate::{Failure, config::Config};

/// The demo's own, so that no other stream is touched.
const STREAM: &str = "MILLRACE_DEMO";
const SUBJECT: &str = "millrace.demo.events";
/// By this the demo knows its own schema again.
const MARK: &str = "The read model of a Millrace demo: removed when the next one begins.";

/// Servers that take the place of what is embedded.
#[derive(clap::Args)]
pub(super) struct ComponentArgs {
    /// Carry events over this NATS server, as in nats://127.0.0.1:4222, in a stream of the demo's own
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Keep the read model in this PostgreSQL database, in the schema millrace, as in
    /// postgres://user:password@127.0.0.1:5432/database
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Who may have signed the database's certificate (PEM), with sslmode=require in the URL; without
    /// one, whom the system trusts
    #[arg(long, value_name = "FILE", requires = "postgres")]
    postgres_ca: Option<PathBuf>,
}

impl ComponentArgs {
    /// Settings that use them. What an earlier demo left there is removed, unless this one goes on
    /// where that one was.
    pub(super) async fn prepare(&self, config: &mut Config, goes_on: bool) -> Result<(), Failure> {
        if let Some(url) = &self.nats {
            config.stream = StreamConfig {
                url: Some(url.clone()),
                stream: STREAM.to_owned(),
                subject: SUBJECT.to_owned(),
                ..StreamConfig::default()
            };
            if !goes_on {
                millrace_stream::delete(&config.stream).await?;
            }
        }
        if let Some(url) = &self.postgres {
            config.postgres = self.database(url);
            if !goes_on {
                make_room(&millrace_postgres::connect(&config.postgres).await?).await?;
            }
        }
        Ok(())
    }

    /// Marks what this demo made.
    pub(super) async fn mark(&self) -> Result<(), Failure> {
        if let Some(url) = &self.postgres {
            let mark = format!("COMMENT ON SCHEMA millrace IS '{MARK}'");
            let client = millrace_postgres::connect(&self.database(url)).await?;
            client.batch_execute(&mark).await?;
        }
        Ok(())
    }

    fn database(&self, url: &str) -> PostgresConfig {
        let ca_file = self.postgres_ca.clone().unwrap_or_default();
        PostgresConfig { ca_file, ..PostgresConfig::new(url) }
    }

    /// What stands where, for people.
    pub(super) fn places(&self) -> Vec<(&'static str, String)> {
        let nats = self.nats.iter().map(|url| ("NATS", format!("stream {STREAM} at {url}")));
        let postgres = self
            .postgres
            .iter()
            .map(|url| ("PostgreSQL", format!("schema millrace of {}", server(url))));
        nats.chain(postgres).collect()
    }
}

async fn make_room(client: &Client) -> Result<(), Failure> {
    let found = client
        .query_opt(
            "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace
             WHERE nspname = 'millrace'",
            &[],
        )
        .await?;
    match found.map(|row| row.get::<_, String>(0)) {
        None => Ok(()),
        Some(mark) if mark == MARK => {
            Ok(client.batch_execute("DROP SCHEMA millrace CASCADE").await?)
        }
        Some(_) => Err("the database has a schema millrace that no demo made. Name another \
                        database, or remove the schema if nobody needs it (DROP SCHEMA millrace \
                        CASCADE)"
            .into()),
    }
}

/// The database, without the password that its URL may hold, in whatever form it is written.
fn server(url: &str) -> String {
    let Ok(config) = url.parse::<tokio_postgres::Config>() else {
        return "the database that --postgres names (write postgres://user@host:5432/database)"
            .into();
    };
    let host = config.get_hosts().first().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let port = config.get_ports().first().unwrap_or(&5432);
    let host = host.unwrap_or_default();
    format!("the database {} at {host}:{port}", config.get_dbname().unwrap_or("postgres"))
}

#[cfg(test)]
mod tests {
    use super::server;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://me:secret@bank:5433/money", "the database money at bank:5433"),
            ("host=bank user=me password=secret", "the database postgres at bank:5432"),
        ] {
            assert_eq!(server(url), shown);
        }
        assert!(!server("password=secret nonsense").contains("secret"));
    }
}
