//! Rebuilding a sink while millrace runs: consumes a request, which is a file, builds the sink anew
//! beside the one that runs, and has it replaced when the new one has caught up. Payments and queries
//! go on meanwhile.
//!
//! `DATA_DIR/<sink>.rebuild` is the request, which names the act of the journal that orders it;
//! `DATA_DIR/<sink>.rebuild.json` says how far it is.

mod audit;
mod graphql;
mod postgres;

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
    QuarantineDesk, Replacement, Replacer, Sink, SinkError, SinkHandle, SinkState, SinkWatch,
    Source as _, SourceError, Switch,
    graphql::ReadModel,
    rebuild::{self, Built, RebuildError},
    run_when_idle,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    audit::{AuditLog, kept_path},
    graphql::Projection,
    postgres::Tables,
};
use crate::config::Config;

/// How often requests are looked for, and how often progress is told.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long an act that was answered may take to be in the feed.
const ACT_WAIT_MAX: Duration = Duration::from_secs(5);
const ACT_POLL: Duration = Duration::from_millis(5);

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub(crate) enum LiveProgress {
    /// Events so far, and how many there are.
    Building { seq: u64, last: u64 },
    /// Readers are switched. Events that stay in quarantine, and where the old one is kept.
    Done { seq: u64, skipped: usize, kept: Option<PathBuf> },
    /// What was there still serves.
    Failed { error: String },
}

/// The files through which a command and a running millrace speak.
pub(crate) struct LiveFiles {
    request: PathBuf,
    answer: PathBuf,
}

impl LiveFiles {
    pub(crate) fn new(config: &Config, sink: &str) -> Self {
        let file = |name: &str| config.data_dir.join(format!("{sink}.{name}"));
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

/// The rebuild that this event of the journal orders; `None` where it orders none of this sink. Whoever
/// journaled it has an answer a moment before it is in the feed.
pub(crate) fn orders_rebuild(
    feed: &Feed,
    seq: EventSeq,
    sink: &str,
) -> Result<Option<(String, RebuildAct)>, SourceError> {
    let give_up = Instant::now() + ACT_WAIT_MAX;
    while feed.durable_seq() < seq && Instant::now() < give_up {
        thread::sleep(ACT_POLL);
    }
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

/// Removes what was built and may not take its place. What can't be removed is at the next start.
fn discard(fresh: &Path) {
    if let Err(error) = fs::remove_dir_all(fresh) {
        tracing::warn!(dir = %fresh.display(), %error, "can't remove what was built");
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What became of the switch: where the old one is kept, or why the new one was refused.
type Told = mpsc::Sender<Result<Option<PathBuf>, String>>;

/// Has queries answered from this model from now on.
pub(crate) type SwitchReaders = Arc<dyn Fn(Arc<dyn ReadModel>) + Send + Sync>;

/// What differs from sink to sink.
pub(crate) trait Rebuilding: Send + 'static {
    /// The sink.
    fn name(&self) -> &'static str;

    /// Opens the new one, where it is built: in the directory, if it needs one.
    fn open(&mut self, dir: &Path) -> Result<Box<dyn Sink>, SinkError>;

    /// Whether what was built may take the other one's place.
    fn check(&self, fresh: &Path, act: &RebuildAct) -> Result<(), SinkError> {
        let _ = (fresh, act);
        Ok(())
    }

    /// What is done when it has caught up.
    fn switch(&mut self, dir: &Path, act: &RebuildAct, told: Told) -> Switch;
}

/// Looks for requests, until it is stopped.
pub(crate) struct LiveRebuild {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What a rebuild needs.
struct Builder {
    dir: PathBuf,
    kind: Box<dyn Rebuilding>,
    quarantines: QuarantineDesk,
    files: LiveFiles,
    feed: Feed,
    replacer: Replacer,
    sink: SinkWatch,
    stop: Arc<AtomicBool>,
}

impl LiveRebuild {
    pub(crate) fn start(
        config: &Config,
        feed: Feed,
        sink: &SinkHandle,
        kind: impl Rebuilding,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut builder = Builder {
            dir: config.sink_dir(kind.name()),
            quarantines: QuarantineDesk::new(&config.quarantine_dir()),
            files: LiveFiles::new(config, kind.name()),
            kind: Box::new(kind),
            feed,
            replacer: sink.replacer(),
            sink: sink.watch(),
            stop: Arc::clone(&stop),
        };
        let thread =
            thread::Builder::new().name("rebuild".to_owned()).spawn(move || builder.serve())?;
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

    fn serve(&mut self) {
        let sink = self.kind.name();
        while !self.stopped() {
            thread::park_timeout(LOOK_EVERY);
            if !self.files.request.exists() {
                continue;
            }
            let asked = self.files.asked();
            if let Err(error) = remove(&self.files.request) {
                tracing::warn!(sink, %error, "can't take the request for a rebuild");
                continue;
            }
            let order = asked.map(|act| orders_rebuild(&self.feed, act, sink));
            let Some(Ok(Some((actor, act)))) = order else {
                let error = "no act of the journal orders it; ask with `millrace sinks rebuild`";
                tracing::warn!(sink, error, "a rebuild was asked for and is not done");
                self.files.tell(&LiveProgress::Failed { error: error.to_owned() });
                continue;
            };
            tracing::info!(sink, actor, "a sink is rebuilt beside the one that runs");
            // Whoever asked knows that it is heard, however long it takes to begin.
            let last = self.feed.durable_seq().0;
            self.files.tell(&LiveProgress::Building { seq: 0, last });
            match self.build_when_idle(&act) {
                Ok(Some(told)) => {
                    tracing::info!(sink, ?told, "the rebuild of a sink is over");
                    self.files.tell(&told);
                }
                Ok(None) => tracing::info!(sink, "a rebuild is given up: millrace stops"),
                Err(error) => {
                    tracing::error!(sink, %error, "a sink was not rebuilt");
                    self.files.tell(&LiveProgress::Failed { error: error.to_string() });
                }
            }
        }
    }

    /// On a thread of its own: one that runs when idle can't be anything else later, and whoever asks
    /// is to be heard where the machine is busy, too.
    fn build_when_idle(&mut self, act: &RebuildAct) -> Result<Option<LiveProgress>, RebuildError> {
        let built = thread::scope(|scope| {
            let building = scope.spawn(|| {
                run_when_idle();
                self.build(act)
            });
            building.join()
        });
        built.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn build(&mut self, act: &RebuildAct) -> Result<Option<LiveProgress>, RebuildError> {
        let name = self.kind.name();
        let mut told_at = None;
        let in_quarantine =
            |seq: EventSeq| self.quarantines.entry(name, seq.0).is_ok_and(|entry| entry.is_some());
        let (dir, feed, stop) = (&self.dir, &self.feed, &self.stop);
        let open = |fresh: &Path| self.kind.open(fresh);
        let built = rebuild::build_beside(dir, feed, &in_quarantine, open, |seq| {
            if told_at.is_none_or(|at: Instant| at.elapsed() >= LOOK_EVERY) {
                told_at = Some(Instant::now());
                let last = feed.durable_seq().0;
                self.files.tell(&LiveProgress::Building { seq: seq.0, last });
            }
            !stop.load(Ordering::Acquire)
        });
        let Some(Built { sink, skipped }) = built? else { return Ok(None) };
        let fresh = rebuild::fresh_dir(&self.dir);
        if let Err(error) = self.kind.check(&fresh, act) {
            drop(sink);
            discard(&fresh);
            return Err(error.into());
        }
        let stay = skipped.len();
        let (told, switched) = mpsc::channel();
        let switch = self.kind.switch(&self.dir, act, told);
        self.replacer.offer(Replacement { sink, skipped, switch });
        while !self.stopped() {
            if self.sink.status().state == SinkState::Stopped {
                return Ok(Some(LiveProgress::Failed {
                    error: format!(
                        "the sink {name} has stopped (millrace sinks status tells why). Stop \
                         millrace, rebuild {name}, and start it again"
                    ),
                }));
            }
            match switched.recv_timeout(LOOK_EVERY) {
                Ok(Ok(kept)) => {
                    let seq = self.feed.durable_seq().0;
                    return Ok(Some(LiveProgress::Done { seq, skipped: stay, kept }));
                }
                Ok(Err(error)) => return Ok(Some(LiveProgress::Failed { error })),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // The sink has stopped, or is about to.
                Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
            }
        }
        Ok(None)
    }
}
