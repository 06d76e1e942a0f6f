//! The schema's mutations: consumes what people do, produces what it changed. The ledger is not
//! changed here: a review is resolved by the engine, which journals it. Guarantees that what somebody
//! does to the notifications of others is journaled before it is done.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_graphql::{Context, Object, Result, SimpleObject};
use millrace_ledger::{PaymentId, Timestamp};
use uuid::Uuid;

use super::{
    acts::{Acts, NotificationAct},
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

    /// Sends a notification once more, whatever became of it; one that waits goes on waiting. Who asks
    /// and why is journaled first.
    async fn resend_notification(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its number.")] id: String,
        #[graphql(desc = "Who asks: the audit log names them.")] actor: String,
        #[graphql(desc = "Why: the audit log tells it.")] why: String,
    ) -> Result<Notification> {
        check_signature(&actor, &why)?;
        let number = notification_object::number(&id)?;
        let found = notification_object::ask(ctx, move |inbox| inbox.get(number)).await?;
        let found = found.ok_or_else(|| missing(number))?;
        if !found.may_be_resent() {
            return Ok(Notification(found));
        }
        let (payment, account) = (found.payment, found.account);
        let act = NotificationAct::Resend { notification: number, payment, account };
        let done = acts(ctx)?.record(act, actor, why).await;
        done.map_err(|error| act_failed(&error))?;
        change(ctx, &id, |inbox, id| inbox.resend(id)).await
    }

    /// Keeps what an owner wants, in the place of all that was set before. Owners set their own; who
    /// sets it for somebody else says who and why, which is journaled first.
    async fn set_notification_preferences(
        &self,
        ctx: &Context<'_>,
        owner_id: Uuid,
        preferences: NotificationPreferencesInput,
        #[graphql(desc = "Who sets it, where that is not the owner.")] actor: Option<String>,
        #[graphql(desc = "Why, where it is not the owner who sets it.")] why: Option<String>,
    ) -> Result<NotificationPreferences> {
        let inbox = notification_object::inbox(ctx)?;
        let (owner, wanted) = (owner_id.as_u128(), preferences.preferences()?);
        if let Err(error) = wanted.check() {
            return Err(coded(error.to_string(), "ARGUMENT_MALFORMED"));
        }
        if actor.is_some() || why.is_some() {
            let (actor, why) = (actor.unwrap_or_default(), why.unwrap_or_default());
            check_signature(&actor, &why)?;
            let act = NotificationAct::SetPreferences { owner };
            let done = acts(ctx)?.record(act, actor, why).await;
            done.map_err(|error| act_failed(&error))?;
        }
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
        check_signature(&actor, &why)?;
        let payment = PaymentId(payment_id.as_u128());
        let done = acts(ctx)?.resolve_review(payment, accept, actor, why).await;
        done.map_err(|error| act_failed(&error))?;
        Ok(ResolvedReview { payment_id, accepted: accept })
    }
}

fn check_signature(actor: &str, why: &str) -> Result<()> {
    for (argument, text) in [("actor", actor), ("why", why)] {
        if text.trim().is_empty() || text.len() > TEXT_MAX {
            return Err(malformed(argument, text, "a text of 1 to 1,000 bytes"));
        }
    }
    Ok(())
}

/// The way to the engine.
fn acts(ctx: &Context<'_>) -> Result<Arc<dyn Acts>> {
    let acts = Services::of(ctx)?.acts.clone();
    acts.ok_or_else(no_acts)
}

fn missing(id: u64) -> async_graphql::Error {
    coded(format!("there is no notification {id}"), "NOT_FOUND")
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
    found.map(Notification).ok_or_else(|| missing(id))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
