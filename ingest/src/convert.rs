//! Conversions, each once: wire payment to validated payment, replies to wire outcomes, accounts. Those
//! that the stream of events needs, too, are in `millrace_protos::convert`.
//!
//! Guarantees that what the ledger gets has the right form. What is wrong with one payment becomes
//! that payment's `defect`, never an error of the request: the other payments go on.

#[cfg(test)]
mod defects_tests;

use millrace_engine::{AccountReply, PaymentReply};
use millrace_ledger::{
    AccountFlags, AccountId, AccountOutcome, AccountRejectReason, AccountSpec, Amount, Code,
    HoldState, LedgerId, Operation, OwnerId, Payment, PaymentFlags, PaymentId, PaymentView,
    RejectReason, context_digest,
};
pub(crate) use millrace_protos::convert::{account, amount, halves, id, outcome, wire_payment};
use millrace_protos::{
    convert::{id_bytes, id_or_zero, operation, payment_flags},
    payment::Malformed,
    v1,
};

use crate::context;

/// Validates a payment. Its context is handed on beside it.
pub(crate) fn payment(wire: &millrace_protos::Payment) -> Payment {
    let mut defects = Defects::default();
    if wire.has_malformed() {
        defects.add_malformed(wire);
    }
    let mut flags = payment_flags(wire);
    if flags.has(PaymentFlags::RESOLVES_REVIEW) {
        // Only the server says so.
        defects.add(RejectReason::FlagUnknown);
        flags = PaymentFlags(flags.0 & !PaymentFlags::RESOLVES_REVIEW.0);
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
        (low, high) => match amount(low.unwrap_or(0), high) {
            // All ones would read as "all", which only absence says.
            Amount::ALL => {
                defects.add(RejectReason::AmountTooLarge);
                Amount(u128::MAX - 1)
            }
            amount => amount,
        },
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
        flags,
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

/// What became of a payment, for the wire.
pub(crate) fn payment_outcome(reply: &PaymentReply) -> millrace_protos::PaymentOutcome {
    outcome(reply.id, reply.outcome, reply.verdict, reply.seq.0, reply.replayed)
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

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
        assert_eq!(amount_of(Some(u64::MAX - 1), u64::MAX), Amount(u128::MAX - 1));
        assert_ne!(amount_of(Some(u64::MAX), u64::MAX), Amount::ALL, "refused, and not all of it");
    }
}
