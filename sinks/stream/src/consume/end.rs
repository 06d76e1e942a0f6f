//! Where the stream ends, in events: consumes what the server says once a second, and what is received;
//! produces a figure for whoever asks how far a sink is behind. Guarantees that it is no figure of a
//! connection that is no more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::stream::Stream;
use millrace_ledger::EventSeq;
use millrace_sinks::Head;

use super::seek;
use crate::{StreamError, setup::request};

/// How often the server is asked. The last message is read only when it is another one.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The last event of the stream. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    /// One more than its sequence; 0 while nobody knows.
    behind: Arc<AtomicU64>,
}

impl End {
    pub(super) fn head(&self) -> Head {
        let behind = Arc::clone(&self.behind);
        Head::new(move || behind.load(Ordering::Acquire).checked_sub(1).map(EventSeq))
    }

    /// The stream goes up to this event at least.
    pub(super) fn note(&self, last: EventSeq) {
        self.behind.fetch_max(last.0 + 1, Ordering::AcqRel);
    }

    /// The connection is gone that told it.
    pub(super) fn forget(&self) {
        self.behind.store(0, Ordering::Release);
    }

    /// Asks the server again and again. Never returns.
    pub(super) async fn ask(&self, stream: &Stream, name: &str) -> ! {
        let mut known = None;
        loop {
            // A server that does not answer in time is asked again; a connection that broke ends this.
            if let Err(error) = self.look(stream, name, &mut known).await {
                tracing::debug!(stream = name, %error, "can't see where the stream ends");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn look(
        &self,
        stream: &Stream,
        name: &str,
        known: &mut Option<u64>,
    ) -> Result<(), StreamError> {
        let info = stream.get_info().await.map_err(|error| request("look at", name, error))?;
        let last = info.state.last_sequence;
        if *known == Some(last) {
            return Ok(());
        }
        match info.state.messages {
            0 => self.note(EventSeq(0)),
            _ => self.note(seek::label(stream, name, last).await?.last),
        }
        *known = Some(last);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_while_there_is_a_connection_that_tells_it() {
        let end = End::default();
        let head = end.head();
        assert_eq!(head.now(), None);
        for (told, known) in [(0, 0), (7, 7), (5, 7), (9, 9)] {
            end.note(EventSeq(told));
            assert_eq!(head.now(), Some(EventSeq(known)), "after {told}");
        }
        end.forget();
        assert_eq!(head.now(), None);
    }
}
