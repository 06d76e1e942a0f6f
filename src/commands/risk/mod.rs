//! `millrace risk`: what analysts do, offline and on a running millrace.

mod decision;
mod generate;
mod policy;
mod reviews;
mod server;
mod upload;

use std::process::ExitCode;

use clap::Subcommand;

use crate::Failure;

/// Look at decisions, resolve reviews, report fraud, set policies, generate labelled payments
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Reviews(reviews::Args),
    Decision(decision::Args),
    ReportFraud(decision::ReportArgs),
    Policy(policy::Args),
    Upload(upload::Args),
    Generate(generate::Args),
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Reviews(args) => reviews::run(args).await,
        Command::Decision(args) => decision::run(args).await,
        Command::ReportFraud(args) => decision::report(args).await,
        Command::Policy(args) => policy::run(args).await,
        Command::Upload(args) => upload::run(args).await,
        Command::Generate(args) => generate::run(&args),
    }
}
