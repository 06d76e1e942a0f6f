//! Wire messages and services of `millrace.v1`: what upstream systems send and receive.
//!
//! Generated from `proto/` without a system `protoc`, except for the two messages that every
//! payment passes through: [`Payment`] and [`PaymentOutcome`] are written by hand so that decoding
//! a payment allocates nothing, and are tested against the descriptor; and except for the
//! [`requests`] that carry many items, which are bounded while they are read.

pub mod context;
pub mod convert;
pub mod outcome;
pub mod payment;
pub mod requests;
pub mod trace;
mod wire;

pub use outcome::PaymentOutcome;
pub use payment::Payment;
pub use trace::Trace;

/// Generated messages, enums, clients and servers of package `millrace.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::semicolon_if_nothing_returned)]
#[allow(clippy::needless_pass_by_value, clippy::large_futures)]
pub mod v1 {
    tonic::include_proto!("millrace.v1");
    pub use crate::{
        outcome::PaymentOutcome,
        payment::Payment,
        requests::{
            CreateAccountsRequest, GetAccountsRequest, StreamPaymentsRequest, SubmitPaymentsRequest,
        },
    };
}

/// The encoded `FileDescriptorSet` of package `millrace.v1`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/millrace_descriptors.bin"));

/// Most items that one request may carry (payments, accounts, ids).
pub const REQUEST_ITEMS_MAX: usize = 8_192;
