//! Configurations: consumes what a test wants to differ, produces a file. Everything else is
//! `configs/dev.toml`, whose limits are the demo's.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use millrace_client::Mapping;
use millrace_ledger::Currency;
use toml::{Table, Value};
use uuid::Uuid;

use super::{dice::Dice, repository};

/// What differs from `configs/dev.toml`.
pub(crate) struct Settings {
    table: Table,
}

impl Settings {
    /// On ports that the system chooses.
    pub(crate) fn dev() -> Self {
        let text = fs::read_to_string(repository("configs/dev.toml")).expect("ships");
        let settings = Self { table: text.parse().expect("is TOML") };
        ["ingest.listen", "sinks.graphql.listen", "metrics.listen"]
            .into_iter()
            .fold(settings, |settings, listen| settings.with(listen, "127.0.0.1:0"))
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
        let accounts = ["CZK", "EUR", "JPY"].map(|code| {
            let currency = Currency::of_code(code).expect("in ISO 4217");
            let account = mapping.namespace().funding_account(currency);
            Value::from(Uuid::from_u128(account.0).to_string())
        });
        self.with("risk.exempt_payers", Value::Array(accounts.into()))
    }

    pub(crate) fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("millrace.toml");
        fs::write(&path, self.table.to_string()).expect("is written");
        path
    }
}

/// A port that stays the same over restarts. Below those that the system hands out by itself, so
/// that no other connection takes it in between.
pub(crate) fn lasting_port(dice: &mut Dice) -> u16 {
    let candidates = std::iter::repeat_with(|| 10_000 + dice.below(20_000) as u16).take(1_000);
    candidates
        .into_iter()
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of a thousand ports is free")
}
