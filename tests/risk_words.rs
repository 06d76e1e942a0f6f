//! What the analyst's commands say, by the real binary: what has no effect is warned of, what can't be
//! done is told before the work, and what comes next can be copied.

mod support;

use std::{fs, io, process::Command};

use serde_json::Value;
use support::{process::millrace, scratch::Scratch};

impl Scratch {
    /// A file with one rule.
    fn rules(&self, when: &str) -> String {
        let rule = format!(
            "[[rule]]\nname = \"r\"\nwhen = '{when}'\naction = \"review\"\nreason = \"x\"\n"
        );
        self.write("rules.toml", rule)
    }

    /// Payments of thirty days.
    fn payments(&self) -> String {
        let out = self.file("payments.csv");
        let generate = ["risk", "generate", "--payments", "4000", "--days", "30", "--seed", "4"];
        millrace([&generate[..], &["--fraud-share", "0.03", "--out", &out]].concat()).done();
        out
    }
}

/// `| head` leaves before the command is done: what can't be said any more ends nothing.
#[test]
fn nobody_need_read_what_is_said() {
    let scratch = Scratch::new();
    let (right, wrong) = (scratch.rules("5 > 3"), scratch.file("none.toml"));
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
    let scratch = Scratch::new();
    let data = scratch.payments();
    for (when, expected) in [
        ("true", Some("line 3, column 9: rule \"r\": this holds for every payment")),
        ("context.channel == \"card\"", Some("`context.channel` is never \"card\"; did you mean")),
        ("score > 0.5", Some("there is no model: it is missing")),
        ("amount > 5 and not weekend and hour < 6", None),
    ] {
        let rules = scratch.rules(when);
        for command in [&["rules", "check", &rules][..], &["backtest", "--rules", &rules]] {
            let finished = millrace([&["risk"], command, &["--data", &data, "--json"]].concat());
            let stderr = finished.stderr.clone();
            let json = finished.json();
            let warnings = json["warnings"].as_array().cloned().unwrap_or_default();
            let told: Vec<_> = warnings.iter().filter_map(Value::as_str).collect();
            match expected {
                None => assert!(told.is_empty(), "{command:?} {told:?}"),
                Some(expected) => {
                    let is_told = told.len() == 1 && told[0].contains(expected);
                    assert!(is_told, "{command:?} {when} {told:?}");
                    assert!(stderr.contains(expected), "{stderr}");
                }
            }
        }
    }
}

#[test]
fn what_has_expired_is_told_of_a_list() {
    let scratch = Scratch::new();
    for (values, expected) in [
        ("a,2020-01-01\n", "all of them have expired"),
        ("a,2020-01-01\nb,\n", "1 has expired"),
        ("a,2020-01-01\nb,2020-01-02\nc,\n", "2 have expired"),
        ("a,\nb,2099-01-01\n", ""),
    ] {
        let list = scratch.write("list.csv", format!("value,expires_at\n{values}"));
        let said = millrace(["risk", "lists", "check", &list]).done();
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.contains("expired"), !expected.is_empty(), "{said}");
    }
}

#[test]
fn a_place_for_the_model_is_found_before_it_is_trained() {
    let scratch = Scratch::new();
    // There are no payments: that would be told first, if they were read first.
    let train = ["risk", "train", "--data", "none.csv", "--train", "2026-01-08..2026-01-20"];
    let (out, no_folder) = (scratch.file("m.mrm"), scratch.file("none/m.mrm"));
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
    let scratch = Scratch::new();
    let (data, model) = (scratch.payments(), scratch.file("m.mrm"));
    let train = ["risk", "train", "--data", &data, "--train", "2026-01-08..2026-01-18"];
    millrace([&train[..], &["--algorithm", "logistic", "--out", &model]].concat()).done();
    let test = ["--data", &data, "--model", &model];
    let tune = ["risk", "tune", "--test", "2026-01-26..2026-01-30", "--capacity", "5"];
    let said = millrace([&tune[..], &test].concat()).done();
    for expected in ["the capacity of 5 reviews per day holds in the mean", "on the busiest day"] {
        assert!(said.contains(expected), "{said}");
    }
    let next = said.lines().find_map(|line| line.split_once("other days: millrace "));
    let (_, next) = next.unwrap_or_else(|| panic!("no next command in {said}"));
    let next: Vec<_> = next.split(' ').collect();
    let thresholds = millrace(next).done();
    assert!(thresholds.contains("thresholds: review from 0."), "{thresholds}");
    let bare = millrace([&["risk", "backtest"][..], &test].concat()).done();
    let expected = "thresholds: review from 0.2, challenge never, decline never";
    assert!(bare.contains(expected), "{bare}");
}
