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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const KIB: usize = 1_024;

    fn message(last: u64, bytes: usize) -> Acked {
        Acked { last: EventSeq(last), events: 1, bytes }
    }

    fn acknowledged(sequence: u64) -> Ack {
        Box::pin(ready(Ok(PublishAck { sequence, ..PublishAck::default() })))
    }

    #[test]
    fn bytes_and_messages_in_flight_are_capped() {
        for (messages_max, bytes_max, in_flight, next, has_room) in [
            // One may always go, so that a message above the cap is not stuck for ever.
            (4, 100 * KIB, &[][..], 500 * KIB, true),
            (4, 100 * KIB, &[60 * KIB], 40 * KIB, true),
            (4, 100 * KIB, &[60 * KIB], 40 * KIB + 1, false),
            (4, 100 * KIB, &[500 * KIB], 0, false),
            (4, 100 * KIB, &[1, 1, 1], 1, true),
            (4, 100 * KIB, &[1, 1, 1, 1], 1, false),
        ] {
            let mut flying = InFlight::new(messages_max, bytes_max);
            for (bytes, number) in in_flight.iter().zip(1..) {
                flying.push(message(number, *bytes), Box::pin(pending()));
            }
            assert_eq!(flying.bytes(), in_flight.iter().sum::<usize>());
            assert_eq!(flying.has_room(next), has_room, "{in_flight:?}, then {next}");
        }
    }

    /// A server that answers late: the sender sends what there is room for, and never more.
    #[tokio::test]
    async fn what_is_acknowledged_makes_room() {
        const CAP: usize = 100 * KIB;
        let mut flying = InFlight::new(1_000, CAP);
        let sizes = [30 * KIB, 50 * KIB, 7, 20 * KIB, 90 * KIB, 10 * KIB, 100 * KIB, 1];
        let (mut expected, mut most) = (1, 0);
        for (bytes, number) in sizes.iter().cycle().zip(1..=500) {
            while !flying.has_room(*bytes) {
                let (oldest, ack) = flying.next().await.expect("is acknowledged");
                assert_eq!((oldest.last.0, ack.sequence), (expected, expected), "in order");
                expected += 1;
            }
            flying.push(message(number, *bytes), acknowledged(number));
            most = most.max(flying.bytes());
            assert!(flying.bytes() <= CAP, "{} bytes", flying.bytes());
        }
        assert_eq!(most, CAP, "the room is used");
        while flying.len() > 0 {
            flying.next().await.expect("is acknowledged");
        }
        assert_eq!(flying.bytes(), 0);
    }
}
