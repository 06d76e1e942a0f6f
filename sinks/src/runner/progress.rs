//! How a sink, or another reader of events, gets on: consumes what its thread notes, produces a status
//! and metrics for whoever watches. Watching costs it nothing but a few atomic stores per batch.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use metrics::{counter, gauge};
use millrace_ledger::{EventSeq, Timestamp};
use serde::{Deserialize, Serialize};

use super::Head;

/// The rate is that of the last so many seconds.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Between two samples for the rate.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// What a sink is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkState {
    /// It takes what comes.
    Following,
    /// Something failed in a way that may pass; it waits, and tries again without end.
    Retrying,
    /// It stopped by itself, or was told to.
    Stopped,
}

/// How a sink gets on, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// What the sink is called.
    pub sink: String,
    /// What it is doing.
    pub state: SinkState,
    /// The last event that it durably processed.
    pub applied_seq: u64,
    /// The last event that there is, where the source knows it.
    pub head_seq: Option<u64>,
    /// Events that it has yet to process.
    pub lag_events: Option<u64>,
    /// Age of the oldest of them, in seconds; 0 when there is none.
    pub age_s: f64,
    /// Events that it processed per second, over the last ten seconds.
    pub rate_per_s: f64,
    /// Failures in a row.
    pub failures: u64,
    /// The wait that it is in, in seconds; 0 when it is in none.
    pub backoff_s: f64,
    /// Events that lie in its quarantine.
    pub quarantined: u64,
    /// Why it stopped, or what it tries again.
    pub error: Option<String>,
}

/// Watches a sink from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SinkWatch {
    pub(super) progress: Arc<Progress>,
}

impl SinkWatch {
    /// What the sink is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.progress.name
    }

    /// The last event that the sink durably processed; 0 when there is none.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        self.progress.applied_seq()
    }

    /// Why the sink stopped by itself, if it did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.progress.error()
    }

    /// How it gets on now.
    #[must_use]
    pub fn status(&self) -> SinkStatus {
        self.progress.status()
    }

    /// Sets the sink's gauges to what they are now. Counters count by themselves.
    pub fn publish(&self) {
        let name = self.name();
        let status = self.status();
        gauge!("millrace_sink_applied_seq", "sink" => name).set(status.applied_seq as f64);
        // A figure from the time when it was known must not stay.
        let lag = status.lag_events.map_or(f64::NAN, |lag| lag as f64);
        gauge!("millrace_sink_lag_events", "sink" => name).set(lag);
        gauge!("millrace_sink_age_seconds", "sink" => name).set(status.age_s);
        gauge!("millrace_sink_rate_events_per_second", "sink" => name).set(status.rate_per_s);
        gauge!("millrace_sink_backoff_seconds", "sink" => name).set(status.backoff_s);
        gauge!("millrace_sink_quarantined_events", "sink" => name).set(status.quarantined as f64);
        let stopped = f64::from(u8::from(status.state == SinkState::Stopped));
        gauge!("millrace_sink_stopped", "sink" => name).set(stopped);
    }
}

/// What the thread of a sink, or of another reader of events, tells the rest of the process.
#[derive(Debug)]
pub struct Progress {
    name: &'static str,
    head: Head,
    applied_seq: AtomicU64,
    /// Time of the oldest event that is not processed; 0 when there is none.
    pending_since_ns: AtomicU64,
    quarantined: AtomicU64,
    stop: AtomicBool,
    ended: AtomicBool,
    trouble: Mutex<Trouble>,
    samples: Mutex<VecDeque<(Instant, u64)>>,
}

#[derive(Debug, Default)]
struct Trouble {
    failures: u64,
    wait: Duration,
    retried: Option<String>,
    stopped: Option<String>,
}

impl Progress {
    /// Of a reader whose next event is `next_seq`, of those up to `head`.
    #[must_use]
    pub fn new(name: &'static str, next_seq: EventSeq, head: Head) -> Self {
        Self {
            name,
            head,
            applied_seq: AtomicU64::new(next_seq.0.saturating_sub(1)),
            pending_since_ns: AtomicU64::default(),
            quarantined: AtomicU64::default(),
            stop: AtomicBool::default(),
            ended: AtomicBool::default(),
            trouble: Mutex::default(),
            samples: Mutex::default(),
        }
    }

    /// For whoever shows how the reader gets on; it may outlive it.
    #[must_use]
    pub fn watch(self: &Arc<Self>) -> SinkWatch {
        SinkWatch { progress: Arc::clone(self) }
    }

    /// The last event that was processed; 0 when there is none.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        EventSeq(self.applied_seq.load(Ordering::Acquire))
    }

    /// Why the reader stopped by itself, if it did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.trouble().stopped.clone()
    }

    /// What it tries again, if it does.
    #[must_use]
    pub fn retried(&self) -> Option<String> {
        self.trouble().retried.clone()
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events of this time are at hand.
    pub fn note_pending(&self, time: Timestamp) {
        self.pending_since_ns.store(time.0, Ordering::Relaxed);
    }

    /// The source gave nothing: everything is processed.
    pub(super) fn note_idle(&self) {
        self.pending_since_ns.store(0, Ordering::Relaxed);
        self.sample();
    }

    pub(super) fn note_applied(&self, next_seq: EventSeq) {
        let applied = next_seq.0.saturating_sub(1);
        let before = self.applied_seq().0;
        counter!("millrace_sink_events_total", "sink" => self.name)
            .increment(applied.saturating_sub(before));
        self.note_reached(EventSeq(applied));
    }

    /// It stands behind this event, wherever it stood before.
    pub fn note_reached(&self, seq: EventSeq) {
        self.applied_seq.store(seq.0, Ordering::Release);
        if self.head.now().is_some_and(|head| seq >= head) {
            self.pending_since_ns.store(0, Ordering::Relaxed);
        }
        self.sample();
    }

    /// Something failed in a way that may pass, so many times in a row, and is tried again after a
    /// wait.
    pub fn note_failure(&self, text: &str, failures: u32, wait: Duration) {
        self.note_waiting_since_now();
        let mut trouble = self.trouble();
        (trouble.failures, trouble.wait) = (failures.into(), wait);
        trouble.retried = Some(text.to_owned());
    }

    /// What failed works again.
    pub fn note_recovery(&self) {
        let mut trouble = self.trouble();
        (trouble.failures, trouble.wait, trouble.retried) = (0, Duration::ZERO, None);
    }

    pub(super) fn note_quarantined(&self, entries: u64) {
        self.quarantined.store(entries, Ordering::Relaxed);
    }

    /// The thread is no more; with the reason when it stopped by itself.
    pub fn note_end(&self, error: Option<String>) {
        if error.is_some() {
            self.note_waiting_since_now();
        }
        let mut trouble = self.trouble();
        trouble.stopped = error;
        // Who hears why it stopped finds it stopped.
        self.ended.store(true, Ordering::Release);
    }

    /// There may be newer events from now on that nobody here knows of.
    fn note_waiting_since_now(&self) {
        let now = now_ns();
        let _ =
            self.pending_since_ns.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn sample(&self) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if samples.back().is_some_and(|(at, _)| now - *at < SAMPLE_INTERVAL) {
            return;
        }
        samples.push_back((now, self.applied_seq.load(Ordering::Relaxed)));
        while samples.front().is_some_and(|(at, _)| now - *at > RATE_WINDOW) && samples.len() > 2 {
            samples.pop_front();
        }
    }

    /// Since the oldest sample of the window.
    fn rate(&self, applied: u64) -> f64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, then)) = samples.front() else { return 0.0 };
        let seconds = at.elapsed().as_secs_f64();
        if seconds < 0.1 { 0.0 } else { applied.saturating_sub(*then) as f64 / seconds }
    }

    fn status(&self) -> SinkStatus {
        let applied_seq = self.applied_seq().0;
        let head_seq = self.head.now().map(|head| head.0);
        let lag_events = head_seq.map(|head| head.saturating_sub(applied_seq));
        let age_ns = match self.pending_since_ns.load(Ordering::Relaxed) {
            0 => 0,
            _ if lag_events == Some(0) => 0,
            since => now_ns().saturating_sub(since),
        };
        let trouble = self.trouble();
        let state = match () {
            () if self.ended.load(Ordering::Acquire) => SinkState::Stopped,
            () if trouble.retried.is_some() => SinkState::Retrying,
            () => SinkState::Following,
        };
        SinkStatus {
            sink: self.name.to_owned(),
            state,
            applied_seq,
            head_seq,
            lag_events,
            age_s: age_ns as f64 / 1e9,
            rate_per_s: self.rate(applied_seq),
            failures: trouble.failures,
            backoff_s: trouble.wait.as_secs_f64(),
            quarantined: self.quarantined.load(Ordering::Relaxed),
            error: trouble.stopped.clone().or_else(|| trouble.retried.clone()),
        }
    }
}

pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
