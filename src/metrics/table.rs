//! All metrics of this program, as Prometheus and `docs/operations/metrics.md` tell of them.

use metrics::Unit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// All metrics of this program: kind, name, unit, what it tells.
pub(super) const METRICS: &[(Kind, &str, Unit, &str)] = &[
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
        "Failures by kind: source and transient are tried again, event leads to the quarantine, \
         permanent stops the sink",
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
        "Entries of the quarantine that were asked about, by result: replay, drop, failed, refused",
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
        "millrace_engine_clock_ahead_seconds",
        Unit::Seconds,
        "How far the journal's time was ahead of the system's clock at the last batch",
    ),
    (
        Kind::Gauge,
        "millrace_engine_time_behind_seconds",
        Unit::Seconds,
        "How far the journal's time was behind at the last batch, because many holds came due",
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
        Kind::Gauge,
        "millrace_ingest_connections",
        Unit::Count,
        "Connections that are open to the gRPC server",
    ),
    (
        Kind::Counter,
        "millrace_ingest_connections_refused_total",
        Unit::Count,
        "Connections closed at once since the start, because as many were open as are let in",
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
        Kind::Counter,
        "millrace_risk_rule_hits_total",
        Unit::Count,
        "Attempts since the start that the rule was the first to hold for or, in shadow, held for",
    ),
    (
        Kind::Gauge,
        "millrace_risk_policy_number",
        Unit::Count,
        "Number of the policy in force; 0 is none",
    ),
    (
        Kind::Counter,
        "millrace_risk_profiles_evicted_total",
        Unit::Count,
        "Profiles of entities that gave way to another's, since the journal began",
    ),
    (
        Kind::Counter,
        "millrace_risk_challenger_verdicts_total",
        Unit::Count,
        "Attempts since the start that a challenger looked at, by what the policy said and what it said",
    ),
    (
        Kind::Counter,
        "millrace_risk_labels_total",
        Unit::Count,
        "Reports that payments were fraud or were none, since the journal began",
    ),
    (
        Kind::Counter,
        "millrace_risk_labels_unknown_total",
        Unit::Count,
        "Reports that changed no feature, because no profile knows the payment, since the journal began",
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
    (Kind::Gauge, "millrace_audit_log_entries", Unit::Count, "Entries of the audit log"),
    (
        Kind::Gauge,
        "millrace_audit_signed_entries",
        Unit::Count,
        "Entries that the newest checkpoint covers",
    ),
    (
        Kind::Counter,
        "millrace_audit_checkpoints_total",
        Unit::Count,
        "Checkpoints signed since the start",
    ),
    (
        Kind::Counter,
        "millrace_audit_sealed_segments_total",
        Unit::Count,
        "Segments sealed since the start",
    ),
    (
        Kind::Counter,
        "millrace_audit_removed_segments_total",
        Unit::Count,
        "Segments that retention removed since the start",
    ),
    (
        Kind::Counter,
        "millrace_graphql_read_cache_hits_total",
        Unit::Count,
        "Payments and accounts answered from the read cache",
    ),
    (
        Kind::Counter,
        "millrace_graphql_read_cache_misses_total",
        Unit::Count,
        "Payments and accounts that were read from the store",
    ),
    (
        Kind::Gauge,
        "millrace_graphql_read_cache_hit_ratio",
        Unit::Count,
        "Share of look-ups answered from the read cache, 0 to 1",
    ),
    (
        Kind::Histogram,
        "millrace_graphql_request_seconds",
        Unit::Seconds,
        "Time from a query to its answer",
    ),
    (
        Kind::Counter,
        "millrace_graphql_slow_subscribers_total",
        Unit::Count,
        "Subscribers that were closed because they did not accept messages",
    ),
    (
        Kind::Gauge,
        "millrace_notify_pending_messages",
        Unit::Count,
        "Messages that wait to be delivered",
    ),
    (Kind::Gauge, "millrace_notify_dead_messages", Unit::Count, "Messages that were given up"),
    (
        Kind::Gauge,
        "millrace_notify_oldest_pending_seconds",
        Unit::Seconds,
        "Age of the oldest message that waits",
    ),
    (
        Kind::Gauge,
        "millrace_notify_breaker_state",
        Unit::Count,
        "State of the provider's circuit breaker",
    ),
    (Kind::Gauge, "millrace_notify_breakers_open", Unit::Count, "Circuit breakers that are open"),
    (
        Kind::Counter,
        "millrace_notify_sent_messages_total",
        Unit::Count,
        "Messages that a provider took",
    ),
    (
        Kind::Counter,
        "millrace_notify_failed_attempts_total",
        Unit::Count,
        "Deliveries that failed, each try",
    ),
    (
        Kind::Counter,
        "millrace_notify_suppressed_messages_total",
        Unit::Count,
        "Messages that preferences or age kept back",
    ),
    (
        Kind::Gauge,
        "millrace_postgres_pool_open_connections",
        Unit::Count,
        "Connections that the pool holds",
    ),
    (
        Kind::Gauge,
        "millrace_postgres_pool_used_connections",
        Unit::Count,
        "Connections that queries use now",
    ),
    (
        Kind::Gauge,
        "millrace_postgres_pool_waiting_queries",
        Unit::Count,
        "Queries that wait for a connection",
    ),
    (
        Kind::Histogram,
        "millrace_postgres_pool_wait_seconds",
        Unit::Seconds,
        "Time that queries waited for a connection",
    ),
    (
        Kind::Histogram,
        "millrace_postgres_query_seconds",
        Unit::Seconds,
        "Time that PostgreSQL took to answer a query",
    ),
    (
        Kind::Gauge,
        "millrace_postgres_replica_in_use",
        Unit::Count,
        "1 while the replica answers queries, 0 while the primary does",
    ),
    (
        Kind::Gauge,
        "millrace_postgres_replica_lag_events",
        Unit::Count,
        "Events that were written and are not in the replica yet",
    ),
    (
        Kind::Gauge,
        "millrace_postgres_replica_lag_seconds",
        Unit::Seconds,
        "How long ago the replica's next event was written",
    ),
    (
        Kind::Gauge,
        "millrace_stream_publisher_lag_events",
        Unit::Count,
        "Events that the publisher has yet to publish",
    ),
    (
        Kind::Gauge,
        "millrace_stream_in_flight_bytes",
        Unit::Bytes,
        "Bytes published and not yet acknowledged",
    ),
    (
        Kind::Counter,
        "millrace_stream_published_events_total",
        Unit::Count,
        "Events that the stream acknowledged since the start",
    ),
    (
        Kind::Counter,
        "millrace_stream_published_bytes_total",
        Unit::Bytes,
        "Bytes that the stream acknowledged since the start",
    ),
    (
        Kind::Counter,
        "millrace_stream_publisher_restarts_total",
        Unit::Count,
        "Sessions of the publisher after the first",
    ),
    (
        Kind::Counter,
        "millrace_stream_consumed_events_total",
        Unit::Count,
        "Events consumed from the stream since the start",
    ),
    (
        Kind::Counter,
        "millrace_stream_consumed_bytes_total",
        Unit::Bytes,
        "Bytes consumed from the stream since the start",
    ),
    (
        Kind::Gauge,
        "millrace_stream_consumer_lag_messages",
        Unit::Count,
        "Messages that the consumer has yet to receive",
    ),
    (
        Kind::Gauge,
        "millrace_stream_unacknowledged_messages",
        Unit::Count,
        "Messages received and not yet acknowledged",
    ),
    (
        Kind::Counter,
        "millrace_stream_consumer_restarts_total",
        Unit::Count,
        "Sessions of the consumer after the first",
    ),
];

#[cfg(test)]
mod tests {
    use std::fs;

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

    /// An alert over a metric that there is none of never fires.
    #[test]
    fn alerts_are_over_metrics_that_there_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/prometheus/rules.yaml");
        let rules = fs::read_to_string(path).expect("is there");
        let of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let words = rules.split(|letter: char| !of_a_name(letter));
        let named: Vec<_> = words.filter(|word| word.starts_with("millrace_")).collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            assert!(METRICS.iter().any(|(_, known, ..)| *known == name), "{name} in {path}");
        }
    }
}
