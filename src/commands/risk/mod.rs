//! `millrace risk`: what analysts do, offline.

mod backtest;
mod catalogue;
mod compare;
mod drift;
mod eval;
mod explain;
mod generate;
mod journal_source;
mod lists;
mod output;
mod progress;
mod rule_source;
mod rules;
mod source;
mod tested;
mod train;
mod train_settings;
mod tune;

use std::process::ExitCode;

use clap::Subcommand;

use crate::Failure;

/// Generate payments; train, judge and explain models; check rules and lists
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(generate::Args),
    Train(Box<train::Args>),
    Eval(Box<eval::Args>),
    Explain(Box<explain::Args>),
    Backtest(Box<backtest::Args>),
    Tune(Box<tune::Args>),
    Compare(Box<compare::Args>),
    Drift(Box<drift::Args>),
    Lists(lists::Args),
    Rules(Box<rules::Args>),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Generate(args) => generate::run(args),
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Backtest(args) => backtest::run(args),
        Command::Tune(args) => tune::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Drift(args) => drift::run(args),
        Command::Lists(args) => lists::run(args),
        Command::Rules(args) => rules::run(args),
    }
}
