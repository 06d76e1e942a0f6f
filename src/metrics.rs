//! Metrics: consumes what the parts of the pipeline count, produces Prometheus' text at `/metrics`
//! and the same in JSON at `/status`.
//!
//! Everything is looked at when it is asked for: a server that nobody watches does nothing. Each
//! metric is told of in `docs/operations/metrics.md`, and a test compares.

use std::{
    fs,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
};

use axum::{Json, Router, extract::State, http::header, response::IntoResponse, routing::get};
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use millrace_engine::{EngineStats, Feed, Submitter, UpkeepStats};
use millrace_risk::policy::RiskCounts;
use millrace_sinks::SinkWatch;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Where metrics are shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsConfig {
    /// Whether they are. Default true.
    pub(crate) enabled: bool,
    /// Address of `/metrics` and `/status`. Default 127.0.0.1:9464.
    pub(crate) listen: SocketAddr,
}

impl MetricsConfig {
    pub(crate) const LISTEN: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { enabled: true, listen: Self::LISTEN }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// All metrics of this program: kind, name, unit, what it tells.
const METRICS: &[(Kind, &str, Unit, &str)] = &[
    (
        Kind::Gauge,
        "millrace_sink_applied_seq",
        Unit::Count,
        "Last event that the sink durably processed",
    ),
    (
        Kind::Gauge,
        "millrace_sink_lag_events",
        Unit::Count,
        "Events that the sink has yet to process",
    ),
    (
        Kind::Gauge,
        "millrace_sink_age_seconds",
        Unit::Seconds,
        "Age of the oldest event that the sink has yet to process; 0 when there is none",
    ),
    (
        Kind::Gauge,
        "millrace_sink_rate_events_per_second",
        Unit::Count,
        "Events processed per second over the last ten seconds",
    ),
    (Kind::Counter, "millrace_sink_events_total", Unit::Count, "Events processed since the start"),
    (
        Kind::Counter,
        "millrace_sink_errors_total",
        Unit::Count,
        "Failures by kind: source and transient are tried again, event leads to the quarantine, permanent stops the sink",
    ),
    (
        Kind::Gauge,
        "millrace_sink_backoff_seconds",
        Unit::Seconds,
        "Length of the wait before the next try; 0 when nothing is tried again",
    ),
    (
        Kind::Gauge,
        "millrace_sink_quarantined_events",
        Unit::Count,
        "Events that lie in the sink's quarantine",
    ),
    (
        Kind::Counter,
        "millrace_sink_quarantined_total",
        Unit::Count,
        "Events put into the quarantine since the start",
    ),
    (
        Kind::Counter,
        "millrace_sink_quarantine_requests_total",
        Unit::Count,
        "Entries of the quarantine that were asked about, by result: replay, drop, failed",
    ),
    (Kind::Gauge, "millrace_sink_stopped", Unit::Count, "1 when the sink has stopped, else 0"),
    (
        Kind::Gauge,
        "millrace_engine_durable_seq",
        Unit::Count,
        "Last event of the journal that is durable",
    ),
    (
        Kind::Counter,
        "millrace_engine_payments_total",
        Unit::Count,
        "Payments decided since the start, by status",
    ),
    (
        Kind::Counter,
        "millrace_engine_replays_total",
        Unit::Count,
        "Payments asked for again since the start, and answered with their first outcome",
    ),
    (
        Kind::Counter,
        "millrace_engine_batches_total",
        Unit::Count,
        "Batches decided since the start",
    ),
    (
        Kind::Gauge,
        "millrace_engine_queue_weight",
        Unit::Count,
        "Room that waiting commands take in the queue: one each, and one per 128 bytes of context",
    ),
    (Kind::Gauge, "millrace_engine_queue_weight_max", Unit::Count, "Room in the queue"),
    (
        Kind::Counter,
        "millrace_engine_snapshots_total",
        Unit::Count,
        "Snapshots taken since the start",
    ),
    (
        Kind::Counter,
        "millrace_engine_generations_total",
        Unit::Count,
        "Generations of payments written to runs since the start",
    ),
    (
        Kind::Gauge,
        "millrace_engine_upkeep_pause_max_seconds",
        Unit::Seconds,
        "Longest time that upkeep took between two batches",
    ),
    (
        Kind::Gauge,
        "millrace_engine_upkeep_waited_seconds",
        Unit::Seconds,
        "Time that deciding waited for upkeep to write, in all",
    ),
    (
        Kind::Counter,
        "millrace_risk_verdicts_total",
        Unit::Count,
        "Payments decided since the start, by what risk said of them",
    ),
    (
        Kind::Counter,
        "millrace_risk_attempts_total",
        Unit::Count,
        "Attempts looked at under a policy since the start",
    ),
    (
        Kind::Counter,
        "millrace_risk_fallbacks_total",
        Unit::Count,
        "Attempts that the policy's fallback decided, because its time budget was spent",
    ),
    (
        Kind::Gauge,
        "millrace_risk_policy_number",
        Unit::Count,
        "Number of the policy in force; 0 is none",
    ),
    (
        Kind::Gauge,
        "millrace_process_resident_memory_bytes",
        Unit::Bytes,
        "Memory of this process that is resident",
    ),
    (
        Kind::Counter,
        "millrace_process_cpu_milliseconds_total",
        Unit::Milliseconds,
        "Processor time of this process, in user and kernel mode",
    ),
];

/// What there is to watch. A role that runs without an engine has none.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    pub(crate) sinks: Vec<SinkWatch>,
    pub(crate) engine: Option<EngineWatch>,
    pub(crate) risk: Option<Arc<RiskCounts>>,
}

/// The engine, from outside.
#[derive(Clone)]
pub(crate) struct EngineWatch {
    pub(crate) feed: Feed,
    pub(crate) submitter: Submitter,
    pub(crate) counted: EngineStats,
    pub(crate) upkeep: UpkeepStats,
}

/// The recorder of this process, installed at the first call.
pub(crate) fn recorder() -> io::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder().map_err(io::Error::other)?;
    for (kind, name, unit, text) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *text),
            Kind::Gauge => describe_gauge!(*name, *unit, *text),
        }
    }
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Shows what is watched until the shutdown.
pub(crate) async fn serve(
    listener: TcpListener,
    recorder: PrometheusHandle,
    watched: Watched,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(scrape))
        .route("/status", get(status))
        .with_state((recorder, watched));
    tokio::select! {
        served = axum::serve(listener, router) => served,
        () = shutdown => Ok(()),
    }
}

async fn scrape(
    State((recorder, watched)): State<(PrometheusHandle, Watched)>,
) -> impl IntoResponse {
    watched.publish();
    recorder.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder.render())
}

async fn status(State((_, watched)): State<(PrometheusHandle, Watched)>) -> Json<Value> {
    Json(watched.status())
}

impl Watched {
    /// Brings gauges and counters to what they are now.
    fn publish(&self) {
        self.sinks.iter().for_each(SinkWatch::publish);
        if let Some(engine) = &self.engine {
            engine.publish();
        }
        if let Some(risk) = &self.risk {
            counter!("millrace_risk_attempts_total").absolute(risk.attempts.load(Relaxed));
            counter!("millrace_risk_fallbacks_total").absolute(risk.fell_back.load(Relaxed));
            gauge!("millrace_risk_policy_number").set(risk.policy.load(Relaxed) as f64);
        }
        if let Some(bytes) = resident_bytes() {
            gauge!("millrace_process_resident_memory_bytes").set(bytes as f64);
        }
        if let Some(ms) = cpu_ms() {
            counter!("millrace_process_cpu_milliseconds_total").absolute(ms);
        }
    }

    fn status(&self) -> Value {
        let sinks: Vec<_> = self.sinks.iter().map(SinkWatch::status).collect();
        let risk = self.risk.as_ref().map(|risk| {
            json!({
                "attempts": risk.attempts.load(Relaxed),
                "fallbacks": risk.fell_back.load(Relaxed),
                "policy_number": risk.policy.load(Relaxed),
            })
        });
        json!({ "engine": self.engine.as_ref().map(EngineWatch::status), "risk": risk, "sinks": sinks })
    }
}

impl EngineWatch {
    fn publish(&self) {
        gauge!("millrace_engine_durable_seq").set(self.feed.durable_seq().0 as f64);
        for (status, count) in self.counted.payments_by_status() {
            counter!("millrace_engine_payments_total", "status" => status).absolute(count);
        }
        for (decision, count) in self.counted.payments_by_risk_decision() {
            counter!("millrace_risk_verdicts_total", "decision" => decision).absolute(count);
        }
        counter!("millrace_engine_replays_total").absolute(self.counted.replays());
        counter!("millrace_engine_batches_total").absolute(self.counted.batches());
        let (used, max) = self.submitter.queue_weight();
        gauge!("millrace_engine_queue_weight").set(used);
        gauge!("millrace_engine_queue_weight_max").set(max);
        counter!("millrace_engine_snapshots_total").absolute(self.upkeep.snapshots());
        counter!("millrace_engine_generations_total").absolute(self.upkeep.generations());
        let (pause, waited) = (self.upkeep.pause_max(), self.upkeep.waited());
        gauge!("millrace_engine_upkeep_pause_max_seconds").set(pause.as_secs_f64());
        gauge!("millrace_engine_upkeep_waited_seconds").set(waited.as_secs_f64());
    }

    fn status(&self) -> Value {
        let (used, max) = self.submitter.queue_weight();
        let object = |counts: Vec<(&str, u64)>| -> Value {
            counts.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect()
        };
        json!({
            "durable_seq": self.feed.durable_seq().0,
            "payments": object(self.counted.payments_by_status().collect()),
            "verdicts": object(self.counted.payments_by_risk_decision().collect()),
            "replays": self.counted.replays(),
            "batches": self.counted.batches(),
            "queue_weight": used,
            "queue_weight_max": max,
        })
    }
}

/// Linux tells, others don't.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// From fields 14 and 15 of `/proc/self/stat`, which Linux tells in hundredths of a second on every
/// architecture.
fn cpu_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, field 2, is in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some((user + kernel) * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented_and_named_as_the_others() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations/metrics.md");
        let docs = fs::read_to_string(path).expect("is there");
        for (kind, name, _, text) in METRICS {
            let row = format!("| `{name}");
            let row = docs
                .lines()
                .find(|line| line.starts_with(&row))
                .unwrap_or_else(|| panic!("{path} has no row of {name}"));
            assert!(row.contains(text), "{name}: the documentation tells something else: {row}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
        }
    }

    #[test]
    fn this_process_has_memory_and_takes_time() {
        assert!(resident_bytes().expect("Linux tells") > 1 << 20);
        let before = cpu_ms().expect("Linux tells");
        let mut sum = 0_u64;
        while cpu_ms().expect("Linux tells") < before + 20 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
