//! Messages to events.

use bytes::Bytes;
use millrace_engine::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountChange, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState,
    ActEvent, Amount, Balances, Code, Event, EventSeq, HoldExpired, LedgerId, Outcome, OwnerId,
    Payment, PaymentEvent, PaymentId, RuleName, Timestamp, Verdict, context_digest,
};
use millrace_protos::{
    convert::{self, ACCOUNT_FLAGS, amount},
    v1::{self, event::Kind},
};
use prost::Message as _;

use super::evidence;
use crate::SCHEMA_VERSION;

/// A message that holds no events of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not protobuf, or not of this schema.
    #[error("it is no event frame: {0}")]
    NotProtobuf(String),
    /// A later version wrote it.
    #[error(
        "it has schema version {found}, and this millrace reads up to {SCHEMA_VERSION}: start a later \
         version"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
    /// A field is missing, or says what it can't.
    #[error("event {seq} has no right {field}")]
    Field {
        /// The event.
        seq: EventSeq,
        /// The field.
        field: &'static str,
    },
    /// Its events don't follow from each other.
    #[error("event {found} follows where {expected} should")]
    NotDense {
        /// The event that should follow.
        expected: EventSeq,
        /// The event that does.
        found: EventSeq,
    },
}

/// Reads a frame: its events in sequence, those of one time in one batch. Contexts are slices of it.
///
/// # Errors
/// When it is not what [`super::write_event`] wrote.
pub fn read_frame(frame: Bytes) -> Result<Vec<FeedBatch>, WireError> {
    let frame =
        v1::EventFrame::decode(frame).map_err(|error| WireError::NotProtobuf(error.to_string()))?;
    if frame.schema_version > SCHEMA_VERSION {
        return Err(WireError::Newer { found: frame.schema_version });
    }
    let mut batches: Vec<FeedBatch> = Vec::new();
    let mut expected = EventSeq(frame.first_sequence);
    let mut events_left = frame.events.len();
    for message in frame.events {
        let (event, time) = read_event(message)?;
        let found = event.event.seq();
        if found != expected {
            return Err(WireError::NotDense { expected, found });
        }
        expected = expected.next();
        match batches.last_mut().filter(|batch| batch.time == time) {
            Some(batch) => batch.events.push(event),
            None => {
                let mut events = Vec::with_capacity(events_left);
                events.push(event);
                batches.push(FeedBatch { time, events });
            }
        }
        events_left -= 1;
    }
    Ok(batches)
}

/// Reads one event, and the time of the batch in which it happened.
///
/// # Errors
/// When it is not what [`super::write_event`] wrote.
pub fn read_event(message: v1::Event) -> Result<(FeedEvent, Timestamp), WireError> {
    let seq = EventSeq(message.sequence);
    let wrong = |field| WireError::Field { seq, field };
    let time = message.time.as_ref().and_then(convert::time).ok_or_else(|| wrong("time"))?;
    let alone = |event| FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() };
    let event = match message.kind.ok_or_else(|| wrong("kind"))? {
        Kind::PaymentDecided(payment) => payment_decided(seq, payment).map_err(wrong)?,
        Kind::HoldExpired(expired) => {
            alone(Event::HoldExpired(hold_expired(seq, &expired).map_err(wrong)?))
        }
        Kind::AccountChanged(changed) => {
            alone(Event::Account(account_changed(seq, &changed).map_err(wrong)?))
        }
        Kind::ActRecorded(act) => FeedEvent {
            event: Event::Act(ActEvent { seq }),
            context: act.json,
            evidence: Bytes::new(),
        },
    };
    Ok((event, time))
}

/// The name of the field that is not right.
type Wrong = &'static str;

fn payment_decided(seq: EventSeq, wire: v1::PaymentDecided) -> Result<FeedEvent, Wrong> {
    let sent = wire.payment.ok_or("payment")?;
    let outcome = wire.outcome.ok_or("outcome")?;
    if sent.has_malformed() {
        return Err("payment");
    }
    let balances = match (&wire.debit_balances, &wire.credit_balances) {
        (Some(debit), Some(credit)) => Some([read_balances(debit), read_balances(credit)]),
        (None, None) => None,
        _ => return Err("credit_balances"),
    };
    let evidence = match &wire.risk_evidence {
        Some(message) => evidence::read(message).ok_or("risk_evidence")?.into(),
        None => wire.unreadable_risk_evidence,
    };
    let event_time = match &wire.event_time {
        Some(time) => Some(convert::time(time).ok_or("event_time")?),
        None => None,
    };
    let defect = match wire.defect {
        0 => None,
        number => Some(convert::reject_reason(number).ok_or("defect")?),
    };
    let context = match sent.context.is_empty() {
        true => wire.unreadable_context,
        false => sent.context.clone(),
    };
    let payment = Payment {
        id: PaymentId(sent.payment_id),
        debit: AccountId(sent.debit_account_id),
        credit: AccountId(sent.credit_account_id),
        original: PaymentId(sent.original_payment_id),
        amount: match (sent.amount_minor, sent.amount_minor_high) {
            (None, 0) => Amount::ALL,
            (low, high) => amount(low.unwrap_or(0), high),
        },
        ledger: LedgerId(sent.ledger),
        code: Code(u16::try_from(sent.code).map_err(|_| "payment.code")?),
        operation: convert::operation(sent.operation).ok_or("payment.operation")?,
        flags: convert::payment_flags(&sent),
        timeout_s: sent.timeout_seconds,
        event_time,
        context_digest: context_digest(&context),
        defect,
    };
    let verdict = Verdict {
        decision: convert::risk_decision(outcome.risk_decision).ok_or("outcome.risk_decision")?,
        rule: RuleName::new(&outcome.risk_reason).ok_or("outcome.risk_reason")?,
        hold_s: wire.risk_hold_seconds,
    };
    let status = convert::status(&outcome).ok_or("outcome.status")?;
    let outcome =
        Outcome { status, amount: amount(outcome.amount_minor, outcome.amount_minor_high) };
    let event = Event::Payment(PaymentEvent { seq, payment, outcome, verdict, balances });
    Ok(FeedEvent { event, context, evidence })
}

fn hold_expired(seq: EventSeq, wire: &v1::HoldExpired) -> Result<HoldExpired, Wrong> {
    let payer = wire.debit_balances.as_ref().ok_or("debit_balances")?;
    let payee = wire.credit_balances.as_ref().ok_or("credit_balances")?;
    let id = |bytes: &[u8], field| convert::id(bytes).ok_or(field);
    Ok(HoldExpired {
        seq,
        payment: PaymentId(id(&wire.payment_id, "payment_id")?),
        debit: AccountId(id(&wire.debit_account_id, "debit_account_id")?),
        credit: AccountId(id(&wire.credit_account_id, "credit_account_id")?),
        released: amount(wire.released_minor, wire.released_minor_high),
        balances: [read_balances(payer), read_balances(payee)],
    })
}

fn account_changed(seq: EventSeq, wire: &v1::AccountChanged) -> Result<AccountEvent, Wrong> {
    let account = wire.account.as_ref().ok_or("account")?;
    let opened = account.account.as_ref().ok_or("account.account")?;
    let mut flags = AccountFlags::NONE;
    for number in &opened.flags {
        let known = ACCOUNT_FLAGS.into_iter().find(|(_, flag)| *flag as i32 == *number);
        flags = flags.with(known.ok_or("account.account.flags")?.0);
    }
    let owner = convert::id_or_zero(&opened.owner_id).ok_or("account.account.owner_id")?;
    let spec = AccountSpec {
        id: AccountId(convert::id(&opened.account_id).ok_or("account.account.account_id")?),
        ledger: LedgerId(opened.ledger),
        code: Code(u16::try_from(opened.code).map_err(|_| "account.account.code")?),
        tenant: opened.tenant,
        owner: OwnerId(owner),
        flags,
        credit_limit: amount(opened.credit_limit_minor, opened.credit_limit_minor_high),
        defect: None,
    };
    let state = match v1::AccountState::try_from(account.state) {
        Ok(v1::AccountState::Open) => AccountState::Open,
        Ok(v1::AccountState::Frozen) => AccountState::Frozen,
        Ok(v1::AccountState::Closed) => AccountState::Closed,
        Ok(v1::AccountState::Unspecified) | Err(_) => return Err("account.state"),
    };
    let change = match v1::AccountChange::try_from(wire.change) {
        Ok(v1::AccountChange::Opened) => None,
        Ok(v1::AccountChange::Frozen) => Some(AccountChange::Freeze),
        Ok(v1::AccountChange::Reopened) => Some(AccountChange::Reopen),
        Ok(v1::AccountChange::Closed) => Some(AccountChange::Close),
        Ok(v1::AccountChange::CreditLimitSet) => {
            Some(AccountChange::SetCreditLimit(spec.credit_limit))
        }
        Ok(v1::AccountChange::Unspecified) | Err(_) => return Err("change"),
    };
    let balances = read_balances(account.balances.as_ref().ok_or("account.balances")?);
    Ok(AccountEvent { seq, change, account: Account { spec, state, balances } })
}

fn read_balances(wire: &v1::Balances) -> Balances {
    Balances {
        debits_pending: amount(wire.debits_pending, wire.debits_pending_high).0,
        debits_posted: amount(wire.debits_posted, wire.debits_posted_high).0,
        credits_pending: amount(wire.credits_pending, wire.credits_pending_high).0,
        credits_posted: amount(wire.credits_posted, wire.credits_posted_high).0,
    }
}
