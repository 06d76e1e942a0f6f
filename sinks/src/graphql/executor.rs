//! Runs requests: consumes them from HTTP and WebSockets alike, produces responses. Guarantees that
//! nothing runs that was not measured, that every answer comes in time, and that every error has a
//! code. Only subscriptions stream: queries and mutations go one way, wherever they come from.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{
    Data, Executor, Request, Response, ServerError,
    parser::types::{ExecutableDocument, OperationType},
};
use futures_util::{
    StreamExt as _, future,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    config::GraphqlConfig,
    error::{complete, refusal},
    guard::Guard,
    persisted::{Persisted, PersistedError},
    reader::Reader,
    schema::{ReadSchema, schema},
    services::Services,
};

/// Runs requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Runner {
    schema: ReadSchema,
    guard: Arc<Guard>,
    persisted: Persisted,
    answer_max: Duration,
}

impl Runner {
    pub(super) fn new(services: Services, config: &GraphqlConfig) -> Result<Self, PersistedError> {
        let guard = Guard::new(&config.limits, config.profile);
        Ok(Self {
            persisted: Persisted::open(config, &guard)?,
            guard: Arc::new(guard),
            schema: schema(services, config),
            answer_max: Duration::from_millis(config.limits.answer_ms),
        })
    }

    fn prepare(&self, mut request: Request) -> Result<Prepared, ServerError> {
        self.guard.check_variables(&request)?;
        let document = self.persisted.document(&mut request, &self.guard)?;
        let follows = is_subscription(&document, request.operation_name.as_deref());
        request.set_parsed_query(document);
        Ok(Prepared { request, follows })
    }

    /// The one answer to what is no subscription, in time.
    async fn answer(&self, prepared: Result<Prepared, ServerError>, started: Instant) -> Response {
        let response = match prepared {
            Ok(Prepared { request, .. }) => {
                match timeout(self.answer_max, self.schema.execute(request)).await {
                    Ok(response) => response,
                    Err(_) => refused(refusal(
                        format!("the answer took longer than {} ms", self.answer_max.as_millis()),
                        "ANSWER_TIMED_OUT",
                    )),
                }
            }
            Err(error) => refused(error),
        };
        let outcome = if response.is_ok() { "ok" } else { "error" };
        metrics::histogram!("millrace_graphql_request_seconds", "outcome" => outcome)
            .record(started.elapsed().as_secs_f64());
        with_codes(response)
    }

    /// The cache's figures, for whoever reads metrics.
    pub(super) fn tell(&self) {
        if let Some(reader) = self.schema.data::<Reader>() {
            reader.cache.tell();
        }
    }
}

/// A request that is within the limits.
struct Prepared {
    request: Request,
    /// Whether it is a subscription.
    follows: bool,
}

impl Executor for Runner {
    async fn execute(&self, request: Request) -> Response {
        let started = Instant::now();
        self.answer(self.prepare(request), started).await
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let started = Instant::now();
        match self.prepare(request) {
            Ok(Prepared { request, follows: true }) => {
                let responses = self
                    .schema
                    .execute_stream_with_session_data(request, session_data.unwrap_or_default());
                responses.map(with_codes).boxed()
            }
            prepared => {
                let runner = self.clone();
                stream::once(async move { runner.answer(prepared, started).await }).boxed()
            }
        }
    }
}

/// Runs the requests of one connection, of which only so many may be under way.
#[derive(Clone)]
pub(super) struct ConnectionRunner {
    runner: Runner,
    running: Arc<Semaphore>,
}

impl ConnectionRunner {
    pub(super) fn new(runner: Runner, most: usize) -> Self {
        Self { runner, running: Arc::new(Semaphore::new(most)) }
    }
}

impl Executor for ConnectionRunner {
    async fn execute(&self, request: Request) -> Response {
        self.runner.execute(request).await
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        match Arc::clone(&self.running).try_acquire_owned() {
            Ok(permit) => {
                let responses = self.runner.execute_stream(request, session_data);
                holding(permit, responses).boxed()
            }
            Err(_) => {
                let text = "this connection has as many subscriptions as it may: end one first";
                let error = refusal(text, "TOO_MANY_SUBSCRIPTIONS");
                stream::once(future::ready(refused(error))).boxed()
            }
        }
    }
}

/// The responses; the permit is given back with them.
fn holding(
    permit: OwnedSemaphorePermit,
    responses: BoxStream<'static, Response>,
) -> impl futures_util::Stream<Item = Response> + Send + 'static {
    responses.map(move |response| {
        let _held = &permit;
        response
    })
}

/// Whether the operation that is meant is a subscription; one that is not there is none.
fn is_subscription(document: &ExecutableDocument, name: Option<&str>) -> bool {
    let mut operations = document.operations.iter();
    operations.any(|(operation, definition)| {
        let is_meant = name.is_none() || operation.map(|name| name.as_str()) == name;
        is_meant && definition.node.ty == OperationType::Subscription
    })
}

fn refused(error: ServerError) -> Response {
    Response::from_errors(vec![error])
}

fn with_codes(mut response: Response) -> Response {
    response.errors.iter_mut().for_each(complete);
    response
}
