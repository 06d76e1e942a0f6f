//! The sinks of the real binary: one has an event that it can't process, an operator looks at it
//! and rebuilds a read side, and monitoring reads the metrics.

mod support;

use std::{collections::BTreeSet, fs, path::Path};

use millrace_services::{Postgres, required};
use serde_json::{Value, json};
use support::{
    config::Settings,
    data_dir::{count_lines, verified_journal},
    eventually, graphql, metrics,
    payments::{open, pay, submit},
    process::{Finished, millrace},
    server::Server,
    text,
};
use tempfile::TempDir;
use toml::{Table, Value as Toml};

/// Fails for one amount only, which no check at start can know.
const TEMPLATE: &str =
    "{% if amount == \"6.66\" %}{{ amount.odd.odder }}{% endif %}{{ payment }}\n";
const POISON_MINOR: u64 = 666;
const PAYMENTS: u64 = 50;
/// Two accounts and the payments.
const EVENTS: u64 = 2 + PAYMENTS;

struct Bank {
    server: Server,
    scratch: TempDir,
}

/// [`PAYMENTS`] payments, one of which the notifications can't tell of.
async fn bank() -> Bank {
    bank_with(Settings::unlimited()).await
}

async fn bank_with(settings: Settings) -> Bank {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let rule = Table::from_iter([
        ("on".to_owned(), Toml::from("settled")),
        ("template".to_owned(), Toml::from(TEMPLATE)),
    ]);
    // As lines, payments between accounts without an owner are told, too.
    let settings = settings
        .with("sinks.notify.transport", "file")
        .with("sinks.notify.rules", vec![Toml::from(rule)]);
    let config = settings.write(scratch.path());
    let server = Server::start(&config, &scratch.path().join("data"));
    let connection = server.connect().await;
    open(&connection, [1, 2]).await;
    let payments = (0..PAYMENTS).map(|number| {
        let minor = if number == 20 { POISON_MINOR } else { 1_000 + number };
        pay(100 + u128::from(number), 1, 2, minor)
    });
    submit(&connection, payments.collect()).await.expect("is taken");
    Bank { server, scratch }
}

impl Bank {
    fn data_dir(&self) -> std::path::PathBuf {
        self.scratch.path().join("data")
    }

    /// Runs `millrace sinks …` on its data as ann, who has her reason.
    fn order(&self, args: &[&str]) -> Finished {
        let url = self.server.url();
        let signed = ["--target", &url, "--actor", "ann", "--why", "told by telephone"];
        self.sinks(&[args, &signed].concat())
    }

    /// What the audit log says that an actor did, newest first: the acts of its entries.
    fn acts_of(&self, actor: &str) -> Vec<Value> {
        let query = format!(
            "{{ auditEntries(filter: {{ actor: \"{actor}\" }}, first: 50) {{
                nodes {{ actor why kind line paymentId }} }} }}"
        );
        let found = graphql::ask(self.server.graphql, &query);
        let nodes = found["auditEntries"]["nodes"].as_array().expect("a list").clone();
        let act = |node: &Value| -> Value {
            assert_eq!((&node["actor"], &node["kind"]), (&actor.into(), &"ACT".into()), "{node}");
            let line = node["line"].as_str().expect("text");
            serde_json::from_str::<Value>(line).expect("is JSON")["act"].clone()
        };
        nodes.iter().map(act).collect()
    }

    /// Runs `millrace sinks …` on its data.
    fn sinks(&self, args: &[&str]) -> Finished {
        sinks(&self.data_dir(), args)
    }

    fn metrics(&self) -> std::net::SocketAddr {
        self.server.metrics.expect("metrics are on")
    }

    fn status(&self) -> Value {
        serde_json::from_str(&graphql::get(self.metrics(), "/status")).expect("is JSON")
    }

    /// Until all sinks have processed so many events. Whoever paid has an answer a moment before the
    /// event is in the feed.
    fn wait_for_sinks(&self, events: u64) -> u64 {
        eventually("all sinks have caught up", || {
            let status = self.status();
            let durable = status["engine"]["durable_seq"].as_u64().expect("a number");
            let sinks = status["sinks"].as_array().expect("a list");
            let behind = sinks.iter().any(|sink| sink["applied_seq"].as_u64() != Some(durable));
            (!behind && durable >= events).then_some(durable)
        })
    }
}

fn sinks(data_dir: &Path, args: &[&str]) -> Finished {
    millrace(["sinks"].iter().chain(args).chain(&["--data-dir", text(data_dir)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_a_sink_cannot_process_is_put_aside_and_the_rest_flows_on() {
    let bank = bank().await;
    let last = bank.wait_for_sinks(EVENTS);
    let listed = bank.sinks(&["quarantine", "list", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let entries: Value = serde_json::from_str(&listed.stdout).expect("is JSON");
    assert_eq!(entries.as_array().map(Vec::len), Some(1), "{entries}");
    let entry = &entries[0];
    let told = [&entry["sink"], &entry["kind"], &entry["tries"]].map(ToString::to_string);
    assert_eq!(told, ["\"notify\"", "\"payment\"", "5"]);
    let seq = entry["seq"].to_string();
    assert!(entry["event_text"].as_str().is_some_and(|it| it.contains("Amount(666)")), "{entry}");

    let shown = bank.sinks(&["quarantine", "show", "notify", &seq]);
    assert!(shown.stdout.contains("reason"), "{shown:?}");
    let table = bank.sinks(&["quarantine", "list"]);
    assert!(table.stdout.lines().count() == 2 && table.stdout.contains(&seq), "{table:?}");

    // Every other sink has all events, and this one all but one.
    assert_eq!(graphql::applied_seq(bank.server.graphql), last);
    let address = bank.metrics().to_string();
    let status = bank.sinks(&["status", "--metrics", &address]);
    assert_eq!(status.code, Some(0), "{status:?}");
    for sink in ["audit", "notify", "graphql", "reviews"] {
        assert!(status.stdout.contains(sink), "{status:?}");
    }
    let notify = |status: &Value| {
        let sinks = status["sinks"].as_array().expect("a list");
        sinks.iter().find(|sink| sink["sink"] == "notify").expect("is there").clone()
    };
    assert_eq!(notify(&bank.status())["quarantined"], 1);
    assert_eq!(notify(&bank.status())["state"], "following");

    let told = eventually("nothing is dropped that is not journaled", || {
        forge(&bank, &seq).then(|| bank.sinks(&["quarantine", "show", "notify", &seq]))
    });
    assert!(told.stdout.contains("names no act of the journal"), "{told:?}");
    let unsigned = bank.sinks(&["quarantine", "drop", "notify", &seq]);
    assert_eq!(unsigned.code, Some(2), "{unsigned:?}");
    assert!(unsigned.stderr.contains("--why"), "{unsigned:?}");

    // It can't be told now either; that somebody tried is journaled.
    let replayed = bank.order(&["quarantine", "replay", "notify", &seq]);
    assert_eq!(replayed.code, Some(1), "{replayed:?}");
    assert!(replayed.stdout.contains("not done: "), "{replayed:?}");
    let dropped = bank.order(&["quarantine", "drop", "notify", &seq]);
    assert_eq!(dropped.stdout.trim(), format!("notify {seq}: dropped"), "{dropped:?}");
    let again = bank.order(&["quarantine", "drop", "notify", &seq]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("is not in the quarantine of notify"), "{again:?}");
    eventually("nothing is in quarantine", || {
        (notify(&bank.status())["quarantined"] == 0).then_some(())
    });
    let event = json!({
        "sink": "notify",
        "event": entry["seq"],
        "payment": entry["subject"],
    });
    let signed = |act: Value| json!({ "actor": "ann", "why": "told by telephone", "act": act });
    bank.wait_for_sinks(last + 2);
    let acts = [signed(json!({ "drop_event": event })), signed(json!({ "replay_event": event }))];
    assert_eq!(bank.acts_of("ann"), acts, "who, why and what");
    let data_dir = bank.data_dir();
    let found = millrace(["audit", "search", "--actor", "ann", "--data-dir", text(&data_dir)]);
    for said in ["DROP_EVENT", "REPLAY_EVENT", "sink notify", "by ann", "because \"told by"] {
        assert!(found.stdout.contains(said), "no {said:?} in {found:?}");
    }
    let payment = entry["subject"].as_str().expect("a payment");
    let about =
        format!("{{ payment(id: \"{payment}\") {{ auditEntries {{ nodes {{ kind }} }} }} }}");
    let about = graphql::ask(bank.server.graphql, &about)["payment"]["auditEntries"].clone();
    let kinds = json!({ "nodes": [{ "kind": "ACT" }, { "kind": "ACT" }, { "kind": "PAYMENT" }] });
    assert_eq!(about, kinds, "whoever looks for the payment finds what was done about it");

    let Bank { server, scratch } = bank;
    let url = server.url();
    server.stop();
    let empty = sinks(&scratch.path().join("data"), &["quarantine", "list"]);
    assert_eq!(empty.stdout.trim(), "nothing is in quarantine");
    let entry = scratch.path().join("data/quarantine/notify").join(format!("{seq:0>20}.json"));
    let known = entries[0].as_object().expect("an object").iter();
    let known = known.filter(|(name, _)| *name != "event_text");
    let known: serde_json::Map<String, Value> =
        known.map(|(name, value)| (name.clone(), value.clone())).collect();
    fs::write(&entry, Value::from(known).to_string()).expect("is written");
    let args = ["quarantine", "drop", "notify", &seq, "--why", "why", "--target", &url];
    let stopped = sinks(&scratch.path().join("data"), &args);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    assert!(stopped.stderr.contains("nothing was done, because"), "{stopped:?}");
    assert!(entry.exists(), "nobody is there to journal it, so it stays");
}

/// Asks the sink to drop the event behind the front door's back. Returns whether it has answered.
fn forge(bank: &Bank, seq: &str) -> bool {
    let entry = bank.data_dir().join("quarantine/notify").join(format!("{seq:0>20}.json"));
    let request = entry.with_extension("drop");
    let told = fs::read_to_string(&entry).expect("is there").contains("names no act");
    if !told && !request.exists() {
        fs::write(&request, "").expect("is written");
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_happened() {
    let bank = bank().await;
    let last = bank.wait_for_sinks(EVENTS) as f64;
    let scrape = graphql::get(bank.metrics(), "/metrics");
    let samples = metrics::samples(&scrape);
    for (name, value) in [
        ("millrace_engine_durable_seq", last),
        ("millrace_engine_payments_total{status=\"settled\"}", 50.0),
        ("millrace_engine_payments_total{status=\"rejected\"}", 0.0),
        ("millrace_risk_verdicts_total{decision=\"approve\"}", 50.0),
        ("millrace_engine_queue_weight", 0.0),
        ("millrace_sink_applied_seq{sink=\"graphql\"}", last),
        ("millrace_sink_lag_events{sink=\"notify\"}", 0.0),
        ("millrace_sink_age_seconds{sink=\"audit\"}", 0.0),
        ("millrace_sink_events_total{sink=\"reviews\"}", last),
        ("millrace_sink_quarantined_events{sink=\"notify\"}", 1.0),
        ("millrace_sink_quarantined_total{sink=\"notify\"}", 1.0),
        ("millrace_sink_quarantined_events{sink=\"graphql\"}", 0.0),
        ("millrace_sink_errors_total{sink=\"notify\",kind=\"event\"}", 5.0),
        ("millrace_sink_stopped{sink=\"notify\"}", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in {scrape}");
    }
    assert!(samples["millrace_process_resident_memory_bytes"] > 1e6);
    assert!(samples["millrace_engine_batches_total"] >= 2.0);
    let named = |prefix| -> BTreeSet<&str> {
        let lines = scrape.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.filter_map(|line| line.split(' ').next()).collect()
    };
    assert_eq!(named("# HELP "), named("# TYPE "), "every metric says what it is");
    bank.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_side_is_rebuilt_from_the_journal() {
    let bank = bank().await;
    bank.wait_for_sinks(EVENTS);
    let data_dir = bank.data_dir();
    let account = uuid::Uuid::from_u128(1);
    let before = graphql::payments_of(bank.server.graphql, account);
    assert_eq!(before.len(), 50);
    let refused = bank.order(&["rebuild", "reviews"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("millrace runs and keeps reviews up to date"), "{refused:?}");
    let config = bank.scratch.path().join("millrace.toml");
    let Bank { server, scratch } = bank;
    server.stop();

    // A damaged read model: the rebuild does not look at what was there.
    fs::remove_dir_all(data_dir.join("graphql")).expect("is there");
    fs::create_dir_all(data_dir.join("graphql/store")).expect("is made");
    fs::write(data_dir.join("graphql/store/rubbish"), "rubbish").expect("is written");
    let events = verified_journal(&data_dir)["events"].clone();
    let audit = data_dir.join("audit/audit.jsonl");
    let lines = (count_lines(&audit), fs::read(&audit).expect("is there"));
    for sink in ["graphql", "reviews", "audit"] {
        let args = ["rebuild", sink, "--actor", "ann", "--why", "the disk was full"];
        let rebuilt = sinks(&data_dir, &args);
        assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
        let said = format!("{sink} is rebuilt: {events} events");
        assert!(rebuilt.stdout.contains(&said), "{rebuilt:?}");
    }
    let again = (count_lines(&audit), fs::read(&audit).expect("is there"));
    assert_eq!(lines, again, "the audit log has the same lines");
    let mut names: Vec<_> = fs::read_dir(&data_dir)
        .expect("lists")
        .map(|it| it.expect("lists").file_name().into_string().expect("is UTF-8"))
        .collect();
    names.sort();
    assert!(names.iter().any(|name| name.starts_with("audit-until-")), "{names:?}");
    assert!(!names.iter().any(|it| it.ends_with(".new") || it.ends_with(".old")), "{names:?}");

    // Who rebuilt them, and why, is journaled before anything else is.
    let server = Server::start(&config, &data_dir);
    let events = events.as_u64().expect("a number");
    graphql::wait_for(server.graphql, events + 3);
    assert_eq!(graphql::payments_of(server.graphql, account), before);
    let bank = Bank { server, scratch };
    bank.wait_for_sinks(events + 3);
    let acts = bank.acts_of("ann");
    let sinks: Vec<_> = acts.iter().map(|act| &act["act"]["rebuild_sink"]["sink"]).collect();
    assert_eq!(sinks, ["audit", "reviews", "graphql"], "{acts:?}");
    for act in &acts {
        assert_eq!(act["why"], "the disk was full");
        assert!(act["act"]["rebuild_sink"]["done_at_ns"].is_u64(), "{act}");
    }
    assert_eq!(fs::read_dir(data_dir.join("pending-acts")).expect("is there").count(), 0);
    bank.server.stop();
}

/// Queries are answered all the time, from the new model at the end; the next start moves it to its
/// place.
#[tokio::test(flavor = "multi_thread")]
async fn the_read_model_is_rebuilt_while_it_answers() {
    let bank = bank().await;
    bank.wait_for_sinks(EVENTS);
    let data_dir = bank.data_dir();
    let account = uuid::Uuid::from_u128(1);
    let before = graphql::payments_of(bank.server.graphql, account);
    fs::write(data_dir.join("graphql.rebuild"), "3").expect("is written");
    eventually("it is refused: no act of the journal orders it", || {
        let told = fs::read_to_string(data_dir.join("graphql.rebuild.json")).ok()?;
        told.contains("no act of the journal orders it").then_some(())
    });
    let rebuilt = bank.order(&["rebuild", "graphql"]);
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert!(rebuilt.stdout.contains("graphql is rebuilt and answers"), "{rebuilt:?}");
    assert!(data_dir.join("graphql.new/WHOLE").exists(), "the new one is used where it was built");
    assert_eq!(graphql::payments_of(bank.server.graphql, account), before);

    // It goes on from there.
    let connection = bank.server.connect().await;
    submit(&connection, vec![pay(900, 1, 2, 77)]).await.expect("is taken");
    let last = bank.wait_for_sinks(EVENTS + 2);
    graphql::wait_for(bank.server.graphql, last);
    let ordered = json!({ "rebuild_sink": { "sink": "graphql" } });
    assert_eq!(bank.acts_of("ann").iter().map(|act| &act["act"]).collect::<Vec<_>>(), [&ordered]);
    let after = graphql::payments_of(bank.server.graphql, account);
    assert_eq!(after.len(), before.len() + 1);
    let again = bank.order(&["rebuild", "graphql"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("it was rebuilt since the start"), "{again:?}");

    let config = bank.scratch.path().join("millrace.toml");
    let Bank { server, scratch } = bank;
    server.stop();
    let server = Server::start(&config, &data_dir);
    assert!(!data_dir.join("graphql.new").exists(), "it is in its place");
    assert_eq!(graphql::payments_of(server.graphql, account), after);
    server.kill();
    drop(scratch);
}

/// The same in PostgreSQL, where what was damaged is whole again at once: while millrace runs, and
/// while it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn the_read_model_in_postgres_is_rebuilt_running_and_stopped() {
    let Some(database) = required(Postgres::start()) else { return };
    let bank = bank_with(Settings::unlimited().with("postgres.url", database.url())).await;
    let last = bank.wait_for_sinks(EVENTS);
    graphql::wait_for(bank.server.graphql, last);
    let (client, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    let account = uuid::Uuid::from_u128(1);
    let before = graphql::payments_of(bank.server.graphql, account);
    let damage = "DELETE FROM millrace.payments WHERE event_seq > 40;
                  UPDATE millrace.accounts SET debits_posted = 0";
    client.batch_execute(damage).await.expect("is there");
    let damaged = graphql::payments_of(bank.server.graphql, account);
    assert!(damaged.len() < before.len(), "{damaged:?}");

    let config = bank.scratch.path().join("millrace.toml");
    let config = text(&config);
    let rebuilt = bank.order(&["rebuild", "graphql", "--config", config]);
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert!(rebuilt.stdout.contains("graphql is rebuilt and answers"), "{rebuilt:?}");
    assert!(!rebuilt.stdout.contains("next start"), "{rebuilt:?}");
    assert_eq!(graphql::payments_of(bank.server.graphql, account), before);
    // It goes on from there, and can be rebuilt again.
    let grpc = bank.server.connect().await;
    submit(&grpc, vec![pay(900, 1, 2, 77)]).await.expect("is taken");
    let last = bank.wait_for_sinks(last + 2);
    graphql::wait_for(bank.server.graphql, last);
    let before = graphql::payments_of(bank.server.graphql, account);
    let again = bank.order(&["rebuild", "graphql", "--config", config]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(graphql::payments_of(bank.server.graphql, account), before);
    let last = bank.wait_for_sinks(last + 1);

    let data_dir = bank.data_dir();
    let Bank { server, scratch } = bank;
    server.stop();
    client.batch_execute(damage).await.expect("is there");
    let args = ["rebuild", "graphql", "--config", config, "--actor", "ann", "--why", "damage"];
    let rebuilt = sinks(&data_dir, &args);
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert!(rebuilt.stdout.contains(&format!("graphql is rebuilt: {last} events")), "{rebuilt:?}");
    let server = Server::start(Path::new(config), &data_dir);
    graphql::wait_for(server.graphql, last + 1);
    assert_eq!(graphql::payments_of(server.graphql, account), before);
    server.stop();
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'millrace%'";
    assert_eq!(client.query_one(left, &[]).await.expect("answers").get::<_, i64>(0), 1);
    drop(scratch);
}

#[test]
fn whoever_asks_for_what_is_not_there_is_told_what_to_do() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    for (args, said) in [
        (&["quarantine", "list"][..], "name its data directory with --data-dir"),
        (&["rebuild", "graphql", "--why", "why"], "name its data directory with --data-dir"),
        (&["status", "--metrics", "127.0.0.1:1"], "Name another address with --metrics"),
    ] {
        let finished = sinks(&scratch.path().join("none"), args);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(said), "{finished:?}");
    }
}
