//! Who calls: consumes the metadata of a request, produces how long its sender waits and the trace
//! that it is part of.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use millrace_protos::{Payment, Trace, trace};

use crate::{admit::deadline, context::CONTEXT_LEN_MAX};

/// What a request's metadata say of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) deadline: Option<Instant>,
    /// Of the payments that don't name their own.
    pub(crate) trace: Option<Trace>,
}

impl Caller {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self { deadline: deadline(headers), trace: trace_of(headers) }
    }

    /// Puts the trace into the contexts of payments that say nothing of one. Contexts are not touched
    /// where the caller has no trace, and what is malformed is left as it was sent.
    pub(crate) fn put_trace(&self, payments: &mut [Payment]) {
        let Some(trace) = self.trace else { return };
        let field = Bytes::copy_from_slice(&trace.to_field());
        // One piece of memory for all of them.
        let contexts = payments.iter().map(|payment| payment.context.len()).filter(|len| *len > 0);
        let mut room = BytesMut::with_capacity(contexts.map(|len| len + field.len()).sum());
        for Payment { context, .. } in payments {
            if context.is_empty() {
                context.clone_from(&field);
            } else if context.len() <= CONTEXT_LEN_MAX && trace::is_in(context) == Some(false) {
                room.extend_from_slice(context);
                room.extend_from_slice(&field);
                *context = room.split().freeze();
            }
        }
    }
}

/// The request's `traceparent`. Which one of several is meant nobody can tell, so there is none.
fn trace_of(headers: &HeaderMap) -> Option<Trace> {
    let mut values = headers.get_all(trace::HEADER).iter();
    let value = values.next()?;
    match values.next() {
        None => Trace::parse(value.to_str().ok()?.trim_matches([' ', '\t'])),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::context_digest;
    use millrace_protos::v1::{PaymentContext, TraceContext};
    use prost::Message as _;

    use super::*;
    use crate::{context, convert};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn caller(values: &[&[u8]]) -> Caller {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(trace::HEADER, value.to_vec().try_into().expect("a header's value"));
        }
        Caller::of(&headers)
    }

    fn parent(text: &str) -> Trace {
        Trace::parse(text).expect("is well formed")
    }

    #[test]
    fn one_well_formed_header_is_the_trace() {
        let parent: &[u8] = PARENT.as_bytes();
        let padded = format!(" \t{PARENT} ");
        for (values, trace) in [
            (&[][..], None),
            (&[parent], Some(PARENT)),
            (&[padded.as_bytes()], Some(PARENT)),
            (&[b"00-4bf9"], None),
            (&[b""], None),
            (&[b"\xff\xfe"], None),
            // Twice, the same or not, right or not.
            (&[parent, parent], None),
            (&[parent, OTHER.as_bytes()], None),
            (&[parent, b"nonsense"], None),
            (&[b"nonsense", parent], None),
        ] {
            let found = caller(values).trace.map(|trace| trace.to_string());
            assert_eq!(found.as_deref(), trace, "{values:?}");
        }
    }

    fn payments(contexts: &[Vec<u8>]) -> Vec<Payment> {
        let payment = |context: &Vec<u8>| Payment {
            payment_id: 7,
            context: Bytes::copy_from_slice(context),
            ..Payment::default()
        };
        contexts.iter().map(payment).collect()
    }

    #[test]
    fn payments_that_say_nothing_of_a_trace_get_the_callers() {
        let with = |trace| {
            PaymentContext { reference: "Jo".into(), trace, ..Default::default() }.encode_to_vec()
        };
        let contexts = [
            vec![],
            with(None),
            with(Some(parent(OTHER).to_message())),
            with(Some(TraceContext::default())),
            b"\x32\x7f".to_vec(),
            vec![0x82, 0x01].into_iter().chain([0; 1_100]).collect(),
        ];
        let sent = payments(&contexts);
        let mut filled = sent.clone();
        caller(&[PARENT.as_bytes()]).put_trace(&mut filled);
        let found: Vec<_> = filled
            .iter()
            .map(|payment| Trace::of_context(&payment.context).map(|trace| trace.to_string()))
            .collect();
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        let expected = [Some(PARENT), Some(PARENT), Some(OTHER), None, None, None];
        assert_eq!(found, expected, "{filled:?}");
        for (before, after) in sent.iter().zip(&filled) {
            assert!(after.context.starts_with(&before.context));
            let (before, after) = (convert::payment(before), convert::payment(after));
            assert_eq!(before, after, "to the ledger it is the same payment");
        }
        assert_eq!(filled[2..], sent[2..], "these are as they were sent");
        let read = PaymentContext::decode(&filled[1].context[..]).expect("is well formed");
        assert_eq!(read.reference, "Jo");
    }

    #[test]
    fn nothing_is_touched_without_a_trace() {
        let contexts =
            [vec![], PaymentContext { channel: 3, ..Default::default() }.encode_to_vec()];
        let sent = payments(&contexts);
        let mut after = sent.clone();
        caller(&[]).put_trace(&mut after);
        for (before, after) in sent.iter().zip(&after) {
            assert_eq!(before.context.as_ptr(), after.context.as_ptr());
            assert_eq!(before, after);
        }
    }

    /// A context that is as long as it may be has room for the caller's trace.
    #[test]
    fn the_largest_context_takes_a_trace() {
        let text = vec![0; CONTEXT_LEN_MAX - 4];
        let header = [0x82, 0x01, text.len() as u8 & 0x7f | 0x80, (text.len() >> 7) as u8];
        let mut payments = payments(&[[&header[..], &text].concat()]);
        assert!(context::check(&payments[0].context).is_ok());
        let digest = context_digest(&payments[0].context);
        caller(&[PARENT.as_bytes()]).put_trace(&mut payments);
        assert_eq!(Trace::of_context(&payments[0].context), Some(parent(PARENT)));
        assert!(context::check(&payments[0].context).is_ok());
        assert_eq!(context_digest(&payments[0].context), digest);
    }
}
