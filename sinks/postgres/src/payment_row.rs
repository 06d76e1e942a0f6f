//! A row of table `payments`: consumes events, produces the fields to copy. Guarantees that the
//! columns, and the context where they don't hold all of it, tell the payment exactly.

use bytes::Bytes;
use millrace_engine::feed::FeedEvent;
use millrace_ledger::{Amount, Balances, Currency, LedgerId, PaymentEvent, Status, Timestamp};
use millrace_protos::{
    Trace,
    v1::{Channel, PaymentContext, TraceContext},
};
use millrace_risk::evidence::Evidence;
use prost::Message as _;

use crate::{
    copy::{CopyRows, micros, nanoseconds},
    names::{self, CHANNELS, DECISIONS, OPERATIONS},
};

/// The columns, in the order in which [`put`] writes them and queries read them.
pub(crate) const COLUMNS: &str = "event_seq, decided_at, decided_ns, ledger, timeout_seconds, \
     payment_id, debit_account, credit_account, original_id, code, flags, operation, status, \
     reject_reason, currency, amount_minor, amount, requested_minor, risk_decision, risk_rule, \
     risk_score, channel, country_code, merchant_category_code, reference, device_id, \
     ip_address, event_time, trace_id, trace_span, trace_flags, debit_debits_pending, \
     debit_debits_posted, debit_credits_pending, debit_credits_posted, credit_debits_pending, \
     credit_debits_posted, credit_credits_pending, credit_credits_posted, evidence, context";
const FIELDS: i16 = 41;
/// Those of the context.
const CONTEXT_FIELDS: usize = 10;
/// Longer text stays in the context. The front door lets 140 bytes pass at most, and refused payments
/// are events, too.
const TEXT_MAX: usize = 256;
/// Seconds since 1970 of the years 1 to 9999, which PostgreSQL keeps.
const YEARS_S: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Three letters of ISO 4217, or the ledger's number, and the digits of the minor unit.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) currency: String,
    pub(crate) digits: u8,
}

impl Unit {
    pub(crate) fn of(ledger: LedgerId) -> Self {
        match Currency::of_ledger(ledger) {
            Some(known) => Self { currency: known.code.to_owned(), digits: known.exponent },
            None => Self { currency: ledger.0.to_string(), digits: 0 },
        }
    }
}

/// Writes the payment.
pub(crate) fn put(
    rows: &mut CopyRows,
    event: &PaymentEvent,
    time: Timestamp,
    unit: &Unit,
    beside: &FeedEvent,
) {
    let (payment, outcome) = (&event.payment, &event.outcome);
    rows.row(FIELDS);
    rows.bigint(event.seq.0);
    rows.time(time);
    rows.smallint(nanoseconds(time));
    rows.bigint(u64::from(payment.ledger.0));
    match payment.timeout_s {
        0 => rows.null(),
        seconds => rows.bigint(u64::from(seconds)),
    }
    rows.uuid(payment.id.0);
    rows.uuid_or_null(payment.debit.0);
    rows.uuid_or_null(payment.credit.0);
    rows.uuid_or_null(payment.original.0);
    rows.int(i32::from(payment.code.0));
    rows.smallint(i16::from(payment.flags.0));
    rows.text(names::word_of(&OPERATIONS, payment.operation));
    rows.text(names::status(outcome.status));
    match outcome.status {
        Status::Rejected(reason) => rows.text(names::reason(reason)),
        _ => rows.null(),
    }
    rows.text(&unit.currency);
    rows.minor(outcome.amount.0);
    rows.decimal(outcome.amount.0, unit.digits);
    match payment.amount {
        Amount::ALL => rows.null(),
        requested => rows.minor(requested.0),
    }
    rows.text(names::word_of(&DECISIONS, event.verdict.decision));
    let rule = event.verdict.rule;
    rows.text_or_null(Some(rule.as_str()).filter(|rule| !rule.is_empty()));
    match Evidence::read(&beside.evidence).and_then(|evidence| evidence.score) {
        Some(score) => rows.real(score),
        None => rows.null(),
    }
    let whole = put_context(rows, &beside.context);
    match &event.balances {
        Some(both) => both.iter().for_each(|balances| put_balances(rows, balances)),
        None => (0..8).for_each(|_| rows.null()),
    }
    rows.bytes_or_null(&beside.evidence);
    if whole { rows.null() } else { rows.bytes_or_null(&beside.context) }
}

pub(crate) fn put_balances(rows: &mut CopyRows, balances: &Balances) {
    rows.minor(balances.debits_pending);
    rows.minor(balances.debits_posted);
    rows.minor(balances.credits_pending);
    rows.minor(balances.credits_posted);
}

/// Writes the columns of the context; says whether they hold all of it.
fn put_context(rows: &mut CopyRows, context: &Bytes) -> bool {
    if context.is_empty() {
        (0..CONTEXT_FIELDS).for_each(|_| rows.null());
        return true;
    }
    let Ok(context) = PaymentContext::decode(context.clone()) else {
        (0..CONTEXT_FIELDS).for_each(|_| rows.null());
        return false;
    };
    let mut whole = context != PaymentContext::default() && context.other.is_empty();
    let channel = Channel::try_from(context.channel).ok();
    let word = channel.map_or("", |channel| names::word_of(&CHANNELS, channel));
    whole &= context.channel == 0 || !word.is_empty();
    rows.text_or_null(Some(word).filter(|word| !word.is_empty()));
    for text in [
        &context.country_code,
        &context.merchant_category_code,
        &context.reference,
        &context.device_id,
        &context.ip_address,
    ] {
        let fits = text.len() <= TEXT_MAX && !text.contains('\0');
        whole &= fits;
        rows.text_or_null(Some(text.as_str()).filter(|text| fits && !text.is_empty()));
    }
    match &context.event_time {
        None => rows.null(),
        Some(time) => {
            whole &= put_event_time(rows, time);
        }
    }
    whole & put_trace(rows, context.trace.as_ref())
}

/// Writes the three columns of the trace; says whether they hold all of it.
fn put_trace(rows: &mut CopyRows, message: Option<&TraceContext>) -> bool {
    let trace = message.and_then(Trace::of_message);
    let Some(trace) = trace else {
        (0..3).for_each(|_| rows.null());
        return message.is_none();
    };
    rows.uuid(u128::from_be_bytes(trace.trace_id()));
    rows.bytes(&trace.span_id());
    rows.smallint(i16::from(trace.flags()));
    message.is_some_and(|message| message.flags == u32::from(trace.flags()))
}

/// Writes the time to the microsecond; says whether that is all of it.
fn put_event_time(rows: &mut CopyRows, time: &prost_types::Timestamp) -> bool {
    if !YEARS_S.contains(&time.seconds) || !(0..1_000_000_000).contains(&time.nanos) {
        rows.null();
        return false;
    }
    let since_1970 = time.seconds * 1_000_000 + i64::from(time.nanos / 1_000);
    rows.micros(since_1970 + micros(Timestamp(0)));
    time.nanos % 1_000 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    use millrace_protos::v1::ContextValue;

    fn is_whole(context: &PaymentContext) -> bool {
        put_context(&mut CopyRows::new(), &context.encode_to_vec().into())
    }

    #[test]
    fn a_context_is_kept_where_its_columns_do_not_tell_it() {
        let at = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        let none = PaymentContext::default;
        let traced = |id: usize, flags| {
            let (trace_id, span_id) = (vec![1; id].into(), vec![1; 8].into());
            Some(TraceContext { trace_id, span_id, flags })
        };
        for (context, whole) in [
            (PaymentContext { reference: "rent".into(), ..none() }, true),
            (PaymentContext { reference: "re\0nt".into(), ..none() }, false),
            (PaymentContext { reference: "r".repeat(257), ..none() }, false),
            (PaymentContext { channel: 3, ..none() }, true),
            (PaymentContext { channel: 3, other: vec![ContextValue::default()], ..none() }, false),
            (PaymentContext { channel: 99, ..none() }, false),
            (PaymentContext { trace: traced(16, 1), ..none() }, true),
            (PaymentContext { trace: traced(16, 9), ..none() }, false),
            (PaymentContext { trace: traced(15, 1), ..none() }, false),
            (PaymentContext { trace: traced(0, 0), ..none() }, false),
            (PaymentContext { event_time: at(1, 5_000), ..none() }, true),
            (PaymentContext { event_time: at(1, 5_001), ..none() }, false),
            (PaymentContext { event_time: at(i64::MAX, 0), ..none() }, false),
            (PaymentContext { event_time: at(1, -1), ..none() }, false),
        ] {
            assert_eq!(is_whole(&context), whole, "{context:?}");
        }
        assert!(put_context(&mut CopyRows::new(), &Bytes::new()), "there is none");
        let malformed = Bytes::from_static(b"\xff");
        assert!(!put_context(&mut CopyRows::new(), &malformed));
        // Says a field with its default value: a context, and nothing in it.
        assert!(!put_context(&mut CopyRows::new(), &Bytes::from_static(b"\x08\0")));
    }

    #[test]
    fn there_are_as_many_fields_as_columns() {
        assert_eq!(COLUMNS.split(',').count(), FIELDS as usize);
    }
}
