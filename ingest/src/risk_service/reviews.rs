//! Reviews: listed from the desk, changed by acts. Whether a hold is open is the ledger's to say;
//! whose the review is, the desk's.

use std::{sync::Arc, time::Instant};

use millrace_engine::{Command, PaymentReply};
use millrace_ledger::{
    Amount, HoldState, Operation, Payment, PaymentFlags, PaymentId, PaymentView, Status as Became,
};
use millrace_protos::v1;
use millrace_risk::{
    acts::ActKind,
    desk::{Deed, OpenPage, ReviewKind, resolution_id},
};
use tonic::Status;
use uuid::Uuid;

use super::{
    RiskRefusal, Risks, acts::Signature, desk::ReviewDesk, page_size, page_token, payment_id, wire,
};
use crate::{convert, status::Refusal};

/// How a review stands, looked at under its lock.
struct Standing {
    hold: HoldState,
    claim: Option<Deed>,
}

impl Standing {
    fn check_open(&self) -> Result<(), RiskRefusal> {
        match self.hold {
            HoldState::Open => Ok(()),
            hold => Err(RiskRefusal::ReviewClosed { hold }),
        }
    }

    /// Nobody works on what somebody else has claimed, unless they say that they mean it.
    fn check_claim(&self, actor: &str, force: bool) -> Result<(), RiskRefusal> {
        match &self.claim {
            Some(claim) if claim.by != actor && !force => {
                Err(RiskRefusal::ReviewClaimed { claim: claim.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl Risks {
    pub(super) async fn list(
        &self,
        request: v1::ListReviewsRequest,
    ) -> Result<v1::ListReviewsResponse, Status> {
        use v1::list_reviews_request::Claim;
        let desk = self.desk()?;
        let kind = match request.kind() {
            v1::ReviewKind::Unspecified | v1::ReviewKind::Review => ReviewKind::Review,
            v1::ReviewKind::Challenge => ReviewKind::Challenge,
        };
        let claimed_by = match request.claim {
            Some(Claim::ClaimedBy(actor)) => Some(actor),
            Some(Claim::Unclaimed(true)) => Some(String::new()),
            Some(Claim::Unclaimed(false)) | None => None,
        };
        let page = OpenPage {
            kind,
            after_seq: page_token(&request.page_token)?.unwrap_or(0),
            limit: page_size(request.page_size),
            claimed_by,
        };
        let found = self.ask(&desk, move |desk| desk.open_reviews(&page)).await?;
        Ok(v1::ListReviewsResponse {
            reviews: found.reviews.iter().filter_map(wire::review).collect(),
            next_page_token: found.next_after_seq.map_or_else(String::new, |seq| seq.to_string()),
        })
    }

    /// Looks how a review stands. The caller has its lock.
    async fn standing(
        &self,
        desk: &Arc<dyn ReviewDesk>,
        id: PaymentId,
        deadline: Option<Instant>,
    ) -> Result<Standing, Status> {
        let view = self.known_payment(id, deadline).await?;
        let held = view.outcome.status == Became::Held && view.verdict.decision.holds();
        let (true, Some(hold)) = (held, view.hold) else {
            return Err(RiskRefusal::NotUnderReview { what: wire::what_happened(&view) }.into());
        };
        let payment = Uuid::from_u128(id.0);
        let unread = self.ledgered.unread(desk.as_ref(), |act| match act {
            ActKind::ClaimReview { payment: of, by } if *of == payment => Some(by.clone()),
            _ => None,
        });
        let claim = match unread.into_iter().next_back() {
            Some((by, deed)) => (!by.is_empty()).then_some(Deed { by, ..deed }),
            None => {
                let decided = self.ask(desk, move |desk| desk.by_payment(id)).await?;
                decided.and_then(|decided| decided.standing?.claim)
            }
        };
        Ok(Standing { hold, claim })
    }

    pub(super) async fn claim(
        &self,
        request: v1::ClaimReviewRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::ClaimReviewResponse, Status> {
        let id = payment_id(&request.payment_id)?;
        let signature = Signature::check(request.actor, request.why)?;
        let by = signature.actor.clone();
        let (event_sequence, replayed) =
            self.give_to(id, &signature, request.force, by, deadline).await?;
        Ok(v1::ClaimReviewResponse { event_sequence, replayed })
    }

    pub(super) async fn release(
        &self,
        request: v1::ReleaseReviewRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::ReleaseReviewResponse, Status> {
        let id = payment_id(&request.payment_id)?;
        let signature = Signature::check(request.actor, request.why)?;
        let (event_sequence, replayed) =
            self.give_to(id, &signature, request.force, String::new(), deadline).await?;
        Ok(v1::ReleaseReviewResponse { event_sequence, replayed })
    }

    /// Makes an open review somebody's, or nobody's with an empty name. Returns the event that says so,
    /// 0 where nobody ever claimed it, and whether it was so before.
    async fn give_to(
        &self,
        id: PaymentId,
        signature: &Signature,
        force: bool,
        by: String,
        deadline: Option<Instant>,
    ) -> Result<(u64, bool), Status> {
        let desk = self.current_desk().await?;
        let _lock = self.ledgered.lock(id).await;
        let standing = self.standing(&desk, id, deadline).await?;
        standing.check_open()?;
        standing.check_claim(&signature.actor, force)?;
        let whose = standing.claim.as_ref().map_or("", |claim| claim.by.as_str());
        if whose == by {
            return Ok((standing.claim.map_or(0, |claim| claim.seq), true));
        }
        let act = ActKind::ClaimReview { payment: Uuid::from_u128(id.0), by };
        let deed = self.act(desk.as_ref(), signature, act, deadline).await?;
        Ok((deed.seq, false))
    }

    pub(super) async fn resolve(
        &self,
        request: v1::ResolveReviewRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::ResolveReviewResponse, Status> {
        let id = payment_id(&request.payment_id)?;
        let operation = match request.verdict() {
            v1::ReviewVerdict::Approve => Operation::Capture,
            v1::ReviewVerdict::Decline => Operation::Void,
            v1::ReviewVerdict::Unspecified => {
                let what = "is neither APPROVE nor DECLINE";
                return Err(RiskRefusal::FieldMalformed { field: "verdict", what }.into());
            }
        };
        let signature = Signature::check(request.actor, request.why)?;
        let desk = self.current_desk().await?;
        let _lock = self.ledgered.lock(id).await;
        let standing = self.standing(&desk, id, deadline).await?;
        let last = self.last_attempt(id, deadline).await?;
        if standing.hold != HoldState::Open {
            return Ok(first_outcome(&standing, last.view, operation)?);
        }
        standing.check_claim(&signature.actor, request.force)?;
        let next = last.next.ok_or(RiskRefusal::TooManyAttempts)?;
        let approve = operation == Operation::Capture;
        let act = ActKind::ResolveReview { payment: Uuid::from_u128(id.0), approve };
        let deed = self.act(desk.as_ref(), &signature, act, deadline).await?;
        let reply = self.move_money(next, id, operation).await?;
        Ok(v1::ResolveReviewResponse {
            outcome: Some(convert::payment_outcome(&reply)),
            event_sequence: deed.seq,
            replayed: false,
        })
    }

    /// The last capture or void by which the review was to be resolved, and the id of the next one.
    async fn last_attempt(
        &self,
        hold: PaymentId,
        deadline: Option<Instant>,
    ) -> Result<Attempts, Refusal> {
        let mut attempts = Attempts { view: None, next: None };
        for attempt in 0..=u8::MAX {
            let id = resolution_id(hold, attempt);
            match self.payment(id, deadline).await? {
                Some(view) => attempts.view = Some(view),
                None => {
                    attempts.next = Some(id);
                    break;
                }
            }
        }
        Ok(attempts)
    }

    /// Captures or voids all that is left. The act is journaled: this follows, deadline or not, and
    /// also while the server drains.
    async fn move_money(
        &self,
        id: PaymentId,
        hold: PaymentId,
        operation: Operation,
    ) -> Result<PaymentReply, Status> {
        let flags = match operation {
            Operation::Capture => PaymentFlags::RESOLVES_REVIEW,
            _ => PaymentFlags::NONE,
        };
        let (original, amount) = (hold, Amount::ALL);
        let payment = Payment { id, original, amount, operation, flags, ..Payment::default() };
        let command =
            |reply| Command::Payments { payments: vec![payment], contexts: Vec::new(), reply };
        let replies = self.admission.follow_up(command).await?.answer().await?;
        replies.first().copied().ok_or_else(|| RiskRefusal::Stopped.into())
    }
}

struct Attempts {
    view: Option<PaymentView>,
    next: Option<PaymentId>,
}

/// The hold has ended: by the same resolution, which is answered again, or otherwise.
fn first_outcome(
    standing: &Standing,
    last: Option<PaymentView>,
    operation: Operation,
) -> Result<v1::ResolveReviewResponse, RiskRefusal> {
    let Some(last) = last.filter(|last| last.outcome.is_accepted()) else {
        return Err(RiskRefusal::ReviewClosed { hold: standing.hold });
    };
    if last.payment.operation != operation {
        let approved = last.payment.operation == Operation::Capture;
        return Err(RiskRefusal::ReviewResolved { approved });
    }
    let reply = PaymentReply {
        id: last.payment.id,
        seq: last.seq,
        outcome: last.outcome,
        verdict: last.verdict,
        replayed: true,
    };
    Ok(v1::ResolveReviewResponse {
        outcome: Some(convert::payment_outcome(&reply)),
        event_sequence: 0,
        replayed: true,
    })
}
