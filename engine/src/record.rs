//! Records: one event as bytes. Consumes and produces [`Event`]s; the layout is a table in
//! `docs/JOURNAL.md`, and a golden file guards it.
//!
//! Numbers take 8 bytes each, or 16 when one of the record's numbers needs more.

use bytes::Bytes;
use millrace_ledger::{
    Account, AccountChange, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState,
    ActEvent, Amount, Balances, Code, Event, EventSeq, HoldExpired, LedgerId, Operation, Outcome,
    OwnerId, Payment, PaymentEvent, PaymentFlags, PaymentId, RejectReason, RiskDecision, RuleName,
    Status, Timestamp, Verdict, context_digest,
};

use crate::feed::FeedEvent;

const PAYMENT: u8 = 1;
const HOLD_EXPIRED: u8 = 2;
const ACCOUNT: u8 = 3;
const ACT: u8 = 4;
/// An act: nothing of it stands in the record.
const RECORD_LEN_MIN: usize = 8;

/// Which optional parts of a record are there.
mod present {
    pub(super) const WIDE: u8 = 1;
    pub(super) const BALANCES: u8 = 2;
    pub(super) const ORIGINAL: u8 = 4;
    pub(super) const EVENT_TIME: u8 = 8;
    pub(super) const AMOUNT_ALL: u8 = 16;
    pub(super) const CONTINUES_GROUP: u8 = 32;
    pub(super) const EVIDENCE: u8 = 64;
}

/// A record whose bytes are whole but make no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedRecord;

/// Appends a payment event, its context, and what risk has to say of it. `continues_group` tells that
/// it belongs to the same linked group of the same request as the event before it.
pub(crate) fn encode_payment(
    event: &PaymentEvent,
    context: &[u8],
    evidence: &[u8],
    continues_group: bool,
    events: &mut Vec<u8>,
    contexts: &mut Vec<u8>,
) {
    let payment = &event.payment;
    let amount_all = payment.amount == Amount::ALL;
    let mut numbers = [0; 10];
    numbers[0] = if amount_all { 0 } else { payment.amount.0 };
    numbers[1] = event.outcome.amount.0;
    let mut count = 2;
    if let Some([debit, credit]) = &event.balances {
        put_balances(debit, &mut numbers[2..6]);
        put_balances(credit, &mut numbers[6..10]);
        count = 10;
    }
    let numbers = &numbers[..count];
    let (status, reason) = status_bytes(event.outcome.status);
    let rule = event.verdict.rule.as_str();
    let flag = |there: bool, bit: u8| if there { bit } else { 0 };
    let has_original = payment.original != PaymentId::ZERO;
    let mut fixed = [0; 72];
    fixed[0] = PAYMENT;
    fixed[1] = payment.operation as u8;
    fixed[2] = payment.flags.0;
    fixed[3] = status;
    fixed[4] = reason;
    fixed[5] = payment.defect.map_or(0, |reason| reason as u8);
    fixed[6] = event.verdict.decision as u8;
    fixed[7] = flag(is_wide(numbers), present::WIDE)
        | flag(event.balances.is_some(), present::BALANCES)
        | flag(has_original, present::ORIGINAL)
        | flag(payment.event_time.is_some(), present::EVENT_TIME)
        | flag(amount_all, present::AMOUNT_ALL)
        | flag(continues_group, present::CONTINUES_GROUP)
        | flag(!evidence.is_empty(), present::EVIDENCE);
    fixed[8..10].copy_from_slice(&payment.code.0.to_le_bytes());
    fixed[10..12].copy_from_slice(&(context.len() as u16).to_le_bytes());
    fixed[12..16].copy_from_slice(&payment.ledger.0.to_le_bytes());
    fixed[16..20].copy_from_slice(&payment.timeout_s.to_le_bytes());
    fixed[20] = rule.len() as u8;
    fixed[21..24].copy_from_slice(&event.verdict.hold_s.to_le_bytes()[..3]);
    fixed[24..40].copy_from_slice(&payment.id.0.to_be_bytes());
    fixed[40..56].copy_from_slice(&payment.debit.0.to_be_bytes());
    fixed[56..72].copy_from_slice(&payment.credit.0.to_be_bytes());
    events.extend_from_slice(&fixed);
    if has_original {
        events.extend_from_slice(&payment.original.0.to_be_bytes());
    }
    if let Some(time) = payment.event_time {
        events.extend_from_slice(&time.0.to_le_bytes());
    }
    put_numbers(numbers, events);
    events.extend_from_slice(rule.as_bytes());
    if !evidence.is_empty() {
        events.push(evidence.len() as u8);
        events.extend_from_slice(evidence);
    }
    contexts.extend_from_slice(context);
}

/// Appends an analyst's act.
pub(crate) fn encode_act(act: &[u8], events: &mut Vec<u8>, contexts: &mut Vec<u8>) {
    events.extend_from_slice(&[ACT, 0, 0, 0]);
    events.extend_from_slice(&(act.len() as u32).to_le_bytes());
    contexts.extend_from_slice(act);
}

/// Appends the expiry of a hold.
pub(crate) fn encode_hold_expired(event: &HoldExpired, events: &mut Vec<u8>) {
    let mut numbers = [0; 9];
    numbers[0] = event.released.0;
    put_balances(&event.balances[0], &mut numbers[1..5]);
    put_balances(&event.balances[1], &mut numbers[5..9]);
    let wide = if is_wide(&numbers) { present::WIDE } else { 0 };
    events.extend_from_slice(&[HOLD_EXPIRED, wide, 0, 0, 0, 0, 0, 0]);
    for id in [event.payment.0, event.debit.0, event.credit.0] {
        events.extend_from_slice(&id.to_be_bytes());
    }
    put_numbers(&numbers, events);
}

/// Appends the opening or change of an account. Rare, so always in the wide form.
pub(crate) fn encode_account(event: &AccountEvent, events: &mut Vec<u8>) {
    let Account { spec, state, balances } = &event.account;
    let change = match event.change {
        None => 0,
        Some(AccountChange::Freeze) => 1,
        Some(AccountChange::Reopen) => 2,
        Some(AccountChange::Close) => 3,
        Some(AccountChange::SetCreditLimit(_)) => 4,
    };
    events.extend_from_slice(&[ACCOUNT, change, *state as u8, spec.flags.0]);
    events.extend_from_slice(&spec.code.0.to_le_bytes());
    events.extend_from_slice(&[0, 0]);
    events.extend_from_slice(&spec.ledger.0.to_le_bytes());
    events.extend_from_slice(&spec.tenant.to_le_bytes());
    events.extend_from_slice(&spec.id.0.to_be_bytes());
    events.extend_from_slice(&spec.owner.0.to_be_bytes());
    events.extend_from_slice(&spec.credit_limit.0.to_le_bytes());
    let mut numbers = [0; 4];
    put_balances(balances, &mut numbers);
    for number in numbers {
        events.extend_from_slice(&number.to_le_bytes());
    }
}

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

fn with_digest(event: Event, context: &[u8]) -> Event {
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
            operation: operation(fixed[1])?,
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

fn is_wide(numbers: &[u128]) -> bool {
    numbers.iter().fold(0, |bits, number| bits | number) > u128::from(u64::MAX)
}

fn put_numbers(numbers: &[u128], events: &mut Vec<u8>) {
    if is_wide(numbers) {
        numbers.iter().for_each(|number| events.extend_from_slice(&number.to_le_bytes()));
    } else {
        numbers.iter().for_each(|number| events.extend_from_slice(&(*number as u64).to_le_bytes()));
    }
}

fn put_balances(balances: &Balances, numbers: &mut [u128]) {
    let Balances { debits_pending, debits_posted, credits_pending, credits_posted } = *balances;
    numbers.copy_from_slice(&[debits_pending, debits_posted, credits_pending, credits_posted]);
}

fn status_bytes(status: Status) -> (u8, u8) {
    match status {
        Status::Settled => (1, 0),
        Status::Held => (2, 0),
        Status::Voided => (3, 0),
        Status::Rejected(reason) => (4, reason as u8),
    }
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

fn operation(number: u8) -> Result<Operation, MalformedRecord> {
    match number {
        1 => Ok(Operation::Pay),
        2 => Ok(Operation::Authorize),
        3 => Ok(Operation::Capture),
        4 => Ok(Operation::Void),
        5 => Ok(Operation::Refund),
        _ => Err(MalformedRecord),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn bytes(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), len)
    }

    prop_compose! {
        fn balances()(numbers in prop::array::uniform4(
            prop_oneof![3 => (0..u64::MAX).prop_map(u128::from), 1 => any::<u128>()],
        )) -> Balances {
            let [debits_pending, debits_posted, credits_pending, credits_posted] = numbers;
            Balances { debits_pending, debits_posted, credits_pending, credits_posted }
        }
    }

    prop_compose! {
        fn payment_event()(
            ids in any::<[u128; 4]>(),
            amounts in prop::array::uniform2(
                prop_oneof![(0..u64::MAX).prop_map(u128::from), any::<u128>(), Just(u128::MAX)],
            ),
            has_original in any::<bool>(),
            numbers in any::<(u32, u16, u32, Option<u64>)>(),
            operation in select(vec![Operation::Pay, Operation::Authorize, Operation::Capture,
                Operation::Void, Operation::Refund]),
            flags in 0_u8..8,
            reason in select(RejectReason::ALL),
            status in 0_usize..4,
            decision in (0_u8..5).prop_map(|it| RiskDecision::from_number(it).expect("one of five")),
            rule in "[a-z-]{0,31}",
            hold_s in 0..=Verdict::HOLD_S_MAX,
            has_defect in any::<bool>(),
            balances in prop::option::of([balances(), balances()]),
        ) -> PaymentEvent {
            let statuses =
                [Status::Settled, Status::Held, Status::Voided, Status::Rejected(reason)];
            let status = statuses[status];
            PaymentEvent {
                seq: EventSeq(1),
                payment: Payment {
                    id: PaymentId(ids[0]),
                    debit: AccountId(ids[1]),
                    credit: AccountId(ids[2]),
                    original: PaymentId(if has_original { ids[3] | 1 } else { 0 }),
                    amount: Amount(amounts[0]),
                    ledger: LedgerId(numbers.0),
                    code: Code(numbers.1),
                    operation,
                    flags: PaymentFlags(flags),
                    timeout_s: numbers.2,
                    event_time: numbers.3.map(Timestamp),
                    context_digest: 0,
                    defect: has_defect.then_some(reason),
                },
                outcome: Outcome { status, amount: Amount(amounts[1]) },
                verdict: Verdict { decision, rule: RuleName::new(&rule).expect("short"), hold_s },
                balances,
            }
        }
    }

    proptest! {
        #[test]
        fn payment_events_read_back(
            events in prop::collection::vec(
                (payment_event(), bytes(0..80), bytes(0..256), any::<bool>()), 1..8),
        ) {
            let (mut bytes, mut contexts, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            let mut grouped = Vec::new();
            for (position, (event, context, evidence, continues_group)) in
                events.into_iter().enumerate()
            {
                let bytes = &mut bytes;
                encode_payment(&event, &context, &evidence, continues_group, bytes, &mut contexts);
                grouped.push(continues_group);
                let seq = EventSeq(5 + position as u64);
                let event = Event::Payment(PaymentEvent { seq, ..event });
                let event = with_digest(event, &context);
                let (context, evidence) = (context.into(), evidence.into());
                expected.push(FeedEvent { event, context, evidence });
            }
            let events_len = bytes.len();
            bytes.extend(contexts);
            let count = expected.len() as u32;
            let bytes = bytes.into();
            let decoded = decode_body(&bytes, events_len, EventSeq(5), count);
            prop_assert_eq!(decoded, Ok(expected));
            let mut read = Vec::new();
            decode_each(&bytes, events_len, EventSeq(5), count, |_, grouped| read.push(grouped))
                .expect("was read just now");
            prop_assert_eq!(read, grouped);
        }

        #[test]
        fn other_events_read_back(
            ids in any::<[u128; 4]>(),
            sides in [balances(), balances()],
            released in any::<u64>(),
            numbers in any::<(u32, u16, u32)>(),
            change in select(vec![None, Some(AccountChange::Freeze), Some(AccountChange::Reopen),
                Some(AccountChange::Close), Some(AccountChange::SetCreditLimit(Amount(77)))]),
            state in select(vec![AccountState::Open, AccountState::Frozen, AccountState::Closed]),
        ) {
            let expired = HoldExpired {
                seq: EventSeq(1),
                payment: PaymentId(ids[0]),
                debit: AccountId(ids[1]),
                credit: AccountId(ids[2]),
                released: Amount(released.into()),
                balances: sides,
            };
            let spec = AccountSpec {
                id: AccountId(ids[0]),
                ledger: LedgerId(numbers.0),
                code: Code(numbers.1),
                tenant: numbers.2,
                owner: OwnerId(ids[3]),
                flags: AccountFlags(1),
                credit_limit: Amount(77),
                defect: None,
            };
            let account = Account { spec, state, balances: sides[0] };
            let changed = AccountEvent { seq: EventSeq(2), change, account };
            let (mut bytes, mut contexts) = (Vec::new(), Vec::new());
            encode_hold_expired(&expired, &mut bytes);
            encode_account(&changed, &mut bytes);
            encode_act(b"promoted", &mut bytes, &mut contexts);
            let act = Event::Act(ActEvent { seq: EventSeq(3) });
            let mut expected = [Event::HoldExpired(expired), Event::Account(changed), act]
                .map(|event| FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() });
            expected[2].context = Bytes::from_static(b"promoted");
            let events_len = bytes.len();
            bytes.extend(contexts);
            let decoded = decode_body(&bytes.into(), events_len, EventSeq(1), 3);
            prop_assert_eq!(decoded, Ok(expected.to_vec()));
        }

        #[test]
        fn never_panics_on_garbage(garbage in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u8..5) {
            let mut bytes = vec![kind];
            bytes.extend(garbage);
            let events_len = bytes.len();
            let _ = decode_body(&bytes.into(), events_len, EventSeq(1), 1);
        }
    }
}
