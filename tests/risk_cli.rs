//! `millrace risk train`, `eval` and the analyst's other commands, by the real binary: on generated
//! payments, on the journal of a demo and, where the shared data is there, on the book's standard
//! split. What is wrong gets a sentence.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    process::{Finished, millrace},
    repository, text,
};
use tempfile::TempDir;

const TRAIN: &str = "2026-01-10..2026-01-31";
const TEST: &str = "2026-02-08..2026-02-19";

/// A folder with payments, and a model that was trained on them.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a temporary directory") };
        let (data, model) = (bench.path("payments.csv.gz"), bench.path("model.mrm"));
        let generated =
            ["generate", "--payments", "20000", "--days", "50", "--fraud-share", "0.02"];
        risk(generated.into_iter().chain(["--seed", "3", "--json", "--out", &data]));
        risk(["train", "--data", &data, "--train", TRAIN, "--json", "--out", &model]);
        bench
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).expect("it was written")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.folder.path().join(name), bytes).expect("a temporary file");
        self.path(name)
    }
}

/// Runs `millrace risk …`, which must do without complaint.
#[track_caller]
fn risk<'a>(args: impl IntoIterator<Item = &'a str>) -> String {
    let finished = millrace(["risk"].into_iter().chain(args));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[track_caller]
fn json<'a>(args: impl IntoIterator<Item = &'a str>) -> Value {
    let printed = risk(args.into_iter().chain(["--json"]));
    assert_eq!(printed.lines().count(), 1, "{printed}");
    serde_json::from_str(&printed).expect("is JSON")
}

fn number(json: &Value, pointer: &str) -> f64 {
    json.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// A report stands alone, and is not cut short.
fn check_report(html: &[u8]) {
    let html = std::str::from_utf8(html).expect("is UTF-8");
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for outside in ["http:", "https:", "src=", "<script"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn an_analyst_goes_from_payments_to_thresholds() {
    let bench = Bench::new();
    let (data, model) = (bench.path("payments.csv.gz"), bench.path("model.mrm"));
    let on_test = ["--data", &data, "--test", TEST];
    let with = |command: &'static str, more: &[&'static str]| -> Vec<&str> {
        [&[command, "--model", &model][..], &on_test[..], more].concat()
    };

    // The same bytes again; and the model alone tells what it needs.
    let again = bench.path("again.mrm");
    risk(["train", "--data", &data, "--train", TRAIN, "--out", &again]);
    assert!(bench.read("model.mrm") == bench.read("again.mrm"), "the same model");
    let evaluated = json(with("eval", &["--label-delay", "7d"]));
    assert!(number(&evaluated, "/average_precision") > 0.2, "{evaluated}");
    assert!(number(&evaluated, "/roc_auc") > 0.7, "{evaluated}");
    assert!(number(&evaluated, "/card_precision_at_100") > 0.0, "{evaluated}");
    assert_eq!(evaluated.pointer("/settings/label_delay"), Some(&"7d".into()));
    assert_eq!(evaluated.pointer("/settings/test"), Some(&TEST.into()));
    assert!(number(&evaluated, "/intervals/roc_auc/low") < number(&evaluated, "/roc_auc"));

    let report = bench.path("report.html");
    let printed =
        risk(with("eval", &["--bootstrap", "20"]).into_iter().chain(["--report", &report]));
    assert!(printed.contains("average precision"), "{printed}");
    check_report(&bench.read("report.html"));

    let page = bench.path("explain.html");
    let explained =
        json(with("explain", &["--highest", "2"]).into_iter().chain(["--report", &page]));
    check_report(&bench.read("explain.html"));
    let page = String::from_utf8(bench.read("explain.html")).expect("is UTF-8");
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
    let bench = Bench::new();
    let (data, model) = (bench.path("payments.csv.gz"), bench.path("model.mrm"));
    let other = bench.path("other.mrm");
    let logistic = ["--catalogue", "book", "--algorithm", "logistic"];
    let train = ["train", "--data", &data, "--train", TRAIN, "--out", &other];
    risk(train.into_iter().chain(logistic));
    let compared = ["compare", "--champion", &model, "--challenger", &other];
    let report = bench.path("compare.html");
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
    let page = bench.path("rules.html");
    let checked = json(check.into_iter().chain(["--report", &page]));
    check_report(&bench.read("rules.html"));
    let page = String::from_utf8(bench.read("rules.html")).expect("is UTF-8");
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
    let bench = Bench::new();
    let (model, payments) = (bench.path("anomaly.mrm"), bench.path("few.csv"));
    risk(["generate", "--payments", "1500", "--seed", "5", "--out", &payments]);
    let data_dir = bench.path("data");
    let demo = ["demo", "--once", "--json", "--data-dir", &data_dir, "--file", &payments];
    let finished = millrace(demo);
    assert_eq!(finished.code, Some(0), "{finished:?}");

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
    let bench = Bench::new();
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

#[test]
fn what_is_not_right_gets_a_sentence() {
    let bench = Bench::new();
    let (data, model) = (bench.path("payments.csv.gz"), bench.path("model.mrm"));
    let whole = bench.read("model.mrm");
    let cut = bench.write("cut.mrm", &whole[..whole.len() - 100]);
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    let altered = bench.write("altered.mrm", &bytes);
    bytes = whole;
    bytes[8] = 9;
    let newer = bench.write("newer.mrm", &bytes);
    let text = bench.write("text.mrm", "hello");
    let header = "payment_id,time,customer,terminal,amount,is_fraud\n";
    let row = |day: u32, label: u32| format!("{day},2026-01-{day:02}T00:00:00Z,a,b,5.00,{label}\n");
    let unsorted = bench.write("unsorted.csv", format!("{header}{}{}", row(9, 0), row(3, 1)));
    let one_class = bench.write("one.csv", format!("{header}{}{}", row(3, 0), row(9, 0)));
    let nan = bench.write("nan.csv", format!("{header}1,2026-01-03T00:00:00Z,a,b,NaN,0\n"));
    let no_column = bench.write("column.csv", "time,customer,amount,is_fraud\n");
    let rules = bench.write("rules.toml", "[[rule]]\nname = \"a\"\nwhen = \"amout > 5\"\n");
    let list = bench.write("list.csv", "value,expires_at\na,tomorrow\n");
    let out = bench.path("never.mrm");
    let eval = |model: &str| -> Vec<String> {
        ["eval", "--model", model, "--data", &data, "--test", TEST].map(str::to_owned).to_vec()
    };
    let train = |data: &str, more: &[&str]| -> Vec<String> {
        let args = ["train", "--data", data, "--train", "2026-01-01..2026-01-20", "--out", &out];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    };
    let with =
        |args: &[&str]| -> Vec<String> { args.iter().map(|arg| (*arg).to_owned()).collect() };
    let cases = [
        (1, eval("nowhere.mrm"), "nowhere.mrm: can't be read"),
        (1, eval(&cut), "it was cut short or added to; copy it again"),
        (1, eval(&altered), "was altered"),
        (1, eval(&newer), "the model's format is version"),
        (1, eval(&text), "this is no model of Millrace"),
        (1, [eval(&model), with(&["--catalogue", "book"])].concat(), "the model needs the feature"),
        (
            1,
            with(&["eval", "--model", &model, "--data", &data, "--test", "2030-01-01..2030-01-02"]),
            "no payments from 2030-01-01..2030-01-02; the data spans 2026-01-01..2026-02-19",
        ),
        (
            2,
            with(&["eval", "--model", &model, "--data", &data, "--test", "2026-02-30"]),
            "is not a day between 1970 and 2554; write it as 2018-07-25",
        ),
        (1, with(&["eval", "--model", &model, "--test", TEST]), "name a file with --data"),
        (1, train(&unsorted, &[]), "add --sort"),
        (1, train(&one_class, &[]), "both fraud and legitimate payments are needed"),
        (1, train(&nan, &[]), "line 2, column amount: \"NaN\""),
        (1, train(&no_column, &[]), "no column for payee"),
        (1, train(&no_column, &[]), "or map it with --columns ROLE=HEADER"),
        (1, train(&data, &["--trees", "5"]), "--trees is no setting of blend"),
        (
            1,
            train(&data, &["--algorithm", "boosting", "--trees", "0"]),
            "trees is 0: it must be 1 to 5000",
        ),
        (1, train(&data, &["--catalogue", "mine.toml"]), "name a file, book, standard or devices"),
        (1, with(&["rules", "check", &rules]), "line 3, column 9"),
        (1, with(&["rules", "check", &rules]), "did you mean"),
        (2, with(&["rules", "check", &rules, "--list", "x"]), "write NAME:KIND=FILE"),
        (1, with(&["lists", "check", &list]), "line 2, column 2 (expires_at)"),
        (
            1,
            with(&["backtest", "--model", &model, "--data", &data, "--review-at", "3"]),
            "a score is a probability of 0 to 1",
        ),
        (
            1,
            with(&[
                "explain",
                "--model",
                &model,
                "--data",
                &data,
                "--test",
                TEST,
                "--payment",
                "none",
            ]),
            "no payment of 2026-02-08..2026-02-19 has the id none",
        ),
        (
            1,
            with(&["tune", "--model", &model, "--data", &data, "--test", TEST, "--cost-review=-1"]),
            "the cost of a review is -1; it must be 0 or more",
        ),
        (
            1,
            with(&["drift", "--journal", "/nowhere", "--before", TRAIN, "--now", TEST]),
            "there is no journal in /nowhere: name the data directory of a millrace with --journal",
        ),
    ];
    for (code, args, part) in cases {
        let finished = millrace(["risk"].into_iter().chain(args.iter().map(String::as_str)));
        let Finished { code: found, stderr, .. } = &finished;
        assert_eq!(*found, Some(code), "{args:?}: {finished:?}");
        assert!(stderr.contains(part), "{args:?}: no {part:?} in {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    assert!(!Path::new(&out).exists(), "no model was left");
}

/// The features of the fixtures that LightGBM and XGBoost wrote.
const FOREIGN: &str = r#"
version = 1
[[entity]]
name = "payer"
[[entity]]
name = "payee"
[[feature]]
name = "amount"
statistic = "amount"
description = "Amount"
[[feature]]
name = "payer.count_1d"
entity = "payer"
statistic = "count"
window = "1d"
description = "Count"
[[feature]]
name = "payer.mean_7d"
entity = "payer"
statistic = "mean"
window = "7d"
description = "Mean"
[[feature]]
name = "payee.share_30d"
entity = "payee"
statistic = "fraud_share"
window = "30d"
description = "Share"
[[feature]]
name = "night"
statistic = "night"
description = "Night"
[[feature]]
name = "age"
entity = "payer"
statistic = "age"
description = "Age"
"#;

#[test]
fn models_of_other_libraries_are_evaluated() {
    let bench = Bench::new();
    let (data, catalogue) = (bench.path("payments.csv.gz"), bench.write("f.toml", FOREIGN));
    let fixture = |name: &str| repository("risk/tests/fixtures").join(name);
    let mut found = Vec::new();
    for name in ["lightgbm-nan.txt", "lightgbm-none-json.json", "xgboost.json"] {
        let model = fixture(name);
        let model = ["--model", text(&model), "--catalogue", &catalogue];
        let on_test = ["--data", &data, "--test", TEST, "--bootstrap", "0"];
        let evaluated = json(["eval"].into_iter().chain(model).chain(on_test));
        let roc_auc = number(&evaluated, "/roc_auc");
        assert!(roc_auc > 0.0 && roc_auc < 1.0, "{name}: {evaluated}");
        assert_eq!(
            number(&evaluated, "/frauds"),
            number(&json_of_own(&bench), "/frauds"),
            "{name}"
        );
        let explained = json(
            ["explain"].into_iter().chain(model).chain(on_test).take(9).chain(["--highest", "1"]),
        );
        let score = number(&explained, "/payments/0/score");
        assert!((0.0..=1.0).contains(&score), "{name}: {explained}");
        found.push(roc_auc);
    }
    assert!(found[0] != found[2], "each its own scores: {found:?}");
    // Without their catalogue, nobody knows what their features are.
    let model = fixture("xgboost.json");
    let eval = ["risk", "eval", "--model", text(&model), "--data", &data, "--test", TEST];
    let finished = millrace(eval);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("--catalogue"), "{}", finished.stderr);
}

/// What our own model is tested on.
fn json_of_own(bench: &Bench) -> Value {
    let (data, model) = (bench.path("payments.csv.gz"), bench.path("model.mrm"));
    json(["eval", "--model", &model, "--data", &data, "--test", TEST, "--bootstrap", "0"])
}

/// The book's split, its four numbers, and what the issue asks for.
#[test]
fn the_standard_split_gives_what_is_published_and_more() {
    let data = repository("../shared/data/card-payments/payments.csv.gz");
    if !data.exists() {
        eprintln!("skipped: {} is not there", data.display());
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (data, model) = (text(&data), folder.path().join("book.mrm"));
    let train =
        ["train", "--data", data, "--train", "2018-07-25..2018-07-31", "--out", text(&model)];
    let trained = json(train.into_iter().chain(["--catalogue", "book"]));
    assert_eq!((number(&trained, "/rows"), number(&trained, "/frauds")), (67_240.0, 598.0));
    let eval = ["eval", "--model", text(&model), "--data", data, "--bootstrap", "0"];
    let test = ["--test", "2018-08-08..2018-08-14", "--label-delay", "7d"];
    let it = json(eval.into_iter().chain(test));
    assert_eq!((number(&it, "/rows"), number(&it, "/frauds")), (58_264.0, 385.0));
    assert!(number(&it, "/average_precision") >= 0.68, "{it}");
    assert!(number(&it, "/roc_auc") >= 0.865, "{it}");
    assert!(number(&it, "/card_precision_at_100") >= 0.295, "{it}");
}
