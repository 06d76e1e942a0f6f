//! Conversions, each once: wire payment to validated payment, outcome to wire outcome, accounts
//! both ways.
//!
//! Guarantees that what the ledger gets has the right form. What is wrong with one payment becomes
//! that payment's `defect`, never an error of the request: the other payments go on.

use bytes::Bytes;
use millrace_engine::{AccountReply, PaymentReply};
use millrace_ledger::{
    Account, AccountFlags, AccountId, AccountOutcome, AccountRejectReason, AccountSpec,
    AccountState, Amount, Balances, Code, HoldState, LedgerId, Operation, Outcome, OwnerId,
    Payment, PaymentFlags, PaymentId, PaymentView, RejectReason, Status, Verdict, context_digest,
};
use millrace_protos::{payment::Malformed, v1};

use crate::context;

/// Validates a payment. Its context is handed on beside it.
pub(crate) fn payment(wire: &millrace_protos::Payment) -> Payment {
    let mut defects = Defects::default();
    if wire.has_malformed() {
        defects.add_malformed(wire);
    }
    let operation = operation(wire.operation).unwrap_or_else(|| {
        defects.add(RejectReason::OperationUnknown);
        Operation::Pay
    });
    let event_time = match wire.context.is_empty() {
        true => None,
        false => context::check(&wire.context).unwrap_or_else(|_| {
            defects.add(RejectReason::ContextMalformed);
            None
        }),
    };
    let code = u16::try_from(wire.code).unwrap_or_else(|_| {
        defects.add(RejectReason::CodeTooLarge);
        u16::MAX
    });
    let amount = match (wire.amount_minor, wire.amount_minor_high) {
        (None, 0) => Amount::ALL,
        // All ones would read as "all", which only absence says.
        (low, high) => amount(low.unwrap_or(0), high).min(Amount(u128::MAX - 1)),
    };
    Payment {
        id: PaymentId(wire.payment_id),
        debit: AccountId(wire.debit_account_id),
        credit: AccountId(wire.credit_account_id),
        original: PaymentId(wire.original_payment_id),
        amount,
        ledger: LedgerId(wire.ledger),
        code: Code(code),
        operation,
        flags: payment_flags(wire),
        timeout_s: wire.timeout_seconds,
        event_time,
        context_digest: context_digest(&wire.context),
        defect: defects.first,
    }
}

/// The defect that comes first in order of precedence.
#[derive(Default)]
struct Defects {
    first: Option<RejectReason>,
}

impl Defects {
    fn add(&mut self, reason: RejectReason) {
        self.first = self.first.into_iter().chain([reason]).min();
    }

    fn add_malformed(&mut self, wire: &millrace_protos::Payment) {
        for (field, reason) in [
            (Malformed::Flag, RejectReason::FlagUnknown),
            (Malformed::PaymentId, RejectReason::PaymentIdMalformed),
            (Malformed::DebitAccountId, RejectReason::DebitAccountIdMalformed),
            (Malformed::CreditAccountId, RejectReason::CreditAccountIdMalformed),
            (Malformed::OriginalPaymentId, RejectReason::OriginalMalformed),
        ] {
            if wire.is_malformed(field) {
                self.add(reason);
            }
        }
    }
}

fn operation(number: i32) -> Option<Operation> {
    Some(match v1::Operation::try_from(number).ok()? {
        v1::Operation::Unspecified | v1::Operation::Pay => Operation::Pay,
        v1::Operation::Authorize => Operation::Authorize,
        v1::Operation::Capture => Operation::Capture,
        v1::Operation::Void => Operation::Void,
        v1::Operation::Refund => Operation::Refund,
    })
}

fn payment_flags(wire: &millrace_protos::Payment) -> PaymentFlags {
    if wire.flags == 0 {
        return PaymentFlags::NONE;
    }
    [
        (v1::PaymentFlag::Linked, PaymentFlags::LINKED),
        (v1::PaymentFlag::BalancingDebit, PaymentFlags::BALANCING_DEBIT),
        (v1::PaymentFlag::BalancingCredit, PaymentFlags::BALANCING_CREDIT),
    ]
    .into_iter()
    .filter(|(flag, _)| wire.has_flag(*flag))
    .fold(PaymentFlags::NONE, |flags, (_, flag)| flags.with(flag))
}

/// What became of a payment, for the wire.
pub(crate) fn payment_outcome(reply: &PaymentReply) -> millrace_protos::PaymentOutcome {
    outcome(reply.id, reply.outcome, reply.verdict, reply.seq.0, reply.replayed)
}

pub(crate) fn outcome(
    id: PaymentId,
    outcome: Outcome,
    verdict: Verdict,
    seq: u64,
    replayed: bool,
) -> millrace_protos::PaymentOutcome {
    let (status, reason) = match outcome.status {
        Status::Settled => (v1::PaymentStatus::Settled, 0),
        Status::Held => (v1::PaymentStatus::Held, 0),
        Status::Voided => (v1::PaymentStatus::Voided, 0),
        Status::Rejected(reason) => (v1::PaymentStatus::Rejected, reason as i32),
    };
    let (low, high) = halves(outcome.amount.0);
    millrace_protos::PaymentOutcome {
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

/// A decided payment, for the wire, without its context.
pub(crate) fn wire_payment(payment: &Payment) -> millrace_protos::Payment {
    let mut wire = millrace_protos::Payment {
        payment_id: payment.id.0,
        debit_account_id: payment.debit.0,
        credit_account_id: payment.credit.0,
        original_payment_id: payment.original.0,
        ledger: payment.ledger.0,
        code: u32::from(payment.code.0),
        operation: payment.operation as i32,
        timeout_seconds: payment.timeout_s,
        ..millrace_protos::Payment::default()
    };
    if payment.amount != Amount::ALL {
        let (low, high) = halves(payment.amount.0);
        (wire.amount_minor, wire.amount_minor_high) = (Some(low), high);
    }
    for (flag, wire_flag) in [
        (PaymentFlags::LINKED, v1::PaymentFlag::Linked),
        (PaymentFlags::BALANCING_DEBIT, v1::PaymentFlag::BalancingDebit),
        (PaymentFlags::BALANCING_CREDIT, v1::PaymentFlag::BalancingCredit),
    ] {
        if payment.flags.has(flag) {
            wire = wire.with_flag(wire_flag);
        }
    }
    wire
}

/// What is known of a payment, for the wire.
pub(crate) fn payment_view(view: &PaymentView) -> v1::GetPaymentResponse {
    let hold_state = match view.hold {
        None => v1::HoldState::Unspecified,
        Some(HoldState::Open) => v1::HoldState::Open,
        Some(HoldState::Captured) => v1::HoldState::Captured,
        Some(HoldState::Voided) => v1::HoldState::Voided,
        Some(HoldState::Expired) => v1::HoldState::Expired,
    };
    let (remaining_minor, remaining_minor_high) = halves(view.left.0);
    v1::GetPaymentResponse {
        payment: Some(wire_payment(&view.payment)),
        outcome: Some(outcome(view.payment.id, view.outcome, view.verdict, view.seq.0, false)),
        hold_state: hold_state as i32,
        remaining_minor,
        remaining_minor_high,
    }
}

/// Validates an account to open.
pub(crate) fn account_spec(wire: &v1::NewAccount) -> AccountSpec {
    let mut defect: Option<AccountRejectReason> = None;
    let mut add = |reason| defect = defect.into_iter().chain([reason]).min();
    let mut flags = AccountFlags::NONE;
    for flag in &wire.flags {
        match v1::AccountFlag::try_from(*flag) {
            Ok(v1::AccountFlag::DebitsMustNotExceedCredits) => {
                flags = flags.with(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS);
            }
            Ok(v1::AccountFlag::CreditsMustNotExceedDebits) => {
                flags = flags.with(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS);
            }
            Ok(v1::AccountFlag::KeepsHistory) => flags = flags.with(AccountFlags::KEEPS_HISTORY),
            Ok(v1::AccountFlag::Unspecified) | Err(_) => add(AccountRejectReason::FlagUnknown),
        }
    }
    let id = id_or_zero(&wire.account_id).unwrap_or_else(|| {
        add(AccountRejectReason::AccountIdMalformed);
        0
    });
    let owner = id_or_zero(&wire.owner_id).unwrap_or_else(|| {
        add(AccountRejectReason::OwnerIdMalformed);
        0
    });
    let code = u16::try_from(wire.code).unwrap_or_else(|_| {
        add(AccountRejectReason::CodeTooLarge);
        u16::MAX
    });
    AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(wire.ledger),
        code: Code(code),
        tenant: wire.tenant,
        owner: OwnerId(owner),
        flags,
        credit_limit: amount(wire.credit_limit_minor, wire.credit_limit_minor_high),
        defect,
    }
}

/// An account, for the wire.
pub(crate) fn account(account: &Account) -> v1::Account {
    let spec = &account.spec;
    let flags = [
        (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, v1::AccountFlag::DebitsMustNotExceedCredits),
        (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, v1::AccountFlag::CreditsMustNotExceedDebits),
        (AccountFlags::KEEPS_HISTORY, v1::AccountFlag::KeepsHistory),
    ];
    let flags = flags.into_iter().filter(|(flag, _)| spec.flags.has(*flag));
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

fn balances(balances: &Balances) -> v1::Balances {
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

/// What became of an account command, for the wire.
pub(crate) fn account_outcome(reply: &AccountReply) -> v1::AccountOutcome {
    let (status, reason) = match reply.outcome {
        AccountOutcome::Created => (v1::AccountStatus::Created, 0),
        AccountOutcome::Updated => (v1::AccountStatus::Updated, 0),
        AccountOutcome::Unchanged => (v1::AccountStatus::Unchanged, 0),
        AccountOutcome::Rejected(reason) => (v1::AccountStatus::Rejected, reason as i32),
    };
    v1::AccountOutcome {
        account_id: id_bytes(reply.id.0),
        status: status as i32,
        reject_reason: reason,
        event_sequence: reply.seq.map_or(0, |seq| seq.0),
    }
}

/// An id of 16 bytes.
pub(crate) fn id(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

/// An id of 16 bytes, or none at all, which reads as zero.
fn id_or_zero(bytes: &[u8]) -> Option<u128> {
    if bytes.is_empty() { Some(0) } else { id(bytes) }
}

fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

pub(crate) fn amount(low: u64, high: u64) -> Amount {
    Amount(u128::from(high) << 64 | u128::from(low))
}

pub(crate) fn halves(amount: u128) -> (u64, u64) {
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
    fn the_first_defect_in_order_of_precedence_counts() {
        let wire = millrace_protos::Payment {
            operation: 99,
            code: 70_000,
            context: Bytes::from_static(b"garbage"),
            ..Default::default()
        };
        assert_eq!(payment(&wire).defect, Some(RejectReason::OperationUnknown));
        let wire = millrace_protos::Payment { code: 70_000, ..Default::default() };
        assert_eq!(payment(&wire).defect, Some(RejectReason::CodeTooLarge));
    }

    #[test]
    fn amounts_take_both_halves_and_absence_means_all() {
        let amount_of = |low, high| {
            let wire = millrace_protos::Payment {
                amount_minor: low,
                amount_minor_high: high,
                ..Default::default()
            };
            payment(&wire).amount
        };
        assert_eq!(amount_of(None, 0), Amount::ALL);
        assert_eq!(amount_of(Some(0), 0), Amount(0));
        assert_eq!(amount_of(Some(7), 1), Amount((1 << 64) + 7));
        assert_eq!(amount_of(None, 1), Amount(1 << 64));
        assert_eq!(amount_of(Some(u64::MAX), u64::MAX), Amount(u128::MAX - 1), "not all of it");
    }
}
