//! The audit log, from events to bytes, and what it does at a start.

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _};

use common::{
    START_NS,
    audit_log::{Log, long_history},
    bank,
};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::{EventSeq, Timestamp};
use millrace_sinks::{
    AuditConfig, AuditSink, Sink as _, SinkError,
    audit::{AuditKind, AuditQuery, FILE_NAME, leaf_hash, node_hash},
};
use sha2::{Digest as _, Sha256};

fn written(batches: &[FeedBatch]) -> (Log, Vec<u8>) {
    let log = Log::of(batches);
    let bytes = fs::read(log.path(FILE_NAME)).expect("reads");
    (log, bytes)
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').collect()
}

#[test]
fn a_line_says_what_happened_and_nothing_personal() {
    let (_log, bytes) = written(&bank().batches(4));
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
    let (_log, bytes) = written(&bank().batches(5));
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
    let (_log, whole) = written(&batches);
    let log = Log::new();
    let mut sink = log.open();
    for at_once in batches.chunks(2) {
        sink.apply(at_once).expect("applies");
    }
    assert_eq!(fs::read(log.path(FILE_NAME)).expect("reads"), whole);
}

#[test]
fn a_gap_stops_the_sink_and_leaves_the_file_alone() {
    let batches = bank().batches(1);
    let log = Log::new();
    let mut sink = log.open();
    sink.apply(&batches[..2]).expect("applies");
    let before = fs::read(log.path(FILE_NAME)).expect("reads");
    let error = sink.apply(&batches[3..]).expect_err("event 3 is missing");
    let SinkError::Gap { expected, found, .. } = error else { panic!("{error}") };
    assert_eq!((expected, found), (EventSeq(3), EventSeq(4)));
    sink.apply(&batches).expect("goes on where it was, and skips what it has");
    drop(sink);
    let after = fs::read(log.path(FILE_NAME)).expect("reads");
    assert!(after.starts_with(&before));
    assert_eq!(after, written(&batches).1);
}

/// The tree, as an auditor would compute it from the lines alone.
#[test]
fn the_signed_root_is_that_of_the_lines() {
    let (log, bytes) = written(&bank().batches(5));
    let mut hashes: Vec<_> = lines(&bytes)
        .iter()
        .map(|line| leaf_hash(line.strip_suffix(b"\n").expect("a whole line")))
        .collect();
    assert_eq!(hashes.len(), 22);
    // 22 = 16 + 4 + 2: complete trees, then joined from the right.
    let mut complete = |count: usize| {
        let mut level: Vec<_> = hashes.drain(..count).collect();
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        level[0]
    };
    let (first, second, third) = (complete(16), complete(4), complete(2));
    let root = node_hash(&first, &node_hash(&second, &third));
    let checkpoint = log.reader().checkpoint().expect("is there");
    assert_eq!((checkpoint.tree_size, checkpoint.root_hash), (22, root));
    assert_eq!(checkpoint.check(&log.reader().public_key().expect("is there")), Ok(()));
}

#[test]
fn an_intact_log_is_counted() {
    let (log, bytes) = written(&bank().batches(3));
    let report = log.verify().expect("intact");
    assert_eq!((report.lines, report.settled, report.held, report.voided), (22, 6, 4, 1));
    assert_eq!((report.expired, report.account_events, report.acts), (1, 4, 0));
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
    assert_eq!((report.checkpoint.tree_size, report.unsigned), (22, 0));
    let empty = Log::new();
    drop(empty.open());
    let report = empty.verify().expect("intact");
    assert_eq!((report.lines, report.first_seq, report.checkpoint.tree_size), (0, None, 0));
    assert_eq!(report.head_hash, "0".repeat(64));
}

/// Sealing takes nothing away and adds nothing: segments one behind the other are the log.
#[test]
fn segments_are_the_same_lines_wherever_they_are_cut() {
    let batches = long_history(300).batches(64);
    let whole = Log { segment_bytes: u64::MAX, ..Log::new() };
    whole.write(&batches);
    let cut = Log::of(&batches);
    let mut text: Vec<u8> = Vec::new();
    for segment in cut.compressed() {
        text.extend(cut.lines(&segment).concat());
    }
    assert!(cut.compressed().len() >= 3, "{:?}", cut.segments());
    text.extend(fs::read(cut.path(FILE_NAME)).expect("reads"));
    assert!(text == fs::read(whole.path(FILE_NAME)).expect("reads"), "the lines differ");
    let [cut_report, whole_report] = [&cut, &whole].map(|log| log.verify().expect("intact"));
    assert_eq!(cut_report.checkpoint.root_hash, whole_report.checkpoint.root_hash);
    assert_eq!(cut_report.lines, whole_report.lines);
    assert_eq!(cut_report.segments, cut.compressed().len() as u64 + 1);
    assert_eq!(cut_report.checkpoints, cut_report.segments);
    // Cut by time: batches are a second apart.
    let hourly = Log { segment_bytes: u64::MAX, ..Log::new() };
    let mut late = batches.clone();
    for (number, batch) in (0..).zip(&mut late) {
        batch.time = Timestamp(START_NS + number * 1_800_000_000_000);
    }
    let config = AuditConfig { segment_hours: 5, ..AuditConfig::default() };
    let hourly = Log { config, ..hourly };
    hourly.write(&late);
    assert_eq!(hourly.compressed().len(), (late.len() - 1) / 10);
    hourly.verify().expect("intact");
}

#[test]
fn a_quarantined_event_leaves_an_entry_that_says_why() {
    let log = Log::new();
    let batches = bank().batches(3);
    let mut sink = log.open();
    sink.apply(&batches[..1]).expect("applies");
    let time = batches[1].time;
    sink.skip(EventSeq(4), time, "five tries: \"no\"\nand no").expect("skips");
    assert_eq!(sink.next_seq(), EventSeq(5));
    sink.skip(EventSeq(4), time, "again").expect("has it already");
    assert!(matches!(sink.skip(EventSeq(6), time, "too early"), Err(SinkError::Gap { .. })));
    sink.apply(&batches).expect("goes on");
    drop(sink);
    let entry = log.reader().entry(3).expect("reads").expect("is there");
    assert_eq!((entry.kind, entry.seq, entry.time), (AuditKind::Quarantined, EventSeq(4), time));
    assert_eq!(entry.why.as_deref(), Some("five tries: \"no\"\nand no"));
    let report = log.verify().expect("intact");
    assert_eq!((report.lines, report.quarantined), (22, 1));
}

/// An act stands in its entry as it came. One that is not JSON on one line would break the log.
#[test]
fn an_act_that_is_not_json_is_poison() {
    for (act, said) in [(&b"{"[..], "not JSON"), (b"{\n}", "more than one line")] {
        let mut history = bank();
        history.claim(9, "ann");
        history.events.last_mut().expect("was pushed").context = act.to_vec().into();
        let log = Log::new();
        let mut sink = log.open();
        let error = sink.apply(&history.batches(100)).expect_err("is poison");
        let SinkError::Poison { seq, problem, .. } = error else { panic!("{error}") };
        assert_eq!(seq, EventSeq(23));
        assert!(problem.contains(said), "{problem}");
        assert_eq!(sink.next_seq(), EventSeq(1), "nothing of the failed attempt stays");
        sink.apply(&bank().batches(100)).expect("goes on up to it");
        sink.skip(seq, Timestamp(START_NS), &problem).expect("skips");
        drop(sink);
        log.verify().expect("intact");
    }
}

#[test]
fn one_process_writes_at_a_time() {
    let log = Log::new();
    let _first = log.open();
    let error = log.open_error();
    assert!(error.ends_with("audit is in use by another process; stop that one first"), "{error}");
}

/// The log of the earlier version: the same lines in one file, and nothing else.
#[test]
fn a_log_of_the_earlier_format_is_moved_aside_and_written_anew() {
    let batches = bank().batches(3);
    let (_log, bytes) = written(&batches);
    let log = Log::new();
    fs::create_dir(log.dir()).expect("made");
    fs::write(log.path(FILE_NAME), &bytes).expect("written");
    let error = log.verify().expect_err("has no tree").to_string();
    assert!(error.contains("written anew from the journal"), "{error}");
    let mut sink = log.open();
    assert_eq!(sink.next_seq(), EventSeq(1), "the journal comes from its start");
    sink.apply(&batches).expect("applies");
    drop(sink);
    let old = log.temp.path().join("audit.old").join(FILE_NAME);
    assert_eq!(fs::read(old).expect("was kept"), bytes);
    assert_eq!(fs::read(log.path(FILE_NAME)).expect("reads"), bytes);
    log.verify().expect("intact");
    // A second one finds its place taken.
    fs::remove_dir_all(log.dir()).expect("removed");
    fs::create_dir(log.dir()).expect("made");
    fs::write(log.path(FILE_NAME), &bytes).expect("written");
    let error = log.open_error();
    assert!(error.contains("audit.old, which is there already. Move one"), "{error}");
}

#[test]
fn the_key_is_made_once_and_has_to_stay() {
    let (log, _) = written(&bank().batches(3));
    let key = log.temp.path().join("audit.key");
    let mode = fs::metadata(&key).expect("is beside the log").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let pem = fs::read(&key).expect("reads");
    fs::remove_file(&key).expect("removed");
    let error = log.open_error();
    assert!(error.contains("Put the key (sinks.audit.key_file)"), "{error}");
    fs::write(&key, pem).expect("written");
    drop(log.open());
    // Another name is another key.
    let config = AuditConfig { origin: "other".to_owned(), ..AuditConfig::default() };
    let error = AuditSink::open(&log.dir(), &config).expect_err("another name").to_string();
    assert!(error.contains("the origin back"), "{error}");
    // A key elsewhere.
    let place = log.temp.path().join("keys").join("our.key");
    let config = AuditConfig { key_file: place.clone(), ..AuditConfig::default() };
    let other = Log { config, ..Log::new() };
    other.write(&bank().batches(3));
    assert!(place.is_file() && !other.temp.path().join("audit.key").exists());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let of = |change: fn(&mut AuditConfig)| {
        let mut config = AuditConfig::default();
        change(&mut config);
        config.check().expect_err("makes no sense").to_string()
    };
    for (said, error) in [
        ("sinks.audit.origin is \"a b\"", of(|config| config.origin = "a b".to_owned())),
        ("sinks.audit.origin is \"\"", of(|config| config.origin = String::new())),
        ("sinks.audit.segment_mib is 0", of(|config| config.segment_mib = 0)),
        ("sinks.audit.segment_mib is 4097", of(|config| config.segment_mib = 4_097)),
        (
            "checkpoint_interval_ms is 3600001",
            of(|config| config.checkpoint_interval_ms = 3_600_001),
        ),
    ] {
        assert!(error.contains(said), "{error}");
    }
}

/// A start believes the log only as far as its own key has signed it.
#[test]
fn a_log_that_was_changed_refuses_to_start_and_names_the_remedy() {
    let (log, whole) = written(&bank().batches(3));
    let files = log.snapshot();
    let text = String::from_utf8(whole.clone()).expect("text");
    let rewritten = {
        // The whole chain, computed anew over another amount.
        let mut history = bank();
        history.events.remove(2);
        let mut other = bank();
        other.events[2] = {
            let mut paid = common::History::default();
            paid.open_keeping(1, common::CZK);
            paid.open(2, common::CZK);
            paid.pay(1, 1, 2, 245_201);
            paid.events.remove(2)
        };
        written(&other.batches(3)).1
    };
    assert_eq!(lines(&rewritten).len(), 22);
    let cut = |count: usize| lines(&whole)[..count].concat();
    for (what, bytes, said) in [
        ("content", text.replacen("\"245200\"", "\"245201\"", 1).into_bytes(), "entry 2 (byte 0"),
        ("dropped", [cut(5), lines(&whole)[6..].concat()].concat(), "does not follow"),
        ("rewritten", rewritten, "at entry 2: it is not the entry that the signed checkpoint"),
        ("shorter", cut(21), "ends with entry 21, and 22 were signed"),
        ("a stranger", [&whole[..], b"something else\n"].concat(), "not a line of the audit log"),
    ] {
        fs::write(log.path(FILE_NAME), &bytes).expect("written");
        let error = log.open_error();
        assert!(error.contains(said) || what == "content", "{what}: {error}");
        assert!(error.contains("audit.jsonl is damaged at"), "{what}: {error}");
        assert!(error.contains("move it aside and start again"), "{what}: {error}");
        assert_eq!(fs::read(log.path(FILE_NAME)).expect("reads"), bytes, "nothing was touched");
        log.restore(&files);
    }
    for (name, said) in [
        ("checkpoint", "checkpoint: not a checkpoint"),
        ("key.pub", "holds no public key"),
        ("format", "has the format"),
    ] {
        let mut bytes = fs::read(log.path(name)).expect("reads");
        bytes[3] ^= 1;
        fs::write(log.path(name), bytes).expect("written");
        let error = log.open_error();
        assert!(error.contains(said) || name == "checkpoint", "{name}: {error}");
        log.restore(&files);
    }
    drop(log.open());
}

/// The in-process reader sees what is committed, while it is being written.
#[test]
fn a_reader_beside_the_writer_sees_every_commit() {
    let log = Log::new();
    let mut sink = log.open();
    let (live, files) = (sink.reader(), log.reader());
    let mut size = 0;
    for batch in long_history(150).batches(100) {
        sink.apply(std::slice::from_ref(&batch)).expect("applies");
        size += batch.events.len() as u64;
        for reader in [&live, &files] {
            assert_eq!(reader.size().expect("reads"), size);
            let newest = reader.entries(&AuditQuery::default(), None, 3).expect("reads");
            let indexes: Vec<_> = newest.iter().map(|entry| entry.index).collect();
            assert_eq!(indexes, [size - 1, size - 2, size - 3]);
            assert!(reader.inclusion_proof(size - 1, size).expect("reads").holds());
            assert!(reader.consistency_proof(size / 3, size).expect("reads").holds());
            assert_eq!(reader.entry(size).expect("reads"), None);
        }
    }
    let entries: u64 = log.segments().len() as u64;
    assert!(entries > 0, "some segments were sealed meanwhile");
}
