//! A challenger in shadow on the real binary: the same payments are decided alike with and without it,
//! and what it would have decided is counted, explained and told from the journal.

mod support;

use std::{collections::BTreeMap, path::Path};

use millrace_client::Mapping;
use serde_json::Value;
use support::{
    config::funding_account,
    metrics::{scrape, status},
    payments_file::PaymentsFile,
    process::millrace,
    risk::settings,
    scratch::Scratch,
    server::Server,
};

const SIGNED: [&str; 4] = ["--actor", "ann", "--why", "a week in shadow"];

/// Payments and two models.
struct Bench {
    scratch: Scratch,
    mapping: Mapping,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let file = scratch.file("payments.csv");
        let generate = ["risk", "generate", "--payments", "2000", "--days", "24", "--seed", "4"];
        millrace(generate.into_iter().chain(["--fraud-share", "0.03", "--out", &file])).done();
        for (trees, model) in [("20", "champion.mrm"), ("2", "challenger.mrm")] {
            let train = ["risk", "train", "--data", &file, "--train", "2026-01-05..2026-01-24"];
            let more = ["--algorithm", "boosting", "--trees", trees, "--out"];
            millrace(train.into_iter().chain(more).chain([scratch.file(model).as_str()])).done();
        }
        Self { mapping: PaymentsFile::read(&file).mapping, scratch }
    }

    /// A server that takes all payments under a policy of the champion and these other options.
    fn served(&self, data: &str, more: &[&str]) -> Server {
        let directory = self.scratch.file(data);
        std::fs::create_dir(&directory).expect("a new one");
        let config = settings().exempting_funding_of(&self.mapping).write(Path::new(&directory));
        let server = Server::start(&config, &Path::new(&directory).join("data"));
        let (url, model) = (server.url(), self.scratch.file("champion.mrm"));
        let promote =
            ["risk", "promote", "--model", &model, "--review-at", "0.03", "--decline-at", "0.3"];
        millrace(promote.iter().chain(more).chain(&SIGNED).chain(&["--target", &url])).done();
        // Some payments are refused, which the command tells by its exit code.
        let file = self.scratch.file("payments.csv");
        let _ = millrace(["submit", "--open-accounts", "--target", &url, "--file", &file]);
        server
    }

    /// What was decided of each payment.
    fn decisions(&self, data: &str) -> BTreeMap<String, Value> {
        let directory = self.scratch.file(&format!("{data}/data"));
        let exported = millrace(["journal", "export", "--data-dir", &directory]).done();
        let rows =
            exported.lines().map(|row| -> Value { serde_json::from_str(row).expect("JSON") });
        let rows = rows.filter(|row| row["risk_score"].is_number());
        let said = rows.map(|row| {
            let id = row["payment_id"].as_str().expect("an id").to_owned();
            let names = ["status", "risk_decision", "risk_score", "risk_contributions"];
            (id, names.map(|name| row[name].clone()).to_vec().into())
        });
        said.collect()
    }
}

#[test]
fn a_challenger_is_told_from_the_journal_and_changes_nothing() {
    let bench = Bench::new();
    bench.served("alone", &[]).stop();
    let challenger = bench.scratch.file("challenger.mrm");
    let server = bench.served("shadowed", &["--challenger", &challenger]);
    let address = server.metrics.expect("metrics are on");
    let counted: BTreeMap<String, f64> = scrape(address)
        .into_iter()
        .filter(|(name, _)| name.starts_with("millrace_risk_challenger_verdicts_total"))
        .collect();
    assert_eq!(counted.values().sum::<f64>(), 2_000.0, "{counted:?}");
    let shown = status(address)["risk"]["challenger_verdicts"].clone();
    assert_eq!(shown.as_array().map(Vec::len), Some(counted.len()), "{shown}");

    // One payment, on the command line; it is reported as fraud.
    let decided = bench.decisions("alone");
    assert_eq!(decided.len(), 2_000);
    let (payment, url) = (decided.keys().next().expect("one").clone(), server.url());
    let found = millrace(["risk", "decision", &payment, "--json", "--target", &url]).json();
    assert!(found["challenger"]["score"].is_number(), "{found}");
    let report = ["risk", "report-fraud", &payment, "--target", &url];
    millrace(report.iter().chain(&SIGNED)).done();
    server.stop();

    assert!(bench.decisions("shadowed") == decided, "the same decisions, scores and reasons");
    let [data, alone] = ["shadowed/data", "alone/data"].map(|data| bench.scratch.file(data));
    let funding = funding_account(&bench.mapping, "EUR");
    let html = bench.scratch.file("shadow.html");
    let shadow = ["risk", "shadow", "--exempt-payer", &funding, "--journal"];
    let told = millrace(shadow.iter().chain(&[data.as_str(), "--json"])).json();
    let told = &told["shadow"];
    assert_eq!((&told["payments"], &told["frauds"]), (&2_000.into(), &1.into()), "{told}");
    assert_eq!((&told["policy"], &told["policies"]), (&1.into(), &Value::from(vec![1])));
    for pair in told["pairs"].as_array().expect("a list") {
        let [champion, challenger] =
            ["decided", "challenger"].map(|it| pair[it].as_str().expect("text"));
        let name = format!(
            "millrace_risk_challenger_verdicts_total{{champion=\"{champion}\",challenger=\"{challenger}\"}}"
        );
        assert_eq!(counted.get(&name).copied(), pair["payments"].as_f64(), "{name} in {counted:?}");
    }
    assert_eq!(told["pairs"].as_array().map(Vec::len), Some(counted.len()), "{told}");
    let stopped = ["decided", "challenger"].map(|it| told[it]["false_alarms"].as_u64());
    assert!(stopped[0] != stopped[1], "they differ: {told}");

    let printed = millrace(shadow.iter().chain(&[data.as_str(), "--report", &html])).done();
    for part in
        ["policy 1, 2026-01-01..", "2,000 payments that the challenger looked at", "false alarms"]
    {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    let html = std::fs::read_to_string(html).expect("is written");
    assert!(html.contains("Challenger in shadow") && !html.contains("http"), "it needs no network");
    // Nobody reported anything there, which is told as such.
    let (model, files) = (bench.scratch.file("champion.mrm"), ["--journal", &alone]);
    let tested = millrace(["risk", "backtest", "--model", &model].iter().chain(&files)).done();
    for part in ["none of them known to be fraud", "money caught: not known, for no payment"] {
        assert!(tested.contains(part), "no {part:?} in {tested}");
    }
    let train = ["risk", "train", "--train", "2026-01-05..2026-01-24", "--out", &model];
    let refused = millrace(train.iter().chain(&files));
    assert!(
        refused.stderr.contains("once they are reported with `millrace risk report-fraud`"),
        "{refused:?}"
    );

    for (args, said) in [
        (&["--journal", &alone][..], "no challenger looked at any payment; promote one with"),
        (&["--journal", &data, "--policy", "7"], "under policy 7"),
        (&[], "--journal"),
    ] {
        let finished = millrace(["risk", "shadow"].iter().chain(args));
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(said), "no {said:?} in {}", finished.stderr);
    }
}
