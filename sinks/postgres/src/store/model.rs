//! The store as a read model.

use millrace_ledger::{AccountId, EventSeq, PaymentId};
use millrace_sinks::graphql::{
    AccountView, HistoryRow, LedgerConservation, PaymentView, TimedOutHold,
    model::{
        AccountPage, AppliedPlace, AsOf, BalancesAt, Entity, HoldQuery, PageQuery, PaymentQuery,
        ReadModel, Reading, Slice, TimeRange, Total, TotalsQuery,
    },
};
use tokio::sync::watch;

use super::{PostgresStore, accounts, history, payments, read_place, totals};

impl ReadModel for PostgresStore {
    fn watch(&self) -> watch::Receiver<AppliedPlace> {
        self.applied.watch()
    }

    fn last_change(&self, entity: Entity) -> EventSeq {
        self.applied.last_change(entity)
    }

    fn place(&self) -> AppliedPlace {
        self.applied.place()
    }

    fn applied(&self) -> Reading<'_, AppliedPlace> {
        Box::pin(async { Ok(read_place(&self.reads).await?.applied()) })
    }

    fn payments_by_id(&self, ids: Vec<PaymentId>) -> Reading<'_, Vec<Option<PaymentView>>> {
        Box::pin(payments::by_id(&self.reads, ids))
    }

    fn payments(&self, query: PaymentQuery) -> Reading<'_, Slice<PaymentView>> {
        Box::pin(payments::list(&self.reads, query, self.applied.place().seq))
    }

    fn refunds(&self, original: PaymentId, page: PageQuery) -> Reading<'_, Slice<PaymentView>> {
        Box::pin(payments::refunds(&self.reads, original, page))
    }

    fn accounts_by_id(&self, ids: Vec<AccountId>) -> Reading<'_, Vec<Option<AccountView>>> {
        Box::pin(accounts::by_id(&self.reads, ids))
    }

    fn accounts(&self, page: AccountPage) -> Reading<'_, Slice<AccountView>> {
        Box::pin(accounts::list(&self.reads, page))
    }

    fn balances_at(&self, account: AccountId, at: AsOf) -> Reading<'_, Option<BalancesAt>> {
        Box::pin(history::at(&self.reads, account, at))
    }

    fn balance_history(
        &self,
        account: AccountId,
        range: TimeRange,
        page: PageQuery,
    ) -> Reading<'_, Slice<HistoryRow>> {
        Box::pin(history::list(&self.reads, account, range, page))
    }

    fn holds(&self, query: HoldQuery) -> Reading<'_, Slice<PaymentView>> {
        Box::pin(payments::holds(&self.reads, query))
    }

    fn timed_out_holds(
        &self,
        account: Option<AccountId>,
        page: PageQuery,
    ) -> Reading<'_, Slice<TimedOutHold>> {
        Box::pin(payments::timed_out(&self.reads, account, page))
    }

    fn totals(&self, query: TotalsQuery) -> Reading<'_, Vec<Total>> {
        Box::pin(totals::list(&self.reads, query))
    }

    fn conservation(&self) -> Reading<'_, Vec<LedgerConservation>> {
        Box::pin(accounts::conservation(&self.reads))
    }
}
