//! `millrace journal`: looks at a journal without changing it.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Subcommand;
use millrace_engine::recover;
use millrace_ledger::{ApproveAll, Ledger};
use serde_json::json;

use super::{money, say};
use crate::Failure;

/// Look at a journal
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check every frame, the hash chain, and that balances follow from the events
    #[command(after_help = "\
Examples:
  millrace journal verify --data-dir millrace-data
  millrace journal verify --data-dir millrace-data --json

Reads only; safe beside a running millrace, whose last frame may then count as torn.")]
    Verify {
        /// Data directory of the millrace that wrote it
        #[arg(long, value_name = "DIR", default_value = "millrace-data")]
        data_dir: PathBuf,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Command::Verify { data_dir, json } = &args.command;
    if !data_dir.join("journal").is_dir() {
        let data_dir = data_dir.display();
        return Err(format!(
            "there is no journal in {data_dir}: name a data directory with --data-dir"
        )
        .into());
    }
    let started = Instant::now();
    let mut ledger = Ledger::new(0);
    let report = recover::verify(&data_dir.join("journal"), &mut ledger, &mut ApproveAll)?;
    let head: String = report.head.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let state: String = ledger.state_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    if *json {
        let torn = report.torn_tail.as_ref();
        let object = json!({
            "segments": report.segments,
            "frames": report.frames,
            "bytes": report.bytes,
            "events": report.last_seq.0,
            "accounts": ledger.account_count(),
            "payments": ledger.payment_count(),
            "head": head,
            "state_hash": state,
            "torn_tail": torn.map(|(segment, offset)| json!({"segment": segment, "offset": offset})),
            "conserved": ledger.totals().iter().all(|totals| totals.conserved()),
            "elapsed_s": started.elapsed().as_secs_f64(),
        });
        say!("{object}");
        return Ok(ExitCode::SUCCESS);
    }
    say!("  segments      {:>14}", report.segments);
    say!("  frames        {:>14}", report.frames);
    say!("  bytes         {:>14}", report.bytes);
    say!("  events        {:>14}", report.last_seq);
    say!("  accounts      {:>14}", ledger.account_count());
    say!("  payments      {:>14}", ledger.payment_count());
    for totals in ledger.totals() {
        let posted = money::text(totals.sums.debits_posted, totals.ledger.0);
        say!("  posted, each side: {posted}");
    }
    say!("  head          {head}");
    say!("  state         {state}");
    if let Some((segment, offset)) = report.torn_tail {
        say!("  torn tail in {segment} at {offset}: never acknowledged; cut at the next start");
    }
    say!("  every frame, the hash chain and all balances are right");
    Ok(ExitCode::SUCCESS)
}
