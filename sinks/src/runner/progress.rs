//! How a sink gets on: consumes what its thread notes, produces a status and metrics for whoever
//! watches. Watching costs the sink nothing but a few atomic stores per batch.

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
    pub(super) name: &'static str,
    pub(super) progress: Arc<Progress>,
}

impl SinkWatch {
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
        self.progress.trouble().stopped.clone()
    }

    /// How it gets on now.
    #[must_use]
    pub fn status(&self) -> SinkStatus {
        self.progress.status(self.name)
    }

    /// Sets the sink's gauges to what they are now. Counters count by themselves.
    pub fn publish(&self) {
        let name = self.name;
        let status = self.status();
        gauge!("millrace_sink_applied_seq", "sink" => name).set(status.applied_seq as f64);
        if let Some(lag) = status.lag_events {
            gauge!("millrace_sink_lag_events", "sink" => name).set(lag as f64);
        }
        gauge!("millrace_sink_age_seconds", "sink" => name).set(status.age_s);
        gauge!("millrace_sink_rate_events_per_second", "sink" => name).set(status.rate_per_s);
        gauge!("millrace_sink_backoff_seconds", "sink" => name).set(status.backoff_s);
        gauge!("millrace_sink_quarantined_events", "sink" => name).set(status.quarantined as f64);
        let stopped = f64::from(u8::from(status.state == SinkState::Stopped));
        gauge!("millrace_sink_stopped", "sink" => name).set(stopped);
    }
}

/// What the sink's thread tells the rest of the process.
#[derive(Debug, Default)]
pub(super) struct Progress {
    applied_seq: AtomicU64,
    /// The last event that there is; `u64::MAX` when nobody knows.
    head_seq: AtomicU64,
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
    pub(super) fn starting_at(next_seq: EventSeq) -> Self {
        let progress = Self::default();
        progress.head_seq.store(u64::MAX, Ordering::Relaxed);
        progress.applied_seq.store(next_seq.0.saturating_sub(1), Ordering::Release);
        progress
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

    pub(super) fn note_head(&self, head: Option<EventSeq>) {
        self.head_seq.store(head.map_or(u64::MAX, |seq| seq.0), Ordering::Relaxed);
    }

    /// Events of this time are at hand.
    pub(super) fn note_pending(&self, time: Timestamp) {
        self.pending_since_ns.store(time.0, Ordering::Relaxed);
    }

    /// The source gave nothing: everything is processed.
    pub(super) fn note_idle(&self) {
        self.pending_since_ns.store(0, Ordering::Relaxed);
        self.sample();
    }

    pub(super) fn note_applied(&self, name: &'static str, next_seq: EventSeq) {
        let applied = next_seq.0.saturating_sub(1);
        let before = self.applied_seq.swap(applied, Ordering::AcqRel);
        counter!("millrace_sink_events_total", "sink" => name)
            .increment(applied.saturating_sub(before));
        if applied >= self.head_seq.load(Ordering::Relaxed) {
            self.note_idle();
        }
        self.sample();
    }

    pub(super) fn note_failure(&self, text: &str, failures: u32, wait: Duration) {
        // The source may hold newer events that nobody here knows of.
        let now = now_ns();
        let _ =
            self.pending_since_ns.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let mut trouble = self.trouble();
        (trouble.failures, trouble.wait) = (failures.into(), wait);
        trouble.retried = Some(text.to_owned());
    }

    /// What failed works again.
    pub(super) fn note_recovery(&self) {
        let mut trouble = self.trouble();
        (trouble.failures, trouble.wait, trouble.retried) = (0, Duration::ZERO, None);
    }

    pub(super) fn note_quarantined(&self, entries: u64) {
        self.quarantined.store(entries, Ordering::Relaxed);
    }

    /// The thread is no more; with the reason when it stopped by itself.
    pub(super) fn note_end(&self, error: Option<String>) {
        self.trouble().stopped = error;
        self.ended.store(true, Ordering::Release);
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

    fn status(&self, name: &str) -> SinkStatus {
        let applied_seq = self.applied_seq.load(Ordering::Acquire);
        let head = self.head_seq.load(Ordering::Relaxed);
        let head_seq = (head != u64::MAX).then_some(head);
        let lag_events = head_seq.map(|head| head.saturating_sub(applied_seq));
        let since = self.pending_since_ns.load(Ordering::Relaxed);
        let age_ns = if since == 0 { 0 } else { now_ns().saturating_sub(since) };
        let trouble = self.trouble();
        let state = match () {
            () if self.ended.load(Ordering::Acquire) => SinkState::Stopped,
            () if trouble.retried.is_some() => SinkState::Retrying,
            () => SinkState::Following,
        };
        SinkStatus {
            sink: name.to_owned(),
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
