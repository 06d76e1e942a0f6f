//! One event as bytes that stand alone: consumes an event with what surrounds it, produces the
//! record that the journal would hold of it, and reads it back.
//!
//! | bytes | what |
//! |---|---|
//! | 4, little endian | length of the record |
//! | that many | the record, as in a frame |
//! | the rest | the context |

use bytes::Bytes;
use millrace_ledger::{Event, EventSeq};

use crate::{FeedEvent, record};

/// Bytes that make no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes make no event")]
pub struct NotAnEvent;

impl FeedEvent {
    /// The event as bytes. Its sequence is not among them, and neither is whether it belongs to the
    /// linked group of the event before it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut record, mut context) = (Vec::new(), Vec::new());
        match &self.event {
            Event::Payment(event) => record::encode_payment(
                event,
                &self.context,
                &self.evidence,
                false,
                &mut record,
                &mut context,
            ),
            Event::HoldExpired(event) => record::encode_hold_expired(event, &mut record),
            Event::Account(event) => record::encode_account(event, &mut record),
            Event::Act(_) => record::encode_act(&self.context, &mut record, &mut context),
        }
        let len = u32::try_from(record.len()).expect("a record is shorter than 4 GiB");
        [&len.to_le_bytes()[..], &record, &context].concat()
    }

    /// Reads what [`Self::to_bytes`] wrote of the event with this sequence.
    ///
    /// # Errors
    /// When the bytes are not what was written.
    pub fn from_bytes(seq: EventSeq, bytes: &Bytes) -> Result<Self, NotAnEvent> {
        let (len, _) = bytes.split_first_chunk::<4>().ok_or(NotAnEvent)?;
        let body = bytes.slice(4..);
        let events_len = u32::from_le_bytes(*len) as usize;
        let mut events = record::decode_body(&body, events_len, seq, 1).map_err(|_| NotAnEvent)?;
        events.pop().ok_or(NotAnEvent)
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{
        Account, AccountEvent, AccountSpec, AccountState, ActEvent, Amount, Balances, HoldExpired,
        Outcome, Payment, PaymentEvent, PaymentId, Status, Verdict, context_digest,
    };

    use super::*;

    fn events() -> Vec<FeedEvent> {
        let alone = |event| FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() };
        let seq = EventSeq(7);
        let payment = Payment {
            id: PaymentId(5),
            amount: Amount(9),
            context_digest: context_digest(b"context"),
            ..Payment::default()
        };
        let outcome = Outcome { status: Status::Settled, amount: Amount(9) };
        let paid = PaymentEvent {
            seq,
            payment,
            outcome,
            verdict: Verdict::APPROVE,
            balances: Some([Balances::default(); 2]),
        };
        let account = Account {
            spec: AccountSpec::default(),
            state: AccountState::Open,
            balances: Balances::default(),
        };
        let expired = HoldExpired {
            seq,
            payment: PaymentId(5),
            debit: millrace_ledger::AccountId(1),
            credit: millrace_ledger::AccountId(2),
            released: Amount(1 << 90),
            balances: [Balances::default(); 2],
        };
        let (context, evidence) = ("context".into(), "evidence".into());
        vec![
            FeedEvent { event: Event::Payment(paid), context, evidence },
            alone(Event::Account(AccountEvent { seq, change: None, account })),
            alone(Event::HoldExpired(expired)),
            FeedEvent { context: "an act".into(), ..alone(Event::Act(ActEvent { seq })) },
        ]
    }

    #[test]
    fn every_kind_of_event_reads_back() {
        for event in events() {
            let bytes = Bytes::from(event.to_bytes());
            assert_eq!(FeedEvent::from_bytes(EventSeq(7), &bytes), Ok(event));
        }
    }

    #[test]
    fn bytes_that_were_cut_or_grew_are_refused() {
        for event in events() {
            let bytes = Bytes::from(event.to_bytes());
            for len in 0..bytes.len() {
                let cut = FeedEvent::from_bytes(EventSeq(7), &bytes.slice(..len));
                assert_eq!(cut, Err(NotAnEvent), "{len} of {bytes:?}");
            }
            let grown = Bytes::from([&bytes[..], b"x"].concat());
            assert_eq!(FeedEvent::from_bytes(EventSeq(7), &grown), Err(NotAnEvent));
        }
    }
}
