//! The whole pipeline in one numbered function: what is started in which order, and in which order
//! it stops.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_engine::{Engine, JournalError, RecoveryReport};
use millrace_ledger::EventSeq;
use millrace_risk::shelf::Shelf;
use millrace_sinks::{
    AuditSink, GraphqlConfig, GraphqlSink, NotifyService, ReadStore, ReviewStore, ReviewsSink,
    Sink, SinkError, SinkHandle,
    audit::AuditReader,
    graphql,
    graphql::Services,
    notify::{Dispatcher, DispatcherHandle, Inbox},
};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch, task::JoinHandle};

use crate::{
    config::{Config, ConfigError},
    desk,
};

/// How long sinks may take to catch up when the pipeline stops. What is left they do after the
/// next start.
const SINK_DRAIN_MAX: Duration = Duration::from_secs(10);

/// Why the pipeline can't start, or stopped.
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
    Journal(#[from] JournalError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(
        "the sink {sink} has processed events up to {}, but the journal ends with {durable}. The \
         journal lost its end, or belongs to other data: put the right journal back, or delete \
         that sink's directory to build it anew",
        .next.0 - 1
    )]
    SinkAhead { sink: &'static str, next: EventSeq, durable: EventSeq },
    #[error("the {what} server stopped: {reason}")]
    Server { what: &'static str, reason: String },
    #[error("the engine stopped unexpectedly; see the lines above")]
    EngineStopped,
}

/// A running pipeline.
pub(crate) struct Pipeline {
    pub(crate) grpc: SocketAddr,
    /// Where queries are answered, unless that is switched off.
    pub(crate) graphql: Option<SocketAddr>,
    pub(crate) recovered: RecoveryReport,
    pub(crate) store: Option<ReadStore>,
    pub(crate) audit_file: PathBuf,
    engine: Engine,
    sinks: Vec<SinkHandle>,
    dispatcher: Option<DispatcherHandle>,
    stop_grpc: watch::Sender<bool>,
    grpc_server: JoinHandle<Result<(), String>>,
    reads: Option<Reads>,
}

/// The GraphQL server. It has a thread of its own at the lowest priority: queries, however heavy,
/// take nothing from payments.
struct Reads {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    server: JoinHandle<io::Result<()>>,
}

impl Reads {
    fn serve(
        services: Services,
        settings: &GraphqlConfig,
        listener: TcpListener,
    ) -> Result<Self, PipelineError> {
        let settings = settings.clone();
        let failed =
            |error: io::Error| PipelineError::Server { what: "GraphQL", reason: error.to_string() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("graphql")
            .on_thread_start(millrace_sinks::yield_to_payments)
            .enable_all()
            .build()
            .map_err(failed)?;
        // A listener belongs to the runtime that it was made on.
        let listener = listener.into_std().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let server = runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            graphql::serve(listener, services, &settings, turned_true(stopped)).await
        });
        Ok(Self { runtime, stop, server })
    }

    async fn stop(self) -> Result<(), String> {
        self.stop.send_replace(true);
        let served = flatten(self.server.await);
        self.runtime.shutdown_background();
        served.and_then(|served| served.map_err(|error| error.to_string()))
    }
}

/// The sinks, what some of them keep for readers, and what delivers notifications.
struct OpenSinks {
    sinks: Vec<Box<dyn Sink>>,
    dispatcher: Option<Dispatcher>,
    inbox: Option<Inbox>,
    audit: Option<AuditReader>,
    store: Option<ReadStore>,
    reviews: Option<ReviewStore>,
}

/// Opens the sinks that are switched on.
fn open_sinks(config: &Config) -> Result<OpenSinks, PipelineError> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    let (mut dispatcher, mut inbox, mut audit) = (None, None, None);
    let (mut store, mut reviews) = (None, None);
    let settings = &config.sinks;
    if settings.audit.enabled {
        sinks.push(Box::new(AuditSink::open(&config.audit_dir(), &settings.audit)?));
        audit = Some(AuditReader::open(&config.audit_dir()).map_err(SinkError::from)?);
    }
    if settings.notify.enabled {
        let directory = config.data_dir.join("notify");
        let notify = NotifyService::open(&directory, &settings.notify)?;
        sinks.push(notify.sink);
        (dispatcher, inbox) = (notify.dispatcher, notify.inbox);
    }
    if settings.graphql.enabled {
        let directory = config.data_dir.join("graphql");
        let (projection, reads) = GraphqlSink::open(&directory, &settings.graphql)?;
        sinks.push(Box::new(projection));
        store = Some(reads);
    }
    if settings.reviews.enabled {
        let directory = config.data_dir.join("reviews");
        let (projection, reads) = ReviewsSink::open(&directory, &settings.reviews)?;
        sinks.push(Box::new(projection));
        reviews = Some(reads);
    }
    Ok(OpenSinks { sinks, dispatcher, inbox, audit, store, reviews })
}

impl Pipeline {
    /// Starts everything, in this order.
    pub(crate) async fn start(config: &Config) -> Result<Self, PipelineError> {
        // 1. Settings are checked before anything is touched.
        let policy = config.check()?;
        // 2. Ports are taken first: what can fail fast fails before a long recovery.
        let grpc_listener = listen("gRPC", "ingest.listen", config.ingest.listen).await?;
        let graphql_listener = match &config.sinks.graphql {
            off if !off.enabled => None,
            on => Some(listen("GraphQL", "sinks.graphql.listen", on.listen).await?),
        };
        let grpc = address(&grpc_listener)?;
        let graphql = graphql_listener.as_ref().map(address).transpose()?;
        // 3. The engine recovers ledger and risk profiles from the journal.
        let (engine, recovered) = Engine::start(&config.engine(), &policy)?;
        // 4. Sinks go on where their cursors stand, each on a thread of its own.
        let OpenSinks { sinks, dispatcher, inbox, audit, store, reviews } = open_sinks(config)?;
        // A journal that is behind its readers lost its end, or is another one.
        let durable = engine.feed().durable_seq();
        if let Some(sink) = sinks.iter().find(|sink| sink.next_seq() > durable.next()) {
            let (sink, next) = (sink.name(), sink.next_seq());
            return Err(PipelineError::SinkAhead { sink, next, durable });
        }
        let spawn = |sink| millrace_sinks::spawn(sink, engine.feed());
        let sinks = sinks.into_iter().map(spawn).collect();
        let dispatcher = dispatcher.map(Dispatcher::start).transpose()?;
        // 5. Reads are served before writes are taken.
        let reads = store
            .clone()
            .zip(graphql_listener)
            .map(|(store, listener)| {
                let services = Services {
                    reviews: reviews.clone(),
                    inbox,
                    audit,
                    catalogue: policy.library().map(|library| Arc::clone(library.catalogue())),
                    ..Services::new(Arc::new(store))
                };
                Reads::serve(services, &config.sinks.graphql, listener)
            })
            .transpose()?;
        // 6. The front door opens last.
        let (stop_grpc, grpc_stopped) = watch::channel(false);
        let (ingest, submitter) = (config.ingest.clone(), engine.submitter());
        let risk = desk::parts(
            reviews,
            engine.feed(),
            Shelf::new(&config.shelf_dir()),
            policy.library().cloned(),
        );
        let grpc_server = tokio::spawn(async move {
            let stopped = turned_true(grpc_stopped);
            let served = millrace_ingest::serve(&ingest, grpc_listener, submitter, risk, stopped);
            served.await.map_err(|error| error.to_string())
        });
        Ok(Self {
            grpc,
            graphql,
            recovered,
            store,
            audit_file: config.audit_dir().join("audit.jsonl"),
            engine,
            sinks,
            dispatcher,
            stop_grpc,
            grpc_server,
            reads,
        })
    }

    /// The last event that is durable.
    pub(crate) fn durable_seq(&self) -> EventSeq {
        self.engine.feed().durable_seq()
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
        while !(self.engine.has_stopped()
            || self.grpc_server.is_finished()
            || self.reads.as_ref().is_some_and(|reads| reads.server.is_finished()))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops everything, in the order in which payments flow, so that what was let in comes out:
    ///
    /// 1. the front door drains: requests under way are answered, new ones refused;
    /// 2. the engine decides what is queued, makes it durable, and stops;
    /// 3. the sinks catch up, for a while, and stop at their cursors; notifications that are under
    ///    way get a few seconds, and those that wait go on waiting;
    /// 4. the read side stops.
    pub(crate) async fn stop(self) -> Result<(), PipelineError> {
        self.stop_grpc.send_replace(true);
        let grpc = flatten(self.grpc_server.await).and_then(|served| served);
        let last = self.engine.feed();
        let engine = tokio::task::spawn_blocking(move || self.engine.stop()).await;
        let started = Instant::now();
        while started.elapsed() < SINK_DRAIN_MAX
            && self
                .sinks
                .iter()
                .any(|sink| sink.error().is_none() && sink.applied_seq() < last.durable_seq())
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.sinks.iter().for_each(SinkHandle::stop);
        self.sinks.into_iter().for_each(SinkHandle::join);
        if let Some(dispatcher) = self.dispatcher {
            let ended = tokio::task::spawn_blocking(move || dispatcher.join()).await;
            // A panic was logged where it happened.
            drop(ended);
        }
        let reads = match self.reads {
            Some(reads) => reads.stop().await,
            None => Ok(()),
        };
        engine.map_err(|_| PipelineError::EngineStopped)??;
        grpc.map_err(|reason| PipelineError::Server { what: "gRPC", reason })?;
        reads.map_err(|reason| PipelineError::Server { what: "GraphQL", reason })
    }
}

fn flatten<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T, String> {
    joined.map_err(|error| error.to_string())
}

fn listen_remedy(source: &io::Error, setting: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("Stop what uses the port, or choose another one ({setting})")
        }
        _ => format!("Choose an address of this machine ({setting})"),
    }
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
        .map_err(|error| PipelineError::Server { what: "listening", reason: error.to_string() })
}
