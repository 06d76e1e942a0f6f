//! Models of other libraries score as those libraries do: files that they wrote, and what they
//! predicted (`fixtures/write.py`).

use std::{fs, path::PathBuf};

use millrace_risk::model::{
    Model,
    import::{ImportError, import},
};

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows, and the prediction for each.
fn predictions(name: &str) -> (Vec<f32>, Vec<f64>) {
    let (mut rows, mut predictions) = (Vec::new(), Vec::new());
    for line in fixture(name).lines().skip(1) {
        let (row, prediction) = line.rsplit_once(',').expect("several fields");
        let value = |field: &str| match field {
            "" => f32::NAN,
            _ => field.parse().expect("a number"),
        };
        rows.extend(row.split(',').map(value));
        predictions.push(prediction.parse().expect("a number"));
    }
    (rows, predictions)
}

#[test]
fn scores_are_those_of_the_library() {
    for (file, csv, raw) in [
        ("lightgbm-nan.txt", "lightgbm-nan.csv", false),
        ("lightgbm-nan-json.json", "lightgbm-nan-json.csv", false),
        ("lightgbm-zero.txt", "lightgbm-zero.csv", false),
        ("lightgbm-none.txt", "lightgbm-none.csv", false),
        ("lightgbm-none-json.json", "lightgbm-none-json.csv", false),
        ("lightgbm-forest.txt", "lightgbm-forest.csv", false),
        ("lightgbm-slope.txt", "lightgbm-slope.csv", false),
        ("lightgbm-dart.txt", "lightgbm-dart.csv", false),
        ("xgboost.json", "xgboost.csv", false),
        ("xgboost-exact.json", "xgboost-exact.csv", false),
        ("xgboost-dart.json", "xgboost-dart.csv", false),
        ("xgboost-raw.json", "xgboost-raw.csv", true),
    ] {
        let model = import(fixture(file).as_bytes(), file).expect(file);
        let (rows, expected) = predictions(csv);
        assert_eq!(expected.len(), 200);
        let scores: Vec<f64> = if raw {
            let mut sums = vec![0.0; expected.len()];
            model.score_raw(&rows, &mut sums);
            sums
        } else {
            let mut scores = vec![0.0; expected.len()];
            model.score(&rows, &mut scores);
            scores.into_iter().map(f64::from).collect()
        };
        // XGBoost adds up in 32 bits.
        let near = if raw { 2e-6 } else { 1e-6 };
        for (row, (score, expected)) in scores.iter().zip(&expected).enumerate() {
            assert!((score - expected).abs() < near, "{file}, row {row}: {score} for {expected}");
        }
        assert_eq!(model.facts().source, file);
        assert_eq!(Model::from_bytes(&model.to_bytes()), Ok(model), "{file}");
    }
}

#[test]
fn what_cannot_be_scored_is_refused_with_a_sentence() {
    let light = fixture("lightgbm-nan.txt");
    let light_json = fixture("lightgbm-nan-json.json");
    let extreme = fixture("xgboost.json");
    let binary = "train it with objective=binary";
    for (text, message) in [
        ("id,amount\n1,2\n".to_owned(), "is no model that can be imported"),
        ("{\"a\": 1}".to_owned(), "is no model that can be imported"),
        ("{L\0\0".to_owned(), "save it with a name that ends in .json"),
        (light.replace("num_cat=0", "num_cat=1"), "a categorical split"),
        (light.replace("decision_type=10 ", "decision_type=11 "), "a categorical split"),
        (light.replace("decision_type=10 ", "decision_type=14 "), "decision type 14 is not known"),
        (light.replace("is_linear=0", "is_linear=1"), "linear models in its leaves"),
        (light.replace("num_class=1", "num_class=3"), "3 classes"),
        (light.replace("objective=binary", "objective=poisson"), binary),
        (light.replace("split_feature=0 ", "split_feature=6 "), "a feature that is not there"),
        (light.replace("leaf_count=", "leaf_county="), "tree 0 lacks leaf_count"),
        (light.replace("left_child=2 ", "left_child=0 "), "leads to a node twice"),
        (light[..light.len() / 2].to_owned(), "its trees have no end"),
        (light_json.replace("\"<=\"", "\"==\""), "a categorical split"),
        (light_json.replace("leaf_value", "leaf"), "tree 0 lacks a field"),
        (light_json.replace("binary sigmoid:1", "multiclass"), binary),
        (light_json[..light_json.len() / 2].to_owned(), "EOF while parsing"),
        (extreme.replace("binary:logistic", "rank:ndcg"), "the objective \"rank:ndcg\""),
        (extreme.replace("\"num_class\":\"0\"", "\"num_class\":\"3\""), "several classes"),
        (extreme.replace("\"gbtree\"", "\"gblinear\""), "the booster \"gblinear\""),
        (extreme.replace("\"split_type\":[0", "\"split_type\":[1"), "a categorical split"),
        (extreme.replace("\"left_children\":[1", "\"left_children\":[0"), "to a node twice"),
        (extreme.replace("\"sum_hessian\"", "\"hessian\""), "missing field `sum_hessian`"),
    ] {
        let error = import(text.as_bytes(), "test").expect_err(message);
        assert!(error.to_string().contains(message), "{message:?} in {error}");
    }
    assert_eq!(import(b"\xff\xfe", "test"), Err(ImportError::Unknown));
}

/// No bytes make the importers panic.
#[test]
fn damaged_files_give_a_model_or_an_error() {
    for name in ["lightgbm-nan.txt", "lightgbm-none-json.json", "xgboost.json"] {
        let bytes = fixture(name).into_bytes();
        for step in 0..300 {
            let mut damaged = bytes.clone();
            let place = (step * 7_919 * 31) % damaged.len();
            damaged[place] = b"-9]}\"e0 =\n"[step % 10];
            let _ = import(&damaged, name);
            let _ = import(&bytes[..place], name);
        }
    }
}
