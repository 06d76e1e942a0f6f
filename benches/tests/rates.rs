//! Short runs of every workload through a durable engine, and what the binary says of bad arguments.

use std::{path::Path, process::Command};

use clap::ValueEnum as _;
use millrace_benches::{
    drive::{self, Settings},
    workload::Workload,
};

fn settings(workload: Workload) -> Settings {
    Settings {
        workload,
        accounts: 300,
        batch: 64,
        clients: 3,
        payments: 3_000,
        warmup: 500,
        time_max: None,
        seed: 5,
        capture_after: 100,
        every: None,
        shards: Some(2),
        snapshot_mib: None,
        snapshot_mib_per_s: None,
        recover: false,
        dir: None,
    }
}

#[test]
fn every_workload_runs_and_reports() {
    for workload in Workload::value_variants() {
        let report = drive::run(&settings(*workload)).expect("runs").to_json();
        let name = workload.to_possible_value().expect("has a name");
        assert_eq!(report["workload"], name.get_name());
        let settings = [("accounts", 300), ("batch", 64), ("clients", 3), ("payments", 3_000)];
        let others = [("warmup", 500), ("seed", 5), ("capture_after", 100), ("requests", 47)];
        for (field, expected) in settings.into_iter().chain(others) {
            assert_eq!(report[field], expected, "{workload:?}: {field}");
        }
        let number = |field: &str| {
            report[field].as_f64().unwrap_or_else(|| panic!("{workload:?}: {field} in {report}"))
        };
        let above_zero = ["payments_per_s", "elapsed_s", "p50_ms", "cpu_s", "cpu_clients_s"];
        for field in above_zero.into_iter().chain(["rss_mb", "rss_peak_mb", "bytes_wchar"]) {
            assert!(number(field) > 0.0, "{workload:?}: {field} in {report}");
        }
        assert!(number("bytes_written") >= 0.0 && report["bytes_written_counter"] == "write_bytes");
        assert!(number("p50_ms") <= number("p99_ms") && number("p99_ms") <= number("max_ms"));
        assert!(number("cpu_clients_s") <= number("cpu_s"));
        assert_eq!(number("settled") + number("held"), 3_000.0);
        assert_eq!(number("held") > 0.0, *workload == Workload::Holds);
    }
}

/// What the binary prints for these arguments: success, standard output, standard error.
fn rates(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rates")).args(arguments).output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("is text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

const SHORT: [&str; 8] =
    ["--accounts", "50", "--payments", "2000", "--batch", "100", "--warmup", "0"];

#[test]
fn the_binary_prints_one_line_of_json_and_its_progress_and_keeps_a_given_directory() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let journal_name = journal.to_str().unwrap();
    let arguments = [&SHORT[..], &["--json", "--every", "500", "--dir", journal_name]].concat();
    let (success, stdout, stderr) = rates(&arguments);
    assert!(success, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((stdout.lines().count(), &report["payments"]), (1, &2_000.into()));
    let progress = stderr.lines().filter(|line| line.starts_with('{'));
    let progress: Vec<u64> = progress
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .inspect(|line| assert!(line["rss_mb"].as_f64() > Some(0.0), "{line}"))
        .inspect(|line| assert!(line["cpu_us_per_payment"].as_f64() > Some(0.0), "{line}"))
        .map(|line| line["payments"].as_u64().unwrap())
        .collect();
    assert_eq!(progress, [500, 1_000, 1_500, 2_000]);
    let kept = |journal: &Path| journal.read_dir().unwrap().count();
    assert!(kept(&journal) > 0);
    let (success, _, stderr) = rates(&arguments);
    assert!(!success && stderr.contains("is not empty"), "{stderr}");
}

/// However slow the machine is, nobody sends three thousand million payments in a tenth of a second.
#[test]
fn a_run_ends_when_its_time_is_over_and_counts_what_was_sent() {
    let arguments = [
        &["--payments", "3000000000", "--seconds", "0.1", "--accounts", "50"],
        &["--batch", "10", "--json"][..],
    ];
    let (success, stdout, stderr) = rates(&arguments.concat());
    assert!(success, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let number = |field: &str| report[field].as_u64().unwrap();
    assert_eq!(number("payments"), 10 * number("requests"), "{report}");
    assert_eq!(number("payments"), number("settled"));
    assert!(number("payments") < 3_000_000_000 && number("warmup") < 300_000_000);
}

/// The answer to the batch that a snapshot is begun after comes when it is begun.
#[test]
fn the_slowest_request_beside_a_snapshot_is_told() {
    let snapshots = ["--payments", "60000", "--batch", "500", "--snapshot-mib", "1", "--json"];
    let (success, stdout, stderr) = rates(&snapshots);
    assert!(success, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let [beside, longest] = ["snapshot_max_ms", "max_ms"].map(|it| report[it].as_f64().unwrap());
    // The histogram rounds to three digits.
    assert!(beside > 0.0 && beside <= longest * 1.01, "{report}");
    let (_, stdout, _) = rates(&[&SHORT[..], &["--snapshot-mib", "0", "--json"]].concat());
    assert!(stdout.contains(r#""snapshot_max_ms":null"#), "{stdout}");
}

#[test]
fn a_table_is_printed_where_json_is_not_asked_for() {
    let (success, stdout, stderr) = rates(&SHORT);
    assert!(success, "{stderr}");
    assert!(stdout.starts_with("uniform: 50 accounts, 8 clients, 100 payments a request\n"));
    assert!(stdout.contains("payments/s") && stdout.contains("(write_bytes)"), "{stdout}");
}

#[test]
fn a_start_on_the_journal_is_measured_where_it_is_asked_for() {
    let (success, stdout, stderr) = rates(&[&SHORT[..], &["--json", "--recover"]].concat());
    assert!(success, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(report["recovery_s"].as_f64() > Some(0.0), "{report}");
    let events = |field: &str| report[field].as_u64().unwrap();
    // 50 accounts and 2,000 payments.
    assert_eq!(events("recovery_snapshot_events") + events("recovery_tail_events"), 2_050);
    let (success, stdout, stderr) = rates(&[&SHORT[..], &["--recover"]].concat());
    assert!(success && stdout.contains("\nrecovered in "), "{stdout}{stderr}");
    let (_, stdout, _) = rates(&[&SHORT[..], &["--json"]].concat());
    assert!(stdout.contains(r#""recovery_s":null"#), "{stdout}");
}

#[test]
fn bad_arguments_are_refused_with_what_would_do() {
    for (arguments, expected) in [
        (
            ["--workload", "warm"],
            "possible values: uniform, zipf, hot, hot50, two, holds, random-ids, mixed-ids",
        ),
        (["--accounts", "1"], "1 is not in 2..=50000000"),
        (["--batch", "8193"], "8193 is not in 1..=8192"),
        (["--clients", "0"], "0 is not in 1..=4096"),
        (["--seconds", "0"], "0 is not in 0 to 86400"),
        (["--payments", "0"], "0 is not in 1..=3000000000"),
        (["--every", "0"], "0 is not in 1.."),
        (["--dir", "/dev/null/journal"], "--dir /dev/null/journal: Not a directory"),
    ] {
        let (success, _, stderr) = rates(&arguments);
        assert!(!success && stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}
