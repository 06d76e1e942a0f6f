//! Messages that were sent and are not acknowledged: bounded in number and bytes, acknowledged in the
//! order in which they were sent.

use std::{collections::VecDeque, future::Future, pin::Pin, task::Poll};

use async_nats::jetstream::{context::PublishError, publish::PublishAck};
use millrace_ledger::EventSeq;

type Ack = Pin<Box<dyn Future<Output = Result<PublishAck, PublishError>> + Send>>;

/// A message that the server has acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    pub(crate) last: EventSeq,
    pub(crate) events: u64,
    pub(crate) bytes: usize,
}

/// What is in flight.
pub(crate) struct InFlight {
    messages: VecDeque<(Acked, Ack)>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl InFlight {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, messages_max, bytes_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message of so many bytes may be sent now. One may always be.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.messages.is_empty()
            || (self.messages.len() < self.messages_max && self.bytes + bytes <= self.bytes_max)
    }

    pub(crate) fn push(&mut self, message: Acked, ack: Ack) {
        self.bytes += message.bytes;
        self.messages.push_back((message, ack));
    }

    /// The oldest message once it is acknowledged, or why it is not. Never returns while there is none.
    pub(crate) async fn next(&mut self) -> Result<(Acked, PublishAck), PublishError> {
        let ack = std::future::poll_fn(|cx| match self.messages.front_mut() {
            Some((_, ack)) => ack.as_mut().poll(cx),
            None => Poll::Pending,
        })
        .await?;
        let (message, _) = self.messages.pop_front().expect("it was acknowledged just now");
        self.bytes -= message.bytes;
        Ok((message, ack))
    }
}
