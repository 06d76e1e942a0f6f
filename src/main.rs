//! Composition root and command line of Millrace: consumes arguments and configuration, wires the
//! crates together. No logic of payments lives here.

mod acts;
mod commands;
mod config;
mod data_dir;
mod desk;
mod live_rebuild;
mod metrics;
mod pending_acts;
mod pipeline;
mod role;

use std::{io::IsTerminal as _, process::ExitCode};

use clap::{Parser, Subcommand};
use millrace_engine::{huge_pages::ask_for_huge_pages, open_files::raise_open_files};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(
    name = "millrace",
    version,
    about = "A payment pipeline: gRPC in, double-entry ledger, durable before acknowledged, streamed to readers",
    after_help = "\
Examples:
  millrace demo                         run the whole pipeline on a sample and look around
  millrace demo --once --json --file orders.csv
  millrace serve --config millrace.toml
  millrace submit --file orders.csv --open-accounts
  millrace backup --to /backups/millrace
  millrace report trial-balance --at 2026-11-20

RUST_LOG sets what is logged to standard error; the default is `info`."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::Args),
    Serve(commands::serve::Args),
    Submit(commands::submit::Args),
    Account(commands::account::Args),
    Payment(commands::payment::Args),
    Journal(commands::journal::Args),
    Audit(commands::audit::Args),
    Sinks(commands::sinks::Args),
    Report(commands::reports::Args),
    Risk(commands::risk::Args),
    Backup(commands::backup::Args),
    Restore(commands::restore::Args),
}

/// A command's failure: one sentence for whoever typed it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_server = matches!(cli.command, Command::Serve(_) | Command::Demo(_));
    if is_server {
        ask_for_huge_pages();
    }
    let quiet = !matches!(cli.command, Command::Serve(_));
    let default_level = if quiet { "warn" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| default_level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    if is_server {
        raise_open_files();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            crate::commands::tell!("error: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => commands::demo::run(args).await,
            Command::Serve(args) => commands::serve::run(args).await,
            Command::Submit(args) => commands::submit::run(args).await,
            Command::Account(args) => commands::account::run(args).await,
            Command::Payment(args) => commands::payment::run(args).await,
            Command::Journal(args) => commands::journal::run(&args),
            Command::Audit(args) => commands::audit::run(&args).await,
            Command::Sinks(args) => commands::sinks::run(&args).await,
            Command::Report(args) => commands::reports::run(&args),
            Command::Risk(args) => commands::risk::run(args).await,
            Command::Backup(args) => commands::backup::run(&args),
            Command::Restore(args) => commands::restore::run(&args),
        }
    });
    result.unwrap_or_else(|failure| {
        crate::commands::tell!("error: {failure}");
        ExitCode::FAILURE
    })
}
