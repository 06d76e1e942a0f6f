//! The parts of statements that lists share: consumes pages and filters, produces SQL whose values
//! are parameters, never text. Guarantees that a page is found by an index that has its order.

use millrace_ledger::{EventSeq, Timestamp};
use millrace_sinks::graphql::model::{Order, PageQuery};
use postgres_types::{ToSql, Type};

use super::pool::Param;
use crate::{
    copy::{micros, nanoseconds},
    sql_time::SqlTime,
};

/// Positions are 63 bits here.
const SEQ_MAX: u64 = i64::MAX as u64;

/// What an id is compared with: one, or any of a list.
pub(super) const ONE: &str = "= $1";
pub(super) const ANY: &str = "= ANY($1)";

/// Positions to look at, bounds included, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) ascending: bool,
}

impl Span {
    /// What a page of a list in this order looks at; `None` where nothing can be in it.
    pub(super) fn of(page: &PageQuery, order: Order) -> Option<Self> {
        let forward = order == Order::OldestFirst;
        let (above, below) = match forward {
            true => (page.after, page.before),
            false => (page.before, page.after),
        };
        let low = above.map_or(Some(0), |seq| seq.0.checked_add(1))?;
        let high = below.map_or(Some(SEQ_MAX), |seq| seq.0.checked_sub(1))?.min(SEQ_MAX);
        (low <= high).then_some(Self { low, high, ascending: forward != page.from_end })
    }

    /// Its first positions in its direction, so many of them, and the last of those where there are
    /// more up to the newest.
    pub(super) fn first(self, positions: u64, newest: u64) -> (Self, Option<u64>) {
        let end = self.high.min(newest);
        let more = positions.saturating_sub(1);
        let (part, last) = match self.ascending {
            true => {
                let high = self.low.saturating_add(more);
                (Self { high, ..self }, Some(high).filter(|_| high < end))
            }
            false => {
                let low = end.saturating_sub(more);
                (Self { low, ..self }, Some(low).filter(|_| low > self.low.max(1)))
            }
        };
        if last.is_some() { (part, last) } else { (self, None) }
    }

    pub(super) fn direction(&self) -> &'static str {
        if self.ascending { "ASC" } else { "DESC" }
    }
}

/// The values of a statement in the making.
#[derive(Default)]
pub(super) struct Values {
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Values {
    /// Adds a value; says what stands for it in the text.
    pub(super) fn add(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.values.push((Box::new(value), kind));
        format!("${}", self.values.len())
    }

    pub(super) fn seq(&mut self, seq: u64) -> String {
        self.add(seq.min(SEQ_MAX) as i64, Type::INT8)
    }

    /// A time, in its two parts.
    pub(super) fn time(&mut self, time: Timestamp) -> [String; 2] {
        [
            self.add(SqlTime(micros(time)), Type::TIMESTAMPTZ),
            self.add(nanoseconds(time), Type::INT2),
        ]
    }

    pub(super) fn params(&self) -> Vec<(Param<'_>, Type)> {
        self.values
            .iter()
            .map(|(value, kind)| (value.as_ref() as Param<'_>, kind.clone()))
            .collect()
    }
}

/// The position of the first payment that was decided then or later; as many as there may be where
/// there is none. Times never go back, so it parts the payments in two.
pub(super) fn first_since([time, ns]: &[String; 2]) -> String {
    format!(
        "coalesce((SELECT q.event_seq FROM millrace.payments q \
             WHERE q.decided_at >= {time} AND (q.decided_at, q.decided_ns) >= ({time}, {ns}) \
             ORDER BY q.decided_at, q.event_seq LIMIT 1), {SEQ_MAX})"
    )
}

/// The position, as a value of the ledger.
pub(super) fn seq_of(seq: i64) -> Option<EventSeq> {
    u64::try_from(seq).ok().map(EventSeq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_first_positions() {
        let span = |low, high, ascending| Span { low, high, ascending };
        for (whole, positions, newest, part, last) in [
            (span(0, SEQ_MAX, false), 10, 100, span(91, SEQ_MAX, false), Some(91)),
            (span(0, 90, false), 10, 100, span(81, 90, false), Some(81)),
            (span(0, 10, false), 10, 100, span(0, 10, false), None),
            (span(5, 14, false), 10, 100, span(5, 14, false), None),
            (span(0, SEQ_MAX, true), 10, 100, span(0, 9, true), Some(9)),
            (span(91, SEQ_MAX, true), 10, 100, span(91, SEQ_MAX, true), None),
            (span(200, SEQ_MAX, false), 10, 100, span(200, SEQ_MAX, false), None),
            (span(0, SEQ_MAX, true), 10, 0, span(0, SEQ_MAX, true), None),
        ] {
            assert_eq!(whole.first(positions, newest), (part, last), "{whole:?}");
        }
    }

    #[test]
    fn pages_become_spans_of_positions() {
        let page = |after: Option<u64>, before: Option<u64>, from_end| PageQuery {
            after: after.map(EventSeq),
            before: before.map(EventSeq),
            limit: 9,
            from_end,
        };
        let (new, old) = (Order::NewestFirst, Order::OldestFirst);
        let span = |low, high, ascending| Some(Span { low, high, ascending });
        for (page, order, expected) in [
            (page(None, None, false), new, span(0, SEQ_MAX, false)),
            (page(None, None, true), new, span(0, SEQ_MAX, true)),
            (page(Some(7), None, false), new, span(0, 6, false)),
            (page(None, Some(7), true), new, span(8, SEQ_MAX, true)),
            (page(Some(7), None, false), old, span(8, SEQ_MAX, true)),
            (page(Some(7), Some(9), true), old, span(8, 8, false)),
            (page(Some(7), Some(8), false), old, None),
            (page(Some(0), None, false), new, None),
            (page(Some(u64::MAX), None, false), new, span(0, SEQ_MAX, false)),
            (page(Some(u64::MAX), None, false), old, None),
        ] {
            assert_eq!(Span::of(&page, order), expected, "{page:?}, {order:?}");
        }
    }
}
