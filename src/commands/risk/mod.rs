//! `millrace risk`: what analysts do, offline and on a running millrace.

mod backtest;
mod catalogue;
mod compare;
mod decision;
mod drift;
mod eval;
mod explain;
mod generate;
pub(super) mod journal_source;
mod lists;
pub(super) mod output;
mod policy;
mod policy_named;
mod progress;
mod promote;
mod promote_doubts;
mod promote_report;
mod promote_shown;
mod reviews;
mod rule_source;
mod rules;
mod rules_report;
pub(super) mod server;
mod shadow;
pub(super) mod source;
mod tested;
pub(super) mod train;
mod train_settings;
mod tune;
pub(super) mod upload;

use std::process::ExitCode;

use clap::Subcommand;

use crate::Failure;

/// Train, judge and explain models; check rules; resolve reviews, report fraud, set policies
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Eval(Box<eval::Args>),
    Explain(Box<explain::Args>),
    Backtest(Box<backtest::Args>),
    Tune(Box<tune::Args>),
    Compare(Box<compare::Args>),
    Drift(Box<drift::Args>),
    Shadow(Box<shadow::Args>),
    Lists(lists::Args),
    Rules(Box<rules::Args>),
    Reviews(reviews::Args),
    Decision(decision::Args),
    ReportFraud(decision::ReportArgs),
    Policy(policy::Args),
    Promote(Box<promote::Args>),
    Upload(upload::Args),
    Generate(generate::Args),
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Drift(args) => drift::run(&args),
        Command::Shadow(args) => shadow::run(&args),
        Command::Lists(args) => lists::run(&args).await,
        Command::Rules(args) => rules::run(&args),
        Command::Reviews(args) => reviews::run(args).await,
        Command::Decision(args) => decision::run(args).await,
        Command::ReportFraud(args) => decision::report(args).await,
        Command::Policy(args) => policy::run(args).await,
        Command::Promote(args) => promote::run(*args).await,
        Command::Upload(args) => upload::run(args).await,
        Command::Generate(args) => generate::run(&args),
    }
}
