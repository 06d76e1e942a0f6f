//! What can be wrong with a configuration: produces sentences that name the setting and what to do.

use std::{io, net::SocketAddr, path::PathBuf};

use millrace_client::remedy;
use millrace_risk::RiskConfigError;
use millrace_stream::StreamError;

/// Context keys that all payments can have, in words.
const KNOWN_KEYS: &str = "device, ip, country, mcc, channel";

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "the configuration {} can't be read: {source}; {}. configs/dev.toml has every key with its \
         default; without --config, those apply",
        path.display(),
        remedy(source)
    )]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the configuration {} is not right: {complaint}", path.display())]
    Syntax { path: PathBuf, complaint: String },
    #[error("the configuration is not right: {0}")]
    Risk(#[from] RiskConfigError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(
        "risk.features.catalogue is {}: {complaint}. It is standard, devices, book, or the path of a catalogue",
        path.display()
    )]
    Catalogue { path: PathBuf, complaint: String },
    #[error("the configuration is not right: {key} is {value}, and must be {must_be}")]
    OutOfBounds { key: &'static str, value: u64, must_be: &'static str },
    #[error(
        "the configuration is not right: sinks.graphql.read_only is true, and postgres.url is not \
         set. An embedded read model is read by the process that keeps it: set postgres.url to the \
         database that another process fills, or sinks.graphql.read_only = false"
    )]
    NothingToRead,
    #[error(
        "risk.features.context_keys has {key:?}, which no payment can have: a key has 1 to 32 of a-z, \
         0-9 and _, begins with a letter, and is not the name of a field"
    )]
    ContextKey { key: String },
    #[error(
        "the catalogue in risk.features.catalogue has an entity of context.{key}, which no payment can \
         have: take {known}, or a key of the upstream's own (1 to 32 of a-z, 0-9 and _, beginning \
         with a letter, not the name of a field)",
        known = KNOWN_KEYS
    )]
    CatalogueKey { key: String },
    #[error(
        "the catalogue in risk.features.catalogue has an entity of context.{key}, which is neither \
         {known} nor among risk.features.context_keys ({declared}): add the key there, or mend \
         the catalogue",
        known = KNOWN_KEYS
    )]
    UndeclaredKey { key: String, declared: String },
    #[error(
        "the configuration is not right: {first} and {second} are both {address}; give one of them \
         another port"
    )]
    SameAddress { first: &'static str, second: &'static str, address: SocketAddr },
}
