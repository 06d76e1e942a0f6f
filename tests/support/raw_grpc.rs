//! gRPC by hand over HTTP/2: what a well-behaved client library would not send, and what the
//! server answers before such a library interprets it.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::Request;
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::within;

/// One HTTP/2 connection.
pub(crate) struct RawConnection {
    requests: SendRequest<Bytes>,
}

/// One call on it.
pub(crate) struct RawCall {
    sending: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    receiving: Option<RecvStream>,
    received: BytesMut,
}

impl RawConnection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("it listens");
        socket.set_nodelay(true).expect("is a socket");
        let (requests, connection) = h2::client::handshake(socket).await.expect("speaks HTTP/2");
        // Ends with the server or with the test; calls report what goes wrong.
        tokio::spawn(connection);
        Self { requests }
    }

    /// Begins a call; `path` is `/package.Service/Method`.
    pub(crate) async fn begin(&self, path: &str, headers: &[(&str, &str)]) -> RawCall {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("is a request");
        let mut requests = self.requests.clone().ready().await.expect("the connection is up");
        let (response, sending) = requests.send_request(request, false).expect("is sent");
        RawCall { sending, response: Some(response), receiving: None, received: BytesMut::new() }
    }

    /// One message there, one back.
    pub(crate) async fn call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &[u8],
    ) -> Result<Bytes, Status> {
        let mut call = self.begin(path, headers).await;
        call.send(message, true);
        let answer = call.receive().await?.expect("a message or an error");
        match call.receive().await? {
            None => Ok(answer),
            Some(_) => panic!("one answer to one question"),
        }
    }
}

impl RawCall {
    /// Sends a message with the prefix that gRPC wants.
    pub(crate) fn send(&mut self, message: &[u8], is_last: bool) {
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(0);
        framed.put_u32(message.len() as u32);
        framed.put_slice(message);
        // The server may have answered and hung up already; what it said is read by `receive`.
        let _ = self.sending.send_data(framed.freeze(), is_last);
    }

    /// The next message; `None` at the end of a call that went well.
    pub(crate) async fn receive(&mut self) -> Result<Option<Bytes>, Status> {
        within("an answer", self.next()).await
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if let Some(response) = self.response.take() {
            let (head, body) = response.await.map_err(|error| broken(&error))?.into_parts();
            self.receiving = Some(body);
            if let Some(status) = Status::from_header_map(&head.headers) {
                return ended(status);
            }
        }
        let body = self.receiving.as_mut().expect("the response has begun");
        loop {
            if let Some(message) = take_message(&mut self.received) {
                return Ok(Some(message));
            }
            match body.data().await {
                Some(piece) => {
                    let piece = piece.map_err(|error| broken(&error))?;
                    body.flow_control()
                        .release_capacity(piece.len())
                        .map_err(|error| broken(&error))?;
                    self.received.extend_from_slice(&piece);
                }
                None => {
                    let trailers = body
                        .trailers()
                        .await
                        .map_err(|error| broken(&error))?
                        .expect("has trailers");
                    return ended(Status::from_header_map(&trailers).expect("has a status"));
                }
            }
        }
    }
}

fn take_message(received: &mut BytesMut) -> Option<Bytes> {
    let mut prefix = received.get(..5)?;
    prefix.advance(1);
    let len = prefix.get_u32() as usize;
    (received.len() >= 5 + len).then(|| {
        received.advance(5);
        received.split_to(len).freeze()
    })
}

fn ended(status: Status) -> Result<Option<Bytes>, Status> {
    if status.code() == Code::Ok { Ok(None) } else { Err(status) }
}

fn broken(error: &h2::Error) -> Status {
    Status::unavailable(format!("the connection broke: {error}"))
}
