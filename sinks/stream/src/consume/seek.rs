//! Finding an event in the stream: consumes the event's sequence, produces the sequence of the message
//! that holds it, read from the headers of a few messages.
//!
//! | the stream | the event | where to start |
//! |---|---|---|
//! | holds it | | the message with it |
//! | is empty, or ends before it | was read, or is not published yet | behind its last message |
//! | begins after it | was dropped | nowhere: a gap |
//!
//! The consumer's own position on the server does not count: the server may have lost messages with a
//! crash, which were then published again as others.

use async_nats::jetstream::stream::Stream;
use millrace_ledger::EventSeq;

use crate::{StreamError, label::Label, setup::request};

/// The stream's sequence to start from so that `from` is the first new event.
pub(super) async fn find(
    stream: &Stream,
    consumer: &str,
    name: &str,
    from: EventSeq,
) -> Result<u64, StreamError> {
    let info = stream.get_info().await.map_err(|error| request("look at", name, error))?;
    let state = info.state;
    if state.messages == 0 || label(stream, name, state.last_sequence).await?.last < from {
        return Ok(state.last_sequence + 1);
    }
    // The first message that ends with `from` or later.
    let (mut low, mut high) = (state.first_sequence, state.last_sequence);
    while low < high {
        let middle = low + (high - low) / 2;
        match label(stream, name, middle).await?.last < from {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    let oldest = label(stream, name, low).await?.first;
    if oldest > from {
        let (consumer, stream) = (consumer.to_owned(), name.to_owned());
        return Err(StreamError::Gap { consumer, stream, needed: from, oldest });
    }
    Ok(low)
}

/// What the headers of a message say.
pub(super) async fn label(
    stream: &Stream,
    name: &str,
    sequence: u64,
) -> Result<Label, StreamError> {
    let message = stream
        .get_raw_message(sequence)
        .await
        .map_err(|error| request("read a message of", name, error))?;
    Label::read(&message.headers).map_err(|problem| StreamError::ForeignMessage {
        stream: name.to_owned(),
        sequence,
        problem,
    })
}
