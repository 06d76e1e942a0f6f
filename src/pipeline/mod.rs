//! The whole pipeline in one numbered function: what is started in which order, and in which order
//! it stops. A process runs all of it, or some roles.

mod drain;
mod error;
mod events;
mod front;
mod reads;
mod sinks;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_engine::{Feed, JournalError, RecoveryReport, is_in_use};
use millrace_ledger::EventSeq;
use millrace_risk::Policy;
use millrace_sinks::{
    SinkHandle,
    graphql::{Acts, ReadModel, Services},
};
use millrace_stream::PublisherHandle;
use tokio::{net::TcpListener, sync::watch};

pub(crate) use error::PipelineError;

use self::{drain::is_waited_for, events::Events, front::Front, reads::Reads, sinks::Sinks};
use crate::{
    acts::FrontDoor,
    config::Config,
    data_dir,
    live_rebuild::{AuditLog, LiveRebuild, Projection, SwitchReaders, Tables},
    metrics::{self, Watched},
    role::{Role, Roles},
};

/// How long the readers of events may take to catch up when the pipeline stops. What is left they do after the
/// next start.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A running pipeline, or the roles of it that this process has.
pub(crate) struct Pipeline {
    /// Where payments are taken, if they are taken here.
    pub(crate) grpc: Option<SocketAddr>,
    /// Where queries are answered, if they are answered here.
    pub(crate) graphql: Option<SocketAddr>,
    /// Where metrics are shown, unless that is switched off.
    pub(crate) metrics: Option<SocketAddr>,
    /// What the journal held, if it is written here.
    pub(crate) recovered: Option<RecoveryReport>,
    pub(crate) model: Option<Arc<dyn ReadModel>>,
    pub(crate) audit_dir: PathBuf,
    front: Option<Front>,
    /// Where this process sees it.
    journal: Option<Feed>,
    publisher: Option<PublisherHandle>,
    sinks: Sinks,
    reads: Option<Reads>,
    live_rebuilds: Vec<LiveRebuild>,
    stop_metrics: watch::Sender<bool>,
}

impl Pipeline {
    /// Starts everything that the roles ask for, in this order.
    pub(crate) async fn start(config: &Config, roles: &Roles) -> Result<Self, PipelineError> {
        // 1. Settings are checked before anything is touched.
        let policy = config.check()?;
        data_dir::check(&config.data_dir)?;
        // 2. Ports are taken first: what can fail fast fails before a long recovery.
        let taken = |error| in_use_instead(config, roles, error);
        let grpc_listener = match roles.has(Role::Ingest) {
            true => {
                let listening = listen("gRPC", "ingest.listen", config.ingest.listen).await;
                Some(listening.map_err(taken)?)
            }
            false => None,
        };
        let graphql_listener = match roles.has(Role::Graphql) && config.sinks.graphql.enabled {
            true => {
                let address = config.sinks.graphql.listen;
                let listening = listen("GraphQL", "sinks.graphql.listen", address).await;
                Some(listening.map_err(taken)?)
            }
            false => None,
        };
        let metrics_listener = match config.metrics.enabled {
            true => Some(listen_for_metrics(config, roles).await.map_err(taken)?),
            false => None,
        };
        let graphql = graphql_listener.as_ref().map(address).transpose()?;
        let metrics = metrics_listener.as_ref().map(address).transpose()?;
        // 3. The engine recovers ledger and risk profiles from the journal.
        let mut front = match roles.has(Role::Ingest) {
            true => Some(Front::recover(config, &policy)?),
            false => None,
        };
        //    What was done while it was stopped is journaled before anything else is.
        if let Some(front) = &front {
            front.journal_pending(config).await;
        }
        let events = Events::choose(config, roles, front.as_ref().map(Front::feed))?;
        // 4. What counts takes its counters when it starts, so there must be some by then.
        let recorder = metrics_listener.as_ref().map(|_| metrics::recorder()).transpose();
        let recorder = recorder.map_err(failed("metrics"))?;
        // 5. The publisher and the sinks go on where they stood, each on a thread of its own.
        let publisher = match roles.has(Role::Publish) {
            true => events.publish()?,
            false => None,
        };
        //    Opening them may wait for a disk or a database.
        let sinks = tokio::task::block_in_place(|| Sinks::start(config, roles, &events))?;
        let (stop_metrics, metrics_stopped) = watch::channel(false);
        if let Some((listener, recorder)) = metrics_listener.zip(recorder) {
            let watched = Watched {
                publishers: publisher.as_ref().map_or_else(Vec::new, PublisherHandle::watches),
                sinks: sinks.handles.iter().map(SinkHandle::watch).collect(),
                engine: front.as_ref().map(Front::watch),
                risk: front.is_some().then(|| policy.counts()),
            };
            let stopped = turned_true(metrics_stopped);
            tokio::spawn(metrics::serve(listener, recorder, watched, stopped));
        }
        // 6. Reads are served before writes are taken.
        let grpc = grpc_listener.as_ref().map(address).transpose()?;
        let services = services(config, &policy, &sinks, grpc);
        let reads = services
            .zip(graphql_listener)
            .map(|(services, listener)| Reads::serve(services, &config.sinks.graphql, listener))
            .transpose()?;
        let live_rebuilds = live_rebuilds(config, &events, &sinks, reads.as_ref())?;
        // 7. The front door opens last.
        if let Some((front, listener)) = front.as_mut().zip(grpc_listener) {
            front.open(config, &policy, sinks.reviews.clone(), listener);
        }
        Ok(Self {
            grpc,
            graphql,
            metrics,
            recovered: front.as_ref().map(|front| front.recovered.clone()),
            model: sinks.model.clone(),
            audit_dir: config.audit_dir(),
            journal: events.journal().cloned(),
            front,
            publisher,
            sinks,
            reads,
            live_rebuilds,
            stop_metrics,
        })
    }

    /// The last event that is durable; 0 where the journal is not here.
    pub(crate) fn durable_seq(&self) -> EventSeq {
        self.journal.as_ref().map_or(EventSeq(0), Feed::durable_seq)
    }

    /// Host and port of the front door; empty where it is not here.
    pub(crate) fn grpc_address(&self) -> String {
        self.grpc.map_or_else(String::new, |address| address.to_string())
    }

    pub(crate) fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc_address())
    }

    /// The reader of events that is furthest behind: its name and the last event that it processed.
    pub(crate) fn slowest_reader(&self) -> Option<(&'static str, EventSeq)> {
        let sinks = self.sinks.handles.iter().map(|sink| (sink.name(), sink.applied_seq()));
        let publisher = self.publisher.iter().map(|it| (it.name(), it.applied_seq()));
        sinks.chain(publisher).min_by_key(|(_, seq)| *seq)
    }

    /// Why a reader of events stopped by itself, if one did.
    pub(crate) fn reader_error(&self) -> Option<PipelineError> {
        let sinks = self.sinks.handles.iter().map(|sink| (sink.name(), sink.error()));
        let publisher = self.publisher.iter().map(|it| (it.name(), it.error()));
        let mut errors = sinks.chain(publisher).filter_map(|(part, error)| Some((part, error?)));
        errors.next().map(|(part, reason)| PipelineError::Reader { part, reason })
    }

    /// Watches over the parts. Returns when something that must run has stopped by itself.
    pub(crate) async fn failed(&self) {
        // A process without a front door is there for its readers.
        let readers_must_run = self.front.is_none();
        while !(self.front.as_ref().is_some_and(Front::has_stopped)
            || self.reads.as_ref().is_some_and(Reads::is_finished)
            || readers_must_run && self.reader_error().is_some())
        {
            if let Some((front, (_, slowest))) = self.front.as_ref().zip(self.slowest_reader()) {
                front.retain_from(slowest.next());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops everything, in the order in which payments flow, so that what was let in comes out:
    ///
    /// 1. the front door drains, and the engine makes durable what is queued;
    /// 2. the publisher and the sinks catch up, for a while, and stop at their cursors; notifications
    ///    that are under way get a few seconds, and those that wait go on waiting;
    /// 3. the read side stops.
    pub(crate) async fn stop(mut self) -> Result<(), PipelineError> {
        let took_payments = self.front.is_some();
        let front = match self.front.take() {
            Some(front) => front.stop().await,
            None => Ok(()),
        };
        let started = Instant::now();
        let engine_failed = front.is_err();
        while took_payments && started.elapsed() < DRAIN_MAX && self.catches_up(engine_failed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let failed = self.reader_error().filter(|_| !took_payments);
        self.live_rebuilds.into_iter().for_each(LiveRebuild::stop);
        if let Some(publisher) = self.publisher {
            publisher.stop();
            publisher.join();
        }
        self.sinks.stop().await;
        let reads = match self.reads {
            Some(reads) => reads.stop().await,
            None => Ok(()),
        };
        self.stop_metrics.send_replace(true);
        front?;
        reads.map_err(|reason| PipelineError::Server { what: "GraphQL", reason })?;
        failed.map_or(Ok(()), Err)
    }

    /// Whether a reader is behind and moves on: one that waits for a server that is away does not.
    fn catches_up(&self, engine_failed: bool) -> bool {
        let durable = self.durable_seq();
        let publishes = self.publisher.as_ref().is_some_and(|it| {
            it.error().is_none() && it.waiting_for().is_none() && it.applied_seq() < durable
        });
        let behind = |sink: &SinkHandle| is_waited_for(&sink.watch(), durable, engine_failed);
        let cut_off = self.publisher.as_ref().is_some_and(|it| it.waiting_for().is_some());
        publishes || !cut_off && self.sinks.handles.iter().any(behind)
    }
}

/// What queries are answered from, where there is a read model. People's acts go to the front door:
/// the one at `grpc`, or the one that the settings name.
fn services(
    config: &Config,
    policy: &Policy,
    sinks: &Sinks,
    grpc: Option<SocketAddr>,
) -> Option<Services> {
    let model = sinks.model.as_ref()?;
    let elsewhere = || Some(config.sinks.graphql.ingest_url.clone()).filter(|it| !it.is_empty());
    let front_door = grpc.map(|address| format!("http://{address}")).or_else(elsewhere);
    Some(Services {
        reviews: sinks.reviews.clone(),
        inbox: sinks.inbox.clone(),
        audit: sinks.audit.clone(),
        acts: front_door.map(|url| Arc::new(FrontDoor::new(url)) as Arc<dyn Acts>),
        policies: policy.library().cloned(),
        ..Services::new(Arc::clone(model))
    })
}

/// Lets the audit log and the read model be rebuilt while they answer, where they and the
/// journal are here.
fn live_rebuilds(
    config: &Config,
    events: &Events,
    sinks: &Sinks,
    reads: Option<&Reads>,
) -> Result<Vec<LiveRebuild>, PipelineError> {
    let Some(journal) = events.journal() else { return Ok(Vec::new()) };
    let sink = |name| sinks.handles.iter().find(|sink| sink.name() == name);
    let mut started = Vec::new();
    if let Some(sink) = sink("audit") {
        let kind = AuditLog { settings: config.sinks.audit.clone(), dir: config.audit_dir() };
        started.push(LiveRebuild::start(config, journal.clone(), sink, kind));
    }
    if let (Some(reads), Some(sink)) = (reads, sink("graphql")) {
        let readers = reads.services.clone();
        let switch: SwitchReaders =
            Arc::new(move |model| readers.send_modify(|services| services.model = model));
        let (feed, settings) = (journal.clone(), &config.sinks.graphql);
        started.push(match config.postgres.is_set() {
            true => LiveRebuild::start(config, feed, sink, Tables::new(&config.postgres, switch)),
            false => LiveRebuild::start(config, feed, sink, Projection::new(settings, switch)),
        });
    }
    started.into_iter().collect::<io::Result<_>>().map_err(failed("rebuild"))
}

/// A process that has some of the roles shares its configuration with others, and does not insist on
/// the port.
async fn listen_for_metrics(config: &Config, roles: &Roles) -> Result<TcpListener, PipelineError> {
    let address = config.metrics.listen;
    match listen("metrics", "metrics.listen", address).await {
        Err(PipelineError::Listen { source, .. })
            if source.kind() == io::ErrorKind::AddrInUse && *roles != Roles::all() =>
        {
            tracing::warn!(%address, "metrics.listen is taken: metrics are shown on another port");
            listen("metrics", "metrics.listen", SocketAddr::new(address.ip(), 0)).await
        }
        listening => listening,
    }
}

/// A port that is taken by the process that has the data directory is that process's: it is the same
/// millrace, started twice.
fn in_use_instead(config: &Config, roles: &Roles, error: PipelineError) -> PipelineError {
    let journal = config.journal_dir();
    match &error {
        PipelineError::Listen { source, .. }
            if source.kind() == io::ErrorKind::AddrInUse
                && roles.has(Role::Ingest)
                && journal.is_dir()
                && is_in_use(&journal).unwrap_or(false) =>
        {
            JournalError::InUse { path: journal }.into()
        }
        _ => error,
    }
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> PipelineError {
    move |error| PipelineError::Server { what, reason: error.to_string() }
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
    listener.local_addr().map_err(failed("listening"))
}
