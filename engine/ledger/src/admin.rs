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
        if let Err(outcome) = self.may_open(spec) {
            return (outcome, None);
        }
        let slot = self.open_account(spec);
        let account = self.books.accounts.account(slot);
        let event = AccountEvent { seq: self.books.take_seq(), change: None, account };
        (AccountOutcome::Created, Some(event))
    }

    /// Whether the account would be opened now; if not, what would come of it.
    ///
    /// # Errors
    /// The outcome that opens nothing.
    pub fn may_open(&self, spec: &AccountSpec) -> Result<(), AccountOutcome> {
        if let Some(reason) = id_reason(spec) {
            return Err(AccountOutcome::Rejected(reason));
        }
        if let Some(slot) = self.account_slot(spec.id) {
            return Err(match difference(spec, &self.books.accounts.account(slot).spec) {
                Some(reason) => AccountOutcome::Rejected(reason),
                None => AccountOutcome::Unchanged,
            });
        }
        let reason = spec.defect.into_iter().chain(static_reason(spec)).min();
        reason.map_or(Ok(()), |reason| Err(AccountOutcome::Rejected(reason)))
    }

    /// Gives an act its place in the sequence: one that the gate has carried out, or one that says
    /// who asked for what comes behind it.
    pub fn record_act(&mut self) -> ActEvent {
        ActEvent { seq: self.books.take_seq() }
    }

    /// Changes an account.
    pub fn update_account(
        &mut self,
        id: AccountId,
        change: AccountChange,
    ) -> (AccountOutcome, Option<AccountEvent>) {
        match self.may_change(id, change) {
            Err(outcome) => (outcome, None),
            Ok((slot, after)) => {
                self.books.accounts.set_account(slot, &after);
                let seq = self.books.take_seq();
                let event = AccountEvent { seq, change: Some(change), account: after };
                (AccountOutcome::Updated, Some(event))
            }
        }
    }

    /// Whether the change would change anything now.
    #[must_use]
    pub fn would_change(&self, id: AccountId, change: AccountChange) -> bool {
        self.may_change(id, change).is_ok()
    }

    /// The account's slot, and the account after the change; if there is none, what comes of it.
    fn may_change(
        &self,
        id: AccountId,
        change: AccountChange,
    ) -> Result<(u32, Account), AccountOutcome> {
        let unknown = AccountOutcome::Rejected(AccountRejectReason::AccountUnknown);
        let slot = self.account_slot(id).ok_or(unknown)?;
        let account = self.books.accounts.account(slot);
        match changed(&account, change) {
            Err(reason) => Err(AccountOutcome::Rejected(reason)),
            Ok(after) if after == account => Err(AccountOutcome::Unchanged),
            Ok(after) => Ok((slot, after)),
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
