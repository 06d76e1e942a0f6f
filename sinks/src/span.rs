//! What one page of a long list looks at: consumes the places that a page names, produces bounds and a
//! direction. The same for every list whose places are numbers that grow.

use crate::graphql::model::Order;

/// Which way a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From small places to great ones.
    Ascending,
    /// From great places to small ones.
    Descending,
}

/// Places to look at, bounds included, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The least place.
    pub low: u64,
    /// The greatest place.
    pub high: u64,
    /// Where to begin.
    pub direction: Direction,
}

/// What was found, in the direction of the look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked<T> {
    /// Up to as many as were asked for.
    pub found: Vec<T>,
    /// The last place that was looked at, where the work was done before there were enough: what is
    /// beyond it was not looked at.
    pub stopped_at: Option<u64>,
}

impl Span {
    /// Everything.
    pub const ALL: Self = Self { low: 0, high: u64::MAX, direction: Direction::Ascending };

    /// What a page looks at that comes after one place and before another, in the list's order;
    /// counted from the list's end or from its start.
    #[must_use]
    pub fn between(after: Option<u64>, before: Option<u64>, order: Order, from_end: bool) -> Self {
        let forward = order == Order::OldestFirst;
        let (above, below) = if forward { (after, before) } else { (before, after) };
        let direction = match forward != from_end {
            true => Direction::Ascending,
            false => Direction::Descending,
        };
        // Nothing is below 0, and nothing above the greatest number.
        let low = above.map_or(Some(0), |place| place.checked_add(1));
        let high = below.map_or(Some(u64::MAX), |place| place.checked_sub(1));
        match low.zip(high) {
            Some((low, high)) => Self { low, high, direction },
            None => Self { low: 1, high: 0, direction },
        }
    }

    /// Whether no place is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.low > self.high
    }

    /// The next item from a table's range, in this direction.
    pub(crate) fn next<T>(&self, rows: &mut impl DoubleEndedIterator<Item = T>) -> Option<T> {
        match self.direction {
            Direction::Ascending => rows.next(),
            Direction::Descending => rows.next_back(),
        }
    }
}
