//! `millrace journal inspect` and `export` on journals that the real binary wrote: what they tell is
//! what the audit log and `verify` tell, archived or not, beside a running server or without one.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use millrace_engine::archive::archive_segments;
use millrace_ledger::EventSeq;
use serde_json::Value;
use support::{
    config::Settings,
    data_dir::{demonstrated, verified_journal},
    dice::Dice,
    eventually, orders,
    process::{Finished, millrace},
    server::Server,
    text,
};

/// Runs `millrace journal …` on a data directory.
fn journal(command: &str, data_dir: &Path, args: &[&str]) -> Finished {
    let start = ["journal", command, "--data-dir", text(data_dir)];
    millrace(start.into_iter().chain(args.iter().copied()))
}

#[track_caller]
fn printed(finished: Finished) -> String {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect()
}

#[track_caller]
fn assert_complains(finished: &Finished, code: i32, parts: &[&str]) {
    let Finished { code: actual, stdout, stderr } = finished;
    assert_eq!((*actual, stdout.as_str()), (Some(code), ""), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
    assert!(code != 1 || stderr.lines().count() == 1, "one sentence: {stderr}");
}

#[test]
fn an_export_tells_what_the_audit_log_tells() {
    let data_dir = demonstrated("0");
    let exported = json_lines(&printed(journal("export", data_dir.path(), &[])));
    let audit = fs::read_to_string(data_dir.path().join("audit/audit.jsonl")).expect("is there");
    let audit = json_lines(&audit);
    let events = verified_journal(data_dir.path())["events"].as_u64().expect("a number");
    assert_eq!((exported.len() as u64, audit.len() as u64), (events, events));
    for (row, line) in exported.iter().zip(&audit) {
        for (exported, audited) in [
            ("event_sequence", "seq"),
            ("time", "time"),
            ("event", "event"),
            ("payment_id", "payment"),
            ("original_payment_id", "original"),
            ("account_id", "account"),
            ("operation", "operation"),
            ("change", "change"),
            ("state", "state"),
            ("status", "status"),
            ("reject_reason", "reason"),
            ("currency", "currency"),
            ("requested_amount_minor", "requested_minor"),
            ("amount_minor", "amount_minor"),
            ("debit_account_id", "debit"),
            ("credit_account_id", "credit"),
            ("risk_decision", "risk"),
            ("risk_reason", "rule"),
        ] {
            assert_eq!(row[exported], line[audited], "{exported} of {row}");
        }
        assert_eq!(
            row["debit_account_debits_posted_minor"],
            line["debit_balances"]["debits_posted"]
        );
        assert!(row.get("channel").is_none(), "no context unless it is asked for");
    }
    let kinds: Vec<_> = ["PAYMENT", "ACCOUNT", "HOLD_EXPIRED"]
        .iter()
        .map(|kind| exported.iter().filter(|row| row["event"] == **kind).count())
        .collect();
    assert!(kinds.iter().all(|count| *count > 0), "the sample has every kind: {kinds:?}");
    let yen = exported.iter().find(|row| row["currency"] == "JPY" && row["status"] == "SETTLED");
    let yen = yen.expect("the sample pays in yen");
    assert_eq!(yen["amount"], yen["amount_minor"], "yen have no minor units");
    let koruna = exported.iter().find(|row| row["currency"] == "CZK" && row["status"] == "SETTLED");
    let koruna = koruna.expect("the sample pays in koruna");
    let amount = koruna["amount"].as_str().expect("is text");
    assert_eq!(amount.replace('.', ""), koruna["amount_minor"], "{amount}");
}

#[test]
fn csv_and_json_lines_tell_the_same() {
    let data_dir = demonstrated("8000");
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let file = elsewhere.path().join("events.csv");
    fs::write(&file, "what was there before").expect("is written");
    let args = ["--format", "csv", "--with-context", "--output", text(&file)];
    let finished = journal("export", data_dir.path(), &args);
    let rows = json_lines(&printed(journal("export", data_dir.path(), &["--with-context"])));
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));
    assert_eq!(finished.stderr, format!("{} events in {}\n", rows.len(), file.display()));
    assert!(!elsewhere.path().join("events.csv.unfinished").exists());
    let mut table = csv::Reader::from_path(&file).expect("opens");
    let columns = table.headers().expect("a header").clone();
    for row in &rows {
        for name in row.as_object().expect("an object").keys() {
            assert!(columns.iter().any(|column| column == name), "no column {name}");
        }
    }
    let records: Vec<_> = table.records().map(|record| record.expect("is CSV")).collect();
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(&rows) {
        for (column, cell) in columns.iter().zip(record) {
            let expected = match &row[column] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                Value::Array(names) => names.iter().map(in_a_cell).collect::<Vec<_>>().join("|"),
                other => other.to_string(),
            };
            assert!(is_same(cell, &expected), "{column} of {row}: {cell}, not {expected}");
        }
    }
    assert!(rows.iter().any(|row| row["reference"].is_string()), "the sample has references");
    for column in ["risk_score", "risk_contributions", "risk_policy_number", "act_kind", "act"] {
        assert!(rows.iter().any(|row| !row[column].is_null()), "the sample has {column}");
    }
}

/// Numbers may be spelled in two ways: `1e-6`, `0.000001`.
fn is_same(cell: &str, expected: &str) -> bool {
    let parts = |text: &str| text.split(['|', ':']).map(str::to_owned).collect::<Vec<_>>();
    let (cell, expected) = (parts(cell), parts(expected));
    let number = |text: &str| text.parse::<f64>().ok();
    let same = |one: &str, other: &str| {
        one == other || number(one).is_some_and(|it| Some(it) == number(other))
    };
    cell.len() == expected.len() && cell.iter().zip(&expected).all(|(one, other)| same(one, other))
}

/// One of several in a cell: a name, or a feature with its value and what it contributed.
fn in_a_cell(part: &Value) -> String {
    let Value::Object(reason) = part else { return part.as_str().expect("a name").to_owned() };
    let number = |name: &str| match &reason[name] {
        Value::Null => String::new(),
        number => number.to_string(),
    };
    format!("{}:{}:{}", number("feature"), number("value"), number("contribution"))
}

#[test]
fn an_export_takes_a_range_of_events_or_of_time() {
    let data_dir = demonstrated("0");
    let all = json_lines(&printed(journal("export", data_dir.path(), &[])));
    let export = |args: &[&str]| json_lines(&printed(journal("export", data_dir.path(), args)));
    let last = all.len().to_string();
    assert_eq!(export(&["--from", "40", "--to", "43"]), all[39..43]);
    assert_eq!(export(&["--from", &last]), all[all.len() - 1..]);
    assert_eq!(export(&["--to", "1"]), all[..1]);
    let time = all.last().expect("has events")["time"].as_str().expect("is text").to_owned();
    let before = all.iter().filter(|row| row["time"].as_str() < Some(&time)).count();
    assert!(0 < before && before < all.len());
    assert_eq!(export(&["--from-time", &time]), all[before..]);
    assert_eq!(export(&["--to-time", &time]), all[..before]);
    assert_eq!(export(&["--from", "2", "--to-time", &time]), all[1..before]);
    assert_eq!(export(&["--from-time", "1999-12-31T23:59:59+02:00", "--to", "5"]), all[..5]);
    assert!(export(&["--from-time", "2300-01-01T00:00:00Z"]).is_empty());
}

#[test]
fn an_inspection_shows_segments_frames_and_events() {
    let data_dir = demonstrated("0");
    let verified = verified_journal(data_dir.path());
    let inspect = |args: &[&str]| printed(journal("inspect", data_dir.path(), args));
    let segments = json_lines(&inspect(&["--json"]));
    assert_eq!(segments.len() as u64, verified["segments"]);
    assert_eq!(
        (&segments[0]["frames"], &segments[0]["last_event"]),
        (&verified["frames"], &verified["events"])
    );
    assert_eq!((&segments[0]["bytes"], &segments[0]["ok"]), (&verified["bytes"], &true.into()));
    let table = inspect(&["--segments"]);
    assert!(table.lines().next().expect("a header").starts_with("SEGMENT"), "{table}");
    assert!(table.contains("00000000000000000001.segment") && table.trim_end().ends_with("ok"));

    let frames = json_lines(&inspect(&["--frames", "--json"]));
    assert_eq!(
        (frames.len() as u64, &frames[frames.len() - 1]["hash"]),
        (verified["frames"].as_u64().expect("a number"), &verified["head"])
    );
    assert!(frames.windows(2).all(|pair| pair[0]["hash"] == pair[1]["previous"]));
    let second = frames[1]["first_event"].to_string();
    assert_eq!(
        json_lines(&inspect(&["--frames", "--json", "--from", &second, "--limit", "1"])),
        frames[1..2]
    );
    assert_eq!(inspect(&["--frames"]).lines().count(), frames.len() + 1);

    let rows = json_lines(&printed(journal("export", data_dir.path(), &["--with-context"])));
    let with_reference = rows.iter().find(|row| row["reference"].is_string()).expect("is there");
    for row in [with_reference, &rows[0], &rows[rows.len() - 1]] {
        let seq = row["event_sequence"].to_string();
        let shown = json_lines(&inspect(&["--event", &seq, "--json"])).remove(0);
        let both = ["event", "context"].map(|part| shown[part].as_object().expect("an object"));
        let together: BTreeMap<_, _> = both.into_iter().flatten().collect();
        assert_eq!(together, row.as_object().expect("an object").iter().collect());
        let frame = frames.iter().find(|frame| **frame == shown["frame"]).expect("is listed");
        assert!(frame["first_event"].as_u64() <= row["event_sequence"].as_u64());
        let table = inspect(&["--event", &seq]);
        assert!(table.starts_with("event\n") && table.contains("\nframe\n"), "{table}");
        for value in both[0].values().filter_map(Value::as_str) {
            assert!(table.contains(value), "no {value} in {table}");
        }
    }
}

/// A journal of several segments, and the server that wrote it.
fn several_segments(scratch: &Path) -> (Server, PathBuf) {
    let settings = Settings::unlimited().with("engine.segment_mib", 1);
    let data_dir = scratch.join("data");
    let server = Server::start(&settings.write(scratch), &data_dir);
    let file = scratch.join("orders.csv");
    let mut dice = Dice::seeded("orders");
    fs::write(&file, orders::generated(4_000, &mut dice)).expect("is written");
    let url = server.url();
    let submitted =
        millrace(["submit", "--file", text(&file), "--open-accounts", "--json", "--target", &url]);
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    (server, data_dir)
}

/// Archiving changes nothing of what is told, while the server runs or after; damage in the archive
/// is named and found in its segment only.
#[test]
fn an_archived_journal_is_told_as_it_was() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (server, data_dir) = several_segments(scratch.path());
    let before = printed(journal("export", &data_dir, &[]));
    let events = before.lines().count();
    // The sinks read on while it is archived under them.
    let directory = data_dir.join("journal");
    let report = archive_segments(&directory, EventSeq(u64::MAX), || false).expect("archives");
    assert!(!report.archived.is_empty(), "the test needs a sealed segment");
    assert!(printed(journal("export", &data_dir, &[])) == before, "beside a running server");
    server.stop();
    assert!(printed(journal("export", &data_dir, &[])) == before, "after it");
    assert_eq!(verified_journal(&data_dir)["events"], events);
    let segments = json_lines(&printed(journal("inspect", &data_dir, &["--json"])));
    assert_eq!(segments.len(), report.archived.len() + 1);
    for (segment, archived) in segments.iter().zip(&report.archived) {
        assert_eq!(segment["archived_bytes"], archived.archived_bytes);
        assert_eq!(
            (&segment["ok"], &segment["first_event"]),
            (&true.into(), &archived.first_seq.0.into())
        );
    }
    end_quietly_on_a_closed_pipe(&data_dir);

    // The server starts on an archived journal, and its sinks are where they were.
    let config = scratch.path().join("millrace.toml");
    Server::start(&config, &data_dir).stop();

    let file = &report.archived[0].path;
    let mut bytes = fs::read(file).expect("is read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("is written");
    let output = scratch.path().join("events.jsonl");
    let finished = journal("export", &data_dir, &["--output", text(&output)]);
    assert_complains(&finished, 1, &["the journal is damaged", text(file)]);
    let left: Vec<_> = fs::read_dir(scratch.path()).expect("lists").flatten().collect();
    let left = left.iter().map(|entry| entry.file_name().into_string().expect("is UTF-8"));
    assert_eq!(left.filter(|name| name.starts_with("events")).count(), 0, "nothing half done");
    let finished = journal("inspect", &data_dir, &["--json"]);
    let told = json_lines(&finished.stdout).iter().map(|row| row["ok"] == true).collect::<Vec<_>>();
    assert_eq!((finished.code, told[0]), (Some(1), false), "{finished:?}");
    assert!(told[1..].iter().all(|ok| *ok), "only one is damaged: {finished:?}");
    assert!(finished.stderr.contains("a segment is not right"), "{finished:?}");
}

/// Today's rules decide the sample as they did, archived or not, and leave nothing behind.
#[test]
fn a_journal_is_decided_again_as_it_was() {
    let data_dir = demonstrated("0");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let verify = |args: &[&str]| journal("verify", data_dir.path(), args);
    let plain = json_lines(&printed(verify(&["--json"]))).remove(0);
    let args = ["--json", "--redecide", "--scratch", text(scratch.path())];
    let again = json_lines(&printed(verify(&args))).remove(0);
    for field in ["segments", "frames", "bytes", "events", "payments", "head", "state_hash"] {
        assert_eq!(again[field], plain[field], "{field}");
    }
    assert_eq!(again["differences"], Value::Array(Vec::new()));
    let [redecided, not] = ["redecided", "not_redecidable"].map(|field| again[field].as_u64());
    assert_eq!(redecided.zip(not).map(|(some, others)| some + others), plain["events"].as_u64());
    assert!(redecided > Some(70), "{again}");
    assert_eq!(fs::read_dir(scratch.path()).expect("lists").count(), 0, "nothing is left behind");
    let table = printed(verify(&["--redecide"]));
    assert!(table.contains("today's rules decide every event as it is recorded"), "{table}");
    let missing = scratch.path().join("missing");
    assert_complains(&verify(&["--scratch", text(&missing)]), 1, &[text(&missing), "--scratch"]);
}

/// What a start depends on is verified, too: the end that was acknowledged, and the snapshots.
#[test]
fn a_lost_end_and_an_unusable_snapshot_make_verify_fail() {
    let data_dir = demonstrated("0");
    let directory = data_dir.path().join("journal");
    let snapshots = directory.join("snapshots");
    fs::create_dir_all(&snapshots).expect("is made");
    let bogus = snapshots.join("00000000000000000009.snapshot");
    fs::write(&bogus, "nothing").expect("is written");
    for args in [&[][..], &["--redecide"]] {
        let finished = journal("verify", data_dir.path(), args);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stdout.contains("all balances are right"), "{finished:?}");
        for part in [text(&bogus), "a start could not use its snapshots"] {
            assert!(finished.stderr.contains(part), "{finished:?}");
        }
    }
    fs::remove_file(&bogus).expect("is removed");

    let segment = directory.join("00000000000000000001.segment");
    let mut bytes = fs::read(&segment).expect("is read");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("has frames");
    bytes[end] ^= 1;
    fs::write(&segment, bytes).expect("is written");
    for args in [&[][..], &["--redecide"]] {
        let finished = journal("verify", data_dir.path(), args);
        let parts = ["was durable", text(&segment), "is damaged at offset"];
        assert_complains(&finished, 1, &parts);
    }
}

/// What is said of a snapshot with a wrong bit is so: its bytes are wrong, a start does without it, and
/// later ones take its place.
#[test]
fn a_snapshot_with_a_wrong_bit_is_told_with_what_comes_of_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data_dir = scratch.path().join("data");
    let snapshots = data_dir.join("journal/snapshots");
    let config = Settings::unlimited().with("engine.snapshot_interval_s", 1).write(scratch.path());
    let newest = |suffix: &str| {
        let entries = fs::read_dir(&snapshots).into_iter().flatten().flatten();
        let path = |entry: fs::DirEntry| entry.path();
        entries.map(path).filter(|path| path.extension().is_some_and(|it| it == suffix)).max()
    };
    let file = scratch.path().join("orders.csv");
    let mut dice = Dice::seeded("orders");
    let mut run = || {
        fs::write(&file, orders::generated(50, &mut dice)).expect("is written");
        let server = Server::start(&config, &data_dir);
        millrace(["submit", "--open-accounts", "--file", text(&file), "--target", &server.url()])
            .done();
        eventually("a snapshot", || newest("snapshot"));
        server.stop();
    };
    run();
    let snapshot = newest("snapshot").expect("was there");
    let mut bytes = fs::read(&snapshot).expect("is read");
    *bytes.last_mut().expect("has some") ^= 1;
    fs::write(&snapshot, bytes).expect("is written");
    let finished = journal("verify", &data_dir, &[]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for part in [
        text(&snapshot),
        "its bytes do not match its hash. One whose bytes are wrong is passed over by a start",
        "the next two take its place",
    ] {
        assert!(finished.stderr.contains(part), "no {part:?} in {}", finished.stderr);
    }
    run();
    assert!(newest("unusable").is_some(), "it was passed over");
    verified_journal(&data_dir);
}

/// `millrace journal export | head -1`.
fn end_quietly_on_a_closed_pipe(data_dir: &Path) {
    for args in [["export", "--format=jsonl"], ["export", "--format=csv"], ["inspect", "--frames"]]
    {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["journal", args[0], args[1], "--data-dir", text(data_dir)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("is piped");
        BufReader::with_capacity(16, stdout).read_line(&mut line).expect("a line");
        let finished = child.wait_with_output().expect("ends");
        assert_eq!((finished.status.code(), finished.stderr.as_slice()), (Some(0), &b""[..]));
    }
}

#[test]
fn bad_input_is_told_in_a_sentence() {
    let data_dir = demonstrated("0");
    let last = verified_journal(data_dir.path())["events"].to_string();
    let beyond = format!("its last event is {last}");
    let nowhere = tempfile::tempdir().expect("a temporary directory");
    for command in ["inspect", "export", "verify"] {
        let finished = journal(command, nowhere.path(), &[]);
        assert_complains(&finished, 1, &["there is no journal in", "--data-dir"]);
    }
    for (command, args) in [
        ("inspect", ["--event", "78000"]),
        ("inspect", ["--from", "78000"]),
        ("export", ["--from", "78000"]),
        ("export", ["--to", "78000"]),
    ] {
        let finished = journal(command, data_dir.path(), &args);
        assert_complains(&finished, 1, &[args[0], "78000 is beyond the journal's end", &beyond]);
    }
    let export = |args: &[&str]| journal("export", data_dir.path(), args);
    let times = ["2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"];
    assert_complains(&export(&["--from", "5", "--to", "4"]), 1, &["--from 5 comes after --to 4"]);
    assert_complains(
        &export(&["--from-time", times[0], "--to-time", times[1]]),
        1,
        &["--from-time is not before --to-time"],
    );
    let directory = text(nowhere.path());
    let missing = format!("{directory}/missing/events.jsonl");
    assert_complains(&export(&["--output", directory]), 1, &[directory, "is no regular file"]);
    assert_complains(
        &export(&["--output", &missing]),
        1,
        &[&missing, "can't be written", "--output"],
    );
    for (args, complaint) in [
        (["--from-time", "yesterday"], "is no time as in RFC 3339"),
        (["--to-time", "1969-12-31T23:59:59Z"], "is before 1970"),
        (["--from", "0"], "0 is not in 1.."),
        (["--format", "xml"], "possible values: jsonl, csv"),
    ] {
        assert_complains(&export(&args), 2, &[args[0], complaint]);
    }
    let both = journal("inspect", data_dir.path(), &["--event", "1", "--frames"]);
    assert_complains(&both, 2, &["cannot be used with"]);

    // As if what was before event 7 had been deleted.
    let directory = data_dir.path().join("journal");
    let [first, later] = [1, 7].map(|seq| directory.join(format!("{seq:020}.segment")));
    fs::rename(first, later).expect("is renamed");
    for args in [["--to", "5"], ["--to", "6"]] {
        let parts = [args[0], "the journal begins with event 7", "a backup may have it"];
        assert_complains(&export(&args), 1, &parts);
    }
    let from = journal("export", data_dir.path(), &["--from", "5", "--to", "8"]);
    assert_complains(&from, 1, &["begins with event 7, and event 5 is needed"]);
}
