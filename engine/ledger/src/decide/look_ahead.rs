//! Look ahead: consumes payments that are resolved and not yet posted, tells the gate which of them
//! it will be asked of. Guarantees that it is told the same attempts, in the same order, however a
//! request is cut into stretches (decision 0016).

use super::{Deciding, Decision};
use crate::{
    Block, Contexts, Gate, Operation, Payment, PaymentFlags,
    findings::{IN_HISTORY, NOT_FOUND},
};

/// What the gate was told of the request so far.
pub(super) struct Attempts<'a> {
    pub(super) looks_ahead: bool,
    pub(super) contexts: &'a dyn Contexts,
    /// Row of the request's first payment.
    pub(super) first_row: u32,
    /// Position up to which it was told.
    pub(super) until: usize,
    /// Scratch.
    pub(super) positions: Vec<u32>,
}

impl<G: Gate, D: FnMut(&Decision, &G)> Deciding<'_, G, D> {
    /// Tells the gate of the payments that are next, as far as it is certain now which of them will
    /// leave an event: a known id ends the block, and begins the next one, when all before it is
    /// posted.
    pub(super) fn look_ahead(&mut self, resolved: usize) {
        let (payments, findings) = (self.request.payments, self.request.findings);
        let mut positions = std::mem::take(&mut self.attempts.positions);
        positions.clear();
        let mut start = self.at;
        while start < resolved {
            let linked = |payment: &&Payment| payment.flags.has(PaymentFlags::LINKED);
            let members = payments[start..resolved].iter().take_while(linked).count() + 1;
            let end = (start + members).min(payments.len());
            if end > resolved {
                break;
            }
            let first = |position: usize| findings.of(position).first();
            let formed = |position: usize| findings.of(position).defect().is_none();
            let in_order =
                |position: &usize| formed(*position) && is_observed(payments[*position].operation);
            let own_rows = self.attempts.first_row + start as u32..IN_HISTORY;
            if start > self.at
                && (start..end).filter(in_order).any(|position| {
                    first(position) != NOT_FOUND && !own_rows.contains(&first(position))
                })
            {
                break;
            }
            for position in (start..end).filter(in_order) {
                let counts = match first(position) {
                    NOT_FOUND => true,
                    row if own_rows.contains(&row) => false,
                    _ => {
                        let id = payments[position].id;
                        let is_event = |at| self.books.replay_of(&self.request, at).is_none();
                        let again = |earlier: usize| {
                            payments[earlier].id == id && formed(earlier) && is_event(earlier)
                        };
                        is_event(position) && !(start..position).any(again)
                    }
                };
                if counts {
                    positions.push(position as u32);
                }
            }
            start = end;
        }
        self.attempts.until = start;
        if !positions.is_empty() {
            let (contexts, at) = (self.attempts.contexts, self.books.time);
            self.gate.look_ahead(&Block { payments, positions: &positions, contexts, at });
        }
        self.attempts.positions = positions;
    }
}

/// Whether the gate saw this accepted payment.
#[inline]
pub(crate) fn is_observed(operation: Operation) -> bool {
    !operation.needs_original()
}
