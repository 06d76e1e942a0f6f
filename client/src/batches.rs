//! Batches: consumes payments in order, produces requests. Guarantees that a linked group is never
//! split over two requests and that order is kept.

use millrace_protos::v1::{Payment, PaymentFlag};

/// One request's payments and the lines that they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) payments: Vec<Payment>,
    pub(crate) lines: Vec<u64>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.payments.len()
    }

    fn append(&mut self, other: &mut Self) {
        self.payments.append(&mut other.payments);
        self.lines.append(&mut other.lines);
    }
}

/// Fills batches of at most `rows_max` payments; a group that is longer is a batch of its own.
#[derive(Debug)]
pub(crate) struct Batcher {
    rows_max: usize,
    filling: Batch,
    group: Batch,
}

impl Batcher {
    pub(crate) fn new(rows_max: usize) -> Self {
        Self { rows_max, filling: Batch::default(), group: Batch::default() }
    }

    /// Takes a payment; returns a batch that became full by it.
    pub(crate) fn push(&mut self, line: u64, payment: Payment) -> Option<Batch> {
        let linked = payment.has_flag(PaymentFlag::Linked);
        self.group.payments.push(payment);
        self.group.lines.push(line);
        match linked {
            true => None,
            false => self.close_group(),
        }
    }

    /// What is left, at the end of the payments. A group that no unlinked payment closes is sent as
    /// it is: the ledger refuses it, and says so.
    pub(crate) fn finish(mut self) -> impl Iterator<Item = Batch> {
        let full = self.close_group();
        full.into_iter().chain(Some(self.filling)).filter(|batch| batch.len() > 0)
    }

    fn close_group(&mut self) -> Option<Batch> {
        let full = match self.filling.len() + self.group.len() > self.rows_max {
            true => Some(std::mem::take(&mut self.filling)).filter(|batch| batch.len() > 0),
            false => None,
        };
        self.filling.append(&mut self.group);
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `L` is a linked payment, `.` one that is not.
    fn lengths(rows_max: usize, payments: &str) -> Vec<usize> {
        let mut batcher = Batcher::new(rows_max);
        let mut batches = Vec::new();
        for (line, flag) in (2..).zip(payments.chars()) {
            let payment = match flag {
                'L' => Payment::default().with_flag(PaymentFlag::Linked),
                _ => Payment::default(),
            };
            batches.extend(batcher.push(line, payment));
        }
        batches.extend(batcher.finish());
        let lines: Vec<u64> = batches.iter().flat_map(|batch| batch.lines.clone()).collect();
        assert_eq!(lines, (2..2 + payments.len() as u64).collect::<Vec<_>>(), "order is kept");
        batches.iter().map(Batch::len).collect()
    }

    #[test]
    fn groups_stay_together() {
        for (rows_max, payments, expected) in [
            (3, ".......", vec![3, 3, 1]),
            (3, "...", vec![3]),
            (3, "..L.", vec![2, 2]),
            (3, ".LL.", vec![1, 3]),
            (3, "LLLL.", vec![5]),
            (3, ".LLLL..", vec![1, 5, 1]),
            (3, "..L", vec![3]),
            (3, "..LL", vec![2, 2]),
            (1, "...", vec![1, 1, 1]),
            (3, "", vec![]),
        ] {
            assert_eq!(lengths(rows_max, payments), expected, "{payments}");
        }
    }
}
