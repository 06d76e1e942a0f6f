//! Administrative commands: consumes account specs and changes, produces account events.
//!
//! Guarantees that an account is opened once, and that asking twice changes nothing.

use crate::{
    Account, AccountChange, AccountEvent, AccountId, AccountOutcome, AccountRejectReason,
    AccountSpec, AccountState, ActEvent, Amount, Currency, Ledger, LedgerId,
};

impl Ledger {
    /// Opens an account. Opening it again with the same content changes nothing; its credit limit
    /// may have been changed since and is not compared.
    pub fn create_account(&mut self, spec: &AccountSpec) -> (AccountOutcome, Option<AccountEvent>) {
        if let Some(reason) = id_reason(spec) {
            return (AccountOutcome::Rejected(reason), None);
        }
        if let Some(slot) = self.account_slot(spec.id) {
            return match difference(spec, &self.books.accounts.account(slot).spec) {
                Some(reason) => (AccountOutcome::Rejected(reason), None),
                None => (AccountOutcome::Unchanged, None),
            };
        }
        if let Some(reason) = spec.defect.into_iter().chain(static_reason(spec)).min() {
            return (AccountOutcome::Rejected(reason), None);
        }
        let slot = self.open_account(spec);
        let account = self.books.accounts.account(slot);
        let event = AccountEvent { seq: self.books.take_seq(), change: None, account };
        (AccountOutcome::Created, Some(event))
    }

    /// Gives an analyst's act, which the gate has carried out, its place in the sequence.
    pub fn record_act(&mut self) -> ActEvent {
        ActEvent { seq: self.books.take_seq() }
    }

    /// Changes an account.
    pub fn update_account(
        &mut self,
        id: AccountId,
        change: AccountChange,
    ) -> (AccountOutcome, Option<AccountEvent>) {
        let Some(slot) = self.account_slot(id) else {
            return (AccountOutcome::Rejected(AccountRejectReason::AccountUnknown), None);
        };
        let account = self.books.accounts.account(slot);
        match changed(&account, change) {
            Err(reason) => (AccountOutcome::Rejected(reason), None),
            Ok(after) if after == account => (AccountOutcome::Unchanged, None),
            Ok(after) => {
                self.books.accounts.set_account(slot, &after);
                let seq = self.books.take_seq();
                let event = AccountEvent { seq, change: Some(change), account: after };
                (AccountOutcome::Updated, Some(event))
            }
        }
    }

    pub(crate) fn open_account(&mut self, spec: &AccountSpec) -> u32 {
        let slot = self.books.accounts.open(spec);
        self.shards.add_account(spec.id, slot);
        slot
    }
}

/// The account after the change.
pub(crate) fn changed(
    account: &Account,
    change: AccountChange,
) -> Result<Account, AccountRejectReason> {
    let mut after = *account;
    let closed = account.state == AccountState::Closed;
    match change {
        AccountChange::SetCreditLimit(limit)
            if limit != Amount::ZERO && !account.spec.flags.limits() =>
        {
            return Err(AccountRejectReason::CreditLimitWithoutFlag);
        }
        AccountChange::Freeze | AccountChange::SetCreditLimit(_) if closed => {
            return Err(AccountRejectReason::AccountClosed);
        }
        AccountChange::Freeze => after.state = AccountState::Frozen,
        AccountChange::Reopen => after.state = AccountState::Open,
        AccountChange::Close if account.is_empty() => after.state = AccountState::Closed,
        AccountChange::Close => return Err(AccountRejectReason::AccountNotEmpty),
        AccountChange::SetCreditLimit(limit) => after.spec.credit_limit = limit,
    }
    Ok(after)
}

/// What is wrong with the request or the id, checked before the account is looked up.
fn id_reason(spec: &AccountSpec) -> Option<AccountRejectReason> {
    use AccountRejectReason as R;
    let id = match spec.id {
        AccountId::ZERO => Some(R::AccountIdZero),
        AccountId::MAX => Some(R::AccountIdMax),
        _ => None,
    };
    let defect = spec.defect.filter(|reason| *reason <= R::OwnerIdMalformed);
    defect.into_iter().chain(id).min()
}

/// The first field in which an existing account differs from what is asked.
fn difference(asked: &AccountSpec, existing: &AccountSpec) -> Option<AccountRejectReason> {
    use AccountRejectReason as R;
    [
        (asked.ledger != existing.ledger, R::ExistsLedgerDiffers),
        (
            asked.code != existing.code || asked.defect == Some(R::CodeTooLarge),
            R::ExistsCodeDiffers,
        ),
        (asked.tenant != existing.tenant, R::ExistsTenantDiffers),
        (asked.owner != existing.owner, R::ExistsOwnerDiffers),
        (asked.flags != existing.flags, R::ExistsFlagsDiffer),
    ]
    .into_iter()
    .find_map(|(differs, reason)| differs.then_some(reason))
}

/// What is wrong with a new account, whatever the ledger holds.
fn static_reason(spec: &AccountSpec) -> Option<AccountRejectReason> {
    use AccountRejectReason as R;
    [
        (spec.flags.0 & 3 == 3, R::FlagsExclusive),
        (spec.ledger == LedgerId(0), R::LedgerZero),
        (Currency::of_ledger(spec.ledger).is_none(), R::LedgerUnknown),
        (spec.code.0 == 0, R::CodeZero),
        (spec.credit_limit != Amount::ZERO && !spec.flags.limits(), R::CreditLimitWithoutFlag),
    ]
    .into_iter()
    .find_map(|(applies, reason)| applies.then_some(reason))
}
