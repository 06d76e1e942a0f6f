//! Rows of table `totals`: consumes decided payments, produces counts and sums of one ledger and
//! one hour. Guarantees that a row reads back as written. Eight LEB128 numbers: count and sum of
//! settled, held, voided, rejected.

use millrace_ledger::Sum;

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
        sums.add(CountAndSum { count: 1, minor: minor.into() });
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sums, more) in self.0.iter_mut().zip(other.0) {
            sums.add(more);
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for sums in self.0 {
            put_varint(out, u128::from(sums.count));
            put_sum(out, sums.minor);
        }
    }

    pub(super) fn read(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Row(row);
        let mut sums = [CountAndSum::default(); 4];
        for sum in &mut sums {
            *sum = CountAndSum { count: row.number()?, minor: read_sum(&mut row)? };
        }
        Ok(Self(sums))
    }
}

/// As [`put_varint`], of up to 256 bits: up to 128, the bytes are the same.
fn put_sum(out: &mut Vec<u8>, sum: Sum) {
    let mut quarters = sum.quarters();
    while quarters[1..] != [0; 3] || quarters[0] >= 0x80 {
        out.push(quarters[0] as u8 | 0x80);
        let above = [quarters[1], quarters[2], quarters[3], 0];
        for (quarter, above) in quarters.iter_mut().zip(above) {
            *quarter = *quarter >> 7 | above << (64 - 7);
        }
    }
    out.push(quarters[0] as u8);
}

fn read_sum(row: &mut Row<'_>) -> Result<Sum, RowError> {
    let mut quarters = [0_u64; 4];
    for shift in (0..256).step_by(7) {
        let [byte] = row.array()?;
        let bits = u128::from(byte & 0x7f) << (shift % 64);
        quarters[shift / 64] |= bits as u64;
        match (quarters.get_mut(shift / 64 + 1), (bits >> 64) as u64) {
            (Some(next), above) => *next |= above,
            (None, 0) => {}
            (None, _) => return Err(RowError),
        }
        if byte < 0x80 {
            return Ok(Sum::from_quarters(quarters));
        }
    }
    Err(RowError)
}

impl CountAndSum {
    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.minor += more.minor;
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    /// A row of amounts that 128 bits hold is what it was before sums could be larger.
    #[test]
    fn a_row_is_as_it_ever_was() {
        let mut row = TotalsRow::default();
        row.count(OutcomeKind::Settled, u128::MAX);
        row.count(OutcomeKind::Held, 300);
        let mut bytes = Vec::new();
        row.put(&mut bytes);
        let settled = [&[1][..], &[0xff; 18], &[3]].concat();
        let others = [1, 0xac, 2, 0, 0, 0, 0];
        assert_eq!(bytes, [&settled[..], &others].concat());
        assert_eq!(TotalsRow::read(&bytes), Ok(row));
    }

    #[test]
    fn totals_read_back() {
        let mut row = TotalsRow::default();
        row.count(OutcomeKind::Settled, u128::MAX);
        row.count(OutcomeKind::Settled, u128::MAX);
        row.count(OutcomeKind::Settled, 7);
        row.count(OutcomeKind::Rejected, 0);
        row.count(OutcomeKind::Held, 300);
        let sum = |count, minor: u128| CountAndSum { count, minor: minor.into() };
        // Twice 2^128 - 1, and 7.
        let settled = CountAndSum { count: 3, minor: Sum::from_quarters([5, 0, 2, 0]) };
        assert_eq!(row.0, [settled, sum(1, 300), sum(0, 0), sum(1, 0)]);
        let mut bytes = Vec::new();
        row.put(&mut bytes);
        assert_eq!(TotalsRow::read(&bytes), Ok(row));
        assert_eq!(TotalsRow::read(&bytes[..bytes.len() - 1]), Err(RowError));
    }

    #[test]
    fn sums_of_every_length_read_back() {
        for shift in 0..256 {
            let bit = |at: usize| u64::from(at == shift / 64) << (shift % 64);
            let below = |at: usize| match at.cmp(&(shift / 64)) {
                Ordering::Less => u64::MAX,
                Ordering::Equal => (1 << (shift % 64)) - 1,
                Ordering::Greater => 0,
            };
            for quarters in [[0, 1, 2, 3].map(bit), [0, 1, 2, 3].map(below)] {
                let sum = Sum::from_quarters(quarters);
                let mut bytes = Vec::new();
                put_sum(&mut bytes, sum);
                assert_eq!(read_sum(&mut Row(&bytes)), Ok(sum));
                let mut amount = Vec::new();
                if let Some(fits) = sum.to_amount() {
                    put_varint(&mut amount, fits.0);
                    assert_eq!(bytes, amount);
                }
            }
        }
        assert_eq!(read_sum(&mut Row(&[0xff; 40])), Err(RowError), "more than 256 bits");
        let above = [&[0x80; 36][..], &[0x10]].concat();
        assert_eq!(read_sum(&mut Row(&above)), Err(RowError), "2^256");
    }
}
