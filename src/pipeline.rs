//! The whole pipeline in one numbered function: what is started in which order, and in which order
//! it stops.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use millrace_engine::{Engine, JournalError, RecoveryReport};
use millrace_ledger::EventSeq;
use millrace_risk::shelf::Shelf;
use millrace_sinks::{
    AuditSink, GraphqlSink, NotifySink, Quarantine, ReadStore, ReviewStore, ReviewsSink, Sink,
    SinkError, SinkHandle, graphql, rebuild,
};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    config::{Config, ConfigError},
    desk,
    live_rebuild::LiveRebuild,
    metrics::{self, EngineWatch, Watched},
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
    /// Where metrics are shown, unless that is switched off.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) recovered: RecoveryReport,
    pub(crate) store: Option<ReadStore>,
    pub(crate) audit_file: PathBuf,
    engine: Engine,
    sinks: Vec<SinkHandle>,
    stop_grpc: watch::Sender<bool>,
    grpc_server: JoinHandle<Result<(), String>>,
    stop_metrics: watch::Sender<bool>,
    reads: Option<Reads>,
    live_rebuild: Option<LiveRebuild>,
}

/// The GraphQL server. It has a thread of its own at the lowest priority: queries, however heavy,
/// take nothing from payments.
struct Reads {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    /// The store that answers from now on.
    store: watch::Sender<ReadStore>,
    server: JoinHandle<io::Result<()>>,
}

impl Reads {
    fn serve(store: ReadStore, listener: TcpListener) -> Result<Self, PipelineError> {
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
        let (store, stores) = watch::channel(store);
        let server = runtime.spawn(serve_each(listener, stores, stopped));
        Ok(Self { runtime, stop, store, server })
    }

    async fn stop(self) -> Result<(), String> {
        self.stop.send_replace(true);
        let served = flatten(self.server.await);
        self.runtime.shutdown_background();
        served.and_then(|served| served.map_err(|error| error.to_string()))
    }
}

/// The sinks, and what two of them keep for readers.
struct OpenSinks {
    sinks: Vec<(Box<dyn Sink>, Quarantine)>,
    store: Option<ReadStore>,
    reviews: Option<ReviewStore>,
}

/// Opens the sinks that are switched on.
fn open_sinks(config: &Config) -> Result<OpenSinks, PipelineError> {
    let mut sinks: Vec<(Box<dyn Sink>, Quarantine)> = Vec::new();
    let (mut store, mut reviews) = (None, None);
    let settings = &config.sinks;
    // Whoever rebuilds a sink holds its quarantine, so that comes first.
    let quarantine = |sink| {
        let quarantine = Quarantine::open(&config.quarantine_dir(), sink)?;
        rebuild::settle(&config.sink_dir(sink))?;
        Ok::<_, SinkError>(quarantine)
    };
    if settings.audit.enabled {
        let quarantine = quarantine("audit")?;
        let log = AuditSink::open(&config.audit_dir(), &settings.audit)?;
        sinks.push((Box::new(log), quarantine));
    }
    if settings.notify.enabled {
        let directory = config.data_dir.join("notify");
        let quarantine = quarantine("notify")?;
        sinks.push((Box::new(NotifySink::open(&directory, &settings.notify)?), quarantine));
    }
    if settings.graphql.enabled {
        let directory = config.data_dir.join("graphql");
        let quarantine = quarantine("graphql")?;
        let (projection, reads) = GraphqlSink::open(&directory, &settings.graphql)?;
        sinks.push((Box::new(projection), quarantine));
        store = Some(reads);
    }
    if settings.reviews.enabled {
        let directory = config.data_dir.join("reviews");
        let quarantine = quarantine("reviews")?;
        let (projection, reads) = ReviewsSink::open(&directory, &settings.reviews)?;
        sinks.push((Box::new(projection), quarantine));
        reviews = Some(reads);
    }
    Ok(OpenSinks { sinks, store, reviews })
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
        let metrics_listener = match &config.metrics {
            off if !off.enabled => None,
            on => Some(listen("metrics", "metrics.listen", on.listen).await?),
        };
        let grpc = address(&grpc_listener)?;
        let metrics = metrics_listener.as_ref().map(address).transpose()?;
        let graphql = graphql_listener.as_ref().map(address).transpose()?;
        // 3. The engine recovers ledger and risk profiles from the journal.
        let (engine, recovered) = Engine::start(&config.engine(), &policy)?;
        // 4. Sinks go on where their cursors stand, each on a thread of its own.
        let OpenSinks { sinks, store, reviews } = open_sinks(config)?;
        // A journal that is behind its readers lost its end, or is another one.
        let durable = engine.feed().durable_seq();
        if let Some((sink, _)) = sinks.iter().find(|(sink, _)| sink.next_seq() > durable.next()) {
            let (sink, next) = (sink.name(), sink.next_seq());
            return Err(PipelineError::SinkAhead { sink, next, durable });
        }
        let spawn =
            |(sink, quarantine)| millrace_sinks::spawn_with(sink, engine.feed(), quarantine);
        let sinks: Vec<SinkHandle> = sinks.into_iter().map(spawn).collect();
        let (stop_metrics, metrics_stopped) = watch::channel(false);
        if let Some(listener) = metrics_listener {
            let watched = watched(&sinks, &engine, &policy);
            let recorder = metrics::recorder().map_err(|error| PipelineError::Server {
                what: "metrics",
                reason: error.to_string(),
            })?;
            let stopped = turned_true(metrics_stopped);
            tokio::spawn(metrics::serve(listener, recorder, watched, stopped));
        }
        // 5. Reads are served before writes are taken.
        let reads = store
            .clone()
            .zip(graphql_listener)
            .map(|(store, listener)| Reads::serve(store, listener))
            .transpose()?;
        let graphql_sink = sinks.iter().find(|sink| sink.name() == "graphql");
        let live_rebuild = match (&reads, graphql_sink) {
            (Some(reads), Some(sink)) => {
                let readers = reads.store.clone();
                let switch = move |store| drop(readers.send_replace(store));
                let started = LiveRebuild::start(config, engine.feed(), sink, switch);
                Some(started.map_err(|error| PipelineError::Server {
                    what: "rebuild",
                    reason: error.to_string(),
                })?)
            }
            _ => None,
        };
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
            metrics,
            recovered,
            store,
            audit_file: config.audit_dir().join("audit.jsonl"),
            engine,
            sinks,
            stop_grpc,
            grpc_server,
            stop_metrics,
            reads,
            live_rebuild,
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
    /// 3. the sinks catch up, for a while, and stop at their cursors;
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
        if let Some(live_rebuild) = self.live_rebuild {
            live_rebuild.stop();
        }
        self.sinks.iter().for_each(SinkHandle::stop);
        self.sinks.into_iter().for_each(SinkHandle::join);
        let reads = match self.reads {
            Some(reads) => reads.stop().await,
            None => Ok(()),
        };
        self.stop_metrics.send_replace(true);
        engine.map_err(|_| PipelineError::EngineStopped)??;
        grpc.map_err(|reason| PipelineError::Server { what: "gRPC", reason })?;
        reads.map_err(|reason| PipelineError::Server { what: "GraphQL", reason })
    }
}

/// Answers from the newest store. When there is a newer one, a server for it begins at once, and the
/// one before it finishes what it has in hand; both listen to the same socket.
async fn serve_each(
    listener: std::net::TcpListener,
    mut stores: watch::Receiver<ReadStore>,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut serving = JoinSet::new();
    loop {
        let store = stores.borrow_and_update().clone();
        let shared = TcpListener::from_std(listener.try_clone()?)?;
        let (mut newer, until) = (stores.clone(), stopped.clone());
        let ended = async move {
            tokio::select! {
                Ok(()) = newer.changed() => {}
                () = turned_true(until) => {}
            }
        };
        serving.spawn(graphql::serve(shared, store, ended));
        loop {
            tokio::select! {
                Ok(()) = stores.changed() => break,
                ended = serving.join_next() => match ended {
                    Some(ended) => ended.map_err(io::Error::other)??,
                    None => return Ok(()),
                },
            }
        }
    }
}

/// What metrics tell of.
fn watched(sinks: &[SinkHandle], engine: &Engine, policy: &millrace_risk::Policy) -> Watched {
    Watched {
        sinks: sinks.iter().map(SinkHandle::watch).collect(),
        engine: Some(EngineWatch {
            feed: engine.feed(),
            submitter: engine.submitter(),
            counted: engine.counted(),
            upkeep: engine.stats(),
        }),
        risk: Some(policy.counts()),
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
