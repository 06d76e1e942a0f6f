//! `millrace risk`: what analysts do, offline.

mod generate;

use std::process::ExitCode;

use clap::Subcommand;

use crate::Failure;

/// Generate labelled payments
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(generate::Args),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Generate(args) => generate::run(args),
    }
}
