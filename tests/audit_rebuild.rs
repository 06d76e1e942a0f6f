//! Rebuilding the audit log of the real binary, while it runs and while it is stopped: it goes on from
//! what was signed, with the same key, or nothing is replaced. And giving it another key.
//!
//! The story that it guards against: somebody who can write the journal has the audit log "rebuilt"
//! from it, and what was signed before is gone.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use millrace_services::copy_dir;
use serde_json::Value;
use support::{
    auditor,
    config::Settings,
    eventually, graphql,
    metrics::wait_for_audit,
    payments::{open, pay, submit},
    process::{Finished, millrace},
    server::Server,
    text,
};
use tempfile::TempDir;

/// A configuration and a data directory, whose audit log is signed with a key in another place.
struct Bank {
    scratch: TempDir,
    config: PathBuf,
}

impl Bank {
    fn new(key: &Path) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let config = Settings::unlimited()
            .with("sinks.audit.key_file", text(key))
            .with("sinks.audit.checkpoint_interval_ms", 1)
            .with("sinks.notify.enabled", false)
            .write(scratch.path());
        Self { scratch, config }
    }

    fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn audit_dir(&self) -> PathBuf {
        self.data_dir().join("audit")
    }

    fn start(&self) -> Server {
        Server::start(&self.config, &self.data_dir())
    }

    /// Pays so often, and waits until the log has it all. At first, two accounts are opened.
    async fn pay(&self, server: &Server, first: u64, payments: u64) {
        let connection = server.connect().await;
        if first == 0 {
            open(&connection, [1, 2]).await;
        }
        let payments = (first..first + payments).map(|id| pay(100 + u128::from(id), 1, 2, 7));
        submit(&connection, payments.collect()).await.expect("is taken");
        wait_for_audit(server);
    }

    fn rebuild(&self, args: &[&str]) -> Finished {
        let data_dir = self.data_dir();
        let at = ["--config", text(&self.config), "--data-dir", text(&data_dir)];
        let signed = ["--actor", "ann", "--why", "a disk lost a segment"];
        millrace(["sinks", "rebuild", "audit"].iter().chain(&at).chain(&signed).chain(args))
    }

    fn audit(&self, args: &[&str]) -> Finished {
        let data_dir = self.data_dir();
        let at = ["--data-dir", text(&data_dir)];
        millrace(["audit"].iter().chain(args).chain(&at))
    }

    /// The log's file, as it is.
    fn log(&self) -> String {
        fs::read_to_string(self.audit_dir().join("audit.jsonl")).expect("is there")
    }

    /// What is beside the log and has to do with it, but for the evidence, which is counted.
    fn beside(&self) -> (Vec<String>, usize) {
        let names = fs::read_dir(self.data_dir()).expect("lists");
        let names = names.filter_map(|it| it.expect("lists").file_name().into_string().ok());
        let mut names: Vec<_> =
            names.filter(|name| name.starts_with("audit") && !name.ends_with(".json")).collect();
        names.sort_unstable();
        let kept = names.extract_if(.., |name| name.starts_with("audit-until-")).count();
        (names, kept)
    }

    /// Whole, as in the journal, and going on from this checkpoint, by the key that was given.
    #[track_caller]
    fn verify(&self, kept: &Path, key: &str) {
        let args = ["verify", "--journal", "--kept", text(kept), "--key", key, "--json"];
        let verified = self.audit(&args);
        assert_eq!(verified.code, Some(0), "{verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_rebuilt_from_what_was_signed_while_it_runs_and_while_it_does_not() {
    let keys = tempfile::tempdir().expect("a temporary directory");
    let key_file = keys.path().join("elsewhere/audit.key");
    let bank = Bank::new(&key_file);
    let server = bank.start();
    bank.pay(&server, 0, 40).await;
    let key = bank.audit(&["key"]).stdout.trim().to_owned();
    let private = fs::read(&key_file).expect("was made where it is configured");
    let kept = bank.scratch.path().join("kept");
    eventually("all of it is signed", || {
        let signed = fs::read_to_string(bank.audit_dir().join("checkpoint")).ok()?;
        signed.contains("\n42\n").then(|| fs::write(&kept, signed).expect("is written"))
    });
    let before = bank.log();

    let target = server.url();
    let rebuilt = bank.rebuild(&["--target", &target]);
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert!(rebuilt.stdout.contains("audit is rebuilt and answers"), "{rebuilt:?}");
    assert_eq!(bank.beside(), (vec!["audit".to_owned()], 1), "nothing else is left");
    // It goes on where it always was, behind the act that says who rebuilt it.
    bank.pay(&server, 40, 10).await;
    let lines = bank.log();
    assert!(lines.starts_with(&before), "the same entries");
    assert!(lines.contains("\"act\":{\"rebuild_sink\":{\"sink\":\"audit\"}}"), "{lines}");
    bank.verify(&kept, &key);
    let entries = "{ auditEntries(filter: { actor: \"ann\" }, first: 5) { nodes { why } } }";
    let found = graphql::ask(server.graphql, entries)["auditEntries"]["nodes"].clone();
    assert_eq!(found, serde_json::json!([{ "why": "a disk lost a segment" }]));
    let again = bank.rebuild(&["--target", &target]);
    assert_eq!(again.code, Some(0), "as often as one likes: {again:?}");
    assert_eq!(bank.beside(), (vec!["audit".to_owned()], 2));
    server.stop();
    bank.verify(&kept, &key);

    let stopped = bank.rebuild(&[]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert_eq!(bank.beside(), (vec!["audit".to_owned()], 3));
    bank.verify(&kept, &key);
    assert_eq!(fs::read(&key_file).expect("is there"), private, "the same key signs");
    let server = bank.start();
    bank.pay(&server, 50, 5).await;
    server.stop();
    bank.verify(&kept, &key);

    // Without its key, nothing is built, and no other key is made.
    fs::remove_file(&key_file).expect("is there");
    let refused = bank.rebuild(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("Put the key back from its backup"), "{refused:?}");
    assert!(!key_file.exists(), "no key is made");
    assert_eq!(bank.beside(), (vec!["audit".to_owned()], 3));
}

/// Two banks sign with one key. The log of one lies beside the journal of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_contradicts_what_was_signed_does_not_take_its_place() {
    let keys = tempfile::tempdir().expect("a temporary directory");
    let key_file = keys.path().join("audit.key");
    let (bank, other) = (Bank::new(&key_file), Bank::new(&key_file));
    for (bank, payments) in [(&other, 20), (&bank, 30)] {
        let server = bank.start();
        bank.pay(&server, 0, payments).await;
        server.stop();
    }
    fs::remove_dir_all(bank.audit_dir()).expect("is there");
    copy_dir(&other.audit_dir(), &bank.audit_dir());

    let was = bank.log();
    let refused = bank.rebuild(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for said in ["contradicts what was signed", "signed over 22 entries", "--accept-other-root"] {
        assert!(refused.stderr.contains(said), "no {said:?} in {refused:?}");
    }
    assert_eq!(bank.log(), was, "nothing was replaced");
    assert_eq!(bank.beside(), (vec!["audit".to_owned()], 0));

    // While it runs: the log that is there goes on.
    let server = bank.start();
    wait_for_audit(&server);
    let target = server.url();
    let refused = bank.rebuild(&["--target", &target]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("contradicts what was signed"), "{refused:?}");
    bank.pay(&server, 100, 3).await;
    assert!(bank.log().starts_with(&was), "the old one goes on");
    assert_eq!(bank.beside(), (vec!["audit".to_owned()], 0));

    // Whoever takes that on themselves is named, and the old one is kept.
    let accepted = bank.rebuild(&["--target", &target, "--accept-other-root"]);
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    wait_for_audit(&server);
    assert!(bank.log().contains("{\"sink\":\"audit\",\"accept_other_root\":true}"));
    assert_eq!(bank.beside(), (vec!["audit".to_owned()], 1));
    server.stop();
    let verified = bank.audit(&["verify", "--journal"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");

    // A journal that ends before what was signed.
    fs::remove_dir_all(other.audit_dir()).expect("is there");
    copy_dir(&bank.audit_dir(), &other.audit_dir());
    let refused = other.rebuild(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("and the journal has 22 events"), "{refused:?}");
}

/// The auditor's own program goes from the old key to the new one by the statement, if that is whole.
fn check_with_python(proof: &Path, key: &str, new_key: &str) {
    for key in [key, new_key] {
        let Some(checked) = auditor::check(proof, key) else { return };
        assert!(checked.is_ok_and(|shown| shown.contains("the proof holds")), "{key}");
    }
    let whole: Value =
        serde_json::from_slice(&fs::read(proof).expect("is there")).expect("is JSON");
    let statement = whole["keys"][0].as_str().expect("is text");
    for (changed, said) in [
        (None, "the checkpoint was signed with another key"),
        (Some(statement.replace("\n12\n", "\n13\n")), "signature does not hold"),
        (Some(statement.replace(key, new_key)), "signed with another key"),
    ] {
        assert_ne!(changed.as_deref(), Some(statement), "it is changed");
        let mut broken = whole.clone();
        broken["keys"] = changed.into_iter().collect::<Vec<_>>().into();
        let file = proof.with_file_name("broken.json");
        fs::write(&file, broken.to_string()).expect("is written");
        let refused = auditor::check(&file, key).expect("Python is there").expect_err("is broken");
        assert!(refused.contains(said), "{refused}");
    }
}

/// An auditor has the first key and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_gets_another_key_that_the_old_one_vouches_for() {
    let keys = tempfile::tempdir().expect("a temporary directory");
    let key_file = keys.path().join("audit.key");
    let bank = Bank::new(&key_file);
    let server = bank.start();
    bank.pay(&server, 0, 10).await;
    let key = bank.audit(&["key"]).stdout.trim().to_owned();
    let rotate = || {
        let (config, data_dir) = (bank.config.clone(), bank.data_dir());
        let at = ["--config", text(&config), "--data-dir", text(&data_dir)];
        let signed = ["--actor", "ann", "--why", "yearly"];
        millrace(["audit", "rotate-key"].iter().chain(&at).chain(&signed))
    };
    let refused = rotate();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is in use by another process"), "{refused:?}");
    server.stop();
    let kept = bank.scratch.path().join("kept");
    fs::copy(bank.audit_dir().join("checkpoint"), &kept).expect("is there");

    let rotated = rotate();
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    assert!(rotated.stdout.contains("the log has another key from entry 12 on"), "{rotated:?}");
    let new_key = bank.audit(&["key"]).stdout.trim().to_owned();
    assert_ne!(key, new_key);
    for key in [&key, &new_key] {
        bank.verify(&kept, key);
    }
    let server = bank.start();
    bank.pay(&server, 10, 10).await;
    let target = server.url();
    let rebuilt = bank.rebuild(&["--target", &target]);
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    server.stop();
    for key in [&key, &new_key] {
        bank.verify(&kept, key);
    }
    let found = bank.audit(&["search", "--actor", "ann"]);
    let rotation = found.stdout.lines().find(|line| line.contains("ROTATE_AUDIT_KEY"));
    assert!(rotation.is_some_and(|line| line.contains("because \"yearly\"")), "{found:?}");
    let proof = bank.scratch.path().join("proof.json");
    fs::write(&proof, bank.audit(&["prove", "--index", "15"]).stdout).expect("is written");
    for key in [&key, &new_key] {
        let checked = millrace(["audit", "check-proof", text(&proof), "--key", key]);
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }
    check_with_python(&proof, &key, &new_key);
    fs::remove_file(bank.audit_dir().join("keys/1")).expect("is there");
    let broken = bank.audit(&["verify", "--key", &key]);
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(broken.stderr.contains("was signed with the key"), "{broken:?}");
}
