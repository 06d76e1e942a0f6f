//! The feed over NATS JetStream: a [`Publisher`] that streams the journal's events, and a
//! [`StreamSource`] that sinks in other processes consume them from.
//!
//! The journal is the truth and the stream a copy of its tail: whatever is missing in the stream is
//! published again, and a stream that has what the journal has not is refused.

mod config;
mod connection;
mod consume;
mod credentials;
mod error;
mod label;
mod publish;
mod servers;
mod setup;
mod tls;
mod watched;
pub mod wire;

pub use config::StreamConfig;
pub use consume::{StreamReader, StreamSource};
pub use error::StreamError;
pub use label::{
    HEADER_CHAIN, HEADER_FIRST, HEADER_JOURNAL, HEADER_LAST, HEADER_SCHEMA, HEADER_TRACE,
    SCHEMA_VERSION,
};
pub use publish::{Publisher, PublisherHandle};
pub use setup::delete;
