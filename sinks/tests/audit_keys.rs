//! A log that gets another key, and another: whoever trusts any of them goes on, and whoever breaks the
//! chain between them is named.

mod common;

use std::{fs, path::PathBuf};

use common::bank;
use millrace_services::copy_dir;
use millrace_sinks::{
    AuditConfig, AuditSink, Sink as _,
    audit::{AuditReader, Checkpoint, KeyRotation, PublicKey, VerifyOptions, verify},
};
use tempfile::TempDir;

/// A directory with a log and its key.
struct Log {
    scratch: TempDir,
}

impl Log {
    fn new() -> Self {
        Self { scratch: tempfile::tempdir().expect("a temporary directory") }
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join("audit")
    }

    /// Goes on to so many batches of the bank's; each is of four events.
    fn write(&self, batches: usize) -> &Self {
        let mut log = AuditSink::open(&self.dir(), &AuditConfig::default()).expect("opens");
        log.apply(&bank().batches(4)[..batches]).expect("is written");
        self
    }

    fn rotate(&self) -> &Self {
        let rotation = KeyRotation::prepare(&self.dir(), &AuditConfig::default());
        rotation.expect("is prepared").commit().expect("rotates");
        self
    }

    fn key(&self) -> PublicKey {
        AuditReader::open(&self.dir()).expect("opens").public_key().expect("is there")
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        copy_dir(self.scratch.path(), copy.scratch.path());
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("is there")
    }

    /// What the check says for somebody who trusts this key; nothing when all is well.
    fn faults(&self, key: Option<&PublicKey>, kept: &[Checkpoint]) -> String {
        let kept = kept.iter().map(|it| ("kept".to_owned(), it.clone())).collect();
        let options = VerifyOptions { key: key.cloned(), kept, ..VerifyOptions::default() };
        verify(&self.dir(), &options).map_or_else(|error| error.to_string(), |_| String::new())
    }
}

#[test]
fn whoever_trusts_any_of_the_keys_goes_on() {
    let log = Log::new();
    log.write(1);
    let (first, kept) = (log.key(), AuditReader::open(&log.dir()).expect("opens"));
    let kept = kept.checkpoint().expect("is signed");
    let early = AuditReader::open(&log.dir()).expect("opens").prove(1, None).expect("proves");
    log.rotate().write(3);
    let second = log.key();
    log.rotate().rotate().write(5);
    let last = log.key();
    assert!(first != second && second != last);
    let reader = AuditReader::open(&log.dir()).expect("opens");
    assert_eq!(reader.key_statements().expect("reads").len(), 3);
    for key in [Some(&first), Some(&second), Some(&last), None] {
        assert_eq!(log.faults(key, std::slice::from_ref(&kept)), "", "{key:?}");
    }
    let proof = reader.prove(2, None).expect("proves");
    for key in [&first, &second, &last] {
        assert!(proof.check(key).is_ok(), "{key}");
    }
    assert!(early.check(&first).is_ok(), "a proof from before holds as it did");
    let foreign = Log::new().write(1).key();
    let said = proof.check(&foreign).expect_err("another log's key").to_string();
    assert!(said.contains("no statement leads from the key given"), "{said}");
    assert!(log.faults(Some(&foreign), &[]).contains("no statement leads from the key given"));
    // Without its statements, a proof is of the last key only.
    let bare = millrace_sinks::audit::ProofFile { keys: Vec::new(), ..proof };
    assert!(bare.check(&last).is_ok() && bare.check(&first).is_err());
}

/// What it is, how it is done, and what the check says.
type Break<'a> = (&'a str, &'a dyn Fn(&Log), &'a str);

#[test]
fn a_break_in_the_chain_of_keys_is_named() {
    let log = Log::new();
    let first = log.write(1).key();
    let before = log.copy();
    log.rotate().write(3).rotate().write(5);
    // The same keys' owner made another statement once; and somebody else made one of their own.
    let twin = before.copy();
    twin.rotate();
    let foreign = Log::new();
    foreign.write(1).rotate();
    let own = log.read("keys/1");
    let signature = |note: &str| note.lines().nth(8).expect("the old key's").to_owned();
    let grafted = own.replace(&signature(&own), &signature(&twin.read("keys/1")));
    let newer = own.replace("\n4\n", "\n8\n");
    let cases: [Break; 8] = [
        (
            "another's signature",
            &|it| write(it, "keys/1", &grafted),
            "keys/1: its old key did not sign it",
        ),
        ("another size", &|it| write(it, "keys/1", &newer), "keys/1: its old key did not sign it"),
        (
            "no statement",
            &|it| write(it, "keys/1", "hello\n"),
            "keys/1: is no statement of a new key",
        ),
        (
            "another's statement",
            &|it| write(it, "keys/1", &foreign.read("keys/1")),
            "keys/2: replaces the key",
        ),
        (
            "the twin",
            &|it| write(it, "keys/1", &twin.read("keys/1")),
            "a statement between them is missing",
        ),
        ("the first one is gone", &|it| remove(it, "keys/1"), "keys/1: the statement is missing"),
        (
            "the last one is gone",
            &|it| remove(it, "keys/2"),
            "no statement leads from one to the other",
        ),
        (
            "all are gone",
            &|it| fs::remove_dir_all(it.path("keys")).expect("is there"),
            "was signed with the key",
        ),
    ];
    for (what, change, said) in cases {
        let changed = log.copy();
        change(&changed);
        let faults = changed.faults(Some(&first), &[]);
        assert!(faults.contains(said), "{what}: no {said:?} in {faults:?}");
    }
    // Any changed byte of a statement.
    for at in (0..own.len()).step_by(7) {
        let changed = log.copy();
        let mut bytes = own.clone().into_bytes();
        bytes[at] ^= 1;
        fs::write(changed.path("keys/1"), bytes).expect("is written");
        assert_ne!(changed.faults(Some(&first), &[]), "", "byte {at}");
    }
}

/// Somebody kept the old private key, and signs with it what came after.
#[test]
fn a_key_that_was_replaced_signs_no_later_tree() {
    let log = Log::new();
    let first = log.write(1).key();
    let thief = log.copy();
    thief.write(5);
    log.rotate().write(5);
    write(&log, "checkpoint", &thief.read("checkpoint"));
    let faults = log.faults(Some(&first), &[]);
    assert!(faults.contains("and that key was replaced at 4"), "{faults}");
    let stolen = AuditReader::open(&thief.dir()).expect("opens").checkpoint().expect("is signed");
    let whole = Log::new();
    whole.write(1);
    let key = whole.key();
    whole.rotate().write(5);
    let faults = whole.faults(Some(&key), &[stolen]);
    assert!(faults.contains("kept: was signed with the key"), "{faults}");
}

/// The process dies behind each step; the next start does the rest.
#[test]
fn a_rotation_that_is_cut_short_goes_on_at_the_next_start() {
    let log = Log::new();
    let first = log.write(3).key();
    let before = log.copy();
    log.rotate();
    let key = |of: &Log, name: &str| of.scratch.path().join(name);
    let new_key = fs::read(key(&log, "audit.key")).expect("is there");
    type State<'a> = (&'a str, &'a dyn Fn(&Log));
    let states: [State; 4] = [
        ("the new key is made", &|it| {
            fs::write(key(it, "audit.key.next"), &new_key).expect("written");
        }),
        ("the statement is signed", &|it| {
            fs::write(key(it, "audit.key.next"), &new_key).expect("written");
            write(it, "keys/1", &log.read("keys/1"));
        }),
        ("the key is in its place", &|it| {
            fs::write(key(it, "audit.key"), &new_key).expect("written");
            write(it, "keys/1", &log.read("keys/1"));
        }),
        ("the checkpoint is signed", &|it| {
            fs::write(key(it, "audit.key"), &new_key).expect("written");
            write(it, "keys/1", &log.read("keys/1"));
            write(it, "checkpoint", &log.read("checkpoint"));
        }),
    ];
    for (number, (what, leave)) in states.into_iter().enumerate() {
        let cut = before.copy();
        leave(&cut);
        cut.write(5);
        assert_eq!(cut.faults(Some(&first), &[]), "", "{what}");
        let is_new = fs::read(key(&cut, "audit.key")).expect("is there") == new_key;
        assert_eq!((is_new, cut.key() == log.key()), (number > 0, number > 0), "{what}");
        // And it can be rotated again.
        cut.rotate().write(6);
        assert_eq!(cut.faults(Some(&first), &[]), "", "{what}");
    }
}

fn write(log: &Log, name: &str, text: &str) {
    fs::create_dir_all(log.path("keys")).expect("is made");
    fs::write(log.path(name), text).expect("is written");
}

fn remove(log: &Log, name: &str) {
    fs::remove_file(log.path(name)).expect("is there");
}
