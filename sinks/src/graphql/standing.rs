//! How a payment stands: consumes what was decided of it and of those that name it, produces its
//! state and what is left of it. Every read model says the same.

use millrace_ledger::{Operation, PaymentEvent, Status};

use super::row::PaymentState;

impl PaymentState {
    /// Right after it was decided; and how much of it can be captured or refunded, in minor units.
    #[must_use]
    pub fn decided(event: &PaymentEvent) -> (Self, u128) {
        let amount = event.outcome.amount.0;
        match event.outcome.status {
            Status::Held => (Self::HoldOpen, amount),
            Status::Voided => (Self::Released, 0),
            Status::Settled if event.payment.operation == Operation::Refund => (Self::Settled, 0),
            Status::Settled => (Self::Settled, amount),
            Status::Rejected(reason) if reason.burns_id() => (Self::Refused, 0),
            Status::Rejected(_) => (Self::RefusedIdFree, 0),
        }
    }

    /// After an accepted capture, void or refund that names it has left so much of it.
    #[must_use]
    pub fn after(self, follow_up: Operation, left: u128) -> Self {
        match follow_up {
            Operation::Capture if left == 0 => Self::HoldCaptured,
            Operation::Void => Self::HoldVoided,
            _ => self,
        }
    }
}
