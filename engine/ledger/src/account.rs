//! Accounts: what opens one, what it holds, and what an administrator may change.

use crate::{AccountId, Amount, Code, LedgerId, OwnerId};

/// What an account may and may not do, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccountFlags(pub u8);

impl AccountFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Debits, pending ones included, may not exceed posted credits plus the credit limit.
    pub const DEBITS_MUST_NOT_EXCEED_CREDITS: Self = Self(1);
    /// The mirror of it, for debit-normal accounts.
    pub const CREDITS_MUST_NOT_EXCEED_DEBITS: Self = Self(2);
    /// Keeps its balance after every event.
    pub const KEEPS_HISTORY: Self = Self(4);

    /// Whether all flags of `other` are set.
    #[must_use]
    #[inline]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one side of the account is limited.
    #[must_use]
    #[inline]
    pub fn limits(self) -> bool {
        self.0 & 3 != 0
    }
}

/// An account to open. Ids and codes are checked by [`crate::Ledger::create_account`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountSpec {
    /// Neither zero nor [`AccountId::MAX`].
    pub id: AccountId,
    /// The currency.
    pub ledger: LedgerId,
    /// Place in the chart of accounts.
    pub code: Code,
    /// Whose account it is, in an installation that serves several.
    pub tenant: u32,
    /// Who owns it; zero when nobody is named.
    pub owner: OwnerId,
    /// What it may and may not do.
    pub flags: AccountFlags,
    /// Overdraft allowed on the limited side, in minor units.
    pub credit_limit: Amount,
    /// Found by the front door: a reason of the envelope or static family to refuse with.
    pub defect: Option<AccountRejectReason>,
}

/// Where an account is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AccountState {
    /// Everything its flags allow.
    #[default]
    Open = 1,
    /// Holds can be voided and expire, refunds may come in; nothing else moves.
    Frozen = 2,
    /// Nothing moves.
    Closed = 3,
}

/// The four counters of an account, in minor units. Posted counters only grow.
///
/// Invariant: pending plus posted fits 128 bits on each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// Debits that holds reserve.
    pub debits_pending: u128,
    /// Debits that happened.
    pub debits_posted: u128,
    /// Credits that holds announce. They are not yet funds.
    pub credits_pending: u128,
    /// Credits that happened.
    pub credits_posted: u128,
}

/// An account as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// What opened it; `credit_limit` is today's.
    pub spec: AccountSpec,
    /// Where it is in its life.
    pub state: AccountState,
    /// Its four counters.
    pub balances: Balances,
}

/// An administrative change, ordered with the payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// Stop all but releases and incoming refunds.
    Freeze,
    /// Open a frozen or closed account again.
    Reopen,
    /// Close an account that holds nothing.
    Close,
    /// Allow an overdraft of so many minor units on the limited side.
    SetCreditLimit(Amount),
}

/// What became of an account command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountOutcome {
    /// The account was opened.
    Created,
    /// The account was changed.
    Updated,
    /// The account was already as asked; nothing happened.
    Unchanged,
    /// Nothing happened, for this reason.
    Rejected(AccountRejectReason),
}

/// Why an account could not be created or changed, in the order in which the reasons are checked.
/// The numbers are those of `millrace.v1.AccountRejectReason`.
#[allow(missing_docs)] // each name says it
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum AccountRejectReason {
    FlagUnknown = 1,
    AccountIdMalformed = 2,
    AccountIdZero = 3,
    AccountIdMax = 4,
    OwnerIdMalformed = 5,
    ChangeMissing = 6,
    ExistsLedgerDiffers = 10,
    ExistsCodeDiffers = 11,
    ExistsTenantDiffers = 12,
    ExistsOwnerDiffers = 13,
    ExistsFlagsDiffer = 14,
    FlagsExclusive = 20,
    LedgerZero = 21,
    LedgerUnknown = 22,
    CodeZero = 23,
    CodeTooLarge = 24,
    CreditLimitWithoutFlag = 25,
    AccountUnknown = 30,
    AccountClosed = 31,
    AccountNotEmpty = 32,
}
