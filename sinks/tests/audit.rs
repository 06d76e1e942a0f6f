//! The audit log, from events to bytes: restarts at every torn byte, and every kind of tampering.

mod common;

use std::{fs, path::Path};

use common::{History, bank};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::EventSeq;
use millrace_sinks::{
    AuditConfig, AuditSink, Sink as _, SinkError,
    audit::{AuditError, FILE_NAME, verify},
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

fn open(dir: &Path) -> AuditSink {
    AuditSink::open(dir, &AuditConfig::default()).expect("opens")
}

fn written(batches: &[FeedBatch]) -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    open(dir.path()).apply(batches).expect("applies");
    let bytes = fs::read(dir.path().join(FILE_NAME)).expect("reads");
    (dir, bytes)
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').collect()
}

#[test]
fn a_line_says_what_happened_and_nothing_personal() {
    let (_dir, bytes) = written(&bank().batches(4));
    let text = String::from_utf8(bytes).expect("text");
    let third = text.lines().nth(2).expect("a line");
    let content = "{\"seq\":3,\"time\":\"2026-11-20T08:30:00.000000000Z\",\"event\":\"PAYMENT\",\
        \"payment\":\"01930000-0000-7000-8000-000000000001\",\"operation\":\"PAY\",\
        \"status\":\"SETTLED\",\"ledger\":203,\"currency\":\"CZK\",\"code\":1,\
        \"requested_minor\":\"245200\",\"amount_minor\":\"245200\",\
        \"debit\":\"01920000-0000-7000-8000-000000000001\",\
        \"credit\":\"01920000-0000-7000-8000-000000000002\",\"risk\":\"APPROVE\",\
        \"debit_balances\":{\"debits_pending\":\"0\",\"debits_posted\":\"245200\",\
        \"credits_pending\":\"0\",\"credits_posted\":\"0\"},\
        \"credit_balances\":{\"debits_pending\":\"0\",\"debits_posted\":\"0\",\
        \"credits_pending\":\"0\",\"credits_posted\":\"245200\"}";
    assert_eq!(third.split(",\"prev\"").next(), Some(content));
    for personal in ["terminal-9", "192.0.2.7", "coffee"] {
        assert!(!text.contains(personal), "{personal}");
    }
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("valid JSON");
    }
    let part = |line: usize, part: &str| {
        let line = text.lines().nth(line - 1).expect("a line");
        assert!(line.contains(part), "{part} in {line}");
    };
    part(1, "\"event\":\"ACCOUNT\",\"change\":\"OPENED\"");
    part(1, "\"owner\":\"00000000-0000-0000-0000-000000000abc\"");
    part(6, "\"original\":\"01930000-0000-7000-8000-000000000002\"");
    part(10, "\"event\":\"HOLD_EXPIRED\"");
    part(12, "\"risk\":\"REVIEW\",\"rule\":\"night, \\\"large\\\"\"");
    part(13, "\"reason\":\"INSUFFICIENT_FUNDS\"");
    part(13, "\"requested_minor\":\"113427455640312821154458202477256070485\"");
    part(18, "\"ledger\":0,\"code\":0,\"amount_minor\":\"0\",\"flags\":[\"LINKED\"]");
    part(20, "\"change\":\"FROZEN\"");
}

/// The documented rule, as an auditor would write it.
#[test]
fn the_chain_can_be_recomputed_from_the_documentation() {
    let (_dir, bytes) = written(&bank().batches(5));
    let mut prev = [0; 32];
    for line in lines(&bytes) {
        let text = std::str::from_utf8(line).expect("text").trim_end();
        let (content, chain) = text.rsplit_once(",\"prev\":").expect("a chain");
        let hash: [u8; 32] = Sha256::digest([&prev[..], content.as_bytes()].concat()).into();
        let hex = |bytes: [u8; 32]| bytes.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(chain, format!("\"{}\",\"hash\":\"{}\"}}", hex(prev), hex(hash)));
        prev = hash;
    }
}

#[test]
fn the_bytes_do_not_depend_on_how_much_is_applied_at_once() {
    let batches = bank().batches(3);
    let (_dir, whole) = written(&batches);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut sink = open(dir.path());
    for at_once in batches.chunks(2) {
        sink.apply(at_once).expect("applies");
    }
    assert_eq!(fs::read(dir.path().join(FILE_NAME)).expect("reads"), whole);
}

/// A crash may leave any part of what was being written. Whatever it is, the sink goes on from
/// the last whole line, and the log ends up as if nothing had happened.
#[test]
fn a_restart_after_a_torn_write_continues_to_the_same_bytes() {
    let batches = bank().batches(3);
    let (dir, whole) = written(&batches);
    let path = dir.path().join(FILE_NAME);
    let all = lines(&whole);
    let last_two = all[all.len() - 2].len() + all[all.len() - 1].len();
    for cut in whole.len() - last_two..=whole.len() {
        fs::write(&path, &whole[..cut]).expect("written");
        let mut sink = open(dir.path());
        let kept = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(sink.next_seq(), EventSeq(kept as u64 + 1), "cut at byte {cut}");
        sink.apply(&batches).expect("applies");
        drop(sink);
        assert_eq!(fs::read(&path).expect("reads"), whole, "cut at byte {cut}");
    }
}

#[test]
fn a_gap_stops_the_sink_and_leaves_the_file_alone() {
    let batches = bank().batches(1);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut sink = open(dir.path());
    sink.apply(&batches[..2]).expect("applies");
    let before = fs::read(dir.path().join(FILE_NAME)).expect("reads");
    let error = sink.apply(&batches[3..]).expect_err("event 3 is missing");
    let SinkError::Gap { expected, found, .. } = error else { panic!("{error}") };
    assert_eq!((expected, found), (EventSeq(3), EventSeq(4)));
    sink.apply(&batches).expect("goes on where it was, and skips what it has");
    drop(sink);
    let after = fs::read(dir.path().join(FILE_NAME)).expect("reads");
    assert!(after.starts_with(&before));
    assert_eq!(after, written(&batches).1);
}

#[test]
fn an_intact_log_is_counted() {
    let (dir, bytes) = written(&bank().batches(3));
    let report = verify(&dir.path().join(FILE_NAME)).expect("intact");
    assert_eq!((report.lines, report.settled, report.held, report.voided), (22, 6, 4, 1));
    assert_eq!((report.expired, report.account_events), (1, 4));
    assert_eq!((report.first_seq, report.last_seq), (Some(EventSeq(1)), Some(EventSeq(22))));
    let rejected: Vec<_> = report.rejected.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    assert_eq!(
        rejected,
        [
            ("CREDIT_ACCOUNT_UNKNOWN", 1),
            ("DEBIT_ACCOUNT_UNKNOWN", 1),
            ("ID_REUSED_AMOUNT_DIFFERS", 1),
            ("INSUFFICIENT_FUNDS", 1),
            ("ORIGINAL_UNKNOWN", 1),
            ("RISK_DECLINED", 1),
        ]
    );
    let end = format!("{}\"}}\n", report.head_hash);
    assert!(bytes.ends_with(end.as_bytes()));
    let empty = tempfile::tempdir().expect("a temporary directory");
    drop(open(empty.path()));
    let report = verify(&empty.path().join(FILE_NAME)).expect("intact");
    assert_eq!((report.lines, report.first_seq), (0, None));
    assert_eq!(report.head_hash, "0".repeat(64));
}

/// What a tamperer might do to lines, and what the check says of it.
#[test]
fn tampering_is_named_by_line_and_sequence() {
    let (dir, whole) = written(&bank().batches(3));
    let path = dir.path().join(FILE_NAME);
    let replaced = |from: &str, to: &str| {
        String::from_utf8(whole.clone()).expect("text").replacen(from, to, 1).into_bytes()
    };
    let reordered = |order: &[usize]| {
        let all = lines(&whole);
        order.iter().flat_map(|&index| all[index]).copied().collect::<Vec<u8>>()
    };
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("amount", replaced("\"245200\"", "\"245201\""), "line 3 (seq 3): was changed"),
        ("sequence", replaced("{\"seq\":7,", "{\"seq\":8,"), "line 7 (seq 8): was changed"),
        ("drop the first", reordered(&[1, 2, 3]), "line 1 (seq 2): does not follow"),
        ("drop one", reordered(&[0, 1, 3, 4]), "line 3 (seq 4): does not follow"),
        ("swap two", reordered(&[0, 2, 1, 3]), "line 2 (seq 3): does not follow"),
        ("repeat one", reordered(&[0, 1, 1, 2]), "line 3 (seq 2): does not follow"),
        ("insert", [lines(&whole)[0], b"{}\n"].concat(), "line 2: is not a line"),
        ("empty line", [lines(&whole)[0], b"\n"].concat(), "line 2: is not a line"),
        ("torn", whole[..whole.len() - 1].to_vec(), "line 22: is torn"),
    ];
    for (what, bytes, said) in cases {
        fs::write(&path, bytes).expect("written");
        let error = verify(&path).expect_err(what).to_string();
        assert!(error.starts_with(said), "{what}: {error}");
    }
}

/// A line that is changed together with its hash passes for itself, but the next one gives it away.
#[test]
fn a_forged_hash_breaks_the_chain_behind_it() {
    let (dir, whole) = written(&bank().batches(3));
    let path = dir.path().join(FILE_NAME);
    let mut all: Vec<Vec<u8>> = lines(&whole).into_iter().map(<[u8]>::to_vec).collect();
    let forged = {
        let mut history = History::default();
        history.open(1, 978);
        written(&history.batches(1)).1
    };
    all[0] = forged;
    fs::write(&path, all.concat()).expect("written");
    let error = verify(&path).expect_err("forged");
    assert!(matches!(error, AuditError::OutOfChain { line: 2, .. }), "{error}");
}

/// Cutting whole lines leaves a valid chain: only a head hash kept elsewhere shows it.
#[test]
fn a_shorter_log_has_another_head() {
    let (dir, whole) = written(&bank().batches(3));
    let path = dir.path().join(FILE_NAME);
    let full = verify(&path).expect("intact");
    let last = lines(&whole).pop().expect("a line").len();
    fs::write(&path, &whole[..whole.len() - last]).expect("written");
    let shorter = verify(&path).expect("intact as far as it goes");
    assert_eq!(shorter.last_seq, Some(EventSeq(21)));
    assert_ne!(shorter.head_hash, full.head_hash);
}

#[test]
fn a_damaged_last_line_refuses_to_start_and_names_the_remedy() {
    let (dir, whole) = written(&bank().batches(3));
    let path = dir.path().join(FILE_NAME);
    let mut changed = whole.clone();
    let offset = whole.len() - 300;
    changed[offset] ^= 1;
    for (bytes, said) in [
        (changed, "its hash does not fit its content"),
        ([&whole[..], b"something else\n"].concat(), "it is not a line of the audit log"),
    ] {
        fs::write(&path, &bytes).expect("written");
        let error = AuditSink::open(dir.path(), &AuditConfig::default()).expect_err(said);
        let text = error.to_string();
        assert!(text.contains(said) && text.contains("move it away"), "{text}");
        assert_eq!(fs::read(&path).expect("reads"), bytes, "nothing was touched");
    }
}
