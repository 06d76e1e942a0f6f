//! `millrace audit`: checks the audit log without changing it.

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use super::say;
use crate::Failure;

/// Check the audit log
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the hash chain and that no line is missing, changed or out of order
    #[command(after_help = "Example:\n  millrace audit verify --data-dir millrace-data")]
    Verify {
        /// Data directory of the millrace that wrote it
        #[arg(long, value_name = "DIR", default_value = "millrace-data")]
        data_dir: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Command::Verify { data_dir } = &args.command;
    let file = data_dir.join("audit").join("audit.jsonl");
    if !file.is_file() {
        let data_dir = data_dir.display();
        return Err(format!(
            "there is no audit log in {data_dir}: name a data directory with --data-dir"
        )
        .into());
    }
    let report = millrace_sinks::audit::verify(
        &data_dir.join("audit"),
        &millrace_sinks::audit::VerifyOptions::default(),
    )?;
    say!("  lines         {:>14}", report.lines);
    say!("  settled       {:>14}", report.settled);
    say!("  held          {:>14}", report.held);
    say!("  voided        {:>14}", report.voided);
    say!("  expired       {:>14}", report.expired);
    for (reason, count) in &report.rejected {
        say!("    {count:>8}  {reason}");
    }
    say!("  the chain is whole");
    Ok(ExitCode::SUCCESS)
}
