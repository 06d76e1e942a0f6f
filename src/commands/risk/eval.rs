//! `millrace risk eval`: consumes a model and labelled payments, produces how good the model is.

use std::{path::PathBuf, process::ExitCode};

use millrace_risk_lab::{
    dataset::FeatureTable,
    importance::importance,
    metrics::{Bootstrap, Evaluation, Interval, Scored, evaluate},
    model_file::ModelFile,
    report::{Align, Report, Table},
};
use serde_json::{Value, json};

use super::{
    output::{self, count, number, percent},
    tested::{TestArgs, Tested, name_of, of_model},
};
use crate::{Failure, commands::say};

/// Payments that a report explains.
const EXAMPLES: usize = 8;

/// Tell how good a model is on days that it was not trained on
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk eval --model model.mrm --data payments.csv.gz --test 2018-08-08..2018-08-14
  millrace risk eval --model model.mrm --data payments.csv.gz --test 2018-08-08..2018-08-14 \\
      --label-delay 7d --json --report eval.html
  millrace risk eval --model lightgbm.txt --catalogue mine.toml --journal millrace-data \\
      --test 2026-10-01..2026-10-31

All payments before the test feed the profiles; a label counts once it is known. Payers with a known
fraud are blocked and leave the test, as in the book whose data this is measured on. Intervals are
those of other customers like these (bootstrap over customers).")]
pub(crate) struct Args {
    /// The model: of millrace risk train, LightGBM (text, JSON) or XGBoost (JSON)
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    test: TestArgs,
    /// Draws of customers for the intervals; 0 for none
    #[arg(long, value_name = "N", default_value_t = 200)]
    bootstrap: u32,
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

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let file = args.test.model(&args.model)?;
    let mut tested = args.test.load(&file)?;
    tested.source.warn_of_unread();
    let table = tested.features(&file.catalogue);
    let scored = tested.scored(&file, &table)?;
    let bootstrap = Bootstrap { samples: args.bootstrap, seed: args.seed, ..Bootstrap::default() };
    let bootstrap = Some(bootstrap).filter(|bootstrap| bootstrap.samples > 0);
    let evaluation = evaluate(&scored, bootstrap)?;
    output::warned(args.report.as_deref(), tested.warnings(), || {
        report(args, &file, &tested, &table, &scored, &evaluation)
    })?;
    match args.json {
        true => say!("{}", as_json(args, &file, &tested, &evaluation)),
        false => print(args, &tested, &evaluation),
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(args: &Args, file: &ModelFile, tested: &Tested, it: &Evaluation) -> Value {
    let mut settings = tested.settings();
    settings.insert("bootstrap".to_owned(), args.bootstrap.into());
    settings.insert("seed".to_owned(), args.seed.into());
    settings.insert("model".to_owned(), of_model(&args.model, file));
    json!({
        "rows": it.rows,
        "frauds": it.frauds,
        "roc_auc": it.roc_auc,
        "average_precision": it.average_precision,
        "card_precision_at_100": it.card_precision_at_100,
        "intervals": {
            "roc_auc": it.roc_auc_interval,
            "average_precision": it.average_precision_interval,
            "card_precision_at_100": it.card_precision_interval,
        },
        "brier": it.calibration.as_ref().map(|table| table.brier),
        "calibration_error": it.calibration.as_ref().map(|table| table.expected_error),
        "money_frauds": it.money_frauds,
        "warnings": tested.warnings(),
        "settings": settings,
    })
}

fn print(args: &Args, tested: &Tested, it: &Evaluation) {
    let model = args.model.display();
    let (rows, frauds) = (count(it.rows), count(it.frauds));
    say!("{model} on {}: {rows} payments, {frauds} of them fraud\n", tested.split.test);
    let mut table =
        Table::new(&[("", Align::Left), ("value", Align::Right), ("95 % interval", Align::Right)]);
    for (name, value, interval) in [
        ("average precision", it.average_precision, it.average_precision_interval),
        ("ROC AUC", it.roc_auc, it.roc_auc_interval),
        ("card precision at 100", it.card_precision_at_100, it.card_precision_interval),
    ] {
        table.row([name.to_owned(), number(value, 4), span(interval)]);
    }
    if let Some(calibration) = &it.calibration {
        let (brier, off) = (calibration.brier, calibration.expected_error);
        table.row(["Brier score".to_owned(), number(brier, 5), String::new()]);
        table.row(["calibration error".to_owned(), number(off, 5), String::new()]);
    }
    say!("{}", table.to_text());
    let mut table = Table::new(&[
        ("score from", Align::Right),
        ("stopped", Align::Right),
        ("frauds", Align::Right),
        ("precision", Align::Right),
        ("recall", Align::Right),
        ("money caught", Align::Right),
    ]);
    for it in &it.thresholds {
        table.row([
            number(f64::from(it.threshold), 4),
            number(it.alerts() as f64, 0),
            number(it.caught as f64, 0),
            percent(it.precision()),
            percent(it.recall()),
            number(it.money_caught, 2),
        ]);
    }
    say!("{}", table.to_text().trim_end());
}

fn span(interval: Option<Interval>) -> String {
    interval.map_or_else(String::new, |it| format!("{:.4} to {:.4}", it.low, it.high))
}

fn report(
    args: &Args,
    file: &ModelFile,
    tested: &Tested,
    table: &FeatureTable,
    scored: &Scored,
    evaluation: &Evaluation,
) -> Report {
    let about = format!("{} on {}", name_of(&args.model), tested.split.test);
    let mut report = Report::new("Evaluation", &about);
    report.evaluation(evaluation);
    let features = importance(&file.model, &table.values);
    let shares: Vec<_> = features.iter().map(|it| (it.feature.as_str(), it.share)).collect();
    report.heading("What the model looks at").importance(&shares);
    let mut highest: Vec<usize> = (0..scored.len()).collect();
    highest.sort_by(|a, b| scored.scores[*b].total_cmp(&scored.scores[*a]));
    let example = |place: &usize| tested.example(file, table, *place, scored.scores[*place]);
    let examples: Vec<_> = highest.iter().take(EXAMPLES).map(example).collect();
    report.examples("Highest scores", &examples);
    let mut facts = tested.facts();
    facts.push(("model", args.model.display().to_string()));
    facts.push(("trainer", file.model.facts().trainer.clone()));
    facts.push(("intervals", format!("95 %, {} draws of customers", args.bootstrap)));
    facts.push(("seed", args.seed.to_string()));
    report.heading("Settings").facts(&facts);
    report
}
