//! Opening: consumes an account plan, opens its accounts, funds the payers, then freezes and closes
//! those that are to be so. Guarantees that doing it again changes nothing: ids derive from the
//! plan, and an account that is already as asked is left alone.

use std::time::Duration;

use millrace_ledger::{AccountId, Amount, Currency};
use millrace_protos::v1::{
    AccountFlag, AccountOutcome, AccountStatus, Channel, CreateAccountsRequest, NewAccount,
    Operation, Payment, PaymentContext, PaymentStatus, SubmitPaymentsRequest, UpdateAccountRequest,
    update_account_request::{Change, Close, Freeze},
};
use prost::Message as _;
use tonic::Code;

use crate::{
    AccountPlan, CallError, Connection, PlannedAccount, SpecialState, mapping::FlagName,
    retry::call, summary::reason_name,
};

/// Accounts or payments per request.
const BATCH: usize = 1_024;

/// How many faults are kept to be shown.
const SHOWN_MAX: usize = 10;

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Accounts that are new now.
    pub created: u64,
    /// Accounts that were there already.
    pub unchanged: u64,
    /// Accounts that got their opening balance, now or in an earlier run.
    pub funded: u64,
    /// Accounts that are frozen or closed, as asked.
    pub restricted: u64,
    /// What did not go as asked.
    pub faults: u64,
    /// The first few of them.
    pub first_faults: Vec<OpeningFault>,
}

/// An account that is not as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("account {account} was not {wanted}: {reason}")]
pub struct OpeningFault {
    /// What the file calls it.
    pub account: String,
    /// Opened, funded, frozen or closed.
    pub wanted: &'static str,
    /// The server's reason, in upper snake case.
    pub reason: String,
}

/// Opens, funds, freezes and closes a plan's accounts; `give_up_after` limits how long each request
/// is tried.
///
/// # Errors
/// When a request can't be taken at all. What one account is refused is a fault, not an error.
pub async fn open_accounts(
    connection: &Connection,
    plan: &AccountPlan,
    give_up_after: Duration,
) -> Result<Opened, CallError> {
    let mut opening = Opening { connection, plan, give_up_after, opened: Opened::default() };
    opening.create().await?;
    opening.fund().await?;
    opening.restrict().await?;
    Ok(opening.opened)
}

struct Opening<'a> {
    connection: &'a Connection,
    plan: &'a AccountPlan,
    give_up_after: Duration,
    opened: Opened,
}

impl Opening<'_> {
    async fn create(&mut self) -> Result<(), CallError> {
        let (plan, connection) = (self.plan, self.connection);
        let currencies = plan.funded_currencies();
        let funding = currencies.iter().map(|currency| {
            (format!("funding {}", currency.code), funding_account(plan, *currency))
        });
        let planned = plan.accounts.iter().filter(|account| account.state != SpecialState::Missing);
        let planned = planned.map(|account| (account.text.clone(), new_account(plan, account)));
        let (names, accounts): (Vec<_>, Vec<_>) = funding.chain(planned).unzip();
        for (names, accounts) in names.chunks(BATCH).zip(accounts.chunks(BATCH)) {
            let accounts = accounts.to_vec();
            let request = CreateAccountsRequest { accounts, ..Default::default() };
            let response = call(connection, self.give_up_after, || {
                let (mut client, request) = (connection.accounts(), request.clone());
                async move { client.create_accounts(request).await }
            });
            let outcomes = response.await?.outcomes;
            check_count(connection, names.len(), outcomes.len())?;
            for (name, outcome) in names.iter().zip(outcomes) {
                match outcome.status() {
                    AccountStatus::Created => self.opened.created += 1,
                    AccountStatus::Unchanged | AccountStatus::Updated => self.opened.unchanged += 1,
                    _ => self.fault(name, "opened", account_reason(&outcome)),
                }
            }
        }
        Ok(())
    }

    async fn fund(&mut self) -> Result<(), CallError> {
        let (plan, connection) = (self.plan, self.connection);
        let to_fund: Vec<&PlannedAccount> =
            plan.accounts.iter().filter(|account| account.fund > Amount::ZERO).collect();
        for accounts in to_fund.chunks(BATCH) {
            let payments = accounts.iter().map(|account| funding_payment(plan, account)).collect();
            let request = SubmitPaymentsRequest { payments };
            let response = call(connection, self.give_up_after, || {
                let (mut client, request) = (connection.payments(), request.clone());
                async move { client.submit_payments(request).await }
            });
            let outcomes = response.await?.outcomes;
            check_count(connection, accounts.len(), outcomes.len())?;
            for (account, outcome) in accounts.iter().zip(outcomes) {
                match PaymentStatus::try_from(outcome.status).unwrap_or_default() {
                    PaymentStatus::Settled => self.opened.funded += 1,
                    PaymentStatus::Held => {
                        self.fault(&account.text, "funded", "HELD_FOR_REVIEW".to_owned());
                    }
                    _ => self.fault(&account.text, "funded", reason_name(outcome.reject_reason)),
                }
            }
        }
        Ok(())
    }

    async fn restrict(&mut self) -> Result<(), CallError> {
        for account in &self.plan.accounts {
            let (change, wanted) = match account.state {
                SpecialState::Open | SpecialState::Missing => continue,
                SpecialState::Frozen => (Change::Freeze(Freeze {}), "frozen"),
                SpecialState::Closed => (Change::Close(Close {}), "closed"),
            };
            let request = UpdateAccountRequest {
                account_id: id_bytes(account.id),
                change: Some(change),
                ..Default::default()
            };
            let connection = self.connection;
            let response = call(connection, self.give_up_after, || {
                let (mut client, request) = (connection.accounts(), request.clone());
                async move { client.update_account(request).await }
            });
            let outcome = response.await?.outcome.unwrap_or_default();
            match outcome.status() {
                AccountStatus::Updated | AccountStatus::Unchanged => self.opened.restricted += 1,
                _ => self.fault(&account.text, wanted, account_reason(&outcome)),
            }
        }
        Ok(())
    }

    fn fault(&mut self, account: &str, wanted: &'static str, reason: String) {
        self.opened.faults += 1;
        if self.opened.first_faults.len() < SHOWN_MAX {
            let account = account.to_owned();
            self.opened.first_faults.push(OpeningFault { account, wanted, reason });
        }
    }
}

fn check_count(connection: &Connection, asked: usize, answered: usize) -> Result<(), CallError> {
    if asked == answered {
        return Ok(());
    }
    let url = connection.url();
    let sentence = format!("the server at {url} gave {answered} outcomes for {asked} requests");
    Err(CallError { sentence, code: Code::Internal })
}

fn account_reason(outcome: &AccountOutcome) -> String {
    outcome.reject_reason().as_str_name().trim_start_matches("ACCOUNT_REJECT_REASON_").to_owned()
}

fn id_bytes(id: AccountId) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&id.0.to_be_bytes())
}

/// Opening balances come from an account per currency that no flag limits.
fn funding_account(plan: &AccountPlan, currency: Currency) -> NewAccount {
    NewAccount {
        account_id: id_bytes(plan.namespace.funding_account(currency)),
        ledger: currency.ledger.0,
        code: u32::from(plan.rules.funding_code),
        ..NewAccount::default()
    }
}

fn new_account(plan: &AccountPlan, account: &PlannedAccount) -> NewAccount {
    let rules = &plan.rules;
    let (flags, code): (&[FlagName], u16) = match account.is_payer {
        true => (&rules.payer_flags, rules.payer_code),
        false => (&rules.payee_flags, rules.payee_code),
    };
    let flags = flags.iter().map(|flag| flag.on_wire());
    NewAccount {
        account_id: id_bytes(account.id),
        ledger: account.currency.ledger.0,
        code: u32::from(code),
        flags: flags.map(|flag: AccountFlag| flag as i32).collect(),
        credit_limit_minor: account.credit_limit.0 as u64,
        credit_limit_minor_high: (account.credit_limit.0 >> 64) as u64,
        ..NewAccount::default()
    }
}

fn funding_payment(plan: &AccountPlan, account: &PlannedAccount) -> Payment {
    let context = PaymentContext {
        channel: Channel::Internal as i32,
        reference: "opening balance".to_owned(),
        ..PaymentContext::default()
    };
    let PlannedAccount { id, currency, fund, .. } = *account;
    Payment {
        payment_id: plan.namespace.funding_payment(id, currency, fund).0,
        debit_account_id: plan.namespace.funding_account(currency).0,
        credit_account_id: id.0,
        amount_minor: Some(fund.0 as u64),
        amount_minor_high: (fund.0 >> 64) as u64,
        ledger: currency.ledger.0,
        code: u32::from(plan.rules.funding_code),
        operation: Operation::Pay as i32,
        context: context.encode_to_vec().into(),
        ..Payment::default()
    }
}
