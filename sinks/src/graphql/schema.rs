//! The schema: consumes queries, produces what the store holds, and guarantees that one query
//! reads a bounded number of rows.

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Error, ErrorExtensions as _, Object, OutputType,
    Result, Schema, SimpleObject,
    connection::{Connection, Edge},
};
use millrace_ledger::{AccountId, AccountSpec, EventSeq, PaymentId, Timestamp};
use uuid::Uuid;

use super::{
    account_object::Account,
    history_object::{BalanceEntry, TimedOutHold},
    money::Conservation,
    payment_object::Payment,
    read::{ReadError, ReadStore},
    read_history::HistoryRange,
};
use crate::text::{parse_rfc3339, rfc3339};

/// Items of a page when a query does not say.
pub const FIRST_DEFAULT: i32 = 50;
/// Most items of a page.
pub const FIRST_MAX: i32 = 200;
/// Deepest nesting. The introspection query of common tools needs 15.
const DEPTH_MAX: usize = 16;
/// Most fields of an answer, where a look-up counts as five.
const COMPLEXITY_MAX: usize = 20_000;

pub(super) type ReadSchema = Schema<Query, EmptyMutation, EmptySubscription>;
pub(super) type PaymentConnection = Connection<String, Payment>;
pub(super) type BalanceConnection = Connection<String, BalanceEntry>;
type TimedOutConnection = Connection<String, TimedOutHold>;
type AccountConnection = Connection<String, Account>;

/// The schema that answers from this store.
pub(super) fn schema(store: ReadStore) -> ReadSchema {
    Schema::build(Query, EmptyMutation, EmptySubscription)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
        .data(store)
        .finish()
}

/// The schema in the GraphQL schema definition language.
#[must_use]
pub fn schema_definition() -> String {
    Schema::new(Query, EmptyMutation, EmptySubscription).sdl()
}

/// How far the read model is.
#[derive(SimpleObject)]
pub(super) struct Status {
    /// Position of the last event that queries see, as decimal text; "0" when there is none.
    applied_seq: String,
    /// Time of that event's batch. RFC 3339, UTC; null when there is none.
    applied_time: Option<String>,
}

pub(super) struct Query;

/// Everything that can be asked.
#[Object]
impl Query {
    /// The payment with this id; null when it is unknown.
    #[graphql(complexity = "5 + child_complexity")]
    async fn payment(&self, ctx: &Context<'_>, id: Uuid) -> Result<Option<Payment>> {
        payment(ctx, PaymentId(id.as_u128())).await
    }

    /// Payments, accepted and refused, newest first: all, or those of an account, on either side.
    #[graphql(complexity = "page_complexity(first, child_complexity)")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only payments that debit or credit this account.")] account: Option<Uuid>,
        #[graphql(desc = "A cursor: only what is older.")] after: Option<String>,
        #[graphql(desc = "At most so many; 50 unless told, at most 200.")] first: Option<i32>,
    ) -> Result<PaymentConnection> {
        payments(ctx, account.map(|id| AccountId(id.as_u128())), after, first).await
    }

    /// Holds that timed out, the newest expiry first: all, or those of an account, on either side.
    #[graphql(complexity = "page_complexity(first, child_complexity)")]
    async fn timed_out_holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only holds that debit or credit this account.")] account: Option<Uuid>,
        #[graphql(desc = "A cursor: only what is older.")] after: Option<String>,
        #[graphql(desc = "At most so many; 50 unless told, at most 200.")] first: Option<i32>,
    ) -> Result<TimedOutConnection> {
        let (limit, before) = (page_size(first)?, position(after)?);
        let account = account.map(|id| AccountId(id.as_u128()));
        let read_page = move |store: &ReadStore| store.timed_out_holds(account, before, limit + 1);
        let found = read(ctx, read_page).await?;
        Ok(page(found, limit, before, |view| view.seq, TimedOutHold))
    }

    /// The account with this id; null when it is unknown.
    #[graphql(complexity = "5 + child_complexity")]
    async fn account(&self, ctx: &Context<'_>, id: Uuid) -> Result<Option<Account>> {
        account(ctx, AccountId(id.as_u128())).await
    }

    /// Accounts in the order of their ids.
    #[graphql(complexity = "page_complexity(first, child_complexity)")]
    async fn accounts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A cursor: only accounts behind it.")] after: Option<String>,
        #[graphql(desc = "At most so many; 50 unless told, at most 200.")] first: Option<i32>,
    ) -> Result<AccountConnection> {
        let limit = page_size(first)?;
        let behind = after.as_deref().map(|cursor| {
            let id = Uuid::parse_str(cursor).map_err(|_| bad_cursor(cursor));
            id.map(|id| AccountId(id.as_u128()))
        });
        let behind = behind.transpose()?;
        let mut found = read(ctx, move |store| store.accounts(behind, limit + 1)).await?;
        let mut page = Connection::new(behind.is_some(), found.len() > limit);
        found.truncate(limit);
        page.edges.extend(found.into_iter().map(|view| {
            Edge::new(Uuid::from_u128(view.account.spec.id.0).to_string(), Account(view))
        }));
        Ok(page)
    }

    /// How far the read model is.
    async fn status(&self, ctx: &Context<'_>) -> Result<Status> {
        let store = ctx.data::<ReadStore>()?;
        let applied_seq = store.applied_seq();
        Ok(Status {
            applied_seq: applied_seq.to_string(),
            applied_time: (applied_seq.0 != 0).then(|| rfc3339(store.applied_time())),
        })
    }

    /// Sums over all accounts, by ledger: money is conserved where debits equal credits. Reads
    /// every account.
    #[graphql(complexity = "10_000 + child_complexity")]
    async fn conservation(&self, ctx: &Context<'_>) -> Result<Vec<Conservation>> {
        let sums = read(ctx, ReadStore::conservation).await?;
        Ok(sums.into_iter().map(Conservation::from).collect())
    }
}

pub(super) async fn payment(ctx: &Context<'_>, id: PaymentId) -> Result<Option<Payment>> {
    Ok(read(ctx, move |store| store.payment(id)).await?.map(Payment))
}

pub(super) async fn account(ctx: &Context<'_>, id: AccountId) -> Result<Option<Account>> {
    Ok(read(ctx, move |store| store.account(id)).await?.map(Account))
}

pub(super) async fn payments(
    ctx: &Context<'_>,
    account: Option<AccountId>,
    after: Option<String>,
    first: Option<i32>,
) -> Result<PaymentConnection> {
    let (limit, before) = (page_size(first)?, position(after)?);
    let found = read(ctx, move |store| store.payments(account, before, limit + 1)).await?;
    Ok(page(found, limit, before, |view| view.event.seq, Payment))
}

/// The part of an account's history that a query asks for.
pub(super) struct HistoryArguments {
    pub(super) after: Option<String>,
    pub(super) first: Option<i32>,
    pub(super) from_time: Option<String>,
    pub(super) to_time: Option<String>,
}

pub(super) async fn balance_history(
    ctx: &Context<'_>,
    account: &AccountSpec,
    arguments: HistoryArguments,
) -> Result<BalanceConnection> {
    let (limit, before) = (page_size(arguments.first)?, position(arguments.after)?);
    let (from, to) = (time(arguments.from_time)?, time(arguments.to_time)?);
    let range = HistoryRange { before, from, to };
    let (id, ledger) = (account.id, account.ledger);
    let found = read(ctx, move |store| store.balance_history(id, range, limit + 1)).await?;
    Ok(page(found, limit, before, |row| row.seq, |row| BalanceEntry { ledger, row }))
}

/// A page of a list whose cursors are positions, out of one item more than fits where there is one.
fn page<View, Node: OutputType>(
    mut found: Vec<View>,
    limit: usize,
    before: Option<EventSeq>,
    seq: impl Fn(&View) -> EventSeq,
    node: impl Fn(View) -> Node,
) -> Connection<String, Node> {
    let mut page = Connection::new(before.is_some(), found.len() > limit);
    found.truncate(limit);
    page.edges.extend(found.into_iter().map(|view| Edge::new(seq(&view).to_string(), node(view))));
    page
}

/// What a page counts against the limit: each item counts in full.
pub(super) fn page_complexity(first: Option<i32>, child_complexity: usize) -> usize {
    let items = first.unwrap_or(FIRST_DEFAULT).clamp(1, FIRST_MAX) as usize;
    items.saturating_mul(5_usize.saturating_add(child_complexity))
}

fn page_size(first: Option<i32>) -> Result<usize> {
    let first = first.unwrap_or(FIRST_DEFAULT);
    if (1..=FIRST_MAX).contains(&first) {
        return Ok(first as usize);
    }
    Err(coded(format!("first is {first}; give 1 to {FIRST_MAX}"), "FIRST_OUT_OF_RANGE"))
}

/// The position that a cursor names.
fn position(cursor: Option<String>) -> Result<Option<EventSeq>> {
    let parse = |cursor: String| cursor.parse().map(EventSeq).map_err(|_| bad_cursor(&cursor));
    cursor.map(parse).transpose()
}

fn time(text: Option<String>) -> Result<Option<Timestamp>> {
    let malformed = |text: &str| {
        let said = format!("{text:?} is not a time; give RFC 3339, such as 2026-11-20T08:30:00Z");
        coded(said, "TIME_MALFORMED")
    };
    text.map(|text| parse_rfc3339(&text).ok_or_else(|| malformed(&text))).transpose()
}

fn bad_cursor(cursor: &str) -> Error {
    let text = format!("{cursor:?} is not a cursor of this list; take one from a page's edges");
    coded(text, "CURSOR_MALFORMED")
}

fn coded(text: String, code: &'static str) -> Error {
    Error::new(text).extend_with(|_, extensions| extensions.set("code", code))
}

/// Reads on a thread that may block: the store may have to go to disk.
async fn read<T: Send + 'static>(
    ctx: &Context<'_>,
    query: impl FnOnce(&ReadStore) -> Result<T, ReadError> + Send + 'static,
) -> Result<T> {
    let store = ctx.data::<ReadStore>()?.clone();
    let answer = tokio::task::spawn_blocking(move || query(&store)).await;
    let error = match answer {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(error, "a query failed");
    Err(coded(error, "READ_FAILED"))
}
