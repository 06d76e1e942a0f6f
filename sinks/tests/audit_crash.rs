//! The audit log after a crash at any point: what was committed is there, once, and entries and tree
//! agree.

mod common;

use std::{fs, sync::mpsc, thread, time::Duration};

use common::{
    audit_log::{Log, long_history, split},
    bank,
};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::EventSeq;
use millrace_sinks::{
    Sink as _,
    audit::{FILE_NAME, Hash},
};

/// Opens the log, applies everything, and compares it with one that was never disturbed.
fn check_goes_on(log: &Log, batches: &[FeedBatch], whole: &[u8], root: &Hash, what: &str) {
    let mut sink = log.open();
    let next = sink.next_seq();
    sink.apply(batches).expect("applies");
    drop(sink);
    let report = log.verify().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.checkpoint.root_hash, *root, "{what}, from event {next}");
    assert!(report.notes.is_empty(), "{what}: {:?}", report.notes);
    let open = fs::read(log.path(FILE_NAME)).expect("reads");
    assert!(open == whole, "{what}: the open segment differs");
}

/// A crash may leave any part of what was being written. Whatever it is, the log ends up as if nothing
/// had happened. The last commit's bytes are cut in every file, at every byte.
#[test]
fn a_torn_commit_is_put_right_at_every_byte() {
    let batches = bank().batches(3);
    let (before, last) = batches.split_at(batches.len() - 1);
    assert_eq!(last[0].events.len(), 1);
    let log = Log::new();
    log.write(before);
    let files_before = log.snapshot();
    let [lines_before, leaves_before] =
        [FILE_NAME, "tree/level-0"].map(|name| fs::read(log.path(name)).expect("reads"));
    log.write(last);
    let [whole, leaves] =
        [FILE_NAME, "tree/level-0"].map(|name| fs::read(log.path(name)).expect("reads"));
    let root = log.verify().expect("intact").checkpoint.root_hash;
    assert_eq!(leaves.len() - leaves_before.len(), 32);
    // The tree comes before the entries, the checkpoint behind them; and a power loss may keep the
    // entries and lose the tree.
    let lines = lines_before.len()..=whole.len();
    let trees = leaves_before.len()..=leaves.len();
    let cuts = lines
        .map(|cut| (cut, leaves.len()))
        .chain(trees.clone().map(|tree| (lines_before.len(), tree)))
        .chain(trees.map(|tree| (whole.len(), tree)));
    for (cut, tree) in cuts {
        log.restore(&files_before);
        fs::write(log.path(FILE_NAME), &whole[..cut]).expect("written");
        fs::write(log.path("tree/level-0"), &leaves[..tree]).expect("written");
        let what = format!("{} bytes of lines, {tree} of hashes", cut - lines_before.len());
        let seq = log.open().next_seq();
        let is_whole = cut == whole.len();
        assert_eq!(seq, EventSeq(if is_whole { 23 } else { 22 }), "{what}");
        // Both files are those of a log that was never disturbed, so they go on like it.
        let [found, hashes] =
            [FILE_NAME, "tree/level-0"].map(|name| fs::read(log.path(name)).expect("reads"));
        assert!(found == if is_whole { &whole[..] } else { &lines_before }, "{what}: lines");
        assert!(hashes == if is_whole { &leaves[..] } else { &leaves_before }, "{what}: hashes");
        if (cut + tree) % 37 == 0 {
            check_goes_on(&log, &batches, &whole, &root, &what);
        }
    }
}

/// Beside a crash of the process, the machine may stop: then files are as long as they were to be, and
/// the ends of those that were not synced are zeros.
#[test]
fn a_tree_of_zeros_is_made_anew() {
    let batches = long_history(60).batches(64);
    let log = Log::of(&batches);
    let whole = fs::read(log.path(FILE_NAME)).expect("reads");
    let root = log.verify().expect("intact").checkpoint.root_hash;
    for (name, hashes) in [("tree/level-0", 500), ("tree/level-1", 1)] {
        let path = log.path(name);
        let mut bytes = fs::read(&path).expect("reads");
        let from = bytes.len() - hashes * 32;
        bytes[from..].fill(0);
        fs::write(&path, bytes).expect("written");
        check_goes_on(&log, &batches, &whole, &root, name);
    }
    fs::remove_file(log.path("tree/level-1")).expect("removed");
    check_goes_on(&log, &batches, &whole, &root, "no second file");
}

/// Sealing is a row of steps; a crash may come between any two.
#[test]
fn a_crash_between_the_steps_of_sealing_is_put_right() {
    let batches = long_history(200).batches(64);
    let log = Log::of(&batches);
    let whole = fs::read(log.path(FILE_NAME)).expect("reads");
    let root = log.verify().expect("intact").checkpoint.root_hash;
    let last = log.compressed().pop().expect("was sealed");
    let files = log.snapshot();
    let raw = log.path("segments").join(last.strip_suffix(".zst").expect("has it"));
    let compressed = log.path("segments").join(&last);
    let index = log.path("segments").join(last.replace(".jsonl.zst", ".idx"));
    let lines = log.lines(&last).concat();
    let steps: [(&str, &dyn Fn()); 6] = [
        ("the segment has its name, nothing else", &|| {
            fs::remove_file(&compressed).expect("removed");
            fs::remove_file(&index).expect("removed");
            fs::write(&raw, &lines).expect("written");
        }),
        ("and there is no open one yet", &|| {
            fs::remove_file(&compressed).expect("removed");
            fs::write(&raw, &lines).expect("written");
            fs::remove_file(log.path(FILE_NAME)).expect("removed");
            let sealed = last.split(['-', '.']).nth(1).expect("its last entry");
            let size = sealed.parse::<u64>().expect("a number") + 1;
            let kept = log.path("checkpoints").join(format!("{size:016}"));
            fs::copy(kept, log.path("checkpoint")).expect("copied");
        }),
        ("compressed in part", &|| {
            let bytes = fs::read(&compressed).expect("reads");
            let unfinished = compressed.with_extension("zst.new");
            fs::write(unfinished, &bytes[..bytes.len() / 2]).expect("written");
            fs::remove_file(&compressed).expect("removed");
            fs::write(&raw, &lines).expect("written");
        }),
        ("both forms", &|| fs::write(&raw, &lines).expect("written")),
        ("no index", &|| fs::remove_file(&index).expect("removed")),
        ("a torn index", &|| {
            let bytes = fs::read(&index).expect("reads");
            fs::write(index.with_extension("idx.new"), &bytes[..bytes.len() / 2]).expect("written");
            fs::remove_file(&index).expect("removed");
        }),
    ];
    for (what, step) in steps {
        log.restore(&files);
        step();
        let sink = log.open();
        log.wait_for_compression();
        log.reader().entries(&common_query(), None, 1).expect("an index is made anew");
        drop(sink);
        check_goes_on(&log, &batches, &whole, &root, what);
        assert_eq!(split(&lines).len(), log.lines(&last).len(), "{what}");
    }
}

/// Leads to the oldest segment, through all of them.
fn common_query() -> millrace_sinks::audit::AuditQuery {
    millrace_sinks::audit::AuditQuery { payment: Some(common::payment(1)), ..Default::default() }
}

/// A stop that falls between the keeper's last look and its sleep must not be slept over.
#[test]
fn a_log_that_is_closed_at_once_closes() {
    let log = Log::new();
    log.write(&bank().batches(3));
    let (closed, closes) = mpsc::channel();
    let closing = thread::spawn(move || {
        for round in 0..5_000 {
            let sink = log.open();
            // The keeper looks and falls asleep some time after the log is open.
            for _ in 0..round % 8 {
                fs::read(log.path(FILE_NAME)).expect("reads");
            }
            drop(sink);
            closed.send(()).expect("is counted");
        }
    });
    // Five thousand take long where the machine is busy, and one does not.
    for round in 0..5_000 {
        let closed = closes.recv_timeout(Duration::from_secs(120));
        closed.unwrap_or_else(|error| panic!("close {round} hangs or failed: {error}"));
    }
    closing.join().expect("all closed");
}
