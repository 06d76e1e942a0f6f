//! Metrics: consumes what the parts of the pipeline count, produces Prometheus' text at `/metrics`
//! and the same in JSON at `/status`.
//!
//! Everything is looked at when it is asked for: a server that nobody watches does nothing. Each
//! metric is told of in `docs/operations/metrics.md`, and a test compares.

mod table;

use std::{
    fs,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::header, response::IntoResponse, routing::get};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use millrace_engine::{EngineStats, Feed, Submitter, UpkeepStats};
use millrace_risk::policy::{RiskCounts, RuleHitCount};
use millrace_sinks::SinkWatch;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::table::{Kind, METRICS};

/// Upper bounds of the buckets that times are counted in, in seconds.
const TIME_BUCKETS_S: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// How often times that were noted are counted, also while nobody scrapes: they are kept until then.
const COUNT_EVERY: Duration = Duration::from_secs(5);

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

/// What there is to watch. A role that runs without an engine has none.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    pub(crate) publishers: Vec<SinkWatch>,
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

/// The recorder of this process, installed at the first call. A metric that was taken before it has no
/// effect, ever.
pub(crate) fn recorder() -> io::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let times = Matcher::Suffix("_seconds".to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(times, &TIME_BUCKETS_S)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(io::Error::other)?;
    for (kind, name, unit, text) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *text),
            Kind::Gauge => describe_gauge!(*name, *unit, *text),
            Kind::Histogram => describe_histogram!(*name, *unit, *text),
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
        .with_state((recorder.clone(), watched));
    tokio::select! {
        served = axum::serve(listener, router) => served,
        never = count_times(&recorder) => never,
        () = shutdown => Ok(()),
    }
}

async fn count_times(recorder: &PrometheusHandle) -> ! {
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        recorder.run_upkeep();
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
        self.readers().for_each(SinkWatch::publish);
        for publisher in &self.publishers {
            if let Some(lag) = publisher.status().lag_events {
                gauge!("millrace_stream_publisher_lag_events", "sink" => publisher.name())
                    .set(lag as f64);
            }
        }
        if let Some(engine) = &self.engine {
            engine.publish();
        }
        if let Some(risk) = &self.risk {
            counter!("millrace_risk_attempts_total").absolute(risk.attempts.load(Relaxed));
            counter!("millrace_risk_fallbacks_total").absolute(risk.fell_back.load(Relaxed));
            gauge!("millrace_risk_policy_number").set(risk.policy.load(Relaxed) as f64);
            let evicted = risk.evicted.load(Relaxed);
            counter!("millrace_risk_profiles_evicted_total").absolute(evicted);
            for it in risk.challenger.totals() {
                let [champion, challenger] =
                    [it.champion, it.challenger].map(|it| it.name().to_ascii_lowercase());
                counter!("millrace_risk_challenger_verdicts_total", "champion" => champion, "challenger" => challenger)
                    .absolute(it.attempts);
            }
            counter!("millrace_risk_labels_total").absolute(risk.labels.load(Relaxed));
            let unknown = risk.labels_unknown.load(Relaxed);
            counter!("millrace_risk_labels_unknown_total").absolute(unknown);
            for RuleHitCount { rule, shadow, hits } in risk.rule_hits.totals() {
                let shadow = if shadow { "true" } else { "false" };
                counter!("millrace_risk_rule_hits_total", "rule" => rule, "shadow" => shadow)
                    .absolute(hits);
            }
        }
        if let Some(bytes) = resident_bytes() {
            gauge!("millrace_process_resident_memory_bytes").set(bytes as f64);
        }
        if let Some(ms) = cpu_ms() {
            counter!("millrace_process_cpu_milliseconds_total").absolute(ms);
        }
    }

    /// Whoever reads events here.
    fn readers(&self) -> impl Iterator<Item = &SinkWatch> {
        self.publishers.iter().chain(&self.sinks)
    }

    fn status(&self) -> Value {
        let sinks: Vec<_> = self.readers().map(SinkWatch::status).collect();
        let risk = self.risk.as_ref().map(|risk| {
            let rule_hits: Vec<_> = risk
                .rule_hits
                .totals()
                .into_iter()
                .map(|RuleHitCount { rule, shadow, hits }| {
                    json!({ "rule": rule, "shadow": shadow, "hits": hits })
                })
                .collect();
            let challenger: Vec<_> = risk
                .challenger
                .totals()
                .iter()
                .map(|it| {
                    let [champion, challenger] =
                        [it.champion, it.challenger].map(|it| it.name().to_ascii_lowercase());
                    json!({ "champion": champion, "challenger": challenger, "attempts": it.attempts })
                })
                .collect();
            json!({
                "attempts": risk.attempts.load(Relaxed),
                "fallbacks": risk.fell_back.load(Relaxed),
                "policy_number": risk.policy.load(Relaxed),
                "profiles_evicted": risk.evicted.load(Relaxed),
                "labels": risk.labels.load(Relaxed),
                "labels_unknown": risk.labels_unknown.load(Relaxed),
                "challenger_verdicts": challenger,
                "rule_hits": rule_hits,
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
        gauge!("millrace_engine_clock_ahead_seconds").set(self.counted.clock_ahead().as_secs_f64());
        gauge!("millrace_engine_time_behind_seconds").set(self.counted.time_behind().as_secs_f64());
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
    fn what_risk_counted_is_shown() {
        let risk = RiskCounts::default();
        for (count, number) in [
            (&risk.attempts, 9),
            (&risk.fell_back, 7),
            (&risk.labels, 5),
            (&risk.labels_unknown, 3),
        ] {
            count.store(number, Relaxed);
        }
        let recorder = recorder().expect("it is the only one");
        let watched = Watched { risk: Some(Arc::new(risk)), ..Watched::default() };
        watched.publish();
        let (text, status) = (recorder.render(), watched.status());
        for (metric, key, number) in [
            ("attempts_total", "attempts", 9),
            ("fallbacks_total", "fallbacks", 7),
            ("labels_total", "labels", 5),
            ("labels_unknown_total", "labels_unknown", 3),
        ] {
            let line = format!("\nmillrace_risk_{metric} {number}\n");
            assert!(text.contains(&line), "no {line:?} in {text}");
            assert_eq!(status["risk"][key], number, "{key}");
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
