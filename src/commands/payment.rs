//! `millrace payment`: submits and shows single payments on a running millrace.

use std::process::ExitCode;

use clap::Subcommand;
use millrace_client::{Connection, reason_name};
use millrace_ledger::Currency;
use millrace_protos::{Payment, PaymentOutcome, v1};
use uuid::Uuid;

use super::{
    money::{halves, id_bytes, joined, parse_amount, parse_currency, text},
    say,
};
use crate::Failure;

/// Submit and show single payments on a running millrace
#[derive(clap::Args)]
pub(crate) struct Args {
    /// URL of the gRPC server
    #[arg(long, default_value = "http://127.0.0.1:7400", global = true)]
    target: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Move money at once
    #[command(after_help = "\
Example:
  millrace payment pay --from 0190b5a4-6a00-7c3e-8f00-000000000001 \\
      --to 0190b5a4-6a00-7c3e-8f00-000000000002 --amount 99.50 --currency CZK")]
    Pay(TransferArgs),
    /// Hold money until it is captured or voided, or a time-out passes
    Authorize {
        #[command(flatten)]
        transfer: TransferArgs,
        /// Seconds until the hold expires; 0 is never
        #[arg(long, default_value_t = 0)]
        timeout: u32,
    },
    /// Post part or all of a hold; lets a payment through that is held for review
    #[command(after_help = "\
Example:
  millrace payment capture 0190b5a4-6a00-7c3e-8f00-000000000003 --amount 10.00 --currency CZK")]
    Capture {
        /// The hold
        original: Uuid,
        #[command(flatten)]
        part: Part,
    },
    /// Release what a hold still holds
    Void {
        /// The hold
        original: Uuid,
        /// Id of this void; without one, a new one is made
        #[arg(long)]
        id: Option<Uuid>,
    },
    /// Pay back part or all of a settled payment
    #[command(after_help = "\
Example:
  millrace payment refund 0190b5a4-6a00-7c3e-8f00-000000000003 --amount 10.00 --currency CZK")]
    Refund {
        /// The settled payment
        original: Uuid,
        #[command(flatten)]
        part: Part,
    },
    /// Show a payment and what became of it
    Get { id: Uuid },
}

#[derive(clap::Args)]
struct TransferArgs {
    /// Account that pays
    #[arg(long)]
    from: Uuid,
    /// Account that receives
    #[arg(long)]
    to: Uuid,
    /// Decimal text, such as 99.50
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    /// ISO 4217 code
    #[arg(long, value_parser = parse_currency)]
    currency: Currency,
    /// Why the money moves: a number of your own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    code: u16,
    /// Id of this payment, for a retry; without one, a new one is made (UUIDv7)
    #[arg(long)]
    id: Option<Uuid>,
}

#[derive(clap::Args)]
struct Part {
    /// Decimal text, with --currency; without it, all that is left
    #[arg(long, requires = "currency", allow_hyphen_values = true)]
    amount: Option<String>,
    /// ISO 4217 code of the amount
    #[arg(long, value_parser = parse_currency)]
    currency: Option<Currency>,
    /// Id of this payment, for a retry; without one, a new one is made (UUIDv7)
    #[arg(long)]
    id: Option<Uuid>,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let connection = Connection::open(&args.target).await?;
    let payment = match args.command {
        Command::Get { id } => return get(&connection, id).await,
        Command::Pay(args) => transfer(&args, v1::Operation::Pay)?,
        Command::Authorize { transfer: args, timeout } => {
            Payment { timeout_seconds: timeout, ..transfer(&args, v1::Operation::Authorize)? }
        }
        Command::Capture { original, part } => follow_up(original, &part, v1::Operation::Capture)?,
        Command::Refund { original, part } => follow_up(original, &part, v1::Operation::Refund)?,
        Command::Void { original, id } => Payment {
            payment_id: new_id(id),
            original_payment_id: original.as_u128(),
            operation: v1::Operation::Void as i32,
            ..Payment::default()
        },
    };
    let request = v1::SubmitPaymentRequest { payment: Some(payment) };
    let response = connection.payments().submit_payment(request).await;
    let response = response.map_err(|status| connection.explain(&status))?;
    let outcome = response.into_inner().outcome.ok_or("the server gave no outcome")?;
    say!("{}", outcome_text(&outcome));
    Ok(match outcome.status == v1::PaymentStatus::Rejected as i32 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn new_id(id: Option<Uuid>) -> u128 {
    id.unwrap_or_else(Uuid::now_v7).as_u128()
}

fn transfer(args: &TransferArgs, operation: v1::Operation) -> Result<Payment, Failure> {
    let (low, high) = halves(parse_amount(args.currency, &args.amount)?);
    Ok(Payment {
        payment_id: new_id(args.id),
        debit_account_id: args.from.as_u128(),
        credit_account_id: args.to.as_u128(),
        amount_minor: Some(low),
        amount_minor_high: high,
        ledger: args.currency.ledger.0,
        code: args.code.into(),
        operation: operation as i32,
        ..Payment::default()
    })
}

fn follow_up(original: Uuid, part: &Part, operation: v1::Operation) -> Result<Payment, Failure> {
    let mut payment = Payment {
        payment_id: new_id(part.id),
        original_payment_id: original.as_u128(),
        operation: operation as i32,
        ..Payment::default()
    };
    if let (Some(amount), Some(currency)) = (&part.amount, part.currency) {
        let (low, high) = halves(parse_amount(currency, amount)?);
        payment.amount_minor = Some(low);
        payment.amount_minor_high = high;
        payment.ledger = currency.ledger.0;
    }
    Ok(payment)
}

async fn get(connection: &Connection, id: Uuid) -> Result<ExitCode, Failure> {
    let request = v1::GetPaymentRequest { payment_id: id_bytes(id).into() };
    let response = connection.payments().get_payment(request).await;
    let found = response.map_err(|status| connection.explain(&status))?.into_inner();
    let payment = found.payment.clone().unwrap_or_default();
    let outcome = found.outcome.clone().unwrap_or_default();
    let operation = v1::Operation::try_from(payment.operation).unwrap_or_default();
    say!("{}", outcome_text(&outcome));
    say!(
        "  operation  {}",
        operation.as_str_name().trim_start_matches("OPERATION_").to_lowercase()
    );
    for (name, id) in [
        ("from", payment.debit_account_id),
        ("to", payment.credit_account_id),
        ("original", payment.original_payment_id),
    ] {
        if id != 0 {
            say!("  {name:<10} {}", Uuid::from_u128(id));
        }
    }
    let moved = joined(outcome.amount_minor, outcome.amount_minor_high);
    say!("  amount     {}", text(moved, payment.ledger));
    if found.hold_state() != v1::HoldState::Unspecified {
        let state =
            found.hold_state().as_str_name().trim_start_matches("HOLD_STATE_").to_lowercase();
        let left = joined(found.remaining_minor, found.remaining_minor_high);
        say!("  hold       {state}, {} left", text(left, payment.ledger));
    }
    Ok(ExitCode::SUCCESS)
}

/// One line: id, status, reason, place in the journal.
pub(crate) fn outcome_text(outcome: &PaymentOutcome) -> String {
    let status = v1::PaymentStatus::try_from(outcome.status).unwrap_or_default();
    let status = status.as_str_name().trim_start_matches("PAYMENT_STATUS_").to_lowercase();
    let reason = match outcome.reject_reason {
        0 => String::new(),
        reason => format!(": {}", reason_name(reason)),
    };
    let rule = match outcome.risk_reason.as_str() {
        "" => String::new(),
        "score" => " (score)".to_owned(),
        "time-budget" => " (time budget)".to_owned(),
        rule => match rule.strip_prefix("score/") {
            Some(segment) => format!(" (score in segment {segment})"),
            None => format!(" (rule {rule})"),
        },
    };
    let replayed = if outcome.replayed { ", as before" } else { "" };
    let id = Uuid::from_u128(outcome.payment_id);
    format!("{id}  {status}{reason}{rule}{replayed}, event {}", outcome.event_sequence)
}
