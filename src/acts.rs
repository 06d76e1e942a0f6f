//! What people do through GraphQL, taken to the engine by the same door as everything else: the gRPC
//! service, in this process or another one, which journals who and why.

use futures_util::future::BoxFuture;
use millrace_client::Connection;
use millrace_ledger::PaymentId;
use millrace_protos::{
    convert::id_bytes,
    v1::{PaymentStatus, ResolveReviewRequest, ReviewVerdict},
};
use millrace_sinks::graphql::{ActError, Acts};
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

    async fn resolve(
        &self,
        payment: PaymentId,
        request: ResolveReviewRequest,
    ) -> Result<(), ActError> {
        let connecting = self.connection.get_or_try_init(|| Connection::open(&self.url));
        let connection =
            connecting.await.map_err(|error| ActError::Unavailable(error.to_string()))?;
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
}
