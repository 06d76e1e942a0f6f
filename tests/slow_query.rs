//! A query that PostgreSQL works on for too long is ended there, with a code that clients can tell, and
//! nobody else notices.

mod support;

use millrace_services::{Postgres, required};
use serde_json::Value;
use support::{
    config::Settings,
    graphql::{ask, error_of, wait_for},
    payments::{open, pay, submit, word},
    server::Server,
};

const ALICE: u128 = 0xa11ce;
const BOB: u128 = 0xb0b;
const PAYMENTS: &str = "{ payments(first: 10) { nodes { id } } }";

fn payments(answer: &Value) -> usize {
    answer["payments"]["nodes"].as_array().expect("a list").len()
}

/// Guards against a statement that the server works on for ever: it would hold a connection of the
/// pool, and a few of them all of it. A table that somebody else has locked is as slow as can be.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_ends_a_statement_that_takes_too_long() {
    let Some(postgres) = required(Postgres::start()) else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    // The limit of the answer as a whole is far away: only the statement's own can end it. There is
    // one connection, and it would be missed.
    let settings = Settings::unlimited()
        .with("postgres.url", postgres.url())
        .with("postgres.statement_timeout_ms", 3_000)
        .with("postgres.pool_max", 1)
        .with("postgres.pool_wait_ms", 60_000)
        .with("sinks.graphql.limits.answer_ms", 60_000);
    let server = Server::start(&settings.write(scratch.path()), &scratch.path().join("data"));
    let connection = server.connect().await;
    open(&connection, [ALICE, BOB]).await;
    let paid = submit(&connection, vec![pay(1, ALICE, BOB, 5)]).await.expect("is taken");
    assert_eq!(word(&paid[0]), "SETTLED");
    wait_for(server.graphql, 3);
    assert_eq!(payments(&ask(server.graphql, PAYMENTS)), 1);

    let connected = tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await;
    let (client, driven) = connected.expect("connects");
    tokio::spawn(driven);
    let lock = "BEGIN; LOCK TABLE millrace.payments IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.expect("is locked");
    for _ in 0..2 {
        let (code, said) = error_of(server.graphql, PAYMENTS);
        assert_eq!(code, "QUERY_TOO_SLOW", "{said}");
        assert!(said.contains("3000 ms"), "{said}");
    }
    // Everything else goes on: other queries, and payments.
    let accounts = ask(server.graphql, "{ accounts(first: 10) { nodes { id } } }");
    assert_eq!(accounts["accounts"]["nodes"].as_array().map(Vec::len), Some(2));
    let paid = submit(&connection, vec![pay(2, ALICE, BOB, 5)]).await.expect("is taken");
    assert_eq!(word(&paid[0]), "SETTLED");

    client.batch_execute("ROLLBACK").await.expect("is unlocked");
    wait_for(server.graphql, 4);
    assert_eq!(payments(&ask(server.graphql, PAYMENTS)), 2);
    server.stop();
}
