//! A trace goes in with a payment and comes out where the payment does, on the real binary: gRPC
//! metadata in; the stream of single payments, GraphQL and the journal out.

mod support;

use std::{collections::BTreeMap, net::SocketAddr};

use millrace_client::Connection;
use millrace_protos::{
    Trace,
    v1::{
        CapturePaymentRequest, Event, Operation, Payment, PaymentContext, PaymentOutcome,
        StreamPaymentsRequest, SubmitPaymentRequest, SubmitPaymentsRequest, TraceContext,
        event::Kind,
    },
};
use millrace_services::{Nats, Postgres, required};
use prost_reflect::prost::Message as _;
use serde_json::{Value, json};
use support::{
    config::Settings,
    data_dir::verified_journal,
    graphql::{ask, wait_for},
    payments::{id_bytes, open, pay, word},
    process::millrace,
    server::Server,
    text, within,
};
use tonic::Request;

const ALICE: u128 = 0xa11ce;
const BOB: u128 = 0xb0b;

/// The `traceparent` of a caller, for each number another one.
fn parent(number: u8) -> String {
    format!("00-4bf92f3577b34da6a3ce929d0e0e47{number:02x}-00f067aa0ba902b7-01")
}

fn traced<T>(message: T, parents: &[&str]) -> Request<T> {
    let mut request = Request::new(message);
    for parent in parents {
        request.metadata_mut().append("traceparent", parent.parse().expect("is ASCII"));
    }
    request
}

/// A payment that says a reference, and something of its trace.
fn told(id: u128, trace: Option<TraceContext>) -> Payment {
    let context = PaymentContext { reference: "Jam".to_owned(), trace, ..Default::default() };
    Payment { context: context.encode_to_vec().into(), ..pay(id, ALICE, BOB, 5) }
}

async fn submit_one(connection: &Connection, payment: Payment, parents: &[&str]) -> PaymentOutcome {
    let request = traced(SubmitPaymentRequest { payment: Some(payment) }, parents);
    let response = within("an outcome", connection.payments().submit_payment(request)).await;
    response.expect("is taken").into_inner().outcome.expect("has one")
}

async fn submit_batch(
    connection: &Connection,
    payments: Vec<Payment>,
    parents: &[&str],
) -> Vec<String> {
    let request = traced(SubmitPaymentsRequest { payments }, parents);
    let response = within("outcomes", connection.payments().submit_payments(request)).await;
    response.expect("is taken").into_inner().outcomes.iter().map(word).collect()
}

/// Sends payments by every method; returns what consumers are to see of each one's trace.
async fn send_all(connection: &Connection) -> BTreeMap<u128, Option<String>> {
    let (own, own_parent) = (Trace::parse(&parent(3)).expect("is right"), parent(3));
    let settled = async |id, parents: &[&str]| {
        let outcome = submit_one(connection, pay(id, ALICE, BOB, 5), parents).await;
        assert_eq!(word(&outcome), "SETTLED");
    };
    settled(1, &[&parent(1)]).await;
    settled(2, &[]).await;
    settled(3, &[&parent(1), &parent(1)]).await;
    settled(4, &[&parent(1).to_uppercase()]).await;
    settled(5, &["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-and-more"]).await;

    let bad = TraceContext { trace_id: vec![7; 15].into(), ..own.to_message() };
    let batch = vec![
        pay(10, ALICE, BOB, 5),
        told(11, None),
        told(12, Some(own.to_message())),
        told(13, Some(TraceContext::default())),
        told(14, Some(bad)),
        pay(15, ALICE, 0xdead, 5),
    ];
    let words = submit_batch(connection, batch, &[&parent(2)]).await;
    let refused = ["REJECTED CONTEXT_MALFORMED", "REJECTED CREDIT_ACCOUNT_UNKNOWN"];
    assert_eq!(words[..4], ["SETTLED"; 4]);
    assert_eq!(words[4..], refused, "each in its place");

    let hold = Payment { operation: Operation::Authorize as i32, ..pay(20, ALICE, BOB, 5) };
    assert_eq!(word(&submit_one(connection, hold, &[&parent(4)]).await), "HELD");
    let capture = CapturePaymentRequest {
        payment_id: id_bytes(21),
        original_payment_id: id_bytes(20),
        amount_minor: None,
        context: None,
    };
    let capture = traced(capture, &[&parent(5)]);
    within("it", connection.payments().capture_payment(capture)).await.expect("is taken");

    let stream = [30, 31].map(|id| StreamPaymentsRequest { payments: vec![told(id, None)] });
    let stream = traced(tokio_stream::iter(stream), &[&parent(6)]);
    let answers = within("a stream", connection.payments().stream_payments(stream)).await;
    let mut answers = answers.expect("opens").into_inner();
    while within("an answer", answers.message()).await.expect("is taken").is_some() {}

    let future = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
    BTreeMap::from([
        (1, Some(parent(1))),
        (2, None),
        (3, None),
        (4, None),
        (5, Some(future)),
        (10, Some(parent(2))),
        (11, Some(parent(2))),
        (12, Some(own_parent)),
        (13, None),
        (14, None),
        (15, Some(parent(2))),
        (20, Some(parent(4))),
        (21, Some(parent(5))),
        (30, Some(parent(6))),
        (31, Some(parent(6))),
    ])
}

/// Sends payments again in other traces, also with one that names its own.
async fn send_again(connection: &Connection) {
    let own = Trace::parse(&parent(9)).expect("is right").to_message();
    for (payment, parents) in [
        (pay(1, ALICE, BOB, 5), &[parent(8)][..]),
        (pay(1, ALICE, BOB, 5), &[]),
        (pay(2, ALICE, BOB, 5), &[parent(8)]),
        (told(11, None), &[parent(8)]),
        (told(11, Some(own)), &[]),
        (told(12, None), &[]),
    ] {
        let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
        let outcome = submit_one(connection, payment, &parents).await;
        assert!(outcome.replayed, "{outcome:?}");
        assert_eq!(word(&outcome), "SETTLED");
    }
    let other = PaymentContext { reference: "Jim".to_owned(), ..Default::default() };
    let other = Payment { context: other.encode_to_vec().into(), ..pay(11, ALICE, BOB, 5) };
    let outcome = submit_one(connection, other, &[&parent(2)]).await;
    assert_eq!(word(&outcome), "REJECTED ID_REUSED_CONTEXT_DIFFERS");
}

/// The header of every message of the stream of single payments, by the payment's id, as soon as
/// there are so many; that of the reused id is left out, as it is an event, too.
async fn headers(nats: &Nats, expected: usize) -> BTreeMap<u128, Vec<String>> {
    let client = async_nats::connect(nats.url()).await.expect("connects");
    let context = async_nats::jetstream::new(client);
    let count = async || {
        let stream = context.get_stream("MILLRACE_PAYMENTS").await.ok()?;
        Some(stream.get_info().await.ok()?.state.messages as usize)
    };
    let all = async {
        while count().await.is_none_or(|messages| messages < expected) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within("all payments are published", all).await;
    let stream = context.get_stream("MILLRACE_PAYMENTS").await.expect("is there");
    let mut found: BTreeMap<u128, Vec<String>> = BTreeMap::new();
    for sequence in 1..=expected as u64 {
        let message = stream.get_raw_message(sequence).await.expect("is there");
        let event = Event::decode(message.payload).expect("is an event");
        let Some(Kind::PaymentDecided(decided)) = event.kind else { panic!("{event:?}") };
        let payment = decided.payment.expect("there is one");
        let header = message.headers.get("traceparent").expect("each has one").to_string();
        found.entry(payment.payment_id).or_default().push(header);
    }
    found
}

fn queried(graphql: SocketAddr, id: u128) -> [Value; 2] {
    let id = uuid::Uuid::from_u128(id);
    let query = format!("{{ payment(id: \"{id}\") {{ traceId context {{ traceparent }} }} }}");
    let mut answer = ask(graphql, &query)["payment"].take();
    [answer["traceId"].take(), answer["context"]["traceparent"].take()]
}

async fn a_trace_comes_out(nats: &Nats, settings: Settings) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let config = settings.with("stream.url", nats.url()).with("stream.per_payment", true);
    let config = config.write(scratch.path());
    let data_dir = scratch.path().join("data");
    let server = Server::start(&config, &data_dir);
    let connection = server.connect().await;
    open(&connection, [ALICE, BOB]).await;
    let sent = send_all(&connection).await;
    send_again(&connection).await;
    server.kill();
    // What was decided is read from the journal now, the digests of contexts among it.
    let server = Server::start(&config, &data_dir);
    send_again(&server.connect().await).await;
    settle(&server, &data_dir);

    // Each payment is one message, and each of the two refusals of a reused id another one.
    let headers = headers(nats, sent.len() + 2).await;
    for (id, parent) in &sent {
        let of_caller = |header: &str| header.contains("4bf92f3577b34da6");
        match parent {
            Some(parent) => assert_eq!(headers[id][0], *parent, "{id}"),
            None => assert!(!of_caller(&headers[id][0]), "{id}: {headers:?}"),
        }
        let trace_id = parent.as_ref().map(|parent| parent[3..35].to_owned());
        assert_eq!(queried(server.graphql, *id), [json!(trace_id), json!(parent)], "{id}");
    }
    assert_eq!(headers[&11].len(), 3, "{headers:?}");
    server.stop();

    verified_journal(&data_dir);
    // In the columns of a CSV, too, where every cell has its place.
    for format in ["jsonl", "csv"] {
        let exported = ["journal", "export", "--with-context", "--format", format, "--data-dir"];
        let exported = millrace(exported.into_iter().chain([text(&data_dir)]));
        assert_eq!(exported.code, Some(0), "{exported:?}");
        let of_caller = |line: &&str| line.contains("00-4bf92f3577b34da6a3ce929d0e0e47");
        let lines = exported.stdout.lines().filter(of_caller).count();
        assert_eq!(lines, sent.values().flatten().count() + 2, "{}", exported.stdout);
    }
}

fn settle(server: &Server, data_dir: &std::path::Path) {
    let events = verified_journal(data_dir)["events"].as_u64().expect("is a number");
    wait_for(server.graphql, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_comes_out_of_the_stream_and_of_the_embedded_store() {
    let Some(nats) = required(Nats::start()) else { return };
    a_trace_comes_out(&nats, Settings::unlimited()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_comes_out_of_postgresql() {
    let (Some(nats), Some(postgres)) = (required(Nats::start()), required(Postgres::start()))
    else {
        return;
    };
    a_trace_comes_out(&nats, Settings::unlimited().with("postgres.url", postgres.url())).await;
}
