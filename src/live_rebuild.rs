//! Rebuilding the read model while millrace runs: consumes a request, which is a file, builds the
//! model anew beside the one that serves, and has readers switched when it has caught up. Payments
//! and queries go on meanwhile.
//!
//! `DATA_DIR/graphql.rebuild` is the request, which names the act of the journal that orders it; `DATA_DIR/graphql.rebuild.json` says how far it
//! is.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use millrace_engine::{Feed, FeedEvent};
use millrace_ledger::{Event, EventSeq};
use millrace_risk::acts::{Act, ActKind, RebuildAct};
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, QuarantineDesk, ReadStore, Replacement, Replacer, Sink, SinkHandle,
    SinkState, SinkWatch, Source as _, SourceError,
    rebuild::{self, Built, RebuildError},
    run_when_idle,
};
use serde::{Deserialize, Serialize};

use crate::config::Config;

const SINK: &str = "graphql";
/// How often requests are looked for, and how often progress is told.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub(crate) enum LiveProgress {
    /// Events so far, and how many there are.
    Building { seq: u64, last: u64 },
    /// Readers are switched. Events that stay in quarantine.
    Done { seq: u64, skipped: usize },
    /// What was there still serves.
    Failed { error: String },
}

/// The files through which a command and a running millrace speak.
pub(crate) struct LiveFiles {
    request: PathBuf,
    answer: PathBuf,
}

impl LiveFiles {
    pub(crate) fn new(config: &Config) -> Self {
        let file = |name: &str| config.data_dir.join(format!("{SINK}.{name}"));
        Self { request: file("rebuild"), answer: file("rebuild.json") }
    }

    /// Asks for a rebuild; what was said of an earlier one is forgotten.
    pub(crate) fn ask(&self, act: EventSeq) -> io::Result<()> {
        remove(&self.answer)?;
        let fresh = self.request.with_extension("asked");
        fs::write(&fresh, act.to_string())?;
        fs::rename(&fresh, &self.request)
    }

    /// The act that the request names.
    fn asked(&self) -> Option<EventSeq> {
        fs::read_to_string(&self.request).ok()?.trim().parse().ok().map(EventSeq)
    }

    /// What the running millrace says, once it says something.
    pub(crate) fn answer(&self) -> Option<LiveProgress> {
        serde_json::from_slice(&fs::read(&self.answer).ok()?).ok()
    }

    fn tell(&self, progress: &LiveProgress) {
        let text = serde_json::to_vec(progress).expect("numbers and text are valid JSON");
        let fresh = self.answer.with_extension("new");
        let told = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &self.answer));
        if let Err(error) = told {
            tracing::warn!(%error, "can't tell how far the rebuild is");
        }
    }
}

/// The rebuild that this event of the journal orders; `None` where it orders none of this sink.
pub(crate) fn orders_rebuild(
    feed: &Feed,
    seq: EventSeq,
    sink: &str,
) -> Result<Option<(String, RebuildAct)>, SourceError> {
    let Some(FeedEvent { event: Event::Act(_), context, .. }) = feed.event(seq)? else {
        return Ok(None);
    };
    match Act::read(&context) {
        Ok(Act { actor, act: ActKind::RebuildSink(act), .. }) if act.sink == sink => {
            Ok(Some((actor, act)))
        }
        _ => Ok(None),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Looks for requests, until it is stopped.
pub(crate) struct LiveRebuild {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What a rebuild needs.
struct Builder {
    dir: PathBuf,
    settings: GraphqlConfig,
    quarantines: QuarantineDesk,
    files: LiveFiles,
    feed: Feed,
    replacer: Replacer,
    sink: SinkWatch,
    switch: Arc<dyn Fn(ReadStore) + Send + Sync>,
    stop: Arc<AtomicBool>,
}

impl LiveRebuild {
    /// `switch` is given the store that answers queries from then on.
    pub(crate) fn start(
        config: &Config,
        feed: Feed,
        sink: &SinkHandle,
        switch: impl Fn(ReadStore) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let builder = Builder {
            dir: config.sink_dir(SINK),
            settings: config.sinks.graphql.clone(),
            quarantines: QuarantineDesk::new(&config.quarantine_dir()),
            files: LiveFiles::new(config),
            feed,
            replacer: sink.replacer(),
            sink: sink.watch(),
            switch: Arc::new(switch),
            stop: Arc::clone(&stop),
        };
        let thread = thread::Builder::new().name("rebuild".to_owned()).spawn(move || {
            run_when_idle();
            builder.serve();
        })?;
        Ok(Self { stop, thread })
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // A panic was logged.
        let _ = self.thread.join();
    }
}

impl Builder {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn serve(&self) {
        while !self.stopped() {
            thread::park_timeout(LOOK_EVERY);
            if !self.files.request.exists() {
                continue;
            }
            let asked = self.files.asked();
            if let Err(error) = remove(&self.files.request) {
                tracing::warn!(%error, "can't take the request for a rebuild");
                continue;
            }
            let order = asked.map(|act| orders_rebuild(&self.feed, act, SINK));
            let Some(Ok(Some((actor, _)))) = order else {
                let error = "no act of the journal orders it; ask with `millrace sinks rebuild`";
                tracing::warn!(error, "a rebuild was asked for and is not done");
                self.files.tell(&LiveProgress::Failed { error: error.to_owned() });
                continue;
            };
            tracing::info!(actor, "the read model is rebuilt beside the one that serves");
            match self.build() {
                Ok(Some(told)) => {
                    tracing::info!(?told, "the rebuild of the read model is over");
                    self.files.tell(&told);
                }
                Ok(None) => tracing::info!("a rebuild is given up: millrace stops"),
                Err(error) => {
                    tracing::error!(%error, "the read model was not rebuilt");
                    self.files.tell(&LiveProgress::Failed { error: error.to_string() });
                }
            }
        }
    }

    fn build(&self) -> Result<Option<LiveProgress>, RebuildError> {
        let mut store = None;
        let mut told_at = None;
        let in_quarantine =
            |seq: EventSeq| self.quarantines.entry(SINK, seq.0).is_ok_and(|entry| entry.is_some());
        let open = |dir: &Path| {
            let (sink, reads) = GraphqlSink::open(dir, &self.settings)?;
            store = Some(reads);
            Ok(Box::new(sink) as Box<dyn Sink>)
        };
        let built = rebuild::build_beside(&self.dir, &self.feed, &in_quarantine, open, |seq| {
            if told_at.is_none_or(|at: Instant| at.elapsed() >= LOOK_EVERY) {
                told_at = Some(Instant::now());
                let last = self.feed.durable_seq().0;
                self.files.tell(&LiveProgress::Building { seq: seq.0, last });
            }
            !self.stopped()
        });
        let (Some(Built { sink, skipped }), Some(store)) = (built?, store) else { return Ok(None) };
        let done = LiveProgress::Done { seq: self.feed.durable_seq().0, skipped: skipped.len() };
        let (switched, is_switched) = mpsc::channel();
        let (dir, switch) = (self.dir.clone(), Arc::clone(&self.switch));
        let switch = Box::new(move || {
            rebuild::mark_whole(&dir)?;
            switch(store);
            // Whoever waits may have stopped.
            let _ = switched.send(());
            Ok(())
        });
        self.replacer.offer(Replacement { sink, skipped, switch });
        while !self.stopped() {
            if self.sink.status().state == SinkState::Stopped {
                return Ok(Some(LiveProgress::Failed {
                    error: "the sink graphql has stopped (millrace sinks status tells why). Stop \
                            millrace, rebuild graphql, and start it again"
                        .to_owned(),
                }));
            }
            match is_switched.recv_timeout(LOOK_EVERY) {
                Ok(()) => return Ok(Some(done)),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // The sink has stopped, or is about to.
                Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
            }
        }
        Ok(None)
    }
}
