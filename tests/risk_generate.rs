//! `millrace risk generate`: the same file for the same seed, and a sentence for what is not right.

mod support;

use std::fs;

use serde_json::Value;
use support::{process::millrace, text};

#[test]
fn a_seed_gives_the_same_file_and_the_demo_takes_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let paths = ["one.csv.gz", "two.csv.gz", "three.csv"].map(|name| scratch.path().join(name));
    let [one, two, three] = paths.each_ref().map(|path| {
        let path = text(path);
        let args =
            ["risk", "generate", "--payments", "2000", "--seed", "7", "--fraud-share", "0.1"];
        let finished = millrace(args.into_iter().chain(["--json", "--out", path]));
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        let printed: Value = serde_json::from_str(&finished.stdout).expect("is JSON");
        let count = |path: &str| printed.pointer(path).and_then(Value::as_u64);
        assert_eq!(count("/summary/all/payments"), Some(2_000));
        assert!(count("/summary/patterns/mule_ring/cases") > Some(0), "{printed}");
        fs::read(path).expect("a file")
    });
    assert!(one == two, "the same bytes");
    assert_eq!(&one[..2], b"\x1f\x8b", "compressed by its name");
    assert!(three.starts_with(b"payment_id,time,customer,terminal,amount,is_fraud,device,"));
    assert!(!scratch.path().join("three.csv.unfinished").exists());

    let finished = millrace(["demo", "--once", "--json", "--file", text(&paths[0])]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let demo: Value = serde_json::from_str(&finished.stdout).expect("is JSON");
    assert_eq!((&demo["mapping"], &demo["settled"]), (&"generated".into(), &2_000.into()));
}

#[test]
fn settings_come_from_a_file_and_arguments_go_before() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let file = scratch.path().join("settings.toml");
    fs::write(&file, "payments = 500\nseed = 3\n[patterns.mule_ring]\nweight = 0\n")
        .expect("written");
    let start = ["risk", "generate", "--settings", text(&file), "--print-settings"];
    let finished = millrace(start.into_iter().chain(["--seed", "4"]));
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    for part in ["seed = 4\n", "payments = 500\n", "[patterns.mule_ring]\nweight = 0.0\n"] {
        assert!(finished.stdout.contains(part), "{part} is not in {}", finished.stdout);
    }
}

#[test]
fn what_is_not_right_is_said_and_no_file_is_left() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (out, settings) = (scratch.path().join("out.csv"), scratch.path().join("settings.toml"));
    fs::write(&settings, "[patterns.mule_rings]\nweight = 1\n").expect("written");
    let nowhere = scratch.path().join("nowhere/out.csv");
    let (out, directory) = (text(&out), text(scratch.path()));
    let cases: [(&[&str], &str); 7] = [
        (&["--out", out, "--days", "0"], "days is 0, and must be 1 to 3660"),
        (&["--out", out, "--fraud-share", "2"], "fraud_share is 2, and must be 0 to 0.5"),
        (&["--out", out, "--from", "june"], "is no date such as 2026-01-31"),
        (&["--out", out, "--settings", text(&settings)], "did you mean patterns.mule_ring?"),
        (&["--out", out, "--settings", "nowhere.toml"], "nowhere.toml can't be read"),
        (&["--out", text(&nowhere)], "Name another file with --out"),
        (&["--out", directory], "is no regular file: name another one with --out"),
    ];
    for (args, part) in cases {
        let finished = millrace(["risk", "generate"].iter().chain(args));
        assert_ne!(finished.code, Some(0), "{args:?}");
        assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
    }
    let left: Vec<_> = fs::read_dir(scratch.path()).expect("is there").collect();
    assert_eq!(left.len(), 1, "only the settings: {left:?}");
}
