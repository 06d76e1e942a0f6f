//! `millrace backup` and `restore` with the real binary: a server is backed up while it takes
//! payments, dies, and another one goes on from the backup.

mod support;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use millrace_client::Connection;
use millrace_protos::v1::GetAccountsRequest;
use serde_json::Value;
use support::{
    config::Settings,
    data_dir::{check_audit_log, verified_journal, wait_for_sinks},
    payments::{id_bytes, open, pay, submit, word},
    process::{Finished, millrace},
    server::Server,
    text, within,
};
use tokio::runtime::Runtime;

const PAYER: u128 = 0xacc_0001;
const PAYEE: u128 = 0xacc_0002;
/// Events before the first payment: the accounts.
const ACCOUNTS: u64 = 2;

fn back_up(data_dir: &Path, to: &Path) -> Value {
    json_of(&millrace(["backup", "--json", "--data-dir", text(data_dir), "--to", text(to)]))
}

fn bring_back(from: &Path, to: &Path, args: &[&str]) -> Finished {
    let start = ["restore", "--from", text(from), "--to", text(to)];
    millrace(start.into_iter().chain(args.iter().copied()))
}

#[track_caller]
fn json_of(finished: &Finished) -> Value {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("is JSON")
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{key} of {object} is a number"))
}

/// Pays one minor unit with each of these ids, ten a request.
async fn pay_all(connection: &Connection, ids: std::ops::RangeInclusive<u64>, told: &AtomicU64) {
    let ids: Vec<u64> = ids.collect();
    for some in ids.chunks(10) {
        let payments = some.iter().map(|id| pay(u128::from(*id), PAYER, PAYEE, 1)).collect();
        for outcome in submit(connection, payments).await.expect("is taken") {
            assert_eq!(word(&outcome), "SETTLED");
        }
        told.store(*some.last().expect("some"), Ordering::Relaxed);
    }
}

/// What the payee was paid.
async fn received(connection: &Connection) -> u64 {
    let request = GetAccountsRequest { account_ids: vec![id_bytes(PAYEE)] };
    let response = within("accounts", connection.accounts().get_accounts(request)).await;
    let accounts = response.expect("is taken").into_inner().accounts;
    accounts[0].balances.as_ref().expect("has balances").credits_posted
}

#[test]
fn a_backup_of_a_running_server_goes_on_after_it_died() {
    const PAYMENTS: u64 = 12_000;
    /// So many come after all backups, however long those take.
    const LATE: u64 = 100;
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let at = |name| scratch.path().join(name);
    let config = Settings::unlimited().with("engine.segment_mib", 1).write(scratch.path());
    let runtime = Runtime::new().expect("runs");
    let server = Server::start(&config, &at("data"));
    let connection = runtime.block_on(server.connect());
    runtime.block_on(open(&connection, [PAYER, PAYEE]));
    let told = AtomicU64::new(0);
    runtime.block_on(pay_all(&connection, 1..=2_000, &told));
    let mut backups = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(pay_all(&connection, 2_001..=PAYMENTS - LATE, &told)));
        while told.load(Ordering::Relaxed) < PAYMENTS / 2 || backups.len() < 3 {
            let acknowledged = told.load(Ordering::Relaxed);
            let report = back_up(&at("data"), &at("backup"));
            let last = number(&report, "last_event");
            assert!(last >= ACCOUNTS + acknowledged, "all that was told of: {report}");
            backups.push(report);
        }
    });
    runtime.block_on(pay_all(&connection, PAYMENTS - LATE + 1..=PAYMENTS, &told));
    let backup = backups.last().expect("several");
    assert!(number(backup, "bytes_present") > 0 || number(backup, "segments") == 1, "{backup}");
    let all = verified_journal(&at("data"));
    server.kill();

    let restored = json_of(&bring_back(&at("backup"), &at("restored"), &["--json"]));
    let last = number(backup, "last_event");
    assert_eq!(number(&restored, "last_event"), last);
    assert_eq!((&restored["head"], &restored["cut_from"]), (&backup["head"], &Value::Null));
    let verified = verified_journal(&at("restored"));
    for key in ["head", "state_hash", "events", "segments"] {
        assert_eq!(verified[key], restored[key], "{key}");
    }
    assert_ne!(verified["head"], all["head"], "payments came after the backup");
    let server = Server::start(&config, &at("restored"));
    let connection = runtime.block_on(server.connect());
    assert_eq!(runtime.block_on(received(&connection)), last - ACCOUNTS);
    // Upstreams send all of it again: what the backup has is not paid twice.
    runtime.block_on(pay_all(&connection, 1..=PAYMENTS, &told));
    assert_eq!(runtime.block_on(received(&connection)), PAYMENTS);
    let events = wait_for_sinks(&server, &at("restored"));
    assert_eq!(events, ACCOUNTS + PAYMENTS);
    server.stop();
    assert_eq!(check_audit_log(&at("restored")), events);
    assert_eq!(verified_journal(&at("restored"))["state_hash"], all["state_hash"]);

    // The same backup, brought back to earlier points, by event and by time.
    let event = ACCOUNTS + 777;
    let args = ["--to-event", "779", "--json"];
    let cut = json_of(&bring_back(&at("backup"), &at("cut"), &args));
    assert_eq!((number(&cut, "last_event"), number(&cut, "cut_from")), (event, last));
    assert_eq!(verified_journal(&at("cut"))["state_hash"], cut["state_hash"]);
    let server = Server::start(&config, &at("cut"));
    let connection = runtime.block_on(server.connect());
    assert_eq!(runtime.block_on(received(&connection)), 777);
    server.stop();
    let time = cut["last_time"].as_str().expect("is text");
    let by_time = bring_back(&at("backup"), &at("by-time"), &["--to-time", time]);
    assert_eq!((by_time.code, by_time.stderr.as_str()), (Some(0), ""), "{by_time:?}");
    for part in ["events", "state  ", "The journal was cut", "remove audit logs", "start it:"] {
        assert!(by_time.stdout.contains(part), "no {part:?} in {}", by_time.stdout);
    }
    let events = number(&verified_journal(&at("by-time")), "events");
    assert!((event..event + 10).contains(&events), "the whole batch: {events}");
}

#[test]
fn bad_input_is_told_in_a_sentence() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let at = |name| scratch.path().join(name);
    let (data, backup) = (at("data"), at("backup"));
    let demo = ["demo", "--once", "--json", "--fraud-payments", "0", "--data-dir", text(&data)];
    let demo = millrace(demo);
    assert_eq!(demo.code, Some(0), "{demo:?}");
    let table = millrace(["backup", "--data-dir", text(&data), "--to", text(&backup)]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""), "{table:?}");
    assert!(
        table.stdout.contains("bytes copied") && table.stdout.contains("is whole"),
        "{table:?}"
    );
    let last = verified_journal(&data)["events"].to_string();
    let export = ["journal", "export", "--to", "1", "--data-dir", text(&data)];
    let first = millrace(export).json()["time"].as_str().expect("is text").to_owned();
    let new = at("new");
    fs::create_dir(at("occupied")).expect("is made");
    fs::write(at("occupied/notes.txt"), "notes").expect("is written");
    let back_up_to = |to: &Path| millrace(["backup", "--data-dir", text(&data), "--to", text(to)]);
    let beyond = format!("its last event is {last}");
    for (finished, code, parts) in [
        (
            millrace(["backup", "--data-dir", text(&new), "--to", "x"]),
            1,
            ["there is no journal", "--data-dir"],
        ),
        (back_up_to(&at("occupied")), 1, ["it holds notes.txt", "Name an empty directory"]),
        (bring_back(&new, &at("other"), &[]), 1, ["there is no backup", "no such directory"]),
        (bring_back(&data, &new, &[]), 1, ["there is no backup", "backup.manifest"]),
        (bring_back(&backup, &data, &[]), 1, ["is not empty", "audit, graphql, notify"]),
        (bring_back(&backup, &at("occupied"), &[]), 1, ["is not empty", "notes.txt"]),
        (
            bring_back(&backup, &new, &["--to-event", "78000"]),
            1,
            ["event 78000 is beyond", &format!("{beyond}. Name that one or an earlier one")],
        ),
        (
            bring_back(&backup, &new, &["--to-time", "2001-01-01T00:00:00Z"]),
            1,
            [
                "--to-time 2001-01-01T00:00:00.000000000Z is before the first event",
                &format!("event 1 is of {first}. Name that time or a later one"),
            ],
        ),
        (
            bring_back(&backup, &new, &["--to-time", "2500-01-01T00:00:00Z"]),
            1,
            [
                "--to-time 2500-01-01T00:00:00.000000000Z is after the backup was taken, at 2",
                &format!("{beyond}. Name an earlier time"),
            ],
        ),
        (
            bring_back(&backup, &new, &["--to-time", "2001-01-01"]),
            1,
            ["--to-time 2001-01-01T23:59:59.999999999Z", &first],
        ),
        (bring_back(&backup, &new, &["--to-time", "noon"]), 2, ["RFC 3339", "no date"]),
        (bring_back(&backup, &new, &["--to-event", "0"]), 2, ["--to-event", "0 is not in 1.."]),
        (
            bring_back(&backup, &new, &["--to-event", "1", "--to-time", "2026-01-01T00:00:00Z"]),
            2,
            ["cannot be used with", "--to-time"],
        ),
    ] {
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
        for part in parts {
            assert!(finished.stderr.contains(part), "no {part:?} in: {}", finished.stderr);
        }
        let lines = finished.stderr.lines().count();
        assert!(code != 1 || lines == 1, "one sentence: {}", finished.stderr);
        assert!(!new.exists(), "nothing is left: {}", finished.stderr);
    }
    for command in ["backup", "restore"] {
        let help = millrace([command, "--help"]);
        assert!(help.stdout.contains("Examples:"), "{help:?}");
    }
}
