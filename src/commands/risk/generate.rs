//! `millrace risk generate`: consumes settings, produces a CSV of labelled payments.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use millrace_ledger::{Amount, Currency};
use millrace_risk_lab::generate::{Counts, CsvFile, Generator, Settings, Summary, is_gzip};
use serde_json::json;

use crate::{
    Failure,
    commands::{
        journal_output::{Target, unwritable},
        say,
    },
};

const OPTION: &str = "--out";
/// The bar moves after so many payments.
const BAR_STEP: u64 = 1 << 13;

/// Write made-up payments with known frauds to a CSV, for demos, load and tests
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk generate --out payments.csv.gz
  millrace risk generate --out month.csv.gz --payments 1000000 --seed 7 --from 2026-03-01 --days 31
  millrace risk generate --out hard.csv --settings hard.toml --fraud-share 0.002
  millrace risk generate --print-settings > settings.toml

The same settings give the same bytes on every machine. Arguments come before the file of settings.
A file that ends in .gz is compressed; it has its name once it is complete, until then it is
FILE.unfinished. Settings and fraud patterns are explained in docs/risk/generator.md.")]
pub(crate) struct Args {
    /// Write to this file, compressed if it ends in .gz
    #[arg(long, value_name = "CSV", required_unless_present = "print_settings")]
    out: Option<PathBuf>,
    /// Settings; without it, and for keys that it does not have, the defaults
    #[arg(long, value_name = "TOML")]
    settings: Option<PathBuf>,
    /// Payments in all, frauds included [default: 100000]
    #[arg(long, value_name = "N")]
    payments: Option<u64>,
    /// What all random numbers derive from [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Customers at the end [default: as many as make two payments a day each]
    #[arg(long, value_name = "N")]
    customers: Option<u32>,
    /// Merchants [default: one for every five customers]
    #[arg(long, value_name = "N")]
    merchants: Option<u32>,
    /// First day, UTC [default: 2026-01-01]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    from: Option<Date>,
    /// Days [default: 30]
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Share of fraud among all payments, such as 0.008 [default: 0.008]
    #[arg(long, value_name = "X")]
    fraud_share: Option<f64>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Print the settings as TOML and write no payments
    #[arg(long, conflicts_with = "json")]
    print_settings: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let settings = settings(args)?;
    if args.print_settings {
        say!("{}", settings.to_toml()?.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let Some(path) = &args.out else {
        return Err("there is no file to write to: name one with --out".into());
    };
    let started = Instant::now();
    let summary = write(&settings, path)?;
    let seconds = started.elapsed().as_secs_f64();
    let currency = settings.currency().ok_or("the currency is none of ISO 4217")?;
    match args.json {
        true => print_json(&summary, path, &settings, seconds)?,
        false => print_table(&summary, path, currency, seconds),
    }
    Ok(ExitCode::SUCCESS)
}

/// The file's settings, and over them the arguments.
fn settings(args: &Args) -> Result<Settings, Failure> {
    let mut settings = match &args.settings {
        None => Settings::default(),
        Some(path) => {
            let name = path.display();
            let text = fs::read_to_string(path)
                .map_err(|error| format!("the settings {name} can't be read: {error}"))?;
            Settings::parse(&text).map_err(|error| format!("{name}: {error}"))?
        }
    };
    set(&mut settings.payments, args.payments);
    set(&mut settings.seed, args.seed);
    set(&mut settings.customers, args.customers);
    set(&mut settings.merchants, args.merchants);
    set(&mut settings.from, args.from);
    set(&mut settings.days, args.days);
    set(&mut settings.fraud_share, args.fraud_share);
    settings.check()?;
    Ok(settings)
}

fn set<T>(setting: &mut T, argument: Option<T>) {
    if let Some(argument) = argument {
        *setting = argument;
    }
}

fn write(settings: &Settings, path: &Path) -> Result<Summary, Failure> {
    let generator = Generator::new(settings)?;
    let mut file = CsvFile::new(Target::file(path, OPTION)?, is_gzip(path));
    let mut summary = Summary::default();
    let bar = bar(settings.payments);
    for payment in generator {
        file.write(&payment).map_err(|error| unwritable(path, &error, OPTION))?;
        summary.add(&payment);
        if payment.seq % BAR_STEP == 0 {
            bar.set_position(payment.seq);
        }
    }
    let finished = file.finish().and_then(Target::finish);
    bar.finish_and_clear();
    finished.map_err(|error| unwritable(path, &error, OPTION))?;
    Ok(summary)
}

fn print_json(
    summary: &Summary,
    path: &Path,
    settings: &Settings,
    seconds: f64,
) -> Result<(), Failure> {
    let object = json!({
        "file": path,
        "seed": settings.seed,
        "customers": settings.customers_resolved(),
        "merchants": settings.merchants_resolved(),
        "currency": settings.currency,
        "fraud_share": summary.fraud_share(),
        "summary": serde_json::to_value(summary)?,
        "elapsed_s": seconds,
    });
    say!("{object}");
    Ok(())
}

fn print_table(summary: &Summary, path: &Path, currency: Currency, seconds: f64) {
    let all = summary.all.payments;
    say!("{}: {all} payments, {} of them fraud", path.display(), summary.fraud.payments);
    say!(
        "\n  {:<22}{:>10}{:>9}{:>10}{:>22}{:>16}",
        "",
        "payments",
        "cases",
        "share",
        format!("amount ({})", currency.code),
        "days to report"
    );
    let row = |name: &str, counts: &Counts| {
        let share = format!("{:.3} %", 100.0 * counts.payments as f64 / all.max(1) as f64);
        let amount = currency.format(Amount(counts.amount_minor));
        let (payments, cases) = (counts.payments, counts.cases);
        let days = match counts.report_delay_s_total {
            0 => String::new(),
            _ => format!("{:.1}", counts.report_delay_days_mean()),
        };
        let line = format!("  {name:<22}{payments:>10}{cases:>9}{share:>10}{amount:>22}{days:>16}");
        say!("{}", line.trim_end());
    };
    for (pattern, counts) in &summary.patterns {
        row(pattern.name(), counts);
    }
    row("all fraud", &summary.fraud);
    say!("\n  honest, but it looks like fraud:");
    for (lookalike, counts) in &summary.lookalikes {
        row(lookalike.name(), counts);
    }
    say!("\n  payments per hour, UTC, and per day:\n{}", summary.picture().trim_end());
    say!("\n  {seconds:.2} s, {:.0} payments/s", all as f64 / seconds.max(1e-9));
}

/// A bar on standard error; hidden where that is no terminal.
fn bar(payments: u64) -> ProgressBar {
    let template = "{bar:40} {human_pos}/{human_len} payments  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("a constant template");
    ProgressBar::new(payments).with_style(style)
}

fn parse_date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "is no date such as 2026-01-31".to_owned())
}
