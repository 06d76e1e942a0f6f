//! `millrace risk compare`: consumes two models and payments, produces what would change if the
//! challenger took over, and whether that is more than chance.

use std::{path::PathBuf, process::ExitCode};

use millrace_risk_lab::{
    metrics::{Bootstrap, Scored, evaluate},
    model_file::ModelFile,
    report::{Align, Report, Table},
    tune::{CompareSettings, Comparison, compare},
};
use serde_json::json;

use super::{
    output::{self, count, number, percent},
    tested::{TestArgs, Tested, load_model, name_of, of_model, overlap},
};
use crate::{Failure, commands::say};

/// Compare a challenger with the champion on the same payments
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk compare --champion now.mrm --challenger new.mrm --data payments.csv.gz \\
      --test 2018-08-08..2018-08-14
  millrace risk compare --champion now.mrm --challenger lightgbm.txt --challenger-catalogue mine.toml \\
      --data payments.csv.gz --test 2018-08-08..2018-08-14 --reviews-per-day 50 --report compare.html

Each model is given the features of its own catalogue. Intervals of differences are drawn on the same
customers for both, so they are narrower than those of each model.")]
pub(crate) struct Args {
    /// The model that decides today
    #[arg(long, value_name = "FILE")]
    champion: PathBuf,
    /// The model that may take over
    #[arg(long, value_name = "FILE")]
    challenger: PathBuf,
    /// Catalogue of a challenger that does not tell its own: a file, standard, devices or book
    #[arg(long, value_name = "FILE")]
    challenger_catalogue: Option<String>,
    #[command(flatten)]
    test: TestArgs,
    /// Payments that analysts review per day
    #[arg(long, value_name = "N", default_value_t = 100)]
    reviews_per_day: u32,
    /// Draws of customers for the intervals
    #[arg(long, value_name = "N", default_value_t = 200)]
    bootstrap: u32,
    /// What all random numbers derive from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write a report with pictures
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let champion = args.test.model(&args.champion)?;
    let challenger = load_model(&args.challenger, args.challenger_catalogue.as_deref())?;
    let mut tested = args.test.load(&champion)?;
    if let Some(warning) = overlap(&tested.split, &challenger, &tested.source.payments) {
        tested.source.warn(format!("the challenger: {warning}"));
    }
    let table = tested.features(&champion.catalogue);
    let by_champion = tested.scored(&champion, &table)?;
    let by_challenger = match champion.catalogue.makes_rows_of(&challenger.catalogue) {
        true => tested.scored(&challenger, &table)?,
        false => {
            let table = tested.features(&challenger.catalogue);
            tested.scored(&challenger, &table)?
        }
    };
    let bootstrap = Bootstrap { samples: args.bootstrap, seed: args.seed, ..Bootstrap::default() };
    let settings = CompareSettings { reviews_per_day: args.reviews_per_day, bootstrap };
    let comparison = compare(&by_champion, &by_challenger.scores, settings)?;
    if args.report.is_some() {
        let report = report(args, &tested, &comparison, &by_champion, &by_challenger)?;
        output::warned(args.report.as_deref(), tested.warnings(), || report)?;
    }
    match args.json {
        true => print_json(args, &tested, &comparison, [&champion, &challenger]),
        false => print(args, &comparison),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(
    args: &Args,
    tested: &Tested,
    comparison: &Comparison,
    [champion, challenger]: [&ModelFile; 2],
) {
    let mut settings = tested.settings();
    settings.insert("champion".to_owned(), of_model(&args.champion, champion));
    settings.insert("challenger".to_owned(), of_model(&args.challenger, challenger));
    let warnings = tested.warnings();
    say!("{}", json!({ "comparison": comparison, "settings": settings, "warnings": warnings }));
}

fn report(
    args: &Args,
    tested: &Tested,
    comparison: &Comparison,
    champion: &Scored,
    challenger: &Scored,
) -> Result<Report, Failure> {
    let (before, now) = (evaluate(champion, None)?, evaluate(challenger, None)?);
    let names = [name_of(&args.champion), name_of(&args.challenger)];
    let about = format!("{} against {} on {}", names[1], names[0], tested.split.test);
    let mut report = Report::new("Champion and challenger", &about);
    report.comparison(comparison, (&names[0], &before), (&names[1], &now));
    let mut facts = tested.facts();
    facts.push(("champion", args.champion.display().to_string()));
    facts.push(("challenger", args.challenger.display().to_string()));
    facts.push(("intervals", format!("95 %, {} draws of customers", args.bootstrap)));
    report.heading("Settings").facts(&facts);
    Ok(report)
}

fn print(args: &Args, it: &Comparison) {
    say!(
        "{} payments, {} of them fraud; {} of the reviews are the same ({} per day)\n",
        count(it.rows),
        count(it.frauds),
        percent(it.review_overlap),
        args.reviews_per_day
    );
    let mut table = Table::new(&[
        ("", Align::Left),
        ("champion", Align::Right),
        ("challenger", Align::Right),
        ("difference", Align::Right),
        ("95 % interval", Align::Right),
        ("", Align::Left),
    ]);
    for metric in &it.metrics {
        let decimals = if metric.metric == "money_caught" { 2 } else { 4 };
        let difference = &metric.difference;
        let reading = match (difference.low > 0.0, difference.high < 0.0) {
            (true, _) => "better",
            (_, true) => "worse",
            _ => "may be chance",
        };
        table.row([
            metric.metric.replace('_', " "),
            number(metric.champion.value, decimals),
            number(metric.challenger.value, decimals),
            number(difference.value, decimals),
            format!(
                "{} to {}",
                number(difference.low, decimals),
                number(difference.high, decimals)
            ),
            reading.to_owned(),
        ]);
    }
    say!("{}", table.to_text());
    say!(
        "Frauds that only the challenger would have had reviewed: {}; only the champion: {}",
        it.frauds_gained,
        it.frauds_lost
    );
}
