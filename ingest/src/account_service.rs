//! `AccountService`: opens, reads and changes accounts, in one order with the payments. Guarantees
//! that a change of which the caller says who asks for it and why is journaled with an act before it.

use bytes::Bytes;
use millrace_engine::Command;
use millrace_ledger::{AccountChange, AccountId, AccountSpec};
use millrace_protos::{
    REQUEST_ITEMS_MAX,
    v1::{self, account_service_server::AccountService, update_account_request::Change},
};
use millrace_risk::acts::{
    ACT_ACCOUNTS_MAX, AccountChangeKind, Act, ActKind, ChangeAccountAct, OpenAccountsAct,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    admit::{Admission, deadline},
    convert,
    risk_service::{RiskRefusal, Signature},
    status::Refusal,
};

/// The service; see the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) admission: Admission,
    /// Whether nothing is changed for callers who don't say who they are and why.
    pub(crate) signature_required: bool,
}

impl Accounts {
    /// Who asks and why, where that is said.
    fn signature(&self, actor: String, why: String) -> Result<Option<Signature>, RiskRefusal> {
        let is_unsigned = actor.is_empty() && why.is_empty();
        match is_unsigned && !self.signature_required {
            true => Ok(None),
            false => Signature::check(actor, why).map(Some),
        }
    }
}

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn create_accounts(
        &self,
        request: Request<v1::CreateAccountsRequest>,
    ) -> Result<Response<v1::CreateAccountsResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        let request = request.into_inner();
        check_count(request.accounts.len())?;
        let signature = self.signature(request.actor, request.why)?;
        let specs: Vec<_> = request.accounts.iter().map(convert::account_spec).collect();
        let acts = signature.map_or_else(Vec::new, |signature| opening(&signature, &specs));
        let command = |reply| Command::CreateAccounts { specs, acts, reply };
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
        let signature = self.signature(request.actor, request.why)?;
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
        let act = signature.map(|signature| act_of(&signature, changing(id, change)));
        let command = |reply| Command::UpdateAccount { id, change, act, reply };
        let reply = self.admission.submit(deadline, command).await?.answer().await?;
        let outcome = Some(convert::account_outcome(&reply));
        Ok(Response::new(v1::UpdateAccountResponse { outcome }))
    }
}

/// Who asked for these accounts and why; ids that are none are left out.
fn opening(signature: &Signature, specs: &[AccountSpec]) -> Vec<Bytes> {
    let is_id = |id: &AccountId| *id != AccountId::ZERO && *id != AccountId::MAX;
    let ids = specs.iter().map(|spec| spec.id).filter(is_id);
    let ids: Vec<_> = ids.map(|id| Uuid::from_u128(id.0)).collect();
    let of_some = |ids: &[Uuid]| ActKind::OpenAccounts(OpenAccountsAct { accounts: ids.to_vec() });
    ids.chunks(ACT_ACCOUNTS_MAX).map(|ids| act_of(signature, of_some(ids))).collect()
}

fn changing(id: AccountId, change: AccountChange) -> ActKind {
    let (change, credit_limit) = match change {
        AccountChange::Freeze => (AccountChangeKind::Freeze, None),
        AccountChange::Reopen => (AccountChangeKind::Reopen, None),
        AccountChange::Close => (AccountChangeKind::Close, None),
        AccountChange::SetCreditLimit(limit) => (AccountChangeKind::SetCreditLimit, Some(limit.0)),
    };
    let credit_limit_minor = credit_limit.map(|minor| minor.to_string());
    ActKind::ChangeAccount(ChangeAccountAct {
        account: Uuid::from_u128(id.0),
        change,
        credit_limit_minor,
    })
}

fn act_of(signature: &Signature, act: ActKind) -> Bytes {
    let Signature { actor, why } = signature.clone();
    Act { actor, why, act }.to_bytes().into()
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
