//! `RiskService`: consumes what analysts ask and decide, produces one journaled act per change and
//! answers from the ledger and the review desk.
//!
//! A change's way: `Signature` (who and why, checked) → the ledger (how does the payment stand?) →
//! `acts` (one event of the journal) → for a resolution, the capture or void that follows it.
//! Guarantees that asking twice is the same as asking once.

mod acts;
mod desk;
mod download;
mod explain;
mod policies;
mod refusal;
mod report;
mod reviews;
mod upload;
mod wire;

use std::{sync::Arc, time::Instant};

use millrace_engine::Command;
use millrace_ledger::{PaymentId, PaymentView};
use millrace_protos::v1::{self, risk_service_server::RiskService};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use self::acts::Ledgered;
use crate::{
    admit::{Admission, deadline},
    convert,
    status::Refusal,
};

pub(crate) use self::{acts::Signature, refusal::RiskRefusal};
pub use self::{
    acts::check_signature,
    desk::{CatalogueOf, CheckPolicy, ReviewDesk, RiskParts},
};

/// Uploads that may be under way: each is in memory until it is whole.
const UPLOADS_MAX: usize = 2;
/// The same of downloads.
const DOWNLOADS_MAX: usize = 2;
const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 200;

/// The service; see the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Risks {
    admission: Admission,
    parts: RiskParts,
    ledgered: Arc<Ledgered>,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl Risks {
    pub(crate) fn new(admission: Admission, parts: RiskParts) -> Self {
        let ledgered = Arc::new(Ledgered::new(parts.feed.durable_seq()));
        let [uploads, downloads] =
            [UPLOADS_MAX, DOWNLOADS_MAX].map(|max| Arc::new(Semaphore::new(max)));
        Self { admission, parts, ledgered, uploads, downloads }
    }

    fn desk(&self) -> Result<Arc<dyn ReviewDesk>, RiskRefusal> {
        self.parts.desk.clone().ok_or(RiskRefusal::DeskOff)
    }

    /// The payment as it stands after all that was submitted before.
    async fn payment(
        &self,
        id: PaymentId,
        deadline: Option<Instant>,
    ) -> Result<Option<PaymentView>, Refusal> {
        let command = |reply| Command::GetPayment { id, reply };
        let found = self.admission.submit(deadline, command).await?.answer().await?;
        found.map_err(Refusal::from)
    }

    async fn known_payment(
        &self,
        id: PaymentId,
        deadline: Option<Instant>,
    ) -> Result<PaymentView, Refusal> {
        self.payment(id, deadline).await?.ok_or(Refusal::PaymentUnknown)
    }

    /// Asks the desk on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        desk: &Arc<dyn ReviewDesk>,
        question: impl FnOnce(&dyn ReviewDesk) -> Result<T, String> + Send + 'static,
    ) -> Result<T, RiskRefusal> {
        let desk = Arc::clone(desk);
        let answer = blocking(move || question(desk.as_ref())).await?;
        answer.map_err(|what| RiskRefusal::DeskFailed { what })
    }
}

/// Does work that may block on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RiskRefusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RiskRefusal::Stopped)
}

/// Does work to its end, even if whoever asked for it has gone.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<Response<T>, Status> {
    let done = tokio::spawn(work).await.unwrap_or_else(|_| Err(RiskRefusal::Stopped.into()));
    done.map(Response::new)
}

fn payment_id(bytes: &[u8]) -> Result<PaymentId, Refusal> {
    convert::id(bytes).map(PaymentId).ok_or(Refusal::IdMalformed { field: "payment_id" })
}

/// How many items a page may have.
fn page_size(asked: u32) -> usize {
    match asked {
        0 => PAGE_DEFAULT as usize,
        asked => asked.min(PAGE_MAX) as usize,
    }
}

/// Reads a page token: a position in decimal; `None` for the first page.
fn page_token<T: std::str::FromStr>(token: &str) -> Result<Option<T>, RiskRefusal> {
    let what = "is not one that an answer of this method gave";
    let malformed = |_| RiskRefusal::FieldMalformed { field: "page_token", what };
    match token {
        "" => Ok(None),
        token => token.parse().map(Some).map_err(malformed),
    }
}

#[tonic::async_trait]
impl RiskService for Risks {
    async fn list_reviews(
        &self,
        request: Request<v1::ListReviewsRequest>,
    ) -> Result<Response<v1::ListReviewsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn claim_review(
        &self,
        request: Request<v1::ClaimReviewRequest>,
    ) -> Result<Response<v1::ClaimReviewResponse>, Status> {
        let (deadline, this) = (deadline(request.metadata().as_ref()), self.clone());
        let request = request.into_inner();
        to_the_end(async move { this.claim(request, deadline).await }).await
    }

    async fn release_review(
        &self,
        request: Request<v1::ReleaseReviewRequest>,
    ) -> Result<Response<v1::ReleaseReviewResponse>, Status> {
        let (deadline, this) = (deadline(request.metadata().as_ref()), self.clone());
        let request = request.into_inner();
        to_the_end(async move { this.release(request, deadline).await }).await
    }

    async fn resolve_review(
        &self,
        request: Request<v1::ResolveReviewRequest>,
    ) -> Result<Response<v1::ResolveReviewResponse>, Status> {
        let (deadline, this) = (deadline(request.metadata().as_ref()), self.clone());
        let request = request.into_inner();
        to_the_end(async move { this.resolve(request, deadline).await }).await
    }

    async fn explain_decision(
        &self,
        request: Request<v1::ExplainDecisionRequest>,
    ) -> Result<Response<v1::ExplainDecisionResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        let id = payment_id(&request.get_ref().payment_id)?;
        Ok(Response::new(self.explain(id, deadline).await?))
    }

    async fn report_fraud(
        &self,
        request: Request<v1::ReportFraudRequest>,
    ) -> Result<Response<v1::ReportFraudResponse>, Status> {
        let (deadline, this) = (deadline(request.metadata().as_ref()), self.clone());
        let request = request.into_inner();
        to_the_end(async move { this.report(request, deadline).await }).await
    }

    async fn upload_artefact(
        &self,
        request: Request<Streaming<v1::UploadArtefactRequest>>,
    ) -> Result<Response<v1::UploadArtefactResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        Ok(Response::new(self.upload(request.into_inner(), deadline).await?))
    }

    type DownloadArtefactStream = download::Pieces;

    async fn download_artefact(
        &self,
        request: Request<v1::DownloadArtefactRequest>,
    ) -> Result<Response<Self::DownloadArtefactStream>, Status> {
        Ok(Response::new(self.download(request.into_inner()).await?))
    }

    async fn set_policy(
        &self,
        request: Request<v1::SetPolicyRequest>,
    ) -> Result<Response<v1::SetPolicyResponse>, Status> {
        let (deadline, this) = (deadline(request.metadata().as_ref()), self.clone());
        let request = request.into_inner();
        to_the_end(async move { this.set(request, deadline).await }).await
    }

    async fn get_policy(
        &self,
        _: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        Ok(Response::new(self.policy().await?))
    }

    async fn list_policies(
        &self,
        request: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        Ok(Response::new(self.policies(request.into_inner()).await?))
    }
}
