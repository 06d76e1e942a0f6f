//! The schema's mutations: consumes what people do, produces what it changed. The ledger is not
//! changed here: a review is resolved by the engine, which journals it.

use std::time::{SystemTime, UNIX_EPOCH};

use async_graphql::{Context, Object, Result, SimpleObject};
use millrace_ledger::{PaymentId, Timestamp};
use uuid::Uuid;

use super::{
    error::{act_failed, coded, malformed, no_acts, sink_failed},
    notification_object::{
        self, Notification, NotificationPreferences, NotificationPreferencesInput,
    },
    payment_object::{self, Payment},
    services::Services,
};
use crate::{SinkError, notify::SetPreferencesError};

/// Longest text that an act may carry, in bytes.
const TEXT_MAX: usize = 1_000;

/// A review that was resolved.
#[derive(SimpleObject)]
#[graphql(complex)]
struct ResolvedReview {
    /// Id of the payment.
    payment_id: Uuid,
    /// Whether the money goes through.
    accepted: bool,
}

#[async_graphql::ComplexObject]
impl ResolvedReview {
    /// The payment, as the read model has it: what was done shows a moment later.
    #[graphql(complexity = "5 + child_complexity")]
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        payment_object::payment(ctx, PaymentId(self.payment_id.as_u128())).await
    }
}

pub(super) struct Mutation;

/// Everything that people can do.
#[Object]
impl Mutation {
    /// Marks a notification as read; the first time counts.
    async fn mark_notification_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its number.")] id: String,
    ) -> Result<Notification> {
        let now = now();
        change(ctx, &id, move |inbox, id| inbox.mark_read(id, now)).await
    }

    /// Sends a notification once more, whatever became of it; one that waits goes on waiting.
    async fn resend_notification(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its number.")] id: String,
    ) -> Result<Notification> {
        change(ctx, &id, |inbox, id| inbox.resend(id)).await
    }

    /// Keeps what an owner wants, in the place of all that was set before.
    async fn set_notification_preferences(
        &self,
        ctx: &Context<'_>,
        owner_id: Uuid,
        preferences: NotificationPreferencesInput,
    ) -> Result<NotificationPreferences> {
        let inbox = notification_object::inbox(ctx)?;
        let (owner, wanted) = (owner_id.as_u128(), preferences.preferences()?);
        let kept = tokio::task::spawn_blocking(move || {
            inbox.set_preferences(owner, &wanted)?;
            inbox.preferences(owner).map_err(SetPreferencesError::Store)
        });
        match kept.await? {
            Ok(kept) => Ok(kept.into()),
            Err(SetPreferencesError::Unfit(error)) => {
                Err(coded(error.to_string(), "ARGUMENT_MALFORMED"))
            }
            Err(SetPreferencesError::Store(error)) => Err(sink_failed(&error)),
        }
    }

    /// Resolves a review: captures what is held, or releases it.
    async fn resolve_review(
        &self,
        ctx: &Context<'_>,
        payment_id: Uuid,
        #[graphql(desc = "Whether the money goes through.")] accept: bool,
        #[graphql(desc = "Who decides: the audit log names them.")] actor: String,
        #[graphql(desc = "Why: the audit log tells it.")] why: String,
    ) -> Result<ResolvedReview> {
        for (argument, text) in [("actor", &actor), ("why", &why)] {
            if text.trim().is_empty() || text.len() > TEXT_MAX {
                return Err(malformed(argument, text, "a text of 1 to 1,000 bytes"));
            }
        }
        let acts = Services::of(ctx)?.acts.clone();
        let acts = acts.ok_or_else(no_acts)?;
        let payment = PaymentId(payment_id.as_u128());
        let done = acts.resolve_review(payment, accept, actor, why).await;
        done.map_err(|error| act_failed(&error))?;
        Ok(ResolvedReview { payment_id, accepted: accept })
    }
}

async fn change(
    ctx: &Context<'_>,
    id: &str,
    change: impl FnOnce(
        &crate::notify::Inbox,
        u64,
    ) -> Result<Option<crate::notify::Notification>, SinkError>
    + Send
    + 'static,
) -> Result<Notification> {
    let id = notification_object::number(id)?;
    let found = notification_object::ask(ctx, move |inbox| change(inbox, id)).await?;
    let missing = || coded(format!("there is no notification {id}"), "NOT_FOUND");
    found.map(Notification).ok_or_else(missing)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
