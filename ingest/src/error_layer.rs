//! The outermost layer: statuses that the gRPC library makes itself get their `ErrorInfo` here,
//! and the codes that this API promises for messages that can't be read.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use crate::status::{Refusal, with_reason};

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

impl<S, Request> Service<Request> for ErrorInfo<S>
where
    S: Service<Request, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
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
