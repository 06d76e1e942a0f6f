//! What people do through GraphQL, taken to the engine by the same door as everything else: the gRPC
//! service, in this process or another one, which journals who and why.

use futures_util::future::BoxFuture;
use millrace_client::Connection;
use millrace_ledger::PaymentId;
use millrace_protos::{
    convert::id_bytes,
    v1::{
        self, PaymentStatus, RecordActRequest, ResolveReviewRequest, ReviewVerdict,
        record_act_request::Act,
    },
};
use millrace_sinks::graphql::{ActError, Acts, NotificationAct};
use tokio::sync::OnceCell;
use tonic::{Code, Status};

/// A front door that is connected to when it is needed first.
pub(crate) struct FrontDoor {
    url: String,
    connection: OnceCell<Connection>,
}

impl FrontDoor {
    pub(crate) fn new(url: String) -> Self {
        Self { url, connection: OnceCell::new() }
    }

    async fn connected(&self) -> Result<&Connection, ActError> {
        let connecting = self.connection.get_or_try_init(|| Connection::open(&self.url));
        connecting.await.map_err(|error| ActError::Unavailable(error.to_string()))
    }

    async fn record(&self, request: RecordActRequest) -> Result<(), ActError> {
        let connection = self.connected().await?;
        let answer = connection.operator().record_act(request).await;
        // It names nothing that could be unknown.
        answer.map(drop).map_err(|status| refusal(PaymentId::ZERO, connection, &status))
    }

    async fn resolve(
        &self,
        payment: PaymentId,
        request: ResolveReviewRequest,
    ) -> Result<(), ActError> {
        let connection = self.connected().await?;
        let answer = connection.risk().resolve_review(request).await;
        let answer = answer.map_err(|status| refusal(payment, connection, &status))?.into_inner();
        match answer.outcome {
            Some(outcome) if outcome.status == PaymentStatus::Rejected as i32 => {
                let reason = millrace_client::reason_name(outcome.reject_reason);
                Err(ActError::Refused(format!(
                    "the ledger refused to move the money: {reason}; the review stays open"
                )))
            }
            _ => Ok(()),
        }
    }
}

fn refusal(payment: PaymentId, connection: &Connection, status: &Status) -> ActError {
    let said = || connection.explain(status).to_string();
    match status.code() {
        Code::NotFound => ActError::Unknown(payment),
        Code::InvalidArgument => ActError::Invalid(said()),
        Code::FailedPrecondition | Code::AlreadyExists => ActError::NotPossible(said()),
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::ResourceExhausted => {
            ActError::Unavailable(said())
        }
        _ => ActError::Refused(said()),
    }
}

impl Acts for FrontDoor {
    fn resolve_review(
        &self,
        payment: PaymentId,
        accept: bool,
        actor: String,
        why: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        let verdict = if accept { ReviewVerdict::Approve } else { ReviewVerdict::Decline };
        let request = ResolveReviewRequest {
            payment_id: id_bytes(payment.0),
            verdict: verdict as i32,
            actor,
            why,
            force: false,
        };
        Box::pin(self.resolve(payment, request))
    }

    fn record(
        &self,
        act: NotificationAct,
        actor: String,
        why: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        let act = match act {
            NotificationAct::Resend { notification, payment, account } => {
                Act::ResendNotification(v1::ResendNotification {
                    notification_id: notification,
                    payment_id: payment.map(|id| id_bytes(id.0)).unwrap_or_default(),
                    account_id: id_bytes(account.0),
                })
            }
            NotificationAct::SetPreferences { owner } => {
                Act::SetPreferences(v1::SetPreferences { owner_id: id_bytes(owner) })
            }
        };
        Box::pin(self.record(RecordActRequest { actor, why, act: Some(act) }))
    }
}
