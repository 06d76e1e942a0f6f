//! `millrace risk rules check`: consumes a rule file, produces what is wrong with it, what its rules
//! cost, and what they would have done with past payments.

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use millrace_risk::rules::{DryRun, DryRunPayment, DryRunReport, RuleSet};
use millrace_risk_lab::{
    data::{DaySpan, LabelDelay},
    dataset::Replay,
    model_file::ModelFile,
};
use serde_json::{Value, json};

use super::{
    catalogue, output, progress,
    rule_source::{self, ListArgs, RuleInputs},
    rules_report,
    source::{SourceArgs, label_delay},
    tested::{hex, load_model},
};
use crate::{Failure, commands::say};

/// Look at rules before they judge
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(CheckArgs),
}

/// Tell the mistakes of a rule file, the cost of its rules, and what they would have done
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk rules check rules.toml
  millrace risk rules check rules.toml --list stolen:block=cards.csv --data payments.csv.gz \\
      --span 2018-08-01..2018-08-14 --report rules.html

Every mistake is told with its line, its column and what was probably meant. With payments, all rules
that hold are told of each payment, not only the one that decides. The language is described in
docs/risk/rules.md.")]
struct CheckArgs {
    /// The rules
    #[arg(value_name = "TOML")]
    rules: PathBuf,
    #[command(flatten)]
    lists: ListArgs,
    /// The features that rules can name: a file, standard, devices or book
    /// [default: those of the model, else standard]
    #[arg(long, value_name = "FILE")]
    catalogue: Option<String>,
    /// A model, for rules that speak of its score
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    /// Only the payments of these days, both included, UTC
    #[arg(long, value_name = "FROM..TO")]
    span: Option<DaySpan>,
    /// How long after a payment its label is known, where the data does not tell [default: 7d]
    #[arg(long, value_name = "7d")]
    label_delay: Option<LabelDelay>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Write a report with the tables
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Command::Check(args) = &args.command;
    let named = args.catalogue.as_deref();
    let model = match &args.model {
        None => None,
        Some(path) => Some(load_model(path, named)?),
    };
    let catalogue = match &model {
        Some(file) => file.catalogue.clone(),
        None => catalogue::load(named.unwrap_or("standard"))?.0,
    };
    let rules = rule_source::load(&args.rules, &catalogue, &args.lists.load()?)?;
    let mut warnings = rule_source::doubts(&rules);
    warnings.iter().for_each(|it| crate::commands::tell!("warning: {it}"));
    let dry_run = match args.source.is_named() {
        false => None,
        true => {
            let mut source = args.source.load(false)?;
            let catalogue = &catalogue.keeping(rules.features());
            source.warn_of_absent(catalogue);
            if let (None, Some(warning)) = (&model, rule_source::without_score(&rules)) {
                source.warn(warning);
            }
            let label_delay = label_delay(args.label_delay, None);
            let replay = Replay { payments: &source.payments, catalogue, label_delay };
            let run = dry_run(&rules, model.as_ref(), &replay, args.span.as_ref())?;
            warnings.extend(source.warnings);
            Some(run)
        }
    };
    output::warned(args.report.as_deref(), &warnings, || {
        rules_report::report(&rules, dry_run.as_ref(), &args.rules.display().to_string())
    })?;
    match args.json {
        true => say!("{}", as_json(&rules, dry_run.as_ref(), &warnings)),
        false => print(args, &rules, dry_run.as_ref()),
    }
    Ok(ExitCode::SUCCESS)
}

fn dry_run(
    rules: &RuleSet,
    model: Option<&ModelFile>,
    replay: &Replay<'_>,
    span: Option<&DaySpan>,
) -> Result<DryRunReport, Failure> {
    let payments = replay.payments;
    let rows = span.map_or(Ok(0..payments.len()), |span| payments.rows_of(span))?;
    let bar = progress::bar(rows.end, "dry run", "payments");
    let stride = replay.catalogue.len();
    let (mut run, mut inputs) = (DryRun::new(rules), RuleInputs::new(payments, replay.catalogue));
    let mut scores = Vec::new();
    replay.run(rows, &mut |done| bar.set_position(done as u64), &mut |block, features| {
        scores.clear();
        scores.resize(block.len(), f32::NAN);
        if let Some(file) = model {
            file.model.score(features, &mut scores);
        }
        for ((row, features), score) in block.zip(features.chunks_exact(stride)).zip(&scores) {
            run.add(&DryRunPayment {
                id: payments.id(row),
                input: inputs.of(row, features, *score),
                amount: payments.amount()[row],
                fraud: payments.has_labels().then(|| payments.is_fraud()[row]),
            });
        }
    });
    bar.finish_and_clear();
    Ok(run.report())
}

fn as_json(rules: &RuleSet, dry_run: Option<&DryRunReport>, warnings: &[String]) -> Value {
    let of_rule = |rule: &millrace_risk::rules::Rule| {
        json!({
            "name": rule.name,
            "action": rule.action,
            "cost": rule.cost,
            "enabled": rule.enabled,
            "shadow": rule.shadow,
        })
    };
    json!({
        "rules": rules.rules().iter().map(of_rule).collect::<Vec<_>>(),
        "cost": rules.cost(),
        "blake3": hex(&rules.digest()),
        "dry_run": dry_run,
        "warnings": warnings,
    })
}

fn print(args: &CheckArgs, rules: &RuleSet, dry_run: Option<&DryRunReport>) {
    let (name, count) = (args.rules.display(), rules.rules().len());
    say!("{name}: {count} rules, all right; they cost {} at most\n", rules.cost());
    if let Some(report) = dry_run {
        say!("{}", report.to_string().trim_end());
        return;
    }
    say!("{}", rules_report::rules_table(rules).to_text().trim_end());
}
