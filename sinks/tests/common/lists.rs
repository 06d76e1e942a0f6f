//! Lists of the embedded store, newest first: consumes a store, produces what stands before a place.

#![allow(dead_code)] // every test file uses a part of it

use millrace_ledger::{AccountId, EventSeq};
use millrace_sinks::{
    ReadStore,
    graphql::{
        HistoryRow, PaymentView, ReadError, TimedOutHold,
        model::{PageQuery, PaymentQuery, TimeRange},
    },
};

/// What is older than a place.
pub(crate) fn older(than: Option<EventSeq>, limit: usize) -> PageQuery {
    PageQuery { after: than, ..PageQuery::first(limit) }
}

pub(crate) fn payments(
    store: &ReadStore,
    account: Option<AccountId>,
    than: Option<EventSeq>,
    limit: usize,
) -> Result<Vec<PaymentView>, ReadError> {
    let query = PaymentQuery { account, ..PaymentQuery::all(older(than, limit)) };
    Ok(store.payments(&query)?.items)
}

pub(crate) fn history(
    store: &ReadStore,
    account: AccountId,
    range: TimeRange,
    than: Option<EventSeq>,
    limit: usize,
) -> Result<Vec<HistoryRow>, ReadError> {
    Ok(store.balance_history(account, range, older(than, limit))?.items)
}

pub(crate) fn timed_out(
    store: &ReadStore,
    account: Option<AccountId>,
    than: Option<EventSeq>,
    limit: usize,
) -> Result<Vec<TimedOutHold>, ReadError> {
    Ok(store.timed_out_holds(account, older(than, limit))?.items)
}
