//! Accounts to pay between: opens and funds those that are not there yet.

use millrace_protos::{
    Payment,
    v1::{
        self, account_service_client::AccountServiceClient,
        payment_service_client::PaymentServiceClient,
    },
};
use tonic::transport::Channel;

use crate::payments::{LEDGER, account_id};

/// What each account is funded with, in minor units: enough for any run.
const FUNDS_MINOR: u64 = 1 << 50;
const PER_REQUEST: u32 = 4_096;

/// Opens `count` accounts without overdraft and funds each once, from an account that may be
/// overdrawn. Ids are fixed, so a later run finds them open and funded.
pub(crate) async fn open(channel: &Channel, count: u32) -> Result<(), tonic::Status> {
    let mut accounts = AccountServiceClient::new(channel.clone());
    let mut payments = PaymentServiceClient::new(channel.clone());
    let source = new_account(u32::MAX, &[]);
    accounts
        .create_accounts(v1::CreateAccountsRequest { accounts: vec![source], ..Default::default() })
        .await?;
    let no_overdraft = [v1::AccountFlag::DebitsMustNotExceedCredits as i32];
    for first in (0..count).step_by(PER_REQUEST as usize) {
        let numbers = first..count.min(first + PER_REQUEST);
        let new = numbers.clone().map(|number| new_account(number, &no_overdraft)).collect();
        accounts
            .create_accounts(v1::CreateAccountsRequest { accounts: new, ..Default::default() })
            .await?;
        let funding = numbers.map(|number| Payment {
            payment_id: account_id(number) ^ 1,
            debit_account_id: account_id(u32::MAX),
            credit_account_id: account_id(number),
            amount_minor: Some(FUNDS_MINOR),
            ledger: LEDGER,
            code: 1,
            ..Payment::default()
        });
        let request = v1::SubmitPaymentsRequest { payments: funding.collect() };
        let outcomes = payments.submit_payments(request).await?.into_inner().outcomes;
        let settled = v1::PaymentStatus::Settled as i32;
        if let Some(refused) = outcomes.iter().find(|outcome| outcome.status != settled) {
            let reason = v1::RejectReason::try_from(refused.reject_reason)
                .map_or("an unknown reason", |reason| reason.as_str_name());
            return Err(tonic::Status::failed_precondition(format!(
                "funding an account was refused with {reason}; a server for load must have no \
                 limit that stops amounts of {FUNDS_MINOR} minor units, or exempt the funding account as \
                 configs/bench.toml does"
            )));
        }
    }
    Ok(())
}

fn new_account(number: u32, flags: &[i32]) -> v1::NewAccount {
    v1::NewAccount {
        account_id: account_id(number).to_be_bytes().to_vec().into(),
        ledger: LEDGER,
        code: 1,
        flags: flags.to_vec(),
        ..v1::NewAccount::default()
    }
}
