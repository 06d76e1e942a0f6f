//! A client of subscriptions: consumes messages of graphql-transport-ws, produces what is in them.

#![allow(dead_code)] // every test file uses a part of it

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

use crate::server::Server;

/// A connection that speaks the protocol.
pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let mut client = Self::try_connect(server, None).await.expect("connects");
        client.send(json!({ "type": "connection_init" })).await;
        assert_eq!(client.next().await["type"], "connection_ack");
        client
    }

    pub(crate) async fn try_connect(server: &Server, origin: Option<&str>) -> Result<Self, Error> {
        let url = format!("ws://{}/graphql", server.address);
        let mut request = url.into_client_request().expect("is a URL");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("text"));
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().expect("text"));
        }
        Ok(Self(connect_async(request).await?.0))
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sends");
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        let payload = json!({ "query": query });
        self.send(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }

    /// The next message that is none of the protocol below.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.0.next().await.expect("is open").expect("receives") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// One field of what is followed.
    pub(crate) async fn field(&mut self, root: &str, field: &str) -> String {
        let message = self.next().await;
        let value = &message["payload"]["data"][root][field];
        value.as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    /// How the connection ends, after whatever comes before.
    pub(crate) async fn end(&mut self) -> Option<CloseFrame> {
        while let Some(Ok(message)) = self.0.next().await {
            if let Message::Close(frame) = message {
                return frame;
            }
        }
        None
    }
}

/// The code of the first error of a message.
pub(crate) fn code_of(message: &Value) -> &str {
    let errors = if message["type"] == "error" {
        &message["payload"]
    } else {
        &message["payload"]["errors"]
    };
    errors[0]["extensions"]["code"].as_str().unwrap_or("none")
}
