//! Connections of the front door: consumes a listener, produces the connections that there is room
//! for. Guarantees that connections leave the journal its open files, and that whoever connects and
//! says nothing goes again.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Stream, stream};
use metrics::{counter, gauge};
use millrace_engine::open_files::{is_out_of_files, open_files_limit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tonic::transport::server::Connected;

/// Open files that are left for the journal, runs (some 470, while 256 of them are merged) and sinks, however few there
/// are.
const RESERVED_FILES_MIN: u64 = 768;
/// Connections that are let in where hardly any file could be open.
const CONNECTIONS_MIN: u64 = 16;
/// What an HTTP/2 client says first (RFC 9113, 3.4), in bytes.
const PREFACE_BYTES: usize = 24;
/// How long it may take to say so.
const PREFACE_WAIT: Duration = Duration::from_secs(10);
/// Refusals are warned of once in so long.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the system refused to.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const OPEN: &str = "millrace_ingest_connections";
const REFUSED: &str = "millrace_ingest_connections_refused_total";

/// Connections that are let in at once: what the setting says (0 is as many as there can be), but
/// never the files that the journal needs.
pub(crate) fn connections_max(setting: u32) -> usize {
    let files = open_files_limit();
    let most = connections_of(files);
    let wanted = u64::from(setting);
    if wanted > most {
        tracing::warn!(
            connections_max = setting,
            open_files = files,
            taken = most,
            "ingest.connections_max is more than the limit of open files lets in; raise that limit \
             (ulimit -n, LimitNOFILE=)"
        );
    }
    let let_in = if wanted == 0 { most } else { wanted.min(most) };
    usize::try_from(let_in).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS)
}

/// Of so many open files, what connections may use.
fn connections_of(files: u64) -> u64 {
    files.saturating_sub(RESERVED_FILES_MIN.max(files / 4)).max(CONNECTIONS_MIN)
}

/// Accepts at most `connections_max` at once. Surplus ones are closed at once: a client that is told
/// so tries another server, and one that waits in the listener's queue is told nothing.
pub(crate) fn incoming(
    listener: TcpListener,
    connections_max: usize,
) -> impl Stream<Item = io::Result<Connection<TcpStream>>> + Send {
    // There to be seen before the first.
    gauge!(OPEN).set(0.0);
    counter!(REFUSED).increment(0);
    let places = Arc::new(Semaphore::new(connections_max));
    let door = Door { listener, places, connections_max, refused: 0, warned: None };
    stream::unfold(door, async |mut door| Some((Ok(door.next().await), door)))
}

struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    connections_max: usize,
    /// Refused since the last warning.
    refused: u64,
    /// When refusals were last warned of.
    warned: Option<Instant>,
}

impl Door {
    async fn next(&mut self) -> Connection<TcpStream> {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    self.accept_failed(&error).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
                drop(stream);
                self.refuse();
                continue;
            };
            // A payment is small and waits for nobody's buffer: with Nagle's algorithm, one in a
            // hundred answers came 40 ms late.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "can't switch Nagle's algorithm off");
            }
            return Connection::new(stream, Place::taken(permit), PREFACE_WAIT);
        }
    }

    fn refuse(&mut self) {
        counter!(REFUSED).increment(1);
        self.refused += 1;
        if self.may_warn() {
            let refused = std::mem::take(&mut self.refused);
            tracing::warn!(
                refused,
                connections_max = self.connections_max,
                "connections were closed at once, because as many are open as are let in \
                 (ingest.connections_max, and the limit of open files)"
            );
        }
    }

    /// The peer may have gone, and the next one is there. Or the system has nothing left to give,
    /// and would say so again at once, for ever.
    async fn accept_failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        if self.may_warn() {
            let remedy = match is_out_of_files(error) {
                true => ": raise the limit of open files (ulimit -n, LimitNOFILE=)",
                false => "",
            };
            tracing::warn!(%error, "can't accept connections{remedy}");
        }
        sleep(ACCEPT_PAUSE).await;
    }

    fn may_warn(&mut self) -> bool {
        let now = Instant::now();
        let may = self.warned.is_none_or(|warned| now - warned >= WARN_EVERY);
        if may {
            self.warned = Some(now);
        }
        may
    }
}

/// One of the places that there are for connections; given back when it is dropped.
struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn taken(permit: OwnedSemaphorePermit) -> Self {
        gauge!(OPEN).increment(1.0);
        Self { _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!(OPEN).decrement(1.0);
    }
}

/// A connection that was let in. Until its peer has sent a preface's bytes, reading fails after a
/// while.
pub(crate) struct Connection<S> {
    stream: S,
    preface: Option<Preface>,
    // Given back after the stream is closed: fields are dropped in this order.
    _place: Place,
}

/// What is yet to come of a preface, and until when.
struct Preface {
    bytes_left: usize,
    until: Pin<Box<Sleep>>,
}

impl<S> Connection<S> {
    fn new(stream: S, place: Place, preface_wait: Duration) -> Self {
        let until = Box::pin(sleep(preface_wait));
        let preface = Some(Preface { bytes_left: PREFACE_BYTES, until });
        Self { stream, preface, _place: place }
    }
}

impl<S: Connected> Connected for Connection<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some(preface) = &mut self.preface else { return read };
        let bytes = buffer.filled().len() - filled;
        if bytes >= preface.bytes_left {
            self.preface = None;
            return read;
        }
        preface.bytes_left -= bytes;
        if read.is_ready() {
            return read;
        }
        ready!(preface.until.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer did not begin to speak HTTP/2",
        )))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    #[test]
    fn the_journal_keeps_a_quarter_of_the_files_and_768_at_least() {
        for (files, want) in
            [(1_048_576, 786_432), (65_536, 49_152), (1_024, 256), (256, 16), (0, 16)]
        {
            assert_eq!(connections_of(files), want, "of {files}");
        }
        let most = connections_of(open_files_limit()) as usize;
        for (setting, want) in [(0, most), (1, 1), (u32::MAX, most)] {
            assert_eq!(connections_max(setting), want, "{setting}");
        }
    }

    /// Guards against a ledger that stops because somebody holds connections open: only so many are
    /// let in, and whoever leaves makes room for another.
    #[tokio::test]
    async fn surplus_connections_are_closed_and_the_next_are_let_in_when_one_ends() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(incoming(listener, 2));
        let connect = || TcpStream::connect(address);
        let mut peers = Vec::new();
        let mut let_in = Vec::new();
        for _ in 0..2 {
            peers.push(connect().await.unwrap());
            let_in.push(incoming.next().await.unwrap().unwrap());
        }
        for _ in 0..3 {
            let mut surplus = connect().await.unwrap();
            let mut heard = [0];
            let read = tokio::select! {
                _ = incoming.next() => panic!("a third connection was let in"),
                read = surplus.read(&mut heard) => read,
            };
            assert!(matches!(read, Ok(0) | Err(_)), "it was not closed: {read:?}");
        }
        let_in.pop();
        let mut next = connect().await.unwrap();
        let mut held = incoming.next().await.unwrap().unwrap();
        next.write_all(b"here").await.unwrap();
        let mut heard = [0; 4];
        held.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"here");
    }

    fn connected(preface_wait: Duration) -> (DuplexStream, Connection<DuplexStream>) {
        let (peer, stream) = duplex(64);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (peer, Connection::new(stream, Place::taken(permit), preface_wait))
    }

    #[tokio::test]
    async fn a_peer_that_never_sends_a_whole_preface_is_given_up() {
        for sent in [0, 1, PREFACE_BYTES - 1] {
            let (mut peer, mut connection) = connected(Duration::ZERO);
            peer.write_all(&vec![b'P'; sent]).await.unwrap();
            let mut heard = Vec::new();
            let error = connection.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!((error.kind(), heard.len()), (io::ErrorKind::TimedOut, sent));
        }
    }

    /// However late the preface was looked at, and in however many pieces it came.
    #[tokio::test]
    async fn a_peer_that_sent_its_preface_may_be_silent() {
        let (mut peer, mut connection) = connected(Duration::ZERO);
        peer.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
        for piece in [1, PREFACE_BYTES - 1] {
            connection.read_exact(&mut vec![0; piece]).await.unwrap();
        }
        sleep(Duration::from_millis(2)).await;
        let silent = poll_fn(|cx| {
            let mut room = [0; 8];
            let mut room = ReadBuf::new(&mut room);
            Poll::Ready(Pin::new(&mut connection).poll_read(cx, &mut room).is_pending())
        });
        assert!(silent.await, "it was given up");
        peer.write_all(b"later").await.unwrap();
        connection.read_exact(&mut [0; 5]).await.unwrap();
    }
}
