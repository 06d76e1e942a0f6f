//! Notifications as lines, from events to messages: who is told what, and restarts at every torn byte.

mod common;

use std::{fs, path::Path};

use common::{CZK, History, bank};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::{EventSeq, RejectReason};
use millrace_sinks::{
    NotifyConfig, NotifySink, Sink as _,
    notify::{EventKind, FILE_NAME, RuleConfig, Transport},
};
use serde_json::Value;
use tempfile::TempDir;

fn in_file() -> NotifyConfig {
    NotifyConfig { transport: Transport::File, ..NotifyConfig::default() }
}

fn open(dir: &Path) -> NotifySink {
    NotifySink::open(dir, &in_file()).expect("opens")
}

fn written(batches: &[FeedBatch]) -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    open(dir.path()).apply(batches).expect("applies");
    let bytes = fs::read(dir.path().join(FILE_NAME)).expect("reads");
    (dir, bytes)
}

fn messages(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("valid JSON")).collect()
}

#[test]
fn each_event_tells_its_parties() {
    let (_dir, bytes) = written(&bank().batches(4));
    let told: Vec<_> = messages(&bytes)
        .iter()
        .map(|message| {
            let account = message["to"]["account"].as_str().expect("text").to_owned();
            format!(
                "{} {}/{} {} {} {}: {}",
                message["seq"],
                message["n"],
                message["of"],
                message["kind"].as_str().expect("text"),
                message["to"]["role"].as_str().expect("text"),
                account.chars().last().expect("not empty"),
                message["subject"].as_str().expect("text"),
            )
        })
        .collect();
    let expected = "\
        3 1/2 settled payer 1: You paid 2452.00 CZK
        3 2/2 settled payee 2: You received 2452.00 CZK
        4 1/1 held payer 1: 100.00 CZK reserved
        5 1/2 settled payer 1: You paid 40.00 CZK
        5 2/2 settled payee 2: You received 40.00 CZK
        6 1/2 settled payer 1: You paid 60.00 CZK
        6 2/2 settled payee 2: You received 60.00 CZK
        7 1/1 held payer 1: 25.00 CZK reserved
        8 1/1 voided payer 1: 25.00 CZK free again
        9 1/1 held payer 2: 9.00 CZK reserved
        10 1/1 expired payer 2: 9.00 CZK free again
        11 1/2 refunded payer 2: You refunded 452.00 CZK
        11 2/2 refunded payee 1: You got back 452.00 CZK
        12 1/1 held payer 1: 777.00 CZK reserved
        13 1/1 rejected payer 1: Payment of 1134274556403128211544582024772560704.85 CZK refused
        14 1/1 rejected payer 1: Payment of 1.00 CZK refused
        16 1/1 rejected payer 1: Payment of 0.01 CZK refused
        17 1/1 rejected payer 1: Payment of 1.00 CZK refused
        21 1/2 settled payer 2: You paid 0.01 CZK
        21 2/2 settled payee 1: You received 0.01 CZK
        22 1/2 settled payer 1: You paid 0.02 CZK
        22 2/2 settled payee 2: You received 0.02 CZK";
    let expected: Vec<_> = expected.lines().map(str::trim).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_message_names_owner_reason_and_time() {
    let (_dir, bytes) = written(&bank().batches(4));
    let messages = messages(&bytes);
    let refused = messages.iter().find(|message| message["seq"] == 13).expect("was told");
    assert_eq!(refused["to"]["owner"], "00000000-0000-0000-0000-000000000abc");
    assert_eq!(refused["time"], "2026-11-20T08:30:03.000000000Z");
    let body = refused["body"].as_str().expect("text");
    for part in [
        "was refused: insufficient funds.",
        "account 01920000-0000-7000-8000-000000000001",
        "Payment: 01930000-0000-7000-8000-00000000000a",
        "Reason code: INSUFFICIENT_FUNDS",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let received = messages.iter().find(|message| message["n"] == 2).expect("was told");
    assert_eq!(received["to"].get("owner"), None, "nobody is named");
}

#[test]
fn rules_choose_by_kind_currency_and_amount() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    history.open(3, 392);
    history.open(4, 392);
    history.pay(1, 1, 2, 99_999);
    history.pay(2, 1, 2, 100_000);
    history.pay(3, 3, 4, 500);
    history.reject(4, 1, 2, 100_000, RejectReason::InsufficientFunds);
    let rule = |currency: &str, minimum: Option<&str>, template: &str| RuleConfig {
        currency: Some(currency.into()),
        minimum: minimum.map(Into::into),
        template: Some(template.into()),
        ..RuleConfig::any(EventKind::Settled)
    };
    let config = NotifyConfig {
        rules: vec![
            rule("CZK", Some("1000.00"), "large: {{ amount }} {{ currency }}\n{{ seq }}"),
            rule("JPY", None, "yen: {{ amount }} {{ currency }}"),
        ],
        ..in_file()
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut sink = NotifySink::open(dir.path(), &config).expect("opens");
    sink.apply(&history.batches(3)).expect("applies");
    let bytes = fs::read(dir.path().join(FILE_NAME)).expect("reads");
    let told: Vec<_> = messages(&bytes)
        .into_iter()
        .map(|message| (message["subject"].clone(), message["body"].clone()))
        .collect();
    let large = (Value::from("large: 1000.00 CZK"), Value::from("6"));
    let yen = (Value::from("yen: 500 JPY"), Value::from(""));
    assert_eq!(told, [large.clone(), large, yen.clone(), yen]);
}

/// A crash may leave any part of what was being written, whole lines of an unfinished event
/// included. Whatever it is, every message ends up in the file once.
#[test]
fn a_restart_after_a_torn_write_continues_to_the_same_bytes() {
    let batches = bank().batches(3);
    let (dir, whole) = written(&batches);
    let path = dir.path().join(FILE_NAME);
    let line_ends: Vec<_> = (0..whole.len()).filter(|&at| whole[at] == b'\n').collect();
    let last_three = line_ends[line_ends.len() - 4] + 1;
    for cut in last_three..=whole.len() {
        fs::write(&path, &whole[..cut]).expect("written");
        let mut sink = open(dir.path());
        sink.apply(&batches).expect("applies");
        drop(sink);
        assert_eq!(fs::read(&path).expect("reads"), whole, "cut at byte {cut}");
    }
}

/// The list of accounts may be ahead of the messages, or torn itself.
#[test]
fn a_torn_list_of_accounts_is_completed() {
    let batches = bank().batches(3);
    let (dir, whole) = written(&batches);
    let accounts = fs::read(dir.path().join("accounts.jsonl")).expect("reads");
    for cut in 0..=accounts.len() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("accounts.jsonl"), &accounts[..cut]).expect("written");
        open(dir.path()).apply(&batches).expect("applies");
        for (name, expected) in [("accounts.jsonl", &accounts), (FILE_NAME, &whole)] {
            let found = fs::read(dir.path().join(name)).expect("reads");
            assert_eq!(&found, expected, "{name}, accounts cut at byte {cut}");
        }
    }
    drop(dir);
}

/// A long quiet stretch: the cursor saves reading it again, and a rotated file is not refilled.
#[test]
fn the_cursor_is_a_hint_that_knows_a_shorter_file() {
    let mut history = bank();
    for number in 0..70_000 {
        history.reject(1_000 + number, 8, 2, 1, RejectReason::DebitAccountUnknown);
    }
    let batches = history.batches(1_000);
    let (dir, whole) = written(&batches);
    let path = dir.path().join(FILE_NAME);
    assert_eq!(open(dir.path()).next_seq(), EventSeq(70_023), "the cursor counts");

    let lines: Vec<_> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    fs::write(&path, lines[..lines.len() - 1].concat()).expect("written");
    let mut sink = open(dir.path());
    assert_eq!(sink.next_seq(), EventSeq(22), "the file lost a line that the cursor knows");
    sink.apply(&batches).expect("applies");
    drop(sink);
    assert_eq!(fs::read(&path).expect("reads"), whole);

    fs::remove_file(&path).expect("rotated");
    assert_eq!(open(dir.path()).next_seq(), EventSeq(70_023), "rotated: only the cursor counts");

    fs::remove_file(dir.path().join("accounts.jsonl")).expect("removed");
    let error = NotifySink::open(dir.path(), &in_file()).expect_err("is gone");
    let text = error.to_string();
    assert!(text.contains("accounts.jsonl is damaged at byte 0"), "{text}");
    assert!(text.contains("Move the sink's whole directory away"), "{text}");
}

#[test]
fn a_bad_rule_or_template_is_found_at_start() {
    let config = |on, minimum: Option<&str>, template: Option<&str>| NotifyConfig {
        rules: vec![RuleConfig {
            minimum: minimum.map(Into::into),
            template: template.map(Into::into),
            ..RuleConfig::any(on)
        }],
        ..in_file()
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (config, said) in [
        (
            config(EventKind::Held, Some("5"), None),
            "notify.rules, rule 1 (on = \"held\"): minimum needs a currency",
        ),
        (
            config(EventKind::Expired, None, Some("ok\n{{ reson }}")),
            "template of rule 1 (on = \"expired\"), line 2: \"reson\" is unknown",
        ),
    ] {
        let error = NotifySink::open(dir.path(), &config).expect_err(said).to_string();
        assert!(error.starts_with(said), "{error}");
    }
}
