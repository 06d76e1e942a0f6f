//! The main job over real components: `millrace demo --nats URL --postgres URL` comes to what the
//! embedded demo comes to, and touches nothing of anybody else.

mod support;

use millrace_services::{Nats, Postgres, required};
use serde_json::{Map, Value};
use support::process::{Finished, millrace};
use tokio_postgres::Client;

const DEMO: [&str; 5] = ["demo", "--once", "--json", "--fraud-payments", "0"];

/// Fields that tell of the run, not of the payments.
const OF_THE_RUN: [&str; 7] = [
    "elapsed_s",
    "payments_per_s",
    "request_latency_ms",
    "read_side_caught_up_after_s",
    "peak_memory_mib",
    "grpc",
    "graphql",
];

/// What the demo says of the payments.
fn told(finished: &Finished) -> Map<String, Value> {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let shown: Value = serde_json::from_str(&finished.stdout).expect("prints one JSON object");
    let Value::Object(mut shown) = shown else { panic!("{shown} is no object") };
    for field in OF_THE_RUN {
        assert!(shown.remove(field).is_some(), "{field} is told");
    }
    shown
}

async fn connect(postgres: &Postgres) -> Client {
    let connected = tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("connects");
    tokio::spawn(connection);
    client
}

async fn count(client: &Client, table: &str) -> i64 {
    let row = client.query_one(&format!("SELECT count(*) FROM millrace.{table}"), &[]).await;
    row.expect("the table is there").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_comes_to_the_same_over_nats_and_postgresql() {
    let (Some(nats), Some(postgres)) = (required(Nats::start()), required(Postgres::start()))
    else {
        return;
    };
    let (nats, url) = (nats.url(), postgres.url());
    let over_components =
        || millrace(DEMO.iter().copied().chain(["--nats", &nats, "--postgres", &url]));
    let client = connect(&postgres).await;

    // A schema that somebody else made is in the way, and stays.
    let theirs = "CREATE SCHEMA millrace; CREATE TABLE millrace.kept (number int);
                  INSERT INTO millrace.kept VALUES (7)";
    client.batch_execute(theirs).await.expect("is made");
    let refused = over_components();
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("a schema millrace that no demo made"), "{refused:?}");
    assert_eq!(count(&client, "kept").await, 1);
    client.batch_execute("DROP SCHEMA millrace CASCADE").await.expect("is removed");

    let embedded = told(&millrace(DEMO));
    assert!(embedded.contains_key("conserved") && embedded.contains_key("rejected"));
    assert_eq!(told(&over_components()), embedded);
    let payments = count(&client, "payments").await;
    let events = embedded["events"].as_i64().expect("a number");
    assert!(payments > 0 && payments < events, "{payments} of {events} events");

    // The next one takes the place of the one before it.
    assert_eq!(told(&over_components()), embedded);
    assert_eq!(count(&client, "payments").await, payments);
}
