//! Subscriptions over WebSockets: what comes, in which order, from where, and how a connection
//! ends.

mod common;
#[path = "common/server.rs"]
mod server;

use common::{CZK, History, bank};
use futures_util::{SinkExt as _, StreamExt as _};
use millrace_sinks::{GraphqlConfig, ReviewsConfig, ReviewsSink, Sink as _, graphql::LimitsConfig};
use serde_json::{Value, json};
use server::{ACCOUNT_1, Server};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(server: &Server) -> Self {
        let mut client = Self::try_connect(server, None).await.expect("connects");
        client.send(json!({ "type": "connection_init" })).await;
        assert_eq!(client.next().await["type"], "connection_ack");
        client
    }

    async fn try_connect(server: &Server, origin: Option<&str>) -> Result<Self, Error> {
        let url = format!("ws://{}/graphql", server.address);
        let mut request = url.into_client_request().expect("is a URL");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("text"));
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().expect("text"));
        }
        Ok(Self(connect_async(request).await?.0))
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sends");
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        let payload = json!({ "query": query });
        self.send(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }

    /// The next message that is none of the protocol below.
    async fn next(&mut self) -> Value {
        loop {
            match self.0.next().await.expect("is open").expect("receives") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// One field of what is followed.
    async fn field(&mut self, root: &str, field: &str) -> String {
        let message = self.next().await;
        let value = &message["payload"]["data"][root][field];
        value.as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    /// How the connection ends, after whatever comes before.
    async fn end(&mut self) -> Option<CloseFrame> {
        while let Some(Ok(message)) = self.0.next().await {
            if let Message::Close(frame) = message {
                return frame;
            }
        }
        None
    }
}

fn code_of(message: &Value) -> &str {
    let errors = if message["type"] == "error" {
        &message["payload"]
    } else {
        &message["payload"]["errors"]
    };
    errors[0]["extensions"]["code"].as_str().unwrap_or("none")
}

#[tokio::test]
async fn payments_come_as_they_are_applied() {
    let mut history = bank();
    let mut server = Server::start(&history).await;
    let mut client = Client::connect(&server).await;
    client.subscribe("all", "subscription { payments { seq status amount { amount } } }").await;
    // The answer to a query on the same connection says that the subscription is under way.
    client.subscribe("now", "{ status { appliedSeq } }").await;
    assert_eq!(client.field("status", "appliedSeq").await, "22");
    assert_eq!(client.next().await["type"], "complete");
    history.pay(30, 1, 2, 700);
    history.reject(31, 1, 2, 5, millrace_ledger::RejectReason::InsufficientFunds);
    server.sink.apply(&history.batches(2)).expect("applies");
    assert_eq!(client.field("payments", "status").await, "SETTLED");
    assert_eq!(client.field("payments", "seq").await, "24");
    client.send(json!({ "id": "all", "type": "complete" })).await;
}

#[tokio::test]
async fn a_subscriber_reads_on_from_where_it_was() {
    let mut history = bank();
    let mut server = Server::start(&history).await;
    let mut client = Client::connect(&server).await;
    let query = |from: u64| {
        format!(
            "subscription {{ payments(account: \"{ACCOUNT_1}\", fromSeq: \"{from}\") {{ seq }} }}"
        )
    };
    client.subscribe("1", &query(14)).await;
    // 15 and 18 do not name the account; 19 and 20 are no payments.
    for expected in ["14", "16", "17", "21", "22"] {
        assert_eq!(client.field("payments", "seq").await, expected);
    }
    drop(client);
    history.pay(30, 1, 2, 700);
    history.pay(31, 2, 1, 700);
    server.sink.apply(&history.batches(2)).expect("applies");
    let mut client = Client::connect(&server).await;
    client.subscribe("1", &query(23)).await;
    for expected in ["23", "24"] {
        assert_eq!(client.field("payments", "seq").await, expected);
    }
    client.subscribe("2", "subscription { payments(fromSeq: \"x\") { seq } }").await;
    assert_eq!(code_of(&client.next().await), "ARGUMENT_MALFORMED");
}

/// More than one look into the store brings, while more is written.
#[tokio::test]
async fn every_event_comes_once_and_in_sequence() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    (1..=1_000).for_each(|number| history.pay(number, 1, 2, 1));
    let mut server = Server::start(&history).await;
    let mut client = Client::connect(&server).await;
    client.subscribe("1", "subscription { payments(fromSeq: \"0\") { seq } }").await;
    (1_001..=1_500).for_each(|number| history.pay(number, 1, 2, 1));
    for batches in history.batches(7).chunks(10) {
        server.sink.apply(batches).expect("applies");
        tokio::task::yield_now().await;
    }
    for expected in 3..=1_502_u64 {
        assert_eq!(client.field("payments", "seq").await, expected.to_string());
    }
}

#[tokio::test]
async fn reviews_come_as_they_are_opened() {
    let mut history = bank();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, desk) = ReviewsSink::open(dir.path(), &ReviewsConfig::default()).expect("opens");
    sink.apply(&history.batches(4)).expect("applies");
    let config = GraphqlConfig::default();
    let complete = |services: &mut millrace_sinks::graphql::Services| services.reviews = Some(desk);
    let server = Server::start_with(&history, &config, complete).await;
    let mut client = Client::connect(&server).await;
    client.subscribe("1", "subscription { reviews(fromSeq: \"0\") { seq open } }").await;
    assert_eq!(client.field("reviews", "seq").await, "12");
    history.review(40, 1, 2, 5_000);
    sink.apply(&history.batches(4)).expect("applies");
    assert_eq!(client.field("reviews", "seq").await, "23");
    client.subscribe("2", "subscription { notifications { id } }").await;
    assert_eq!(code_of(&client.next().await), "SERVICE_OFF");
}

#[tokio::test]
async fn a_connection_is_held_to_the_same_limits() {
    let config = GraphqlConfig {
        limits: LimitsConfig { subscriptions: 2, connections: 1, ..LimitsConfig::default() },
        ..GraphqlConfig::default()
    };
    let server = Server::start_with(&bank(), &config, |_| {}).await;
    let mut client = Client::connect(&server).await;
    let follow = "subscription { payments { seq } }";
    client.subscribe("1", follow).await;
    client.subscribe("2", follow).await;
    client.subscribe("3", follow).await;
    assert_eq!(code_of(&client.next().await), "TOO_MANY_SUBSCRIPTIONS");
    assert_eq!(client.next().await, json!({ "id": "3", "type": "complete" }));
    client.send(json!({ "id": "1", "type": "complete" })).await;
    assert_eq!(client.next().await, json!({ "id": "1", "type": "complete" }));
    let cycle = "{ ...A } fragment A on Query { ...A }";
    client.subscribe("4", cycle).await;
    assert_eq!(code_of(&client.next().await), "FRAGMENT_CYCLE");
    let second = Client::try_connect(&server, None).await;
    let Err(Error::Http(refused)) = second.map(drop) else { panic!("is refused") };
    assert_eq!(refused.status(), 503);
}

#[tokio::test]
async fn pages_of_other_sites_do_not_connect() {
    let server = Server::start(&bank()).await;
    let other = Client::try_connect(&server, Some("https://evil.example")).await;
    let Err(Error::Http(refused)) = other.map(drop) else { panic!("is refused") };
    assert_eq!(refused.status(), 403);
    let own = format!("http://{}", server.address);
    assert!(Client::try_connect(&server, Some(&own)).await.is_ok());
}

/// A subscriber that does not read fills its socket, and no more. When it reads again, it finds
/// what was sent, in sequence, and why there is no more.
#[tokio::test]
async fn a_subscriber_that_does_not_read_is_closed() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    (1..=20_000).for_each(|number| history.pay(number, 1, 2, 1));
    let config = GraphqlConfig {
        limits: LimitsConfig { send_ms: 1_500, ..LimitsConfig::default() },
        ..GraphqlConfig::default()
    };
    let server = Server::start_with(&history, &config, |_| {}).await;
    let mut client = Client::connect(&server).await;
    let fields = "seq time status id debitAccountId creditAccountId amount { amount minor } \
                  context { reference deviceId ipAddress } debitBalances { debitsPosted { minor } }";
    client
        .subscribe("1", &format!("subscription {{ payments(fromSeq: \"0\") {{ {fields} }} }}"))
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let (mut next, mut closed) = (3_u64, None);
    while let Some(Ok(message)) = client.0.next().await {
        match message {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(message["payload"]["data"]["payments"]["seq"], next.to_string());
                next += 1;
            }
            Message::Close(frame) => closed = frame,
            _ => {}
        }
    }
    assert!(next < 20_002, "the socket is smaller than the list");
    assert_eq!(closed.map(|frame| u16::from(frame.code)), Some(1013));
}

#[tokio::test]
async fn the_shutdown_ends_subscriptions_with_a_code() {
    let server = Server::start(&bank()).await;
    let mut client = Client::connect(&server).await;
    client.subscribe("1", "subscription { payments { seq } }").await;
    server.stop.send(()).expect("is serving");
    assert_eq!(client.end().await.map(|frame| u16::from(frame.code)), Some(1001));
    server.serving.await.expect("does not panic").expect("ends well");
}
