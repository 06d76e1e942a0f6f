//! `millrace risk train`: consumes labelled payments, produces a model file that needs nothing else
//! to score.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use indicatif::ProgressBar;
use millrace_risk::{features::Catalogue, model::Model};
use millrace_risk_lab::{
    data::{Day, DaySpan, LabelDelay, leaks_in_features, training_rows},
    dataset::{FeatureTable, Replay},
    importance::{Importance, importance},
    model_file::ModelFile,
    report::{Align, Report, Table},
    train::{self, Dataset, Progress, Settings, scores_are_ranks},
};
use serde_json::{Value, json};

use super::{
    catalogue,
    output::{self, count, percent},
    progress,
    source::{Source, SourceArgs, label_delay},
    tested::hex,
    train_settings::SettingArgs,
};
use crate::{Failure, commands::say};

/// Features that are told of a new model.
const FEATURES_TOLD: usize = 10;

/// Train a model on labelled payments
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk train --data payments.csv.gz --train 2018-05-30..2018-07-31 --out model.mrm
  millrace risk train --data payments.csv.gz --train 2018-07-25..2018-07-31 --catalogue book \\
      --out book.mrm
  millrace risk train --journal millrace-data --train 2026-08-01..2026-10-31 --out model.mrm
  millrace risk train --data unlabelled.csv --train 2026-08-01..2026-08-31 \\
      --algorithm isolation-forest --out anomaly.mrm

The defaults give the best model that we know how to train. Payments before the days of training feed
the profiles, so give all that there are. The model's file holds its catalogue. The same data, settings
and seed give the same bytes.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Days to train on, both included, UTC
    #[arg(long, value_name = "FROM..TO")]
    train: DaySpan,
    /// Write the model to this file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The features: a file, standard, devices or book
    #[arg(long, value_name = "FILE", default_value = "standard")]
    catalogue: String,
    /// How long after a payment its label is known, where the data does not tell [default: 7d]
    #[arg(long, value_name = "7d")]
    label_delay: Option<LabelDelay>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write a report on the features that the model looks at
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let settings = args.settings.to_settings()?;
    let (catalogue, text) = catalogue::load(&args.catalogue)?;
    output::check_writable(&args.out, "--out")?;
    if let Some(path) = &args.report {
        output::check_writable(path, "--report")?;
    }
    let label_needed = args.settings.needs_labels();
    let mut source = args.source.load(label_needed)?;
    source.warn_of_unread();
    let for_models = catalogue.for_models();
    let delay = label_delay(args.label_delay, None);
    source.warn_of_absent(&for_models);
    warn_of_immature(&mut source, &args.train, delay);
    let payments = &source.payments;
    let rows = match label_needed {
        true => training_rows(payments, &args.train)?,
        false => payments.rows_of(&args.train)?,
    };
    let rows: Vec<u32> = rows.map(|row| row as u32).collect();
    let replay = Replay { payments, catalogue: &for_models, label_delay: delay };
    let bar = progress::bar(0, "training", "steps");
    let fitted = fit(&replay, &text, &rows, &settings, &mut |at| moved(&bar, at));
    bar.finish_and_clear();
    let (model, table) = fitted?;
    let model = named(args, model, &source, &table);
    warn_of_leaks(&mut source, &model, &table);
    output::file(&args.out, "--out", &model.to_bytes())?;
    let features = importance(&model, &table.values);
    let report = || report(args, &model, &features);
    output::warned(args.report.as_deref(), &source.warnings, report)?;
    let seconds = started.elapsed().as_secs_f64();
    match args.json {
        true => {
            let mut shown = as_json(args, &catalogue, &model, &features, seconds);
            shown["warnings"] = json!(source.warnings);
            say!("{shown}");
        }
        false => print(args, &model, &features, seconds),
    }
    Ok(ExitCode::SUCCESS)
}

/// Trains a model on these rows, with the catalogue of this text in its file: the one that is replayed,
/// but for features on demand. Also returns the rows' features.
pub(crate) fn fit(
    replay: &Replay<'_>,
    text: &str,
    rows: &[u32],
    settings: &Settings,
    told: &mut dyn FnMut(Progress),
) -> Result<(Model, FeatureTable), Failure> {
    let all = rows.last().map_or(0, |last| *last as usize + 1);
    let table = replay.table(rows, &mut |done| told(Progress { stage: "features", done, all }));
    let catalogue = replay.catalogue;
    let names: Vec<String> = catalogue.features().iter().map(|it| it.name.clone()).collect();
    let labels = table.labels(replay.payments);
    let dataset = Dataset { features: &names, rows: &table.values, labels: &labels, weights: None };
    let model = train::train(&dataset, settings, told)?;
    Ok((ModelFile::embed(model, (catalogue, text), replay.label_delay)?, table))
}

fn moved(bar: &ProgressBar, at: Progress) {
    bar.set_message(at.stage);
    bar.set_length(at.all as u64);
    bar.set_position(at.done as u64);
}

/// Tells that frauds of the last days of the training may not be known yet: what nobody reported so
/// far is trained on as genuine.
fn warn_of_immature(source: &mut Source, train: &DaySpan, delay: LabelDelay) {
    let payments = &source.payments;
    let Some(end) = payments.at().last().filter(|_| payments.has_labels()) else { return };
    let end = Day::of(*end);
    let since = end.back(delay.days_up());
    if train.last() > since {
        source.warn(format!(
            "the payments end on {end}, and a fraud is known {delay} after its payment: in the training \
             ({train}), frauds after {since} that nobody has reported yet count as genuine. Unless \
             all labels are final, train on days until {since}"
        ));
    }
}

/// Tells which features give the label away, on the rows of the training.
fn warn_of_leaks(source: &mut Source, model: &Model, table: &FeatureTable) {
    if !source.payments.has_labels() {
        return;
    }
    let names: Vec<&str> = model.features().iter().map(String::as_str).collect();
    let labels = table.labels(&source.payments);
    for leak in leaks_in_features(&names, &table.values, &labels) {
        source.warn(leak.to_string());
    }
}

/// With what it was trained on.
fn named(args: &Args, model: Model, source: &Source, table: &FeatureTable) -> Model {
    let at = source.payments.at();
    let mut facts = model.facts().clone();
    facts.source = source.name.clone();
    facts.span = table
        .rows
        .first()
        .zip(table.rows.last())
        .map(|(first, last)| (at[*first as usize], at[*last as usize]));
    facts.settings.push(("train".to_owned(), args.train.to_string()));
    facts.settings.push(("catalogue_name".to_owned(), args.catalogue.clone()));
    model.with_facts(facts)
}

fn as_json(
    args: &Args,
    catalogue: &Catalogue,
    model: &Model,
    features: &[Importance],
    seconds: f64,
) -> Value {
    let facts = model.facts();
    let (trees, nodes) = model.tree_and_node_counts();
    let settings: serde_json::Map<String, Value> = facts
        .settings
        .iter()
        .filter(|(name, _)| name != "catalogue")
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    json!({
        "model": args.out,
        "blake3": hex(&model.digest()),
        "kind": model.kind().name(),
        "trainer": facts.trainer,
        "rows": facts.rows,
        "frauds": facts.frauds,
        "trees": trees,
        "nodes": nodes,
        "features": features,
        "catalogue_blake3": hex(&catalogue.digest()),
        "source": facts.source,
        "settings": settings,
        "elapsed_s": seconds,
    })
}

fn print(args: &Args, model: &Model, features: &[Importance], seconds: f64) {
    let facts = model.facts();
    let (trees, nodes) = model.tree_and_node_counts();
    let (rows, file) = (count(facts.rows as usize), args.out.display());
    let frauds = match facts.frauds {
        0 => "none of them known to be fraud".to_owned(),
        frauds => format!("{} of them fraud", count(frauds as usize)),
    };
    let (trainer, days) = (&facts.trainer, &args.train);
    say!("{file}: {trainer}, trained on {rows} payments of {days}, {frauds}");
    say!("  {trees} trees, {} nodes, {} features; {seconds:.1} s", count(nodes), features.len());
    if scores_are_ranks(model) {
        say!(
            "  there were no labels: scores are ranks, and 0.99 is odder than 99 % of these payments"
        );
    }
    let mut table = Table::new(&[("feature", Align::Left), ("share", Align::Right)]);
    for it in features.iter().take(FEATURES_TOLD) {
        table.row([it.feature.clone(), percent(it.share)]);
    }
    say!("\n{}", table.to_text());
    say!("Next: millrace risk eval --model {file} --data F --test FROM..TO");
}

fn report(args: &Args, model: &Model, features: &[Importance]) -> Report {
    let facts = model.facts();
    let mut report = Report::new("Training", &format!("{} on {}", facts.trainer, args.train));
    let shares: Vec<_> = features.iter().map(|it| (it.feature.as_str(), it.share)).collect();
    report.importance(&shares);
    let settings = facts.settings.iter().filter(|(name, _)| name != "catalogue");
    let settings: Vec<_> = settings.map(|(name, value)| (name.as_str(), value.clone())).collect();
    report.heading("Settings").facts(&settings);
    report
}
