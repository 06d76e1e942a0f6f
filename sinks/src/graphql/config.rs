//! Settings of the read model and of the server that answers from it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::Deserialize;

/// Settings of the read model and of the server that answers from it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphqlConfig {
    /// Whether the read model is kept and served. Default: true.
    pub enabled: bool,
    /// Where queries are answered over plain HTTP, without access control. Default:
    /// 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Front door to which acts of people go where this process has none of its own, as in
    /// `http://127.0.0.1:7400`. Default: empty, nobody can act.
    pub ingest_url: String,
    /// Only answer, from a read model in PostgreSQL that another process keeps. Default: false, this
    /// process keeps it.
    pub read_only: bool,
    /// Memory for blocks of the embedded store that were read, in MiB. Default: 64.
    pub cache_mib: u64,
    /// Payments and accounts that are kept in memory as they were read last. Default: 50,000, up
    /// to 1 KiB each; 0 keeps none.
    pub read_cache_entries: u64,
    /// What is on for people and what is off for the public. Default: dev.
    pub profile: Profile,
    /// Trusted documents: a directory of files `*.graphql`. Default: none.
    pub persisted_dir: Option<PathBuf>,
    /// Answer trusted documents only, by their hash. Needs `persisted_dir`. Default: false.
    pub persisted_only: bool,
    /// What a query may cost.
    pub limits: LimitsConfig,
}

/// Whom the server is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// People explore: the schema describes itself, and there is a page to write queries on.
    #[default]
    Dev,
    /// Programs ask: neither.
    Prod,
}

/// What a query may cost. What costs more is refused before it is run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Bytes of a request, the query and its variables. Default: 65,536.
    pub request_bytes: usize,
    /// Selections within selections. The introspection query of common tools needs 15. Default: 16.
    pub depth: usize,
    /// Fields of an answer, a look-up counting as five, and every item of a page in full. Default:
    /// 20,000.
    pub complexity: usize,
    /// Fields that the text of a query selects, fragments counted as often as they are used.
    /// Default: 2,000.
    pub fields: usize,
    /// Fields that go by another name. Default: 100.
    pub aliases: usize,
    /// Fields at the top of an operation. Default: 20.
    pub root_fields: usize,
    /// Milliseconds that one look into the store may take. Default: 2,000.
    pub read_ms: u64,
    /// Payments and places of lists that one page may look at; one that is not full then goes on
    /// behind its cursor. Default: 100,000; at least 64.
    pub page_looks: u64,
    /// Milliseconds that an answer may take. Default: 5,000.
    pub answer_ms: u64,
    /// Queries by hash that are remembered. Default: 1,000.
    pub persisted_entries: u64,
    /// WebSocket connections at a time. Default: 1,000.
    pub connections: usize,
    /// Subscriptions of one connection at a time. Default: 16.
    pub subscriptions: usize,
    /// Milliseconds that a subscriber may take to accept a message, before its connection is
    /// closed. Default: 10,000.
    pub send_ms: u64,
}

impl Default for GraphqlConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            ingest_url: String::new(),
            read_only: false,
            cache_mib: 64,
            read_cache_entries: 50_000,
            profile: Profile::Dev,
            persisted_dir: None,
            persisted_only: false,
            limits: LimitsConfig::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            request_bytes: 65_536,
            depth: 16,
            complexity: 20_000,
            fields: 2_000,
            aliases: 100,
            root_fields: 20,
            read_ms: 2_000,
            page_looks: 100_000,
            answer_ms: 5_000,
            persisted_entries: 1_000,
            connections: 1_000,
            subscriptions: 16,
            send_ms: 10_000,
        }
    }
}
