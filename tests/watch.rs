//! What operators see of the events' way over NATS: the publisher, the sinks behind it, and what
//! outside consumers filter.

mod support;
#[path = "../src/metrics/table.rs"]
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
};

use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt as _;
use millrace_client::Connection;
use millrace_protos::v1::{self, Operation, Payment, event::Kind};
use millrace_services::{Nats, Postgres, required};
use prost::Message as _;
use serde_json::{Value, json};
use support::{
    config::Settings,
    eventually,
    graphql::{ask, get},
    metrics::{have_caught_up, reader, samples, scrape},
    payments::{open, pay, submit, word},
    process::{Finished, millrace},
    server::Server,
    within,
};
use table::METRICS;
use uuid::Uuid;

const ALICE: u128 = 1;
const BOB: u128 = 2;
const NOBODY: u128 = 99;

fn over(nats: &Nats) -> Settings {
    Settings::unlimited().with("stream.url", nats.url().as_str())
}

fn metrics_of(server: &Server) -> SocketAddr {
    server.metrics.expect("metrics are on")
}

fn started(settings: &Settings, scratch: &Path, data: &str) -> Server {
    Server::start(&settings.write(scratch), &scratch.join(data))
}

/// Submits, and tells what became of each.
async fn outcomes(connection: &Connection, payments: Vec<Payment>) -> Vec<String> {
    let outcomes = submit(connection, payments).await.expect("is taken");
    outcomes.iter().map(word).collect()
}

async fn pay_some(connection: &Connection, ids: std::ops::Range<u128>) {
    let payments = ids.map(|id| pay(id, ALICE, BOB, 100 + id as u64)).collect();
    let outcomes = outcomes(connection, payments).await;
    assert!(outcomes.iter().all(|it| it == "SETTLED"), "{outcomes:?}");
}

/// What a short run without faults, rules of risk, providers and a replica has nothing to tell of.
const QUIET: [&str; 14] = [
    "millrace_sink_errors_total",
    "millrace_sink_quarantined_total",
    "millrace_sink_quarantine_requests_total",
    "millrace_risk_rule_hits_total",
    "millrace_risk_challenger_verdicts_total",
    "millrace_audit_sealed_segments_total",
    "millrace_audit_removed_segments_total",
    "millrace_graphql_slow_subscribers_total",
    "millrace_notify_sent_messages_total",
    "millrace_notify_failed_attempts_total",
    "millrace_notify_suppressed_messages_total",
    "millrace_postgres_replica_in_use",
    "millrace_postgres_replica_lag_events",
    "millrace_postgres_replica_lag_seconds",
];

/// Guards against a metric that is told of and that nobody ever sees, because it was taken before there
/// was a recorder, or because nothing sets it.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_shown_and_the_publishers_count() {
    let (Some(nats), Some(postgres)) = (required(Nats::start()), required(Postgres::start()))
    else {
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let settings =
        over(&nats).with("stream.per_payment", true).with("postgres.url", postgres.url().as_str());
    let server = started(&settings, scratch.path(), "data");
    let metrics = metrics_of(&server);
    let connection = server.connect().await;
    open(&connection, [ALICE, BOB]).await;
    pay_some(&connection, 1..41).await;
    eventually("all is published and applied", || have_caught_up(metrics, 42).then_some(()));
    // Read from the database, then from the cache.
    let payment = format!("{{ payment(id: \"{}\") {{ status }} }}", Uuid::from_u128(1));
    for _ in 0..2 {
        assert_eq!(ask(server.graphql, &payment)["payment"]["status"], "SETTLED");
    }
    // Some are told once a second.
    let text = eventually("all that is told of is shown", || {
        let text = get(metrics, "/metrics");
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let families: BTreeSet<&str> = types.collect();
        let names = METRICS.iter().map(|(_, name, ..)| *name);
        let missing: Vec<_> =
            names.filter(|it| !families.contains(it) && !QUIET.contains(it)).collect();
        println!("told of, and not shown yet: {missing:?}");
        missing.is_empty().then_some(text)
    });
    let shown = samples(&text);
    for (name, value) in [
        ("millrace_stream_published_events_total{sink=\"publish\"}", 42.0),
        ("millrace_stream_published_events_total{sink=\"publish-payments\"}", 40.0),
        ("millrace_stream_consumed_events_total{sink=\"millrace-graphql\"}", 42.0),
        ("millrace_stream_consumer_restarts_total{sink=\"millrace-audit\"}", 0.0),
        ("millrace_stream_publisher_lag_events{sink=\"publish\"}", 0.0),
        ("millrace_sink_applied_seq{sink=\"publish\"}", 42.0),
        ("millrace_sink_lag_events{sink=\"publish-payments\"}", 0.0),
        ("millrace_sink_lag_events{sink=\"audit\"}", 0.0),
        ("millrace_sink_age_seconds{sink=\"publish\"}", 0.0),
        ("millrace_sink_stopped{sink=\"publish\"}", 0.0),
    ] {
        assert_eq!(shown.get(name), Some(&value), "{name} in {text}");
    }
    assert!(shown["millrace_stream_published_bytes_total{sink=\"publish\"}"] > 0.0);
    // Times add up over processes.
    let times = text.lines().filter(|line| {
        line.starts_with("millrace_graphql_request_seconds_bucket") && line.contains("le=\"+Inf\"")
    });
    assert!(times.count() >= 1, "{text}");
    server.stop();
}

/// Guards what consumers outside filter by: each payment once, on the subject that its outcome has.
#[tokio::test(flavor = "multi_thread")]
async fn payments_are_published_on_subjects_that_can_be_filtered() {
    let Some(nats) = required(Nats::start()) else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = started(&over(&nats).with("stream.per_payment", true), scratch.path(), "data");
    let connection = server.connect().await;
    open(&connection, [ALICE, BOB]).await;
    let authorize = |id| Payment {
        operation: Operation::Authorize as i32,
        timeout_seconds: 1_000,
        ..pay(id, ALICE, BOB, 500)
    };
    let follow_up = |id, original, operation: Operation| Payment {
        payment_id: id,
        original_payment_id: original,
        operation: operation as i32,
        ..Payment::default()
    };
    let payments = vec![
        pay(1, ALICE, BOB, 100),
        pay(2, ALICE, NOBODY, 100),
        authorize(3),
        follow_up(4, 3, Operation::Capture),
        authorize(5),
        follow_up(6, 5, Operation::Void),
        follow_up(7, 1, Operation::Refund),
        pay(1, ALICE, BOB, 100),
        pay(8, NOBODY, BOB, 100),
    ];
    let words = outcomes(&connection, payments).await;
    let settled: Vec<_> =
        words.iter().map(|word| word.split(' ').next().expect("a word")).collect();
    assert_eq!(
        settled,
        [
            "SETTLED", "REJECTED", "HELD", "SETTLED", "HELD", "VOIDED", "SETTLED", "SETTLED",
            "REJECTED"
        ]
    );
    let metrics = metrics_of(&server);
    eventually("all is published", || have_caught_up(metrics, 10).then_some(()));
    let client = async_nats::connect(nats.url()).await.expect("connects");
    for (filter, expected) in [
        ("payments.v1.>", vec![1, 2, 3, 4, 5, 6, 7, 8]),
        ("payments.v1.203.rejected.>", vec![2, 8]),
        ("payments.v1.*.settled.*", vec![1, 4, 7]),
        ("payments.v1.203.settled.pay", vec![1]),
        ("payments.v1.203.held.authorize", vec![3, 5]),
        ("payments.v1.*.*.refund", vec![7]),
        ("payments.v1.978.>", vec![]),
    ] {
        let found = within(filter, payments_on(&client, filter)).await;
        assert_eq!(found, expected, "{filter}");
    }
    server.stop();
}

/// The payments of the messages that pass a filter, in order.
async fn payments_on(client: &async_nats::Client, filter: &str) -> Vec<u128> {
    let context = async_nats::jetstream::new(client.clone());
    let stream = context.get_stream("MILLRACE_PAYMENTS").await.expect("is there");
    let config = pull::Config { filter_subject: filter.to_owned(), ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.expect("is made");
    let mut found = Vec::new();
    let mut messages = consumer.fetch().max_messages(100).messages().await.expect("are fetched");
    while let Some(message) = messages.next().await {
        let message = message.expect("comes");
        let event = v1::Event::decode(message.payload.clone()).expect("is an event");
        match event.kind.expect("says what it is") {
            Kind::PaymentDecided(decided) => {
                found.push(decided.payment.expect("says which").payment_id);
            }
            other => panic!("{other:?} on {}", message.subject),
        }
    }
    found
}

/// Runs `millrace sinks status` against a server.
fn sinks_status(metrics: SocketAddr) -> Finished {
    millrace(["sinks", "status", "--metrics", &metrics.to_string()])
}

/// A gauge of a reader of events.
fn gauge(shown: &BTreeMap<String, f64>, name: &str, reader: &str) -> f64 {
    let name = format!("{name}{{sink=\"{reader}\"}}");
    *shown.get(&name).unwrap_or_else(|| panic!("no {name}"))
}

/// Guards against a publisher that waits or has stopped while all that monitoring shows stands still.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_waits_or_stopped_is_seen() {
    let Some(mut nats) = required(Nats::start()) else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let settings = over(&nats);
    let server = started(&settings, scratch.path(), "first");
    let metrics = metrics_of(&server);
    let connection = server.connect().await;
    open(&connection, [ALICE, BOB]).await;
    pay_some(&connection, 1..11).await;
    eventually("all is published", || have_caught_up(metrics, 12).then_some(()));

    // It waits: payments go on, and what waits with it grows.
    nats.kill();
    for (ids, behind) in [(11..21, 10.0), (21..31, 20.0)] {
        pay_some(&connection, ids).await;
        eventually("the publisher says that it waits", || {
            (reader(metrics, "publish")["state"] == "retrying").then_some(())
        });
        // The answer comes a moment before the event is in the feed.
        let shown = eventually("the lag is shown", || {
            let shown = scrape(metrics);
            (gauge(&shown, "millrace_sink_lag_events", "publish") == behind).then_some(shown)
        });
        assert_eq!(gauge(&shown, "millrace_stream_publisher_lag_events", "publish"), behind);
        assert_eq!(gauge(&shown, "millrace_sink_stopped", "publish"), 0.0);
        assert!(gauge(&shown, "millrace_sink_backoff_seconds", "publish") > 0.0);
        assert_eq!(gauge(&shown, "millrace_sink_lag_events", "graphql"), behind, "also of sinks");
    }
    assert!(reader(metrics, "publish")["age_s"].as_f64().expect("a number") > 0.0);
    let status = sinks_status(metrics);
    assert_eq!(status.code, Some(0), "{status:?}");
    let row = status.stdout.lines().find(|line| line.starts_with("publish ")).expect("has a row");
    assert_eq!(row.split_whitespace().nth(1), Some("retrying"), "{row}");
    // That the connection broke, or that nobody listens, whichever was told last.
    let why = status.stdout.lines().find(|line| line.starts_with("publish: "));
    assert!(why.is_some_and(|why| why.contains("NATS at 127.0.0.1:")), "{status:?}");
    nats.start_again().expect("starts again");
    eventually("all is published", || have_caught_up(metrics, 32).then_some(()));
    assert_eq!(reader(metrics, "publish")["state"], "following");
    assert_eq!(reader(metrics, "publish")["error"], Value::Null);
    server.stop();

    // It stopped: the stream is another journal's.
    let server = started(&settings, scratch.path(), "second");
    let metrics = metrics_of(&server);
    let connection = server.connect().await;
    eventually("the publisher has stopped", || {
        (reader(metrics, "publish")["state"] == "stopped").then_some(())
    });
    open(&connection, [ALICE, BOB]).await;
    for (ids, behind) in [(1..4, 5.0), (4..8, 9.0)] {
        pay_some(&connection, ids).await;
        eventually("the lag goes on growing", || {
            let shown = scrape(metrics);
            assert_eq!(gauge(&shown, "millrace_sink_stopped", "publish"), 1.0);
            (gauge(&shown, "millrace_stream_publisher_lag_events", "publish") == behind)
                .then_some(())
        });
    }
    let status = sinks_status(metrics);
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(status.stdout.contains("publish: the stream MILLRACE_EVENTS holds the events of"));
    // Nothing of the other journal is taken for this one's.
    eventually("the sinks have stopped", || {
        let stopped = ["audit", "notify", "graphql"].map(|name| reader(metrics, name));
        let all = stopped.iter().all(|sink| sink["state"] == "stopped");
        assert!(stopped.iter().all(|sink| sink["applied_seq"] == json!(0)), "{stopped:?}");
        all.then_some(())
    });
    server.stop();
}
