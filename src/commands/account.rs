//! `millrace account`: opens, shows and changes accounts on a running millrace.

use std::process::ExitCode;

use clap::Subcommand;
use millrace_client::Connection;
use millrace_ledger::Currency;
use millrace_protos::v1::{self, update_account_request::Change};
use uuid::Uuid;

use super::{
    money::{halves, id_bytes, id_text, joined, parse_amount, parse_currency, text},
    risk::server::MaybeSignedArgs,
    say,
};
use crate::Failure;

/// Open, show and change accounts of a running millrace
#[derive(clap::Args)]
pub(crate) struct Args {
    /// URL of the gRPC server
    #[arg(long, default_value = "http://127.0.0.1:7400", global = true)]
    target: String,
    #[command(flatten)]
    signature: MaybeSignedArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open an account
    #[command(after_help = "\
Examples:
  millrace account create --currency CZK --no-overdraft
  millrace account create 0190b5a4-6a00-7c3e-8f00-000000000001 --currency EUR --code 7")]
    Create(CreateArgs),
    /// Show accounts with their balances
    #[command(after_help = "Example:\n  millrace account get 0190b5a4-6a00-7c3e-8f00-000000000001")]
    Get {
        /// UUIDs
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
    /// Stop all but releases of holds and incoming refunds
    Freeze { id: Uuid },
    /// Open a frozen or closed account again
    Reopen { id: Uuid },
    /// Close an account that holds nothing
    #[command(after_help = "\
Example:
  millrace account close 0190b5a4-6a00-7c3e-8f00-000000000001 --actor ann --why 'the owner left'")]
    Close { id: Uuid },
    /// Allow an overdraft up to an amount
    #[command(after_help = "\
Example:
  millrace account set-credit-limit 0190b5a4-6a00-7c3e-8f00-000000000001 500.00 --currency CZK")]
    SetCreditLimit {
        id: Uuid,
        /// Decimal text, such as 500.00
        limit: String,
        /// The account's currency
        #[arg(long, value_parser = parse_currency)]
        currency: Currency,
    },
}

#[derive(clap::Args)]
struct CreateArgs {
    /// UUID; without one, a new one is made (UUIDv7)
    id: Option<Uuid>,
    /// ISO 4217 code
    #[arg(long, value_parser = parse_currency)]
    currency: Currency,
    /// Place in the chart of accounts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    code: u16,
    /// UUID of the owner
    #[arg(long)]
    owner: Option<Uuid>,
    /// Debits may not exceed credits plus the credit limit
    #[arg(long)]
    no_overdraft: bool,
    /// Overdraft allowed with --no-overdraft, decimal text
    #[arg(long, default_value = "0", requires = "no_overdraft")]
    credit_limit: String,
    /// Keep the balances after every event, for GraphQL's balanceHistory
    #[arg(long)]
    keep_history: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let connection = Connection::open(&args.target).await?;
    let signature = args.signature.signature()?;
    let change = |id: Uuid, change| update(&connection, id, change, signature.clone());
    match args.command {
        Command::Create(args) => create(&connection, args, signature).await,
        Command::Get { ids } => get(&connection, ids).await,
        Command::Freeze { id } => {
            change(id, Change::Freeze(v1::update_account_request::Freeze {})).await
        }
        Command::Reopen { id } => {
            change(id, Change::Reopen(v1::update_account_request::Reopen {})).await
        }
        Command::Close { id } => {
            change(id, Change::Close(v1::update_account_request::Close {})).await
        }
        Command::SetCreditLimit { id, limit, currency } => {
            let (credit_limit_minor, credit_limit_minor_high) =
                halves(parse_amount(currency, &limit)?);
            let limit = v1::update_account_request::SetCreditLimit {
                credit_limit_minor,
                credit_limit_minor_high,
            };
            change(id, Change::SetCreditLimit(limit)).await
        }
    }
}

async fn create(
    connection: &Connection,
    args: CreateArgs,
    (actor, why): (String, String),
) -> Result<ExitCode, Failure> {
    let (credit_limit_minor, credit_limit_minor_high) =
        halves(parse_amount(args.currency, &args.credit_limit)?);
    let flags = [
        (args.no_overdraft, v1::AccountFlag::DebitsMustNotExceedCredits),
        (args.keep_history, v1::AccountFlag::KeepsHistory),
    ];
    let account = v1::NewAccount {
        account_id: id_bytes(args.id.unwrap_or_else(Uuid::now_v7)).into(),
        ledger: args.currency.ledger.0,
        code: args.code.into(),
        owner_id: args.owner.map(id_bytes).unwrap_or_default().into(),
        flags: flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag as i32).collect(),
        credit_limit_minor,
        credit_limit_minor_high,
        ..v1::NewAccount::default()
    };
    let request = v1::CreateAccountsRequest { accounts: vec![account], actor, why };
    let response = connection.accounts().create_accounts(request).await;
    let response = response.map_err(|status| connection.explain(&status))?;
    let outcome = response.into_inner().outcomes.pop();
    Ok(show_outcome(&outcome.ok_or("the server gave no outcome")?))
}

async fn get(connection: &Connection, ids: Vec<Uuid>) -> Result<ExitCode, Failure> {
    let account_ids = ids.into_iter().map(|id| id_bytes(id).into()).collect();
    let response = connection.accounts().get_accounts(v1::GetAccountsRequest { account_ids }).await;
    let response = response.map_err(|status| connection.explain(&status))?.into_inner();
    for account in &response.accounts {
        show(account);
    }
    for id in &response.unknown_account_ids {
        say!("{}  unknown", id_text(id));
    }
    Ok(match response.unknown_account_ids.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn update(
    connection: &Connection,
    id: Uuid,
    change: Change,
    (actor, why): (String, String),
) -> Result<ExitCode, Failure> {
    let (account_id, change) = (id_bytes(id).into(), Some(change));
    let request = v1::UpdateAccountRequest { account_id, change, actor, why };
    let response = connection.accounts().update_account(request).await;
    let response = response.map_err(|status| connection.explain(&status))?;
    Ok(show_outcome(&response.into_inner().outcome.ok_or("the server gave no outcome")?))
}

fn show(account: &v1::Account) {
    let new = account.account.clone().unwrap_or_default();
    let balances = account.balances.unwrap_or_default();
    let state = account.state().as_str_name().trim_start_matches("ACCOUNT_STATE_").to_lowercase();
    say!("{}  {state}  code {}", id_text(&new.account_id), new.code);
    for (name, low, high) in [
        ("debits posted", balances.debits_posted, balances.debits_posted_high),
        ("debits pending", balances.debits_pending, balances.debits_pending_high),
        ("credits posted", balances.credits_posted, balances.credits_posted_high),
        ("credits pending", balances.credits_pending, balances.credits_pending_high),
        ("credit limit", new.credit_limit_minor, new.credit_limit_minor_high),
    ] {
        say!("  {name:<16}{:>28}", text(joined(low, high), new.ledger));
    }
}

fn show_outcome(outcome: &v1::AccountOutcome) -> ExitCode {
    let id = id_text(&outcome.account_id);
    let status = outcome.status();
    if status == v1::AccountStatus::Rejected {
        let reason = outcome.reject_reason().as_str_name();
        crate::commands::tell!(
            "{id}  rejected: {}",
            reason.trim_start_matches("ACCOUNT_REJECT_REASON_")
        );
        return ExitCode::FAILURE;
    }
    let status = status.as_str_name().trim_start_matches("ACCOUNT_STATUS_").to_lowercase();
    say!("{id}  {status}");
    ExitCode::SUCCESS
}
