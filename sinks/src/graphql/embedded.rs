//! The embedded store as a read model: the blocking reads of [`ReadStore`], each on a thread that
//! may block, because the store may have to go to disk.

use millrace_ledger::{AccountId, EventSeq, PaymentId};
use tokio::{sync::watch, task::spawn_blocking};

use super::{
    history_row::HistoryRow,
    model::{
        AccountPage, AppliedPlace, AsOf, BalancesAt, Entity, HoldQuery, PageQuery, PaymentQuery,
        ReadModel, Reading, Slice, TimeRange, Total, TotalsQuery,
    },
    read::{AccountView, LedgerConservation, PaymentView, ReadError, ReadStore},
    read_history::TimedOutHold,
};

impl ReadStore {
    fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
    ) -> Reading<'_, T> {
        let store = self.clone();
        Box::pin(async move {
            let answer = spawn_blocking(move || read(&store)).await;
            answer.unwrap_or_else(|error| Err(ReadError::Failed(error.to_string())))
        })
    }
}

impl ReadModel for ReadStore {
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
        let place = self.applied.place();
        Box::pin(async move { Ok(place) })
    }

    fn payments_by_id(&self, ids: Vec<PaymentId>) -> Reading<'_, Vec<Option<PaymentView>>> {
        self.blocking(move |store| {
            let snapshot = store.tables.snapshot();
            ids.into_iter().map(|id| store.payment_in(&snapshot, id)).collect()
        })
    }

    fn payments(&self, query: PaymentQuery) -> Reading<'_, Slice<PaymentView>> {
        self.blocking(move |store| store.payments(&query))
    }

    fn refunds(&self, original: PaymentId, page: PageQuery) -> Reading<'_, Slice<PaymentView>> {
        self.blocking(move |store| store.refunds(original, page))
    }

    fn accounts_by_id(&self, ids: Vec<AccountId>) -> Reading<'_, Vec<Option<AccountView>>> {
        self.blocking(move |store| {
            let snapshot = store.tables.snapshot();
            ids.into_iter().map(|id| store.account_in(&snapshot, id)).collect()
        })
    }

    fn accounts(&self, page: AccountPage) -> Reading<'_, Slice<AccountView>> {
        self.blocking(move |store| store.accounts(page))
    }

    fn balances_at(&self, account: AccountId, at: AsOf) -> Reading<'_, Option<BalancesAt>> {
        self.blocking(move |store| store.balances_at(account, at))
    }

    fn balance_history(
        &self,
        account: AccountId,
        range: TimeRange,
        page: PageQuery,
    ) -> Reading<'_, Slice<HistoryRow>> {
        self.blocking(move |store| store.balance_history(account, range, page))
    }

    fn holds(&self, query: HoldQuery) -> Reading<'_, Slice<PaymentView>> {
        self.blocking(move |store| store.holds(&query))
    }

    fn timed_out_holds(
        &self,
        account: Option<AccountId>,
        page: PageQuery,
    ) -> Reading<'_, Slice<TimedOutHold>> {
        self.blocking(move |store| store.timed_out_holds(account, page))
    }

    fn totals(&self, query: TotalsQuery) -> Reading<'_, Vec<Total>> {
        self.blocking(move |store| store.totals(&query))
    }

    fn conservation(&self) -> Reading<'_, Vec<LedgerConservation>> {
        self.blocking(Self::conservation)
    }
}
