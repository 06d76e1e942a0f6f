//! The HTTP server: consumes requests, hands queries to the schema, and guarantees that every
//! error carries a code.

use std::{future::Future, io, time::Duration};

use async_graphql::{Request, Response, ServerError, Value};
use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use super::{
    page,
    read::ReadStore,
    schema::{ReadSchema, schema},
};

/// How long requests that are being answered may take after the shutdown began.
const DRAIN: Duration = Duration::from_secs(5);

/// Answers queries until the shutdown; then finishes the requests in hand, for at most 5 s.
///
/// | route | answer |
/// |---|---|
/// | `POST /graphql` | the answer to a query |
/// | `GET /`, `GET /graphiql` | a page to explore with, which needs nothing from the net |
/// | `GET /healthz` | `ok` |
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    store: ReadStore,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (draining, drain_began) = oneshot::channel();
    let server = axum::serve(listener, router(store)).with_graceful_shutdown(async move {
        shutdown.await;
        // The receiver is gone only when the server is.
        let _ = draining.send(());
    });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        result = &mut server => return result,
        _ = drain_began => {}
    }
    timeout(DRAIN, server).await.unwrap_or(Ok(()))
}

fn router(store: ReadStore) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/graphiql", get(page::page))
        .route("/graphiql/{file}", get(page::asset))
        .route("/graphql", post(query))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(schema(store))
}

async fn query(
    State(schema): State<ReadSchema>,
    request: Result<Json<Request>, JsonRejection>,
) -> impl IntoResponse {
    let (status, mut response) = match request {
        Ok(Json(request)) => (StatusCode::OK, schema.execute(request).await),
        Err(rejection) => {
            let error = ServerError::new(rejection.body_text(), None);
            (rejection.status(), Response::from_errors(vec![error]))
        }
    };
    for error in &mut response.errors {
        let code = code_of(error);
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", Value::from(code));
        }
    }
    (status, [(header::CACHE_CONTROL, "no-store")], Json(response))
}

/// Codes of the errors that the GraphQL library finds before a resolver runs.
fn code_of(error: &ServerError) -> &'static str {
    match error.message.as_str() {
        "Query is nested too deep." => "QUERY_TOO_DEEP",
        "Query is too complex." => "QUERY_TOO_COMPLEX",
        _ => "QUERY_INVALID",
    }
}
