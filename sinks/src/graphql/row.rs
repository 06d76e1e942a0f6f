//! Rows of the store: consumes and produces bytes. Guarantees that a row reads back as written.
//!
//! Numbers are LEB128: seven bits a byte, least significant first, the high bit set on all but the
//! last. Ids are 16 bytes. A row of table `payments` is 1 + n bytes of evidence, as the journal has
//! it, and then the payment's row. That one, in order:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | operation |
//! | 1 | payment flags |
//! | 1 | status: 1 settled, 2 held, 3 voided, 4 rejected |
//! | 1 | reject reason, or 0 |
//! | 1 | risk decision |
//! | 1 | parts that follow: 1 debit, 2 credit, 4 original, 8 requested amount, 16 balances |
//! | 16 | payment id |
//! | 16 each | debit, credit, original, where present |
//! | 8 | time of the batch, nanoseconds, little-endian |
//! | LEB128 | amount, ledger, code, time-out, requested amount where present |
//! | LEB128 each | eight counters, where present |
//! | 1 + n | name of the rule |
//! | rest | the context as it came |

use millrace_ledger::{
    Account, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Balances, Code, EventSeq,
    LedgerId, Operation, Outcome, OwnerId, Payment, PaymentEvent, PaymentFlags, PaymentId,
    RejectReason, RiskDecision, RuleName, Status, Timestamp, Verdict,
};

/// A row that does not read as it was written: the store is damaged, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the read model does not decode")]
pub(crate) struct RowError;

const HAS_DEBIT: u8 = 1;
const HAS_CREDIT: u8 = 2;
const HAS_ORIGINAL: u8 = 4;
const HAS_REQUESTED: u8 = 8;
const HAS_BALANCES: u8 = 16;

/// Writes a payment's row.
pub(crate) fn put_payment(
    out: &mut Vec<u8>,
    event: &PaymentEvent,
    time: Timestamp,
    context: &[u8],
) {
    let payment = &event.payment;
    let (status, reason) = match event.outcome.status {
        Status::Settled => (1, 0),
        Status::Held => (2, 0),
        Status::Voided => (3, 0),
        Status::Rejected(reason) => (4, reason as u8),
    };
    let ids = [
        (HAS_DEBIT, payment.debit.0),
        (HAS_CREDIT, payment.credit.0),
        (HAS_ORIGINAL, payment.original.0),
    ];
    let requested = payment.amount != Amount::ALL && payment.amount != event.outcome.amount;
    let mut parts = if requested { HAS_REQUESTED } else { 0 };
    // "All that is left" is told from "what moved" by the flags byte's spare high bit.
    let all = if payment.amount == Amount::ALL { 0x80 } else { 0 };
    parts |= if event.balances.is_some() { HAS_BALANCES } else { 0 };
    parts |= ids.iter().filter(|(_, id)| *id != 0).fold(0, |bits, (bit, _)| bits | bit);
    let flags = payment.flags.0 | all;
    let decision = event.verdict.decision as u8;
    out.extend_from_slice(&[payment.operation as u8, flags, status, reason, decision, parts]);
    out.extend_from_slice(&payment.id.0.to_be_bytes());
    for (_, id) in ids.iter().filter(|(_, id)| *id != 0) {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(&time.0.to_le_bytes());
    put_varint(out, event.outcome.amount.0);
    put_varint(out, u128::from(payment.ledger.0));
    put_varint(out, u128::from(payment.code.0));
    put_varint(out, u128::from(payment.timeout_s));
    if requested {
        put_varint(out, payment.amount.0);
    }
    for balances in event.balances.iter().flatten() {
        put_counters(out, balances);
    }
    let rule = event.verdict.rule.as_str();
    out.push(rule.len() as u8);
    out.extend_from_slice(rule.as_bytes());
    out.extend_from_slice(context);
}

/// Reads a payment's row: the event, its time, its context.
pub(crate) fn payment(
    seq: EventSeq,
    row: &[u8],
) -> Result<(PaymentEvent, Timestamp, &[u8]), RowError> {
    let mut row = Row(row);
    let [operation, flags, status, reason, decision, parts] = row.array()?;
    let id = PaymentId(row.id()?);
    let mut optional_id = |bit| if parts & bit != 0 { row.id() } else { Ok(0) };
    let (debit, credit) = (optional_id(HAS_DEBIT)?, optional_id(HAS_CREDIT)?);
    let original = optional_id(HAS_ORIGINAL)?;
    let time = Timestamp(u64::from_le_bytes(row.array()?));
    let amount = Amount(row.varint()?);
    let (ledger, code, timeout_s) = (row.number()?, row.number()?, row.number()?);
    let requested = match (flags & 0x80, parts & HAS_REQUESTED) {
        (0, 0) => amount,
        (0, _) => Amount(row.varint()?),
        _ => Amount::ALL,
    };
    let balances = match parts & HAS_BALANCES {
        0 => None,
        _ => Some([row.counters()?, row.counters()?]),
    };
    let [rule_len] = row.array()?;
    let rule = str::from_utf8(row.take(usize::from(rule_len))?).map_err(|_| RowError)?;
    let event = PaymentEvent {
        seq,
        payment: Payment {
            id,
            debit: AccountId(debit),
            credit: AccountId(credit),
            original: PaymentId(original),
            amount: requested,
            ledger: LedgerId(ledger),
            code: Code(code),
            operation: operation_of(operation)?,
            flags: PaymentFlags(flags & 0x7f),
            timeout_s,
            ..Payment::default()
        },
        outcome: Outcome { status: status_of(status, reason)?, amount },
        verdict: Verdict {
            decision: decision_of(decision)?,
            rule: RuleName::new(rule).ok_or(RowError)?,
            hold_s: 0,
        },
        balances,
    };
    Ok((event, time, row.0))
}

/// Where a payment stands. The numbers are those of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PaymentState {
    /// Refused for its form: the id is free, and a later event may take it.
    RefusedIdFree = 0,
    /// Refused; the id is burned.
    Refused = 1,
    /// Money moved.
    Settled = 2,
    /// A void: released its hold.
    Released = 3,
    /// A hold of which something is left.
    HoldOpen = 4,
    /// A hold of which all was captured.
    HoldCaptured = 5,
    /// A hold whose rest was released on request.
    HoldVoided = 6,
    /// A hold whose rest was released by its time-out.
    HoldExpired = 7,
}

/// A row of table `payment_ids`: where the payment is, and how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentStateRow {
    /// Position of the payment's event.
    pub seq: EventSeq,
    /// Where it stands.
    pub state: PaymentState,
    /// Minor units moved or held by the payment itself.
    pub amount: u128,
    /// Minor units left to capture (a hold) or to refund (a settled payment).
    pub left: u128,
    /// Minor units of a hold that were released.
    pub released: u128,
}

impl PaymentStateRow {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.state as u8);
        put_varint(out, u128::from(self.seq.0));
        for minor in [self.amount, self.left, self.released] {
            put_varint(out, minor);
        }
    }

    pub(crate) fn read(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Row(row);
        let [state] = row.array()?;
        let state = [
            PaymentState::RefusedIdFree,
            PaymentState::Refused,
            PaymentState::Settled,
            PaymentState::Released,
            PaymentState::HoldOpen,
            PaymentState::HoldCaptured,
            PaymentState::HoldVoided,
            PaymentState::HoldExpired,
        ]
        .into_iter()
        .find(|known| *known as u8 == state)
        .ok_or(RowError)?;
        Ok(Self {
            seq: EventSeq(row.number()?),
            state,
            amount: row.varint()?,
            left: row.varint()?,
            released: row.varint()?,
        })
    }
}

/// Writes the row of table `accounts`.
pub(crate) fn put_account(
    out: &mut Vec<u8>,
    account: &Account,
    opened_at: EventSeq,
    opened_time: Timestamp,
) {
    let spec = &account.spec;
    out.extend_from_slice(&[account.state as u8, spec.flags.0]);
    out.extend_from_slice(&spec.owner.0.to_be_bytes());
    out.extend_from_slice(&opened_time.0.to_le_bytes());
    put_varint(out, u128::from(opened_at.0));
    put_varint(out, u128::from(spec.ledger.0));
    put_varint(out, u128::from(spec.code.0));
    put_varint(out, u128::from(spec.tenant));
    put_varint(out, spec.credit_limit.0);
}

/// Reads a row of table `accounts`: the account without its balances, when it was opened.
pub(crate) fn account(
    id: AccountId,
    row: &[u8],
) -> Result<(Account, EventSeq, Timestamp), RowError> {
    let mut row = Row(row);
    let [state, flags] = row.array()?;
    let owner = OwnerId(row.id()?);
    let opened_time = Timestamp(u64::from_le_bytes(row.array()?));
    let opened_at = EventSeq(row.number()?);
    let ledger = LedgerId(row.number()?);
    let code = row.number()?;
    let account = Account {
        spec: AccountSpec {
            id,
            ledger,
            code: Code(code),
            tenant: row.number()?,
            owner,
            flags: AccountFlags(flags),
            credit_limit: Amount(row.varint()?),
            defect: None,
        },
        state: match state {
            1 => AccountState::Open,
            2 => AccountState::Frozen,
            3 => AccountState::Closed,
            _ => return Err(RowError),
        },
        balances: Balances::default(),
    };
    Ok((account, opened_at, opened_time))
}

/// Writes the row of table `balances`.
pub(crate) fn put_balances(out: &mut Vec<u8>, as_of: EventSeq, balances: &Balances) {
    put_varint(out, u128::from(as_of.0));
    put_counters(out, balances);
}

/// Reads a row of table `balances`.
pub(crate) fn balances(row: &[u8]) -> Result<(EventSeq, Balances), RowError> {
    let mut row = Row(row);
    Ok((EventSeq(row.number()?), row.counters()?))
}

/// Writes a row of a list of positions: the steps from the first, which is in the key, to those
/// after it.
pub(crate) fn put_steps(out: &mut Vec<u8>, seqs: &[u64]) {
    for pair in seqs.windows(2) {
        put_varint(out, u128::from(pair[1] - pair[0]));
    }
}

/// Reads a row that [`put_steps`] wrote: ascending positions, the first included.
pub(super) fn read_steps(first: u64, row: &[u8], seqs: &mut Vec<u64>) -> Result<(), RowError> {
    let mut row = Row(row);
    seqs.clear();
    seqs.push(first);
    let mut last = first;
    while !row.0.is_empty() {
        last = row.number::<u64>()?.checked_add(last).ok_or(RowError)?;
        seqs.push(last);
    }
    Ok(())
}

/// Writes the row of table `payments`: what risk had to say, then the payment.
pub(super) fn put_judged_payment(
    out: &mut Vec<u8>,
    event: &PaymentEvent,
    time: Timestamp,
    context: &[u8],
    evidence: &[u8],
) {
    // The journal keeps at most 255 bytes of it.
    let evidence = &evidence[..evidence.len().min(usize::from(u8::MAX))];
    out.push(evidence.len() as u8);
    out.extend_from_slice(evidence);
    put_payment(out, event, time, context);
}

/// Reads a row of table `payments`: evidence, and what [`payment`] reads.
pub(super) fn judged_payment(row: &[u8]) -> Result<(&[u8], &[u8]), RowError> {
    let (&len, rest) = row.split_first().ok_or(RowError)?;
    rest.split_at_checked(usize::from(len)).ok_or(RowError)
}

/// Reads eight bytes, big-endian.
pub(crate) fn position(bytes: &[u8]) -> Result<u64, RowError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| RowError)
}

pub(super) fn put_counters(out: &mut Vec<u8>, balances: &Balances) {
    for counter in [
        balances.debits_pending,
        balances.debits_posted,
        balances.credits_pending,
        balances.credits_posted,
    ] {
        put_varint(out, counter);
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What is left to read of a row.
pub(super) struct Row<'a>(pub(super) &'a [u8]);

impl<'a> Row<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], RowError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RowError)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        self.take(N)?.try_into().map_err(|_| RowError)
    }

    pub(super) fn id(&mut self) -> Result<u128, RowError> {
        self.array().map(u128::from_be_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u128, RowError> {
        let mut number = 0;
        for shift in (0..128).step_by(7) {
            let [byte] = self.array()?;
            let bits = u128::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(RowError);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(RowError)
    }

    pub(super) fn number<T: TryFrom<u128>>(&mut self) -> Result<T, RowError> {
        T::try_from(self.varint()?).map_err(|_| RowError)
    }

    pub(super) fn counters(&mut self) -> Result<Balances, RowError> {
        Ok(Balances {
            debits_pending: self.varint()?,
            debits_posted: self.varint()?,
            credits_pending: self.varint()?,
            credits_posted: self.varint()?,
        })
    }
}

fn operation_of(number: u8) -> Result<Operation, RowError> {
    Ok(match number {
        1 => Operation::Pay,
        2 => Operation::Authorize,
        3 => Operation::Capture,
        4 => Operation::Void,
        5 => Operation::Refund,
        _ => return Err(RowError),
    })
}

fn status_of(status: u8, reason: u8) -> Result<Status, RowError> {
    Ok(match status {
        1 => Status::Settled,
        2 => Status::Held,
        3 => Status::Voided,
        4 => Status::Rejected(RejectReason::from_number(reason).ok_or(RowError)?),
        _ => return Err(RowError),
    })
}

fn decision_of(number: u8) -> Result<RiskDecision, RowError> {
    RiskDecision::from_number(number).ok_or(RowError)
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
