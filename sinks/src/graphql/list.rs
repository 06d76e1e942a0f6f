//! Lists of positions: consumes rows of up to 1,024 positions each, produces the members of one
//! list, or of several at once, in either direction. Guarantees that what lies far off is skipped,
//! not read.

use fjall::{Iter, Keyspace, Readable as _, Snapshot};

use super::{
    read::{Deadline, ReadError},
    row::{self, RowError},
};
use crate::span::{Direction, Span};

/// Rows that are read one after the other before a far member is looked up by its key.
const STEPS_MAX: u32 = 4;

/// One list, read in one direction.
pub(super) struct List<'a> {
    snapshot: &'a Snapshot,
    table: &'a Keyspace,
    prefix: Vec<u8>,
    direction: Direction,
    rows: Option<Iter>,
    /// The row in hand, ascending.
    row: Vec<u64>,
}

impl<'a> List<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        table: &'a Keyspace,
        prefix: &[u8],
        direction: Direction,
    ) -> Self {
        let prefix = prefix.to_vec();
        Self { snapshot, table, prefix, direction, rows: None, row: Vec::new() }
    }

    /// The nearest member from `seq` on, in the list's direction, `seq` included. Calls must follow
    /// the direction.
    pub(super) fn seek(&mut self, seq: u64) -> Result<Option<u64>, ReadError> {
        for _ in 0..STEPS_MAX {
            if let Some(found) = self.in_row(seq) {
                return Ok(Some(found));
            }
            if self.rows.is_none() || !self.next_row()? {
                break;
            }
        }
        self.open(seq)?;
        while self.next_row()? {
            if let Some(found) = self.in_row(seq) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn in_row(&self, seq: u64) -> Option<u64> {
        match self.direction {
            Direction::Ascending => {
                self.row.get(self.row.partition_point(|member| *member < seq)).copied()
            }
            Direction::Descending => {
                let behind = self.row.partition_point(|member| *member <= seq);
                behind.checked_sub(1).map(|last| self.row[last])
            }
        }
    }

    fn key(&self, seq: u64) -> Vec<u8> {
        [self.prefix.as_slice(), &seq.to_be_bytes()].concat()
    }

    /// Begins with the row that may hold `seq`: the last one whose first member is no greater.
    fn open(&mut self, seq: u64) -> Result<(), ReadError> {
        let (least, last) = (self.key(0), self.key(u64::MAX));
        let rows = match self.direction {
            Direction::Descending => self.snapshot.range(self.table, least..=self.key(seq)),
            Direction::Ascending => {
                let mut before = self.snapshot.range(self.table, least..=self.key(seq));
                let from = match before.next_back() {
                    Some(row) => row.key()?.to_vec(),
                    None => self.key(seq),
                };
                self.snapshot.range(self.table, from..=last)
            }
        };
        self.rows = Some(rows);
        Ok(())
    }

    fn next_row(&mut self) -> Result<bool, ReadError> {
        let rows = self.rows.as_mut();
        let row = rows.and_then(|rows| match self.direction {
            Direction::Ascending => rows.next(),
            Direction::Descending => rows.next_back(),
        });
        let Some(row) = row else {
            self.row.clear();
            return Ok(false);
        };
        let (key, steps) = row.into_inner()?;
        let first = row::position(key.get(self.prefix.len()..).ok_or(RowError)?)?;
        row::read_steps(first, &steps, &mut self.row)?;
        Ok(true)
    }
}

/// One step through what lists have in common.
pub(super) enum Step {
    /// The next member of all lists.
    Member(u64),
    /// There is no more.
    End,
    /// The work is done; the last place that was looked at.
    Spent(u64),
}

/// The members that several lists have in common, within bounds.
pub(super) struct Common<'a> {
    lists: Vec<List<'a>>,
    direction: Direction,
    /// The place to look at next; `None` when the end was passed.
    next: Option<u64>,
    /// The last place to look at.
    end: u64,
}

impl<'a> Common<'a> {
    /// At least one list, all in this direction.
    pub(super) fn new(lists: Vec<List<'a>>, span: Span) -> Self {
        let Span { low, high, direction } = span;
        let (next, end) = match direction {
            Direction::Ascending => (low, high),
            Direction::Descending => (high, low),
        };
        Self { lists, direction, next: (low <= high).then_some(next), end }
    }

    /// The next member of all lists.
    pub(super) fn next(&mut self, deadline: &mut Deadline) -> Result<Step, ReadError> {
        let Some(mut candidate) = self.next else { return Ok(Step::End) };
        // A candidate counts when every list has it; one that does not have it names a farther one.
        let mut agreeing = 0;
        let mut turn = 0;
        while agreeing < self.lists.len() {
            deadline.check()?;
            if deadline.is_spent() {
                return Ok(Step::Spent(match self.direction {
                    Direction::Ascending => candidate.saturating_sub(1),
                    Direction::Descending => candidate.saturating_add(1),
                }));
            }
            match self.lists[turn].seek(candidate)? {
                Some(found) if self.is_within(found) => {
                    agreeing = if found == candidate { agreeing + 1 } else { 1 };
                    candidate = found;
                }
                _ => {
                    self.next = None;
                    return Ok(Step::End);
                }
            }
            turn = (turn + 1) % self.lists.len();
        }
        self.next = match self.direction {
            Direction::Ascending => candidate.checked_add(1),
            Direction::Descending => candidate.checked_sub(1),
        };
        self.next = self.next.filter(|next| self.is_within(*next));
        Ok(Step::Member(candidate))
    }

    fn is_within(&self, seq: u64) -> bool {
        match self.direction {
            Direction::Ascending => seq <= self.end,
            Direction::Descending => seq >= self.end,
        }
    }
}
