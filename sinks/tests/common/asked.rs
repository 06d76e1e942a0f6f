//! A read model that is watched: consumes what another one is asked, produces its answers and a count
//! of the questions; look-ups of payments by their ids may be kept waiting for ever.

#![allow(dead_code)] // every test file uses a part of it

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future;
use millrace_ledger::{AccountId, PaymentId};
use millrace_sinks::graphql::{
    AccountView, HistoryRow, LedgerConservation, PaymentView, ReadModel, TimedOutHold, model::*,
};
use tokio::sync::watch;

/// Another model, and how it is asked.
pub(crate) struct Asked {
    model: Arc<dyn ReadModel>,
    questions: Arc<AtomicUsize>,
    hangs: bool,
}

impl Asked {
    /// The model, and how often it was asked.
    pub(crate) fn counted(model: Arc<dyn ReadModel>) -> (Arc<Self>, Arc<AtomicUsize>) {
        let questions = Arc::new(AtomicUsize::new(0));
        let asked = Self { model, questions: Arc::clone(&questions), hangs: false };
        (Arc::new(asked), questions)
    }

    /// The model; payments that are looked up by their ids never come.
    pub(crate) fn hanging(model: Arc<dyn ReadModel>) -> Arc<Self> {
        Arc::new(Self { model, questions: Arc::default(), hangs: true })
    }

    fn asked(&self) -> &dyn ReadModel {
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.model.as_ref()
    }
}

impl ReadModel for Asked {
    fn watch(&self) -> watch::Receiver<AppliedPlace> {
        self.model.watch()
    }
    fn applied(&self) -> Reading<'_, AppliedPlace> {
        self.asked().applied()
    }
    fn payments_by_id(&self, ids: Vec<PaymentId>) -> Reading<'_, Vec<Option<PaymentView>>> {
        if self.hangs {
            return Box::pin(future::pending());
        }
        self.asked().payments_by_id(ids)
    }
    fn payments(&self, query: PaymentQuery) -> Reading<'_, Slice<PaymentView>> {
        self.asked().payments(query)
    }
    fn refunds(&self, original: PaymentId, page: PageQuery) -> Reading<'_, Slice<PaymentView>> {
        self.asked().refunds(original, page)
    }
    fn accounts_by_id(&self, ids: Vec<AccountId>) -> Reading<'_, Vec<Option<AccountView>>> {
        self.asked().accounts_by_id(ids)
    }
    fn accounts(&self, page: AccountPage) -> Reading<'_, Slice<AccountView>> {
        self.asked().accounts(page)
    }
    fn balances_at(&self, account: AccountId, at: AsOf) -> Reading<'_, Option<BalancesAt>> {
        self.asked().balances_at(account, at)
    }
    fn balance_history(
        &self,
        account: AccountId,
        range: TimeRange,
        page: PageQuery,
    ) -> Reading<'_, Slice<HistoryRow>> {
        self.asked().balance_history(account, range, page)
    }
    fn holds(&self, query: HoldQuery) -> Reading<'_, Slice<PaymentView>> {
        self.asked().holds(query)
    }
    fn timed_out_holds(
        &self,
        account: Option<AccountId>,
        page: PageQuery,
    ) -> Reading<'_, Slice<TimedOutHold>> {
        self.asked().timed_out_holds(account, page)
    }
    fn totals(&self, query: TotalsQuery) -> Reading<'_, Vec<Total>> {
        self.asked().totals(query)
    }
    fn conservation(&self) -> Reading<'_, Vec<LedgerConservation>> {
        self.asked().conservation()
    }
}
