//! Settings of the read model.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// Settings of the read model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphqlConfig {
    /// Whether the read model is kept and served. Default: true.
    pub enabled: bool,
    /// Where queries are answered over plain HTTP, without access control. Default:
    /// 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Memory for blocks of the store that were read, in MiB. Default: 64.
    pub cache_mib: u64,
}

impl Default for GraphqlConfig {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), cache_mib: 64 }
    }
}
