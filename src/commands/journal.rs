//! `millrace journal`: looks at a journal without changing it.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Subcommand;
use millrace_engine::recover;
use millrace_ledger::{ApproveAll, EventSeq, Ledger};
use serde_json::json;

use super::{journal_export, journal_inspect, journal_row::hex, money, say};
use crate::Failure;

/// Look at a journal
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(VerifyArgs),
    Inspect(journal_inspect::Args),
    Export(journal_export::Args),
}

/// Check every frame, the hash chain, and that balances follow from the events
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace journal verify --data-dir millrace-data
  millrace journal verify --data-dir millrace-data --json

Reads only; safe beside a running millrace, whose last frame may then count as torn.")]
struct VerifyArgs {
    /// Data directory of the millrace that wrote it
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Verify(args) => verify(args),
        Command::Inspect(args) => journal_inspect::run(args),
        Command::Export(args) => journal_export::run(args),
    }
}

/// The journal of a data directory, if it has one.
pub(crate) fn journal_dir(data_dir: &Path) -> Result<PathBuf, Failure> {
    let journal = data_dir.join("journal");
    if journal.is_dir() {
        return Ok(journal);
    }
    let data_dir = data_dir.display();
    Err(format!("there is no journal in {data_dir}: name a data directory with --data-dir").into())
}

/// Refuses an event that an argument names and the journal does not have.
pub(crate) fn check_seq(argument: &str, seq: u64, last: EventSeq) -> Result<(), Failure> {
    match last {
        last if seq <= last.0 => Ok(()),
        EventSeq(0) => Err(format!("{argument} {seq}: the journal has no event yet").into()),
        last => {
            Err(format!("{argument} {seq} is beyond the journal's end: its last event is {last}")
                .into())
        }
    }
}

/// The end of a command that writes much to standard output: whoever reads it may leave at any time
/// (`| head`), and then it ends quietly.
pub(crate) fn end_of_stdout(written: io::Result<()>) -> Result<ExitCode, Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("standard output can't be written: {error}").into())
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let journal = journal_dir(&args.data_dir)?;
    let started = Instant::now();
    let mut ledger = Ledger::new(0);
    let report = recover::verify(&journal, &mut ledger, &mut ApproveAll)?;
    let (head, state) = (hex(&report.head.0), hex(&ledger.state_hash()));
    if args.json {
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
