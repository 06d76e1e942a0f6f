//! Drives one sink: consumes the feed from the sink's cursor on, hands the sink what is there, and
//! guarantees that payments never wait for it.
//!
//! Stopping is prompt: the batch in hand is finished, the rest of the feed is left for the next
//! start, where the sink's cursor continues.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use millrace_engine::{
    JournalError,
    feed::{Feed, FeedBatch, FeedReader},
};
use millrace_ledger::EventSeq;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::Sink;

/// Most events that one apply gets, give or take a frame.
const APPLY_EVENTS: usize = 32_768;
/// How long a stop may go unnoticed while the feed is idle.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Waits before the tries that follow a failed one.
const BACKOFF_MS: [u64; 5] = [100, 200, 400, 800, 1_600];
/// Lowest priority of the ordinary scheduler.
const NICE: i32 = 19;

/// A running sink.
#[derive(Debug)]
pub struct SinkHandle {
    name: &'static str,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

/// What the sink's thread tells the rest of the process.
#[derive(Debug, Default)]
struct Progress {
    applied_seq: AtomicU64,
    stop: AtomicBool,
    error: Mutex<Option<String>>,
}

impl SinkHandle {
    /// What the sink is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The last event that the sink durably processed; 0 when there is none.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        EventSeq(self.progress.applied_seq.load(Ordering::Acquire))
    }

    /// Why the sink stopped by itself, if it did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.progress.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the sink finish the batch in hand and end.
    pub fn stop(&self) {
        self.progress.stop.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Waits until the sink has ended.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic was logged and is in `error` already.
            let _ = thread.join();
        }
    }
}

impl Drop for SinkHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where batches come from: the feed, a stream, or a script in tests.
pub trait Source: Send + 'static {
    /// A place in the source.
    type Reader: Send;

    /// A reader whose first event is `from`.
    ///
    /// # Errors
    /// When the source is away, or has not that event any more.
    fn reader(&self, from: EventSeq) -> Result<Self::Reader, SourceError>;

    /// The next batch; waits at most `timeout`. `None` when there was none.
    ///
    /// # Errors
    /// When the source is away, or what it holds is not what was written.
    fn next(reader: &mut Self::Reader, timeout: Duration)
    -> Result<Option<FeedBatch>, SourceError>;

    /// Everything below `next_seq` is committed by the sink: tells the source that it need not keep
    /// it for this one.
    ///
    /// # Errors
    /// When the source is away. What was committed stays so.
    fn committed(reader: &mut Self::Reader, next_seq: EventSeq) -> Result<(), SourceError> {
        let _ = (reader, next_seq);
        Ok(())
    }
}

/// Why a source gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SourceError {
    /// What happened, where, and what an operator can do.
    pub text: String,
    /// Whether trying again may help. It is tried again without end, ever more slowly.
    pub transient: bool,
}

impl From<JournalError> for SourceError {
    fn from(error: JournalError) -> Self {
        Self { transient: matches!(error, JournalError::Io { .. }), text: error.to_string() }
    }
}

impl Source for Feed {
    type Reader = FeedReader;

    fn reader(&self, from: EventSeq) -> Result<FeedReader, SourceError> {
        Ok(Self::reader(self, from))
    }

    fn next(reader: &mut FeedReader, timeout: Duration) -> Result<Option<FeedBatch>, SourceError> {
        Ok(reader.next(timeout)?)
    }
}

/// Runs the sink on a thread of its own until it is stopped or fails.
///
/// # Panics
/// When the operating system refuses a thread.
#[must_use]
pub fn spawn(sink: Box<dyn Sink>, source: impl Source) -> SinkHandle {
    let name = sink.name();
    let progress = Arc::new(Progress::default());
    progress.note_applied(sink.as_ref());
    let shared = Arc::clone(&progress);
    let thread = thread::Builder::new()
        .name(format!("sink-{name}"))
        .spawn(move || {
            run_when_idle();
            let _guard = PanicNote(&shared, name);
            if let Err(error) = run(sink, &source, &shared) {
                tracing::error!(sink = name, %error, "the sink stopped");
                shared.note_error(error);
            }
        })
        .expect("the operating system has a thread to spare");
    SinkHandle { name, progress, thread: Some(thread) }
}

/// Lets this thread, and those that it starts, run when a processor has nothing else to do
/// (`SCHED_IDLE` on Linux): one that waits for work gets the processor from it at once. Where that
/// is refused, it gets the lowest ordinary priority, and where that is refused, too, it runs all
/// the same.
pub(crate) fn run_when_idle() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let thread = thread_native_id();
    if let Err(error) = set_thread_priority_and_policy(thread, ThreadPriority::Min, idle) {
        tracing::debug!(?error, "could not make a sink run when idle");
        yield_to_payments();
    }
}

/// Gives this thread, and those that it starts, the lowest ordinary priority. Where that is
/// refused, it runs all the same. Threads that answer queries should call it when they start.
pub fn yield_to_payments() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "could not lower the priority of a sink");
    }
}

fn run(mut sink: Box<dyn Sink>, source: &impl Source, progress: &Progress) -> Result<(), String> {
    let mut failures = 0;
    while !progress.stopped() {
        let Err(failure) = follow(sink.as_mut(), source, progress, &mut failures) else {
            return Ok(());
        };
        let Some(&wait_ms) = BACKOFF_MS.get(failures).filter(|_| failure.transient) else {
            return Err(failure.text);
        };
        failures += 1;
        tracing::warn!(sink = sink.name(), error = failure.text, wait_ms, failures, "trying again");
        thread::park_timeout(Duration::from_millis(wait_ms));
    }
    Ok(())
}

struct Failure {
    text: String,
    transient: bool,
}

/// Reads and applies from the sink's cursor on, until it is stopped or something fails.
fn follow<S: Source>(
    sink: &mut dyn Sink,
    source: &S,
    progress: &Progress,
    failures: &mut usize,
) -> Result<(), Failure> {
    let unreadable = |SourceError { text, transient }| Failure { text, transient };
    let mut reader = source.reader(sink.next_seq()).map_err(unreadable)?;
    let mut batches = Vec::new();
    while !progress.stopped() {
        batches.clear();
        let mut events = 0;
        let mut wait = IDLE_WAIT;
        while let Some(batch) = S::next(&mut reader, wait).map_err(unreadable)? {
            events += batch.events.len();
            batches.push(batch);
            if events >= APPLY_EVENTS {
                break;
            }
            wait = Duration::ZERO;
        }
        if batches.is_empty() {
            continue;
        }
        sink.apply(&batches).map_err(|error| Failure {
            transient: error.is_transient(),
            text: error.to_string(),
        })?;
        *failures = 0;
        progress.note_applied(sink);
        S::committed(&mut reader, sink.next_seq()).map_err(unreadable)?;
    }
    Ok(())
}

impl Progress {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn note_applied(&self, sink: &dyn Sink) {
        self.applied_seq.store(sink.next_seq().0.saturating_sub(1), Ordering::Release);
    }

    fn note_error(&self, error: String) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Tells of a panic, which would else be a thread that silently is no more.
struct PanicNote<'a>(&'a Progress, &'static str);

impl Drop for PanicNote<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.note_error(format!("the {} sink panicked; its log says where", self.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, io, time::Instant};

    use millrace_engine::feed::FeedEvent;
    use millrace_ledger::{
        Account, AccountEvent, AccountSpec, AccountState, Balances, Event, Timestamp,
    };

    use super::*;
    use crate::{SinkError, sink::is_due};

    /// Hands out one event per batch, up to the last.
    struct Script {
        last_seq: u64,
    }

    impl Source for Script {
        type Reader = (u64, u64);

        fn reader(&self, from: EventSeq) -> Result<(u64, u64), SourceError> {
            Ok((from.0, self.last_seq))
        }

        fn next(
            (next_seq, last_seq): &mut (u64, u64),
            timeout: Duration,
        ) -> Result<Option<FeedBatch>, SourceError> {
            if next_seq > last_seq {
                thread::sleep(timeout.min(Duration::from_millis(1)));
                return Ok(None);
            }
            let account = Account {
                spec: AccountSpec::default(),
                state: AccountState::Open,
                balances: Balances::default(),
            };
            let event = AccountEvent { seq: EventSeq(*next_seq), change: None, account };
            let event = FeedEvent {
                event: Event::Account(event),
                context: Vec::new().into(),
                evidence: Vec::new().into(),
            };
            *next_seq += 1;
            Ok(Some(FeedBatch { time: Timestamp(0), events: vec![event] }))
        }
    }

    /// Counts events, and fails as it is told before each apply.
    struct Counter {
        next_seq: EventSeq,
        outcomes: VecDeque<Outcome>,
    }

    enum Outcome {
        Applies,
        IsBusy,
        IsDamaged,
        Panics,
    }

    impl Sink for Counter {
        fn name(&self) -> &'static str {
            "counter"
        }

        fn next_seq(&self) -> EventSeq {
            self.next_seq
        }

        fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
            match self.outcomes.pop_front().unwrap_or(Outcome::Applies) {
                Outcome::Applies => {}
                Outcome::IsBusy => {
                    let busy = io::Error::from(io::ErrorKind::ResourceBusy);
                    return Err(SinkError::io("write to", "counter")(busy));
                }
                Outcome::IsDamaged => {
                    return Err(SinkError::InUse { path: "counter".into() });
                }
                Outcome::Panics => panic!("as the test asks"),
            }
            for event in batches.iter().flat_map(|batch| &batch.events) {
                assert!(is_due("counter", self.next_seq, event.event.seq())?, "each event once");
                self.next_seq = self.next_seq.next();
            }
            Ok(())
        }
    }

    fn start(outcomes: impl IntoIterator<Item = Outcome>) -> SinkHandle {
        let outcomes = outcomes.into_iter().collect();
        let sink = Counter { next_seq: EventSeq(11), outcomes };
        spawn(Box::new(sink), Script { last_seq: 40_000 })
    }

    /// Waits until it holds, for at most ten seconds.
    fn eventually(holds: impl Fn() -> bool) -> bool {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if holds() {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    #[test]
    fn a_sink_follows_from_its_cursor_to_the_end_and_stops_when_told() {
        let handle = start([]);
        assert_eq!(handle.name(), "counter");
        assert!(handle.applied_seq() >= EventSeq(10), "known before anything is applied");
        assert!(eventually(|| handle.applied_seq() == EventSeq(40_000)));
        handle.stop();
        assert_eq!(handle.error(), None);
        handle.join();
    }

    #[test]
    fn a_busy_disk_is_tried_again_from_the_cursor() {
        let handle = start([Outcome::Applies, Outcome::IsBusy, Outcome::IsBusy]);
        assert!(eventually(|| handle.applied_seq() == EventSeq(40_000)));
        assert_eq!(handle.error(), None);
    }

    #[test]
    fn what_no_retry_helps_stops_the_sink_and_is_told() {
        for (outcomes, said) in [
            (vec![Outcome::IsDamaged], "counter is in use"),
            (vec![Outcome::Panics], "the counter sink panicked"),
            ((0..6).map(|_| Outcome::IsBusy).collect(), "could not write to counter"),
        ] {
            let handle = start(outcomes);
            assert!(eventually(|| handle.error().is_some()), "{said}");
            let error = handle.error().expect("is there");
            assert!(error.starts_with(said), "{error}");
            assert_eq!(handle.applied_seq(), EventSeq(10), "{said}");
            handle.join();
        }
    }
}
