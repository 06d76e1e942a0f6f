//! The lists of the ledger: consumes arguments, produces connections of payments, holds and
//! balances.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Result};
use millrace_ledger::{
    AccountId, AccountSpec, EventSeq, LedgerId, Operation, PaymentId, RejectReason,
};

use super::{
    connection::{Connection, connection},
    enums::{ListOrder, PaymentStatus, RiskDecision},
    error::malformed,
    history_object::BalanceEntry,
    history_row::HistoryRow,
    model::{HoldQuery, Order, PageQuery, PaymentQuery, Slice, TimeRange},
    paging::{self, Of, Paging, time},
    payment_object::Payment,
    read::PaymentView,
    reader::read,
};

/// Which payments: those that pass all that is set.
#[derive(InputObject, Default)]
pub(super) struct PaymentFilter {
    /// Exactly this reference, as it stands in the payment's context.
    reference: Option<String>,
    /// RFC 3339: decided then or later.
    from_time: Option<String>,
    /// RFC 3339: decided before.
    to_time: Option<String>,
    /// What became of them.
    status: Option<PaymentStatus>,
    /// Refused for this: a name of millrace.v1.RejectReason without the prefix.
    reject_reason: Option<String>,
    /// In this ledger: the currency's ISO 4217 number.
    ledger: Option<u32>,
    /// At least so many minor units, as decimal text, of what moved, was reserved or was released;
    /// that is 0 of refused ones.
    amount_min: Option<String>,
    /// At most so many.
    amount_max: Option<String>,
    /// What risk said.
    risk_decision: Option<RiskDecision>,
}

impl PaymentFilter {
    fn query(
        self,
        account: Option<AccountId>,
        order: Option<ListOrder>,
        page: PageQuery,
    ) -> Result<PaymentQuery> {
        let minor = |name: &str, text: Option<String>| {
            let parse = |text: String| {
                text.parse().map_err(|_| malformed(name, &text, "a count of minor units"))
            };
            text.map(parse).transpose()
        };
        Ok(PaymentQuery {
            page,
            order: order.map_or(Order::NewestFirst, Order::from),
            account,
            reference: self.reference,
            from_time: time(self.from_time)?,
            to_time: time(self.to_time)?,
            status: self.status.map(Into::into),
            reject_reason: self.reject_reason.as_deref().map(reject_reason).transpose()?,
            ledger: self.ledger.map(LedgerId),
            amount_min: minor("amountMin", self.amount_min)?,
            amount_max: minor("amountMax", self.amount_max)?,
            risk_decision: self.risk_decision.map(Into::into),
        })
    }
}

fn reject_reason(name: &str) -> Result<RejectReason> {
    let found = RejectReason::ALL.iter().find(|reason| reason.upper_snake_name() == name);
    found.copied().ok_or_else(|| malformed("rejectReason", name, "a reject reason"))
}

/// A position that an argument names.
pub(super) fn seq(argument: &str, text: &str) -> Result<EventSeq> {
    let seq = text.parse().map(EventSeq);
    seq.map_err(|_| malformed(argument, text, "the position of an event"))
}

pub(super) async fn payments(
    ctx: &Context<'_>,
    account: Option<AccountId>,
    filter: PaymentFilter,
    order: Option<ListOrder>,
    page: Paging,
) -> Result<Connection<Payment>> {
    let query = filter.query(account, order, page.of_events()?)?;
    Ok(payment_connection(read(ctx, |model| model.payments(query)).await?))
}

pub(super) async fn holds(
    ctx: &Context<'_>,
    account: Option<AccountId>,
    order: Option<ListOrder>,
    page: Paging,
) -> Result<Connection<Payment>> {
    let order = order.map_or(Order::NewestFirst, Order::from);
    let query = HoldQuery { page: page.of_events()?, order, account };
    Ok(payment_connection(read(ctx, |model| model.holds(query)).await?))
}

pub(super) async fn follow_ups(
    ctx: &Context<'_>,
    original: PaymentId,
    page: Paging,
) -> Result<Connection<Payment>> {
    let page = page.of_events()?;
    Ok(payment_connection(read(ctx, |model| model.refunds(original, page)).await?))
}

pub(super) async fn refunds(ctx: &Context<'_>, original: PaymentId) -> Result<Vec<Payment>> {
    let page = PageQuery::first(paging::FIRST_MAX as usize);
    let found = read(ctx, |model| model.refunds(original, page)).await?.items;
    let accepted = found.into_iter().filter(|view| {
        view.event.payment.operation == Operation::Refund && view.event.outcome.is_accepted()
    });
    Ok(accepted.map(|view| Payment(Arc::new(view))).collect())
}

fn payment_connection(slice: Slice<PaymentView>) -> Connection<Payment> {
    let place = |view: &PaymentView| u128::from(view.event.seq.0);
    connection(slice, Of::Events, place, |view| Payment(Arc::new(view)))
}

/// The part of an account's history that a query asks for.
pub(super) struct HistoryArguments {
    pub(super) page: Paging,
    pub(super) from_time: Option<String>,
    pub(super) to_time: Option<String>,
}

pub(super) async fn balance_history(
    ctx: &Context<'_>,
    account: &AccountSpec,
    arguments: HistoryArguments,
) -> Result<Connection<BalanceEntry>> {
    let page = arguments.page.of_events()?;
    let range = TimeRange { from: time(arguments.from_time)?, to: time(arguments.to_time)? };
    let (id, ledger) = (account.id, account.ledger);
    let found = read(ctx, |model| model.balance_history(id, range, page)).await?;
    let place = |row: &HistoryRow| u128::from(row.seq.0);
    Ok(connection(found, Of::Events, place, |row| BalanceEntry { ledger, row }))
}
