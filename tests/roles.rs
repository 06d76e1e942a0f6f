//! Services in processes of their own: what each answers, and what it says of what it has not.

mod support;

use std::{net::SocketAddr, path::Path};

use millrace_client::Connection;
use millrace_protos::v1::GetAccountsRequest;
use millrace_services::{Nats, Postgres, free_port, required};
use serde_json::json;
use support::{
    config::Settings,
    eventually,
    graphql::{ask, error_of, wait_for},
    metrics::{reader, scrape},
    payments::{id_bytes, open, pay, submit, word},
    process::millrace,
    roles::RoleProcess,
    within,
};
use uuid::Uuid;

const ALICE: u128 = 1;
const BOB: u128 = 2;
/// Above the limit from which risk holds money for review, in `configs/dev.toml`.
const LARGE: u64 = 6_000_000;
const HELD: u128 = 11;

fn written(settings: &Settings, directory: &Path) -> std::path::PathBuf {
    std::fs::create_dir_all(directory).expect("is made");
    settings.write(directory)
}

async fn received(connection: &Connection, account: u128) -> u64 {
    let request = GetAccountsRequest { account_ids: vec![id_bytes(account)] };
    let answer = within("an account", connection.accounts().get_accounts(request)).await;
    let account = answer.expect("is answered").into_inner().accounts.remove(0);
    account.balances.expect("has balances").credits_posted
}

fn open_reviews(graphql: SocketAddr) -> Vec<String> {
    let found = ask(graphql, "{ reviews { nodes { paymentId } } }");
    let nodes = found["reviews"]["nodes"].as_array().expect("a list").iter();
    nodes.map(|node| node["paymentId"].as_str().expect("an id").to_owned()).collect()
}

/// Guards the deployment in which each service has a process: people ask and act where queries are
/// answered, in as many processes as there are, and the ledger is elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn queries_are_answered_and_reviews_resolved_in_processes_of_their_own() {
    let (Some(nats), Some(postgres)) = (required(Nats::start()), required(Postgres::start()))
    else {
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| scratch.path().join(name);
    let port = free_port();
    let settings = || {
        Settings::dev()
            .with("ingest.listen", format!("127.0.0.1:{port}"))
            .with("sinks.graphql.ingest_url", format!("http://127.0.0.1:{port}"))
            .with("stream.url", nats.url())
            .with("postgres.url", postgres.url())
    };
    let config = written(&settings(), scratch.path());
    let reading = written(&settings().with("sinks.graphql.read_only", true), &at("reading"));

    let ingest = RoleProcess::start(&config, "ingest,publish", &at("journal"));
    let url = format!("http://{}", ingest.grpc());
    let connection = within("the connection", Connection::open(&url)).await.expect("it listens");
    open(&connection, [ALICE, BOB]).await;
    let payments = vec![pay(10, ALICE, BOB, 700), pay(HELD, ALICE, BOB, LARGE)];
    let outcomes = submit(&connection, payments).await.expect("is taken");
    assert_eq!(outcomes.iter().map(word).collect::<Vec<_>>(), ["SETTLED", "HELD"]);

    // One process keeps the read model; another one that wants to is told what it can do.
    let keeper = RoleProcess::start(&config, "graphql", &at("reads"));
    wait_for(keeper.graphql(), 4);
    let refused = RoleProcess::launch(&config, "graphql", &at("third")).finish();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for said in ["another process keeps this read model", "sinks.graphql.read_only"] {
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    let readers =
        ["more", "still-more"].map(|dir| RoleProcess::start(&reading, "graphql", &at(dir)));

    let held = Uuid::from_u128(HELD).to_string();
    for process in readers.iter().chain([&keeper]) {
        wait_for(process.graphql(), 4);
        let query = format!("{{ payment(id: \"{held}\") {{ status amount {{ minor }} }} }}");
        let payment = json!({ "status": "HELD", "amount": { "minor": LARGE.to_string() } });
        assert_eq!(ask(process.graphql(), &query)["payment"], payment);
        eventually("each has a desk of its own", || {
            (open_reviews(process.graphql()) == [held.as_str()]).then_some(())
        });
        // The journal is nowhere near: the stream tells how far behind the sinks are.
        let metrics = process.metrics();
        // On a busy machine it may be unknown again for a moment.
        eventually("the lag is known, and told everywhere", || {
            let status = millrace(["sinks", "status", "--metrics", &metrics.to_string()]);
            assert_eq!(status.code, Some(0), "{status:?}");
            let lag = scrape(metrics).get("millrace_sink_lag_events{sink=\"reviews\"}").copied();
            let known = reader(metrics, "reviews")["lag_events"] == 0 && lag == Some(0.0);
            (known && !status.stdout.contains('?')).then_some(())
        });
    }

    // The audit log appears beside the one; the others say whom to ask.
    let entries = "{ auditEntries(filter: { actor: \"ann\" }, first: 9) { nodes { actor kind } } }";
    let (code, said) = error_of(keeper.graphql(), entries);
    assert!(code == "SERVICE_OFF" && said.contains("the role audit"), "{said}");
    let audit = RoleProcess::start(&config, "audit", &at("reads"));
    eventually("its entries are read beside it", || {
        let found = ask(keeper.graphql(), "{ auditEntries(first: 9) { nodes { index } } }");
        (found["auditEntries"]["nodes"].as_array().map(Vec::len) == Some(4)).then_some(())
    });
    let [reader, other] = &readers;
    let (code, said) = error_of(reader.graphql(), entries);
    assert!(code == "SERVICE_OFF" && said.contains("the role audit"), "{said}");
    for query in [
        "{ notifications { nodes { id } } }",
        "mutation { markNotificationRead(id: \"1\") { id } }",
        "mutation { resendNotification(id: \"1\", actor: \"ann\", why: \"asked\") { id } }",
    ] {
        let (code, said) = error_of(keeper.graphql(), query);
        assert!(code == "SERVICE_OFF" && said.contains("the roles notify and graphql"), "{said}");
    }

    // An act of a person goes through a process that only answers, to the engine, to everybody.
    let resolve = format!(
        "mutation {{ resolveReview(paymentId: \"{held}\", accept: true, actor: \"ann\", \
         why: \"told by telephone\") {{ accepted }} }}"
    );
    let done = ask(reader.graphql(), &resolve);
    assert_eq!(done["resolveReview"], json!({ "accepted": true }));
    assert_eq!(received(&connection, BOB).await, 700 + LARGE, "the ledger moved the money");
    for process in readers.iter().chain([&keeper]) {
        eventually("the review is over everywhere", || {
            open_reviews(process.graphql()).is_empty().then_some(())
        });
    }
    eventually("the audit log names her", || {
        let found = ask(keeper.graphql(), entries)["auditEntries"]["nodes"].clone();
        (found == json!([{ "actor": "ann", "kind": "ACT" }])).then_some(())
    });

    // Whoever only answers goes on while nobody keeps the read model.
    let query = "{ payments(first: 9) { edges { node { id } } } }";
    let payments = |process: &RoleProcess| {
        ask(process.graphql(), query)["payments"]["edges"].as_array().map(Vec::len)
    };
    eventually("two payments, and what was captured", || {
        readers.iter().all(|process| payments(process) == Some(3)).then_some(())
    });
    keeper.kill();
    assert_eq!(payments(other), Some(3));
    audit.stop();
    for process in readers {
        process.stop();
    }
    ingest.stop();
}
