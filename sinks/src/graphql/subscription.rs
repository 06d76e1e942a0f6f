//! The schema's subscriptions: consumes the places of the stores, produces what came since.
//! Guarantees every event once, in sequence, from where the subscriber says; a subscriber reads at
//! its own pace from the store, so a slow one holds up nobody and fills no buffer.

use std::{sync::Arc, time::Duration};

use async_graphql::{Context, Error, Result, Subscription as GraphqlSubscription};
use futures_util::{Stream, stream};
use millrace_ledger::{AccountId, EventSeq};
use millrace_risk::desk::OpenPage;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use uuid::Uuid;

use super::{
    enums::ReviewKind,
    error::{no_reviews, read_failed, sink_failed},
    lists::seq,
    model::{AppliedPlace, Order, PageQuery, PaymentQuery, ReadModel},
    notification_object::{self, Notification},
    payment_object::Payment,
    reader::Reader,
    review_object::Review,
    services::Services,
};
use crate::{ReviewStore, notify::Inbox};

/// Events that one look into a store brings.
const LOOK: usize = 100;
/// How often the desk is looked at: people wait for reviews, not programs.
const DESK_POLL: Duration = Duration::from_millis(20);

pub(super) struct Subscription;

/// Everything that can be followed.
#[GraphqlSubscription]
impl Subscription {
    /// Payments as they are decided, accepted and refused, in sequence: all, or those of an
    /// account, on either side. Each stands as it did when it was sent, or later.
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only payments that debit or credit this account.")] account: Option<Uuid>,
        #[graphql(desc = "From this position on, as decimal text: what happened meanwhile comes \
                          first. From now on unless told.")]
        from_seq: Option<String>,
    ) -> Result<impl Stream<Item = Result<Payment>> + use<>> {
        let model = Arc::clone(&Reader::of(ctx)?.model);
        let after = match from_seq {
            Some(text) => EventSeq(seq("fromSeq", &text)?.0.saturating_sub(1)),
            None => model.place().seq,
        };
        let places = model.watch();
        let account = account.map(|id| AccountId(id.as_u128()));
        let follower = PaymentFollower { model, places, account, after, found: Vec::new() };
        Ok(stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|payment| (payment, follower)))
        }))
    }

    /// Reviews as they are opened, in sequence.
    async fn reviews(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "REVIEW unless told.")] kind: Option<ReviewKind>,
        #[graphql(
            desc = "From this position on, as decimal text: those that are open still come \
                          first. From now on unless told."
        )]
        from_seq: Option<String>,
    ) -> Result<impl Stream<Item = Result<Review>> + use<>> {
        let desk = Services::of(ctx)?.reviews.clone();
        let desk = desk.ok_or_else(no_reviews)?;
        let after = match from_seq {
            Some(text) => seq("fromSeq", &text)?.0.saturating_sub(1),
            None => desk.applied_seq().0,
        };
        let kind = kind.map(Into::into).unwrap_or_default();
        let page = OpenPage { kind, after_seq: after, limit: LOOK, claimed_by: None };
        let follower = ReviewFollower { desk, page, found: Vec::new() };
        Ok(stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|review| (review, follower)))
        }))
    }

    /// Notifications as they are made: all, or those of an owner.
    async fn notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those for this owner.")] owner: Option<Uuid>,
        #[graphql(desc = "From this number on: those that are there come first. From now on \
                          unless told.")]
        from_id: Option<String>,
    ) -> Result<impl Stream<Item = Result<Notification>> + use<>> {
        let inbox = notification_object::inbox(ctx)?;
        let next_id = match from_id {
            Some(text) => notification_object::number(&text)?.max(1),
            None => inbox.latest_id() + 1,
        };
        let (owner, newest) = (owner.map(|id| id.as_u128()), inbox.subscribe());
        let follower = NotificationFollower { inbox, newest, owner, next_id, found: Vec::new() };
        Ok(stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|told| (told, follower)))
        }))
    }
}

/// Where a subscriber to payments is.
struct PaymentFollower {
    model: Arc<dyn ReadModel>,
    places: watch::Receiver<AppliedPlace>,
    account: Option<AccountId>,
    /// All up to here was found.
    after: EventSeq,
    /// What was found and not yet taken, newest first.
    found: Vec<Payment>,
}

impl PaymentFollower {
    /// The next payment; `None` when there will be none any more.
    async fn next(&mut self) -> Result<Option<Payment>> {
        loop {
            if let Some(payment) = self.found.pop() {
                return Ok(Some(payment));
            }
            let after = self.after;
            // The sender is gone when the process is about to stop.
            let place = self.places.wait_for(|place| place.seq > after).await;
            let Ok(seen) = place.map(|place| place.seq) else { return Ok(None) };
            // A look that begins now sees all up to there.
            let page = PageQuery { after: Some(after), ..PageQuery::first(LOOK) };
            let query = PaymentQuery {
                order: Order::OldestFirst,
                account: self.account,
                ..PaymentQuery::all(page)
            };
            let slice = self.model.payments(query).await.map_err(|error| read_failed(&error))?;
            let last = slice.items.last().map(|view| view.event.seq);
            self.after = match (slice.more_after, last) {
                (true, Some(last)) => last,
                (_, last) => last.map_or(seen, |last| last.max(seen)),
            };
            let payments = slice.items.into_iter().rev().map(|view| Payment(Arc::new(view)));
            self.found = payments.collect();
        }
    }
}

/// Where a subscriber to reviews is.
struct ReviewFollower {
    desk: ReviewStore,
    page: OpenPage,
    /// What was found and not yet taken, newest first.
    found: Vec<Review>,
}

impl ReviewFollower {
    async fn next(&mut self) -> Result<Option<Review>> {
        loop {
            if let Some(review) = self.found.pop() {
                return Ok(Some(review));
            }
            let seen = self.desk.applied_seq().0;
            if seen <= self.page.after_seq {
                sleep(DESK_POLL).await;
                continue;
            }
            let (desk, page) = (self.desk.clone(), self.page.clone());
            let read = spawn_blocking(move || desk.open_reviews(&page)).await?;
            let read = read.map_err(|error| read_failed(&error))?;
            let last = read.reviews.last().and_then(|decided| decided.standing.as_ref());
            let last = last.map_or(seen, |standing| standing.seq.max(seen));
            self.page.after_seq = read.next_after_seq.unwrap_or(last);
            self.found = read.reviews.into_iter().rev().filter_map(Review::new).collect();
        }
    }
}

/// Where a subscriber to notifications is.
struct NotificationFollower {
    inbox: Inbox,
    newest: watch::Receiver<u64>,
    owner: Option<u128>,
    next_id: u64,
    /// What was found and not yet taken, newest first.
    found: Vec<Notification>,
}

impl NotificationFollower {
    async fn next(&mut self) -> Result<Option<Notification>> {
        loop {
            if let Some(told) = self.found.pop() {
                return Ok(Some(told));
            }
            let next_id = self.next_id;
            let newest = self.newest.wait_for(|newest| *newest >= next_id).await;
            let Ok(newest) = newest.map(|newest| *newest) else { return Ok(None) };
            let end = newest.min(next_id + LOOK as u64 - 1) + 1;
            let (inbox, owner) = (self.inbox.clone(), self.owner);
            let read = spawn_blocking(move || {
                let numbers = (next_id..end).rev().map(|id| inbox.get(id));
                numbers.collect::<Result<Vec<_>, _>>()
            });
            let found = read.await?.map_err(|error| -> Error { sink_failed(&error) })?;
            let wanted =
                found.into_iter().flatten().filter(|told| owner.is_none_or(|id| id == told.owner));
            self.found = wanted.map(Notification).collect();
            self.next_id = end;
        }
    }
}
