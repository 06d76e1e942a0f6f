//! Packing: consumes the feed's batches, produces messages to publish. Batches are put together and
//! taken apart so that a message of many events is as large as it may be, and no larger.

use bytes::Bytes;
use millrace_engine::{FeedBatch, FeedEvent};
use millrace_ledger::{Event, EventSeq, Status};
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
                Some(Outgoing { label, subject, events: 1, payload })
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
        Some(Outgoing { label, subject: self.subject.clone(), events, payload: payload.into() })
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
