//! `millrace risk train`, `eval` and the analyst's other commands, by the real binary: on generated
//! payments, on the journal of a demo and, where the shared data is there, on the book's standard
//! split. What is wrong gets a sentence.

#[path = "risk_cli/models.rs"]
mod models;
mod support;
#[path = "risk_cli/wrong.rs"]
mod wrong;

use serde_json::Value;
use support::{process::millrace, scratch::Scratch};

const TRAIN: &str = "2026-01-10..2026-01-31";
const TEST: &str = "2026-02-08..2026-02-19";

/// A folder with payments, and a model that was trained on them.
fn bench() -> Scratch {
    let bench = Scratch::new();
    let (data, model) = (bench.file("payments.csv.gz"), bench.file("model.mrm"));
    let generated = ["generate", "--payments", "20000", "--days", "50", "--fraud-share", "0.02"];
    risk(generated.into_iter().chain(["--seed", "3", "--json", "--out", &data]));
    risk(["train", "--data", &data, "--train", TRAIN, "--json", "--out", &model]);
    bench
}

/// Runs `millrace risk …`, which must do without complaint.
#[track_caller]
fn risk<'a>(args: impl IntoIterator<Item = &'a str>) -> String {
    millrace(["risk"].into_iter().chain(args)).done()
}

#[track_caller]
fn json<'a>(args: impl IntoIterator<Item = &'a str>) -> Value {
    millrace(["risk"].into_iter().chain(args).chain(["--json"])).json()
}

fn number(json: &Value, pointer: &str) -> f64 {
    json.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// A report stands alone, and is not cut short.
fn check_report(html: &str) {
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for outside in ["http:", "https:", "src=", "<script"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn an_analyst_goes_from_payments_to_thresholds() {
    let bench = bench();
    let (data, model) = (bench.file("payments.csv.gz"), bench.file("model.mrm"));
    let on_test = ["--data", &data, "--test", TEST];
    let with = |command: &'static str, more: &[&'static str]| -> Vec<&str> {
        [&[command, "--model", &model][..], &on_test[..], more].concat()
    };

    // The same bytes again; and the model alone tells what it needs.
    let again = bench.file("again.mrm");
    risk(["train", "--data", &data, "--train", TRAIN, "--out", &again]);
    assert!(bench.read_bytes("model.mrm") == bench.read_bytes("again.mrm"), "the same model");
    let evaluated = json(with("eval", &["--label-delay", "7d"]));
    assert!(number(&evaluated, "/average_precision") > 0.2, "{evaluated}");
    assert!(number(&evaluated, "/roc_auc") > 0.7, "{evaluated}");
    assert!(number(&evaluated, "/card_precision_at_100") > 0.0, "{evaluated}");
    assert_eq!(evaluated.pointer("/settings/label_delay"), Some(&"7d".into()));
    assert_eq!(evaluated.pointer("/settings/test"), Some(&TEST.into()));
    assert!(number(&evaluated, "/intervals/roc_auc/low") < number(&evaluated, "/roc_auc"));

    let report = bench.file("report.html");
    let printed =
        risk(with("eval", &["--bootstrap", "20"]).into_iter().chain(["--report", &report]));
    assert!(printed.contains("average precision"), "{printed}");
    check_report(&bench.read("report.html"));

    let page = bench.file("explain.html");
    let explained =
        json(with("explain", &["--highest", "2"]).into_iter().chain(["--report", &page]));
    check_report(&bench.read("explain.html"));
    let page = bench.read("explain.html");
    let reason = number(&explained, "/payments/0/reasons/0/share") * 100.0;
    for part in ["precision lost without it".to_owned(), format!("<li>{reason:.1}%: ")] {
        assert!(page.contains(&part), "no {part} in the report");
    }
    let payments = explained["payments"].as_array().expect("a list");
    assert_eq!(payments.len(), 2);
    let words = payments[0].pointer("/reasons/0/words").and_then(Value::as_str);
    assert!(words.is_some_and(|words| words.len() > 10), "{explained}");
    let id = payments[0]["payment"].as_str().expect("an id").to_owned();
    let one = json(with("explain", &[]).into_iter().chain(["--payment", &id]));
    assert_eq!(one.pointer("/payments/0"), Some(&payments[0]), "alone as among others");

    let tuned = json(with("tune", &["--capacity", "5", "--cost-challenge", "0.5"]));
    assert!(number(&tuned, "/tuning/reviews_per_day") <= 5.0, "{tuned}");
    assert!(number(&tuned, "/tuning/cost") <= number(&tuned, "/tuning/cost_without"));

    let drift = ["drift", "--model", &model, "--data", &data, "--before", TRAIN, "--now", TEST];
    let drift = json(drift);
    let drifted = drift.pointer("/drift/features").and_then(Value::as_array).expect("a list");
    assert!(drifted.iter().any(|feature| feature["feature"] == "score"), "{drift}");
}

#[test]
fn a_challenger_meets_the_champion_and_history() {
    let bench = bench();
    let (data, model) = (bench.file("payments.csv.gz"), bench.file("model.mrm"));
    let other = bench.file("other.mrm");
    let logistic = ["--catalogue", "book", "--algorithm", "logistic"];
    let train = ["train", "--data", &data, "--train", TRAIN, "--out", &other];
    risk(train.into_iter().chain(logistic));
    let compared = ["compare", "--champion", &model, "--challenger", &other];
    let report = bench.file("compare.html");
    let more = ["--data", &data, "--test", TEST, "--bootstrap", "50", "--report", &report];
    let compared = json(compared.into_iter().chain(more));
    let metrics = compared.pointer("/comparison/metrics").and_then(Value::as_array);
    assert_eq!(metrics.map(Vec::len), Some(4), "{compared}");
    check_report(&bench.read("compare.html"));

    let rules = bench.write("rules.toml", RULES);
    let list = bench.write("friends.csv", "value,expires_at,reason,added_by\nnobody,,test,me\n");
    let list = format!("friends:allow={list}");
    let backtest = ["backtest", "--model", &model, "--rules", &rules, "--list", &list];
    let tested = json(backtest.into_iter().chain(["--data", &data, "--decline-at", "0.9"]));
    assert_eq!(number(&tested, "/backtest/rows"), 20_000.0);
    let by_decision: f64 =
        (0..4).map(|place| number(&tested, &format!("/backtest/decisions/{place}/rows"))).sum();
    assert_eq!(by_decision, 20_000.0, "{tested}");
    let days = tested.pointer("/backtest/days").and_then(Value::as_array).expect("a list");
    let by_day: f64 = days.iter().map(|day| number(day, "/rows")).sum();
    assert_eq!((days.len(), by_day), (50, 20_000.0));
    let caught = number(&tested, "/backtest/money_caught");
    assert!(caught > 0.0 && caught <= number(&tested, "/backtest/money_frauds"), "{tested}");

    let check = ["rules", "check", &rules, "--list", &list, "--model", &model, "--data", &data];
    let page = bench.file("rules.html");
    let checked = json(check.into_iter().chain(["--report", &page]));
    check_report(&bench.read("rules.html"));
    let page = bench.read("rules.html");
    for part in ["What each rule would have done", "First payments that large holds for"] {
        assert!(page.contains(part), "no {part} in the report");
    }
    assert_eq!(number(&checked, "/dry_run/payments"), 20_000.0);
    let hits = |rule: usize| number(&checked, &format!("/dry_run/rules/{rule}/hits"));
    let decided = tested.pointer("/backtest/rules").and_then(Value::as_array).expect("a list");
    let decided = decided.iter().find(|rule| rule[0] == "large").map_or(0.0, |it| number(it, "/1"));
    assert!(hits(0) > 0.0 && hits(0) == decided, "{checked}");
    let printed = risk(["rules", "check", &rules, "--list", &list]);
    assert!(printed.contains("3 rules, all right"), "{printed}");
}

const RULES: &str = r#"
[[rule]]
name = "large"
when = "amount > 400 and payer.ratio_30d > 3"
action = "review"
reason = "{amount} is much for this payer"

[[rule]]
name = "friends"
when = "payer in friends"
action = "allow"
reason = "a friend"

[[rule]]
name = "certain"
when = "score > 0.99 and amount > 1_000_000"
action = "block"
reason = "score {score}"
"#;

#[test]
fn a_journal_is_history_too() {
    let bench = bench();
    let (model, payments) = (bench.file("anomaly.mrm"), bench.file("few.csv"));
    risk(["generate", "--payments", "1500", "--seed", "5", "--out", &payments]);
    let data_dir = bench.file("data");
    let demo = ["demo", "--once", "--json", "--data-dir", &data_dir, "--file", &payments];
    millrace(demo).done();

    let span = "2020-01-01..2099-12-31";
    let train = ["train", "--journal", &data_dir, "--train", span, "--out", &model];
    let trained = json(train.into_iter().chain(["--algorithm", "isolation-forest"]));
    // The accounts' first money came by payments, too.
    let rows = number(&trained, "/rows");
    assert!(rows >= 1_500.0, "{trained}");
    let tested = json(["backtest", "--model", &model, "--journal", &data_dir]);
    assert_eq!(number(&tested, "/backtest/rows"), rows, "{tested}");
    assert_eq!(number(&tested, "/backtest/frauds"), 0.0, "nobody reported any");

    // Nobody labelled anything, so a model that needs labels can't be had.
    let finished = millrace(["risk"].into_iter().chain(train));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("both fraud and legitimate payments are needed"));
}

#[test]
fn lists_are_checked_merged_and_thinned() {
    let bench = bench();
    let cards = bench.write(
        "cards.csv",
        "value,expires_at,reason,added_by\na,2026-01-01,stolen,anna\nb,,stolen,anna\n",
    );
    let more = bench.write("more.csv", "value,reason\nb,lost\nc,\n");
    let check = ["lists", "check", &cards, "--name", "cards", "--active-at"];
    let checked = json(check.into_iter().chain(["2026-06-01T00:00:00Z"]));
    assert_eq!((number(&checked, "/values"), number(&checked, "/active")), (2.0, 1.0));
    let import = ["lists", "import", &more, "--into", &cards, "--added-by", "ben"];
    let imported = json(import.into_iter().chain(["--reason", "case 7"]));
    assert_eq!((number(&imported, "/added"), number(&imported, "/replaced")), (1.0, 1.0));
    let exported = risk(["lists", "export", &cards, "--active-at", "2026-06-01T00:00:00Z"]);
    let expected = "value,expires_at,reason,added_by\nb,,lost,ben\nc,,case 7,ben\n";
    assert_eq!(exported, expected);
    let exported = risk(["lists", "export", &cards, "--json"]);
    let first: Value =
        serde_json::from_str(exported.lines().next().expect("a line")).expect("JSON");
    let expected = serde_json::json!({
        "value": "a", "expires_at": "2026-01-01T00:00:00Z", "reason": "stolen", "added_by": "anna",
    });
    assert_eq!((exported.lines().count(), first), (3, expected));
}
