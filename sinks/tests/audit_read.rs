//! Search, proofs and retention of the audit log, against naive forms of the same.

mod common;

use std::{
    fs,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
};

use common::{
    START_NS, account,
    audit_log::{Log, long_history},
    payment,
};
use millrace_ledger::Timestamp;
use millrace_sinks::audit::{
    AuditEntry, AuditError, AuditQuery, AuditReader, FILE_NAME, Order, ProofFile, VerifyOptions,
    leaf_hash, verify,
};
use serde_json::Value;

/// All lines of the log, without line feeds.
fn all_lines(log: &Log) -> Vec<String> {
    let mut text: Vec<u8> = Vec::new();
    for segment in log.compressed() {
        text.extend(log.lines(&segment).concat());
    }
    text.extend(fs::read(log.path(FILE_NAME)).expect("reads"));
    String::from_utf8(text).expect("text").lines().map(str::to_owned).collect()
}

/// What a search should find, from the JSON of every line.
fn naive(lines: &[String], query: &AuditQuery) -> Vec<u64> {
    let second = |time: Timestamp| (time.0 - START_NS) / 1_000_000_000;
    let fits = |line: &&String| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let act = line.get("act").and_then(|act| act["act"].as_object());
        let act = act.and_then(|act| act.values().next()).cloned().unwrap_or_default();
        let has = |names: &[&str], id: String| {
            names.iter().any(|name| line[*name] == id.as_str() || act[*name] == id.as_str())
        };
        let time = line["time"].as_str().expect("text");
        let time = humantime(time);
        query.actor.as_ref().is_none_or(|actor| line["act"]["actor"] == actor.as_str())
            && query.account.is_none_or(|id| {
                has(&["debit", "credit", "account", "payer", "payee"], id.to_string())
            })
            && query.payment.is_none_or(|id| has(&["payment", "original"], id.to_string()))
            && query.from_time.is_none_or(|from| time >= second(from))
            && query.to_time.is_none_or(|to| time < second(to))
    };
    (0..).zip(lines).filter(|(_, line)| fits(line)).map(|(index, _)| index).collect()
}

/// Seconds behind the history's start; its batches are whole seconds apart, within a day.
fn humantime(text: &str) -> u64 {
    let part = |at: usize| text[at..at + 2].parse::<u64>().expect("digits");
    part(11) * 3_600 + part(14) * 60 + part(17) - (8 * 3_600 + 30 * 60)
}

fn indexes(reader: &AuditReader, query: &AuditQuery, order: Order) -> Vec<u64> {
    let mut found = Vec::new();
    reader
        .visit(query, 0, None, order, &mut |entry| {
            found.push(entry.index);
            ControlFlow::Continue(())
        })
        .expect("reads");
    found
}

/// Who answers queries may start before who writes the log, in whichever process that is.
#[test]
fn a_reader_beside_a_writer_waits_for_the_log() {
    let log = Log::new();
    let reader = AuditReader::beside(&log.dir());
    type Ask = fn(&AuditReader) -> Result<u64, AuditError>;
    let questions: [(&str, Ask); 4] = [
        ("size", |reader| reader.size()),
        ("checkpoint", |reader| reader.checkpoint().map(|it| it.tree_size)),
        ("key", |reader| reader.public_key().map(|_| 0)),
        ("proof", |reader| reader.inclusion_proof(0, 1).map(|it| it.tree_size)),
    ];
    for (name, ask) in questions {
        assert!(matches!(ask(&reader), Err(AuditError::NoLog { .. })), "{name}");
    }
    log.write(&long_history(3).batches(8));
    let entries = log.reader().size().expect("reads");
    assert!(entries > 0);
    for ((name, ask), answer) in questions.into_iter().zip([entries, entries, 0, 1]) {
        assert_eq!(ask(&reader).expect(name), answer, "{name}");
    }
}

#[test]
fn a_search_finds_what_reading_everything_finds() {
    let log = Log::of(&long_history(300).batches(64));
    let lines = all_lines(&log);
    let reader = log.reader();
    let second = |seconds: u64| Some(Timestamp(START_NS + seconds * 1_000_000_000));
    let none = AuditQuery::default;
    let mut queries = vec![
        none(),
        AuditQuery { actor: Some("ann".to_owned()), ..none() },
        AuditQuery { actor: Some("bob \"the desk\"".to_owned()), ..none() },
        AuditQuery { actor: Some("nobody".to_owned()), ..none() },
        AuditQuery { from_time: second(5), to_time: second(9), ..none() },
        AuditQuery { from_time: second(1_000), ..none() },
        AuditQuery { to_time: second(0), ..none() },
        AuditQuery { account: Some(account(4)), payment: Some(payment(1_010)), ..none() },
        AuditQuery { account: Some(account(2)), payment: Some(payment(1_010)), ..none() },
        AuditQuery { actor: Some("ann".to_owned()), payment: Some(payment(1_007)), ..none() },
        AuditQuery { actor: Some("ann".to_owned()), from_time: second(12), ..none() },
        AuditQuery { account: Some(account(4)), to_time: second(20), ..none() },
    ];
    for number in [1, 2, 3, 4, 5, 9, 1_005, 2_345, 3_995, 77_777] {
        queries.push(AuditQuery { account: Some(account(number)), ..none() });
    }
    for number in [1, 2, 9, 14, 99, 1_000, 1_001, 2_346, 2_347, 3_990, 3_996, 77_777] {
        queries.push(AuditQuery { payment: Some(payment(number)), ..none() });
    }
    let mut found_any = 0;
    for query in &queries {
        let expected = naive(&lines, query);
        found_any += usize::from(!expected.is_empty());
        let mut backwards = expected.clone();
        backwards.reverse();
        assert_eq!(indexes(&reader, query, Order::OldestFirst), expected, "{query:?}");
        assert_eq!(indexes(&reader, query, Order::NewestFirst), backwards, "{query:?}");
        // Page by page, as a list is shown.
        let mut paged: Vec<u64> = Vec::new();
        for _ in 0..100 {
            let page = reader.entries(query, paged.last().copied(), 40).expect("reads");
            paged.extend(page.iter().map(|entry| entry.index));
            if page.len() < 40 {
                break;
            }
        }
        assert!(backwards.starts_with(&paged), "{query:?}");
        assert!(paged.len() == backwards.len() || paged.len() == 4_000, "{query:?}");
    }
    assert!(found_any > 20, "the questions mean something");
    for (index, line) in (0..).zip(&lines).step_by(97) {
        let entry: AuditEntry = reader.entry(index).expect("reads").expect("is there");
        assert_eq!((entry.index, entry.seq.0, &entry.line), (index, index + 1, line));
    }
    let range = |begin, end| {
        let mut found = Vec::new();
        let mut visit = |entry: AuditEntry| {
            found.push(entry.index);
            ControlFlow::Continue(())
        };
        reader.visit(&none(), begin, Some(end), Order::OldestFirst, &mut visit).expect("reads");
        found
    };
    assert_eq!(range(250, 900), (250..900).collect::<Vec<_>>());
    assert_eq!(range(900, 900), Vec::<u64>::new());
}

#[test]
fn proofs_hold_for_every_entry_and_size_and_for_nobody_else() {
    let log = Log::of(&long_history(60).batches(64));
    let reader = log.reader();
    let lines = all_lines(&log);
    let size = reader.size().expect("reads");
    assert_eq!(size, lines.len() as u64);
    let key = reader.public_key().expect("is there");
    for (index, line) in (0..).zip(&lines).step_by(41) {
        let proof = reader.prove(index, None).expect("proves");
        assert_eq!(proof.entry, *line);
        let proven = proof.check(&key).expect("holds");
        assert_eq!((proven.index, proven.checkpoint.tree_size), (index, size));
        for tree_size in [index + 1, (index + size) / 2 + 1, size] {
            let proof = reader.prove(index, Some(tree_size)).expect("proves");
            assert_eq!(proof.tree_size, tree_size);
            proof.check(&key).expect("holds");
            let direct = reader.inclusion_proof(index, tree_size).expect("proves");
            assert!(direct.holds() && direct.leaf_hash == leaf_hash(line.as_bytes()));
        }
    }
    for (from, to) in [(0, size), (1, size), (size / 2, size - 1), (size, size)] {
        assert!(reader.consistency_proof(from, to).expect("proves").holds(), "{from} to {to}");
    }
    for (error, said) in [
        (reader.prove(size, None).expect_err("is not there"), "there is no entry"),
        (reader.prove(3, Some(size + 1)).expect_err("is too large"), "no checkpoint covers"),
        (reader.inclusion_proof(4, 4).map(drop).expect_err("is not in it"), "no proof for entry"),
        (reader.consistency_proof(5, 4).map(drop).expect_err("backwards"), "no proof for entry"),
        (reader.consistency_proof(5, size + 1).map(drop).expect_err("beyond"), "no proof for"),
    ] {
        assert!(error.to_string().starts_with(said), "{error}");
    }
    // Whatever is changed in a proof, it does not hold any more.
    let proof = reader.prove(100, Some(size - 7)).expect("proves");
    let other = reader.prove(101, Some(size - 7)).expect("proves");
    let changed = |change: &dyn Fn(&mut ProofFile)| {
        let mut proof = proof.clone();
        change(&mut proof);
        proof.check(&key).expect_err("was changed").to_string()
    };
    for (said, error) in [
        ("does not have the leaf hash", changed(&|proof| proof.entry.push(' '))),
        ("does not have the leaf hash", changed(&|proof| proof.entry.clone_from(&other.entry))),
        ("the entry is not entry 99", changed(&|proof| proof.index = 99)),
        ("audit path does not lead", changed(&|proof| drop(proof.audit_path.pop()))),
        ("audit path does not lead", changed(&|proof| proof.audit_path.swap(0, 1))),
        ("audit path does not lead", changed(&|proof| proof.tree_size -= 100)),
        (
            "audit path does not lead",
            changed(&|proof| proof.root_hash.clone_from(&proof.leaf_hash)),
        ),
        ("no hash", changed(&|proof| proof.root_hash.push('0'))),
        ("was not signed over a log that has", changed(&|proof| proof.consistency = None)),
        (
            "was not signed over a log that has",
            changed(&|proof| {
                proof.consistency.as_mut().expect("is there").reverse();
            }),
        ),
        (
            "was changed: its signature",
            changed(&|proof| {
                proof.checkpoint = proof.checkpoint.replacen("oldest 0", "oldest 1", 1);
            }),
        ),
    ] {
        assert!(error.contains(said), "{said:?} in {error}");
    }
    let stranger = Log::of(&long_history(1).batches(64)).reader().public_key().expect("is there");
    let error = proof.check(&stranger).expect_err("another key").to_string();
    assert!(error.contains("was signed with the key"), "{error}");
    let text = serde_json::to_string(&proof).expect("JSON");
    assert_eq!(ProofFile::parse(&text).expect("reads"), proof);
    for text in ["", "{}", &text.replace("proof/1", "proof/2")] {
        ProofFile::parse(text).expect_err("is no proof");
    }
}

#[test]
fn what_is_too_old_is_removed_and_its_hashes_stay() {
    let batches = long_history(300).batches(64);
    let log = Log::of(&batches);
    let lines = all_lines(&log);
    let segments = log.compressed();
    let starts: Vec<u64> =
        segments.iter().map(|name| name[..16].parse().expect("a number")).collect();
    let early = log.reader().prove(7, None).expect("proves");
    let mut sink = log.open();
    // All of the second segment is older than the third's first entry, or as old.
    let boundary = sink.reader().entry(starts[2]).expect("reads").expect("is there").time;
    assert_eq!(sink.retire(Timestamp(START_NS)).expect("retires"), 0, "nothing is older");
    assert_eq!(sink.retire(Timestamp(boundary.0 + 1)).expect("retires"), 2);
    assert_eq!(log.compressed(), segments[2..]);
    let reader = sink.reader();
    assert_eq!(reader.oldest().expect("reads"), starts[2]);
    assert_eq!(reader.entry(7).expect("reads"), None);
    let error = reader.prove(7, None).expect_err("is gone").to_string();
    assert!(error.starts_with("entry 7 is no longer kept"), "{error}");
    let newest = reader.checkpoint().expect("is there");
    assert_eq!(newest.oldest, starts[2]);
    drop(sink);
    // What stays is provable, and the log is consistent with every earlier size.
    let reader = log.reader();
    for index in [starts[2], starts[2] + 300, newest.tree_size - 1] {
        let proof = reader.prove(index, None).expect("proves");
        assert_eq!(proof.entry, lines[index as usize]);
    }
    for from in [1, 8, starts[1] - 1, starts[2] + 1] {
        assert!(reader.consistency_proof(from, newest.tree_size).expect("proves").holds());
    }
    early.check(&reader.public_key().expect("is there")).expect("an earlier proof still holds");
    let direct = reader.inclusion_proof(7, newest.tree_size).expect("the hashes stay");
    assert_eq!(direct.leaf_hash, leaf_hash(early.entry.as_bytes()));
    let report = log.verify().expect("intact");
    assert_eq!((report.removed, report.lines), (starts[2], newest.tree_size - starts[2]));
    // The rest of what was removed changes no answer, and the newest sealed segment stays.
    let payment = AuditQuery { payment: Some(payment(2_000)), ..AuditQuery::default() };
    let kept: Vec<u64> =
        naive(&lines, &payment).into_iter().filter(|index| *index >= starts[2]).collect();
    assert_eq!(indexes(&reader, &payment, Order::OldestFirst), kept);
    sink = log.open();
    sink.retire(Timestamp(u64::MAX)).expect("retires");
    assert_eq!(log.compressed(), segments[segments.len() - 1..]);
    drop(sink);
    let mut sink = log.open();
    millrace_sinks::Sink::apply(&mut sink, &batches).expect("goes on");
    drop(sink);
    log.verify().expect("intact");
    let range = Some((3, 9));
    let options = VerifyOptions { range, ..VerifyOptions::default() };
    let error = verify(&log.dir(), &options).expect_err("is gone").to_string();
    assert!(error.starts_with("entry 3 is no longer kept"), "{error}");
    // Removing more than was signed away is no retention.
    let last = log.compressed().pop().expect("one stays");
    fs::remove_file(log.path("segments").join(last)).expect("removed");
    assert!(log.faults().contains("are missing: the segment is not there"));
}

/// Whoever checks a log that is being written, sealed, compressed and shortened finds nothing wrong.
#[test]
fn a_check_beside_the_writer_finds_nothing_wrong() {
    let batches = long_history(400).batches(64);
    let log = Log { segment_bytes: 60_000, ..Log::new() };
    log.write(&batches[..8]);
    let done = AtomicBool::new(false);
    let checks = std::thread::scope(|scope| {
        let checking = scope.spawn(|| {
            let (mut checks, mut last) = (0, 0);
            while !done.load(Ordering::Acquire) {
                let report = log.verify().unwrap_or_else(|error| panic!("check {checks}: {error}"));
                assert!(report.checkpoint.tree_size >= last);
                last = report.checkpoint.tree_size;
                checks += 1;
                let newest = log.reader().entries(&AuditQuery::default(), None, 300);
                assert_eq!(newest.expect("reads").len(), 300);
            }
            checks
        });
        let mut sink = log.open();
        for (number, batch) in batches.iter().enumerate() {
            millrace_sinks::Sink::apply(&mut sink, std::slice::from_ref(batch)).expect("applies");
            if number % 10 == 9 && !checking.is_finished() {
                let before = batches[number - 5].time;
                sink.retire(before).expect("retires");
            }
        }
        done.store(true, Ordering::Release);
        checking.join().expect("found nothing wrong")
    });
    assert!(checks > 0);
    let report = log.verify().expect("intact");
    assert!(report.removed > 0 && report.segments > 2, "{report:?}");
}
