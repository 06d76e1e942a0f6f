//! Refusals of whole requests, as gRPC statuses: one list, one mapping. Each carries a
//! `google.rpc.ErrorInfo` with a stable reason, so that a caller never has to read the message.

use std::collections::HashMap;

use millrace_engine::PaymentReadError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every `ErrorInfo`.
pub(crate) const DOMAIN: &str = "millrace.v1";

/// Why a request was not taken, or its answer is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message is not the protobuf that the method takes.
    MalformedMessage,
    /// The message is larger than the server takes.
    MessageTooLarge,
    /// More items than one request may carry.
    TooManyItems,
    /// A request for one payment without the payment.
    PaymentMissing,
    /// An id that is not 16 bytes.
    IdMalformed { field: &'static str },
    /// Nobody knows the payment's id.
    PaymentUnknown,
    /// The queue had no room for as long as the server waits.
    QueueFull,
    /// The deadline passed while the request was queued: nothing happened and nothing will.
    DeadlinePassedInQueue,
    /// The deadline passed while the answer was awaited: the outcome is not known.
    DeadlinePassed,
    /// The server is stopping and takes no more.
    Draining,
    /// What is known of the payment is on disk, and can't be read from there.
    PaymentUnreadable,
    /// The engine stopped before it answered: the outcome is not known.
    EngineStopped,
}

impl From<PaymentReadError> for Refusal {
    fn from(error: PaymentReadError) -> Self {
        match error {
            PaymentReadError::Busy => Self::QueueFull,
            PaymentReadError::Unreadable(_) => Self::PaymentUnreadable,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        use Refusal as R;
        let max = millrace_protos::REQUEST_ITEMS_MAX;
        let (code, reason, message) = match refusal {
            R::MalformedMessage => (
                Code::InvalidArgument,
                "MALFORMED_MESSAGE",
                "the message is not the protobuf that this method takes".to_owned(),
            ),
            R::MessageTooLarge => (
                Code::ResourceExhausted,
                "MESSAGE_TOO_LARGE",
                "the message is larger than the server takes; send fewer items at once".to_owned(),
            ),
            R::TooManyItems => (
                Code::InvalidArgument,
                "TOO_MANY_ITEMS",
                format!("one request may carry {max} items; send fewer at once"),
            ),
            R::PaymentMissing => (
                Code::InvalidArgument,
                "PAYMENT_MISSING",
                "the field payment is not set".to_owned(),
            ),
            R::IdMalformed { field } => {
                (Code::InvalidArgument, "ID_MALFORMED", format!("{field} is not 16 bytes long"))
            }
            R::PaymentUnknown => {
                (Code::NotFound, "PAYMENT_UNKNOWN", "no payment took this id".to_owned())
            }
            R::QueueFull => (
                Code::ResourceExhausted,
                "QUEUE_FULL",
                "the queue is full; nothing happened: send the request again later".to_owned(),
            ),
            R::DeadlinePassedInQueue => (
                Code::DeadlineExceeded,
                "DEADLINE_PASSED_IN_QUEUE",
                "the deadline passed before the request was sequenced; nothing happened".to_owned(),
            ),
            R::DeadlinePassed => (
                Code::DeadlineExceeded,
                "DEADLINE_PASSED",
                "the deadline passed; send the same ids again to learn the outcome".to_owned(),
            ),
            R::Draining => (
                Code::Unavailable,
                "DRAINING",
                "the server is stopping; nothing happened: send the request elsewhere".to_owned(),
            ),
            R::PaymentUnreadable => (
                Code::DataLoss,
                "PAYMENT_UNREADABLE",
                "the payment is older than what is in memory, and can't be read from disk; the \
                 server's log says which file is damaged. Payments go on"
                    .to_owned(),
            ),
            R::EngineStopped => (
                Code::Unavailable,
                "ENGINE_STOPPED",
                "the engine stopped; send the same ids again to learn the outcome".to_owned(),
            ),
        };
        with_reason(code, reason, message)
    }
}

/// A status with an `ErrorInfo`.
pub(crate) fn with_reason(code: Code, reason: &str, message: String) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}
