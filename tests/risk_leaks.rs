//! Leaks by the real binary: what gives labels away is told by `millrace risk train` and `eval`,
//! whether it is read or not.

mod support;

use std::fs;

use support::{
    process::{Finished, millrace},
    text,
};

/// Columns that give the label away are told whether they are read or not, as are features, and
/// days that the model has seen.
#[test]
fn what_gives_labels_away_is_warned_of() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let read = |name: &str| fs::read_to_string(path(name)).expect("it was written");
    let write = |name: &str, cells: String| {
        fs::write(path(name), cells).expect("a temporary file");
        path(name)
    };
    let plain = path("plain.csv");
    let generate =
        ["risk", "generate", "--payments", "8000", "--days", "40", "--fraud-share", "0.03"];
    let generated = millrace(generate.into_iter().chain(["--seed", "4", "--out", &plain]));
    assert_eq!(generated.code, Some(0), "{generated:?}");
    let payments = read("plain.csv");
    let (header, rows) = payments.split_once('\n').expect("has a header");
    let place = |name: &str| header.split(',').position(|it| it == name).expect("is there");
    let (is_fraud, amount) = (place("is_fraud"), place("amount"));
    let device = place("device");
    // Three frauds of four have a code; and once, frauds have amounts and a device of their own.
    let (mut coded, mut telling) = (format!("{header},chargeback_code\n"), format!("{header}\n"));
    for (number, row) in rows.lines().enumerate() {
        let mut cells: Vec<&str> = row.split(',').collect();
        let is_fraud = cells[is_fraud] == "1";
        let code = if is_fraud && number % 4 > 0 { "10.4" } else { "" };
        coded += &format!("{row},{code}\n");
        if is_fraud {
            cells[amount] = "99999.00";
            cells[device] = "fraudster";
        }
        telling += &format!("{}\n", cells.join(","));
    }
    let (coded, telling) = (write("coded.csv", coded), write("telling.csv", telling));
    let out = path("warned.mrm");
    let report = path("warned.html");
    let quick = ["--algorithm", "logistic", "--catalogue", "book", "--json", "--out", &out];
    let train = |data: &str| -> Finished {
        let args = ["risk", "train", "--data", data, "--train", "2026-01-10..2026-01-25"];
        let finished = millrace(args.into_iter().chain(quick).chain(["--report", &report]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished
    };
    let trained = train(&telling);
    for said in [
        "column amount alone separates fraud",
        "column device alone separates fraud",
        "feature amount alone separates fraud",
    ] {
        assert!(trained.stderr.contains(said), "no {said:?} in {}", trained.stderr);
    }
    let trained = train(&coded);
    let code = "where column chargeback_code is filled in, 100.0 % are fraud, and ";
    assert!(trained.stderr.contains(code), "{}", trained.stderr);
    assert!(!trained.stderr.contains("alone separates"), "{}", trained.stderr);
    assert!(trained.stdout.contains(code), "{}", trained.stdout);
    let html = read("warned.html");
    assert!(html.contains(code), "the report warns, too");
    assert!(html.contains("logistic regression, penalty") && !html.contains("Logistic {"));

    let eval = |data: &str, test: &str| -> String {
        let args = ["risk", "eval", "--model", &out, "--data", data, "--test", test, "--json"];
        let finished = millrace(args.into_iter().chain(["--bootstrap", "0"]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stderr
    };
    let seen = "are among those that the model was trained on (2026-01-10..2026-01-25)";
    let overlapping = eval(&coded, "2026-01-25..2026-02-03");
    assert!(overlapping.contains(seen) && overlapping.contains(code), "{overlapping}");
    assert!(!eval(&plain, "2026-01-26..2026-02-08").contains(seen));
}
