//! Why the pipeline can't start, or stopped.

use std::{io, net::SocketAddr, path::PathBuf};

use millrace_engine::JournalError;
use millrace_ledger::EventSeq;
use millrace_sinks::SinkError;
use millrace_stream::StreamError;

use crate::{config::ConfigError, data_dir::NotADataDir};

/// The text says what an operator can do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "{what} can't listen on {address}: {source}. {}",
        listen_remedy(.source, .setting)
    )]
    Listen { what: &'static str, address: SocketAddr, setting: &'static str, source: io::Error },
    #[error(transparent)]
    NotADataDir(#[from] NotADataDir),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(
        "the sink {sink} has processed events up to {}, but the journal ends with {durable}. The \
         journal lost its end, or belongs to other data: put the right journal back, or delete \
         that sink's directory to build it anew",
        .next.0 - 1
    )]
    SinkAhead { sink: &'static str, next: EventSeq, durable: EventSeq },
    #[error(
        "the roles {roles} need events, and there are none: {} holds no journal, and no NATS \
         server is named. Set stream.url, run them in the process of the role ingest, or on its \
         disk with its data directory",
        journal.display()
    )]
    NoEvents { roles: String, journal: PathBuf },
    #[error(
        "the role publish has nowhere to publish to: set stream.url to a NATS server, as in \
         nats://127.0.0.1:4222"
    )]
    NoStream,
    #[error("the {what} server stopped: {reason}")]
    Server { what: &'static str, reason: String },
    #[error("the {part} stopped: {reason}")]
    Reader { part: &'static str, reason: String },
    #[error("the engine stopped unexpectedly; see the lines above")]
    EngineStopped,
}

fn listen_remedy(source: &io::Error, setting: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("Stop what uses the port, or choose another one ({setting})")
        }
        _ => format!("Choose an address of this machine ({setting})"),
    }
}
