//! The connection to Millrace: consumes a URL, produces a channel, and turns what goes wrong on it
//! into sentences that say what to do.

use std::{error::Error as _, fmt::Write as _, sync::Arc, time::Duration};

use millrace_protos::v1::{
    account_service_client::AccountServiceClient, operator_service_client::OperatorServiceClient,
    payment_service_client::PaymentServiceClient, risk_service_client::RiskServiceClient,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of an answer: 8,192 outcomes with a risk reason each fit many times over.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A request that could not be taken, or a server that can't be reached, as one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct CallError {
    /// What went wrong, and what to do.
    pub sentence: String,
    /// The gRPC code, for a caller that decides by it.
    pub code: Code,
}

/// A server and the way to it.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    url: Arc<str>,
}

impl Connection {
    /// Connects to a server such as `http://127.0.0.1:7400`.
    ///
    /// # Errors
    /// When the URL is not one, or nothing answers there.
    pub async fn open(url: &str) -> Result<Self, CallError> {
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| CallError {
            sentence: format!(
                "`{url}` is not the URL of a server; write it like http://127.0.0.1:7400"
            ),
            code: Code::InvalidArgument,
        })?;
        if !url.contains("://") {
            let sentence =
                format!("`{url}` is not the URL of a server; write it like http://127.0.0.1:7400");
            return Err(CallError { sentence, code: Code::InvalidArgument });
        }
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        match endpoint.connect().await {
            Ok(channel) => Ok(Self { channel, url: url.into() }),
            Err(error) => Err(explain(&Status::from_error(error.into()), url)),
        }
    }

    /// A server whose channel is already there; `url` is for errors.
    #[must_use]
    pub fn over(channel: Channel, url: &str) -> Self {
        Self { channel, url: url.into() }
    }

    /// Where the server is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of the payment service.
    #[must_use]
    pub fn payments(&self) -> PaymentServiceClient<Channel> {
        PaymentServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A client of the account service.
    #[must_use]
    pub fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A client of the risk service.
    #[must_use]
    pub fn risk(&self) -> RiskServiceClient<Channel> {
        RiskServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A client of the operator service.
    #[must_use]
    pub fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel.clone())
    }

    /// What a status of this server means.
    #[must_use]
    pub fn explain(&self, status: &Status) -> CallError {
        explain(status, &self.url)
    }
}

/// Turns a status into one sentence.
#[must_use]
pub fn explain(status: &Status, url: &str) -> CallError {
    let cause = root_cause(status);
    let mut sentence = match (status.code(), cause.as_deref()) {
        (_, Some(cause)) if cause.contains("Connection refused") => format!(
            "nothing listens at {url} (connection refused): start Millrace there, or give the \
             URL where it runs"
        ),
        (_, Some(cause)) => format!(
            "the connection to {url} failed ({cause}): check that Millrace runs there and can be \
             reached"
        ),
        (Code::Unavailable, None) => {
            format!("the server at {url} is not available right now: {}", status.message())
        }
        (Code::Unimplemented, None) => {
            format!("what answers at {url} is not a Millrace of this version")
        }
        (code, None) => match status.message() {
            "" => format!("the server at {url} refused the request: {code}"),
            message => format!("the server at {url} refused the request: {message}"),
        },
    };
    if let Some(error_info) = status.get_details_error_info() {
        let _ = write!(sentence, " (reason {})", error_info.reason);
    }
    CallError { sentence, code: status.code() }
}

/// Whether the same request may succeed later. Resending is safe: every request carries the ids
/// that make it idempotent.
pub(crate) fn is_temporary(status: &Status) -> bool {
    let is_code = matches!(
        status.code(),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
    );
    // A server's own status has no source; one that stands for a broken connection has the
    // transport's error there, under whatever code the transport found nearest.
    is_code || status.source().is_some()
}

/// The innermost error behind a status that the transport made: the system's own words.
fn root_cause(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}
