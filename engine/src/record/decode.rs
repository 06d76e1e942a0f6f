//! Reading records: consumes the bytes of a frame's body, produces its events. Bytes that make no
//! event are an error, never a panic.

use bytes::Bytes;
use millrace_ledger::{
    Account, AccountChange, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState,
    ActEvent, Amount, Balances, Code, Event, EventSeq, HoldExpired, LedgerId, Operation, Outcome,
    OwnerId, Payment, PaymentEvent, PaymentFlags, PaymentId, RejectReason, RiskDecision, RuleName,
    Status, Timestamp, Verdict, context_digest,
};

use super::{ACCOUNT, ACT, HOLD_EXPIRED, PAYMENT, present};
use crate::feed::FeedEvent;

/// An act: nothing of it stands in the record.
const RECORD_LEN_MIN: usize = 8;

/// A record whose bytes are whole but make no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedRecord;

/// How many events so many bytes can hold at most, whatever a header says.
pub(crate) fn count_max(events_len: usize, count: u32) -> usize {
    (count as usize).min(events_len / RECORD_LEN_MIN)
}

/// Reads the events of a frame's body, in sequence.
pub(crate) fn decode_body(
    body: &Bytes,
    events_len: usize,
    first_seq: EventSeq,
    count: u32,
) -> Result<Vec<FeedEvent>, MalformedRecord> {
    let mut events = Vec::with_capacity(count_max(events_len, count));
    decode_each(body, events_len, first_seq, count, |event, _| events.push(event))?;
    Ok(events)
}

/// Reads the events of a frame's body, in sequence, each with whether it continues the linked group
/// of the one before it. All of them, or an error.
pub(crate) fn decode_each(
    body: &Bytes,
    events_len: usize,
    first_seq: EventSeq,
    count: u32,
    mut each: impl FnMut(FeedEvent, bool),
) -> Result<(), MalformedRecord> {
    if events_len > body.len() {
        return Err(MalformedRecord);
    }
    let mut reader = Reader { rest: &body[..events_len] };
    let mut context_at = events_len;
    for offset in 0..u64::from(count) {
        let continues_group = reader.continues_group();
        let Read { event, context_len, evidence } = reader.event(EventSeq(first_seq.0 + offset))?;
        let evidence = match evidence.len() {
            0 => Bytes::new(),
            _ => body.slice_ref(evidence),
        };
        let context_end = context_at + context_len;
        if context_end > body.len() {
            return Err(MalformedRecord);
        }
        let context = match context_len {
            0 => Bytes::new(),
            _ => body.slice(context_at..context_end),
        };
        context_at = context_end;
        let event = with_digest(event, &context);
        each(FeedEvent { event, context, evidence }, continues_group);
    }
    let all_read = reader.rest.is_empty() && context_at == body.len();
    if all_read { Ok(()) } else { Err(MalformedRecord) }
}

/// The records and the contexts of the first events of a frame's body, as they are.
pub(crate) fn first_of_body(
    body: &[u8],
    events_len: usize,
    count: u64,
) -> Result<(&[u8], &[u8]), MalformedRecord> {
    let (events, contexts) = body.split_at_checked(events_len).ok_or(MalformedRecord)?;
    let mut reader = Reader { rest: events };
    let mut contexts_len = 0;
    for offset in 0..count {
        // Records don't hold their sequence, so it does not matter here.
        contexts_len += reader.event(EventSeq(offset))?.context_len;
    }
    let events = &events[..events.len() - reader.rest.len()];
    Ok((events, contexts.get(..contexts_len).ok_or(MalformedRecord)?))
}

pub(super) fn with_digest(event: Event, context: &[u8]) -> Event {
    match event {
        Event::Payment(mut event) => {
            event.payment.context_digest = context_digest(context);
            Event::Payment(event)
        }
        other => other,
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// One record.
struct Read<'a> {
    event: Event,
    context_len: usize,
    evidence: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Whether the next event belongs to the group of the one before it.
    fn continues_group(&self) -> bool {
        let is_payment = self.rest.first() == Some(&PAYMENT);
        is_payment && self.rest.get(7).is_some_and(|there| there & present::CONTINUES_GROUP != 0)
    }

    /// The next event, and what belongs to it.
    fn event(&mut self, seq: EventSeq) -> Result<Read<'a>, MalformedRecord> {
        let alone = |event| Read { event, context_len: 0, evidence: &[] };
        match self.rest.first() {
            Some(&PAYMENT) => self.payment(seq),
            Some(&HOLD_EXPIRED) => self.hold_expired(seq).map(Event::HoldExpired).map(alone),
            Some(&ACCOUNT) => self.account(seq).map(Event::Account).map(alone),
            Some(&ACT) => {
                let fixed: [u8; 8] = self.array()?;
                let context_len = u32::from_le_bytes(part(&fixed, 4)) as usize;
                Ok(Read { event: Event::Act(ActEvent { seq }), context_len, evidence: &[] })
            }
            _ => Err(MalformedRecord),
        }
    }

    fn payment(&mut self, seq: EventSeq) -> Result<Read<'a>, MalformedRecord> {
        let fixed: [u8; 72] = self.array()?;
        let has = |bit: u8| fixed[7] & bit != 0;
        let original = match has(present::ORIGINAL) {
            true => PaymentId(u128::from_be_bytes(self.array()?)),
            false => PaymentId::ZERO,
        };
        let event_time = match has(present::EVENT_TIME) {
            true => Some(Timestamp(u64::from_le_bytes(self.array()?))),
            false => None,
        };
        let amount = Amount(self.number(has(present::WIDE))?);
        let applied = Amount(self.number(has(present::WIDE))?);
        let balances = match has(present::BALANCES) {
            true => Some([self.balances(has(present::WIDE))?, self.balances(has(present::WIDE))?]),
            false => None,
        };
        let rule = std::str::from_utf8(self.take(usize::from(fixed[20]))?);
        let rule = rule.ok().and_then(RuleName::new).ok_or(MalformedRecord)?;
        let evidence = match has(present::EVIDENCE) {
            true => {
                let [len] = self.array()?;
                self.take(usize::from(len))?
            }
            false => &[],
        };
        let id_at = |at: usize| u128::from_be_bytes(part(&fixed, at));
        let payment = Payment {
            id: PaymentId(id_at(24)),
            debit: AccountId(id_at(40)),
            credit: AccountId(id_at(56)),
            original,
            amount: if has(present::AMOUNT_ALL) { Amount::ALL } else { amount },
            ledger: LedgerId(u32::from_le_bytes(part(&fixed, 12))),
            code: Code(u16::from_le_bytes(part(&fixed, 8))),
            operation: operation(fixed[1]).ok_or(MalformedRecord)?,
            flags: PaymentFlags(fixed[2]),
            timeout_s: u32::from_le_bytes(part(&fixed, 16)),
            event_time,
            context_digest: 0,
            defect: match fixed[5] {
                0 => None,
                number => Some(RejectReason::from_number(number).ok_or(MalformedRecord)?),
            },
        };
        let outcome = Outcome { status: status(fixed[3], fixed[4])?, amount: applied };
        let decision = RiskDecision::from_number(fixed[6]).ok_or(MalformedRecord)?;
        let hold_s = u32::from_le_bytes([fixed[21], fixed[22], fixed[23], 0]);
        let verdict = Verdict { decision, rule, hold_s };
        let context_len = usize::from(u16::from_le_bytes(part(&fixed, 10)));
        let event = Event::Payment(PaymentEvent { seq, payment, outcome, verdict, balances });
        Ok(Read { event, context_len, evidence })
    }

    fn hold_expired(&mut self, seq: EventSeq) -> Result<HoldExpired, MalformedRecord> {
        let fixed: [u8; 8] = self.array()?;
        let wide = fixed[1] & present::WIDE != 0;
        Ok(HoldExpired {
            seq,
            payment: PaymentId(u128::from_be_bytes(self.array()?)),
            debit: AccountId(u128::from_be_bytes(self.array()?)),
            credit: AccountId(u128::from_be_bytes(self.array()?)),
            released: Amount(self.number(wide)?),
            balances: [self.balances(wide)?, self.balances(wide)?],
        })
    }

    fn account(&mut self, seq: EventSeq) -> Result<AccountEvent, MalformedRecord> {
        let fixed: [u8; 8] = self.array()?;
        let spec = AccountSpec {
            ledger: LedgerId(u32::from_le_bytes(self.array()?)),
            tenant: u32::from_le_bytes(self.array()?),
            id: AccountId(u128::from_be_bytes(self.array()?)),
            owner: OwnerId(u128::from_be_bytes(self.array()?)),
            credit_limit: Amount(u128::from_le_bytes(self.array()?)),
            code: Code(u16::from_le_bytes(part(&fixed, 4))),
            flags: AccountFlags(fixed[3]),
            defect: None,
        };
        let state = match fixed[2] {
            1 => AccountState::Open,
            2 => AccountState::Frozen,
            3 => AccountState::Closed,
            _ => return Err(MalformedRecord),
        };
        let change = match fixed[1] {
            0 => None,
            1 => Some(AccountChange::Freeze),
            2 => Some(AccountChange::Reopen),
            3 => Some(AccountChange::Close),
            4 => Some(AccountChange::SetCreditLimit(spec.credit_limit)),
            _ => return Err(MalformedRecord),
        };
        let account = Account { spec, state, balances: self.balances(true)? };
        Ok(AccountEvent { seq, change, account })
    }

    fn balances(&mut self, wide: bool) -> Result<Balances, MalformedRecord> {
        Ok(Balances {
            debits_pending: self.number(wide)?,
            debits_posted: self.number(wide)?,
            credits_pending: self.number(wide)?,
            credits_posted: self.number(wide)?,
        })
    }

    fn number(&mut self, wide: bool) -> Result<u128, MalformedRecord> {
        match wide {
            true => self.array().map(u128::from_le_bytes),
            false => self.array().map(|bytes| u128::from(u64::from_le_bytes(bytes))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedRecord> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(MalformedRecord)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], MalformedRecord> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(MalformedRecord)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has the array's length")
}

fn status(status: u8, reason: u8) -> Result<Status, MalformedRecord> {
    match (status, reason) {
        (1, 0) => Ok(Status::Settled),
        (2, 0) => Ok(Status::Held),
        (3, 0) => Ok(Status::Voided),
        (4, reason) => {
            RejectReason::from_number(reason).map(Status::Rejected).ok_or(MalformedRecord)
        }
        _ => Err(MalformedRecord),
    }
}

/// The operation that has this number.
pub(crate) fn operation(number: u8) -> Option<Operation> {
    match number {
        1 => Some(Operation::Pay),
        2 => Some(Operation::Authorize),
        3 => Some(Operation::Capture),
        4 => Some(Operation::Void),
        5 => Some(Operation::Refund),
        _ => None,
    }
}
