//! The `[accounts]` section: how `demo` opens and funds the accounts that a file names.

use millrace_protos::v1::AccountFlag;
use serde::Deserialize;

/// How accounts are opened. An account that pays at least once is a payer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountRules {
    /// Flags of payers.
    pub payer_flags: Vec<FlagName>,
    /// Flags of accounts that only receive.
    pub payee_flags: Vec<FlagName>,
    /// Place of payers in the chart of accounts.
    pub payer_code: u16,
    /// Place of accounts that only receive.
    pub payee_code: u16,
    /// Place of the accounts from which opening balances come.
    pub funding_code: u16,
    /// What payers start with.
    pub fund: Funding,
    /// Accounts that differ.
    pub special: Vec<SpecialAccount>,
}

impl Default for AccountRules {
    fn default() -> Self {
        Self {
            payer_flags: vec![FlagName::DebitsMustNotExceedCredits],
            payee_flags: Vec::new(),
            payer_code: 1,
            payee_code: 2,
            funding_code: 3,
            fund: Funding::AsNeeded,
            special: Vec::new(),
        }
    }
}

/// An account flag as a mapping writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlagName {
    /// No overdraft.
    DebitsMustNotExceedCredits,
    /// The mirror of it.
    CreditsMustNotExceedDebits,
    /// Keeps its balance after every event.
    KeepsHistory,
}

impl FlagName {
    pub(crate) fn on_wire(self) -> AccountFlag {
        match self {
            Self::DebitsMustNotExceedCredits => AccountFlag::DebitsMustNotExceedCredits,
            Self::CreditsMustNotExceedDebits => AccountFlag::CreditsMustNotExceedDebits,
            Self::KeepsHistory => AccountFlag::KeepsHistory,
        }
    }
}

/// What an account starts with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Funding {
    /// The sum of what the file makes it pay or hold.
    AsNeeded,
    /// Decimal text in the account's currency; `0` opens it empty.
    Fixed(String),
}

impl From<String> for Funding {
    fn from(text: String) -> Self {
        match text.as_str() {
            "as-needed" => Self::AsNeeded,
            _ => Self::Fixed(text),
        }
    }
}

/// An account that differs from the rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecialAccount {
    /// Its text, as the debit or credit template fills it in.
    pub account: String,
    /// Only the account of this currency; left out, all accounts of the text.
    pub currency: Option<String>,
    /// What becomes of it before the payments come.
    #[serde(default)]
    pub state: SpecialState,
    /// What it starts with; left out, what the rules say.
    pub fund: Option<Funding>,
    /// Overdraft allowed, as decimal text in the account's currency.
    pub credit_limit: Option<String>,
}

/// What becomes of a special account before the payments come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecialState {
    /// Nothing.
    #[default]
    Open,
    /// It is funded, then frozen.
    Frozen,
    /// It is opened empty, then closed.
    Closed,
    /// It is never opened.
    Missing,
}
