//! The schema's queries: consumes questions, produces what the read model and the services beside
//! it hold, and guarantees that one query reads a bounded number of rows.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SDLExportOptions, Schema, SimpleObject};
use millrace_ledger::{AccountId, PaymentId};
use uuid::Uuid;

use super::{
    account_object::Account,
    audit_object::{self, AuditCheckpoint, AuditEntry, AuditFilter, ConsistencyProof},
    config::{GraphqlConfig, Profile},
    connection::{Connection, connection},
    enums::{ListOrder, ReviewKind, TotalsBy},
    history_object::TimedOutHold,
    lists::{self, PaymentFilter},
    model::ReadModel,
    money::Conservation,
    mutation::Mutation,
    notification_object::{self, Notification, NotificationFilter, NotificationPreferences},
    paging::{Of, Paging, page_complexity},
    payment_object::{self, Payment},
    reader::{Reader, read},
    review_object::{self, Review},
    services::Services,
    subscription::Subscription,
    totals_object::{self, Totals},
};
use crate::text::rfc3339;

pub(super) type ReadSchema = Schema<Query, Mutation, Subscription>;

/// The schema that answers from these services.
pub(super) fn schema(services: Services, config: &GraphqlConfig) -> ReadSchema {
    let reader = Reader::new(Arc::clone(&services.model), config.read_cache_entries);
    let schema = Schema::build(Query, Mutation, Subscription)
        .enable_federation()
        .enable_subscription_in_federation()
        .limit_depth(config.limits.depth)
        .limit_complexity(config.limits.complexity)
        .data(reader)
        .data(services);
    match config.profile {
        Profile::Dev => schema.finish(),
        // A suggestion would tell what the schema no longer does.
        Profile::Prod => schema.disable_introspection().disable_suggestions().finish(),
    }
}

/// The schema in the GraphQL schema definition language, with what federation adds.
#[must_use]
pub fn schema_definition() -> String {
    let schema = Schema::build(Query, Mutation, Subscription)
        .enable_federation()
        .enable_subscription_in_federation()
        .finish();
    let options = SDLExportOptions::new().federation().prefer_single_line_descriptions();
    let text = schema.sdl_with_options(options);
    let lines: Vec<_> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
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
    /// A payment, for a gateway that knows its id from elsewhere.
    #[graphql(entity)]
    async fn payment_entity(
        &self,
        ctx: &Context<'_>,
        #[graphql(key)] id: Uuid,
    ) -> Result<Option<Payment>> {
        payment_object::payment(ctx, PaymentId(id.as_u128())).await
    }

    /// An account, for a gateway that knows its id from elsewhere.
    #[graphql(entity)]
    async fn account_entity(
        &self,
        ctx: &Context<'_>,
        #[graphql(key)] id: Uuid,
    ) -> Result<Option<Account>> {
        payment_object::account(ctx, AccountId(id.as_u128())).await
    }

    /// The payment with this id; null when it is unknown.
    #[graphql(complexity = "5 + child_complexity")]
    async fn payment(&self, ctx: &Context<'_>, id: Uuid) -> Result<Option<Payment>> {
        payment_object::payment(ctx, PaymentId(id.as_u128())).await
    }

    /// Payments, accepted and refused: all, or those that pass what is set.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "they are arguments of the API")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only payments that debit or credit this account.")] account: Option<Uuid>,
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
        let account = account.map(|id| AccountId(id.as_u128()));
        lists::payments(ctx, account, filter.unwrap_or_default(), order, page).await
    }

    /// Holds of which something is left: all, or those of an account, on either side.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "they are arguments of the API")]
    async fn open_holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only holds that debit or credit this account.")] account: Option<Uuid>,
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
        lists::holds(ctx, account.map(|id| AccountId(id.as_u128())), order, page).await
    }

    /// Holds that timed out, newest expiry first: all, or those of an account, on either side.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn timed_out_holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only holds that debit or credit this account.")] account: Option<Uuid>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it in this order.")] after: Option<
            String,
        >,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it in this order.")] before: Option<
            String,
        >,
    ) -> Result<Connection<TimedOutHold>> {
        let page = Paging { first, after, last, before }.of_events()?;
        let account = account.map(|id| AccountId(id.as_u128()));
        let found = read(ctx, |model| model.timed_out_holds(account, page)).await?;
        let place = |view: &super::TimedOutHold| u128::from(view.seq.0);
        Ok(connection(found, Of::Events, place, |hold| TimedOutHold(Box::new(hold))))
    }

    /// The account with this id; null when it is unknown.
    #[graphql(complexity = "5 + child_complexity")]
    async fn account(&self, ctx: &Context<'_>, id: Uuid) -> Result<Option<Account>> {
        payment_object::account(ctx, AccountId(id.as_u128())).await
    }

    /// Accounts in the order of their ids.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn accounts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it in this order.")] after: Option<
            String,
        >,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it in this order.")] before: Option<
            String,
        >,
    ) -> Result<Connection<Account>> {
        let page = Paging { first, after, last, before }.of_accounts()?;
        let found = read(ctx, |model| model.accounts(page)).await?;
        let place = |view: &super::AccountView| view.account.spec.id.0;
        Ok(connection(found, Of::Accounts, place, |view| Account(Arc::new(view))))
    }

    /// Counts and sums of payments by what became of them, in the order of ledger, then time.
    #[graphql(complexity = "1_000 + child_complexity")]
    async fn totals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How they are grouped, within each ledger.")] by: TotalsBy,
        #[graphql(desc = "Of one ledger: the currency's ISO 4217 number.")] ledger: Option<u32>,
        #[graphql(desc = "RFC 3339: hours that begin then or later. Unless told, the last two \
                          days by hour, and the last year by day.")]
        from_time: Option<String>,
        #[graphql(desc = "RFC 3339: hours that begin before.")] to_time: Option<String>,
    ) -> Result<Vec<Totals>> {
        totals_object::totals(ctx, by.into(), ledger, from_time, to_time).await
    }

    /// Open reviews, oldest first.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "they are arguments of the API")]
    async fn reviews(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "REVIEW unless told.")] kind: Option<ReviewKind>,
        #[graphql(desc = "Whose: empty for nobody's.")] claimed_by: Option<String>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it.")] before: Option<String>,
    ) -> Result<Connection<Review>> {
        let page = Paging { first, after, last, before };
        review_object::reviews(ctx, kind, claimed_by, page).await
    }

    /// The review of a payment, open or resolved; null where risk held no money.
    #[graphql(complexity = "5 + child_complexity")]
    async fn review(&self, ctx: &Context<'_>, payment_id: Uuid) -> Result<Option<Review>> {
        review_object::review(ctx, PaymentId(payment_id.as_u128())).await
    }

    /// What owners were told, or were not, newest first.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that pass all that is set.")] filter: Option<
            NotificationFilter,
        >,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it.")] before: Option<String>,
    ) -> Result<Connection<Notification>> {
        let page = Paging { first, after, last, before };
        notification_object::notifications(ctx, filter.unwrap_or_default(), page).await
    }

    /// The notification with this number; null when there is none.
    #[graphql(complexity = "5 + child_complexity")]
    async fn notification(&self, ctx: &Context<'_>, id: String) -> Result<Option<Notification>> {
        let id = notification_object::number(&id)?;
        Ok(notification_object::ask(ctx, move |inbox| inbox.get(id)).await?.map(Notification))
    }

    /// What an owner wants to be told, and how.
    #[graphql(complexity = "5 + child_complexity")]
    async fn notification_preferences(
        &self,
        ctx: &Context<'_>,
        owner_id: Uuid,
    ) -> Result<NotificationPreferences> {
        let owner = owner_id.as_u128();
        let wanted = notification_object::ask(ctx, move |inbox| inbox.preferences(owner));
        wanted.await.map(Into::into)
    }

    /// Entries of the audit log, newest first.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn audit_entries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that pass all that is set.")] filter: Option<AuditFilter>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it.")] before: Option<String>,
    ) -> Result<Connection<AuditEntry>> {
        let page = Paging { first, after, last, before };
        audit_object::entries(ctx, filter.unwrap_or_default(), page).await
    }

    /// The entry of the audit log at this index; null where there is none.
    #[graphql(complexity = "5 + child_complexity")]
    async fn audit_entry(&self, ctx: &Context<'_>, index: String) -> Result<Option<AuditEntry>> {
        audit_object::entry(ctx, &index).await
    }

    /// The newest signed checkpoint of the audit log.
    #[graphql(complexity = "5 + child_complexity")]
    async fn audit_checkpoint(&self, ctx: &Context<'_>) -> Result<AuditCheckpoint> {
        audit_object::checkpoint(ctx).await
    }

    /// That the audit log of one size is the beginning of the audit log of another.
    #[graphql(complexity = "50 + child_complexity")]
    async fn audit_consistency(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries of the smaller tree, as decimal text.")] from: String,
        #[graphql(desc = "Entries of the larger tree, as decimal text.")] to: String,
    ) -> Result<ConsistencyProof> {
        audit_object::consistency(ctx, &from, &to).await
    }

    /// How far the read model is.
    async fn status(&self, ctx: &Context<'_>) -> Result<Status> {
        let place = Reader::of(ctx)?.model.place();
        Ok(Status {
            applied_seq: place.seq.to_string(),
            applied_time: (place.seq.0 != 0).then(|| rfc3339(place.time)),
        })
    }

    /// Sums over all accounts, by ledger: money is conserved where debits equal credits. Reads
    /// every account.
    #[graphql(complexity = "10_000 + child_complexity")]
    async fn conservation(&self, ctx: &Context<'_>) -> Result<Vec<Conservation>> {
        let sums = read(ctx, ReadModel::conservation).await?;
        Ok(sums.into_iter().map(Conservation::from).collect())
    }
}
