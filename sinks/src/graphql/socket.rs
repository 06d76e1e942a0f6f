//! Subscriptions over WebSockets (graphql-transport-ws): consumes messages of one client, produces
//! what it follows. Guarantees that a client that does not read is closed after a while, and costs
//! no more than one message and its socket's buffer until then.

use std::time::Duration;

use async_graphql::http::{WebSocket as Protocol, WebSocketProtocols, WsMessage};
use axum::{
    extract::ws::{CloseFrame, Message, WebSocket},
    http::{HeaderMap, header},
};
use futures_util::{SinkExt as _, StreamExt as _, future};
use tokio::{sync::watch, time::timeout};

use super::executor::ConnectionRunner;

/// The one protocol that is spoken.
pub(super) const PROTOCOL: &str = "graphql-transport-ws";
/// Bytes that may wait for the socket.
pub(super) const WRITE_BUFFER: usize = 128 * 1_024;

/// How long a client may say nothing after it has connected.
const INIT_MAX: Duration = Duration::from_secs(10);
/// How often a silent client is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Closed because the client did not take what was sent: try again later (RFC 6455's registry).
const TOO_SLOW: u16 = 1013;
/// Closed because the server stops.
const GOING_AWAY: u16 = 1001;
/// Closed because the client did not begin (graphql-transport-ws).
const INIT_TIMED_OUT: u16 = 4408;

/// Why a connection ends.
enum End {
    /// The client is gone, or the protocol says so.
    Done,
    /// With a code and a text.
    Close(u16, &'static str),
}

/// Serves one client until it goes, is too slow, or the server stops.
pub(super) async fn serve(
    socket: WebSocket,
    runner: ConnectionRunner,
    send_max: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let (mut sink, messages) = socket.split();
    let texts = messages
        .take_while(|message| future::ready(message.is_ok()))
        .filter_map(|message| future::ready(message.ok()))
        .filter_map(|message| {
            future::ready(match message {
                Message::Text(_) | Message::Binary(_) => Some(message.into_data()),
                _ => None,
            })
        });
    let protocol = Protocol::new(runner, texts, WebSocketProtocols::GraphQLWS);
    let mut protocol = std::pin::pin!(protocol.keepalive_timeout(KEEP_ALIVE));
    let mut has_begun = false;
    let end = loop {
        let wait = if has_begun { Duration::MAX } else { INIT_MAX };
        let next = tokio::select! {
            next = timeout(wait, protocol.next()) => next,
            _ = stopped.wait_for(|stopped| *stopped) => {
                break End::Close(GOING_AWAY, "the server stops");
            }
        };
        let message = match next {
            Err(_) => break End::Close(INIT_TIMED_OUT, "connection initialisation timed out"),
            Ok(None) => break End::Done,
            Ok(Some(WsMessage::Text(text))) => Message::text(text),
            Ok(Some(WsMessage::Close(code, reason))) => {
                Message::Close(Some(CloseFrame { code, reason: reason.into() }))
            }
        };
        has_begun = true;
        match timeout(send_max, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break End::Done,
            Err(_) => {
                metrics::counter!("millrace_graphql_slow_subscribers_total").increment(1);
                break End::Close(
                    TOO_SLOW,
                    "messages were not taken in time: read on from where \
                                            you are",
                );
            }
        }
    };
    if let End::Close(code, reason) = end {
        // Whoever begins to read again learns why it ends; nobody waits longer for that.
        let frame = CloseFrame { code, reason: reason.into() };
        let closing = async {
            let _ = sink.send(Message::Close(Some(frame))).await;
        };
        let _ = timeout(send_max, closing).await;
    }
}

/// Whether the page that opens the connection is one of this server's own, or no page at all.
/// Browsers let any page connect, and say only where it is from.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match headers.get(header::ORIGIN) {
        None => true,
        Some(_) => {
            let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, host)| text(header::HOST) == Some(host))
        }
    }
}

/// Whether the client speaks the protocol.
pub(super) fn speaks_protocol(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == PROTOCOL)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_own_pages_connect() {
        for (origin, host, fits) in [
            (None, "127.0.0.1:8080", true),
            (Some("http://127.0.0.1:8080"), "127.0.0.1:8080", true),
            (Some("https://read.example"), "read.example", true),
            (Some("https://evil.example"), "127.0.0.1:8080", false),
            (Some("null"), "127.0.0.1:8080", false),
            (Some("http://127.0.0.1"), "127.0.0.1:8080", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_same_origin(&headers), fits, "{origin:?}");
        }
    }

    #[test]
    fn one_protocol_is_spoken() {
        for (offered, fits) in [
            ("graphql-transport-ws", true),
            ("graphql-ws, graphql-transport-ws", true),
            ("graphql-ws", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offered));
            assert_eq!(speaks_protocol(&headers), fits, "{offered}");
        }
    }
}
