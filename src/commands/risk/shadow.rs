//! `millrace risk shadow`: consumes a journal, produces what a challenger in shadow said of its
//! payments, against what was decided and against the reports of fraud.

mod tally;

use std::{path::PathBuf, process::ExitCode};

use millrace_risk_lab::{
    data::DaySpan,
    report::{Align, Card, Report, Table},
};
use serde_json::json;

use self::tally::{Effect, Shadow};
use super::{
    backtest::name_of,
    output::{self, number, percent},
    source::{Source, SourceArgs},
};
use crate::{Failure, commands::say};

/// Show what the challenger in shadow would have decided, from the verdicts that the journal recorded
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk shadow --journal millrace-data
  millrace risk shadow --journal millrace-data --policy 4 --span 2026-03-01..2026-03-07 --report shadow.html

What was decided is the work of the whole policy: limits, rules and the model. The challenger's decision
is that of its score alone, by the policy's thresholds. What nobody reported is taken for genuine.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Number of the policy whose challenger is looked at [default: the last one that had any]
    #[arg(long, value_name = "N")]
    policy: Option<u16>,
    /// Only the payments of these days, both included, UTC
    #[arg(long, value_name = "FROM..TO")]
    span: Option<DaySpan>,
    /// Print one line of JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write a report with the tables
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.source.journal().is_none() {
        let what = "name the data directory of a millrace with --journal; no file has verdicts";
        return Err(format!("there are no recorded verdicts: {what}").into());
    }
    let source = args.source.load(false)?;
    let rows = match &args.span {
        None => 0..source.payments.len(),
        Some(span) => source.payments.rows_of(span)?,
    };
    let shadow = Shadow::of(&source, rows, args.policy).ok_or_else(|| nothing(args, &source))?;
    output::report(args.report.as_deref(), || report(&shadow, &source))?;
    match args.json {
        true => say!("{}", json!({ "shadow": shadow, "journal": source.name })),
        false => print(&shadow),
    }
    Ok(ExitCode::SUCCESS)
}

fn nothing(args: &Args, source: &Source) -> Failure {
    let of = args.policy.map_or_else(String::new, |number| format!(" under policy {number}"));
    let when = args.span.as_ref().map_or_else(String::new, |span| format!(" in {span}"));
    let name = &source.name;
    format!(
        "{name}: no challenger looked at any payment{of}{when}; promote one with `millrace risk promote \
         --challenger FILE`, and `millrace risk policy history` shows which policies there were"
    )
    .into()
}

/// What was decided, what the challenger said, and how many payments that is.
fn pairs_table(it: &Shadow) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("decided", Align::Left),
        ("challenger", Align::Left),
        ("payments", right),
        ("share", right),
        ("money", right),
        ("frauds", right),
        ("money of frauds", right),
    ]);
    for pair in &it.pairs {
        table.row([
            name_of(pair.decided).to_owned(),
            name_of(pair.challenger).to_owned(),
            number(pair.payments as f64, 0),
            percent(pair.payments as f64 / it.payments as f64),
            number(pair.money, 2),
            number(pair.frauds as f64, 0),
            number(pair.money_frauds, 2),
        ]);
    }
    table
}

fn effects_table(it: &Shadow) -> Table {
    let mut table =
        Table::new(&[("", Align::Left), ("decided", Align::Right), ("challenger", Align::Right)]);
    let [decided, challenger] = [&it.decided, &it.challenger];
    let mut row = |name: &str, shown: &dyn Fn(&Effect) -> String| {
        table.row([name.to_owned(), shown(decided), shown(challenger)]);
    };
    let whole = |value: u64| number(value as f64, 0);
    row("reviewed", &|it| whole(it.reviewed));
    row("challenged", &|it| whole(it.challenged));
    row("declined", &|it| whole(it.declined));
    row("frauds that were not approved", &|it| whole(it.frauds_stopped));
    row("money of them", &|it| number(it.money_stopped, 2));
    row("false alarms", &|it| whole(it.false_alarms));
    table
}

fn heading(it: &Shadow) -> String {
    format!(
        "policy {}, {}..{}: {} payments that the challenger looked at, {} of them reported as fraud",
        it.policy,
        it.first,
        it.last,
        number(it.payments as f64, 0),
        number(it.frauds as f64, 0),
    )
}

fn print(it: &Shadow) {
    say!("{}\n", heading(it));
    say!("{}", pairs_table(it).to_text());
    say!("{}", effects_table(it).to_text().trim_end());
    if it.policies.len() > 1 {
        let numbers: Vec<_> = it.policies.iter().map(ToString::to_string).collect();
        say!("\nPolicies with a challenger: {}; --policy N shows another one", numbers.join(", "));
    }
}

fn report(it: &Shadow, source: &Source) -> Report {
    let mut report = Report::new("Challenger in shadow", &heading(it));
    let card = |name: &str, value: String, note: &str| Card {
        name: name.to_owned(),
        value,
        note: note.to_owned(),
    };
    let alike = it.pairs.iter().filter(|pair| pair.decided == pair.challenger);
    let alike: u64 = alike.map(|pair| pair.payments).sum();
    let stopped = |it: &Effect| number(it.frauds_stopped as f64, 0);
    report.cards(&[
        card("payments", number(it.payments as f64, 0), "that the challenger looked at"),
        card("alike", percent(alike as f64 / it.payments as f64), "both say the same"),
        card("frauds stopped", stopped(&it.decided), "as it was decided"),
        card("frauds stopped", stopped(&it.challenger), "by the challenger"),
    ]);
    report.table("What each would have done", &effects_table(it));
    report.table("Payment by payment", &pairs_table(it));
    report.facts(&[("journal", source.name.clone()), ("policy", it.policy.to_string())]);
    report
}
