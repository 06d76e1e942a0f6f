//! Movements: consumes a posting, produces what it does to the four counters of either side. Going
//! back undoes exactly what going forth did.

use crate::{Balances, Operation, post::Posting};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Forth,
    Back,
}

/// What a posting adds to the posted counters, and adds to or takes from the pending ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Movement {
    posted: u128,
    reserved: u128,
    released: u128,
}

impl Movement {
    #[inline(always)]
    pub(crate) fn of(posting: &Posting) -> Self {
        let amount = posting.amount;
        match posting.operation {
            Operation::Pay | Operation::Authorize if posting.held => {
                Self { posted: 0, reserved: amount, released: 0 }
            }
            Operation::Pay | Operation::Authorize | Operation::Refund => {
                Self { posted: amount, reserved: 0, released: 0 }
            }
            Operation::Capture => Self { posted: amount, reserved: 0, released: amount },
            Operation::Void => Self { posted: 0, reserved: 0, released: amount },
        }
    }

    #[inline(always)]
    pub(crate) fn on_debits(self, balances: &mut Balances, direction: Direction) {
        self.on(&mut balances.debits_pending, &mut balances.debits_posted, direction);
    }

    #[inline(always)]
    pub(crate) fn on_credits(self, balances: &mut Balances, direction: Direction) {
        self.on(&mut balances.credits_pending, &mut balances.credits_posted, direction);
    }

    /// Wraps, because the totals do. An account's counters can't: overflow was checked.
    #[inline(always)]
    fn on(self, pending: &mut u128, posted: &mut u128, direction: Direction) {
        match direction {
            Direction::Forth => {
                *pending = pending.wrapping_add(self.reserved).wrapping_sub(self.released);
                *posted = posted.wrapping_add(self.posted);
            }
            Direction::Back => {
                *pending = pending.wrapping_sub(self.reserved).wrapping_add(self.released);
                *posted = posted.wrapping_sub(self.posted);
            }
        }
    }
}
