//! Where to go on: consumes what the stream holds and what the journal holds, produces the place, or
//! the reason why there is none.
//!
//! | the stream | the journal | what happens |
//! |---|---|---|
//! | empty | anything | published from the oldest event on that the journal has |
//! | ends with event N of this journal | has the same N | published from N + 1 on |
//! | ends with event N of this journal | ends before N | stop: the stream is ahead |
//! | ends with event N of this journal | has another N | stop: they differ |
//! | ends with a message of another journal | | stop: it belongs to another journal |
//! | ends with a message of nobody we know | | stop: somebody else publishes there |
//!
//! "The same N" is the same hash of its frame, which covers all events before it.

use async_nats::jetstream::stream::Stream;
use millrace_engine::Feed;
use millrace_ledger::EventSeq;

use crate::{
    StreamError,
    label::{Label, hex},
    setup::request,
};

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first event to publish.
    pub(crate) next_seq: EventSeq,
    /// The stream's last message has this sequence of the stream's.
    pub(crate) stream_sequence: u64,
}

pub(crate) async fn find(stream: &Stream, name: &str, feed: &Feed) -> Result<Place, StreamError> {
    let journal = feed.journal_id()?.ok_or(StreamError::NoJournal)?;
    let info = stream.get_info().await.map_err(|error| request("look at", name, error))?;
    let stream_sequence = info.state.last_sequence;
    if info.state.messages == 0 {
        let next_seq = feed.first_seq()?.ok_or(StreamError::NoJournal)?;
        return Ok(Place { next_seq, stream_sequence });
    }
    let last = stream
        .get_raw_message(stream_sequence)
        .await
        .map_err(|error| request("read the last message of", name, error))?;
    let label = Label::read(&last.headers).map_err(|problem| StreamError::ForeignMessage {
        stream: name.to_owned(),
        sequence: stream_sequence,
        problem,
    })?;
    check(&label, name, journal, feed)?;
    Ok(Place { next_seq: label.last.next(), stream_sequence })
}

/// Whether the journal has what the label says.
fn check(label: &Label, name: &str, journal: [u8; 16], feed: &Feed) -> Result<(), StreamError> {
    let stream = name.to_owned();
    let published = label.last;
    if label.journal != journal {
        let (found, ours) = (hex(&label.journal), hex(&journal));
        return Err(StreamError::OtherJournal { stream, found, ours });
    }
    match feed.chain_hash(published)? {
        Some(chain) if chain == label.chain => Ok(()),
        Some(_) => Err(StreamError::Diverged { stream, published }),
        None => Err(StreamError::StreamAhead { stream, published }),
    }
}
