//! Every kind of tampering with an audit log, and what the check says of it.

mod common;

use std::fs;

use common::audit_log::{Log, long_history};
use millrace_sinks::{
    AuditConfig,
    audit::{FILE_NAME, VerifyOptions, verify},
};

fn history_log() -> Log {
    Log::of(&long_history(300).batches(64))
}

/// The first sealed segment but one: neither end of the log.
fn second(log: &Log) -> (String, usize) {
    let segment = log.compressed()[1].clone();
    let first = segment[..16].parse().expect("a number");
    (segment, first)
}

fn replaced(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(line.to_vec()).expect("text");
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// What was done, the lines after it, and what the check has to say.
type Case<'a> = (&'a str, Vec<Vec<u8>>, Vec<String>);

#[test]
fn what_is_done_to_entries_is_named() {
    let log = history_log();
    let (segment, first) = second(&log);
    let lines = log.lines(&segment);
    let files = log.snapshot();
    let entry = |at: usize| format!("entry {} (seq {})", first + at, first + at + 1);
    let alone = |at: usize, say: &str| format!("{} {say}", entry(at));
    let order = |moves: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut lines = lines.clone();
        moves(&mut lines);
        lines
    };
    let cases: [Case; 10] = [
        (
            "an amount",
            order(&|lines| {
                lines[300] = replaced(&lines[300], "\"amount_minor\":\"", "\"amount_minor\":\"1");
            }),
            vec![alone(300, "was changed in segments/"), "does not fit its content".to_owned()],
        ),
        (
            "two amounts",
            order(&|lines| {
                for at in [3, 520] {
                    lines[at] = replaced(&lines[at], "\"time\":\"2026", "\"time\":\"2025");
                }
            }),
            vec![alone(3, "was changed"), alone(520, "was changed")],
        ),
        (
            "a sequence",
            order(&|lines| {
                let seq = first + 8;
                lines[7] = replaced(&lines[7], &format!("{{\"seq\":{seq},"), "{\"seq\":1,");
            }),
            vec![alone(7, "is missing"), "a line was put in".to_owned()],
        ),
        ("one is dropped", order(&|lines| drop(lines.remove(257))), vec![alone(257, "is missing")]),
        (
            "several are dropped",
            order(&|lines| drop(lines.drain(100..110))),
            vec![format!(
                "entries {} to {} (seq {} to {}) are missing",
                first + 100,
                first + 109,
                first + 101,
                first + 110
            )],
        ),
        (
            "the last is dropped",
            order(&|lines| drop(lines.pop())),
            vec![alone(lines.len() - 1, "is missing")],
        ),
        ("two are swapped", order(&|lines| lines.swap(256, 257)), vec![alone(257, "was moved")]),
        (
            "one is moved far",
            order(&|lines| {
                let line = lines.remove(5);
                lines.insert(400, line);
            }),
            vec![alone(5, "was moved")],
        ),
        (
            "one stands twice",
            order(&|lines| lines.insert(9, lines[4].clone())),
            vec![alone(4, "stands once more")],
        ),
        (
            "a stranger is put in",
            order(&|lines| lines.insert(20, b"{}\n".to_vec())),
            vec![format!("a line was put in at the place of entry {}; it is no entry", first + 20)],
        ),
    ];
    for (what, lines, said) in cases {
        log.set_lines(&segment, &lines);
        let faults = log.faults();
        for said in &said {
            assert!(faults.contains(said.as_str()), "{what}: {said:?} in {faults}");
        }
        assert!(faults.lines().count() <= 2, "{what}: {faults}");
        log.restore(&files);
    }
    log.verify().expect("is whole again");
}

/// An entry from another log with the same sequence, chain hash and all: it passes for itself.
#[test]
fn an_entry_that_was_written_anew_is_named() {
    let log = history_log();
    let other = {
        let mut history = long_history(300);
        let amount = history.events.len() - 1;
        history.events.swap(0, 0);
        history.events.truncate(amount);
        let mut batches = history.batches(64);
        for batch in &mut batches {
            batch.time.0 += 1;
        }
        Log::of(&batches)
    };
    let (segment, first) = second(&log);
    let mut lines = log.lines(&segment);
    let foreign = other.lines(&other.compressed()[1]);
    lines[44] = foreign[44].clone();
    log.set_lines(&segment, &lines);
    let faults = log.faults();
    let said = format!("entry {} (seq {}) was changed in", first + 44, first + 45);
    assert!(faults.starts_with(&said), "{faults}");
    assert!(faults.contains("its own hash was changed with it, but not the tree's"), "{faults}");
}

/// Whoever can write all files but has no key writes the tree anew, too: only the signed roots tell.
#[test]
fn a_log_that_was_written_anew_without_the_key_is_found() {
    let log = history_log();
    let other = {
        let mut batches = long_history(300).batches(64);
        for batch in &mut batches[20..] {
            batch.time.0 += 1;
        }
        Log::of(&batches)
    };
    for name in ["checkpoint", "key.pub"] {
        fs::copy(log.path(name), other.path(name)).expect("copied");
    }
    for entry in fs::read_dir(log.path("checkpoints")).expect("is there") {
        let entry = entry.expect("reads");
        fs::copy(entry.path(), other.path("checkpoints").join(entry.file_name())).expect("copied");
    }
    let faults = other.faults();
    assert!(faults.contains("the log does not have the root that was signed over"), "{faults}");
    // The segments before that batch are as they were.
    let starts = log.compressed();
    let starts = starts.iter().map(|name| name[..16].parse::<u64>().expect("a number"));
    let before = starts.filter(|start| *start <= 20 * 64).max().expect("there is one");
    assert!(faults.contains(&format!("an entry from {before} on was changed")), "{faults}");
    assert_eq!(faults.lines().count(), 1, "{faults}");
}

#[test]
fn what_is_done_to_other_files_is_named() {
    let log = history_log();
    let files = log.snapshot();
    let (segment, first) = second(&log);
    let index = segment.replace(".jsonl.zst", ".idx");
    let kept = format!("{:016}", log.compressed()[1][..16].parse::<u64>().expect("a number"));
    let flip = |name: &str, at: usize| {
        let path = log.path(name);
        let mut bytes = fs::read(&path).expect("reads");
        bytes[at] ^= 1;
        fs::write(path, bytes).expect("written");
    };
    let remove = |name: &str| fs::remove_file(log.path(name)).expect("removed");
    let cut = |name: &str, len: u64| {
        let file = fs::File::options().write(true).open(log.path(name)).expect("opens");
        file.set_len(len).expect("cut");
    };
    let next = log.compressed()[2][..16].parse::<usize>().expect("a number");
    let cases: [(&str, &dyn Fn(), String); 16] = [
        (
            "a leaf hash",
            &|| flip("tree/level-0", 32 * (first + 3)),
            format!("tree/level-0: the hash of entry {} was changed", first + 3),
        ),
        (
            "a leaf hash of the open segment",
            &|| flip("tree/level-0", 32 * 2_600),
            format!("tree/level-0: the hash of entry {} was changed", 2_600),
        ),
        (
            "a tile's hash",
            &|| flip("tree/level-1", 32 * 4 + 1),
            "tree/level-1: hash 4, over entries \
         1024 to 1279, was changed"
                .to_owned(),
        ),
        (
            "the tree's end",
            &|| cut("tree/level-1", 32 * 5),
            "tree/level-1: ends before its hash 5".to_owned(),
        ),
        (
            "the leaves' end",
            &|| cut("tree/level-0", 32 * 2_500),
            "tree/level-0: ends before its hash 2500".to_owned(),
        ),
        (
            "the newest checkpoint's size",
            &|| flip("checkpoint", 16),
            "checkpoint: was changed".to_owned(),
        ),
        ("its root", &|| flip("checkpoint", 25), "checkpoint: was changed".to_owned()),
        ("its signature", &|| flip("checkpoint", 180), "checkpoint".to_owned()),
        (
            "a kept checkpoint",
            &|| flip(&format!("checkpoints/{kept}"), 25),
            format!("checkpoints/{kept}: "),
        ),
        (
            "an older checkpoint",
            &|| {
                let (kept, newest) = (log.path("checkpoints").join(&kept), log.path("checkpoint"));
                fs::copy(kept, newest).expect("copied");
            },
            "was signed later: an older one was put back".to_owned(),
        ),
        (
            "a kept checkpoint is removed",
            &|| remove(&format!("checkpoints/{kept}")),
            format!("checkpoints/{kept}: is missing"),
        ),
        (
            "a segment is removed",
            &|| remove(&format!("segments/{segment}")),
            format!(
                "entries {first} to {} (seq {} to {next}) are missing: the segment is not there",
                next - 1,
                first + 1
            ),
        ),
        (
            "the open segment is removed",
            &|| remove(FILE_NAME),
            "are missing: the open segment is \
         not there"
                .to_owned(),
        ),
        (
            "a byte of a segment",
            &|| flip(&format!("segments/{segment}"), 5_000),
            format!("segments/{segment}: byte 0: it can't be decompressed"),
        ),
        (
            "an index",
            &|| flip(&format!("segments/{index}"), 500),
            format!("segments/{index}: is not what the segment's entries come to"),
        ),
        (
            "a file that is nobody's",
            &|| {
                fs::write(log.path("segments/x.jsonl"), "").expect("written");
            },
            "segments/x.jsonl: belongs to nothing".to_owned(),
        ),
    ];
    for (what, change, said) in cases {
        change();
        let faults = log.faults();
        assert!(faults.contains(&said), "{what}: {said:?} in {faults}");
        log.restore(&files);
    }
    log.verify().expect("is whole again");
}

/// A range needs its segments and the tree above them, and finds what is done to those.
#[test]
fn a_range_is_checked_by_itself() {
    let log = history_log();
    let files = log.snapshot();
    let (segment, first) = second(&log);
    let first = first as u64;
    let range = |from: u64, to: u64| {
        verify(&log.dir(), &VerifyOptions { range: Some((from, to)), ..VerifyOptions::default() })
    };
    let report = range(first, first + 10).expect("intact");
    assert_eq!((report.segments, report.first_seq.map(|seq| seq.0)), (1, Some(first + 1)));
    let newest = report.checkpoint.tree_size - 1;
    assert_eq!(range(newest, newest).expect("intact").segments, 1);
    assert_eq!(range(0, newest).expect("intact").lines, newest + 1);
    let error = range(0, newest + 1).expect_err("is not there").to_string();
    assert!(error.contains("no checkpoint covers entry"), "{error}");
    // Another segment's entries don't matter, the tree does.
    let mut lines = log.lines(&segment);
    lines[44] = replaced(&lines[44], "\"time\":\"2026", "\"time\":\"2025");
    log.set_lines(&segment, &lines);
    range(0, first - 1).expect("intact");
    let error = range(first, first).expect_err("was changed").to_string();
    assert!(error.starts_with(&format!("entry {} (seq", first + 44)), "{error}");
    log.restore(&files);
    let path = log.path("tree/level-1");
    let mut bytes = fs::read(&path).expect("reads");
    bytes[3 * 32] ^= 1;
    fs::write(path, bytes).expect("written");
    let error = range(first, first).expect_err("was changed").to_string();
    assert!(error.contains("tree/level-1: hash 3 is not that of the 256 hashes below"), "{error}");
}

/// Whoever has the whole directory can put an older state back. A checkpoint kept elsewhere tells.
#[test]
fn a_kept_checkpoint_shows_that_a_log_went_back_or_was_forked() {
    let batches = long_history(120).batches(64);
    let log = Log { config: AuditConfig::default(), ..Log::new() };
    log.write(&batches[..10]);
    let files = log.snapshot();
    log.write(&batches);
    let reader = log.reader();
    let kept = reader.checkpoint().expect("is there");
    let options = VerifyOptions {
        kept: vec![("kept.txt".to_owned(), kept.clone())],
        ..VerifyOptions::default()
    };
    verify(&log.dir(), &options).expect("goes on from it");
    log.restore(&files);
    log.verify().expect("an older state is whole in itself");
    let error = verify(&log.dir(), &options).expect_err("went back").to_string();
    let size = kept.tree_size;
    assert!(
        error.starts_with(&format!("kept.txt: was signed over {size} entries, and the log ends"))
    );
    // The same key signs another history.
    let mut other = batches.clone();
    for batch in &mut other[10..] {
        batch.time.0 += 1;
    }
    log.write(&other);
    log.verify().expect("the fork is whole in itself");
    let error = verify(&log.dir(), &options).expect_err("is a fork").to_string();
    assert!(error.contains("kept.txt: the log does not have the root that was signed"), "{error}");
}
