//! Models that others know: consumes those that other libraries wrote, and the book's standard
//! split, produces scores, and at least the figures that the book has.

use serde_json::Value;

use crate::{
    TEST, bench, json, number,
    support::{process::millrace, repository, scratch::Scratch, text},
};

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
    let bench = bench();
    let (data, catalogue) = (bench.file("payments.csv.gz"), bench.write("f.toml", FOREIGN));
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
fn json_of_own(bench: &Scratch) -> Value {
    let (data, model) = (bench.file("payments.csv.gz"), bench.file("model.mrm"));
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
