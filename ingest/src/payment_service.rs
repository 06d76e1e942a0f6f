//! `PaymentService`: consumes payments one by one, in batches, or as a stream; produces one
//! outcome per payment, in order.

use std::pin::Pin;

use bytes::Bytes;
use millrace_engine::{Command, PaymentReply};
use millrace_ledger::PaymentId;
use millrace_protos::{
    Payment, PaymentOutcome, REQUEST_ITEMS_MAX,
    v1::{self, payment_service_server::PaymentService},
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    admit::{Admission, Pending, deadline},
    caller::Caller,
    convert,
    error_layer::with_info,
    status::Refusal,
};

/// Requests of one stream that may await their answers; the next one waits to be read.
const STREAM_WINDOW: usize = 64;

/// The service; see the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Payments {
    pub(crate) admission: Admission,
}

impl Payments {
    async fn submit(
        &self,
        mut wire: Vec<Payment>,
        caller: Caller,
    ) -> Result<Pending<Vec<PaymentReply>>, Refusal> {
        if wire.len() > REQUEST_ITEMS_MAX {
            return Err(Refusal::TooManyItems);
        }
        caller.put_trace(&mut wire);
        let payments = wire.iter().map(convert::payment).collect();
        let contexts = match wire.iter().any(|payment| !payment.context.is_empty()) {
            true => wire.into_iter().map(|payment| journaled_context(payment.context)).collect(),
            false => Vec::new(),
        };
        let command = |reply| Command::Payments { payments, contexts, reply };
        self.admission.submit(caller.deadline, command).await
    }

    async fn submit_one<T>(
        &self,
        request: Request<T>,
        payment: impl FnOnce(T) -> Result<Payment, Refusal>,
    ) -> Result<Option<PaymentOutcome>, Status> {
        let caller = Caller::of(request.metadata().as_ref());
        let payment = payment(request.into_inner())?;
        let replies = self.submit(vec![payment], caller).await?.answer().await?;
        Ok(replies.first().map(convert::payment_outcome))
    }
}

/// A context that is too long to be one is refused, and not kept either.
fn journaled_context(context: Bytes) -> Bytes {
    if context.len() > usize::from(u16::MAX) { Bytes::new() } else { context }
}

fn outcomes(replies: &[PaymentReply]) -> Vec<PaymentOutcome> {
    replies.iter().map(convert::payment_outcome).collect()
}

fn encoded(context: Option<v1::PaymentContext>) -> Bytes {
    use prost::Message as _;
    context.map_or_else(Bytes::new, |context| context.encode_to_vec().into())
}

#[tonic::async_trait]
impl PaymentService for Payments {
    async fn submit_payment(
        &self,
        request: Request<v1::SubmitPaymentRequest>,
    ) -> Result<Response<v1::SubmitPaymentResponse>, Status> {
        let payment =
            |request: v1::SubmitPaymentRequest| request.payment.ok_or(Refusal::PaymentMissing);
        let outcome = self.submit_one(request, payment).await?;
        Ok(Response::new(v1::SubmitPaymentResponse { outcome }))
    }

    async fn submit_payments(
        &self,
        request: Request<v1::SubmitPaymentsRequest>,
    ) -> Result<Response<v1::SubmitPaymentsResponse>, Status> {
        let caller = Caller::of(request.metadata().as_ref());
        let payments = request.into_inner().payments;
        let replies = self.submit(payments, caller).await?.answer().await?;
        Ok(Response::new(v1::SubmitPaymentsResponse { outcomes: outcomes(&replies) }))
    }

    type StreamPaymentsStream =
        Pin<Box<dyn Stream<Item = Result<v1::StreamPaymentsResponse, Status>> + Send>>;

    async fn stream_payments(
        &self,
        request: Request<Streaming<v1::StreamPaymentsRequest>>,
    ) -> Result<Response<Self::StreamPaymentsStream>, Status> {
        let caller = Caller::of(request.metadata().as_ref());
        let (sender, receiver) = mpsc::channel(STREAM_WINDOW);
        let reading = self.clone().read_stream(request.into_inner(), caller, sender);
        tokio::spawn(reading);
        let responses = ReceiverStream::new(receiver).then(|pending| async {
            let replies: Vec<PaymentReply> = match pending {
                Ok(pending) => Pending::answer(pending).await?,
                Err(status) => return Err(status),
            };
            Ok(v1::StreamPaymentsResponse { outcomes: outcomes(&replies) })
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn capture_payment(
        &self,
        request: Request<v1::CapturePaymentRequest>,
    ) -> Result<Response<v1::CapturePaymentResponse>, Status> {
        let payment = |request: v1::CapturePaymentRequest| {
            let (id, original) = (&request.payment_id, &request.original_payment_id);
            let mut payment = Payment::follow_up(v1::Operation::Capture, id, original);
            payment.amount_minor = request.amount_minor;
            payment.context = encoded(request.context);
            Ok(payment)
        };
        let outcome = self.submit_one(request, payment).await?;
        Ok(Response::new(v1::CapturePaymentResponse { outcome }))
    }

    async fn void_payment(
        &self,
        request: Request<v1::VoidPaymentRequest>,
    ) -> Result<Response<v1::VoidPaymentResponse>, Status> {
        let payment = |request: v1::VoidPaymentRequest| {
            let (id, original) = (&request.payment_id, &request.original_payment_id);
            let mut payment = Payment::follow_up(v1::Operation::Void, id, original);
            payment.context = encoded(request.context);
            Ok(payment)
        };
        let outcome = self.submit_one(request, payment).await?;
        Ok(Response::new(v1::VoidPaymentResponse { outcome }))
    }

    async fn refund_payment(
        &self,
        request: Request<v1::RefundPaymentRequest>,
    ) -> Result<Response<v1::RefundPaymentResponse>, Status> {
        let payment = |request: v1::RefundPaymentRequest| {
            let (id, original) = (&request.payment_id, &request.original_payment_id);
            let mut payment = Payment::follow_up(v1::Operation::Refund, id, original);
            payment.amount_minor = request.amount_minor;
            payment.context = encoded(request.context);
            Ok(payment)
        };
        let outcome = self.submit_one(request, payment).await?;
        Ok(Response::new(v1::RefundPaymentResponse { outcome }))
    }

    async fn get_payment(
        &self,
        request: Request<v1::GetPaymentRequest>,
    ) -> Result<Response<v1::GetPaymentResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        let id = convert::id(&request.get_ref().payment_id)
            .ok_or(Refusal::IdMalformed { field: "payment_id" })?;
        let command = |reply| Command::GetPayment { id: PaymentId(id), reply };
        let view = self.admission.submit(deadline, command).await?.answer().await?;
        let view = view.map_err(Refusal::from)?;
        let view = view.ok_or(Refusal::PaymentUnknown)?;
        Ok(Response::new(convert::payment_view(&view)))
    }
}

type PendingResponse = Result<Pending<Vec<PaymentReply>>, Status>;

impl Payments {
    /// Reads a stream's requests into the queue, until the stream ends, a request can't be taken,
    /// or the server drains. What was taken is answered in every case.
    async fn read_stream(
        self,
        mut requests: Streaming<v1::StreamPaymentsRequest>,
        caller: Caller,
        responses: mpsc::Sender<PendingResponse>,
    ) {
        let mut draining = self.admission.draining.clone();
        loop {
            let message = tokio::select! {
                message = requests.message() => message,
                _ = draining.wait_for(|draining| *draining) => Err(Refusal::Draining.into()),
            };
            let pending = match message {
                Ok(Some(request)) => {
                    self.submit(request.payments, caller).await.map_err(Status::from)
                }
                Ok(None) => return,
                Err(status) => Err(with_info(&status)),
            };
            let is_last = pending.is_err();
            if responses.send(pending).await.is_err() || is_last {
                return;
            }
        }
    }
}
