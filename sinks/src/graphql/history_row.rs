//! Rows of what happened over time: consumes and produces bytes of the tables `history` and
//! `expiries`. Guarantees that a row reads back as written.
//!
//! A row of `history`, whose key names account and position:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | what changed the balances: the numbers of [`BalanceChange`] |
//! | 16 | payment id |
//! | 8 | time of the batch, nanoseconds, little-endian |
//! | LEB128 each | four counters |
//!
//! A row of `expiries`, whose key is the position of the expiry:
//!
//! | bytes | content |
//! |---|---|
//! | LEB128 | position of the hold |
//! | LEB128 | minor units released |
//! | 8 | time of the batch, nanoseconds, little-endian |
//! | LEB128 each | eight counters: the debit account's after it, then the credit account's |

use millrace_ledger::{Balances, EventSeq, Operation, PaymentEvent, PaymentId, Status, Timestamp};

use super::row::{Row, RowError, put_counters, put_varint};

/// What changed the balances of an account. The numbers are those of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BalanceChange {
    /// Money moved at once.
    Settled = 1,
    /// A hold began.
    Held = 2,
    /// Part or all of a hold was posted.
    Captured = 3,
    /// The rest of a hold was released on request.
    Voided = 4,
    /// Part or all of a payment was paid back.
    Refunded = 5,
    /// The rest of a hold was released by its time-out.
    Expired = 6,
}

impl BalanceChange {
    /// What the payment did to its accounts; `None` where it is refused.
    pub(super) fn of(event: &PaymentEvent) -> Option<Self> {
        match (event.outcome.status, event.payment.operation) {
            (Status::Rejected(_), _) => None,
            (Status::Held, _) => Some(Self::Held),
            (Status::Voided, _) => Some(Self::Voided),
            (Status::Settled, Operation::Capture) => Some(Self::Captured),
            (Status::Settled, Operation::Refund) => Some(Self::Refunded),
            (Status::Settled, _) => Some(Self::Settled),
        }
    }

    fn from_number(number: u8) -> Result<Self, RowError> {
        Ok(match number {
            1 => Self::Settled,
            2 => Self::Held,
            3 => Self::Captured,
            4 => Self::Voided,
            5 => Self::Refunded,
            6 => Self::Expired,
            _ => return Err(RowError),
        })
    }
}

/// A row of table `history`: the balances of an account right after an event that changed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Position of the event.
    pub seq: EventSeq,
    /// Time of its batch.
    pub time: Timestamp,
    /// What it was.
    pub change: BalanceChange,
    /// The payment; the hold, where it expired.
    pub payment: PaymentId,
    /// The four counters after it.
    pub balances: Balances,
}

impl HistoryRow {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.change as u8);
        out.extend_from_slice(&self.payment.0.to_be_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        put_counters(out, &self.balances);
    }

    pub(super) fn read(seq: EventSeq, row: &[u8]) -> Result<Self, RowError> {
        let mut row = Row(row);
        let [change] = row.array()?;
        Ok(Self {
            seq,
            change: BalanceChange::from_number(change)?,
            payment: PaymentId(row.id()?),
            time: Timestamp(u64::from_le_bytes(row.array()?)),
            balances: row.counters()?,
        })
    }
}

/// A row of table `expiries`: what a hold's time-out released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpiryRow {
    /// Position of the hold.
    pub(super) hold: EventSeq,
    /// Minor units.
    pub(super) released: u128,
    /// Time of the batch in which it expired.
    pub(super) time: Timestamp,
    /// Of the debit and the credit account, after it.
    pub(super) balances: [Balances; 2],
}

impl ExpiryRow {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u128::from(self.hold.0));
        put_varint(out, self.released);
        out.extend_from_slice(&self.time.0.to_le_bytes());
        self.balances.iter().for_each(|balances| put_counters(out, balances));
    }

    pub(super) fn read(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Row(row);
        Ok(Self {
            hold: EventSeq(row.number()?),
            released: row.varint()?,
            time: Timestamp(u64::from_le_bytes(row.array()?)),
            balances: [row.counters()?, row.counters()?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_reads_back() {
        for number in 1..=6 {
            let written = HistoryRow {
                seq: EventSeq(u64::MAX),
                time: Timestamp(u64::MAX - 1),
                change: BalanceChange::from_number(number).expect("is known"),
                payment: PaymentId(u128::MAX),
                balances: Balances {
                    debits_pending: u128::MAX,
                    debits_posted: 0,
                    credits_pending: 127,
                    credits_posted: 128,
                },
            };
            let mut bytes = Vec::new();
            written.put(&mut bytes);
            assert_eq!(bytes[0], number);
            assert_eq!(HistoryRow::read(written.seq, &bytes), Ok(written));
            for len in 0..bytes.len() {
                let cut = HistoryRow::read(written.seq, &bytes[..len]);
                assert_eq!(cut, Err(RowError), "{len} bytes");
            }
        }
        for number in [0, 7, 255] {
            assert_eq!(BalanceChange::from_number(number), Err(RowError));
        }
    }

    #[test]
    fn expiries_read_back() {
        for (hold, released) in [(1, 0), (300, 128), (u64::MAX, u128::MAX)] {
            let debit = Balances { debits_posted: released, ..Balances::default() };
            let balances = [debit, Balances::default()];
            let written =
                ExpiryRow { hold: EventSeq(hold), released, time: Timestamp(hold), balances };
            let mut bytes = Vec::new();
            written.put(&mut bytes);
            assert_eq!(ExpiryRow::read(&bytes), Ok(written));
            assert_eq!(ExpiryRow::read(&bytes[..bytes.len() - 1]), Err(RowError));
        }
    }
}
