//! Payments, accounts and what became of them, short enough for tables.

use bytes::Bytes;
use millrace_client::{Connection, reason_name};
use millrace_protos::v1::{
    AccountFlag, AccountStatus, CreateAccountsRequest, NewAccount, Operation, Payment,
    PaymentOutcome, PaymentStatus, SubmitPaymentsRequest,
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::within;

/// CZK.
pub(crate) const LEDGER: u32 = 203;

pub(crate) fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

pub(crate) fn pay(id: u128, debit: u128, credit: u128, minor: u64) -> Payment {
    Payment {
        payment_id: id,
        debit_account_id: debit,
        credit_account_id: credit,
        amount_minor: Some(minor),
        ledger: LEDGER,
        code: 1,
        operation: Operation::Pay as i32,
        ..Payment::default()
    }
}

pub(crate) fn account(id: u128, flags: &[AccountFlag]) -> NewAccount {
    NewAccount {
        account_id: id_bytes(id),
        ledger: LEDGER,
        code: 1,
        flags: flags.iter().map(|flag| *flag as i32).collect(),
        ..NewAccount::default()
    }
}

/// Opens accounts that no limit binds.
pub(crate) async fn open(connection: &Connection, ids: impl IntoIterator<Item = u128>) {
    let accounts = ids.into_iter().map(|id| account(id, &[])).collect();
    let request = CreateAccountsRequest { accounts, ..Default::default() };
    let response = within("accounts", connection.accounts().create_accounts(request)).await;
    for outcome in response.expect("is taken").into_inner().outcomes {
        assert_eq!(outcome.status(), AccountStatus::Created);
    }
}

pub(crate) async fn submit(
    connection: &Connection,
    payments: Vec<Payment>,
) -> Result<Vec<PaymentOutcome>, Status> {
    let request = SubmitPaymentsRequest { payments };
    let response = within("outcomes", connection.payments().submit_payments(request)).await?;
    Ok(response.into_inner().outcomes)
}

/// `SETTLED`, or `REJECTED` with its reason.
pub(crate) fn word(outcome: &PaymentOutcome) -> String {
    let status = PaymentStatus::try_from(outcome.status).expect("a known status");
    let status = status.as_str_name().trim_start_matches("PAYMENT_STATUS_");
    match outcome.reject_reason {
        0 => status.to_owned(),
        reason => format!("{status} {}", reason_name(reason)),
    }
}

/// The reason that a status carries for machines.
pub(crate) fn error_info(status: &Status) -> Option<(String, String)> {
    let info = status.get_details_error_info()?;
    Some((info.domain, info.reason))
}
