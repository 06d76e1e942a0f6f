//! A data directory, looked at from outside: what the journal holds and how far the sinks are.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, graphql, process::millrace, server::Server, text};

/// What the demo leaves: every kind of outcome; and acts of analysts, where payments of its second act
/// are asked for.
pub(crate) fn demonstrated(fraud_payments: &str) -> TempDir {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let demo = ["demo", "--once", "--json", "--fraud-payments", fraud_payments, "--data-dir"];
    millrace(demo.into_iter().chain([text(scratch.path())])).done();
    scratch
}

/// What `millrace journal verify` says of a journal that it finds right.
pub(crate) fn verified_journal(data_dir: &Path) -> Value {
    let journal = millrace(["journal", "verify", "--json", "--data-dir", text(data_dir)]).json();
    assert_eq!(journal["conserved"], true);
    journal
}

/// Waits until every sink has processed all that is durable. They run when nothing else wants to,
/// so beside other tests that takes its time. Returns the last event.
pub(crate) fn wait_for_sinks(server: &Server, data_dir: &Path) -> u64 {
    let events = verified_journal(data_dir)["events"].as_u64().expect("is a number");
    graphql::wait_for(server.graphql, events);
    eventually("the audit log has caught up", || (audit_entries(data_dir) >= events).then_some(()));
    events
}

/// A whole journal, and one line for each of its events in a whole audit log. Returns how many.
pub(crate) fn check_audit_log(data_dir: &Path) -> u64 {
    let journal = verified_journal(data_dir);
    assert_eq!(journal["torn_tail"], Value::Null);
    let audited = millrace(["audit", "verify", "--data-dir", text(data_dir)]).done();
    let lines = audited.lines().find_map(|line| line.trim().strip_prefix("lines"));
    assert_eq!(lines.map(str::trim), Some(journal["events"].to_string().as_str()));
    journal["events"].as_u64().expect("is a number")
}

/// Entries of the audit log: those of sealed segments, by their names, and the open one's lines.
pub(crate) fn audit_entries(data_dir: &Path) -> u64 {
    let audit = data_dir.join("audit");
    let names = fs::read_dir(audit.join("segments")).into_iter().flatten().flatten();
    let ends = names.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.get(17..33)?.parse::<u64>().ok().map(|last| last + 1)
    });
    let sealed = ends.max().unwrap_or(0);
    let open = audit.join("audit.jsonl");
    // Between two segments there is none for a moment.
    sealed + if open.is_file() { count_lines(&open) } else { 0 }
}

pub(crate) fn count_lines(file: &Path) -> u64 {
    let bytes = fs::read(file).expect("is there");
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
