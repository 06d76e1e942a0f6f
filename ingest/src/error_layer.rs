//! The outermost layer: statuses that the gRPC library makes itself get their `ErrorInfo` here,
//! and the codes that this API promises for messages that can't be read and for deadlines.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use crate::{
    admit::deadline,
    status::{Refusal, with_reason},
};

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ErrorInfoLayer;

impl<S> Layer<S> for ErrorInfoLayer {
    type Service = ErrorInfo<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorInfo { inner }
    }
}

/// The service that [`ErrorInfoLayer`] makes.
#[derive(Clone, Debug)]
pub(crate) struct ErrorInfo<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for ErrorInfo<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The library's own timer stands outside of all layers and answers without an `ErrorInfo`.
        // This one is started first, so that it is first to be ready.
        let expiry = deadline(request.headers()).map(|at| tokio::time::sleep_until(at.into()));
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = match expiry {
                None => response.await?,
                Some(expiry) => tokio::select! {
                    biased;
                    response = response => response?,
                    () = expiry => return Ok(Status::from(Refusal::DeadlinePassed).into_http()),
                },
            };
            Ok(match missing_info(response.headers()) {
                Some(status) => status.into_http(),
                None => response,
            })
        })
    }
}

/// The status to send instead, if this one is an error without details.
fn missing_info(headers: &HeaderMap) -> Option<Status> {
    if !headers.contains_key("grpc-status") || headers.contains_key("grpc-status-details-bin") {
        return None;
    }
    let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)?;
    Some(with_info(&status))
}

/// The same status with an `ErrorInfo`, or the one that this API promises in its place.
pub(crate) fn with_info(status: &Status) -> Status {
    if !status.details().is_empty() {
        return status.clone();
    }
    let message = status.message();
    let reason = match status.code() {
        Code::Internal if message.contains("decode") => return Refusal::MalformedMessage.into(),
        Code::OutOfRange if message.contains("length too large") => {
            return Refusal::MessageTooLarge.into();
        }
        // The library drops a call whose deadline passes wherever it is.
        Code::Cancelled if message.contains("Timeout") => return Refusal::DeadlinePassed.into(),
        Code::DeadlineExceeded => return Refusal::DeadlinePassed.into(),
        Code::Unimplemented => "METHOD_UNKNOWN",
        Code::NotFound => "NOT_FOUND",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Unavailable => "UNAVAILABLE",
        Code::Cancelled => "CANCELLED",
        _ => "INTERNAL",
    };
    let message = match message {
        "" if reason == "METHOD_UNKNOWN" => "this server has no such method",
        message => message,
    };
    with_reason(status.code(), reason, message.to_owned())
}
