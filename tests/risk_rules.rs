//! Rules without a model, on the real binary: the sentence of a rule that kept a payment from being
//! approved, wherever a decision is explained, and the hits of rules that act or are in shadow.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{
    bank::{ALICE, BOB, Bank, uuid},
    config::funding_account,
    eventually, graphql,
    metrics::scrape,
    payments::pay,
    payments_file::{PaymentsFile, cell},
    process::millrace,
    risk::settings,
    scratch::Scratch,
    server::Server,
};

const RULES: &str = r#"
[[rule]]
name = "odd-amount"
when = "amount > 3 && amount < 4"
action = "block"
reason = "{amount} to {payee} is odd"

[[rule]]
name = "look-twice"
when = "amount > 900"
action = "review"
reason = "{amount} is more than 900"

[[rule]]
name = "tried-out"
when = "amount > 100 && payee != \"00000000-0000-0000-0000-000000000001\""
action = "block"
reason = "{amount}"
shadow = true
"#;

fn json(printed: &str) -> Value {
    serde_json::from_str(printed.lines().next().expect("a line")).expect("is JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rule_says_why_and_its_hits_are_counted() {
    let bank = Bank::start_with(&settings(), [ALICE, BOB]).await;
    let (server, data_dir) = (&bank.server, bank.scratch.file("data"));
    server.promote_rules(&bank.scratch, RULES);
    for (id, minor, outcome) in [
        (1, 350, "REJECTED RISK_DECLINED"),
        (2, 20_000, "SETTLED"),
        (3, 95_000, "HELD"),
        (4, 500, "SETTLED"),
    ] {
        assert_eq!(bank.submit_one(pay(id, ALICE, BOB, minor)).await, outcome, "payment {id}");
    }

    // The command line, from the service.
    let declined = format!("3.50 to {} is odd", uuid(BOB));
    let held = "950.00 is more than 900";
    for (id, rule, reason) in
        [(1, "odd-amount", &*declined), (2, "", ""), (3, "look-twice", held), (4, "", "")]
    {
        let id = uuid(id);
        let found = server.risk(&["decision", &id, "--json"]).json();
        assert_eq!((&found["rule"], &found["rule_reason"]), (&rule.into(), &reason.into()));
        let shown = server.risk(&["decision", &id]).stdout;
        let line = format!("  because     {reason}\n");
        assert_eq!(shown.contains(&line), !reason.is_empty(), "{shown}");
    }
    let listed = eventually("the desk has caught up", || {
        let listed = server.risk(&["reviews", "list", "--json"]).stdout;
        listed.lines().next().map(json)
    });
    assert_eq!(listed["rule_reason"], held);
    let table = server.risk(&["reviews", "list"]).stdout;
    assert!(table.contains(&format!("\n  because {held}\n")), "{table}");

    // The read side.
    let explained = |id: u128| {
        let id = uuid(id);
        let query =
            format!("{{ payment(id: \"{id}\") {{ riskExplanation {{ rule ruleReason }} }} }}");
        graphql::ask(server.graphql, &query)["payment"]["riskExplanation"].clone()
    };
    let last = server.risk(&["decision", &uuid(4), "--json"]).json();
    graphql::wait_for(server.graphql, last["event_sequence"].as_u64().expect("a number"));
    assert_eq!(explained(1)["ruleReason"], *declined);
    assert_eq!(explained(3)["ruleReason"], held);
    assert_eq!(explained(4)["ruleReason"], Value::Null);

    // Monitoring. What is in shadow acts on nothing.
    let address = server.metrics.expect("metrics are on");
    let metrics = graphql::get(address, "/metrics");
    for (rule, shadow, hits) in
        [("odd-amount", false, 1), ("look-twice", false, 1), ("tried-out", true, 2)]
    {
        let line = format!(
            "millrace_risk_rule_hits_total{{rule=\"{rule}\",shadow=\"{shadow}\"}} {hits}\n"
        );
        assert!(metrics.contains(&line), "no {line:?} in {metrics}");
    }
    let status = json(&graphql::get(address, "/status"));
    let hits = status["risk"]["rule_hits"].as_array().expect("a list");
    let trial = hits.iter().find(|it| it["rule"] == "tried-out").expect("is shown");
    assert_eq!((&trial["shadow"], &trial["hits"]), (&true.into(), &2.into()));

    // The journal.
    bank.server.stop();
    let export = |with_context: &[&str]| {
        let args = ["journal", "export", "--data-dir", &data_dir];
        let finished = millrace(args.iter().chain(with_context));
        let rows: Vec<_> = finished.stdout.lines().map(json).collect();
        rows
    };
    let first = uuid(1);
    let find = |rows: &[Value]| rows.iter().find(|row| row["payment_id"] == *first).cloned();
    let row = find(&export(&[])).expect("is there");
    assert_eq!((&row["risk_policy_number"], &row["risk_score"]), (&1.into(), &Value::Null));
    assert_eq!(row["risk_rule_reason"], Value::Null, "it may tell of persons");
    let rows = export(&["--with-context"]);
    assert_eq!(find(&rows).expect("is there")["risk_rule_reason"], *declined);
    let act = rows.iter().find(|row| row["act_kind"] == "SET_POLICY").expect("is there");
    assert_eq!((&act["act_by"], &act["act_why"]), (&"ann".into(), &"it had to be".into()));
    assert_eq!(act["act_details"]["policy"].as_str().map(str::len), Some(64), "{act}");
}

/// What a rule says of a payment's context holds equally often for a file of payments, for the server
/// that the file was submitted to, and for its journal.
#[test]
fn rules_on_contexts_hit_alike_over_files_live_and_over_journals() {
    let scratch = Scratch::new();
    let [file, rules, data_dir] =
        ["payments.csv", "rules.toml", "data"].map(|name| scratch.file(name));
    let generate = ["risk", "generate", "--payments", "500", "--days", "24", "--seed", "4"];
    millrace(generate.into_iter().chain(["--out", &file])).done();
    let payments = PaymentsFile::read(&file);
    let expected = ["device", "country", "channel", "mcc"].map(|key| {
        let column = payments.column(key);
        let cells: Vec<_> = payments.rows.iter().map(|row| cell(row, column)).collect();
        let value = *cells.iter().find(|cell| !cell.is_empty()).expect("some have one");
        (key, value.to_owned(), cells.iter().filter(|cell| **cell == value).count())
    });
    let rule = |(key, value, _): &(&str, String, usize)| {
        format!(
            "[[rule]]\nname = \"{key}\"\nwhen = 'context.{key} == \"{value}\"'\naction = \"review\"\n\
             reason = \"{{amount}}\"\nshadow = true\n"
        )
    };
    let config = settings().exempting_funding_of(&payments.mapping).write(scratch.path());
    let server = Server::start(&config, Path::new(&data_dir));
    let url = server.url();
    server.promote_rules(&scratch, &expected.each_ref().map(rule).concat());
    millrace(["submit", "--open-accounts", "--target", &url, "--file", &file]).done();
    let live = scrape(server.metrics.expect("metrics are on"));
    server.stop();

    let funding = funding_account(&payments.mapping, "EUR");
    let checked = |source: &[&str]| {
        let check = ["risk", "rules", "check", &rules, "--json"];
        let checked = millrace(check.iter().chain(source)).json();
        checked["dry_run"]["rules"].as_array().expect("a list").clone()
    };
    let of_file = checked(&["--data", &file]);
    let of_journal = checked(&["--journal", &data_dir, "--exempt-payer", &funding]);
    for (key, value, count) in &expected {
        let hits = |rules: &[Value]| {
            let rule = rules.iter().find(|rule| rule["name"] == *key).expect("is there");
            rule["hits"].as_u64()
        };
        let name = format!("millrace_risk_rule_hits_total{{rule=\"{key}\",shadow=\"true\"}}");
        let found = [hits(&of_file), Some(live[&name] as u64), hits(&of_journal)];
        assert_eq!(found, [Some(*count as u64); 3], "{key} {value}: file, live, journal");
    }
}
