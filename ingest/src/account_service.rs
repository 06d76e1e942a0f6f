//! `AccountService`: opens, reads and changes accounts, in one order with the payments.

use millrace_engine::Command;
use millrace_ledger::{AccountChange, AccountId};
use millrace_protos::{
    REQUEST_ITEMS_MAX,
    v1::{self, account_service_server::AccountService, update_account_request::Change},
};
use tonic::{Request, Response, Status};

use crate::{
    admit::{Admission, deadline},
    convert,
    status::Refusal,
};

/// The service; see the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) admission: Admission,
}

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn create_accounts(
        &self,
        request: Request<v1::CreateAccountsRequest>,
    ) -> Result<Response<v1::CreateAccountsResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        let accounts = &request.get_ref().accounts;
        check_count(accounts.len())?;
        let specs = accounts.iter().map(convert::account_spec).collect();
        let command = |reply| Command::CreateAccounts { specs, reply };
        let replies = self.admission.submit(deadline, command).await?.answer().await?;
        let outcomes = replies.iter().map(convert::account_outcome).collect();
        Ok(Response::new(v1::CreateAccountsResponse { outcomes }))
    }

    async fn get_accounts(
        &self,
        request: Request<v1::GetAccountsRequest>,
    ) -> Result<Response<v1::GetAccountsResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        let wanted = request.into_inner().account_ids;
        check_count(wanted.len())?;
        let ids = wanted.iter().map(|bytes| account_id(bytes)).collect::<Result<_, _>>()?;
        let command = |reply| Command::GetAccounts { ids, reply };
        let found = self.admission.submit(deadline, command).await?.answer().await?;
        let mut response = v1::GetAccountsResponse::default();
        for (id, account) in wanted.into_iter().zip(found) {
            match account {
                Some(account) => response.accounts.push(convert::account(&account)),
                None => response.unknown_account_ids.push(id),
            }
        }
        Ok(Response::new(response))
    }

    async fn update_account(
        &self,
        request: Request<v1::UpdateAccountRequest>,
    ) -> Result<Response<v1::UpdateAccountResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        let request = request.into_inner();
        let id = account_id(&request.account_id)?;
        let Some(change) = request.change else {
            let outcome = v1::AccountOutcome {
                account_id: request.account_id,
                status: v1::AccountStatus::Rejected as i32,
                reject_reason: v1::AccountRejectReason::ChangeMissing as i32,
                event_sequence: 0,
            };
            return Ok(Response::new(v1::UpdateAccountResponse { outcome: Some(outcome) }));
        };
        let change = match change {
            Change::Freeze(_) => AccountChange::Freeze,
            Change::Reopen(_) => AccountChange::Reopen,
            Change::Close(_) => AccountChange::Close,
            Change::SetCreditLimit(limit) => AccountChange::SetCreditLimit(convert::amount(
                limit.credit_limit_minor,
                limit.credit_limit_minor_high,
            )),
        };
        let command = |reply| Command::UpdateAccount { id, change, reply };
        let reply = self.admission.submit(deadline, command).await?.answer().await?;
        let outcome = Some(convert::account_outcome(&reply));
        Ok(Response::new(v1::UpdateAccountResponse { outcome }))
    }
}

fn check_count(count: usize) -> Result<(), Refusal> {
    match count > REQUEST_ITEMS_MAX {
        true => Err(Refusal::TooManyItems),
        false => Ok(()),
    }
}

fn account_id(bytes: &[u8]) -> Result<AccountId, Refusal> {
    convert::id(bytes).map(AccountId).ok_or(Refusal::IdMalformed { field: "account_id" })
}
