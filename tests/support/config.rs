//! Configurations: consumes what a test wants to differ, produces a file. Everything else is
//! `configs/dev.toml`, whose limits are the demo's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millrace_client::Mapping;
use millrace_ledger::Currency;
use toml::{Table, Value};
use uuid::Uuid;

use super::repository;

/// What differs from `configs/dev.toml`.
pub(crate) struct Settings {
    table: Table,
}

impl Settings {
    /// On ports that the system chooses, and with the patience that a busy machine needs.
    pub(crate) fn dev() -> Self {
        let text = fs::read_to_string(repository("configs/dev.toml")).expect("ships");
        let mut settings = Self { table: text.parse().expect("is TOML") };
        for listen in ["ingest.listen", "sinks.graphql.listen", "metrics.listen"] {
            settings = settings.with(listen, "127.0.0.1:0");
        }
        for patience in [
            "ingest.queue_wait_max_ms",
            "sinks.graphql.limits.read_ms",
            "sinks.graphql.limits.answer_ms",
            "postgres.pool_wait_ms",
            "postgres.statement_timeout_ms",
            "postgres.connect_timeout_ms",
        ] {
            settings = settings.with(patience, 60_000);
        }
        settings
    }

    /// Without limits.
    pub(crate) fn unlimited() -> Self {
        Self::dev().with("risk.limits", Value::Array(Vec::new()))
    }

    /// Sets a key, written with dots.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().expect("a key has a part");
        let table = parts.into_iter().fold(&mut self.table, |table, part| {
            let inner = table.entry(part).or_insert_with(|| Table::new().into());
            inner.as_table_mut().expect("is a table")
        });
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Exempts the funding accounts of a mapping, as the demo does.
    pub(crate) fn exempting_funding_of(self, mapping: &Mapping) -> Self {
        let accounts =
            ["CZK", "EUR", "JPY"].map(|code| Value::from(funding_account(mapping, code)));
        self.with("risk.exempt_payers", Value::Array(accounts.into()))
    }

    pub(crate) fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("millrace.toml");
        fs::write(&path, self.table.to_string()).expect("is written");
        path
    }
}

/// The account that a file's first money in a currency comes from.
pub(crate) fn funding_account(mapping: &Mapping, code: &str) -> String {
    let currency = Currency::of_code(code).expect("in ISO 4217");
    Uuid::from_u128(mapping.namespace().funding_account(currency).0).to_string()
}
