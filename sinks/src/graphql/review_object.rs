//! Reviews that queries see: turns what the desk keeps into GraphQL objects.

use async_graphql::{Context, Object, Result, SimpleObject};
use millrace_ledger::{PaymentId, Timestamp};
use millrace_risk::desk::{Decided, Deed as DeskDeed, Resolution, Standing};
use uuid::Uuid;

use super::{
    connection::{Connection, connection},
    enums::{HoldEnd, ReviewKind},
    error::{no_reviews, read_failed},
    model::Order,
    money::Money,
    paging::{Of, Paging},
    payment_object::{self, Payment},
    read::ReadError,
    risk_object::RiskExplanation,
    services::Services,
};
use crate::{ReviewStore, span::Looked, text::rfc3339};

/// Something that somebody did.
#[derive(SimpleObject)]
struct Deed {
    /// Who.
    by: String,
    /// Why.
    why: String,
    /// When. RFC 3339, UTC.
    time: String,
    /// Position of its event in the journal, as decimal text.
    seq: String,
}

impl Deed {
    fn new(deed: &DeskDeed) -> Self {
        Self {
            by: deed.by.clone(),
            why: deed.why.clone(),
            time: rfc3339(Timestamp(deed.at_ns)),
            seq: deed.seq.to_string(),
        }
    }
}

/// What an analyst decided.
#[derive(SimpleObject)]
struct ReviewResolution {
    /// Whether the money goes through.
    accepted: bool,
    /// Who, why, when.
    deed: Deed,
}

impl ReviewResolution {
    fn new(resolution: &Resolution) -> Self {
        Self { accepted: resolution.approve, deed: Deed::new(&resolution.deed) }
    }
}

/// A payment whose money risk holds, or held.
pub(super) struct Review {
    decided: Decided,
    standing: Standing,
}

impl Review {
    pub(super) fn new(decided: Decided) -> Option<Self> {
        let standing = decided.standing.clone()?;
        Some(Self { decided, standing })
    }

    fn place(&self) -> u64 {
        self.standing.seq
    }
}

/// A payment whose money risk holds, or held.
#[Object]
impl Review {
    /// Id of the payment.
    async fn payment_id(&self) -> Uuid {
        Uuid::from_u128(self.decided.event.payment.id.0)
    }

    /// The payment as it stands.
    #[graphql(complexity = "5 + child_complexity")]
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        payment_object::payment(ctx, self.decided.event.payment.id).await
    }

    /// Position of the payment's event, as decimal text.
    async fn seq(&self) -> String {
        self.standing.seq.to_string()
    }

    /// Time of its batch. RFC 3339, UTC.
    async fn time(&self) -> String {
        rfc3339(self.decided.time)
    }

    /// Why the money is held.
    async fn kind(&self) -> ReviewKind {
        self.standing.kind.into()
    }

    /// Whether something is held still.
    async fn open(&self) -> bool {
        self.standing.end.is_none()
    }

    /// What is held still.
    async fn held_amount(&self) -> Money {
        Money::new(self.decided.event.payment.ledger, self.standing.left_minor)
    }

    /// When it is released by itself. RFC 3339, UTC; null for never.
    async fn expires_at(&self) -> Option<String> {
        self.standing.expires_at_ns.map(|at_ns| rfc3339(Timestamp(at_ns)))
    }

    /// How the hold ended; null while the review is open.
    async fn end(&self) -> Option<HoldEnd> {
        self.standing.end.map(HoldEnd::from)
    }

    /// Whose it is, if somebody's.
    async fn claim(&self) -> Option<Deed> {
        self.standing.claim.as_ref().map(Deed::new)
    }

    /// What an analyst decided last.
    async fn resolution(&self) -> Option<ReviewResolution> {
        self.standing.resolution.as_ref().map(ReviewResolution::new)
    }

    /// What risk had to say.
    async fn risk_explanation(&self) -> Option<RiskExplanation> {
        let evidence = self.decided.evidence.clone()?;
        Some(RiskExplanation { evidence, verdict: self.decided.event.verdict })
    }
}

/// Asks the desk, on a thread that may block.
pub(super) async fn ask<T: Send + 'static>(
    ctx: &Context<'_>,
    question: impl FnOnce(&ReviewStore) -> Result<T, ReadError> + Send + 'static,
) -> Result<T> {
    let reviews = Services::of(ctx)?.reviews.clone();
    let reviews = reviews.ok_or_else(no_reviews)?;
    let answer = tokio::task::spawn_blocking(move || question(&reviews)).await?;
    answer.map_err(|error| read_failed(&error))
}

/// The review of a payment, open or resolved.
pub(super) async fn review(ctx: &Context<'_>, id: PaymentId) -> Result<Option<Review>> {
    Ok(ask(ctx, move |desk| desk.by_payment(id)).await?.and_then(Review::new))
}

/// Open reviews, oldest first.
pub(super) async fn reviews(
    ctx: &Context<'_>,
    kind: Option<ReviewKind>,
    claimed_by: Option<String>,
    page: Paging,
) -> Result<Connection<Review>> {
    let page = page.numbered(Of::Events)?;
    let kind = kind.map(Into::into).unwrap_or_default();
    let read = move |desk: &ReviewStore| {
        page.read(Order::OldestFirst, |span, limit| {
            let Looked { found, stopped_at } =
                desk.open_within(kind, claimed_by.as_deref(), span, limit)?;
            let found = found.into_iter().filter_map(Review::new).collect();
            Ok(Looked { found, stopped_at })
        })
    };
    let place = |review: &Review| u128::from(review.place());
    Ok(connection(ask(ctx, read).await?, Of::Events, place, |review| review))
}
