//! The whole pipeline in one numbered function: what is started in which order, and in which order
//! it stops. A process runs all of it, or some roles.

mod error;
mod events;
mod front;
mod reads;
mod sinks;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use millrace_engine::{Feed, RecoveryReport};
use millrace_ledger::EventSeq;
use millrace_sinks::{ReadStore, SinkHandle};
use tokio::{net::TcpListener, sync::watch};

pub(crate) use error::PipelineError;

use self::{events::Events, front::Front, reads::Reads, sinks::OpenSinks};
use crate::{
    config::Config,
    role::{Role, Roles},
};

/// How long sinks may take to catch up when the pipeline stops. What is left they do after the
/// next start.
const SINK_DRAIN_MAX: Duration = Duration::from_secs(10);

/// A running pipeline, or the roles of it that this process has.
pub(crate) struct Pipeline {
    /// Where payments are taken, if they are taken here.
    pub(crate) grpc: Option<SocketAddr>,
    /// Where queries are answered, if they are answered here.
    pub(crate) graphql: Option<SocketAddr>,
    /// What the journal held, if it is written here.
    pub(crate) recovered: Option<RecoveryReport>,
    pub(crate) store: Option<ReadStore>,
    pub(crate) audit_file: PathBuf,
    front: Option<Front>,
    /// The journal, where this process sees it.
    feed: Option<Feed>,
    sinks: Vec<SinkHandle>,
    reads: Option<Reads>,
}

impl Pipeline {
    /// Starts everything that the roles ask for, in this order.
    pub(crate) async fn start(config: &Config, roles: &Roles) -> Result<Self, PipelineError> {
        // 1. Settings are checked before anything is touched.
        let policy = config.check()?;
        // 2. Ports are taken first: what can fail fast fails before a long recovery.
        let grpc_listener = match roles.has(Role::Ingest) {
            true => Some(listen("gRPC", "ingest.listen", config.ingest.listen).await?),
            false => None,
        };
        let graphql_listener = match roles.has(Role::Graphql) && config.sinks.graphql.enabled {
            true => {
                let address = config.sinks.graphql.listen;
                Some(listen("GraphQL", "sinks.graphql.listen", address).await?)
            }
            false => None,
        };
        let graphql = graphql_listener.as_ref().map(address).transpose()?;
        // 3. The engine recovers ledger and risk profiles from the journal.
        let mut front = match roles.has(Role::Ingest) {
            true => Some(Front::recover(config, &policy)?),
            false => None,
        };
        let feed = front.as_ref().map(Front::feed);
        let events = Events::choose(config, roles, feed)?;
        // 4. The publisher and the sinks go on where their cursors stand, each on a thread of its
        //    own.
        let OpenSinks { sinks, store, reviews } = OpenSinks::open(config, roles, &events)?;
        let reads = store
            .clone()
            .zip(graphql_listener)
            .map(|(store, listener)| Reads::serve(store, listener))
            .transpose()?;
        // 5. The front door opens last: reads are served before writes are taken.
        if let Some((front, listener)) = front.as_mut().zip(grpc_listener) {
            front.open(config, &policy, reviews, listener)?;
        }
        Ok(Self {
            grpc: front.as_ref().and_then(Front::grpc),
            graphql,
            recovered: front.as_ref().map(|front| front.recovered.clone()),
            store,
            audit_file: config.audit_dir().join("audit.jsonl"),
            feed: events.feed().cloned(),
            front,
            sinks,
            reads,
        })
    }

    /// The last event that is durable; 0 where the journal is not here.
    pub(crate) fn durable_seq(&self) -> EventSeq {
        self.feed.as_ref().map_or(EventSeq(0), Feed::durable_seq)
    }

    /// The sink that is furthest behind: its name and the last event that it processed.
    pub(crate) fn slowest_sink(&self) -> Option<(&'static str, EventSeq)> {
        let places = self.sinks.iter().map(|sink| (sink.name(), sink.applied_seq()));
        places.min_by_key(|(_, seq)| *seq)
    }

    /// Why a sink stopped by itself, if one did.
    pub(crate) fn sink_error(&self) -> Option<String> {
        self.sinks.iter().find_map(|sink| {
            sink.error().map(|error| format!("the sink {} stopped: {error}", sink.name()))
        })
    }

    /// Returns when something that must run has stopped by itself.
    pub(crate) async fn failed(&self) {
        // A process without a front door is there for its sinks.
        let sinks_must_run = self.front.is_none();
        while !(self.front.as_ref().is_some_and(Front::has_stopped)
            || self.reads.as_ref().is_some_and(Reads::is_finished)
            || sinks_must_run && self.sink_error().is_some())
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops everything, in the order in which payments flow, so that what was let in comes out:
    ///
    /// 1. the front door drains, and the engine makes durable what is queued;
    /// 2. the publisher and the sinks catch up, for a while, and stop at their cursors;
    /// 3. the read side stops.
    pub(crate) async fn stop(self) -> Result<(), PipelineError> {
        let took_payments = self.front.is_some();
        let front = match self.front {
            Some(front) => front.stop().await,
            None => Ok(()),
        };
        let last = self.feed.filter(|_| took_payments);
        let started = Instant::now();
        let behind = |sink: &SinkHandle| {
            let durable = last.as_ref().map_or(EventSeq(0), Feed::durable_seq);
            sink.error().is_none() && sink.applied_seq() < durable
        };
        while started.elapsed() < SINK_DRAIN_MAX && self.sinks.iter().any(behind) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let failed = self.sinks.iter().find_map(|sink| {
            let error = sink.error().filter(|_| !took_payments)?;
            Some(PipelineError::Server { what: sink.name(), reason: error })
        });
        self.sinks.iter().for_each(SinkHandle::stop);
        self.sinks.into_iter().for_each(SinkHandle::join);
        let reads = match self.reads {
            Some(reads) => reads.stop().await,
            None => Ok(()),
        };
        front?;
        reads.map_err(|reason| PipelineError::Server { what: "GraphQL", reason })?;
        failed.map_or(Ok(()), Err)
    }
}

fn flatten<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T, String> {
    joined.map_err(|error| error.to_string())
}

async fn turned_true(mut flag: watch::Receiver<bool>) {
    // A sender that is gone means that the pipeline is, too.
    let _ = flag.wait_for(|flag| *flag).await;
}

async fn listen(
    what: &'static str,
    setting: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, PipelineError> {
    TcpListener::bind(address).await.map_err(|source| PipelineError::Listen {
        what,
        address,
        setting,
        source,
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, PipelineError> {
    listener
        .local_addr()
        .map_err(|error: io::Error| PipelineError::Server { what: "listening", reason: error.to_string() })
}
