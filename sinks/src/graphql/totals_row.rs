//! Rows of table `totals`: consumes decided payments, produces counts and sums of one ledger and
//! one hour. Guarantees that a row reads back as written. Eight LEB128 numbers: count and sum of
//! settled, held, voided, rejected.

use super::{
    model::{CountAndSum, OutcomeKind},
    row::{Row, RowError, put_varint},
};

/// Payments of one ledger in one hour: settled, held, voided, rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TotalsRow(pub(super) [CountAndSum; 4]);

impl TotalsRow {
    pub(super) fn count(&mut self, outcome: OutcomeKind, minor: u128) {
        let sums = &mut self.0[outcome as usize - 1];
        sums.add(CountAndSum { count: 1, minor });
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sums, more) in self.0.iter_mut().zip(other.0) {
            sums.add(more);
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for sums in self.0 {
            put_varint(out, u128::from(sums.count));
            put_varint(out, sums.minor);
        }
    }

    pub(super) fn read(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Row(row);
        let mut sums = [CountAndSum::default(); 4];
        for sum in &mut sums {
            *sum = CountAndSum { count: row.number()?, minor: row.varint()? };
        }
        Ok(Self(sums))
    }
}

impl CountAndSum {
    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.minor = self.minor.saturating_add(more.minor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_read_back() {
        let mut row = TotalsRow::default();
        row.count(OutcomeKind::Settled, u128::MAX);
        row.count(OutcomeKind::Settled, 7);
        row.count(OutcomeKind::Rejected, 0);
        row.count(OutcomeKind::Held, 300);
        let sum = |count, minor| CountAndSum { count, minor };
        assert_eq!(row.0, [sum(2, u128::MAX), sum(1, 300), sum(0, 0), sum(1, 0)]);
        let mut bytes = Vec::new();
        row.put(&mut bytes);
        assert_eq!(TotalsRow::read(&bytes), Ok(row));
        assert_eq!(TotalsRow::read(&bytes[..bytes.len() - 1]), Err(RowError));
    }
}
