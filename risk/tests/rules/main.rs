//! Rules from the outside: the language, precedence, errors, lists, dry runs and the documentation.

mod docs;
mod dry_run;
mod errors;
mod language;
mod lists;
mod precedence;

use millrace_ledger::Timestamp;
use millrace_risk::rules::{
    List, ListEntry, ListKind, ListLimits, ListSpec, Lists, RuleInput, RuleSet, Vocabulary,
};

/// Features of the tests, with a unit each.
const FEATURES: [(&str, &str); 8] = [
    ("amount", "money"),
    ("payer.count_1h", "count"),
    ("payer.count_1d", "count"),
    ("payer.mean_30d", "money"),
    ("payer.age", "days"),
    ("payer.since_last", "seconds"),
    ("payee.fraud_share_30d", "share"),
    ("weekend", "flag"),
];
const TEXTS: [&str; 5] = ["payer", "payee", "context.country", "context.channel", "context.device"];

fn vocabulary() -> Vocabulary {
    Vocabulary::new(FEATURES, TEXTS)
}

fn list(name: &str, kind: ListKind, of: &[&str], values: &[&str]) -> List {
    let of = of.iter().map(|of| (*of).to_owned()).collect();
    let spec = ListSpec { name: name.to_owned(), kind, of };
    let mut list = List::new(spec, ListLimits::default()).expect("a right name");
    for value in values {
        let entry = ListEntry { value, expires_at: None, reason: "a test", added_by: "anna" };
        list.add(&entry).expect("there is room");
    }
    list
}

fn lists() -> Lists {
    let mut lists = Lists::new();
    lists.insert(list("block_list", ListKind::Block, &["payer", "payee"], &["mallory"]));
    lists.insert(list("high_risk_countries", ListKind::Watch, &["context.country"], &["KP"]));
    lists
}

/// A row: 100.00 on a weekday, an hour after the last payment; the rest as given.
fn row(values: &[(&str, f32)]) -> Vec<f32> {
    let mut row = vec![100.0, 1.0, 3.0, 50.0, 365.0, 3_600.0, 0.0, 0.0];
    for (name, value) in values {
        let place = FEATURES.iter().position(|(known, _)| known == name).expect("a known name");
        row[place] = *value;
    }
    row
}

const SOMEBODY: [Option<&str>; 5] = [Some("alice"), Some("shop"), Some("CZ"), Some("card"), None];

fn input<'a>(row: &'a [f32], texts: &'a [Option<&'a str>]) -> RuleInput<'a> {
    RuleInput { row, texts, at: Timestamp(1_000) }
}

/// A file with one rule of this condition.
fn rule(when: &str) -> String {
    format!("[[rule]]\nname = 'r'\nwhen = '''{when}'''\naction = 'review'\nreason = 'x'\n")
}

fn compile(file: &str) -> RuleSet {
    RuleSet::compile(file, &vocabulary(), &lists()).unwrap_or_else(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{file}\n{}", errors.join("\n"))
    })
}
