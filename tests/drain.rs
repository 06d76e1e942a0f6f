//! Stopping: SIGTERM lets out what was let in, and a restart goes on where everything was.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use millrace_client::Connection;
use millrace_protos::v1::{
    Payment, PaymentOutcome, StreamPaymentsRequest, StreamPaymentsResponse, SubmitPaymentsRequest,
};
use serde_json::Value;
use support::{
    WAIT_MAX,
    config::Settings,
    data_dir::{check_audit_log, count_lines, wait_for_sinks},
    dice::Dice,
    eventually, graphql,
    payments::{error_info, open, pay, submit},
    server::Server,
    within,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

const PAYER: u128 = 1;
const PAYEE: u128 = 2;
const ROWS: u128 = 20;
/// Clients that send a request when the one before is answered; others stream.
const BATCHERS: u128 = 4;
/// So many requests are answered before the stop.
const ANSWERED_MIN: usize = 50;
/// Longer than any machine takes to answer what is under way.
const PATIENT_MS: i64 = 100_000;

/// What an HTTP/2 client says first, with empty settings.
const PREFACE_AND_SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A request under load, and what came of it.
struct Sent {
    first_id: u128,
    answer: Result<Vec<PaymentOutcome>, Status>,
}

/// The payments of a request; its ids follow from the first.
fn request_of(first_id: u128) -> Vec<Payment> {
    (first_id..first_id + ROWS).map(|id| pay(id, PAYER, PAYEE, 1)).collect()
}

/// Requests one after the other, until one is not answered.
async fn batches(
    connection: Arc<Connection>,
    client: u128,
    answered: Arc<AtomicUsize>,
) -> Vec<Sent> {
    let mut sent = Vec::new();
    for request in 0.. {
        let first_id = client << 64 | (request * ROWS + 1);
        let mut payments = connection.payments();
        let message = SubmitPaymentsRequest { payments: request_of(first_id) };
        let answer = within("an answer", payments.submit_payments(message)).await;
        let answer = answer.map(|response| response.into_inner().outcomes);
        let is_last = answer.is_err();
        sent.push(Sent { first_id, answer });
        answered.fetch_add(1, Ordering::Relaxed);
        if is_last {
            break;
        }
    }
    sent
}

type Answers = Streaming<StreamPaymentsResponse>;

async fn open_stream(
    connection: &Connection,
    room: usize,
) -> (mpsc::Sender<StreamPaymentsRequest>, Answers) {
    let (sender, receiver) = mpsc::channel(room);
    let mut client = connection.payments();
    let answers = client.stream_payments(ReceiverStream::new(receiver));
    let answers = within("the stream", answers).await.expect("opens");
    (sender, answers.into_inner())
}

/// A stream with always more requests under way than the server takes at once, until it ends.
async fn stream(connection: Arc<Connection>, client: u128) -> Vec<Sent> {
    let (sender, mut answers) = open_stream(&connection, 1).await;
    let window = Arc::new(Semaphore::new(100));
    let answered_one = Arc::clone(&window);
    let sending = tokio::spawn(async move {
        let mut sent = Vec::new();
        for request in 0.. {
            // Closed when the answers end.
            let Ok(place) = window.acquire().await else { break };
            place.forget();
            let first_id = client << 64 | (request * ROWS + 1);
            sent.push(first_id);
            let payments = request_of(first_id);
            if sender.send(StreamPaymentsRequest { payments }).await.is_err() {
                break;
            }
        }
        sent
    });
    let mut answered = Vec::new();
    let end = loop {
        match within("an answer", answers.message()).await {
            Ok(Some(response)) => {
                answered.push(response.outcomes);
                answered_one.add_permits(1);
            }
            Ok(None) => break Status::unavailable("the stream ended"),
            Err(status) => break status,
        }
    };
    drop(answers);
    answered_one.close();
    let sent = within("the sender", sending).await.expect("ends");
    let mut answered = answered.into_iter();
    let of = |first_id| Sent { first_id, answer: answered.next().ok_or_else(|| end.clone()) };
    sent.into_iter().map(of).collect()
}

/// Guards the promise of an orderly stop: under load, everything that was taken is answered and is
/// there after the restart, and what was not answered never happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_is_answered_and_nothing_else_happened() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data_dir = scratch.path().join("data");
    let config = Settings::unlimited()
        .with("engine.segment_mib", 1)
        .with("ingest.drain_max_ms", PATIENT_MS)
        .write(scratch.path());
    let server = Server::start(&config, &data_dir);
    open(&server.connect().await, [PAYER, PAYEE]).await;

    let mut load = JoinSet::new();
    let under_way = Arc::new(AtomicUsize::new(0));
    for client in 1..=6 {
        let connection = Arc::new(server.connect().await);
        match client {
            1..=BATCHERS => load.spawn(batches(connection, client, Arc::clone(&under_way))),
            _ => load.spawn(stream(connection, client)),
        };
    }
    eventually("there is load", || {
        (under_way.load(Ordering::Relaxed) > ANSWERED_MIN).then_some(())
    });
    let mut dice = Dice::seeded("drain");
    tokio::time::sleep(dice.duration_below(Duration::from_millis(200))).await;
    server.terminate();
    let sent: Vec<Sent> = load.join_all().await.into_iter().flatten().collect();
    let (status, log) = server.wait(WAIT_MAX);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("draining after SIGTERM") && log.contains("stopped"), "{log}");
    assert!(!log.contains("they are cut off"), "{log}");

    let server = Server::start(&config, &data_dir);
    let connection = server.connect().await;
    let (mut answered, mut unanswered) = (0_usize, 0_u128);
    for some in sent.chunks(100) {
        let payments = some.iter().flat_map(|sent| request_of(sent.first_id)).collect();
        let again = submit(&connection, payments).await.expect("is taken");
        for (Sent { first_id, answer }, again) in some.iter().zip(again.chunks(ROWS as usize)) {
            match answer {
                Ok(first) => {
                    let replay =
                        |first: &PaymentOutcome| PaymentOutcome { replayed: true, ..first.clone() };
                    let first: Vec<_> = first.iter().map(replay).collect();
                    assert_eq!(again, first, "answered, so there after the restart");
                    answered += 1;
                }
                Err(status) => {
                    let happened = again.iter().any(|outcome| outcome.replayed);
                    assert!(!happened, "{first_id:x} happened, its sender heard: {status:?}");
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    unanswered += 1;
                }
            }
        }
    }
    println!("{answered} requests answered, {unanswered} refused");
    assert!(answered >= ANSWERED_MIN, "there was load: {answered}");
    assert!(unanswered >= BATCHERS, "each of them ends with a refusal: {unanswered}");
    wait_for_sinks(&server, &data_dir);
    server.stop();
    check_audit_log(&data_dir);
}

/// Guards against streams that are opened in the morning and used now and then: they must not hold
/// up a stop until patience ends, and their owners are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_does_not_hold_up_the_stop() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let config =
        Settings::unlimited().with("ingest.drain_max_ms", PATIENT_MS).write(scratch.path());
    let server = Server::start(&config, &scratch.path().join("data"));
    let connection = server.connect().await;
    open(&connection, [PAYER, PAYEE]).await;
    let (sender, mut answers) = open_stream(&connection, 1).await;
    sender.send(StreamPaymentsRequest { payments: request_of(1) }).await.expect("is open");
    within("an answer", answers.message()).await.expect("no error").expect("an answer");
    // One that never said anything.
    let (_silent, _unread) = open_stream(&connection, 1).await;

    server.terminate();
    let status = within("the end", answers.message()).await.expect_err("is told");
    let (exit, log) = server.wait(WAIT_MAX);
    assert_eq!(exit.code(), Some(0), "{log}");
    let info = error_info(&status).map(|(_, reason)| reason);
    assert_eq!((status.code(), info.as_deref()), (Code::Unavailable, Some("DRAINING")));
    assert!(!log.contains("they are cut off"), "{log}");
}

/// Guards against a peer that is gone without a word: after `drain_max_ms` the stop goes on without
/// it, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_gone_holds_up_the_stop_only_so_long() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let config = Settings::unlimited().with("ingest.drain_max_ms", 700).write(scratch.path());
    let server = Server::start(&config, &scratch.path().join("data"));
    // Speaks HTTP/2 once, then never reads again.
    let mut socket = TcpStream::connect(server.grpc).expect("it listens");
    socket.write_all(PREFACE_AND_SETTINGS).expect("is sent");
    let connection = server.connect().await;
    open(&connection, [PAYER]).await;
    server.terminate();
    let (exit, log) = server.wait(WAIT_MAX);
    assert_eq!(exit.code(), Some(0), "{log}");
    assert!(log.contains("they are cut off"), "{log}");
}

/// Guards the read side over stops and crashes: each sink goes on at its cursor, so that there is
/// one audit line and one notification for each event, and queries see all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_go_on_where_they_were() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data_dir = scratch.path().join("data");
    let config = Settings::unlimited()
        .with("engine.segment_mib", 1)
        .with("sinks.notify.transport", "file")
        .write(scratch.path());
    let mut dice = Dice::seeded("sinks");
    let mut events = 0;
    for round in 0..6_u128 {
        let server = Server::start(&config, &data_dir);
        let connection = server.connect().await;
        if round == 0 {
            open(&connection, [PAYER, PAYEE]).await;
        }
        for request in 0..10 {
            let payments =
                (0..200).map(|row| pay(1 + round * 10_000 + request * 200 + row, PAYER, PAYEE, 1));
            let outcomes = submit(&connection, payments.collect()).await.expect("is taken");
            events = outcomes.last().expect("has outcomes").event_sequence;
        }
        // The sinks are behind now, by as much as chance gives them.
        tokio::time::sleep(dice.duration_below(Duration::from_millis(50))).await;
        if round % 2 == 0 { server.kill() } else { server.stop() }
    }
    assert_eq!(events, 2 + 6 * 2_000);
    let server = Server::start(&config, &data_dir);
    assert_eq!(wait_for_sinks(&server, &data_dir), events);
    let notifications = data_dir.join("notify/notifications.jsonl");
    // Payer and payee of each payment.
    let told = 2 * 6 * 2_000;
    eventually("all are told", || (count_lines(&notifications) >= told).then_some(()));
    let sums = graphql::ask(server.graphql, "{ conservation { debitsPosted { minor } holds } }");
    assert_eq!(sums["conservation"][0]["debitsPosted"]["minor"], "12000", "{sums}");
    assert_eq!(sums["conservation"][0]["holds"], true, "{sums}");
    server.stop();
    assert_eq!(check_audit_log(&data_dir), events);
    assert_eq!(distinct_notifications(&notifications), told);
}

/// How many notifications there are, when none is there twice.
fn distinct_notifications(file: &Path) -> u64 {
    let text = fs::read_to_string(file).expect("is there");
    let mut told = BTreeSet::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("is JSON");
        let place = (line["seq"].as_u64(), line["n"].as_u64());
        assert!(told.insert(place), "twice: {line}");
    }
    told.len() as u64
}
