//! Originals: consumes the payments of a request before they are resolved, produces what memory knows of older
//! payments that they refer to, and tells history which of them it will be asked for.
//!
//! Guarantees that nothing is read for an original that memory has, such as an open hold of any age. It may change
//! while the request is posted, but it stays where it is known.

use std::sync::Arc;

use super::{Recalled, Shards};
use crate::{Generation, Payment, PaymentId, recent::Recent};

impl Shards {
    /// Originals of earlier generations that memory has, in the order of the payments that need them.
    pub(crate) fn look_back(&self, recent: &Recent, payments: &[Payment]) -> Vec<Recalled> {
        let past = self.past.history.spans();
        let (mut known, mut expected) = (Vec::new(), Vec::new());
        for (position, payment) in payments.iter().enumerate() {
            // Most originals are newer than all that history has.
            let id = payment.original;
            if !payment.operation.needs_original() || past.gap(id).is_some() {
                continue;
            }
            if let Some(place) = recent.find_old(id) {
                let (position, payment) = (position as u32, *recent.get(place));
                known.push(Recalled { position, as_original: true, payment });
            } else if !self.is_in_generation(id) {
                expected.push(id);
            }
        }
        // One alone waits once in any case.
        if expected.len() > 1 {
            self.past.history.expect(&expected);
        }
        known
    }

    /// Whether a generation in memory has this payment.
    fn is_in_generation(&self, id: PaymentId) -> bool {
        let is_in =
            |closed: &Arc<Generation>| closed.gap(id).is_none() && closed.find(id).is_some();
        self.row(id).is_some() || self.past.closed.iter().any(is_in)
    }
}

/// What [`Shards::look_back`] found for the payment in this position.
pub(super) fn known_at(known: &[Recalled], position: usize) -> Option<&Recalled> {
    let at = known.binary_search_by_key(&(position as u32), |known| known.position);
    at.ok().map(|at| &known[at])
}
