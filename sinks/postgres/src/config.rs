//! Settings of the read model in PostgreSQL.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

/// Settings of the read model in PostgreSQL.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// Where the sink writes: `postgres://user:password@host:5432/database`, or a socket with
    /// `host=/run/postgresql user=...`. Empty: the read model is embedded. Default: empty.
    pub url: String,
    /// Where queries read, such as a replica. Empty: where the sink writes. Default: empty.
    pub read_url: String,
    /// Whether queries go to `url` while the replica of `read_url` is away or behind what was shown.
    /// Default: true.
    pub read_fallback: bool,
    /// Certificates (PEM) of those who may have signed the server's. Empty: those that the system
    /// trusts. Default: empty.
    pub ca_file: PathBuf,
    /// The certificate (PEM) that Millrace shows to a server that asks for one, with its chain.
    /// Empty: none. Default: empty.
    pub cert_file: PathBuf,
    /// The private key (PEM) of `cert_file`. Default: empty.
    pub key_file: PathBuf,
    /// Most connections that queries use at a time. Default: 8.
    pub pool_max: usize,
    /// How long a query may wait for a free connection, in milliseconds. Default: 2,000.
    pub pool_wait_ms: u64,
    /// How long the server may work on one query, in milliseconds. Default: 5,000.
    pub statement_timeout_ms: u64,
    /// Positions that a page of payments looks at where no filter but the amount is set, which has no
    /// index; one that is not full then goes on behind its cursor. Default: 100,000.
    pub page_looks: u64,
    /// How long the server may work on one step of the sink, in milliseconds. Default: 120,000.
    pub apply_timeout_ms: u64,
    /// Connections that the sink writes by where there is a backlog: with 2, the payments of one
    /// transaction are copied while the one before is merged. Default: 2.
    pub write_connections: u32,
    /// Events of one transaction, where there is a backlog. Four times as many are in memory at a time.
    /// Default: 32,768.
    pub transaction_events: usize,
    /// How long a connection may take to be made, in milliseconds. Default: 5,000.
    pub connect_timeout_ms: u64,
    /// After so many days, a month of payments is dropped as a whole. 0: nothing is ever dropped.
    /// Default: 0.
    pub retention_days: u32,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            read_url: String::new(),
            read_fallback: true,
            ca_file: PathBuf::new(),
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            pool_max: 8,
            pool_wait_ms: 2_000,
            statement_timeout_ms: 5_000,
            page_looks: 100_000,
            apply_timeout_ms: 120_000,
            write_connections: 2,
            transaction_events: 32_768,
            connect_timeout_ms: 5_000,
            retention_days: 0,
        }
    }
}

impl PostgresConfig {
    /// The defaults, with that place to write and read.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// Whether a place to write is named.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    /// Whether TLS is asked for by naming who signs.
    pub(crate) fn names_ca(&self) -> bool {
        !self.ca_file.as_os_str().is_empty()
    }
}

/// Leaves out the urls: they may hold a password.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("pool_max", &self.pool_max)
            .field("statement_timeout_ms", &self.statement_timeout_ms)
            .field("apply_timeout_ms", &self.apply_timeout_ms)
            .field("retention_days", &self.retention_days)
            .finish_non_exhaustive()
    }
}
