//! `millrace audit` on a log that the real binary wrote: what it shows, proves, finds and refuses.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::{
    auditor,
    process::{Finished, millrace},
    text,
};
use tempfile::TempDir;

struct Sample {
    scratch: TempDir,
}

impl Sample {
    /// The demo's sample shows every kind of outcome.
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let data_dir = scratch.path().join("data");
        let demo = ["demo", "--once", "--json", "--fraud-payments", "0", "--data-dir"];
        let finished = millrace(demo.into_iter().chain([text(&data_dir)]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        Self { scratch }
    }

    fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data_dir().join("audit/audit.jsonl")).expect("is there")
    }

    /// `millrace audit COMMAND --data-dir … ARGS`.
    fn audit(&self, command: &str, args: &[&str]) -> Finished {
        let data_dir = self.data_dir();
        let start = ["audit", command, "--data-dir", text(&data_dir)];
        millrace(start.into_iter().chain(args.iter().copied()))
    }

    #[track_caller]
    fn printed(&self, command: &str, args: &[&str]) -> String {
        ok(self.audit(command, args))
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.scratch.path().join(name);
        fs::write(&path, content).expect("written");
        path
    }
}

#[track_caller]
fn ok(finished: Finished) -> String {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout
}

#[track_caller]
fn refused(finished: &Finished, code: i32, part: &str) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
    assert!(finished.stderr.contains(part), "no {part:?} in {}", finished.stderr);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_log_is_verified_with_the_journal_and_with_a_kept_checkpoint() {
    let sample = Sample::new();
    let entries = sample.log().lines().count();
    let key = sample.printed("key", &[]).trim().to_owned();
    let kept = sample.data_dir().join("audit/checkpoint");
    let args = ["--journal", "--key", &key, "--kept", text(&kept), "--json"];
    let report = json(&sample.printed("verify", &args));
    assert_eq!((&report["whole"], &report["lines"]), (&true.into(), &entries.into()));
    assert_eq!(report["compared_with_journal"], entries);
    assert_eq!((&report["tree_size"], &report["unsigned"]), (&entries.into(), &0.into()));
    let table = sample.printed("verify", &[]);
    for part in ["the chain is whole", "the tree is the signed one", "the one beside the log", &key]
    {
        assert!(table.contains(part), "no {part:?} in {table}");
    }
    let ranged = json(&sample.printed("verify", &["--from", "3", "--to", "5", "--json"]));
    assert_eq!(ranged["whole"], true);
    // A log that says something else than the journal, hash for hash a whole one: made by the same
    // program from other events.
    let other = Sample::new();
    let journal = other.data_dir().join("journal");
    let finished = sample.audit("verify", &["--journal", text(&journal)]);
    refused(&finished, 1, "says something else than the journal");
}

#[test]
fn what_was_changed_is_named_and_the_exit_code_tells() {
    let sample = Sample::new();
    let path = sample.data_dir().join("audit/audit.jsonl");
    let changed = sample.log().replacen("\"status\":\"SETTLED\"", "\"status\":\"REJECTED\"", 1);
    let index =
        sample.log().lines().position(|line| line.contains("SETTLED")).expect("one settled");
    fs::write(&path, changed).expect("written");
    let said = format!("error: entry {index} (seq {}) was changed in audit.jsonl", index + 1);
    refused(&sample.audit("verify", &[]), 1, &said);
    let finished = sample.audit("verify", &["--json"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let faults = json(&finished.stdout);
    assert_eq!((&faults["whole"], &faults["fault_count"]), (&false.into(), &1.into()));
    assert_eq!(
        (&faults["faults"][0]["index"], &faults["faults"][0]["seq"]),
        (&index.into(), &(index + 1).into())
    );
}

#[test]
fn a_proof_convinces_whoever_has_the_public_key() {
    let sample = Sample::new();
    let log = sample.log();
    let key = sample.printed("key", &[]);
    let key_file = sample.file("key.pub", &key);
    let (index, line) = log
        .lines()
        .enumerate()
        .find(|(_, line)| line.contains("\"event\":\"PAYMENT\""))
        .expect("a payment");
    let payment = json(line)["payment"].as_str().expect("text").to_owned();
    let (number, seq) = (index.to_string(), (index + 1).to_string());
    let by_payment = sample.printed("prove", &["--payment", &payment]);
    assert_eq!(by_payment, sample.printed("prove", &["--index", &number]));
    assert_eq!(by_payment, sample.printed("prove", &["--seq", &seq]));
    assert_eq!(json(&by_payment)["entry"], line);
    // Nothing of the log is there any more.
    let size = (index + 2).to_string();
    let earlier = sample.printed("prove", &["--index", &number, "--size", &size]);
    let consistency = json(&sample.printed("consistency", &["--from", &size]));
    assert_eq!(
        (&consistency["from"], &consistency["from_root"]),
        (&(index + 2).into(), &json(&earlier)["root_hash"])
    );
    fs::remove_dir_all(sample.data_dir()).expect("removed");
    for proof in [&by_payment, &earlier] {
        let file = sample.file("proof.json", proof);
        for key in [key.trim(), text(&key_file)] {
            let shown = ok(millrace(["audit", "check-proof", text(&file), "--key", key]));
            assert!(shown.starts_with(line), "{shown}");
            assert!(
                shown.contains(&format!("is entry {index} (seq {seq}) of the log millrace-audit"))
            );
        }
        let args = ["audit", "check-proof", text(&file), "--key", key.trim(), "--json"];
        let proven = json(&ok(millrace(args)));
        assert_eq!(proven["entry"]["payment"], payment.as_str());
        let forged =
            proof.replacen("SETTLED", "REJECTED", 1).replacen("\\\"amount", "\\\"Amount", 1);
        let file = sample.file("forged.json", &forged);
        let finished = millrace(["audit", "check-proof", text(&file), "--key", key.trim()]);
        refused(&finished, 1, "error: the proof does not hold: the entry does not have the leaf");
        check_with_python(&sample, proof, &forged, key.trim());
    }
}

/// The auditor's own program from the documentation.
fn check_with_python(sample: &Sample, proof: &str, forged: &str, key: &str) {
    let check = |name: &str, content: &str| auditor::check(&sample.file(name, content), key);
    let Some(checked) = check("proof.json", proof) else { return };
    assert!(checked.is_ok_and(|shown| shown.contains("the proof holds")));
    assert!(check("forged.json", forged).is_some_and(|checked| checked.is_err()));
}

#[test]
fn entries_are_found_and_exported() {
    let sample = Sample::new();
    let log = sample.log();
    assert_eq!(sample.printed("export", &[]), log, "the lines as they are");
    let some = sample.printed("export", &["--first", "5", "--last", "9"]);
    assert_eq!(
        some,
        log.lines().skip(5).take(5).map(|line| format!("{line}\n")).collect::<String>()
    );
    let payment = log.lines().map(json).find(|line| line["status"] == "SETTLED").expect("one");
    let id = payment["payment"].as_str().expect("text");
    let account = payment["debit"].as_str().expect("text");
    let of = |name: &str| {
        let quoted = format!("\"{name}\"");
        log.lines().filter(|line| line.contains(&quoted)).count()
    };
    let lines = |args: &[&str]| sample.printed("search", args).lines().count();
    assert_eq!(lines(&["--payment", id, "--json"]), of(id));
    assert_eq!(lines(&["--account", account, "--limit", "100000"]), of(account));
    let newest = sample.audit("search", &["--limit", "2", "--json"]);
    let found: Vec<_> = newest.stdout.lines().collect();
    let expected: Vec<_> = log.lines().rev().take(2).collect();
    assert_eq!(found, expected);
    assert!(newest.stderr.contains("--limit shows more"), "{newest:?}");
    let none = sample.audit("search", &["--actor", "nobody"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    assert!(none.stderr.contains("no entry that is kept fits"), "{none:?}");
    let csv = sample.scratch.path().join("entries.csv");
    let finished = sample.audit("export", &["--format", "csv", "--output", text(&csv)]);
    let count = log.lines().count();
    assert_eq!(finished.stderr, format!("{count} entries in {}\n", csv.display()));
    let mut reader = csv::Reader::from_path(&csv).expect("opens");
    let columns = reader.headers().expect("has them").clone();
    assert_eq!((columns.get(0), columns.iter().next_back()), (Some("index"), Some("leaf_hash")));
    let records: Vec<csv::StringRecord> =
        reader.records().collect::<Result<_, _>>().expect("is CSV");
    assert_eq!(records.len(), count);
    for (record, line) in records.iter().zip(log.lines()) {
        let line = json(line);
        for (name, cell) in columns.iter().zip(record).filter(|(name, _)| line.get(name).is_some())
        {
            let text = line[name].as_str().map_or_else(|| line[name].to_string(), str::to_owned);
            assert_eq!(cell, text, "{name}");
        }
    }
}

#[test]
fn wrong_input_is_told_in_a_sentence() {
    let sample = Sample::new();
    let entries = sample.log().lines().count().to_string();
    let nowhere = sample.scratch.path().join("nowhere");
    let at = |dir: &Path, args: &[&str]| {
        let (command, rest) = args.split_first().expect("a command");
        let start = ["audit", command, "--data-dir", text(dir)];
        millrace(start.into_iter().chain(rest.iter().copied()))
    };
    for command in [&["verify"][..], &["search"], &["key"], &["prove", "--index", "0"]] {
        refused(&at(&nowhere, command), 1, "there is no audit log in");
    }
    let id = "01930000-0000-7000-8000-0000000fffff";
    let cases: [(&[&str], i32, &str); 14] = [
        (&["prove"], 2, "--index"),
        (&["prove", "--index", "1", "--seq", "1"], 2, "cannot be used with"),
        (&["prove", "--seq", "0"], 2, "0 is not in 1.."),
        (&["prove", "--payment", "x"], 2, "invalid value 'x'"),
        (&["prove", "--payment", id], 1, "the audit log keeps no payment 01930000"),
        (&["prove", "--index", &entries], 1, "numbered from 0"),
        (&["prove", "--index", "0", "--size", "999999"], 1, "no checkpoint covers entry"),
        (&["consistency", "--from", "5", "--to", "4"], 1, "no proof for entry or size 5"),
        (&["verify", "--key", "nonsense"], 1, "is neither a public key"),
        (&["verify", "--from", "9", "--to", "3"], 1, "swap them"),
        (&["verify", "--journal", "nowhere"], 1, "there is no journal in nowhere"),
        (&["verify", "--kept", "nowhere"], 1, "the checkpoint nowhere can't be read"),
        (&["search", "--from", "yesterday"], 2, "no time as in RFC 3339"),
        (&["export", "--first", "4", "--last", "2"], 1, "swap them"),
    ];
    for (args, code, part) in cases {
        refused(&at(&sample.data_dir(), args), code, part);
    }
    let key = sample.printed("key", &[]);
    for (content, part) in [("", "it is not a proof"), ("{}", "it is not a proof")] {
        let file = sample.file("proof.json", content);
        let finished = millrace(["audit", "check-proof", text(&file), "--key", key.trim()]);
        refused(&finished, 1, part);
    }
    let args = ["audit", "check-proof", "nowhere.json", "--key", key.trim()];
    refused(&millrace(args), 1, "the proof nowhere.json can't be read");
    let pem = sample.printed("key", &["--pem"]);
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"), "{pem}");
}
