//! The loop of an analyst on the real binary: payments come in, frauds are reported, a model learns
//! from the journal, and is promoted, explained, backed up and taken back.

#[path = "risk_promote/bench.rs"]
mod bench;
#[path = "risk_promote/explained.rs"]
mod explained;
#[path = "risk_promote/lists.rs"]
mod lists;
mod support;

use std::{fs, path::Path};

use bench::{Bench, TRAIN};
use serde_json::Value;
use support::{eventually, process::millrace, server::Server};

/// The whole loop, in the order in which it is gone through: each step needs what those before made.
#[test]
fn what_analysts_report_is_trained_on_promoted_explained_and_backed_up() {
    let mut bench = Bench::new();
    let (data, model) = (bench.data_dir(), bench.scratch.file("model.mrm"));
    let train = ["risk", "train", "--journal", &data, "--train", TRAIN, "--json", "--out", &model];
    let trained = millrace(train).json();
    let known = bench.reported.iter().filter(|(_, trained_on)| *trained_on).count();
    assert!(known > 20, "the payments have frauds");
    assert_eq!(trained["frauds"], known, "as many as were reported: {trained}");

    promotions(&bench, &model);
    lists::lists(&bench);
    let payment = explained::decisions_have_words(&bench);
    explained::the_catalogue_grows(&mut bench, &payment);
    backups_have_the_shelf(&bench);
    rollback(&bench);
    let audit = Path::new(&data).join("audit/audit.jsonl");
    eventually("the audit log tells of the uploads", || {
        let log = fs::read_to_string(&audit).expect("is there");
        let uploads =
            [r#""upload":{"kind":"model""#, r#""title":"model.mrm""#, r#""kind":"rules""#];
        uploads.iter().all(|part| log.contains(part)).then_some(())
    });
    bench.server.take().expect("it runs").stop();
}

fn promotions(bench: &Bench, model: &str) {
    // Nothing is in force yet, and a dry run leaves it so.
    let dry = bench.promote(&["--model", model, "--review-at", "0.05", "--dry-run"]);
    assert_eq!((&dry["before"], &dry["dry_run"]), (&Value::Null, &Value::Bool(true)), "{dry}");
    assert!(bench.risk(&["policy", "show"]).stderr.contains("no policy was set yet"));
    let first = bench.promote(&["--model", model, "--review-at", "0.05", "--name", "march"]);
    assert_eq!(first["after"]["number"], 1, "{first}");
    assert_eq!(Bench::parts(&first), ["name", "model", "review from"]);
    let digest = first["changes"][1]["after"].as_str().expect("a digest").to_owned();
    assert_eq!(
        digest,
        blake3::hash(&fs::read(model).expect("is there")).to_hex().to_string(),
        "the model that was named"
    );

    // Rules come into the same policy; the rest stays.
    let rule = "[[rule]]\nname = \"huge\"\nwhen = \"amount > 100000\"\naction = \"block\"\n\
                reason = \"{amount}\"\n";
    let rules = bench.scratch.write("rules.toml", rule);
    let second = bench.promote(&["--rules", &rules]);
    assert_eq!((Bench::parts(&second), &second["before"]), (vec!["rules"], &first["after"]));
    let document = bench.document();
    for part in ["name = \"march\"", &digest, "review = 0.05"] {
        assert!(document.contains(part), "no {part} in {document}");
    }
    let again = bench.promote(&["--rules", &rules]);
    assert_eq!((&again["replayed"], &again["after"]), (&Value::Bool(true), &second["after"]));

    // What can't be used changes nothing.
    let whole = fs::read(model).expect("is there");
    let cut = bench.scratch.write("cut.mrm", &whole[..whole.len() - 10]);
    let wrong = bench.scratch.write("wrong.toml", rule.replace("amount >", "amuont >"));
    let other = bench.scratch.file("book.mrm");
    let train =
        ["risk", "train", "--journal", &bench.data_dir(), "--train", TRAIN, "--out", &other];
    let book = ["--catalogue", "book", "--algorithm", "logistic"];
    millrace(train.into_iter().chain(book)).done();
    for (args, said) in [
        (&["--model", &cut][..], "it was cut short"),
        (&["--model", &other], "or train the model again on this catalogue"),
        (&["--model", &other], "the one in force stays"),
        (&["--rules", &wrong], "did you mean"),
        (&["--model", "nowhere.mrm"], "nowhere.mrm can't be read"),
        (&["--model", &wrong], "no model"),
        (&["--decline-at", "0.01"], "decline (0.01) is below review (0.05)"),
        (&[], "nothing is to be promoted"),
    ] {
        bench.refused(args, said);
    }
    assert_eq!(bench.document(), document, "the policy in force stays");
}

/// A policy that is in force comes back with the backup, and without its shelf it would not.
fn backups_have_the_shelf(bench: &Bench) {
    let (backup, restored) = (bench.scratch.file("backup"), bench.scratch.file("restored"));
    let data = bench.data_dir();
    let report = millrace(["backup", "--json", "--data-dir", &data, "--to", &backup]).json();
    let artefacts = report["artefacts"].as_u64().expect("is a number");
    assert!(artefacts >= 5, "a model, rules, policies: {report}");
    let restore = ["restore", "--json", "--from", &backup, "--to", &restored];
    assert_eq!(millrace(restore).json()["artefacts"], artefacts);
    let config = bench.scratch.join("millrace.toml");
    let server = Server::start(&config, Path::new(&restored));
    let url = server.url();
    let show = || millrace(["risk", "policy", "show", "--json", "--target", &url]);
    let there = eventually("the desk has read the journal", || {
        let shown = show();
        (shown.code == Some(0)).then(|| shown.json())
    });
    assert_eq!(there["document"], bench.document());
    server.stop();
}

fn rollback(bench: &Bench) {
    let before = bench.document();
    assert!(before.contains("review = 0.0"), "{before}");
    bench.signed(&["promote", "--rollback"]).done();
    assert!(bench.document().contains("review = 0.05"), "{}", bench.document());
    let finished = bench.signed(&["promote", "--rollback", "--review-at", "0.5"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
}
