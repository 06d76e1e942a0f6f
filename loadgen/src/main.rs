//! Open-loop load generator: consumes a target and a rate, produces payments and an honest report.
//!
//! A request is due at its place in the schedule, and its latency counts from then, whether or not
//! the server let it be sent: a stall of the server shows in every request that it delayed.

mod accounts;
mod drive;
mod payments;
mod report;

use std::{process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "loadgen", version, about = "Puts load on a running millrace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open accounts, submit payments for a while, report throughput and latency
    #[command(after_help = "\
Examples:
  loadgen run --target http://127.0.0.1:7400 --rate 200000 --duration 30s --batch 1024
  loadgen run --target http://127.0.0.1:7400 --rate max --clients 8 --batch 1024 --json
  loadgen run --target http://127.0.0.1:7400 --rate max --clients 32 --batch 1")]
    Run(RunArgs),
}

#[derive(Args, Clone, Debug)]
struct RunArgs {
    /// URL of the gRPC server
    #[arg(long, default_value = "http://127.0.0.1:7400")]
    target: String,
    /// Payments per second over all clients; `max` keeps one request per client under way instead
    #[arg(long, default_value = "max", value_parser = parse_rate)]
    rate: Rate,
    /// How long to measure, such as 10s or 2m
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// How long to run before measuring
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    warmup: Duration,
    /// Payments per request, 1 to 8192
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    batch: u32,
    /// Requests under way at most
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    clients: u32,
    /// Connections that the clients share
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Accounts to pay between
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=50_000_000))]
    accounts: u32,
    /// Random payment ids instead of time-ordered ones
    #[arg(long)]
    random_ids: bool,
    /// Send a context (channel, country, merchant category, device) with each payment
    #[arg(long)]
    context: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    /// As fast as the clients get answers.
    Max,
    /// So many payments per second.
    PerSecond(f64),
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Rate::PerSecond(rate)),
        _ => Err("is neither `max` nor a number above 0".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) =
        text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
    let value: f64 = digits.parse().map_err(|_| "is no duration such as 500ms, 10s or 2m")?;
    let seconds = match unit {
        "ms" => value / 1_000.0,
        "s" | "" => value,
        "m" => value * 60.0,
        _ => return Err("has a unit that is none of ms, s, m".to_owned()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(drive::run(&args)) {
        Ok(report) => {
            match args.json {
                true => println!("{}", report.to_json()),
                false => println!("{report}"),
            }
            match report.complaint() {
                None => ExitCode::SUCCESS,
                Some(complaint) => {
                    eprintln!("{complaint}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
