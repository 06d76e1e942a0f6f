//! `millrace risk explain`: consumes a model and payments, produces what the model looks at, and why
//! a payment got its score.

use std::{path::PathBuf, process::ExitCode};

use millrace_risk_lab::{
    data::Payments,
    dataset::FeatureTable,
    importance::{Importance, importance, permute},
    model_file::{ModelFile, Reason},
    report::{Align, Example, Report, Table},
};
use serde_json::{Value, json};

use super::{
    output::{self, number, percent},
    progress,
    tested::{TestArgs, Tested, about, name_of, of_model},
};
use crate::{Failure, commands::say};

/// Tell what a model looks at, or why a payment got its score
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk explain --model model.mrm --data payments.csv.gz --test 2018-08-08..2018-08-14
  millrace risk explain --model model.mrm --data payments.csv.gz --test 2018-08-08..2018-08-14 \\
      --payment 1287301
  millrace risk explain --model model.mrm --data payments.csv.gz --test 2018-08-08..2018-08-14 \\
      --highest 10 --json --report explain.html

The share of a feature is its part in all that moves scores up or down on these payments. What is lost
without it is by how much average precision falls when its values are shuffled between payments.")]
pub(crate) struct Args {
    /// The model
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    test: TestArgs,
    /// Explain this payment, which must be among the days
    #[arg(long, value_name = "ID", conflicts_with = "highest")]
    payment: Option<String>,
    /// Explain the payments of the highest scores
    #[arg(long, value_name = "N", default_value_t = 5)]
    highest: usize,
    /// Reasons told of a payment
    #[arg(long, value_name = "N", default_value_t = 5)]
    reasons: usize,
    /// What all random numbers derive from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write a report with pictures
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

/// A payment, and why it got its score.
struct Explained {
    place: usize,
    score: f32,
    reasons: Vec<Reason>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let file = args.test.model(&args.model)?;
    let mut tested = match &args.payment {
        None => args.test.load(&file)?,
        Some(id) => one(args, &file, id)?,
    };
    let table = tested.features(&file.catalogue);
    let scores = file.scores(&table.values);
    let mut highest: Vec<usize> = (0..scores.len()).collect();
    highest.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let explained: Vec<_> = highest
        .into_iter()
        .take(if args.payment.is_some() { 1 } else { args.highest })
        .map(|place| Explained {
            place,
            score: scores[place],
            reasons: file.reasons(table.row(place), args.reasons),
        })
        .collect();
    let features = match &args.payment {
        Some(_) => Vec::new(),
        None => all_features(args, &file, &tested, &table)?,
    };
    output::warned(args.report.as_deref(), tested.warnings(), || {
        report(args, &file, &tested, &table, (&features, &explained))
    })?;
    match args.json {
        true => print_json(args, &file, &tested, &features, &explained),
        false => print(&tested, &features, &explained),
    }
    Ok(ExitCode::SUCCESS)
}

/// One payment, whatever is known of its payer.
fn one(args: &Args, file: &ModelFile, id: &str) -> Result<Tested, Failure> {
    let source = args.test.source.load(false)?;
    let split = args.test.split(file);
    let payments = &source.payments;
    let mut days = payments.rows_of(&split.test)?;
    let Some(row) = days.find(|row| payments.id(*row) == id) else {
        let days = &split.test;
        return Err(format!("no payment of {days} has the id {id}; check it, and the days").into());
    };
    Ok(Tested { source, split, rows: vec![row as u32] })
}

fn all_features(
    args: &Args,
    file: &ModelFile,
    tested: &Tested,
    table: &FeatureTable,
) -> Result<Vec<Importance>, Failure> {
    let mut features = importance(&file.model, &table.values);
    let labels = table.labels(tested.payments());
    let bar = progress::bar(features.len(), "shuffling", "features");
    let mut moved = |done| bar.set_position(done as u64);
    permute(&file.model, &table.values, &labels, args.seed, &mut features, &mut moved)?;
    bar.finish_and_clear();
    Ok(features)
}

fn print_json(
    args: &Args,
    file: &ModelFile,
    tested: &Tested,
    features: &[Importance],
    explained: &[Explained],
) {
    let payments: Vec<Value> = explained.iter().map(|it| payment_json(tested, it)).collect();
    let mut settings = tested.settings();
    settings.insert("model".to_owned(), of_model(&args.model, file));
    settings.insert("seed".to_owned(), args.seed.into());
    let shown = json!({
        "features": features,
        "payments": payments,
        "settings": settings,
        "warnings": tested.warnings(),
    });
    say!("{shown}");
}

fn payment_json(tested: &Tested, it: &Explained) -> Value {
    let payments = tested.payments();
    let row = tested.rows[it.place] as usize;
    json!({
        "payment": payments.id(row),
        "payer": payments.payers().name(payments.payer()[row]),
        "payee": payments.payees().name(payments.payee()[row]),
        "amount": payments.amount()[row],
        "is_fraud": payments.is_fraud()[row],
        "score": it.score,
        "reasons": it.reasons,
    })
}

fn headline(payments: &Payments, row: usize, score: f32) -> String {
    let label = if payments.is_fraud()[row] { ", fraud" } else { "" };
    let (id, about) = (payments.id(row), about(payments, row));
    format!("payment {id} ({about}{label}): score {}", number(f64::from(score), 4))
}

fn features_table(features: &[Importance]) -> Table {
    let mut table = Table::new(&[
        ("feature", Align::Left),
        ("share", Align::Right),
        ("precision lost without it", Align::Right),
    ]);
    for it in features {
        let lost = it.precision_lost.map_or_else(String::new, |lost| number(lost, 4));
        table.row([it.feature.clone(), percent(it.share), lost]);
    }
    table
}

fn print(tested: &Tested, features: &[Importance], explained: &[Explained]) {
    if !features.is_empty() {
        say!("{}", features_table(features).to_text());
    }
    for it in explained {
        say!("{}", headline(tested.payments(), tested.rows[it.place] as usize, it.score));
        for reason in &it.reasons {
            say!("  {:>6}  {}", percent(f64::from(reason.share)), reason.words);
        }
        if it.reasons.is_empty() {
            say!("  nothing speaks for fraud");
        }
    }
}

fn report(
    args: &Args,
    file: &ModelFile,
    tested: &Tested,
    table: &FeatureTable,
    (features, explained): (&[Importance], &[Explained]),
) -> Report {
    let about = format!("{} on {}", name_of(&args.model), tested.split.test);
    let mut report = Report::new("Explanation", &about);
    let shares: Vec<_> = features.iter().map(|it| (it.feature.as_str(), it.share)).collect();
    if !shares.is_empty() {
        report.importance(&shares).table("Features", &features_table(features));
        report.paragraph(
            "The share of a feature is its part in all that moves scores up or down on these \
             payments. What is lost without it is by how much average precision falls when its \
             values are shuffled between payments.",
        );
    }
    // With the share of each reason, as the table on a terminal has it.
    let example = |it: &Explained| {
        let in_words =
            |reason: &Reason| format!("{}: {}", percent(f64::from(reason.share)), reason.words);
        let reasons = it.reasons.iter().map(in_words).collect();
        Example { reasons, ..tested.example(file, table, it.place, it.score) }
    };
    report.examples("Payments", &explained.iter().map(example).collect::<Vec<_>>());
    report.heading("Settings").facts(&tested.facts());
    report
}
