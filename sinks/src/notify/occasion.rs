//! What an event means to people: consumes an event, produces its kind, its parties and its
//! amount, or nothing where nobody is concerned.

use super::{EventKind, Role};
use millrace_ledger::{
    AccountId, Amount, Event, EventSeq, HoldExpired, Operation, PaymentEvent, PaymentId,
    RejectReason, Status, Timestamp,
};

/// An event that concerns the holders of its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occasion {
    pub(super) seq: EventSeq,
    pub(super) time: Timestamp,
    pub(super) kind: EventKind,
    pub(super) payment: PaymentId,
    /// Zero where there is none.
    pub(super) original: PaymentId,
    pub(super) operation: &'static str,
    /// Debited. Zero where a refused payment does not name it.
    pub(super) payer: AccountId,
    /// Credited. Zero where a refused payment does not name it.
    pub(super) payee: AccountId,
    /// [`Amount::ALL`] where a refused payment asked for all that is left.
    pub(super) amount: Amount,
    pub(super) reason: Option<RejectReason>,
}

impl Occasion {
    /// `None` for what is of no payment.
    pub(super) fn of(event: &Event, time: Timestamp) -> Option<Self> {
        match event {
            Event::Payment(payment) => Some(Self::of_payment(payment, time)),
            Event::HoldExpired(expired) => Some(Self::of_expiry(expired, time)),
            Event::Account(_) | Event::Act(_) => None,
        }
    }

    fn of_payment(event: &PaymentEvent, time: Timestamp) -> Self {
        let payment = &event.payment;
        let (kind, reason) = match event.outcome.status {
            Status::Settled if payment.operation == Operation::Refund => {
                (EventKind::Refunded, None)
            }
            Status::Settled => (EventKind::Settled, None),
            Status::Held => (EventKind::Held, None),
            Status::Voided => (EventKind::Voided, None),
            Status::Rejected(reason) => (EventKind::Rejected, Some(reason)),
        };
        Self {
            seq: event.seq,
            time,
            kind,
            payment: payment.id,
            original: payment.original,
            operation: match payment.operation {
                Operation::Pay => "pay",
                Operation::Authorize => "authorize",
                Operation::Capture => "capture",
                Operation::Void => "void",
                Operation::Refund => "refund",
            },
            payer: payment.debit,
            payee: payment.credit,
            amount: if reason.is_some() { payment.amount } else { event.outcome.amount },
            reason,
        }
    }

    fn of_expiry(event: &HoldExpired, time: Timestamp) -> Self {
        Self {
            seq: event.seq,
            time,
            kind: EventKind::Expired,
            payment: event.payment,
            original: PaymentId::ZERO,
            operation: "expire",
            payer: event.debit,
            payee: event.credit,
            amount: event.released,
            reason: None,
        }
    }

    /// Who is told, in the order of the messages.
    pub(super) fn told(&self) -> &'static [Role] {
        match self.kind {
            EventKind::Settled | EventKind::Refunded => &[Role::Payer, Role::Payee],
            _ => &[Role::Payer],
        }
    }

    /// The account of one party, and that of the other.
    pub(super) fn accounts(&self, role: Role) -> (AccountId, AccountId) {
        match role {
            Role::Payer | Role::Holder => (self.payer, self.payee),
            Role::Payee => (self.payee, self.payer),
        }
    }
}
