//! Questions to a server, as people ask them.

use millrace_services::Postgres;
use tokio_postgres::{Client, NoTls, Row};

/// Asks a server, a question after the other.
pub(crate) struct Asking {
    pub(crate) runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Asking {
    pub(crate) fn of(server: &Postgres) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&server.url(), NoTls).await.expect("connects");
            tokio::spawn(connection);
            client
        });
        Self { runtime, client }
    }

    pub(crate) fn rows(&self, sql: &str) -> Vec<Row> {
        self.runtime.block_on(self.client.query(sql, &[])).expect("answers")
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.rows(sql)[0].get(0)
    }

    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql).iter().map(|row| row.get(0)).collect()
    }

    pub(crate) fn run(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).expect("runs");
    }
}
