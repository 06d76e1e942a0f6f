//! Packing: consumes the feed's batches, produces messages to publish. Batches are put together and
//! taken apart so that a message of many events is as large as it may be, and no larger.

use bytes::Bytes;
use millrace_engine::{FeedBatch, FeedEvent};
use millrace_ledger::{Event, EventSeq, Status};
use millrace_protos::Trace;
use prost::{
    Message as _,
    encoding::{self, WireType},
};

use crate::{SCHEMA_VERSION, label::Label, wire};

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) label: Label,
    pub(crate) subject: String,
    pub(crate) events: u64,
    pub(crate) payload: Bytes,
    /// In which the payment was made, where the message is of one and its caller said so.
    pub(crate) trace: Option<Trace>,
}

/// Makes messages of events, which come in sequence.
#[derive(Debug)]
pub(crate) enum Packer {
    /// Many events in a message.
    Frames(FramePacker),
    /// One payment in a message; events that are no payments are left out.
    Payments {
        /// What subjects start with.
        subject: String,
    },
}

impl Packer {
    /// Appends the messages that are full now.
    pub(crate) fn pack(
        &mut self,
        batch: &FeedBatch,
        journal: [u8; 16],
        chain: [u8; 32],
        out: &mut impl Extend<Outgoing>,
    ) {
        match self {
            Self::Frames(frames) => frames.pack(batch, journal, chain, out),
            Self::Payments { subject } => out.extend(batch.events.iter().filter_map(|event| {
                let subject = payment_subject(subject, event)?;
                let seq = event.event.seq();
                let label = Label { journal, chain, first: seq, last: seq };
                let payload = wire::write_event(event, batch.time).encode_to_vec().into();
                let trace = trace_of(event);
                Some(Outgoing { label, subject, events: 1, payload, trace })
            })),
        }
    }

    /// The message that is not full yet.
    pub(crate) fn rest(&mut self) -> Option<Outgoing> {
        match self {
            Self::Frames(frames) => frames.take(),
            Self::Payments { .. } => None,
        }
    }

    /// Forgets what is not published.
    pub(crate) fn clear(&mut self) {
        self.rest();
    }
}

/// Puts events into frames of a size.
#[derive(Debug)]
pub(crate) struct FramePacker {
    subject: String,
    bytes_max: usize,
    buffer: Vec<u8>,
    label: Option<Label>,
}

/// Tag of `EventFrame.events`.
const EVENTS: u32 = 4;

impl FramePacker {
    pub(crate) fn new(subject: &str, bytes_max: usize) -> Self {
        Self { subject: subject.to_owned(), bytes_max, buffer: Vec::new(), label: None }
    }

    fn pack(
        &mut self,
        batch: &FeedBatch,
        journal: [u8; 16],
        chain: [u8; 32],
        out: &mut impl Extend<Outgoing>,
    ) {
        for event in wire::write_batch(batch) {
            let len = event.encoded_len();
            let len_on_wire = 1 + encoding::encoded_len_varint(len as u64) + len;
            if self.buffer.len() + len_on_wire > self.bytes_max {
                out.extend(self.take());
            }
            let seq = EventSeq(event.sequence);
            let label = self.label.get_or_insert_with(|| {
                self.buffer.reserve_exact(self.bytes_max.max(len_on_wire + 64));
                let head = millrace_protos::v1::EventFrame {
                    schema_version: SCHEMA_VERSION,
                    journal_id: Bytes::copy_from_slice(&journal),
                    first_sequence: seq.0,
                    events: Vec::new(),
                };
                head.encode_raw(&mut self.buffer);
                Label { journal, chain, first: seq, last: seq }
            });
            (label.last, label.chain) = (seq, chain);
            encoding::encode_key(EVENTS, WireType::LengthDelimited, &mut self.buffer);
            encoding::encode_varint(len as u64, &mut self.buffer);
            event.encode_raw(&mut self.buffer);
        }
    }

    fn take(&mut self) -> Option<Outgoing> {
        let label = self.label.take()?;
        let payload = std::mem::take(&mut self.buffer);
        let events = label.last.0 - label.first.0 + 1;
        let (subject, payload) = (self.subject.clone(), payload.into());
        Some(Outgoing { label, subject, events, payload, trace: None })
    }
}

/// `<prefix>.<ledger>.<outcome>.<operation>`; `None` for what is no payment. The expiry of a hold does
/// not tell its ledger.
fn payment_subject(prefix: &str, event: &FeedEvent) -> Option<String> {
    match &event.event {
        Event::Payment(event) => {
            let outcome = match event.outcome.status {
                Status::Settled => "settled",
                Status::Held => "held",
                Status::Voided => "voided",
                Status::Rejected(_) => "rejected",
            };
            let operation = format!("{:?}", event.payment.operation).to_ascii_lowercase();
            Some(format!("{prefix}.{}.{outcome}.{operation}", event.payment.ledger.0))
        }
        Event::HoldExpired(_) => Some(format!("{prefix}.0.expired.authorize")),
        Event::Account(_) | Event::Act(_) => None,
    }
}

/// What is beside other events is no context.
fn trace_of(event: &FeedEvent) -> Option<Trace> {
    match event.event {
        Event::Payment(_) => Trace::of_context(&event.context),
        Event::HoldExpired(_) | Event::Account(_) | Event::Act(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{
        ActEvent, LedgerId, Operation, Outcome, Payment, PaymentEvent, RejectReason, Timestamp,
        Verdict,
    };
    use proptest::prelude::*;

    use super::*;

    fn act(seq: u64, len: usize) -> FeedEvent {
        let event = Event::Act(ActEvent { seq: EventSeq(seq) });
        FeedEvent { event, context: vec![b'x'; len].into(), evidence: Bytes::new() }
    }

    /// Batches of events of these lengths, in sequence from 1.
    fn batches(lens: &[Vec<usize>]) -> Vec<FeedBatch> {
        let mut seq = 0;
        let mut batch = |(time, lens): (usize, &Vec<usize>)| {
            let events = lens.iter().map(|len| {
                seq += 1;
                act(seq, *len)
            });
            FeedBatch { time: Timestamp(time as u64), events: events.collect() }
        };
        lens.iter().enumerate().map(&mut batch).collect()
    }

    proptest! {
        #[test]
        fn frames_hold_all_events_and_are_as_large_as_they_may_be(
            lens in prop::collection::vec(prop::collection::vec(0_usize..300, 1..20), 1..20),
            bytes_max in 100_usize..3_000,
        ) {
            let batches = batches(&lens);
            let mut packer = Packer::Frames(FramePacker::new("events.v1", bytes_max));
            let mut out = Vec::new();
            for (at, batch) in batches.iter().enumerate() {
                packer.pack(batch, [7; 16], [at as u8; 32], &mut out);
            }
            out.extend(packer.rest());
            prop_assert_eq!(packer.rest(), None);
            let (mut read, mut next) = (Vec::new(), 1);
            let mut lens = Vec::new();
            for Outgoing { label, subject, events, payload, trace } in out {
                prop_assert_eq!((subject.as_str(), trace), ("events.v1", None));
                prop_assert_eq!((label.first.0, label.last.0), (next, next + events - 1));
                next += events;
                prop_assert!(payload.len() <= bytes_max || events == 1);
                let batches = wire::read_frame(payload.clone()).expect("reads");
                let last = batches.last().expect("not empty");
                prop_assert_eq!(label.chain, [last.time.0 as u8; 32]);
                let first = wire::write_event(&batches[0].events[0], batches[0].time);
                lens.push((payload.len(), first.encoded_len()));
                for batch in batches {
                    read.extend(batch.events.into_iter().map(|event| (batch.time, event)));
                }
            }
            // The first event of each frame did not fit into the one before.
            for pair in lens.windows(2) {
                prop_assert!(pair[0].0 + pair[1].1 + 3 > bytes_max);
            }
            let events = batches.into_iter().flat_map(|batch| {
                batch.events.into_iter().map(move |event| (batch.time, event))
            });
            prop_assert_eq!(read, events.collect::<Vec<_>>());
        }
    }

    #[test]
    fn subjects_tell_ledger_outcome_and_operation() {
        let subject = |ledger, operation, status| {
            let payment = Payment { ledger: LedgerId(ledger), operation, ..Payment::default() };
            let outcome = Outcome { status, ..Outcome::rejected(RejectReason::LedgerZero) };
            let (seq, verdict) = (EventSeq(1), Verdict::default());
            let event = PaymentEvent { seq, payment, outcome, verdict, balances: None };
            let event = Event::Payment(event);
            let event = FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() };
            payment_subject("payments.v1", &event)
        };
        let rejected = Status::Rejected(RejectReason::LedgerZero);
        for (ledger, operation, status, said) in [
            (203, Operation::Pay, Status::Settled, "payments.v1.203.settled.pay"),
            (978, Operation::Authorize, Status::Held, "payments.v1.978.held.authorize"),
            (978, Operation::Capture, Status::Settled, "payments.v1.978.settled.capture"),
            (203, Operation::Void, Status::Voided, "payments.v1.203.voided.void"),
            (0, Operation::Refund, rejected, "payments.v1.0.rejected.refund"),
        ] {
            assert_eq!(subject(ledger, operation, status).as_deref(), Some(said));
        }
        assert_eq!(payment_subject("payments.v1", &act(1, 5)), None);
    }
}
