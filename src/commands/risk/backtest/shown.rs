//! What a backtest shows: consumes what would have been, produces tables and a report.

use millrace_risk::policy::{Compiled, Fallback, Thresholds};
use millrace_risk_lab::{
    report::{Align, Card, Report, Table},
    tune::Decision,
};

use super::{
    replayed::Replayed,
    tally::{Effect, Outcome, Segment},
};
use crate::commands::{
    risk::{
        output::{count, number, percent},
        source::Source,
    },
    say,
};

/// As it is written everywhere.
pub(crate) fn name_of(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Review => "review",
        Decision::Challenge => "challenge",
        Decision::Decline => "decline",
    }
}

fn caught(it: &Outcome) -> f64 {
    if it.money_frauds > 0.0 { it.money_caught / it.money_frauds } else { 0.0 }
}

fn table(columns: &[&str]) -> Table {
    let align = |place| if place == 0 { Align::Left } else { Align::Right };
    let columns: Vec<_> =
        columns.iter().enumerate().map(|(place, name)| (*name, align(place))).collect();
    Table::new(&columns)
}

fn whole(value: u64) -> String {
    number(value as f64, 0)
}

fn decisions_table(it: &Outcome) -> Table {
    let columns = ["decision", "payments", "share", "frauds", "of them fraud", "money of frauds"];
    let mut table = table(&columns);
    for each in it.decisions.iter().rev() {
        table.row([
            name_of(each.decision).to_owned(),
            whole(each.rows),
            percent(each.rows as f64 / it.rows.max(1) as f64),
            whole(each.frauds),
            percent(each.frauds as f64 / each.rows.max(1) as f64),
            number(each.money_frauds, 2),
        ]);
    }
    table
}

fn rules_table(heading: &str, rules: &[(String, u64)]) -> Table {
    let mut table = table(&[heading, "decided"]);
    rules.iter().for_each(|(rule, hits)| table.row([rule.clone(), whole(*hits)]));
    table
}

fn segment_name(segment: &Segment) -> String {
    match segment.segment.as_str() {
        "" => "(all others)".to_owned(),
        name => name.to_owned(),
    }
}

fn segments_table(it: &Outcome) -> Table {
    let mut table = table(&[
        "segment",
        "payments",
        "approve",
        "review",
        "challenge",
        "decline",
        "frauds",
        "caught",
        "money caught",
        "false alarms",
    ]);
    for segment in &it.segments {
        let Effect { approved, reviewed, challenged, declined, .. } = segment.now;
        let counts = [segment.rows, approved, reviewed, challenged, declined, segment.frauds];
        let money = format!(
            "{} of {}",
            number(segment.now.money_caught, 2),
            number(segment.money_frauds, 2)
        );
        let name = [segment_name(segment)].into_iter();
        let caught = [whole(segment.now.frauds_caught), money, whole(segment.now.false_alarms)];
        table.row(name.chain(counts.map(whole)).chain(caught));
    }
    table
}

/// More or fewer, with its sign.
fn more(now: f64, then: f64, decimals: usize) -> String {
    let by = now - then;
    let shown = number(by.abs(), decimals);
    match by {
        by if by > 0.0 => format!("+{shown}"),
        by if by < 0.0 => format!("-{shown}"),
        _ => "0".to_owned(),
    }
}

/// By segment, what is more and what is less than was decided then.
fn differences_table(it: &Outcome) -> Table {
    let mut table = table(&[
        "segment, against then",
        "approve",
        "review",
        "challenge",
        "decline",
        "caught",
        "money caught",
        "false alarms",
        "their money",
    ]);
    for segment in &it.segments {
        let (Some(then), now) = (&segment.then, &segment.now) else { continue };
        let counts = [
            (now.approved, then.approved),
            (now.reviewed, then.reviewed),
            (now.challenged, then.challenged),
            (now.declined, then.declined),
            (now.frauds_caught, then.frauds_caught),
        ];
        let counts = counts.map(|(now, then)| more(now as f64, then as f64, 0));
        let rest = [
            more(now.money_caught, then.money_caught, 2),
            more(now.false_alarms as f64, then.false_alarms as f64, 0),
            more(now.money_false_alarms, then.money_false_alarms, 2),
        ];
        table.row([segment_name(segment)].into_iter().chain(counts).chain(rest));
    }
    table
}

fn changes_table(it: &Outcome) -> Table {
    let mut table =
        table(&["decided then, and now", "payments", "money", "frauds", "money of frauds"]);
    for change in it.changes.iter().flatten() {
        table.row([
            format!("{} -> {}", name_of(change.then), name_of(change.now)),
            whole(change.rows),
            number(change.money, 2),
            whole(change.frauds),
            number(change.money_frauds, 2),
        ]);
    }
    table
}

fn same(it: &Outcome) -> Option<String> {
    let changed: u64 = it.changes.as_ref()?.iter().map(|change| change.rows).sum();
    let of = whole(it.rows);
    Some(format!("decided as then: {} of {of} payments", whole(it.rows - changed)))
}

fn fallback(policy: &Compiled) -> &'static str {
    match policy.document.budget.then {
        Fallback::Approve => "approve",
        Fallback::Review => "review",
        Fallback::Decline => "decline",
    }
}

fn fell_back(it: &Outcome, policy: &Compiled) -> Option<String> {
    let (fell_back, then) = (it.fell_back, fallback(policy));
    (fell_back > 0).then(|| {
        let payments = whole(fell_back);
        format!("there was no time for {payments} payments then: the fallback decides ({then})")
    })
}

/// Without any fraud, nobody looked or nobody could know: that is no figure.
fn shown_if_known(it: &Outcome, figure: String) -> String {
    if it.frauds > 0 { figure } else { "not known".to_owned() }
}

fn frauds(it: &Outcome) -> String {
    match it.frauds {
        0 => "none of them known to be fraud".to_owned(),
        frauds => format!("{} of them fraud", whole(frauds)),
    }
}

fn money_caught(it: &Outcome) -> String {
    let (caught_money, all) = (number(it.money_caught, 2), number(it.money_frauds, 2));
    match it.frauds {
        0 => "not known, for no payment is labelled as fraud (a column of a file; in a journal, \
              what `millrace risk report-fraud` reported)"
            .to_owned(),
        _ => format!("{caught_money} of {all} ({})", percent(caught(it))),
    }
}

/// `review from 0.2, challenge never, decline never`.
fn thresholds(of: Thresholds) -> String {
    let from = |at: Option<f32>| at.map_or_else(|| "never".to_owned(), |at| format!("from {at}"));
    [("review", of.review), ("challenge", of.challenge), ("decline", of.decline)]
        .map(|(name, at)| format!("{name} {}", from(at)))
        .join(", ")
}

pub(super) fn print(it: &Outcome, replayed: &Replayed, seconds: f64) {
    say!(
        "{} payments in {} days, {}; {seconds:.2} s, {} payments/s\n",
        count(it.rows as usize),
        it.days.len(),
        frauds(it),
        number(it.rows as f64 / seconds.max(1e-9), 0)
    );
    say!("{}", decisions_table(it).to_text());
    if replayed.is_document {
        say!("{}", segments_table(it).to_text());
    }
    if it.changes.is_some() && replayed.is_document {
        say!("{}", differences_table(it).to_text());
        if !changes_table(it).is_empty() {
            say!("{}", changes_table(it).to_text());
        }
    }
    for (heading, rules) in [("rule", &it.rules), ("rule in shadow", &it.shadow_rules)] {
        if !rules.is_empty() {
            say!("{}", rules_table(heading, rules).to_text());
        }
    }
    say!("money caught: {}", money_caught(it));
    say!(
        "reviews per day: {} in the mean, {} on the busiest day",
        number(it.reviews_per_day, 1),
        it.reviews_busiest_day
    );
    if replayed.policy.model().is_some() {
        let own = if replayed.is_document { "thresholds outside segments" } else { "thresholds" };
        say!("{own}: {}", thresholds(replayed.policy.document.thresholds));
    }
    let told = [fell_back(it, &replayed.policy), same(it).filter(|_| replayed.is_document)];
    told.iter().flatten().for_each(|line| say!("{line}"));
}

pub(super) fn report(it: &Outcome, source: &Source, replayed: &Replayed) -> Report {
    let mut report = Report::new("Backtest", &source.name);
    let card =
        |name: &str, value: String, note: String| Card { name: name.to_owned(), value, note };
    let busiest = format!("busiest day {}", it.reviews_busiest_day);
    let mut cards = vec![
        card("payments", whole(it.rows), format!("{} days", it.days.len())),
        card("frauds", shown_if_known(it, whole(it.frauds)), String::new()),
        card("money caught", shown_if_known(it, percent(caught(it))), number(it.money_caught, 0)),
        card("reviews per day", number(it.reviews_per_day, 1), busiest),
    ];
    if let Some(changes) = &it.changes {
        let changed: u64 = changes.iter().map(|change| change.rows).sum();
        let share = percent(changed as f64 / it.rows.max(1) as f64);
        cards.push(card("decided otherwise", share, format!("{} payments", whole(changed))));
    }
    report.cards(&cards);
    report.table("Decisions", &decisions_table(it));
    if replayed.is_document {
        report.table("Segments", &segments_table(it));
    }
    report.table("More and less than was decided then", &differences_table(it));
    report.table("Payments that would be decided otherwise", &changes_table(it));
    report.backtest(&it.days);
    report.table("Rules", &rules_table("rule", &it.rules));
    report.table("Rules in shadow", &rules_table("rule", &it.shadow_rules));
    let document = &replayed.policy.document;
    let mut facts = vec![("thresholds", thresholds(document.thresholds))];
    let segments: Vec<_> = document
        .segments
        .iter()
        .map(|it| format!("{} ({}): {}", it.name, it.when, thresholds(it.thresholds())))
        .collect();
    facts.extend(segments.into_iter().map(|it| ("segment", it)));
    facts.extend(document.model.clone().map(|model| ("model", model)));
    facts.push(("fallback", fallback(&replayed.policy).to_owned()));
    facts.extend(fell_back(it, &replayed.policy).map(|it| ("time budget", it)));
    report.heading("Settings").facts(&facts);
    report
}
