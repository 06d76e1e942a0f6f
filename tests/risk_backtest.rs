//! `millrace risk backtest --policy` by the real binary: a policy with segments, rules and a list is
//! replayed over a file and over a journal, and decides what the server decided.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    config::funding_account, payments_file::PaymentsFile, process::millrace, risk::settings,
    scratch::Scratch, server::Server, text,
};

const RULES: &str = r#"
[[rule]]
name = "large"
when = "amount > 400 and payer.ratio_30d > 3"
action = "challenge"
reason = "{amount} is much for this payer"

[[rule]]
name = "known"
when = "payee in friends"
action = "allow"
reason = "a friend"

[[rule]]
name = "small"
when = "amount < 2"
action = "block"
reason = "{amount}"
shadow = true
"#;

/// Payments, a model, rules and a list; and what policies call the last three.
struct Bench {
    scratch: Scratch,
    names: [String; 3],
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    millrace(["risk"].iter().chain(args).chain(&["--json"])).json()
}

fn number(json: &Value, pointer: &str) -> f64 {
    json.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn sum(rows: &Value, pointer: &str) -> f64 {
    rows.as_array().expect("a list").iter().map(|row| number(row, pointer)).sum()
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let (data, model) = (scratch.file("payments.csv"), scratch.file("model.mrm"));
        let generate = ["risk", "generate", "--payments", "4000", "--days", "24", "--seed", "9"];
        millrace(generate.into_iter().chain(["--fraud-share", "0.02", "--out", &data])).done();
        let train = ["risk", "train", "--data", &data, "--train", "2026-01-05..2026-01-14"];
        millrace(train.into_iter().chain(["--out", &model])).done();
        scratch.write("rules.toml", RULES);
        scratch.write("friends.csv", "value\nnobody\n");
        let name = |file: &str| {
            let bytes = fs::read(scratch.join(file)).expect("was written");
            blake3::hash(&bytes).to_hex().to_string()
        };
        let names = ["model.mrm", "rules.toml", "friends.csv"].map(name);
        Self { scratch, names }
    }

    /// Writes a policy in which payments above 100 have a threshold of their own.
    fn policy(&self, name: &str, review: f32, review_large: f32) -> String {
        let [model, rules, friends] = &self.names;
        let document = format!(
            "name = \"{name}\"\nmodel = \"{model}\"\nrules = \"{rules}\"\n\
             [[list]]\nname = \"friends\"\nkind = \"allow\"\nartefact = \"{friends}\"\n\
             [thresholds]\nreview = {review}\ndecline = 0.9\n\
             [[segment]]\nname = \"large\"\nwhen = \"amount > 100\"\nreview = {review_large}\n\
             [budget]\nrequest_ms = 0\nthen = \"approve\"\n"
        );
        self.scratch.write(name, document)
    }
}

/// Segments add up, are those that their conditions name, and have their own thresholds.
#[test]
fn a_policy_with_segments_is_replayed_over_a_file() {
    let bench = Bench::new();
    let (data, model, rules) = (
        bench.scratch.file("payments.csv"),
        bench.scratch.file("model.mrm"),
        bench.scratch.file("rules.toml"),
    );
    let friends = format!("friends:allow={}", bench.scratch.file("friends.csv"));
    let folder = text(bench.scratch.path()).to_owned();
    let policy = bench.policy("policy.toml", 0.3, 0.05);
    let page = bench.scratch.file("backtest.html");
    let replayed = ["backtest", "--policy", &policy, "--shelf", &folder, "--data", &data];
    let tested = json(&[&replayed[..], &["--report", &page]].concat());
    let backtest = &tested["backtest"];
    let segments = &backtest["segments"];
    assert_eq!(segments[0]["segment"], "large", "{tested}");
    assert_eq!((&segments[1]["segment"], &segments[2]), (&"".into(), &Value::Null), "{tested}");
    assert_eq!(backtest["changes"], Value::Null, "nobody decided");
    for (place, decided) in ["approved", "reviewed", "challenged", "declined"].iter().enumerate() {
        let all = number(backtest, &format!("/decisions/{place}/rows"));
        assert_eq!(sum(segments, &format!("/now/{decided}")), all, "{decided}: {tested}");
    }
    assert_eq!(sum(segments, "/rows"), 4_000.0, "{tested}");
    let caught = sum(segments, "/now/money_caught");
    assert!((caught - number(backtest, "/money_caught")).abs() < 1e-6 && caught > 0.0, "{tested}");
    assert!(number(&segments[0], "/now/reviewed") > 0.0, "{tested}");
    assert_eq!(number(&segments[0], "/now/declined"), 0.0, "that segment declines nothing");
    let page = fs::read_to_string(&page).expect("was written");
    for part in ["<!doctype html>", "Segments", "large (amount &gt; 100): review from 0.05"] {
        assert!(page.contains(part), "no {part} in the report");
    }

    // Each segment by itself, as a policy without segments decides it.
    for (place, when, review, decline) in [
        (0, "amount > 100", "0.05", &[][..]),
        (1, "not amount > 100", "0.3", &["--decline-at", "0.9"]),
    ] {
        let rule = format!(
            "{RULES}\n[[rule]]\nname = \"other\"\nwhen = \"not ({when})\"\naction = \"allow\"\n\
             reason = \"another segment\"\n"
        );
        let only = bench.scratch.write("only.toml", rule);
        let alone = ["backtest", "--model", &model, "--rules", &only, "--list", &friends];
        let more = ["--data", &data, "--review-at", review];
        let alone = json(&[&alone[..], &more, decline].concat());
        for (number_of, decided) in [(1, "reviewed"), (2, "challenged"), (3, "declined")] {
            let expected = number(&alone, &format!("/backtest/decisions/{number_of}/rows"));
            let found = number(&segments[place], &format!("/now/{decided}"));
            assert_eq!(found, expected, "{when}, {decided}");
        }
    }

    // What is named on the command line replaces its part; files are found without a shelf.
    let named = ["backtest", "--policy", &policy, "--model", &model, "--rules", &rules];
    let named = json(&[&named[..], &["--list", &friends, "--data", &data]].concat());
    assert_eq!(named["backtest"]["segments"], *segments, "the same parts");
    let stricter = json(&[&replayed[..], &["--review-at", "0.01"]].concat());
    let of = |tested: &Value, segment: usize| {
        number(tested, &format!("/backtest/segments/{segment}/now/reviewed"))
    };
    assert_eq!(of(&stricter, 0), of(&tested, 0), "the segment has its own");
    assert!(of(&stricter, 1) > of(&tested, 1), "{stricter}");

    let wrong = bench.scratch.write("wrong.toml", "model = \"ab\"\n[thresholds]\nreview = 2.0\n");
    let nowhere = ["risk", "backtest", "--policy", &policy, "--data", &data];
    for (args, said) in [
        (&nowhere[..], "with --shelf; or name the file itself"),
        (&["risk", "backtest", "--policy", &wrong, "--data", &data], "scores are probabilities"),
        (&["risk", "backtest", "--policy", "none.toml", "--data", &data], "can't be read"),
        (&["risk", "backtest", "--rules", &rules, "--shelf", &folder], "--policy"),
    ] {
        let finished = millrace(args);
        assert_ne!(finished.code, Some(0), "{args:?}");
        assert!(finished.stderr.contains(said), "{args:?}: no {said:?} in {}", finished.stderr);
    }
}

/// The policy that decided decides the same again; another one differs by what is told.
#[test]
fn a_journal_tells_what_another_policy_would_have_changed() {
    let bench = Bench::new();
    let file = bench.scratch.file("payments.csv");
    let mapping = PaymentsFile::read(&file).mapping;
    let config = settings().exempting_funding_of(&mapping).write(bench.scratch.path());
    let data_dir = bench.scratch.file("data");
    let server = Server::start(&config, Path::new(&data_dir));
    let url = server.url();
    for (kind, file) in [("model", "model.mrm"), ("rules", "rules.toml"), ("list", "friends.csv")] {
        let file = bench.scratch.file(file);
        server.signed(&["upload", kind, &file]).done();
    }
    let policy = bench.policy("policy.toml", 0.3, 0.05);
    server.signed(&["policy", "set", &policy]).done();
    // Some payments are refused, which the command tells by its exit code.
    let _ = millrace(["submit", "--open-accounts", "--target", &url, "--file", &file]);
    server.stop();

    // The accounts' first money is none of the policy's business.
    let funding = funding_account(&mapping, "EUR");
    let on_journal = ["--journal", &data_dir, "--exempt-payer", &funding];
    let replayed =
        |policy: &str| json(&[&["backtest", "--policy", policy][..], &on_journal].concat());
    let same = replayed(&policy);
    let of_number = replayed("1");
    assert_eq!(of_number["backtest"], same["backtest"], "the first that was set");
    assert_eq!(number(&same, "/backtest/rows"), 4_000.0, "{same}");
    assert_eq!(same["backtest"]["changes"], Value::Array(Vec::new()), "{same}");
    for segment in same["backtest"]["segments"].as_array().expect("a list") {
        assert_eq!(segment["then"], segment["now"], "{segment}");
    }
    let reviewed = sum(&same["backtest"]["segments"], "/now/reviewed");
    assert!(
        reviewed > 0.0 && sum(&same["backtest"]["segments"], "/now/challenged") > 0.0,
        "{same}"
    );

    let milder = bench.policy("milder.toml", 0.3, 0.5);
    let milder = replayed(&milder);
    let (changes, segments) = (&milder["backtest"]["changes"], &milder["backtest"]["segments"]);
    assert_eq!(changes.as_array().map(Vec::len), Some(1), "{milder}");
    assert_eq!((&changes[0]["then"], &changes[0]["now"]), (&"review".into(), &"approve".into()));
    let fewer = number(&segments[0], "/then/reviewed") - number(&segments[0], "/now/reviewed");
    assert_eq!(number(&changes[0], "/rows"), fewer, "{milder}");
    assert!(fewer > 0.0, "{milder}");
    assert_eq!(segments[1]["then"], segments[1]["now"], "the other segment is as it was");

    let milder = bench.scratch.file("milder.toml");
    let backtest = ["risk", "backtest", "--policy", &milder];
    let printed = millrace(backtest.into_iter().chain(on_journal)).done();
    for part in ["segment, against then", "review -> approve", "decided as then: "] {
        assert!(printed.contains(part), "no {part} in {printed}");
    }
}
