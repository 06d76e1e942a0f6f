//! An account that queries see: turns a view of the store into a GraphQL object.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};
use millrace_ledger::{AccountFlags, Currency};
use uuid::Uuid;

use super::{
    connection::Connection,
    enums::{AccountFlag, AccountState, ListOrder},
    error::coded,
    history_object::{BalanceEntry, HistoricBalances},
    lists::{self, HistoryArguments, PaymentFilter},
    model::AsOf,
    money::{Balances, Money},
    paging::{Paging, page_complexity, time},
    payment_object::{Payment, uuid},
    read::AccountView,
    reader::read,
};
use crate::text::rfc3339;

pub(super) struct Account(pub(super) Arc<AccountView>);

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

    /// Its balances as they were, right after an event or at a time; null where it was not open
    /// yet. Give one of the two.
    #[graphql(complexity = "5 + child_complexity")]
    async fn balances_as_of(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Position of an event, as decimal text.")] seq: Option<String>,
        #[graphql(desc = "RFC 3339: after all events up to then.")] at: Option<String>,
    ) -> Result<Option<HistoricBalances>> {
        let at = match (seq, time(at)?) {
            (Some(seq), None) => AsOf::Seq(lists::seq("seq", &seq)?),
            (None, Some(at)) => AsOf::Time(at),
            _ => return Err(coded("give seq or at, one of the two", "AS_OF_AMBIGUOUS")),
        };
        let account = self.0.account.spec.id;
        let found = read(ctx, |model| model.balances_at(account, at)).await?;
        Ok(found.map(HistoricBalances))
    }

    /// Its payments, debits and credits, accepted and refused.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "they are arguments of the API")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that pass all that is set.")] filter: Option<PaymentFilter>,
        #[graphql(desc = "NEWEST_FIRST unless told.")] order: Option<ListOrder>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it in this order.")] after: Option<
            String,
        >,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it in this order.")] before: Option<
            String,
        >,
    ) -> Result<Connection<Payment>> {
        let page = Paging { first, after, last, before };
        let account = Some(self.0.account.spec.id);
        lists::payments(ctx, account, filter.unwrap_or_default(), order, page).await
    }

    /// Holds on it of which something is left, on either side.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn open_holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "NEWEST_FIRST unless told.")] order: Option<ListOrder>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it in this order.")] after: Option<
            String,
        >,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it in this order.")] before: Option<
            String,
        >,
    ) -> Result<Connection<Payment>> {
        let page = Paging { first, after, last, before };
        lists::holds(ctx, Some(self.0.account.spec.id), order, page).await
    }

    /// Its balances after each event that changed them, newest first. Null where the account does
    /// not keep them: ask for it when it is opened, with the flag KEEPS_HISTORY. Balances as of any
    /// event are known of every account: see balancesAsOf.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "they are arguments of the API")]
    async fn balance_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the newest; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what is older.")] after: Option<String>,
        #[graphql(desc = "At most so many from the oldest, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what is newer.")] before: Option<String>,
        #[graphql(desc = "RFC 3339: only what happened then or later.")] from_time: Option<String>,
        #[graphql(desc = "RFC 3339: only what happened before.")] to_time: Option<String>,
    ) -> Result<Option<Connection<BalanceEntry>>> {
        let account = &self.0.account.spec;
        if !account.flags.has(AccountFlags::KEEPS_HISTORY) {
            return Ok(None);
        }
        let page = Paging { first, after, last, before };
        let arguments = HistoryArguments { page, from_time, to_time };
        lists::balance_history(ctx, account, arguments).await.map(Some)
    }
}
