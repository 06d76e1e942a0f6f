//! The server: consumes connections, hands their requests to the services. The gRPC stack stands
//! here as one list, and the order in which it stops.

use std::{future::Future, net::SocketAddr, time::Duration};

use millrace_engine::Submitter;
use millrace_protos::{
    FILE_DESCRIPTOR_SET,
    v1::{
        account_service_server::AccountServiceServer,
        operator_service_server::OperatorServiceServer,
        payment_service_server::PaymentServiceServer, risk_service_server::RiskServiceServer,
    },
};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::watch};
use tonic::transport::Server;
use tonic_reflection::server::Builder as ReflectionBuilder;

use crate::{
    account_service::Accounts,
    admit::Admission,
    connections,
    error_layer::ErrorInfoLayer,
    operator_service::Operators,
    payment_service::Payments,
    risk_service::{RiskParts, Risks},
};

/// How long streams have to end before connections are closed.
const STREAMS_END: Duration = Duration::from_millis(200);

/// How the front door listens and how much it lets in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// Address and port of the gRPC server. Default 127.0.0.1:7400.
    pub listen: SocketAddr,
    /// Largest message, in mebibytes. Default 16.
    pub message_max_mib: usize,
    /// Connections that may be open at once; surplus ones are closed at once. 0 is as many as the
    /// limit of open files lets in, less 768 or a quarter of it, whichever is more, for everything
    /// else. Default 0.
    pub connections_max: u32,
    /// Requests that one connection may have under way. Default 512.
    pub connection_requests_max: u32,
    /// How long a request waits for room in the queue before it is refused, in milliseconds.
    /// Default 1000.
    pub queue_wait_max_ms: u64,
    /// How long requests under way may take to finish when the server stops, in milliseconds.
    /// Default 10000.
    pub drain_max_ms: u64,
    /// Whether accounts are opened and changed only for callers who say who they are and why.
    /// Default false: what is not said is not in the audit log.
    pub account_signature_required: bool,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            message_max_mib: 16,
            connections_max: 0,
            connection_requests_max: 512,
            queue_wait_max_ms: 1_000,
            drain_max_ms: 10_000,
            account_signature_required: false,
        }
    }
}

/// Serves until `shutdown` is ready, then drains in this order:
///
/// 1. health says `NOT_SERVING`, so that balancers look elsewhere;
/// 2. streams take no further request, and new requests are refused as `DRAINING`;
/// 3. no new connection is taken, and connections are told to go away (GOAWAY);
/// 4. requests under way are answered, for at most `drain_max_ms`.
///
/// The engine is stopped by the caller afterwards, so everything that was sequenced is answered.
///
/// # Errors
/// When the server can't be set up or its listener fails.
pub async fn serve(
    config: &IngestConfig,
    listener: TcpListener,
    submitter: Submitter,
    risk: RiskParts,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (drain, draining) = watch::channel(false);
    let admission = Admission {
        submitter,
        queue_wait_max: Duration::from_millis(config.queue_wait_max_ms),
        draining: draining.clone(),
    };
    let message_max = config.message_max_mib << 20;
    let payments = PaymentServiceServer::new(Payments { admission: admission.clone() })
        .max_decoding_message_size(message_max);
    let accounts = Accounts {
        admission: admission.clone(),
        signature_required: config.account_signature_required,
    };
    let accounts = AccountServiceServer::new(accounts).max_decoding_message_size(message_max);
    let operators = Operators::new(admission.clone(), risk.feed.clone());
    let operators = OperatorServiceServer::new(operators).max_decoding_message_size(message_max);
    let risks =
        RiskServiceServer::new(Risks::new(admission, risk)).max_decoding_message_size(message_max);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<PaymentServiceServer<Payments>>().await;
    health.set_serving::<AccountServiceServer<Accounts>>().await;
    health.set_serving::<RiskServiceServer<Risks>>().await;
    health.set_serving::<OperatorServiceServer<Operators>>().await;
    let reflection = || {
        ReflectionBuilder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Many tools still ask for the older version.
    let (reflection, older_reflection) = (reflection().build_v1()?, reflection().build_v1alpha()?);

    let connections_max = connections::connections_max(config.connections_max);
    let incoming = connections::incoming(listener, connections_max);
    let begin_drain = async move {
        shutdown.await;
        health.set_not_serving::<PaymentServiceServer<Payments>>().await;
        health.set_not_serving::<AccountServiceServer<Accounts>>().await;
        health.set_not_serving::<RiskServiceServer<Risks>>().await;
        health.set_not_serving::<OperatorServiceServer<Operators>>().await;
        drain.send_replace(true);
        // A peer that is still sending when its connection closes loses the answers on their way
        // to it. So streams end first, and connections close when their senders know.
        tokio::time::sleep(STREAMS_END).await;
    };
    let server = Server::builder()
        // Dead peers are noticed, so that their streams don't hold up a drain.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        // Windows that hold a few full batches: the queue does the limiting.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(config.connection_requests_max)
        // Every error that leaves here tells its reason.
        .layer(ErrorInfoLayer)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(older_reflection)
        .add_service(risks)
        .add_service(operators)
        .add_service(accounts)
        .add_service(payments)
        .serve_with_incoming_shutdown(incoming, begin_drain);

    let drain_max = Duration::from_millis(config.drain_max_ms);
    let out_of_patience = async move {
        let mut draining = draining;
        // Without a drain there is no end to patience.
        if draining.wait_for(|draining| *draining).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(drain_max).await;
    };
    tokio::select! {
        result = server => Ok(result?),
        () = out_of_patience => {
            tracing::warn!("requests were still under way after drain_max_ms; they are cut off");
            Ok(())
        }
    }
}
