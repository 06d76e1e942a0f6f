//! Rates of the whole engine: consumes a command line, produces the figures of one durable run.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, value_parser};
use millrace_benches::{
    drive::{self, Settings},
    workload::{CLIENTS_MAX, Workload},
};
use millrace_engine::huge_pages::ask_for_huge_pages;

/// Runs the engine in this process, durably and without a policy, and measures it
#[derive(Debug, Parser)]
#[command(
    name = "rates",
    after_help = "\
The journal takes about 160 bytes of disk per payment while a run lasts, and up to 256 MiB of blanks.

Times are from submit to durable answer, per request: p50_ms, p99_ms, p999_ms, max_ms, and snapshot_max_ms,
the longest beside which a snapshot was under way (null where none was). batch_mean_ms is the time from one of
the engine's batches to the next, and pause_max_ms the longest that it did other things between two of them;
waited_s is how long in all deciding waited for disk, in the whole run.

Examples:
  rates --workload uniform --accounts 1000000 --batch 8192 --clients 8 --payments 10000000
  rates --workload hot --accounts 10000 --batch 1024 --clients 16 --payments 5000000 --json
  rates --workload zipf --payments 100000000 --every 5000000"
)]
struct Cli {
    /// Who pays whom, and how
    #[arg(long, value_enum, default_value_t = Workload::Uniform)]
    workload: Workload,
    /// Accounts to pay between
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(2..=50_000_000))]
    accounts: u32,
    /// Payments per request
    #[arg(long, default_value_t = 8_192, value_parser = value_parser!(u32).range(1..=8_192))]
    batch: u32,
    /// Requests under way at once
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    clients: u32,
    /// Payments to measure
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..=3_000_000_000))]
    payments: u64,
    /// Payments to send before measuring [default: a tenth of --payments]
    #[arg(long, value_parser = value_parser!(u64).range(0..=1_000_000_000))]
    warmup: Option<u64>,
    /// Measure no longer than this, though payments are left, and warm up no longer than a tenth of it
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// The same seed makes the same payments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// With `--workload holds`: a hold is captured so many payments of its client later, or more
    #[arg(long, default_value_t = 1_000)]
    capture_after: u32,
    /// Print a line of JSON to standard error each time so many payments are measured
    #[arg(long, value_name = "PAYMENTS", value_parser = value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Shards of the ledger, 1 to 64 [default: what the engine thinks fit]
    #[arg(long, value_parser = value_parser!(u8).range(1..=64))]
    shards: Option<u8>,
    /// Mebibytes of journal between two snapshots, 0 for none [default: the engine's]
    #[arg(long, value_name = "MIB")]
    snapshot_mib: Option<u64>,
    /// Mebibytes of a snapshot to write in a second, 0 for no limit [default: the engine's]
    #[arg(long, value_name = "MIB")]
    snapshot_mib_per_s: Option<u64>,
    /// Start the engine again on the journal, and tell how long that took
    #[arg(long)]
    recover: bool,
    /// New or empty directory for the journal, which is kept [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Cli {
    fn settings(self) -> Settings {
        Settings {
            workload: self.workload,
            accounts: self.accounts,
            batch: self.batch,
            clients: self.clients,
            payments: self.payments,
            warmup: self.warmup.unwrap_or(self.payments / 10),
            time_max: self.seconds,
            seed: self.seed,
            capture_after: self.capture_after,
            every: self.every,
            shards: self.shards.map(usize::from),
            snapshot_mib: self.snapshot_mib,
            snapshot_mib_per_s: self.snapshot_mib_per_s,
            recover: self.recover,
            dir: self.dir,
        }
    }
}

/// Seconds above zero, and no more than a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    let within = seconds > 0.0 && seconds <= 86_400.0;
    within
        .then(|| Duration::from_secs_f64(seconds))
        .ok_or_else(|| format!("{text} is not in 0 to 86400"))
}

fn main() -> ExitCode {
    ask_for_huge_pages();
    let cli = Cli::parse();
    let json = cli.json;
    match drive::run(&cli.settings()) {
        Ok(report) if json => println!("{}", report.to_json()),
        Ok(report) => println!("{report}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
