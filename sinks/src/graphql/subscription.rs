//! The schema's subscriptions: consumes the places of the stores, produces what came since.
//! Guarantees every event once, in sequence, from where the subscriber says; a subscriber reads at
//! its own pace from the store, so a slow one holds up nobody and fills no buffer.

use std::{sync::Arc, time::Duration};

use async_graphql::{Context, Error, Interface, Result, Subscription as GraphqlSubscription};
use futures_util::{Stream, stream};
use millrace_ledger::{AccountId, EventSeq};
use millrace_risk::desk::OpenPage;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use uuid::Uuid;

use super::{
    enums::ReviewKind,
    error::{no_reviews, read_failed, sink_failed},
    history_object::TimedOutHold,
    lists::seq,
    model::{AppliedPlace, Order, PageQuery, PaymentQuery, ReadModel, Stop},
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

/// What befalls an account: a payment that was decided, accepted or refused, or a hold that timed out.
#[derive(Interface)]
#[expect(clippy::duplicated_attributes, reason = "each field has its own type and description")]
#[graphql(
    field(name = "seq", ty = "String", desc = "Position in the journal, as decimal text."),
    field(name = "time", ty = "String", desc = "Time of its batch. RFC 3339, UTC.")
)]
pub(super) enum Outcome {
    Payment(Payment),
    TimedOutHold(TimedOutHold),
}

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
        let follower = OutcomeFollower::new(ctx, account, from_seq, false)?;
        Ok(stream::try_unfold(follower, |mut follower| async move {
            loop {
                match follower.next().await? {
                    Some(Outcome::Payment(payment)) => return Ok(Some((payment, follower))),
                    // None was looked for.
                    Some(Outcome::TimedOutHold(_)) => {}
                    None => return Ok(None),
                }
            }
        }))
    }

    /// Payments as they are decided, and holds as they time out, in sequence: all, or those of an
    /// account, on either side.
    async fn outcomes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what befalls this account.")] account: Option<Uuid>,
        #[graphql(desc = "From this position on, as decimal text: what happened meanwhile comes \
                          first. From now on unless told.")]
        from_seq: Option<String>,
    ) -> Result<impl Stream<Item = Result<Outcome>> + use<>> {
        let follower = OutcomeFollower::new(ctx, account, from_seq, true)?;
        Ok(stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|outcome| (outcome, follower)))
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

/// Where a subscriber to payments, or to all outcomes, is.
struct OutcomeFollower {
    model: Arc<dyn ReadModel>,
    places: watch::Receiver<AppliedPlace>,
    account: Option<AccountId>,
    with_expiries: bool,
    /// All up to here was found.
    after: EventSeq,
    /// What was found and not yet taken, newest first.
    found: Vec<Outcome>,
}

impl OutcomeFollower {
    fn new(
        ctx: &Context<'_>,
        account: Option<Uuid>,
        from_seq: Option<String>,
        with_expiries: bool,
    ) -> Result<Self> {
        let model = Arc::clone(&Reader::of(ctx)?.model);
        let after = match from_seq {
            Some(text) => EventSeq(seq("fromSeq", &text)?.0.saturating_sub(1)),
            None => model.place().seq,
        };
        let account = account.map(|id| AccountId(id.as_u128()));
        let places = model.watch();
        Ok(Self { model, places, account, with_expiries, after, found: Vec::new() })
    }

    /// The next outcome; `None` when there will be none any more.
    async fn next(&mut self) -> Result<Option<Outcome>> {
        loop {
            if let Some(outcome) = self.found.pop() {
                return Ok(Some(outcome));
            }
            let after = self.after;
            // The sender is gone when the process is about to stop.
            let place = self.places.wait_for(|place| place.seq > after).await;
            let Ok(seen) = place.map(|place| place.seq) else { return Ok(None) };
            // A look that begins now sees all up to there.
            let (mut found, mut until) = self.payments(seen).await?;
            if self.with_expiries {
                let (expired, expired_until) = self.expiries(seen).await?;
                found.extend(expired);
                // What one look did not reach, the other may have passed: both look there again.
                until = until.min(expired_until);
            }
            found.retain(|(seq, _)| *seq <= until);
            found.sort_unstable_by_key(|(seq, _)| std::cmp::Reverse(*seq));
            self.found = found.into_iter().map(|(_, outcome)| outcome).collect();
            self.after = until;
        }
    }

    /// Payments behind `after`, and up to where there are no others.
    async fn payments(&self, seen: EventSeq) -> Result<(Vec<(EventSeq, Outcome)>, EventSeq)> {
        let page = PageQuery { after: Some(self.after), ..PageQuery::first(LOOK) };
        let query = PaymentQuery {
            order: Order::OldestFirst,
            account: self.account,
            ..PaymentQuery::all(page)
        };
        let slice = self.model.payments(query).await.map_err(|error| read_failed(&error))?;
        let last = slice.items.last().map(|view| view.event.seq);
        let until = match slice.stopped_at {
            Some(Stop::After(place) | Stop::Before(place)) => EventSeq(place),
            None => looked_until(slice.more_after, last, seen),
        };
        let payments = slice.items.into_iter();
        let payments =
            payments.map(|view| (view.event.seq, Outcome::Payment(Payment(Arc::new(view)))));
        Ok((payments.collect(), until))
    }

    /// Expiries behind `after`, and up to where there are no others.
    async fn expiries(&self, seen: EventSeq) -> Result<(Vec<(EventSeq, Outcome)>, EventSeq)> {
        // The list has the newest first: the oldest that are newer stand at the end of its page.
        let page = PageQuery { before: Some(self.after), from_end: true, ..PageQuery::first(LOOK) };
        let slice = self.model.timed_out_holds(self.account, page).await;
        let slice = slice.map_err(|error| read_failed(&error))?;
        let last = slice.items.first().map(|expiry| expiry.seq);
        let until = looked_until(slice.more_before, last, seen);
        let expiries = slice.items.into_iter();
        let expiries = expiries
            .map(|expiry| (expiry.seq, Outcome::TimedOutHold(TimedOutHold(Box::new(expiry)))));
        Ok((expiries.collect(), until))
    }
}

/// How far a look came that found `last` at its end: there may be more right behind it, or there is
/// nothing else up to the place that was seen before.
fn looked_until(more: bool, last: Option<EventSeq>, seen: EventSeq) -> EventSeq {
    match (more, last) {
        (true, Some(last)) => last,
        (_, last) => last.map_or(seen, |last| last.max(seen)),
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
