//! `configs/compose.yaml` under Docker: the whole set is started as a user would, with Millrace over
//! it, and keeps what it holds through a restart and through an end of its containers.
//!
//! Needs Docker with Compose, the images, and the file's ports: `cargo test --test compose_docker -- --ignored`.

mod support;

use std::{fs, net::SocketAddr, path::Path, process::Command};

use millrace_client::Connection;
use millrace_protos::v1::{CreateAccountsRequest, NewAccount};
use serde_json::{Value, json};
use support::{
    config::Settings,
    eventually, graphql,
    payments::{account, id_bytes, pay, submit, word},
    repository,
    server::Server,
    text, within,
};

/// A project of the test's own, so that nobody's volumes are touched; they are removed at the end.
struct Compose;

impl Compose {
    fn up() -> Self {
        let compose = Self;
        compose.run(&["up", "--detach", "--wait"]);
        compose
    }

    fn run(&self, arguments: &[&str]) {
        let file = repository("configs/compose.yaml");
        let status = Command::new("docker")
            .args(["compose", "--project-name", "millrace-test", "--file", text(&file)])
            .args(arguments)
            .status()
            .expect("docker is installed");
        assert!(status.success(), "docker compose {arguments:?}");
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        self.run(&["down", "--volumes"]);
    }
}

const OWNER: u128 = 0x0192_0000_0000_7000_8000_0000_0000_00aa;

fn settings(scratch: &Path) -> std::path::PathBuf {
    let owners = scratch.join("owners.json");
    let owner = uuid::Uuid::from_u128(OWNER).to_string();
    let entry = json!({ "owners": { owner: { "email": "jana@example.com" } } });
    fs::write(&owners, entry.to_string()).expect("is written");
    Settings::unlimited()
        .with("stream.url", "nats://127.0.0.1:4222")
        .with("postgres.url", "postgres://millrace:millrace@127.0.0.1:5432/millrace")
        .with("sinks.notify.owners", text(&owners))
        .with("sinks.notify.email.enabled", true)
        .with("sinks.notify.email.host", "127.0.0.1")
        .with("sinks.notify.email.port", 1025)
        .with("sinks.notify.email.tls", "none")
        .write(scratch)
}

async fn open(connection: &Connection) {
    let owned = NewAccount { owner_id: id_bytes(OWNER), ..account(2, &[]) };
    let request =
        CreateAccountsRequest { accounts: vec![account(1, &[]), owned], ..Default::default() };
    within("accounts", connection.accounts().create_accounts(request)).await.expect("is taken");
}

async fn settle(connection: &Connection, id: u128) {
    let outcomes = submit(connection, vec![pay(id, 1, 2, 7)]).await.expect("is taken");
    assert_eq!(word(&outcomes[0]), "SETTLED");
}

/// Mails to the owner that the mail server shows at its API.
fn mails() -> usize {
    let address = SocketAddr::from(([127, 0, 0, 1], 8025));
    let shown: Value =
        serde_json::from_str(&graphql::get(address, "/api/v1/messages")).expect("is JSON");
    shown["messages"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker with Compose"]
async fn the_whole_set_runs_under_docker_and_keeps_what_it_holds() {
    let compose = Compose::up();
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (config, data) = (settings(scratch.path()), scratch.path().join("data"));
    let server = Server::start(&config, &data);
    let connection = server.connect().await;
    open(&connection).await;
    settle(&connection, 100).await;
    graphql::wait_for(server.graphql, 3);
    eventually("the owner has a mail", || (mails() == 1).then_some(()));

    // All three go away and come back under a server that goes on.
    compose.run(&["restart"]);
    settle(&connection, 101).await;
    graphql::wait_for(server.graphql, 4);
    server.stop();

    // Their containers are removed; what they hold is in the volumes.
    compose.run(&["down"]);
    compose.run(&["up", "--detach", "--wait"]);
    let server = Server::start(&config, &data);
    assert_eq!(graphql::applied_seq(server.graphql), 4);
    settle(&server.connect().await, 102).await;
    graphql::wait_for(server.graphql, 5);
    server.stop();
}
