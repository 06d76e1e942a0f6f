//! `millrace report trial-balance` on the demo's sample and beside a running server: in every form it
//! tells what a plain sum over the exported events tells.

mod support;

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use support::{
    config::Settings,
    data_dir::demonstrated,
    dice::Dice,
    orders,
    process::{Finished, millrace},
    server::Server,
    text,
};

fn report(data_dir: &std::path::Path, args: &[&str]) -> Finished {
    let start = ["report", "trial-balance", "--data-dir", text(data_dir)];
    millrace(start.into_iter().chain(args.iter().copied()))
}

#[track_caller]
fn printed(finished: Finished) -> String {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout
}

fn json(data_dir: &std::path::Path, args: &[&str]) -> Value {
    let args: Vec<_> = ["--json"].iter().chain(args).copied().collect();
    serde_json::from_str(&printed(report(data_dir, &args))).expect("is JSON")
}

fn exported(data_dir: &std::path::Path) -> Vec<Value> {
    let rows = printed(millrace(["journal", "export", "--data-dir", text(data_dir)]));
    rows.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect()
}

const COUNTERS: [&str; 4] = [
    "debits_posted_minor",
    "credits_posted_minor",
    "debits_pending_minor",
    "credits_pending_minor",
];

/// By ledger and code: number of accounts, and the counters' sums in minor units.
type Sums = BTreeMap<(u64, u64), (u64, [u128; 4])>;

/// The last balances that any event tells of each account, added up.
fn plain(rows: &[Value]) -> Sums {
    let number = |row: &Value, name: &str| {
        row[name].as_str().expect("is there").parse::<u128>().expect("is a number")
    };
    let mut accounts: BTreeMap<String, ((u64, u64), [u128; 4])> = BTreeMap::new();
    for row in rows {
        let account = |side: &str| row[format!("{side}_id")].as_str().unwrap_or("").to_owned();
        let counters = |side: &str| COUNTERS.map(|name| number(row, &format!("{side}_{name}")));
        if row["event"] == "ACCOUNT" {
            let place = ["ledger", "code"].map(|name| row[name].as_u64().expect("a number"));
            accounts.insert(account("account"), (place.into(), counters("account")));
        } else if row["event"] != "ACT" && row["status"] != "REJECTED" {
            for side in ["debit_account", "credit_account"] {
                accounts.get_mut(&account(side)).expect("was opened").1 = counters(side);
            }
        }
    }
    let mut sums = Sums::new();
    for (place, counters) in accounts.values() {
        let (count, sum) = sums.entry(*place).or_default();
        *count += 1;
        sum.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter);
    }
    sums
}

fn sums(balance: &Value) -> Sums {
    let array = |value: &Value| value.as_array().expect("an array").clone();
    let sum = |name: &str, of: &Value| -> u128 {
        of[name].as_str().expect("is text").parse().expect("is a number")
    };
    let mut sums = Sums::new();
    for ledger in array(&balance["ledgers"]) {
        assert_eq!(ledger["balanced"], true);
        let total = &ledger["total"];
        assert_eq!(total["debits_posted"], total["credits_posted"]);
        assert_eq!(
            (total["net_minor"].as_str(), total["net_side"].as_str()),
            (Some("0"), Some(""))
        );
        for code in array(&ledger["codes"]) {
            let place = (ledger["ledger"].as_u64(), code["code"].as_u64());
            let place = place.0.zip(place.1).expect("numbers");
            let count = code["accounts"].as_u64().expect("a number");
            let counters = COUNTERS.map(|name| sum(name, &code));
            let ahead = counters[0].abs_diff(counters[1]);
            let side = match counters[0].cmp(&counters[1]) {
                std::cmp::Ordering::Less => "CREDIT",
                std::cmp::Ordering::Equal => "",
                std::cmp::Ordering::Greater => "DEBIT",
            };
            assert_eq!((sum("net_minor", &code), code["net_side"].as_str()), (ahead, Some(side)));
            sums.insert(place, (count, counters));
        }
    }
    sums
}

#[test]
fn it_tells_what_the_events_add_up_to_now_and_at_the_time_of_each_batch() {
    let data_dir = demonstrated("0");
    let rows = exported(data_dir.path());
    let now = json(data_dir.path(), &[]);
    assert_eq!(sums(&now), plain(&rows));
    assert_eq!(now["as_of_event"], rows.len());
    assert_eq!(now["as_of_time"], rows[rows.len() - 1]["time"]);
    assert!(now["ledgers"].as_array().expect("an array").len() > 2, "several currencies");
    let koruna = &now["ledgers"][0];
    assert_eq!((koruna["ledger"].as_u64(), koruna["currency"].as_str()), (Some(203), Some("CZK")));
    let total = &koruna["total"];
    let posted = total["debits_posted"].as_str().expect("is text");
    assert_eq!(posted.replace('.', ""), total["debits_posted_minor"], "{posted}");
    assert_ne!(total["debits_pending_minor"], "0", "the sample has a hold that is open");
    let times: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row["time"].as_str().expect("is text")).collect();
    assert!(times.len() > 3);
    for time in times {
        let then = json(data_dir.path(), &["--at", time]);
        let until: Vec<_> =
            rows.iter().filter(|row| row["time"].as_str() <= Some(time)).cloned().collect();
        assert_eq!(sums(&then), plain(&until), "at {time}");
        assert_eq!(
            (&then["as_of_event"], &then["as_of_time"]),
            (&until.len().into(), &time.into())
        );
    }
}

#[test]
fn table_and_csv_tell_what_json_tells() {
    let data_dir = demonstrated("0");
    let future = |args: &[&str]| {
        let finished = report(data_dir.path(), &[&["--at", "2200-01-01"], args].concat());
        let note = "note: --at 2200-01-01T23:59:59.999999999Z is yet to come: what is paid until then \
                    is not in these sums\n";
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), note));
        finished.stdout
    };
    let balance: Value = serde_json::from_str(&future(&["--json"])).expect("is JSON");
    assert_eq!(balance["at"], "2200-01-01T23:59:59.999999999Z");
    let table = future(&[]);
    let csv = printed(report(data_dir.path(), &["--csv"]));
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let header = csv.headers().expect("a header").clone();
    let mut lines: Vec<_> = csv.records().map(|line| line.expect("is CSV")).collect();
    lines.reverse();
    let as_of = format!(
        "trial balance as of event {}, {}",
        balance["as_of_event"],
        balance["as_of_time"].as_str().expect("is text")
    );
    assert_eq!(table.lines().next(), Some(as_of.as_str()));
    for ledger in balance["ledgers"].as_array().expect("an array") {
        let codes = ledger["codes"].as_array().expect("an array").iter();
        for sums in codes.chain([&ledger["total"]]) {
            let line = lines.pop().expect("a line for each");
            for (name, cell) in header.iter().zip(&line) {
                let expected = match name {
                    "as_of_event" | "as_of_time" => &balance[name],
                    "ledger" | "currency" => &ledger[name],
                    "code" if sums["code"].is_null() => &Value::from("TOTAL"),
                    name => &sums[name],
                };
                let expected =
                    expected.as_str().map_or_else(|| expected.to_string(), str::to_owned);
                assert_eq!(cell, expected, "{name} of {line:?}");
            }
            let code = line.get(4).expect("a code");
            let words = [code, &sums["accounts"].to_string()].map(str::to_owned);
            let amounts = ["debits_posted", "credits_posted", "net"]
                .map(|name| sums[name].as_str().expect("is text").to_owned());
            let expected: Vec<_> = words.into_iter().chain(amounts).collect();
            let found = table.lines().any(|line| {
                let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
                words.starts_with(&expected)
            });
            assert!(found, "no {expected:?} in\n{table}");
        }
    }
    assert!(lines.is_empty(), "{lines:?}");
}

/// Beside a running server, whose end it sees or a little less.
#[test]
fn it_reads_beside_a_running_server() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data_dir = scratch.path().join("data");
    let server = Server::start(&Settings::unlimited().write(scratch.path()), &data_dir);
    let file = scratch.path().join("orders.csv");
    fs::write(&file, orders::generated(2_000, &mut Dice::seeded("report"))).expect("is written");
    let url = server.url();
    let submitted =
        millrace(["submit", "--file", text(&file), "--open-accounts", "--target", &url]);
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    let balance = json(&data_dir, &[]);
    assert_eq!(sums(&balance), plain(&exported(&data_dir)));
    server.stop();
    assert_eq!(json(&data_dir, &[])["ledgers"], balance["ledgers"]);
}

#[test]
fn bad_input_is_told_in_a_sentence() {
    let (data_dir, nowhere) =
        (demonstrated("0"), tempfile::tempdir().expect("a temporary directory"));
    let complain = |finished: Finished, code: i32, parts: &[&str]| {
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
        for part in parts {
            assert!(finished.stderr.contains(part), "no {part:?} in: {}", finished.stderr);
        }
    };
    complain(report(nowhere.path(), &[]), 1, &["there is no journal in", "--data-dir"]);
    let early = report(data_dir.path(), &["--at", "1999-12-31"]);
    complain(early, 1, &["1999-12-31T23:59:59.999999999Z", "nothing was recorded by then"]);
    let unreadable = report(data_dir.path(), &["--at", "yesterday"]);
    complain(unreadable, 2, &["--at", "RFC 3339", "no date, such as 2026-01-31"]);
    let both = report(data_dir.path(), &["--json", "--csv"]);
    complain(both, 2, &["cannot be used with"]);
    let journal = data_dir.path().join("journal");
    let (first, later) = ["00000000000000000001.segment", "00000000000000000007.segment"].into();
    fs::rename(journal.join(first), journal.join(later)).expect("is renamed");
    complain(report(data_dir.path(), &[]), 1, &["the journal begins with event 7"]);
}
