//! Many connections, on the real binary: what the front door lets in, and what goes on beside it.

mod support;

use std::{
    io::Read as _,
    net::{SocketAddr, TcpStream},
};

use millrace_client::Connection;
use support::{
    WAIT_MAX,
    bank::{ALICE, BOB, Bank},
    config::Settings,
    eventually,
    metrics::scrape,
    payments::{pay, submit, word},
};

const OPEN: &str = "millrace_ingest_connections";
const REFUSED: &str = "millrace_ingest_connections_refused_total";

fn shown(metrics: SocketAddr, name: &str) -> f64 {
    scrape(metrics)[name]
}

async fn settles(connection: &Connection, id: u128) {
    let outcomes = submit(connection, vec![pay(id, ALICE, BOB, 100)]).await.expect("is taken");
    assert_eq!(outcomes.iter().map(word).collect::<Vec<_>>(), ["SETTLED"], "{id}");
}

/// Guards against a crowd of idle connections that uses up the open files: the journal could not go on
/// to its next segment, and the ledger stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crowd_is_kept_out_and_payments_go_on() {
    let settings = Settings::unlimited().with("ingest.connections_max", 3);
    let bank = Bank::start_with(&settings, [ALICE, BOB]).await;
    let server = &bank.server;
    let metrics = server.metrics.expect("metrics are on");
    let mut others = Vec::new();
    for id in [1, 2] {
        let other = server.connect().await;
        // What was answered was let in.
        settles(&other, id).await;
        others.push(other);
    }
    assert_eq!((shown(metrics, OPEN), shown(metrics, REFUSED)), (3.0, 0.0));

    for at in 0..20 {
        let mut surplus = TcpStream::connect(server.grpc).expect("it listens");
        surplus.set_read_timeout(Some(WAIT_MAX)).expect("is a socket");
        // The end, or a reset. One that was let in hears the server's settings.
        match surplus.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            let_in => panic!("connection {at} was let in: {let_in:?}"),
        }
    }
    eventually("they are counted", || (shown(metrics, REFUSED) == 20.0).then_some(()));
    assert_eq!(shown(metrics, OPEN), 3.0);
    settles(&bank.connection, 3).await;

    others.pop();
    eventually("a place is free", || (shown(metrics, OPEN) == 2.0).then_some(()));
    settles(&server.connect().await, 4).await;
    bank.server.stop();
}
