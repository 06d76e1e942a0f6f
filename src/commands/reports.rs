//! `millrace report`: consumes a journal, produces what people outside of operations ask for.

use std::process::ExitCode;

use clap::Subcommand;

use super::report_trial_balance;
use crate::Failure;

/// Add up what the journal holds
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    TrialBalance(report_trial_balance::Args),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::TrialBalance(args) => report_trial_balance::run(args),
    }
}
