//! What happened over time, as queries see it: turns rows of an account's history and holds that
//! timed out into GraphQL objects.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};
use millrace_ledger::LedgerId;
use uuid::Uuid;

use super::{
    enums::BalanceChange,
    history_row::HistoryRow,
    model::BalancesAt,
    money::{Balances, Money},
    payment_object::{self, Payment, uuid},
    read_history::TimedOutHold as TimedOutHoldView,
};
use crate::text::rfc3339;

pub(super) struct BalanceEntry {
    pub(super) ledger: LedgerId,
    pub(super) row: HistoryRow,
}

/// The balances of an account right after an event that changed them.
#[Object]
impl BalanceEntry {
    /// Position of the event in the journal, as decimal text.
    async fn seq(&self) -> String {
        self.row.seq.to_string()
    }

    /// Time of its batch. RFC 3339, UTC.
    async fn time(&self) -> String {
        rfc3339(self.row.time)
    }

    /// What changed them.
    async fn change(&self) -> BalanceChange {
        self.row.change.into()
    }

    /// Id of the payment that changed them; of the hold, where it expired.
    async fn payment_id(&self) -> Uuid {
        Uuid::from_u128(self.row.payment.0)
    }

    /// The payment that changed them, as it stands now.
    #[graphql(complexity = "5 + child_complexity")]
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        payment_object::payment(ctx, self.row.payment).await
    }

    /// The four counters after the event.
    async fn balances(&self) -> Balances {
        Balances::new(self.ledger, &self.row.balances)
    }
}

pub(super) struct TimedOutHold(pub(super) Box<TimedOutHoldView>);

/// A hold whose time-out released what was left of it.
#[Object]
impl TimedOutHold {
    /// Position of the expiry in the journal, as decimal text.
    pub(super) async fn seq(&self) -> String {
        self.0.seq.to_string()
    }

    /// Time of the expiry's batch. RFC 3339, UTC.
    pub(super) async fn time(&self) -> String {
        rfc3339(self.0.time)
    }

    /// Id of the hold.
    async fn hold_id(&self) -> Uuid {
        Uuid::from_u128(self.0.hold.event.payment.id.0)
    }

    /// The hold as it stands now.
    async fn hold(&self) -> Payment {
        Payment(Arc::new(self.0.hold.clone()))
    }

    /// Id of the account that would have paid.
    async fn debit_account_id(&self) -> Option<Uuid> {
        uuid(self.0.hold.event.payment.debit.0)
    }

    /// Id of the account that would have received.
    async fn credit_account_id(&self) -> Option<Uuid> {
        uuid(self.0.hold.event.payment.credit.0)
    }

    /// What the time-out released: all that was not captured.
    async fn released_amount(&self) -> Money {
        Money::new(self.0.hold.event.payment.ledger, self.0.released)
    }
}

pub(super) struct HistoricBalances(pub(super) BalancesAt);

/// The balances of an account as they were.
#[Object]
impl HistoricBalances {
    /// The four counters.
    async fn balances(&self) -> Balances {
        Balances::new(self.0.ledger, &self.0.balances)
    }

    /// Position of the last event until then that changed them, as decimal text.
    async fn changed_at_seq(&self) -> String {
        self.0.changed_at.to_string()
    }

    /// Time of that event's batch. RFC 3339, UTC.
    async fn changed_time(&self) -> String {
        rfc3339(self.0.changed_time)
    }
}
