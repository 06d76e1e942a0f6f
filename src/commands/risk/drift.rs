//! `millrace risk drift`: consumes two periods of payments, produces how far features, and a model's
//! scores, have moved from one to the other.

use std::{path::PathBuf, process::ExitCode};

use millrace_risk::features::Catalogue;
use millrace_risk_lab::{
    data::{DaySpan, LabelDelay},
    dataset::Replay,
    metrics::{Drift, drift},
    model_file::ModelFile,
    report::{Report, drift_table},
};
use serde_json::json;

use super::{
    catalogue,
    output::{self, count},
    progress,
    source::{SourceArgs, label_delay},
    tested::{load_model, of_model},
};
use crate::{Failure, commands::say};

/// Tell how far payments have moved from one period to another
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk drift --model model.mrm --data payments.csv.gz --before 2018-06-01..2018-06-30 \\
      --now 2018-08-01..2018-08-14
  millrace risk drift --catalogue standard --journal millrace-data --before 2026-09-01..2026-09-30 \\
      --now 2026-10-01..2026-10-31 --json --report drift.html

The population stability index (PSI) compares shares of tenths of the period before: below 0.1 is
stable, from 0.25 on a model may no longer hold. KS is the largest distance of the two distributions.
Missing values count as a bin of their own.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The period that is compared with, both days included, UTC
    #[arg(long, value_name = "FROM..TO")]
    before: DaySpan,
    /// The period that is looked at
    #[arg(long, value_name = "FROM..TO")]
    now: DaySpan,
    /// A model, whose features and scores are compared
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Features to compare where there is no model, or it does not tell: a file, standard, devices or book
    /// [default: standard]
    #[arg(long, value_name = "FILE")]
    catalogue: Option<String>,
    /// How long after a payment its label is known, where the data does not tell
    #[arg(long, value_name = "7d")]
    label_delay: Option<LabelDelay>,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write a report with pictures
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let model = match &args.model {
        None => None,
        Some(path) => Some(load_model(path, args.catalogue.as_deref())?),
    };
    let catalogue = match &model {
        Some(file) => file.catalogue.clone(),
        None => catalogue::load(args.catalogue.as_deref().unwrap_or("standard"))?.0,
    };
    let mut source = args.source.load(false)?;
    let delay = label_delay(args.label_delay, model.as_ref().and_then(|file| file.label_delay));
    source.warn_of_absent(&catalogue);
    let payments = &source.payments;
    let replay = Replay { payments, catalogue: &catalogue, label_delay: delay };
    let (before, now) = (payments.rows_of(&args.before)?, payments.rows_of(&args.now)?);
    let both: Vec<u32> = (0..payments.len() as u32)
        .filter(|row| before.contains(&(*row as usize)) || now.contains(&(*row as usize)))
        .collect();
    let table = progress::table(&replay, &both);
    let rows_of = |range: &std::ops::Range<usize>| {
        let from = both.partition_point(|row| (*row as usize) < range.start);
        let to = both.partition_point(|row| (*row as usize) < range.end);
        let rows = &table.values[from * table.stride..to * table.stride];
        match &model {
            None => rows.to_vec(),
            Some(file) => with_scores(file, rows),
        }
    };
    let names = names(&catalogue, model.is_some());
    let told = told(&catalogue, model.is_some());
    let rows_of = |range| only(&told, names.len(), &rows_of(range));
    let names: Vec<_> = told.iter().map(|column| names[*column]).collect();
    let drift = drift(&names, &rows_of(&before), &rows_of(&now));
    output::warned(args.report.as_deref(), &source.warnings, || {
        let about = format!("{} against {}, {}", args.now, args.before, source.name);
        let mut report = Report::new("Drift", &about);
        report.drift(&drift);
        report
    })?;
    if args.json {
        let model = args.model.as_deref().zip(model.as_ref());
        let settings = json!({
            "data": source.name,
            "before": args.before,
            "now": args.now,
            "label_delay": delay,
            "model": model.map(|(path, file)| of_model(path, file)),
        });
        let warnings = &source.warnings;
        say!("{}", json!({ "drift": drift, "settings": settings, "warnings": warnings }));
    } else {
        print(args, &drift);
    }
    Ok(ExitCode::SUCCESS)
}

fn names(catalogue: &Catalogue, with_score: bool) -> Vec<&str> {
    let names = catalogue.features().iter().map(|feature| feature.name.as_str());
    names.chain(with_score.then_some("score")).collect()
}

/// The columns that are told: features on demand are not, because nothing demands them here.
fn told(catalogue: &Catalogue, with_score: bool) -> Vec<usize> {
    let features = catalogue.features();
    let kept = (0..features.len()).filter(|column| !features[*column].on_demand);
    kept.chain(with_score.then_some(features.len())).collect()
}

fn only(columns: &[usize], stride: usize, rows: &[f32]) -> Vec<f32> {
    let rows = rows.chunks_exact(stride);
    rows.flat_map(|row| columns.iter().map(|column| row[*column])).collect()
}

/// Each row, and its score behind it.
fn with_scores(file: &ModelFile, rows: &[f32]) -> Vec<f32> {
    let scores = file.scores(rows);
    let rows = rows.chunks_exact(file.catalogue.len());
    rows.zip(scores).flat_map(|(row, score)| row.iter().copied().chain([score])).collect()
}

fn print(args: &Args, it: &Drift) {
    let (before, now) = (count(it.rows_before), count(it.rows_now));
    say!("{now} payments of {} against {before} of {}\n", args.now, args.before);
    say!("{}", drift_table(it).to_text().trim_end());
}
