//! What a server shows at `/metrics` and `/status`.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use super::{eventually, graphql::get, server::Server};

/// The samples of a scrape: name with labels, and value.
pub(crate) fn samples(scrape: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        let value = value.parse().expect("a number");
        assert_eq!(samples.insert(name.to_owned(), value), None, "{name} comes twice");
    }
    samples
}

pub(crate) fn scrape(metrics: SocketAddr) -> BTreeMap<String, f64> {
    samples(&get(metrics, "/metrics"))
}

pub(crate) fn status(metrics: SocketAddr) -> Value {
    serde_json::from_str(&get(metrics, "/status")).expect("is JSON")
}

/// How one reader of events gets on.
pub(crate) fn reader(metrics: SocketAddr, name: &str) -> Value {
    reader_in(&status(metrics), name).clone()
}

fn reader_in<'a>(status: &'a Value, name: &str) -> &'a Value {
    let readers = status["sinks"].as_array().expect("a list");
    readers.iter().find(|reader| reader["sink"] == name).expect(name)
}

/// Waits until the audit log has every event.
pub(crate) fn wait_for_audit(server: &Server) {
    let metrics = server.metrics.expect("metrics are on");
    eventually("the audit log has all events", || {
        let status = status(metrics);
        let (durable, audit) = (&status["engine"]["durable_seq"], reader_in(&status, "audit"));
        (audit["state"] == "following" && audit["applied_seq"] == *durable).then_some(())
    });
}

/// Whether every reader of events has processed so many, and the server has so many.
pub(crate) fn have_caught_up(metrics: SocketAddr, events: u64) -> bool {
    let status = status(metrics);
    let durable = status["engine"]["durable_seq"].as_u64().expect("the engine is here");
    let mut readers = status["sinks"].as_array().expect("a list").iter();
    durable >= events && readers.all(|reader| reader["applied_seq"].as_u64() == Some(durable))
}
