//! What the analyst's commands say, by the real binary: what has no effect is warned of, what can't be
//! done is told before the work, and what comes next can be copied.

mod support;

use std::{fs, io, process::Command};

use serde_json::Value;
use support::{
    process::{Finished, millrace},
    text,
};
use tempfile::TempDir;

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> String {
        text(&self.0.path().join(name)).to_owned()
    }

    fn write(&self, name: &str, bytes: &str) -> String {
        fs::write(self.0.path().join(name), bytes).expect("a temporary file");
        self.path(name)
    }

    fn rules(&self, when: &str) -> String {
        let rule = format!(
            "[[rule]]\nname = \"r\"\nwhen = '{when}'\naction = \"review\"\nreason = \"x\"\n"
        );
        self.write("rules.toml", &rule)
    }

    /// Payments of thirty days.
    fn payments(&self) -> String {
        let out = self.path("payments.csv");
        let generate = ["risk", "generate", "--payments", "4000", "--days", "30", "--seed", "4"];
        done(&[&generate[..], &["--fraud-share", "0.03", "--out", &out]].concat());
        out
    }
}

#[track_caller]
fn done(args: &[&str]) -> Finished {
    let finished = millrace(args);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished
}

/// `| head` leaves before the command is done: what can't be said any more ends nothing.
#[test]
fn nobody_need_read_what_is_said() {
    let bench = Bench::new();
    let (right, wrong) = (bench.rules("5 > 3"), bench.path("none.toml"));
    for (rules, code) in [(&right, 0), (&wrong, 1)] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["risk", "rules", "check", rules])
            .stdout(writer.try_clone().expect("a pipe"))
            .stderr(writer)
            .status();
        assert_eq!(status.expect("it starts").code(), Some(code), "{rules}");
    }
}

#[test]
fn what_says_nothing_is_warned_of() {
    let bench = Bench::new();
    let data = bench.payments();
    for (when, expected) in [
        ("true", Some("line 3, column 9: rule \"r\": this holds for every payment")),
        ("context.channel == \"card\"", Some("`context.channel` is never \"card\"; did you mean")),
        ("score > 0.5", Some("there is no model: it is missing")),
        ("amount > 5 and not weekend and hour < 6", None),
    ] {
        let rules = bench.rules(when);
        for command in [&["rules", "check", &rules][..], &["backtest", "--rules", &rules]] {
            let finished = done(&[&["risk"], command, &["--data", &data, "--json"]].concat());
            let json: Value = serde_json::from_str(&finished.stdout).expect("one object");
            let warnings = json["warnings"].as_array().cloned().unwrap_or_default();
            let told: Vec<_> = warnings.iter().filter_map(Value::as_str).collect();
            match expected {
                None => assert!(told.is_empty(), "{command:?} {told:?}"),
                Some(expected) => {
                    let is_told = told.len() == 1 && told[0].contains(expected);
                    assert!(is_told, "{command:?} {when} {told:?}");
                    assert!(finished.stderr.contains(expected), "{}", finished.stderr);
                }
            }
        }
    }
}

#[test]
fn what_has_expired_is_told_of_a_list() {
    let bench = Bench::new();
    for (values, expected) in [
        ("a,2020-01-01\n", "all of them have expired"),
        ("a,2020-01-01\nb,\n", "1 has expired"),
        ("a,2020-01-01\nb,2020-01-02\nc,\n", "2 have expired"),
        ("a,\nb,2099-01-01\n", ""),
    ] {
        let list = bench.write("list.csv", &format!("value,expires_at\n{values}"));
        let said = done(&["risk", "lists", "check", &list]).stdout;
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.contains("expired"), !expected.is_empty(), "{said}");
    }
}

#[test]
fn a_place_for_the_model_is_found_before_it_is_trained() {
    let bench = Bench::new();
    // There are no payments: that would be told first, if they were read first.
    let train = ["risk", "train", "--data", "none.csv", "--train", "2026-01-08..2026-01-20"];
    let (out, no_folder) = (bench.path("m.mrm"), bench.path("none/m.mrm"));
    for (out, report, expected) in [
        (&no_folder, None, "Name another file with --out"),
        (&out, Some(&no_folder), "Name another file with --report"),
        (&out, None, "none.csv"),
    ] {
        let report = report.map_or_else(Vec::new, |report| vec!["--report", report.as_str()]);
        let finished = millrace([&train[..], &["--out", out], &report].concat());
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(expected), "{}", finished.stderr);
        assert!(!finished.stderr.contains("unfinished"), "{}", finished.stderr);
        assert!(!fs::exists(out).expect("can be asked"), "nothing is left behind");
    }
}

#[test]
fn thresholds_are_told_and_can_be_tried() {
    let bench = Bench::new();
    let (data, model) = (bench.payments(), bench.path("m.mrm"));
    let train = ["risk", "train", "--data", &data, "--train", "2026-01-08..2026-01-18"];
    done(&[&train[..], &["--algorithm", "logistic", "--out", &model]].concat());
    let test = ["--data", &data, "--model", &model];
    let tune = ["risk", "tune", "--test", "2026-01-26..2026-01-30", "--capacity", "5"];
    let said = done(&[&tune[..], &test].concat()).stdout;
    for expected in ["the capacity of 5 reviews per day holds in the mean", "on the busiest day"] {
        assert!(said.contains(expected), "{said}");
    }
    let next = said.lines().find_map(|line| line.split_once("other days: millrace "));
    let (_, next) = next.unwrap_or_else(|| panic!("no next command in {said}"));
    let next: Vec<_> = next.split(' ').collect();
    let thresholds = done(&next).stdout;
    assert!(thresholds.contains("thresholds: review from 0."), "{thresholds}");
    let bare = done(&[&["risk", "backtest"][..], &test].concat()).stdout;
    let expected = "thresholds: review from 0.2, challenge never, decline never";
    assert!(bare.contains(expected), "{bare}");
}
