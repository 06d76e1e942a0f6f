//! Relay connections: consumes the four arguments of a list, produces pages for the read model and
//! connections for clients. Guarantees that cursors are opaque, and that one of another kind of
//! list is refused.

use async_graphql::Result;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use millrace_ledger::{AccountId, EventSeq, Timestamp};

use super::{
    error::coded,
    model::{AccountPage, Order, PageQuery, Slice},
};
use crate::{
    span::{Direction, Looked, Span},
    text::parse_rfc3339,
};

/// Items of a page when a query does not say.
pub const FIRST_DEFAULT: i32 = 50;
/// Most items of a page.
pub const FIRST_MAX: i32 = 200;

/// What a cursor names a place among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Events of the journal.
    Events = b'e' as isize,
    /// Accounts, by id.
    Accounts = b'a' as isize,
    /// Notifications, by number.
    Notifications = b'n' as isize,
    /// Entries of the audit log, by index.
    Entries = b'l' as isize,
}

/// The cursor of a place.
pub(super) fn cursor(of: Of, place: u128) -> String {
    let mut bytes = [0; 17];
    bytes[0] = of as u8;
    let significant = (128 - place.leading_zeros()).div_ceil(8) as usize;
    bytes[1..=significant].copy_from_slice(&place.to_be_bytes()[16 - significant..]);
    URL_SAFE_NO_PAD.encode(&bytes[..=significant])
}

/// The place that a cursor names.
pub(super) fn place(of: Of, cursor: &str) -> Result<u128> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place = bytes.as_deref().and_then(|bytes| match bytes.split_first() {
        Some((&kind, place)) if kind == of as u8 && place.len() <= 16 => {
            Some(place.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
        }
        _ => None,
    });
    place.ok_or_else(|| {
        let text = format!("{cursor:?} is not a cursor of this list; take one from a page's edges");
        coded(text, "CURSOR_MALFORMED")
    })
}

fn seq_place(cursor: Option<String>) -> Result<Option<EventSeq>> {
    let seq = |cursor: String| {
        let seq = u64::try_from(place(Of::Events, &cursor)?);
        seq.map(EventSeq).map_err(|_| coded("the cursor is too large", "CURSOR_MALFORMED"))
    };
    cursor.map(seq).transpose()
}

/// The arguments that every connection has.
#[derive(Debug, Default)]
pub(super) struct Paging {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

impl Paging {
    /// How many, and whether they are counted from the end.
    fn size(&self) -> Result<(usize, bool)> {
        if self.first.is_some() && self.last.is_some() {
            return Err(coded("give first or last, not both", "FIRST_AND_LAST"));
        }
        let (name, size) = match self.last {
            Some(last) => ("last", last),
            None => ("first", self.first.unwrap_or(FIRST_DEFAULT)),
        };
        if (1..=FIRST_MAX).contains(&size) {
            return Ok((size as usize, self.last.is_some()));
        }
        Err(coded(format!("{name} is {size}; give 1 to {FIRST_MAX}"), "FIRST_OUT_OF_RANGE"))
    }

    /// A page of a list whose cursors are events.
    pub(super) fn of_events(self) -> Result<PageQuery> {
        let (limit, from_end) = self.size()?;
        let (after, before) = (seq_place(self.after)?, seq_place(self.before)?);
        Ok(PageQuery { after, before, limit, from_end })
    }

    /// A page of accounts.
    pub(super) fn of_accounts(self) -> Result<AccountPage> {
        let (limit, from_end) = self.size()?;
        let id = |cursor: String| place(Of::Accounts, &cursor).map(AccountId);
        let (after, before) = (self.after.map(id).transpose()?, self.before.map(id).transpose()?);
        Ok(AccountPage { after, before, limit, from_end })
    }

    /// A page of a list whose places are numbers.
    pub(super) fn numbered(self, of: Of) -> Result<NumberedPage> {
        let (limit, from_end) = self.size()?;
        let number = |cursor: String| {
            u64::try_from(place(of, &cursor)?)
                .map_err(|_| coded("the cursor is too large", "CURSOR_MALFORMED"))
        };
        let [after, before] = [self.after, self.before].map(|at| at.map(number).transpose());
        Ok(NumberedPage { after: after?, before: before?, limit, from_end })
    }
}

/// A page of a list whose places are numbers: notifications, entries, reviews.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberedPage {
    after: Option<u64>,
    before: Option<u64>,
    limit: usize,
    from_end: bool,
}

impl NumberedPage {
    /// Makes the page of what `look` finds: at most so many, in the direction of the span. What lies
    /// beyond the places that the page names is looked for, so that both ends tell the truth even
    /// where what was there is gone.
    pub(super) fn read<View, Failure>(
        &self,
        order: Order,
        look: impl Fn(Span, usize) -> Result<Looked<View>, Failure>,
    ) -> Result<Slice<View>, Failure> {
        let Self { after, before, limit, from_end } = *self;
        let is_any = |span: Option<Span>| match span {
            Some(span) => {
                let looked = look(span, 1)?;
                Ok(!looked.found.is_empty() || looked.stopped_at.is_some())
            }
            None => Ok(false),
        };
        let up_to = |high| Span { low: 0, high, direction: Direction::Descending };
        let from = |low| Span { low, high: u64::MAX, direction: Direction::Ascending };
        let beyond = match order {
            Order::OldestFirst => [is_any(after.map(up_to))?, is_any(before.map(from))?],
            Order::NewestFirst => [is_any(after.map(from))?, is_any(before.map(up_to))?],
        };
        let span = Span::between(after, before, order, from_end);
        let looked = match span.is_empty() {
            true => Looked { found: Vec::new(), stopped_at: None },
            false => look(span, limit.saturating_add(1))?,
        };
        Ok(Slice::cut(looked, limit, from_end, beyond))
    }
}

/// What a page counts against the limit: each item counts in full.
pub(super) fn page_complexity(
    first: Option<i32>,
    last: Option<i32>,
    child_complexity: usize,
) -> usize {
    let items = last.or(first).unwrap_or(FIRST_DEFAULT).clamp(1, FIRST_MAX) as usize;
    items.saturating_mul(5_usize.saturating_add(child_complexity))
}

/// A time that an argument names.
pub(super) fn time(text: Option<String>) -> Result<Option<Timestamp>> {
    let malformed = |text: &str| {
        let said = format!("{text:?} is not a time; give RFC 3339, such as 2026-11-20T08:30:00Z");
        coded(said, "TIME_MALFORMED")
    };
    text.map(|text| parse_rfc3339(&text).ok_or_else(|| malformed(&text))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_in_their_own_list_only() {
        for number in [0, 1, 255, 256, u128::from(u64::MAX), u128::MAX] {
            let text = cursor(Of::Accounts, number);
            assert_eq!(place(Of::Accounts, &text).ok(), Some(number), "{text}");
            assert!(place(Of::Events, &text).is_err(), "{text}");
        }
        for text in ["", "x", "10", "ZQ==", "ZTEyMzQ1Njc4OTAxMjM0NTY3"] {
            assert!(place(Of::Events, text).is_err(), "{text}");
        }
        let large = cursor(Of::Events, u128::MAX);
        assert!(seq_place(Some(large)).is_err());
    }

    #[test]
    fn a_page_is_counted_from_one_end() {
        let page = |first, last| Paging { first, last, ..Paging::default() }.of_events();
        assert_eq!(page(None, None).ok(), Some(PageQuery::first(50)));
        assert_eq!(page(Some(7), None).ok(), Some(PageQuery::first(7)));
        let from_end = PageQuery { from_end: true, ..PageQuery::first(7) };
        assert_eq!(page(None, Some(7)).ok(), Some(from_end));
        for (first, last) in [(Some(1), Some(1)), (Some(0), None), (None, Some(201))] {
            assert!(page(first, last).is_err(), "{first:?} {last:?}");
        }
    }
}
