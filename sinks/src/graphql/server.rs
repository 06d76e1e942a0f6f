//! The HTTP server: consumes requests, hands queries to the schema, and guarantees that every
//! error carries a code and that nothing is read that is too large.

use std::{future::Future, io, sync::Arc, time::Duration};

use async_graphql::{Executor as _, Request, Response as Answer, ServerError};
use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, State, WebSocketUpgrade, rejection::JsonRejection,
        ws::rejection::WebSocketUpgradeRejection,
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};

use super::{
    config::{GraphqlConfig, Profile},
    error::refusal,
    executor::{ConnectionRunner, Runner},
    graphiql,
    guard::too_large,
    services::Services,
    socket,
};

/// How long requests that are being answered may take after the shutdown began.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the cache's figures are told to the metrics.
const TELL: Duration = Duration::from_secs(1);

/// What requests are answered with.
#[derive(Clone)]
struct Desk {
    runner: Runner,
    connections: Arc<Semaphore>,
    subscriptions: usize,
    request_bytes: usize,
    send_max: Duration,
    stopped: watch::Receiver<bool>,
}

/// Answers queries until the shutdown; then finishes the requests in hand, for at most 5 s.
///
/// | route | answer |
/// |---|---|
/// | `POST /graphql` | the answer to a query |
/// | `GET /graphql`, upgraded | subscriptions, by graphql-transport-ws |
/// | `GET /`, `GET /graphiql` | a page to explore with; not in the profile prod |
/// | `GET /healthz` | `ok` |
///
/// # Errors
/// When a setting is wrong, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    config: &GraphqlConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let runner = Runner::new(services, config).map_err(io::Error::other)?;
    let desk = Desk {
        runner: runner.clone(),
        connections: Arc::new(Semaphore::new(config.limits.connections)),
        subscriptions: config.limits.subscriptions,
        request_bytes: config.limits.request_bytes,
        send_max: Duration::from_millis(config.limits.send_ms),
        stopped,
    };
    let (draining, drain_began) = oneshot::channel();
    let app = router(desk, config.profile);
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        stop.send_replace(true);
        // The receiver is gone only when the server is.
        let _ = draining.send(());
    });
    let mut server = std::pin::pin!(server.into_future());
    let telling = async {
        loop {
            tokio::time::sleep(TELL).await;
            runner.tell();
        }
    };
    tokio::select! {
        result = &mut server => return result,
        () = telling => {}
        _ = drain_began => {}
    }
    timeout(DRAIN, server).await.unwrap_or(Ok(()))
}

fn router(desk: Desk, profile: Profile) -> Router {
    // The answer to a body that is too large says how large one may be, so it is read a bit on.
    let body_limit = DefaultBodyLimit::max(desk.request_bytes);
    let router = Router::new()
        .route("/graphql", get(subscribe).post(query).layer(body_limit))
        .route("/healthz", get(|| async { "ok\n" }));
    let router = match profile {
        Profile::Prod => router,
        Profile::Dev => router
            .route("/", get(graphiql::page))
            .route("/graphiql", get(graphiql::page))
            .route("/graphiql/{file}", get(graphiql::asset)),
    };
    router.with_state(desk)
}

async fn query(
    State(desk): State<Desk>,
    request: Result<Json<Request>, JsonRejection>,
) -> Response {
    match request {
        Ok(Json(request)) => answer(StatusCode::OK, desk.runner.execute(request).await),
        Err(rejection) => {
            let error = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    too_large(desk.request_bytes + 1, desk.request_bytes)
                }
                _ => refusal(rejection.body_text(), "QUERY_INVALID"),
            };
            refused(rejection.status(), error)
        }
    }
}

async fn subscribe(
    State(desk): State<Desk>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let allowed = [(header::ALLOW, "POST")];
        return (StatusCode::METHOD_NOT_ALLOWED, allowed, "queries are posted\n").into_response();
    };
    if !socket::is_same_origin(&headers) {
        let text = "pages of other sites may not connect";
        return refused(StatusCode::FORBIDDEN, refusal(text, "ORIGIN_FORBIDDEN"));
    }
    if !socket::speaks_protocol(&headers) {
        let text = format!("the one protocol spoken here is {}", socket::PROTOCOL);
        let error = refusal(text, "PROTOCOL_UNKNOWN");
        return refused(StatusCode::BAD_REQUEST, error);
    }
    let Ok(place) = Arc::clone(&desk.connections).try_acquire_owned() else {
        let text = "there are as many connections as there may be: try again later";
        let error = refusal(text, "TOO_MANY_CONNECTIONS");
        return refused(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    let runner = ConnectionRunner::new(desk.runner, desk.subscriptions);
    let (send_max, stopped) = (desk.send_max, desk.stopped);
    upgrade
        .protocols([socket::PROTOCOL])
        .max_message_size(desk.request_bytes)
        .write_buffer_size(0)
        .max_write_buffer_size(socket::WRITE_BUFFER.max(desk.request_bytes))
        .on_upgrade(move |connection| async move {
            socket::serve(connection, runner, send_max, stopped).await;
            drop(place);
        })
}

fn refused(status: StatusCode, error: ServerError) -> Response {
    answer(status, Answer::from_errors(vec![error]))
}

fn answer(status: StatusCode, answer: Answer) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}
