//! `millrace submit`: sends a file to a running millrace.

use std::{path::PathBuf, process::ExitCode};

use millrace_client::{AccountPlan, Connection, Opened, Source, SubmitOptions};
use uuid::Uuid;

use super::{say, send, send::Outgoing, stop_signal, submitted};
use crate::Failure;

/// Submit the payments of a CSV file; running it again continues, and pays nothing twice
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace submit --file orders.csv
  millrace submit --file payments.csv.gz --mapping my-bank.toml --target http://127.0.0.1:7400
  millrace submit --file orders.csv --open-accounts --json

A mapping says which column is what; configs/mappings/ has those that ship. Rows that can't be sent
are listed, written to NAME.refused.csv beside NAME.csv, and make the exit code 2.")]
pub(crate) struct Args {
    /// The file, gzipped or not
    #[arg(long, value_name = "CSV")]
    file: PathBuf,
    /// Maps columns to payment fields; without it, the shipped one with the file's header
    #[arg(long, value_name = "TOML")]
    mapping: Option<PathBuf>,
    /// URL of the gRPC server
    #[arg(long, default_value = "http://127.0.0.1:7400")]
    target: String,
    /// First open and fund the accounts that the file needs, as the mapping says
    #[arg(long)]
    open_accounts: bool,
    /// Payments per request
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    batch: u32,
    /// Requests under way at most
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    in_flight: u32,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let outgoing = Outgoing::open(Source::Path(args.file), args.mapping.as_deref())?;
    let connection = Connection::open(&args.target).await?;
    if args.open_accounts {
        let plan = outgoing.plan()?;
        let opened = Outgoing::open_accounts(&plan, &connection).await?;
        if opened.faults > 0 {
            return Err(not_opened(&outgoing, &plan, &opened).into());
        }
    }
    let options = SubmitOptions {
        batch_rows: args.batch as usize,
        in_flight: args.in_flight as usize,
        ..SubmitOptions::default()
    };
    let bar = send::bar(None);
    let (summary, _) = tokio::select! {
        sent = outgoing.send(connection, options, bar.clone(), 0) => sent?,
        signal = stop_signal()? => {
            let answered = bar.position();
            let again = "run it again to continue; nothing is paid twice";
            return Err(format!("stopped by {signal} after {answered} rows: {again}").into());
        }
    };
    match args.json {
        true => say!("{}", serde_json::Value::Object(submitted::fields(&summary))),
        false => say!("{}", submitted::table(&summary).trim_end()),
    }
    if let Some(refused) = submitted::refused(&summary) {
        crate::commands::tell!("{refused}");
    }
    Ok(submitted::exit_code(&summary))
}

/// Why nothing was submitted: a payment that is refused for want of an opening balance would burn
/// its id.
fn not_opened(outgoing: &Outgoing, plan: &AccountPlan, opened: &Opened) -> String {
    let namespace = outgoing.mapping.namespace();
    let funding = plan.funded_currencies().into_iter().map(|currency| {
        let account = Uuid::from_u128(namespace.funding_account(currency).0);
        format!("{account} ({})", currency.code)
    });
    let faults: Vec<_> = opened.first_faults.iter().map(ToString::to_string).collect();
    format!(
        "{} accounts could not be opened or funded, so nothing was submitted: {}{}. If a risk limit \
         stopped their opening balances, exempt the funding accounts from limits: \
         risk.exempt_payers = {}",
        opened.faults,
        faults.join("; "),
        if opened.faults > faults.len() as u64 { "; …" } else { "" },
        funding.collect::<Vec<_>>().join(", "),
    )
}
