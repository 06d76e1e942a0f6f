//! Rows: one older payment as bytes. Consumes and produces [`StoredPayment`]s, exactly, whatever
//! their values; bytes that make no payment are an error.
//!
//! | bytes | field |
//! |---|---|
//! | 16 | payment id |
//! | 2 | parts that are there, see below; the uppermost three bits are the operation |
//! | number | amount asked for, unless it is "all" |
//! | number | amount moved, if it is not the amount asked for |
//! | number | amount left, if it is not the amount moved |
//! | 16 | original, if there |
//! | number | sequence of its event |
//! | 8 | when it expires, if it does |
//! | 8 | digest of its context, if it has one |
//! | number | number of the debit account, if there |
//! | number | number of the credit account, if there |
//! | number | time-out in seconds, if there |
//! | number | code |
//! | number | number of its verdict, if that is not 0 |
//! | 1 | flags, if there |
//! | number | number of its stage, if that is not "settled" |
//!
//! A *number* takes as many bytes as it needs: seven bits in each, the lowest first, the eighth bit
//! set in all but the last.

use millrace_ledger::{
    Amount, Code, EventSeq, NO_ACCOUNT, Operation, PaymentFlags, PaymentId, Stage, StoredPayment,
    Timestamp,
};

use crate::record;

/// Bytes of the id that a row begins with.
pub(super) const ID_LEN: usize = 16;
/// No row is longer: every part is there, and every number is the largest of its type.
pub(super) const ROW_LEN_MAX: usize = ID_LEN + 2 + 3 * 19 + 16 + 10 + 8 + 8 + 3 * 5 + 2 * 3 + 1 + 2;

/// Which parts of a row are there.
mod present {
    pub(super) const AMOUNT: u16 = 1;
    pub(super) const APPLIED: u16 = 1 << 1;
    pub(super) const LEFT: u16 = 1 << 2;
    pub(super) const ORIGINAL: u16 = 1 << 3;
    pub(super) const EXPIRES_AT: u16 = 1 << 4;
    pub(super) const CONTEXT: u16 = 1 << 5;
    pub(super) const DEBIT: u16 = 1 << 6;
    pub(super) const CREDIT: u16 = 1 << 7;
    pub(super) const TIMEOUT: u16 = 1 << 8;
    pub(super) const VERDICT: u16 = 1 << 9;
    pub(super) const FLAGS: u16 = 1 << 10;
    pub(super) const STAGE: u16 = 1 << 11;
    pub(super) const OPERATION_SHIFT: u32 = 13;
    /// No part has this bit.
    pub(super) const NONE: u16 = 1 << 12;
}

/// Bytes that make no payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedRow;

/// Appends a payment.
pub(crate) fn encode(payment: &StoredPayment, row: &mut Vec<u8>) {
    let parts = parts_of(payment);
    let has = |part: u16| parts & part != 0;
    row.extend_from_slice(&payment.id.0.to_be_bytes());
    row.extend_from_slice(&parts.to_le_bytes());
    for (part, amount) in [
        (present::AMOUNT, payment.amount.0),
        (present::APPLIED, payment.applied),
        (present::LEFT, payment.left),
    ] {
        if has(part) {
            put_wide(amount, row);
        }
    }
    if has(present::ORIGINAL) {
        row.extend_from_slice(&payment.original.0.to_be_bytes());
    }
    put(payment.seq.0, row);
    for (part, number) in
        [(present::EXPIRES_AT, payment.expires_at.0), (present::CONTEXT, payment.context_digest)]
    {
        if has(part) {
            row.extend_from_slice(&number.to_le_bytes());
        }
    }
    for (part, number) in [
        (present::DEBIT, payment.debit),
        (present::CREDIT, payment.credit),
        (present::TIMEOUT, payment.timeout_s),
    ] {
        if has(part) {
            put(number.into(), row);
        }
    }
    put(payment.code.0.into(), row);
    if has(present::VERDICT) {
        put(payment.verdict.into(), row);
    }
    if has(present::FLAGS) {
        row.push(payment.flags.0);
    }
    if has(present::STAGE) {
        put(payment.stage.number().into(), row);
    }
}

fn parts_of(payment: &StoredPayment) -> u16 {
    let parts = [
        (payment.amount != Amount::ALL, present::AMOUNT),
        (payment.applied != payment.amount.0, present::APPLIED),
        (payment.left != payment.applied, present::LEFT),
        (payment.original != PaymentId::ZERO, present::ORIGINAL),
        (payment.expires_at != Timestamp(0), present::EXPIRES_AT),
        (payment.context_digest != 0, present::CONTEXT),
        (payment.debit != NO_ACCOUNT, present::DEBIT),
        (payment.credit != NO_ACCOUNT, present::CREDIT),
        (payment.timeout_s != 0, present::TIMEOUT),
        (payment.verdict != 0, present::VERDICT),
        (payment.flags != PaymentFlags::NONE, present::FLAGS),
        (payment.stage != Stage::Settled, present::STAGE),
    ];
    let operation = (payment.operation as u16) << present::OPERATION_SHIFT;
    parts.into_iter().filter(|(there, _)| *there).fold(operation, |parts, (_, part)| parts | part)
}

/// The payment that these bytes are, all of them.
pub(crate) fn decode(row: &[u8]) -> Result<StoredPayment, MalformedRow> {
    let mut reader = Reader { rest: row };
    let id = PaymentId(u128::from_be_bytes(reader.array()?));
    let parts = u16::from_le_bytes(reader.array()?);
    if parts & present::NONE != 0 {
        return Err(MalformedRow);
    }
    let has = |part: u16| parts & part != 0;
    let amount = if has(present::AMOUNT) { reader.number()? } else { Amount::ALL.0 };
    let applied = if has(present::APPLIED) { reader.number()? } else { amount };
    let left = if has(present::LEFT) { reader.number()? } else { applied };
    let original = match has(present::ORIGINAL) {
        true => PaymentId(u128::from_be_bytes(reader.array()?)),
        false => PaymentId::ZERO,
    };
    let seq = EventSeq(reader.narrow()?);
    let mut fixed_if = |part: u16| match has(part) {
        true => reader.array().map(u64::from_le_bytes),
        false => Ok(0),
    };
    let expires_at = Timestamp(fixed_if(present::EXPIRES_AT)?);
    let context_digest = fixed_if(present::CONTEXT)?;
    let payment = StoredPayment {
        id,
        amount: Amount(amount),
        applied,
        left,
        original,
        seq,
        expires_at,
        context_digest,
        debit: if has(present::DEBIT) { reader.narrow()? } else { NO_ACCOUNT },
        credit: if has(present::CREDIT) { reader.narrow()? } else { NO_ACCOUNT },
        timeout_s: if has(present::TIMEOUT) { reader.narrow()? } else { 0 },
        code: Code(reader.narrow()?),
        verdict: if has(present::VERDICT) { reader.narrow()? } else { 0 },
        operation: operation(parts >> present::OPERATION_SHIFT).ok_or(MalformedRow)?,
        flags: if has(present::FLAGS) { PaymentFlags(reader.byte()?) } else { PaymentFlags::NONE },
        stage: match has(present::STAGE) {
            true => Stage::from_number(reader.narrow()?).ok_or(MalformedRow)?,
            false => Stage::Settled,
        },
    };
    if reader.rest.is_empty() { Ok(payment) } else { Err(MalformedRow) }
}

fn operation(number: u16) -> Option<Operation> {
    record::operation(u8::try_from(number).ok()?)
}

fn put(mut number: u64, row: &mut Vec<u8>) {
    while number >= 0x80 {
        row.push(number as u8 | 0x80);
        number >>= 7;
    }
    row.push(number as u8);
}

/// Amounts are 128 bits wide and hardly ever need them: arithmetic in 64 bits is quicker.
fn put_wide(mut number: u128, row: &mut Vec<u8>) {
    while number > u128::from(u64::MAX) {
        row.push(number as u8 | 0x80);
        number >>= 7;
    }
    put(number as u64, row);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedRow> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(MalformedRow)?;
        self.rest = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, MalformedRow> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn number(&mut self) -> Result<u128, MalformedRow> {
        let mut number = 0;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(MalformedRow);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(MalformedRow)
    }

    /// A number that must fit.
    fn narrow<T: TryFrom<u128>>(&mut self) -> Result<T, MalformedRow> {
        T::try_from(self.number()?).map_err(|_| MalformedRow)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use millrace_ledger::RejectReason;
    use proptest::prelude::*;

    use super::*;

    fn stages() -> Vec<Stage> {
        (0..0x200).filter_map(Stage::from_number).collect()
    }

    /// Numbers of every width, and the ends.
    fn wide() -> impl Strategy<Value = u128> {
        prop_oneof![
            Just(0),
            Just(u128::MAX),
            (any::<u128>(), 0..128_u32).prop_map(|(number, shift)| number >> shift),
        ]
    }

    fn narrow() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), Just(NO_ACCOUNT), any::<u32>(), 0..1000_u32]
    }

    prop_compose! {
        pub(in crate::past) fn payment()(
            [id, amount, applied, left, original] in [wide(), wide(), wide(), wide(), wide()],
            [same_applied, same_left] in any::<[bool; 2]>(),
            [seq, expires_at, context_digest] in [wide(), wide(), wide()],
            [debit, credit, timeout_s] in [narrow(), narrow(), narrow()],
            (code, verdict, flags) in any::<(u16, u16, u8)>(),
            operation in 1..6_u16,
            stage in prop::sample::select(stages()),
        ) -> StoredPayment {
            let applied = if same_applied { amount } else { applied };
            StoredPayment {
                id: PaymentId(id),
                amount: Amount(amount),
                applied,
                left: if same_left { applied } else { left },
                original: PaymentId(original),
                seq: EventSeq(seq as u64),
                expires_at: Timestamp(expires_at as u64),
                context_digest: context_digest as u64,
                debit,
                credit,
                timeout_s,
                code: Code(code),
                verdict,
                operation: super::operation(operation).expect("one of the five"),
                flags: PaymentFlags(flags),
                stage,
            }
        }
    }

    fn encoded(payment: &StoredPayment) -> Vec<u8> {
        let mut row = Vec::new();
        encode(payment, &mut row);
        row
    }

    proptest! {
        #[test]
        fn a_payment_reads_back_as_it_was(payment in payment()) {
            let row = encoded(&payment);
            prop_assert!(row.len() <= ROW_LEN_MAX);
            prop_assert_eq!(decode(&row), Ok(payment));
        }

        #[test]
        fn bytes_that_are_cut_off_or_go_on_are_refused(payment in payment()) {
            let mut row = encoded(&payment);
            for len in 0..row.len() {
                prop_assert_eq!(decode(&row[..len]), Err(MalformedRow));
            }
            row.push(0);
            prop_assert_eq!(decode(&row), Err(MalformedRow));
        }

        #[test]
        fn no_bytes_make_it_panic(row in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&row);
        }
    }

    #[test]
    fn the_largest_payment_takes_the_most_bytes() {
        let payment = StoredPayment {
            id: PaymentId::MAX,
            amount: Amount(u128::MAX - 1),
            applied: u128::MAX,
            left: u128::MAX - 1,
            original: PaymentId::MAX,
            seq: EventSeq(u64::MAX),
            expires_at: Timestamp(u64::MAX),
            context_digest: u64::MAX,
            debit: NO_ACCOUNT - 1,
            credit: NO_ACCOUNT - 1,
            timeout_s: u32::MAX,
            code: Code(u16::MAX),
            verdict: u16::MAX,
            operation: Operation::Refund,
            flags: PaymentFlags(u8::MAX),
            stage: Stage::Refused(RejectReason::CreditsExceedDebits),
        };
        assert_eq!(encoded(&payment).len(), ROW_LEN_MAX);
        assert_eq!(decode(&encoded(&payment)), Ok(payment));
    }

    #[test]
    fn a_usual_payment_is_small() {
        let payment = StoredPayment {
            id: PaymentId(0x019a_0000_0000_7000_8000_0000_0000_0001),
            amount: Amount(129_900),
            applied: 129_900,
            left: 129_900,
            seq: EventSeq(1_000_000_000),
            context_digest: 0x0123_4567_89ab_cdef,
            debit: 1_000_000,
            credit: 40_000,
            code: Code(200),
            verdict: 3,
            stage: Stage::Settled,
            ..StoredPayment::default()
        };
        assert_eq!(encoded(&payment).len(), 43);
    }
}
