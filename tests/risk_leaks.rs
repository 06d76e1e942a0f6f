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

    let page = path("eval.html");
    let eval = |data: &str, test: &str| -> String {
        let args = ["risk", "eval", "--model", &out, "--data", data, "--test", test, "--json"];
        let finished = millrace(args.into_iter().chain(["--bootstrap", "0", "--report", &page]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stderr
    };
    let seen = "are among those that the model was trained on (2026-01-10..2026-01-25)";
    let overlapping = eval(&coded, "2026-01-25..2026-02-03");
    assert!(overlapping.contains(seen) && overlapping.contains(code), "{overlapping}");
    assert!(read("eval.html").contains(seen), "the report warns, too");
    // The labels of the last day are known a week later.
    let early = "frauds of the training (2026-01-10..2026-01-25) only after the test (";
    let told = eval(&plain, "2026-01-26..2026-02-08");
    assert!(!told.contains(seen) && told.contains(early), "{told}");
    assert!(read("eval.html").contains(early), "the report warns, too");
    // Where the payments do not tell, the delay does.
    let untold = write("untold.csv", payments.replacen("reported_at", "noted", 1));
    assert!(eval(&untold, "2026-02-01..2026-02-08").contains(early));
    let told = eval(&untold, "2026-02-02..2026-02-08");
    assert!(!told.contains(early), "{told}");
}

/// Whatever is warned of is in the reports and the JSON of all commands that look at payments.
#[test]
fn warnings_are_in_reports_and_json() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let (data, model, report) = (path("p.csv"), path("m.mrm"), path("r.html"));
    let generate = ["risk", "generate", "--payments", "4000", "--days", "30", "--seed", "4"];
    let generate = generate.into_iter().chain(["--fraud-share", "0.03", "--out", &data]);
    assert_eq!(millrace(generate).code, Some(0));
    // Without a column for devices, what is known of them is missing.
    let payments = fs::read_to_string(&data).expect("it was written");
    fs::write(&data, payments.replacen("device", "gadget", 1)).expect("a temporary file");
    let rules = path("rules.toml");
    let rule = "[[rule]]\nname = \"big\"\nwhen = \"amount > 500\"\naction = \"review\"\n\
                reason = \"big\"\n";
    fs::write(&rules, rule).expect("a temporary file");
    let source = ["--data", &data];
    let days = ["--test", "2026-01-25..2026-01-30"];
    let absent = "no column for the catalogue's entity device";
    let late = "frauds after 2026-01-23 that nobody has reported yet count as genuine";
    let early = "frauds of the training (2026-01-08..2026-01-24) only after the test (";
    for (command, options, expected) in [
        (
            &["train"][..],
            &[
                "--train",
                "2026-01-08..2026-01-24",
                "--catalogue",
                "devices",
                "--algorithm",
                "logistic",
                "--out",
                &model,
            ][..],
            &[absent, late][..],
        ),
        (&["eval"], &["--model", &model, "--bootstrap", "0"], &[absent, early]),
        (&["explain"], &["--model", &model], &[absent, early]),
        (&["tune"], &["--model", &model], &[absent, early]),
        (&["compare"], &["--champion", &model, "--challenger", &model], &[absent, early]),
        (&["backtest"], &["--model", &model], &[absent]),
        (
            &["drift"],
            &[
                "--model",
                &model,
                "--before",
                "2026-01-05..2026-01-10",
                "--now",
                "2026-01-20..2026-01-25",
            ],
            &[absent],
        ),
        (&["rules", "check", &rules], &["--model", &model], &[absent]),
    ] {
        let takes_days = matches!(command[0], "eval" | "explain" | "tune" | "compare");
        let days = if takes_days { &days[..] } else { &[] };
        let args = [&["risk"], command, &source, days, options, &["--json", "--report", &report]];
        let finished = millrace(args.concat());
        assert_eq!(finished.code, Some(0), "{command:?} {finished:?}");
        let html = fs::read_to_string(&report).expect("it was written");
        let html = html.replace("&#39;", "'");
        let json: serde_json::Value = serde_json::from_str(&finished.stdout).expect("one object");
        let warnings = json["warnings"].to_string();
        for expected in expected {
            for (place, said) in
                [("JSON", &warnings), ("stderr", &finished.stderr), ("report", &html)]
            {
                assert!(said.contains(expected), "{command:?}: no {expected:?} in {place}: {said}");
            }
        }
        let once = finished.stderr.matches(absent).count();
        assert_eq!(once, 1, "{command:?} says it once: {}", finished.stderr);
    }
}
