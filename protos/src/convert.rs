//! Conversions that more than one tier needs, each once: consumes the ledger's types, produces wire
//! messages; and the pieces that go the other way as they are, such as amounts and ids.
//!
//! What comes from outside is validated where it comes in, not here.

use bytes::Bytes;
use millrace_ledger::{
    Account, AccountFlags, AccountState, Amount, Balances, Operation, Outcome, OwnerId, Payment,
    PaymentFlags, PaymentId, RejectReason, RiskDecision, Status, Timestamp, Verdict,
};

use crate::v1;

const NS_PER_S: u64 = 1_000_000_000;

/// Flags of a payment, here and on the wire.
pub const PAYMENT_FLAGS: [(PaymentFlags, v1::PaymentFlag); 4] = [
    (PaymentFlags::LINKED, v1::PaymentFlag::Linked),
    (PaymentFlags::BALANCING_DEBIT, v1::PaymentFlag::BalancingDebit),
    (PaymentFlags::BALANCING_CREDIT, v1::PaymentFlag::BalancingCredit),
    (PaymentFlags::RESOLVES_REVIEW, v1::PaymentFlag::ResolvesReview),
];

/// Flags of an account, here and on the wire.
pub const ACCOUNT_FLAGS: [(AccountFlags, v1::AccountFlag); 3] = [
    (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, v1::AccountFlag::DebitsMustNotExceedCredits),
    (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, v1::AccountFlag::CreditsMustNotExceedDebits),
    (AccountFlags::KEEPS_HISTORY, v1::AccountFlag::KeepsHistory),
];

/// What became of a payment.
#[must_use]
pub fn outcome(
    id: PaymentId,
    outcome: Outcome,
    verdict: Verdict,
    seq: u64,
    replayed: bool,
) -> v1::PaymentOutcome {
    let (status, reason) = match outcome.status {
        Status::Settled => (v1::PaymentStatus::Settled, 0),
        Status::Held => (v1::PaymentStatus::Held, 0),
        Status::Voided => (v1::PaymentStatus::Voided, 0),
        Status::Rejected(reason) => (v1::PaymentStatus::Rejected, reason as i32),
    };
    let (low, high) = halves(outcome.amount.0);
    v1::PaymentOutcome {
        payment_id: id.0,
        status: status as i32,
        reject_reason: reason,
        event_sequence: seq,
        amount_minor: low,
        amount_minor_high: high,
        replayed,
        risk_decision: verdict.decision as i32,
        risk_reason: verdict.rule.as_str().to_owned(),
    }
}

/// The status of an outcome; `None` for one that is none.
#[must_use]
pub fn status(wire: &v1::PaymentOutcome) -> Option<Status> {
    Some(match v1::PaymentStatus::try_from(wire.status).ok()? {
        v1::PaymentStatus::Settled => Status::Settled,
        v1::PaymentStatus::Held => Status::Held,
        v1::PaymentStatus::Voided => Status::Voided,
        v1::PaymentStatus::Rejected => Status::Rejected(reject_reason(wire.reject_reason)?),
        v1::PaymentStatus::Unspecified => return None,
    })
}

/// The reason with this number, which is the wire's, too.
#[must_use]
pub fn reject_reason(number: i32) -> Option<RejectReason> {
    RejectReason::from_number(u8::try_from(number).ok()?)
}

/// The decision with this number, which is the wire's, too.
#[must_use]
pub fn risk_decision(number: i32) -> Option<RiskDecision> {
    RiskDecision::from_number(u8::try_from(number).ok()?)
}

/// The operation with this number; a payment without one is a plain pay.
#[must_use]
pub fn operation(number: i32) -> Option<Operation> {
    Some(match v1::Operation::try_from(number).ok()? {
        v1::Operation::Unspecified | v1::Operation::Pay => Operation::Pay,
        v1::Operation::Authorize => Operation::Authorize,
        v1::Operation::Capture => Operation::Capture,
        v1::Operation::Void => Operation::Void,
        v1::Operation::Refund => Operation::Refund,
    })
}

/// The flags of a payment that this version knows.
#[must_use]
pub fn payment_flags(wire: &v1::Payment) -> PaymentFlags {
    if wire.flags == 0 {
        return PaymentFlags::NONE;
    }
    PAYMENT_FLAGS
        .into_iter()
        .filter(|(_, flag)| wire.has_flag(*flag))
        .fold(PaymentFlags::NONE, |flags, (flag, _)| flags.with(flag))
}

/// A decided payment, without its context.
#[must_use]
pub fn wire_payment(payment: &Payment) -> v1::Payment {
    let mut wire = v1::Payment {
        payment_id: payment.id.0,
        debit_account_id: payment.debit.0,
        credit_account_id: payment.credit.0,
        original_payment_id: payment.original.0,
        ledger: payment.ledger.0,
        code: u32::from(payment.code.0),
        operation: payment.operation as i32,
        timeout_seconds: payment.timeout_s,
        ..v1::Payment::default()
    };
    if payment.amount != Amount::ALL {
        let (low, high) = halves(payment.amount.0);
        (wire.amount_minor, wire.amount_minor_high) = (Some(low), high);
    }
    for (flag, wire_flag) in PAYMENT_FLAGS {
        if payment.flags.has(flag) {
            wire = wire.with_flag(wire_flag);
        }
    }
    wire
}

/// An account.
#[must_use]
pub fn account(account: &Account) -> v1::Account {
    let spec = &account.spec;
    let flags = ACCOUNT_FLAGS.into_iter().filter(|(flag, _)| spec.flags.has(*flag));
    let (credit_limit_minor, credit_limit_minor_high) = halves(spec.credit_limit.0);
    v1::Account {
        account: Some(v1::NewAccount {
            account_id: id_bytes(spec.id.0),
            ledger: spec.ledger.0,
            code: u32::from(spec.code.0),
            tenant: spec.tenant,
            owner_id: if spec.owner == OwnerId::ZERO {
                Bytes::new()
            } else {
                id_bytes(spec.owner.0)
            },
            flags: flags.map(|(_, flag)| flag as i32).collect(),
            credit_limit_minor,
            credit_limit_minor_high,
        }),
        state: match account.state {
            AccountState::Open => v1::AccountState::Open,
            AccountState::Frozen => v1::AccountState::Frozen,
            AccountState::Closed => v1::AccountState::Closed,
        } as i32,
        balances: Some(balances(&account.balances)),
    }
}

/// The four balances of an account.
#[must_use]
pub fn balances(balances: &Balances) -> v1::Balances {
    let (debits_pending, debits_pending_high) = halves(balances.debits_pending);
    let (debits_posted, debits_posted_high) = halves(balances.debits_posted);
    let (credits_pending, credits_pending_high) = halves(balances.credits_pending);
    let (credits_posted, credits_posted_high) = halves(balances.credits_posted);
    v1::Balances {
        debits_pending,
        debits_posted,
        credits_pending,
        credits_posted,
        debits_pending_high,
        debits_posted_high,
        credits_pending_high,
        credits_posted_high,
    }
}

/// A point in time.
#[must_use]
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: (time.0 / NS_PER_S) as i64,
        nanos: (time.0 % NS_PER_S) as i32,
    }
}

/// A point in time from 1970 to 2554; `None` for any other.
#[must_use]
pub fn time(wire: &prost_types::Timestamp) -> Option<Timestamp> {
    let seconds = u64::try_from(wire.seconds).ok()?;
    let nanos = u64::try_from(wire.nanos).ok().filter(|nanos| *nanos < NS_PER_S)?;
    seconds.checked_mul(NS_PER_S)?.checked_add(nanos).map(Timestamp)
}

/// An id of 16 bytes.
#[must_use]
pub fn id(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

/// An id of 16 bytes, or none at all, which reads as zero.
#[must_use]
pub fn id_or_zero(bytes: &[u8]) -> Option<u128> {
    if bytes.is_empty() { Some(0) } else { id(bytes) }
}

/// The 16 bytes of an id.
#[must_use]
pub fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// An amount of its lower and its upper 64 bits.
#[must_use]
pub fn amount(low: u64, high: u64) -> Amount {
    Amount(u128::from(high) << 64 | u128::from(low))
}

/// The lower and the upper 64 bits of an amount.
#[must_use]
pub fn halves(amount: u128) -> (u64, u64) {
    (amount as u64, (amount >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger's numbers are the wire's: one list of reasons, in one order.
    #[test]
    fn reject_reasons_have_the_numbers_and_names_of_the_wire() {
        for reason in RejectReason::ALL {
            let wire = v1::RejectReason::try_from(*reason as i32).expect("has a number there");
            let name = format!("REJECT_REASON_{}", reason.upper_snake_name());
            assert_eq!(wire.as_str_name(), name);
        }
        let on_the_wire = (1..=255).filter(|number| v1::RejectReason::try_from(*number).is_ok());
        assert_eq!(on_the_wire.count(), RejectReason::ALL.len());
    }

    #[test]
    fn risk_decisions_have_the_numbers_of_the_wire() {
        for number in 0..=5 {
            let wire = v1::RiskDecision::try_from(number);
            assert_eq!(wire.is_ok(), risk_decision(number).is_some(), "{number}");
        }
    }

    #[test]
    fn times_go_there_and_back() {
        for ns in [0, 1, 999_999_999, 1_000_000_000, 1_795_163_400_000_000_001, u64::MAX] {
            assert_eq!(time(&timestamp(Timestamp(ns))), Some(Timestamp(ns)));
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            assert_eq!(time(&prost_types::Timestamp { seconds, nanos }), None);
        }
    }
}
