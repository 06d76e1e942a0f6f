//! A notification service that runs, and an HTTP receiver that fails as it is told.

#![allow(dead_code)] // every test file uses a part of it

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
    routing::any,
};
use millrace_ledger::{RejectReason, Timestamp};
use millrace_sinks::{
    NotifyConfig, NotifyService, Sink,
    notify::{
        Channel, DeliveryConfig, DispatcherHandle, EventKind, Inbox, Notification, RuleConfig,
        SecretConfig, StateKind,
    },
};
use serde_json::{Value, json};

use crate::common::{CZK, History};

/// Longest wait for something that must happen.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(120);

/// A running service: owner 1 pays owner 2.
pub(crate) struct Service {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: NotifyConfig,
    pub(crate) history: History,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) inbox: Inbox,
    pub(crate) handle: Option<DispatcherHandle>,
}

impl Service {
    pub(crate) fn start(channel: Channel, config: NotifyConfig, webhook: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let owner = |number: u128| {
            let entry = json!({
                "name": format!("Owner {number}"),
                "email": format!("owner{number}@example.com"),
                "phone": format!("+42060000000{number}"),
                "push_token": format!("token{number}"),
                "webhook": webhook,
            });
            (uuid::Uuid::from_u128(number).to_string(), entry)
        };
        let owners: BTreeMap<_, _> = (1..=2).map(owner).collect();
        let path = dir.path().join("owners.json");
        fs::write(&path, json!({ "owners": owners }).to_string()).expect("written");
        let rule = |kind| RuleConfig { channels: vec![channel], ..RuleConfig::any(kind) };
        let config = NotifyConfig {
            owners: path,
            rules: [EventKind::Settled, EventKind::Rejected].map(rule).to_vec(),
            delivery: DeliveryConfig {
                backoff_first_ms: 20,
                backoff_max_ms: 200,
                breaker_open_ms: 100,
                recipient_max: 1_000,
                attempts_max: 200,
                ..config.delivery
            },
            ..config
        };
        let mut history = History::default();
        history.open_owned(1, CZK, 1);
        history.open_owned(2, CZK, 2);
        let (sink, inbox, handle) = open(&dir, &config);
        Self { dir, config, history, sink, inbox, handle: Some(handle) }
    }

    pub(crate) fn start_again(self) -> Self {
        let Self { dir, config, history, sink, inbox, handle } = self;
        drop((sink, inbox));
        handle.expect("runs").join();
        let (sink, inbox, handle) = open(&dir, &config);
        Self { dir, config, history, sink, inbox, handle: Some(handle) }
    }

    /// Refuses a payment of owner 1: one notification.
    pub(crate) fn refuse(&mut self) -> u64 {
        let id = self.history.events.len() as u128 + 1;
        self.history.reject(id, 1, 2, 100 * id, RejectReason::InsufficientFunds);
        let mut batches = self.history.batches(1);
        for batch in &mut batches {
            batch.time = now();
        }
        self.sink.apply(&batches).expect("applies");
        self.inbox.latest_id()
    }

    pub(crate) fn get(&self, id: u64) -> Notification {
        self.inbox.get(id).expect("reads").expect("is there")
    }

    pub(crate) fn wait_for(&self, id: u64, state: StateKind) -> Notification {
        eventually(&format!("{id} is {state:?}"), || {
            let told = self.get(id);
            (told.state.kind() == state).then_some(told)
        })
    }
}

pub(crate) fn open(
    dir: &tempfile::TempDir,
    config: &NotifyConfig,
) -> (Box<dyn Sink>, Inbox, DispatcherHandle) {
    let service = NotifyService::open(dir.path(), config).expect("opens");
    let handle = service.dispatcher.expect("has a dispatcher").start().expect("starts");
    (service.sink, service.inbox.expect("has an inbox"), handle)
}

pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since_epoch.expect("after 1970").as_nanos() as u64)
}

pub(crate) fn eventually<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = happened() {
            return value;
        }
        assert!(started.elapsed() < WAIT_MAX, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn secret_file(dir: &tempfile::TempDir, name: &str, secret: &str) -> SecretConfig {
    let path = dir.path().join(name);
    fs::write(&path, format!("{secret}\n")).expect("written");
    SecretConfig { file: path, ..SecretConfig::default() }
}

/// What a receiver does with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    Status(u16),
    /// 429, and come again after a second.
    Throttle,
    Hang,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) answered: Answer,
    pub(crate) at: Instant,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("is JSON")
    }
}

/// An HTTP receiver that answers as the script says, and takes everything once it is over.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Mutex<(Vec<Request>, Vec<Answer>)>>,
    pub(crate) _runtime: Arc<tokio::runtime::Runtime>,
}

impl Receiver {
    pub(crate) fn start(script: &[Answer]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let script = script.iter().rev().copied().collect();
        let shared = Arc::new(Mutex::new((Vec::new(), script)));
        let router = Router::new().route("/{*path}", any(take)).with_state(Arc::clone(&shared));
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let address = listener.local_addr().expect("is bound");
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, shared, _runtime: Arc::new(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().expect("nobody panicked").0.clone()
    }
}

pub(crate) type Shared = Arc<Mutex<(Vec<Request>, Vec<Answer>)>>;

async fn take(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answered = {
        let mut shared = shared.lock().expect("nobody panicked");
        let answered = shared.1.pop().unwrap_or(Answer::Take);
        let at = Instant::now();
        shared.0.push(Request { path, headers, body: body.to_vec(), answered, at });
        answered
    };
    match answered {
        Answer::Take => StatusCode::OK.into_response(),
        Answer::Status(code) => {
            (StatusCode::from_u16(code).expect("a status"), "not\nnow").into_response()
        }
        Answer::Throttle => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")]).into_response(),
        Answer::Hang => {
            tokio::time::sleep(WAIT_MAX).await;
            StatusCode::OK.into_response()
        }
    }
}
