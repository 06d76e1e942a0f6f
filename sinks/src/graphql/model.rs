//! What queries ask of a read model, whatever store keeps it: consumes ids, filters and pages,
//! produces views. Guarantees that each answer is as of one place in the journal, at least the one
//! that [`ReadModel::place`] showed when the question began.
//!
//! Two stores implement it: [`super::ReadStore`], embedded, and Postgres. One test feeds both the
//! same events and compares every answer, so the words here are exact.
//!
//! # Pages
//!
//! A list has an order, and a page names places in it. [`PageQuery::after`] and
//! [`PageQuery::before`] are meant in the list's own order: in a list with the newest first, what
//! is *after* a position is older. The items of a [`Slice`] stand in the list's order, whichever
//! end the page was counted from. A cursor is the position of an event, so that it stays where it
//! is while events are added.
//!
//! The work for a page is bounded. Filters that no index serves, such as the amount, may let nothing
//! through for a long time: then the page ends early, and [`Slice::stopped_at`] is where.

use futures_util::future::BoxFuture;
use millrace_ledger::{
    AccountId, Balances, EventSeq, LedgerId, PaymentId, RejectReason, RiskDecision, Status, Sum,
    Timestamp,
};
use tokio::sync::watch;

use super::{
    history_row::HistoryRow,
    read::{AccountView, LedgerConservation, PaymentView, ReadError},
    read_history::TimedOutHold,
};
use crate::span::Looked;

/// An answer that is on its way.
pub type Reading<'a, T> = BoxFuture<'a, Result<T, ReadError>>;

/// A store that projects events and answers queries.
pub trait ReadModel: Send + Sync + 'static {
    /// Where the model is, told to whoever waits: changes after every commit that readers see. A
    /// read that begins after the receiver shows a place sees that place, or a later one. Places
    /// never go back.
    fn watch(&self) -> watch::Receiver<AppliedPlace>;

    /// The last event that changed what is read of the entity, or a later one; at most
    /// [`Self::place`]. What was read when `place` was no earlier than this still holds.
    ///
    /// A store that does not know which entities its events changed says that any may have been,
    /// which is what this does.
    fn last_change(&self, entity: Entity) -> EventSeq {
        let _ = entity;
        self.place().seq
    }

    /// Where the model is, without asking the store.
    fn place(&self) -> AppliedPlace {
        *self.watch().borrow()
    }

    /// Where the model is, as the store itself says.
    fn applied(&self) -> Reading<'_, AppliedPlace>;

    /// The payments with these ids, in the order of the ids. `None` where an id is unknown. An id
    /// that a refusal left free shows that refusal until a payment takes it; a refused reuse of an
    /// id never shows.
    fn payments_by_id(&self, ids: Vec<PaymentId>) -> Reading<'_, Vec<Option<PaymentView>>>;

    /// The payments, accepted and refused, that pass all filters. Cursors are positions.
    fn payments(&self, query: PaymentQuery) -> Reading<'_, Slice<PaymentView>>;

    /// Every payment, accepted or refused, that names this one as its original: captures, voids and
    /// refunds. Oldest first.
    fn refunds(&self, original: PaymentId, page: PageQuery) -> Reading<'_, Slice<PaymentView>>;

    /// The accounts with these ids, in the order of the ids. `None` where an id is unknown.
    fn accounts_by_id(&self, ids: Vec<AccountId>) -> Reading<'_, Vec<Option<AccountView>>>;

    /// Accounts in the order of their ids.
    fn accounts(&self, page: AccountPage) -> Reading<'_, Slice<AccountView>>;

    /// The balances of an account as they were. `None` where it was not open yet.
    fn balances_at(&self, account: AccountId, at: AsOf) -> Reading<'_, Option<BalancesAt>>;

    /// Balances of the account after each event that changed them, newest first. Empty where the
    /// account does not keep its history.
    fn balance_history(
        &self,
        account: AccountId,
        range: TimeRange,
        page: PageQuery,
    ) -> Reading<'_, Slice<HistoryRow>>;

    /// Holds of which something is left.
    fn holds(&self, query: HoldQuery) -> Reading<'_, Slice<PaymentView>>;

    /// Holds that timed out, newest expiry first: those of one account, on either side, or all.
    /// Cursors are the positions of the expiries.
    fn timed_out_holds(
        &self,
        account: Option<AccountId>,
        page: PageQuery,
    ) -> Reading<'_, Slice<TimedOutHold>>;

    /// Counts and sums of payments by outcome, in the order of ledger, then start. Groups without a
    /// payment are left out.
    fn totals(&self, query: TotalsQuery) -> Reading<'_, Vec<Total>>;

    /// Sums over all accounts, in the order of the ledgers. Reads every account.
    fn conservation(&self) -> Reading<'_, Vec<LedgerConservation>>;
}

/// A place in the journal: an event, and the time of its batch. Both 0 before the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedPlace {
    /// The last event that queries see.
    pub seq: EventSeq,
    /// Time of its batch.
    pub time: Timestamp,
}

impl Default for AppliedPlace {
    fn default() -> Self {
        Self { seq: EventSeq(0), time: Timestamp(0) }
    }
}

/// Something that is read by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A payment as it stands.
    Payment(PaymentId),
    /// An account as it stands.
    Account(AccountId),
}

/// Which part of a list whose cursors are positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// Only what stands after this one in the list's order.
    pub after: Option<EventSeq>,
    /// Only what stands before this one in the list's order.
    pub before: Option<EventSeq>,
    /// At most so many.
    pub limit: usize,
    /// Of what is left, the last ones instead of the first ones. They are in the list's order all
    /// the same.
    pub from_end: bool,
}

impl PageQuery {
    /// The first ones of a list.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { after: None, before: None, limit, from_end: false }
    }

    /// Makes a page of what was found: up to one item more than [`Self::limit`], in the list's
    /// order, or against it where the page is counted [`Self::from_end`].
    #[must_use]
    pub fn slice<T>(&self, found: Vec<T>) -> Slice<T> {
        self.slice_until(Looked { found, stopped_at: None })
    }

    /// As [`Self::slice`], of a look that may have stopped early.
    #[must_use]
    pub fn slice_until<T>(&self, looked: Looked<T>) -> Slice<T> {
        let bounded = [self.after.is_some(), self.before.is_some()];
        Slice::cut(looked, self.limit, self.from_end, bounded)
    }
}

/// Which accounts, in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountPage {
    /// Only greater ids.
    pub after: Option<AccountId>,
    /// Only lesser ids.
    pub before: Option<AccountId>,
    /// At most so many.
    pub limit: usize,
    /// Of what is left, the last ones instead of the first ones.
    pub from_end: bool,
}

impl AccountPage {
    /// The first ones.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { after: None, before: None, limit, from_end: false }
    }

    /// As [`PageQuery::slice`].
    #[must_use]
    pub fn slice<T>(&self, found: Vec<T>) -> Slice<T> {
        let bounded = [self.after.is_some(), self.before.is_some()];
        Slice::cut(Looked { found, stopped_at: None }, self.limit, self.from_end, bounded)
    }
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Whether to look for more before the first item: the page was counted from its end and there
    /// is more in its range, or it named a place to come after.
    pub more_before: bool,
    /// Whether to look for more after the last item: the page was counted from its start and there
    /// is more in its range, or it named a place to come before.
    pub more_after: bool,
    /// Where the page ended before it was full, because it may look at only so much.
    pub stopped_at: Option<Stop>,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// With a page after this place.
    After(u64),
    /// With a page before this place.
    Before(u64),
}

impl<T> Slice<T> {
    /// Makes a page of what was found: up to one item more than fits, from the end that the page is
    /// counted from. `bounded`: whether it named a place to come after, and one to come before.
    pub(super) fn cut(looked: Looked<T>, limit: usize, from_end: bool, bounded: [bool; 2]) -> Self {
        let Looked { mut found, stopped_at } = looked;
        let stopped_at = stopped_at.filter(|_| found.len() <= limit);
        let stopped_at = stopped_at.map(if from_end { Stop::Before } else { Stop::After });
        let more = found.len() > limit || stopped_at.is_some();
        found.truncate(limit);
        if from_end {
            found.reverse();
        }
        let [more_before, more_after] =
            [bounded[0] || from_end && more, bounded[1] || !from_end && more];
        Self { items: found, more_before, more_after, stopped_at }
    }
}

/// In which order of their events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// What became of a payment, without why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OutcomeKind {
    /// Money moved.
    Settled = 1,
    /// Money is or was reserved.
    Held = 2,
    /// It released a hold.
    Voided = 3,
    /// Nothing moved.
    Rejected = 4,
}

impl From<Status> for OutcomeKind {
    fn from(status: Status) -> Self {
        match status {
            Status::Settled => Self::Settled,
            Status::Held => Self::Held,
            Status::Voided => Self::Voided,
            Status::Rejected(_) => Self::Rejected,
        }
    }
}

/// Which payments; a filter that is `None` lets all pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentQuery {
    /// Which part of the list.
    pub page: PageQuery,
    /// In which order.
    pub order: Order,
    /// Debited or credited. Refused payments count by the accounts that they name.
    pub account: Option<AccountId>,
    /// Exactly this reference in their context. The empty one finds nothing.
    pub reference: Option<String>,
    /// Decided then or later: by the time of their batch.
    pub from_time: Option<Timestamp>,
    /// Decided before.
    pub to_time: Option<Timestamp>,
    /// What became of them.
    pub status: Option<OutcomeKind>,
    /// Refused for this.
    pub reject_reason: Option<RejectReason>,
    /// In this ledger, as the payment names it.
    pub ledger: Option<LedgerId>,
    /// At least so many minor units of [`millrace_ledger::Outcome::amount`]: what moved, was
    /// reserved or was released; 0 where refused.
    pub amount_min: Option<u128>,
    /// At most so many.
    pub amount_max: Option<u128>,
    /// What risk said.
    pub risk_decision: Option<RiskDecision>,
}

impl PaymentQuery {
    /// All payments, newest first.
    #[must_use]
    pub fn all(page: PageQuery) -> Self {
        Self {
            page,
            order: Order::NewestFirst,
            account: None,
            reference: None,
            from_time: None,
            to_time: None,
            status: None,
            reject_reason: None,
            ledger: None,
            amount_min: None,
            amount_max: None,
            risk_decision: None,
        }
    }
}

/// Which open holds. Cursors are the positions at which they began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldQuery {
    /// Which part of the list.
    pub page: PageQuery,
    /// In which order.
    pub order: Order,
    /// That debit or credit this account.
    pub account: Option<AccountId>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Then or later.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
}

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// Right after this event. A later one than the model has is as of the last one that it has.
    Seq(EventSeq),
    /// After all events whose batches have this time or an earlier one.
    Time(Timestamp),
}

/// The balances of an account as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalancesAt {
    /// Its currency.
    pub ledger: LedgerId,
    /// The four counters.
    pub balances: Balances,
    /// The last event, no later than asked for, that changed them: a payment that was accepted, an
    /// expiry, or the opening of the account.
    pub changed_at: EventSeq,
    /// Time of its batch.
    pub changed_time: Timestamp,
}

/// How totals are grouped, within each ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalsBy {
    /// By hour, UTC.
    Hour,
    /// By day, UTC.
    Day,
    /// All hours together.
    Ledger,
}

/// Which totals. They are kept by the hour: an hour counts in full where its start is in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotalsQuery {
    /// Of one ledger, as the payments name it, or of all.
    pub ledger: Option<LedgerId>,
    /// How they are grouped.
    pub by: TotalsBy,
    /// Which hours.
    pub range: TimeRange,
}

/// How many payments, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountAndSum {
    /// Payments.
    pub count: u64,
    /// Minor units of [`millrace_ledger::Outcome::amount`].
    pub minor: Sum,
}

/// Payments of a ledger, in an hour, a day or ever, by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The currency.
    pub ledger: LedgerId,
    /// When the hour or the day begins; `None` where all are together.
    pub start: Option<Timestamp>,
    /// Money moved, captures and refunds included.
    pub settled: CountAndSum,
    /// Money was reserved.
    pub held: CountAndSum,
    /// A hold was released on request.
    pub voided: CountAndSum,
    /// Nothing moved: the sum is 0.
    pub rejected: CountAndSum,
}
