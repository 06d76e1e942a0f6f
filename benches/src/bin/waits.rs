//! Waits of payments: consumes a command line, produces the figures of one scene.

use std::{process::ExitCode, time::Duration};

use clap::{Parser, value_parser};
use millrace_benches::waits::{self, Scene, Settings};
use millrace_engine::huge_pages::ask_for_huge_pages;

/// Measures how long payments wait beside work that may take long, and prints one JSON object
#[derive(Debug, Parser)]
#[command(
    name = "waits",
    after_help = "\
The engine runs in this process, durably, in a temporary directory (TMPDIR names where). A payer pays one
payment after the other, 2 ms after the last answer.

Examples:
  waits --scene overdue-holds --count 3000000
  waits --scene due-holds --clients 8 --seconds 10
  waits --scene old-reads --count 4000000 --clients 64 --seconds 10
  waits --scene old-refunds --count 20000000 --clients 4"
)]
struct Cli {
    /// What payments wait beside
    #[arg(long, value_enum)]
    scene: Scene,
    /// Holds that are overdue, or payments on disk
    #[arg(long, default_value_t = 3_000_000, value_parser = value_parser!(u32).range(8_000..=50_000_000))]
    count: u32,
    /// Readers, or clients that make holds or refunds
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// How long the scene lasts, where it does not end by itself
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Payments after which a generation goes to disk
    #[arg(long, default_value_t = 1 << 19, value_parser = value_parser!(u32).range(1_000..=1 << 24))]
    generation: u32,
}

fn main() -> ExitCode {
    ask_for_huge_pages();
    let Cli { scene, count, clients, seconds, generation } = Cli::parse();
    let duration = Duration::from_secs(seconds);
    match waits::run(&Settings { scene, count, clients, duration, generation }) {
        Ok(told) => println!("{told}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
