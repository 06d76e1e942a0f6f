//! A payment again, with one field changed.

use millrace_ledger::{AccountId, LedgerId, Operation, Payment, PaymentFlags, RejectReason};

/// Numbers from here on change nothing.
pub(crate) const FIELDS: u8 = 15;

/// Accounts stay among the first five; ids are of the caller's making.
pub(crate) fn with_field_changed(mut payment: Payment, field: u8) -> Payment {
    match field {
        0 => payment.operation = Operation::Pay,
        1 => payment.flags = PaymentFlags(payment.flags.0 ^ 2),
        2 => payment.original.0 ^= 1,
        3 => payment.debit = AccountId(payment.debit.0 % 5 + 1),
        4 => payment.credit = AccountId(payment.credit.0 % 5 + 1),
        5 => payment.amount.0 = payment.amount.0.wrapping_add(1),
        6 => payment.ledger.0 = 978,
        7 => payment.code.0 = 9,
        8 => payment.timeout_s += u32::from(payment.timeout_s < u32::MAX),
        9 => payment.context_digest ^= 1,
        10 => payment.debit = AccountId(0),
        11 => payment.ledger = LedgerId(0),
        12 => payment.defect = Some(RejectReason::DebitAccountIdMalformed),
        13 => payment.defect = Some(RejectReason::CodeTooLarge),
        14 => payment.defect = Some(RejectReason::AmountTooLarge),
        _ => {}
    }
    payment
}
