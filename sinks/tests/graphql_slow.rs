//! Answers that take too long: over HTTP and over a WebSocket the same refusals, and the same measure of
//! how long they took. Only subscriptions have no end.

#[path = "common/asked.rs"]
mod asked;
#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/server.rs"]
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asked::Asked;
use client::{Client, code_of};
use common::{CZK, History};
use futures_util::future::{self, BoxFuture};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use millrace_ledger::PaymentId;
use millrace_sinks::{
    GraphqlConfig, Sink as _,
    graphql::{ActError, Acts, LimitsConfig, NotificationAct},
};
use serde_json::json;
use server::Server;

const ANSWER_MAX: Duration = Duration::from_millis(200);
const PAYMENT_1: &str = "01930000-0000-7000-8000-000000000001";

/// How many requests were measured.
#[derive(Clone, Default)]
struct Measured(Arc<AtomicUsize>);

impl Measured {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl HistogramFn for Measured {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Measured {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match key.name() {
            "millrace_graphql_request_seconds" => Histogram::from_arc(Arc::new(self.clone())),
            _ => Histogram::noop(),
        }
    }
}

/// An engine that never says what it did.
struct SilentEngine;

impl Acts for SilentEngine {
    fn resolve_review(
        &self,
        _: PaymentId,
        _: bool,
        _: String,
        _: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        Box::pin(future::pending())
    }

    fn record(
        &self,
        _: NotificationAct,
        _: String,
        _: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        Box::pin(future::pending())
    }
}

/// Nothing is looked up in time, nothing is done in time, and no page is found in time.
async fn slow_server(answer_max: Duration) -> (Server, History) {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    (1..=200).for_each(|number| history.pay(number, 1, 2, 1));
    let limits = LimitsConfig {
        answer_ms: answer_max.as_millis() as u64,
        read_ms: 0,
        ..LimitsConfig::default()
    };
    let config = GraphqlConfig { limits, ..GraphqlConfig::default() };
    let server = Server::start_with(&history, &config, |services| {
        services.model = Asked::hanging(Arc::clone(&services.model));
        services.acts = Some(Arc::new(SilentEngine));
    });
    (server.await, history)
}

/// What is asked, what is said of it, and how long an answer may take: where a page is what takes too
/// long, however busy the machine is, that is told first.
fn questions() -> [(String, &'static str, Duration); 3] {
    [
        (format!("{{ payment(id: \"{PAYMENT_1}\") {{ seq }} }}"), "ANSWER_TIMED_OUT", ANSWER_MAX),
        (
            format!(
                "mutation {{ resolveReview(paymentId: \"{PAYMENT_1}\", accept: true, \
                   actor: \"ana\", why: \"known\") {{ accepted }} }}"
            ),
            "ANSWER_TIMED_OUT",
            ANSWER_MAX,
        ),
        // No list has the amounts: every payment is looked at.
        (
            "{ payments(filter: { amountMin: \"2\" }) { nodes { seq } } }".to_owned(),
            "QUERY_TOO_SLOW",
            Duration::from_secs(120),
        ),
    ]
}

/// The server runs on the thread of the test, where the recorder is.
#[tokio::test]
async fn what_takes_too_long_is_refused_over_http() {
    let measured = Measured::default();
    let _recorder = metrics::set_default_local_recorder(&measured);
    for (number, (query, code, answer_max)) in questions().into_iter().enumerate() {
        let (server, _) = slow_server(answer_max).await;
        assert_eq!(server.error(&query).await.0, code, "{query}");
        assert_eq!(measured.count(), number + 1, "each is measured");
    }
}

#[tokio::test]
async fn what_takes_too_long_is_refused_over_a_socket() {
    let measured = Measured::default();
    let _recorder = metrics::set_default_local_recorder(&measured);
    for (number, (query, code, answer_max)) in questions().into_iter().enumerate() {
        let (server, _) = slow_server(answer_max).await;
        let mut client = Client::connect(&server).await;
        client.subscribe("1", &query).await;
        let message = client.next().await;
        assert_eq!(code_of(&message), code, "{query}: {message}");
        assert_eq!(client.next().await, json!({ "id": "1", "type": "complete" }));
        assert_eq!(measured.count(), number + 1, "each is measured");
    }
}

/// Longer than any answer may take, and measured by nobody: it answers when something happens.
#[tokio::test]
async fn a_subscription_may_wait() {
    let measured = Measured::default();
    let _recorder = metrics::set_default_local_recorder(&measured);
    let (mut server, mut history) = slow_server(ANSWER_MAX).await;
    let mut client = Client::connect(&server).await;
    // Another operation of the same document does not make it a query.
    let follow = "query Now { status { appliedSeq } } \
                  subscription Follow { payments(fromSeq: \"202\") { seq } }";
    let payload = json!({ "query": follow, "operationName": "Follow" });
    client.send(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
    assert_eq!(client.field("payments", "seq").await, "202");
    tokio::time::sleep(2 * ANSWER_MAX).await;
    history.pay(1_000, 1, 2, 1);
    server.sink.apply(&history.batches(4)).expect("applies");
    assert_eq!(client.field("payments", "seq").await, "203");
    assert_eq!(measured.count(), 0);
}
