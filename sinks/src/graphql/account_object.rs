//! An account that queries see: turns a view of the store into a GraphQL object.

use async_graphql::{Context, Object, Result};
use millrace_ledger::{AccountFlags, Currency};
use uuid::Uuid;

use super::{
    enums::{AccountFlag, AccountState},
    money::{Balances, Money},
    payment_object::uuid,
    read::AccountView,
    schema::{self, BalanceConnection, HistoryArguments, PaymentConnection},
};
use crate::text::rfc3339;

pub(super) struct Account(pub(super) AccountView);

/// An account as it stands.
#[Object]
impl Account {
    /// Its id.
    async fn id(&self) -> Uuid {
        Uuid::from_u128(self.0.account.spec.id.0)
    }

    /// The ledger: the currency's ISO 4217 number.
    async fn ledger(&self) -> u32 {
        self.0.account.spec.ledger.0
    }

    /// Three letters of ISO 4217; null where it does not know the ledger.
    async fn currency(&self) -> Option<&'static str> {
        Currency::of_ledger(self.0.account.spec.ledger).map(|currency| currency.code)
    }

    /// Place in the chart of accounts.
    async fn code(&self) -> u16 {
        self.0.account.spec.code.0
    }

    /// Whose account it is, in an installation that serves several.
    async fn tenant(&self) -> u32 {
        self.0.account.spec.tenant
    }

    /// Who owns it.
    async fn owner_id(&self) -> Option<Uuid> {
        uuid(self.0.account.spec.owner.0)
    }

    /// Where it is in its life.
    async fn state(&self) -> AccountState {
        self.0.account.state.into()
    }

    /// What it may and may not do.
    async fn flags(&self) -> Vec<AccountFlag> {
        AccountFlag::of(self.0.account.spec.flags)
    }

    /// Overdraft allowed on the limited side.
    async fn credit_limit(&self) -> Money {
        Money::new(self.0.account.spec.ledger, self.0.account.spec.credit_limit.0)
    }

    /// Its four counters.
    async fn balances(&self) -> Balances {
        Balances::new(self.0.account.spec.ledger, &self.0.account.balances)
    }

    /// Position of the event after which the balances hold, as decimal text.
    async fn balances_at_seq(&self) -> String {
        self.0.balances_at.to_string()
    }

    /// Position of the event that opened it, as decimal text.
    async fn opened_at_seq(&self) -> String {
        self.0.opened_at.to_string()
    }

    /// When it was opened. RFC 3339, UTC.
    async fn opened_time(&self) -> String {
        rfc3339(self.0.opened_time)
    }

    /// Its payments, debits and credits, newest first.
    #[graphql(complexity = "schema::page_complexity(first, child_complexity)")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A cursor: only what is older.")] after: Option<String>,
        #[graphql(desc = "At most so many; 50 unless told, at most 200.")] first: Option<i32>,
    ) -> Result<PaymentConnection> {
        schema::payments(ctx, Some(self.0.account.spec.id), after, first).await
    }

    /// Its balances after each event that changed them, newest first. Null where the account does
    /// not keep them: ask for it when it is opened, with the flag KEEPS_HISTORY.
    #[graphql(complexity = "schema::page_complexity(first, child_complexity)")]
    async fn balance_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A cursor: only what is older.")] after: Option<String>,
        #[graphql(desc = "At most so many; 50 unless told, at most 200.")] first: Option<i32>,
        #[graphql(desc = "RFC 3339: only what happened then or later.")] from_time: Option<String>,
        #[graphql(desc = "RFC 3339: only what happened before.")] to_time: Option<String>,
    ) -> Result<Option<BalanceConnection>> {
        let account = &self.0.account.spec;
        if !account.flags.has(AccountFlags::KEEPS_HISTORY) {
            return Ok(None);
        }
        let arguments = HistoryArguments { after, first, from_time, to_time };
        schema::balance_history(ctx, account, arguments).await.map(Some)
    }
}
