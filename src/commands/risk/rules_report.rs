//! The report of `millrace risk rules check`: consumes rules and their dry run, produces a page.

use millrace_risk::rules::{DryRunReport, Rule, RuleReport, RuleSet};
use millrace_risk_lab::report::{Align, Card, Report, Table};

use super::output::{number, percent};

/// A page of the rules and, where there were payments, of what they would have done.
pub(super) fn report(rules: &RuleSet, dry_run: Option<&DryRunReport>, about: &str) -> Report {
    let mut report = Report::new("Rules", about);
    if let Some(dry_run) = dry_run {
        report.cards(&cards(dry_run));
        report.table("Decisions", &decisions_table(dry_run));
        report.table("What each rule would have done", &hits_table(dry_run));
        report.table("Rules that hold for the same payments", &overlaps_table(dry_run));
        for rule in dry_run.rules.iter().filter(|rule| !rule.examples.is_empty()) {
            examples(&mut report, rule);
        }
    }
    report.table("Rules", &rules_table(rules));
    report
}

/// The rules, in their order, with what they cost.
pub(super) fn rules_table(rules: &RuleSet) -> Table {
    let mut table = Table::new(&[
        ("rule", Align::Left),
        ("action", Align::Left),
        ("cost", Align::Right),
        ("", Align::Left),
        ("when", Align::Left),
    ]);
    for rule in rules.rules() {
        let Rule { name, action, cost, enabled, shadow, when, .. } = rule;
        table.row([
            name.clone(),
            action.name().to_owned(),
            cost.to_string(),
            state(*enabled, *shadow).to_owned(),
            when.split_whitespace().collect::<Vec<_>>().join(" "),
        ]);
    }
    table
}

fn state(enabled: bool, shadow: bool) -> &'static str {
    match (enabled, shadow) {
        (false, _) => "off",
        (true, true) => "shadow",
        (true, false) => "",
    }
}

fn whole(value: u64) -> String {
    number(value as f64, 0)
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), percent)
}

fn cards(it: &DryRunReport) -> [Card; 4] {
    let card =
        |name: &str, value: String, note: String| Card { name: name.to_owned(), value, note };
    let untouched = it.decisions.iter().find(|decision| decision.decision == "none");
    let untouched = untouched.map_or(0.0, |decision| decision.share);
    let labelled = format!("{} payments have a label", whole(it.labelled));
    [
        card("payments", whole(it.payments), format!("money {}", number(it.money, 0))),
        card("no rule decides", percent(untouched), "of payments".to_owned()),
        card("frauds", whole(it.frauds), labelled),
        card("money of frauds", number(it.fraud_money, 0), String::new()),
    ]
}

fn decisions_table(it: &DryRunReport) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("decision", Align::Left),
        ("payments", right),
        ("share", right),
        ("money", right),
        ("frauds", right),
    ]);
    for each in &it.decisions {
        table.row([
            each.decision.to_owned(),
            whole(each.payments),
            percent(each.share),
            number(each.money, 2),
            whole(each.frauds),
        ]);
    }
    table
}

fn hits_table(it: &DryRunReport) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("rule", Align::Left),
        ("action", Align::Left),
        ("", Align::Left),
        ("hits", right),
        ("share", right),
        ("decided", right),
        ("alone", right),
        ("money", right),
        ("frauds", right),
        ("precision", right),
        ("recall", right),
        ("money of frauds", right),
    ]);
    for rule in &it.rules {
        table.row([
            rule.name.clone(),
            rule.action.name().to_owned(),
            state(rule.enabled, rule.shadow).to_owned(),
            whole(rule.hits),
            percent(rule.hit_share),
            whole(rule.decided),
            whole(rule.alone),
            number(rule.money, 2),
            whole(rule.frauds_caught),
            share(rule.precision),
            share(rule.recall),
            number(rule.fraud_money_caught, 2),
        ]);
    }
    table
}

fn overlaps_table(it: &DryRunReport) -> Table {
    let mut table = Table::new(&[
        ("rule", Align::Left),
        ("holds together with", Align::Left),
        ("payments", Align::Right),
        ("of its hits", Align::Right),
    ]);
    for rule in &it.rules {
        for overlap in &rule.overlaps {
            table.row([
                rule.name.clone(),
                overlap.rule.clone(),
                whole(overlap.hits),
                percent(overlap.share),
            ]);
        }
    }
    table
}

fn examples(report: &mut Report, rule: &RuleReport) {
    let mut table = Table::new(&[
        ("payment", Align::Left),
        ("time", Align::Left),
        ("amount", Align::Right),
        ("label", Align::Left),
        ("reason", Align::Left),
    ]);
    for it in &rule.examples {
        let label = match it.fraud {
            Some(true) => "fraud",
            Some(false) => "legitimate",
            None => "",
        };
        let amount = number(it.amount, 2);
        table.row([it.id.clone(), it.at.clone(), amount, label.to_owned(), it.reason.clone()]);
    }
    report.table(&format!("First payments that {} holds for", rule.name), &table);
}
