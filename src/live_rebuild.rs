//! Rebuilding the read model while millrace runs: consumes a request, which is a file, builds the
//! model anew beside the one that serves, and has readers switched when it has caught up. Payments
//! and queries go on meanwhile.
//!
//! `DATA_DIR/graphql.rebuild` is the request, empty; `DATA_DIR/graphql.rebuild.json` says how far it
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

use millrace_engine::Feed;
use millrace_ledger::EventSeq;
use millrace_postgres::{PostgresConfig, PostgresRebuild, PostgresStore, Runs};
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, QuarantineDesk, Replacement, Replacer, Sink, SinkError, SinkHandle,
    SinkState, SinkWatch,
    graphql::ReadModel,
    rebuild::{self, Built, RebuildError},
    run_when_idle,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

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
    pub(crate) fn ask(&self) -> io::Result<()> {
        remove(&self.answer)?;
        fs::write(&self.request, "")
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

/// Where the read model is.
enum Store {
    Embedded { dir: PathBuf, settings: GraphqlConfig },
    Postgres(PostgresConfig),
}

/// What is built, and what is done with it.
struct Fresh {
    built: Built,
    model: Arc<dyn ReadModel>,
    /// Puts it in the place of what serves.
    put_in_place: Box<dyn FnOnce() -> Result<(), SinkError> + Send>,
    /// Removes what served, once nobody reads it.
    clean_up: Box<dyn FnOnce() -> Result<(), SinkError>>,
}

/// What a rebuild needs.
struct Builder {
    store: Store,
    quarantines: QuarantineDesk,
    files: LiveFiles,
    feed: Feed,
    replacer: Replacer,
    sink: SinkWatch,
    switch: Arc<dyn Fn(Arc<dyn ReadModel>) + Send + Sync>,
    /// On which a model looks after its connections.
    runtime: Handle,
    stop: Arc<AtomicBool>,
}

impl LiveRebuild {
    /// `switch` is given what answers queries from then on. To be called on a runtime.
    pub(crate) fn start(
        config: &Config,
        feed: Feed,
        sink: &SinkHandle,
        switch: impl Fn(Arc<dyn ReadModel>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let builder = Builder {
            store: match config.postgres.is_set() {
                true => Store::Postgres(config.postgres.clone()),
                false => Store::Embedded {
                    dir: config.sink_dir(SINK),
                    settings: config.sinks.graphql.clone(),
                },
            },
            quarantines: QuarantineDesk::new(&config.quarantine_dir()),
            files: LiveFiles::new(config),
            feed,
            replacer: sink.replacer(),
            sink: sink.watch(),
            switch: Arc::new(switch),
            runtime: Handle::current(),
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
            if let Err(error) = remove(&self.files.request) {
                tracing::warn!(%error, "can't take the request for a rebuild");
                continue;
            }
            tracing::info!("the read model is rebuilt beside the one that serves");
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
        let fresh = match &self.store {
            Store::Embedded { dir, settings } => self.build_directory(dir, settings)?,
            Store::Postgres(settings) => self.build_schema(settings)?,
        };
        match fresh {
            Some(fresh) => Ok(self.replace(fresh)),
            None => Ok(None),
        }
    }

    fn build_directory(
        &self,
        dir: &Path,
        settings: &GraphqlConfig,
    ) -> Result<Option<Fresh>, RebuildError> {
        let mut store = None;
        let open = |dir: &Path| {
            let (sink, reads) = GraphqlSink::open(dir, settings)?;
            store = Some(reads);
            Ok(Box::new(sink) as Box<dyn Sink>)
        };
        let (known, go_on) = (|seq| self.in_quarantine(seq), self.progress());
        let built = rebuild::build_beside(dir, &self.feed, &known, open, go_on)?;
        let (Some(built), Some(store)) = (built, store) else { return Ok(None) };
        let dir = dir.to_owned();
        Ok(Some(Fresh {
            built,
            model: Arc::new(store),
            put_in_place: Box::new(move || rebuild::mark_whole(&dir)),
            // Both may be open until the next start, which removes it.
            clean_up: Box::new(|| Ok(())),
        }))
    }

    fn build_schema(&self, settings: &PostgresConfig) -> Result<Option<Fresh>, RebuildError> {
        let (place, sink) = PostgresRebuild::begin(settings, Runs::Here)?;
        let store = {
            let _on_runtime = self.runtime.enter();
            PostgresStore::open(settings, Some(&sink))?
        };
        let known = |seq| self.in_quarantine(seq);
        let built = rebuild::build_with(Box::new(sink), &self.feed, &known, self.progress())?;
        let Some(built) = built else { return Ok(None) };
        let (place, stop) = (Arc::new(place), Arc::clone(&self.stop));
        let swapped = Arc::clone(&place);
        Ok(Some(Fresh {
            built,
            model: Arc::new(store),
            put_in_place: Box::new(move || patiently(&stop, || swapped.swap())),
            clean_up: Box::new(move || place.remove_old()),
        }))
    }

    fn in_quarantine(&self, seq: EventSeq) -> bool {
        self.quarantines.entry(SINK, seq.0).is_ok_and(|entry| entry.is_some())
    }

    /// Tells how far the rebuild is; says whether it is to go on.
    fn progress(&self) -> impl FnMut(EventSeq) -> bool {
        let mut told_at = None;
        move |seq| {
            if told_at.is_none_or(|at: Instant| at.elapsed() >= LOOK_EVERY) {
                told_at = Some(Instant::now());
                let last = self.feed.durable_seq().0;
                self.files.tell(&LiveProgress::Building { seq: seq.0, last });
            }
            !self.stopped()
        }
    }

    /// Hands it to the sink that runs, and waits until readers are switched.
    fn replace(&self, fresh: Fresh) -> Option<LiveProgress> {
        let Fresh { built: Built { sink, skipped }, model, put_in_place, clean_up } = fresh;
        let done = LiveProgress::Done { seq: self.feed.durable_seq().0, skipped: skipped.len() };
        let (switched, is_switched) = mpsc::channel();
        let switch = Arc::clone(&self.switch);
        let switch = Box::new(move || {
            put_in_place()?;
            switch(model);
            // Whoever waits may have stopped.
            let _ = switched.send(());
            Ok(())
        });
        self.replacer.offer(Replacement { sink, skipped, switch });
        while !self.stopped() {
            if self.sink.status().state == SinkState::Stopped {
                return Some(LiveProgress::Failed {
                    error: "the sink graphql has stopped (millrace sinks status tells why). Stop \
                            millrace, rebuild graphql, and start it again"
                        .to_owned(),
                });
            }
            match is_switched.recv_timeout(LOOK_EVERY) {
                Ok(()) => {
                    if let Err(error) = clean_up() {
                        tracing::warn!(%error, "what was replaced is still there");
                    }
                    return Some(done);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // The sink has stopped, or is about to.
                Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
            }
        }
        None
    }
}

/// Tries until it works, no retry helps, or millrace stops.
fn patiently(
    stop: &AtomicBool,
    attempt: impl Fn() -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    loop {
        match attempt() {
            Err(error) if error.is_transient() && !stop.load(Ordering::Acquire) => {
                tracing::warn!(%error, "the rebuilt read model waits to be put in place");
                thread::sleep(LOOK_EVERY);
            }
            done => return done,
        }
    }
}
