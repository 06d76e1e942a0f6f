//! A read model that answers over HTTP: consumes a history and queries, produces answers as JSON.

#![allow(dead_code)] // every test file uses a part of it

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, ReadStore, Sink as _,
    graphql::{Services, serve},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::common::{History, patient};

pub(crate) const ACCOUNT_1: &str = "01920000-0000-7000-8000-000000000001";

/// The cursor of an event.
pub(crate) fn cursor(seq: u64) -> String {
    let bytes = seq.to_be_bytes();
    let zeros = seq.leading_zeros() as usize / 8;
    URL_SAFE_NO_PAD.encode([b"e", &bytes[zeros..]].concat())
}

/// A store with what a history made of it, served over HTTP.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    pub(crate) sink: GraphqlSink,
    pub(crate) store: ReadStore,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(history: &History) -> Self {
        Self::start_with(history, &patient(), |_| {}).await
    }

    /// With settings, and with services that `complete` adds to the read model.
    pub(crate) async fn start_with(
        history: &History,
        config: &GraphqlConfig,
        complete: impl FnOnce(&mut Services),
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut sink, store) = GraphqlSink::open(dir.path(), config).expect("opens");
        sink.apply(&history.batches(4)).expect("applies");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
        let address = listener.local_addr().expect("is bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let mut services = Services::new(Arc::new(store.clone()));
        complete(&mut services);
        let config = config.clone();
        let serving = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            serve(listener, services, &config, shutdown).await
        });
        Self { address, stop, serving, sink, store, _dir: dir }
    }

    /// Sends one request on a connection of its own; status line, headers and body.
    async fn send(&self, request: &str) -> (String, String) {
        let mut connection = TcpStream::connect(self.address).await.expect("connects");
        connection.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.expect("receives");
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    pub(crate) async fn get(&self, path: &str) -> (String, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")).await
    }

    pub(crate) async fn post(&self, body: &str) -> (String, Value) {
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (head, body) = self.send(&request).await;
        (head, serde_json::from_str(&body).expect("valid JSON"))
    }

    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let (head, answer) = self.post(&body).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        answer
    }

    /// The answer to a query that has no error.
    pub(crate) async fn answer(&self, query: &str) -> Value {
        let answer = self.ask(query, json!({})).await;
        assert_eq!(answer.get("errors"), None, "{query}");
        answer["data"].clone()
    }

    /// Code and text of the one error of a query.
    pub(crate) async fn error(&self, query: &str) -> (String, String) {
        let answer = self.ask(query, json!({})).await;
        let errors = answer["errors"].as_array().expect("has an error");
        assert_eq!(errors.len(), 1, "{answer}");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&errors[0]["extensions"]["code"]), text(&errors[0]["message"]))
    }
}
