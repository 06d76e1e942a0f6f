//! Money that queries see. It leaves as text, exactly.

use async_graphql::SimpleObject;
use millrace_ledger::{Balances as LedgerBalances, Currency, LedgerId, Sum};

use super::read::LedgerConservation;

/// An amount of money.
#[derive(SimpleObject)]
pub(super) struct Money {
    /// Minor units (haler, cent, yen), as decimal text: it may exceed what JSON numbers hold.
    minor: String,
    /// Decimal text with all digits of the currency.
    amount: String,
    /// Three letters of ISO 4217, or the ledger's number where ISO 4217 does not know it.
    currency: String,
    /// Digits after the decimal point; 0 where ISO 4217 does not know the ledger.
    exponent: u8,
}

impl Money {
    /// Of an amount, or of a sum of them.
    pub(super) fn new(ledger: LedgerId, minor: impl Into<Sum>) -> Self {
        let minor = minor.into();
        let currency = Currency::of_ledger(ledger);
        Self {
            minor: minor.to_string(),
            amount: currency.map_or_else(|| minor.to_string(), |known| known.format_sum(minor)),
            currency: currency.map_or_else(|| ledger.0.to_string(), |known| known.code.to_owned()),
            exponent: currency.map_or(0, |known| known.exponent),
        }
    }
}

/// The four counters of an account. Posted counters only grow.
#[derive(SimpleObject)]
pub(super) struct Balances {
    /// Debits that holds reserve.
    debits_pending: Money,
    /// Debits that happened.
    debits_posted: Money,
    /// Credits that holds announce. They are not yet funds.
    credits_pending: Money,
    /// Credits that happened.
    credits_posted: Money,
}

impl Balances {
    pub(super) fn new(ledger: LedgerId, balances: &LedgerBalances) -> Self {
        Self {
            debits_pending: Money::new(ledger, balances.debits_pending),
            debits_posted: Money::new(ledger, balances.debits_posted),
            credits_pending: Money::new(ledger, balances.credits_pending),
            credits_posted: Money::new(ledger, balances.credits_posted),
        }
    }
}

/// Sums over all accounts of a ledger.
#[derive(SimpleObject)]
pub(super) struct Conservation {
    /// The currency's ISO 4217 number.
    ledger: u32,
    /// Posted debits.
    debits_posted: Money,
    /// Posted credits.
    credits_posted: Money,
    /// Reserved debits.
    debits_pending: Money,
    /// Announced credits.
    credits_pending: Money,
    /// Whether debits equal credits, posted and pending.
    holds: bool,
}

impl From<LedgerConservation> for Conservation {
    fn from(LedgerConservation { ledger, sums }: LedgerConservation) -> Self {
        Self {
            ledger: ledger.0,
            debits_posted: Money::new(ledger, sums.debits_posted),
            credits_posted: Money::new(ledger, sums.credits_posted),
            debits_pending: Money::new(ledger, sums.debits_pending),
            credits_pending: Money::new(ledger, sums.credits_pending),
            holds: sums.balanced(),
        }
    }
}
