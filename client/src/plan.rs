//! The account plan: consumes a file's rows once, produces the accounts that they name and what
//! each must start with. Its memory grows with the accounts, not with the rows.

use std::collections::{HashMap, hash_map::Entry};

use millrace_ledger::{AccountId, Amount, AmountError, Currency};
use millrace_protos::v1::Operation;

use crate::{
    AccountRules, CsvFile, FileError, Funding, Mapping, Namespace, ReadError, Row, SpecialAccount,
    SpecialState,
};

/// An account that a file names.
#[derive(Clone, Debug)]
pub struct PlannedAccount {
    /// Its id.
    pub id: AccountId,
    /// What the file calls it.
    pub text: String,
    /// The currency that it keeps.
    pub currency: Currency,
    /// It pays at least once.
    pub is_payer: bool,
    /// What it starts with.
    pub fund: Amount,
    /// Overdraft allowed.
    pub credit_limit: Amount,
    /// What becomes of it before the payments come.
    pub state: SpecialState,
}

/// The accounts of a file, in the order in which it names them.
#[derive(Clone, Debug)]
pub struct AccountPlan {
    /// The accounts, those that are to be missing included.
    pub accounts: Vec<PlannedAccount>,
    pub(crate) namespace: Namespace,
    pub(crate) rules: AccountRules,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file can't be read to its end.
    #[error(transparent)]
    File(#[from] FileError),
    /// An amount of the mapping does not fit the currency of an account of the file.
    #[error("the mapping's {key} `{text}` for account {account}: {reason}")]
    Amount {
        /// `accounts.fund` or `accounts.special.credit_limit`.
        key: &'static str,
        /// What stands there.
        text: String,
        /// The account.
        account: String,
        /// What is wrong with it.
        reason: AmountError,
    },
}

impl AccountPlan {
    /// Reads the file once and plans its accounts. Rows that are refused name no account.
    ///
    /// # Errors
    /// When the file can't be read to its end, or an amount of the mapping fits no currency.
    pub fn of_file(file: &CsvFile, mapping: &Mapping) -> Result<Self, PlanError> {
        let mut gathered = Gathered::default();
        for row in file.rows()? {
            match row {
                Ok(row) => gathered.add(&row),
                Err(ReadError::Row(_)) => {}
                Err(ReadError::File(error)) => return Err(error.into()),
            }
        }
        let mut accounts = gathered.accounts;
        for account in &mut accounts {
            apply_rules(account, &mapping.accounts)?;
        }
        Ok(Self { accounts, namespace: mapping.namespace(), rules: mapping.accounts.clone() })
    }

    /// The currencies of accounts that start with something.
    #[must_use]
    pub fn funded_currencies(&self) -> Vec<Currency> {
        let funded = self.accounts.iter().filter(|account| account.fund > Amount::ZERO);
        let mut currencies: Vec<Currency> = funded.map(|account| account.currency).collect();
        currencies.sort_by_key(|currency| currency.ledger);
        currencies.dedup();
        currencies
    }
}

/// Accounts as the rows name them; `fund` is what the rows make an account pay.
#[derive(Default)]
struct Gathered {
    accounts: Vec<PlannedAccount>,
    positions: HashMap<AccountId, usize>,
}

impl Gathered {
    fn add(&mut self, row: &Row) {
        let Some(currency) = row.currency else { return };
        let operation = row.payment.operation;
        let moves_fresh_money =
            operation == Operation::Pay as i32 || operation == Operation::Authorize as i32;
        if let Some(text) = &row.debit {
            let payer = self.account(AccountId(row.payment.debit_account_id), text, currency);
            payer.is_payer = true;
            if moves_fresh_money && row.amount != Amount::ALL {
                payer.fund = Amount(payer.fund.0.saturating_add(row.amount.0));
            }
        }
        if let Some(text) = &row.credit {
            self.account(AccountId(row.payment.credit_account_id), text, currency);
        }
    }

    fn account(&mut self, id: AccountId, text: &str, currency: Currency) -> &mut PlannedAccount {
        let position = match self.positions.entry(id) {
            Entry::Occupied(occupied) => *occupied.get(),
            Entry::Vacant(vacant) => {
                self.accounts.push(PlannedAccount {
                    id,
                    text: text.to_owned(),
                    currency,
                    is_payer: false,
                    fund: Amount::ZERO,
                    credit_limit: Amount::ZERO,
                    state: SpecialState::Open,
                });
                *vacant.insert(self.accounts.len() - 1)
            }
        };
        &mut self.accounts[position]
    }
}

fn apply_rules(account: &mut PlannedAccount, rules: &AccountRules) -> Result<(), PlanError> {
    let special = rules.special.iter().find(|special| is_for(special, account));
    account.state = special.map_or(SpecialState::Open, |special| special.state);
    let own = special.and_then(|special| special.fund.as_ref());
    let of_payers = account.is_payer.then_some(&rules.fund);
    account.fund = match (account.state, own.or(of_payers)) {
        // Only an empty account can be closed, and a missing one can't be funded.
        (SpecialState::Closed | SpecialState::Missing, _) | (_, None) => Amount::ZERO,
        (_, Some(Funding::AsNeeded)) => account.fund,
        (_, Some(Funding::Fixed(text))) => amount("accounts.fund", text, account)?,
    };
    if let Some(text) = special.and_then(|special| special.credit_limit.as_ref()) {
        account.credit_limit = amount("accounts.special.credit_limit", text, account)?;
    }
    Ok(())
}

fn is_for(special: &SpecialAccount, account: &PlannedAccount) -> bool {
    let currency = special.currency.as_deref();
    special.account == account.text && currency.is_none_or(|code| code == account.currency.code)
}

fn amount(key: &'static str, text: &str, account: &PlannedAccount) -> Result<Amount, PlanError> {
    account.currency.parse(text).map_err(|reason| PlanError::Amount {
        key,
        text: text.to_owned(),
        account: account.text.clone(),
        reason,
    })
}
