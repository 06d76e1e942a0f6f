//! Where ids lie: consumes ids, produces the gaps between them. An id in a gap was certainly never
//! added; one in a span may have been. A few spans stand for any number of ids.
//!
//! Ids in time make one span, which grows at its end. One that is far from the others, a random one
//! or that of a client whose clock is wrong, makes a span of its own: the ids in time go on in the
//! gap before it. Where there are more spans than are kept, the gaps of the least worth are closed. A
//! gap is worth its width times the ids of the larger span beside it: the ids to come are likely to
//! be near many others. So the gap behind the ids in time stays, however many random ones there are.

use crate::PaymentId;

/// Spans that [`Spans::add`] makes at most. So few that looking for one stays cheap where ids are in
/// no order at all; twice as many as are left when gaps are closed.
const SPANS_MAX: usize = 64;
/// Of all gaps, one in so many is closed at once at most.
const SHARE_AT_ONCE: usize = 8;

/// Ids between which there is no gap that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The smallest.
    pub first: PaymentId,
    /// The greatest.
    pub last: PaymentId,
    /// How many, about.
    pub ids: u64,
}

/// Ids of which none is known, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    first: PaymentId,
    last: PaymentId,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// In the order of their ids.
    spans: Vec<Span>,
    /// The one that was added to last.
    latest: usize,
    /// It takes ids up to this one, which is before the next span.
    reach: PaymentId,
    /// Gaps that are worth no more than this are closed.
    worth_closed: u32,
}

impl Gap {
    /// Without any ids.
    pub(crate) const NONE: Self = Self { first: PaymentId::MAX, last: PaymentId::ZERO };

    /// Whether this id is among those that are not known.
    #[inline]
    #[must_use]
    pub fn contains(&self, id: PaymentId) -> bool {
        self.first <= id && id <= self.last
    }

    /// The ids that are in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }
}

impl Span {
    fn single(id: PaymentId) -> Self {
        Self { first: id, last: id, ids: 1 }
    }

    /// Ids between this one and a later one.
    fn width_to(&self, later: PaymentId) -> u128 {
        later.0.saturating_sub(self.last.0).saturating_sub(1)
    }

    /// The worth of the gap before a later one; greater is worth more.
    fn gap_worth(&self, later: &Self) -> (u32, u128) {
        let width = self.width_to(later.first);
        (worth(width, self.ids.max(later.ids)), width)
    }

    fn join(&mut self, later: &Self) {
        self.last = self.last.max(later.last);
        self.ids += later.ids;
    }
}

/// The product of both as a power of two, rounded.
fn worth(width: u128, ids: u64) -> u32 {
    match width {
        0 => 0,
        _ => bits(width) + bits(ids.into()),
    }
}

fn bits(number: u128) -> u32 {
    u128::BITS - number.leading_zeros()
}

impl Spans {
    /// All ids of these spans, in any order and among each other as they may be, in at most so many.
    pub fn of(spans: impl IntoIterator<Item = Span>, spans_max: usize) -> Self {
        let mut spans: Vec<Span> = spans.into_iter().collect();
        spans.sort_unstable_by_key(|span| span.first);
        spans.dedup_by(|later, earlier| {
            let touch = earlier.width_to(later.first) == 0;
            if touch {
                earlier.join(later);
            }
            touch
        });
        let mut spans = Self { spans, ..Self::default() };
        spans.close_gaps(spans_max);
        spans.turn_to(0);
        // They were many more before they were joined, and every run keeps its own.
        spans.spans.shrink_to_fit();
        spans
    }

    /// Adds an id. Where ids grow with time, that is two comparisons.
    #[inline]
    pub(crate) fn add(&mut self, id: PaymentId) {
        match self.spans.get_mut(self.latest) {
            Some(span) if span.first <= id && id <= self.reach => {
                span.last = span.last.max(id);
                span.ids += 1;
            }
            _ => self.add_elsewhere(id),
        }
    }

    #[inline(never)]
    fn add_elsewhere(&mut self, id: PaymentId) {
        let at = self.behind(id);
        let within =
            |before: &usize| id <= self.spans[*before].last || id <= self.reach_of(*before);
        let before = at.checked_sub(1).filter(within);
        let near = |next: &Span| worth(next.first.0 - id.0 - 1, next.ids) <= self.worth_closed;
        let latest = match before {
            // Where ids are in no order, nearly all come here: the next one is as likely anywhere.
            Some(before) if id <= self.spans[before].last => {
                self.spans[before].ids += 1;
                return;
            }
            Some(before) => {
                self.spans[before].join(&Span::single(id));
                before
            }
            None if self.spans.get(at).is_some_and(near) => {
                self.spans[at].first = id;
                self.spans[at].ids += 1;
                at
            }
            None => {
                self.spans.insert(at, Span::single(id));
                match self.spans.len() > SPANS_MAX {
                    true => {
                        self.close_gaps(SPANS_MAX / 2);
                        self.behind(id) - 1
                    }
                    false => at,
                }
            }
        };
        self.turn_to(latest);
    }

    fn turn_to(&mut self, latest: usize) {
        self.latest = latest;
        self.reach = self.spans.get(latest).map_or(PaymentId::ZERO, |_| self.reach_of(latest));
    }

    /// Up to which id a span is added to rather than that a new one is made.
    fn reach_of(&self, at: usize) -> PaymentId {
        let span = &self.spans[at];
        let near = match self.worth_closed.saturating_sub(bits(span.ids.into())) {
            bits @ 0..u128::BITS => (1 << bits) - 1,
            _ => u128::MAX,
        };
        let reach = span.last.0.saturating_add(near).saturating_add(1);
        PaymentId(self.spans.get(at + 1).map_or(reach, |next| reach.min(next.first.0 - 1)))
    }

    /// Place of the first span that begins behind this id.
    fn behind(&self, id: PaymentId) -> usize {
        self.spans.partition_point(|span| span.first <= id)
    }

    /// Closes the gaps of the least worth, so that at most so many spans are left. Not all at once:
    /// the span of those in time must have come together before it is told what it is worth.
    fn close_gaps(&mut self, spans_max: usize) {
        let spans_max = spans_max.max(1);
        while self.spans.len() > spans_max {
            let at_once = self.spans.len().div_ceil(SHARE_AT_ONCE);
            self.close_least(at_once.min(self.spans.len() - spans_max));
        }
    }

    fn close_least(&mut self, gaps: usize) {
        let worths = self.spans.windows(2).map(|pair| pair[0].gap_worth(&pair[1]));
        let worths: Vec<_> = worths.collect();
        let most = *worths.clone().select_nth_unstable(gaps - 1).1;
        self.worth_closed = self.worth_closed.max(most.0);
        let mut worths = worths.into_iter();
        self.spans.dedup_by(|later, earlier| {
            let closed = worths.next().is_some_and(|worth| worth <= most);
            if closed {
                earlier.join(later);
            }
            closed
        });
    }

    /// The gap that an id is in, or `None` where it may be known.
    #[must_use]
    pub fn gap(&self, id: PaymentId) -> Option<Gap> {
        let at = self.behind(id);
        let first = match at.checked_sub(1).map(|before| self.spans[before].last) {
            Some(last) if id <= last => return None,
            Some(last) => PaymentId(last.0 + 1),
            None => PaymentId::ZERO,
        };
        let last = self.spans.get(at).map_or(PaymentId::MAX, |next| PaymentId(next.first.0 - 1));
        Some(Gap { first, last })
    }

    /// The spans, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Ids by a client's clock in ms: a few bits of each may be the same as another's.
    const NOW_MS: u128 = 1_800_000_000_000;

    fn in_time(number: u64) -> u128 {
        (NOW_MS + u128::from(number / 500)) << 80 | 7 << 76 | (scrambled(number) >> 60)
    }

    fn scrambled(number: u64) -> u128 {
        let half = |salt: u64| {
            let mut bits = number.wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            bits ^ (bits >> 32)
        };
        u128::from(half(1)) << 64 | u128::from(half(2))
    }

    fn added(ids: impl IntoIterator<Item = u128>) -> Spans {
        let mut spans = Spans::default();
        ids.into_iter().for_each(|id| spans.add(PaymentId(id)));
        spans
    }

    /// No gap holds an id, gaps reach from one span to the next, and there are not too many.
    fn check(spans: &Spans, ids: &BTreeSet<u128>, probes: &[u128], spans_max: usize) {
        assert!(spans.spans.len() <= spans_max, "{} spans", spans.spans.len());
        assert!(spans.spans.is_sorted_by(|one, other| one.last < other.first), "{spans:?}");
        for id in ids {
            assert_eq!(spans.gap(PaymentId(*id)), None, "{id:x} is known");
        }
        let around = ids.iter().flat_map(|id| [id.saturating_sub(1), id.saturating_add(1)]);
        for probe in probes.iter().copied().chain(around) {
            let naive = !spans.iter().any(|it| (it.first.0..=it.last.0).contains(&probe));
            let gap = spans.gap(PaymentId(probe));
            assert_eq!(gap.is_some(), naive, "{probe:x}");
            let Some(gap) = gap else { continue };
            assert!(gap.contains(PaymentId(probe)));
            assert_eq!(ids.range(gap.first.0..=gap.last.0).next(), None, "{gap:?}");
            let beside = [gap.first.0.checked_sub(1), gap.last.0.checked_add(1)];
            for known in beside.into_iter().flatten() {
                assert_eq!(spans.gap(PaymentId(known)), None, "a gap ends beside a span");
            }
        }
    }

    #[test]
    fn ids_in_time_go_on_in_a_gap_whatever_else_there_is() {
        let ids = |others: fn(u64) -> Option<u128>| {
            (0..20_000).map(move |number| others(number).unwrap_or(in_time(number)))
        };
        let one_at = |at: u64, id: u128| move |number| (number == at).then_some(id);
        let none = added(ids(|_| None));
        let first = added(ids(|number| (number == 0).then_some(u128::MAX - 1)));
        let table: Vec<(&str, Spans)> = vec![
            ("ids in time alone", none),
            ("the greatest id first", first),
            (
                "the greatest id",
                added(
                    (0..20_000).map(|it| one_at(9_000, u128::MAX - 1)(it).unwrap_or(in_time(it))),
                ),
            ),
            (
                "the smallest id",
                added((0..20_000).map(|it| one_at(9_000, 1)(it).unwrap_or(in_time(it)))),
            ),
            ("tiny ids", added(ids(|it| (it % 100 == 0).then_some(it.into())))),
            ("1 in 10,000 random", added(ids(|it| (it % 10_000 == 5).then(|| scrambled(it))))),
            ("1 in 1,000 random", added(ids(|it| (it % 1_000 == 5).then(|| scrambled(it))))),
            ("1 in 100 random", added(ids(|it| (it % 100 == 5).then(|| scrambled(it))))),
            ("1 in 10 random", added(ids(|it| (it % 10 == 5).then(|| scrambled(it))))),
            (
                "a clock an hour ahead",
                added(ids(|it| (it % 3 == 0).then(|| in_time(it) + (3_600_000 << 80)))),
            ),
            (
                "a clock a day behind",
                added(ids(|it| (it % 3 == 0).then(|| in_time(it) - (86_400_000 << 80)))),
            ),
            (
                "a few random ones first",
                added((0..50).map(scrambled).chain((0..20_000).map(in_time))),
            ),
        ];
        for (what, spans) in table {
            let next = spans.gap(PaymentId(in_time(30_000))).unwrap_or_else(|| panic!("{what}"));
            assert!(next.contains(PaymentId(in_time(1_000_000))), "{what}: {next:?}");
        }
    }

    #[test]
    fn numbers_one_after_the_other_are_one_span() {
        let spans = added((1..10_000).chain([u128::MAX - 1]).chain(10_000..20_000));
        let ids: Vec<_> = spans.iter().map(|span| (span.first.0, span.last.0, span.ids)).collect();
        assert_eq!(ids, [(1, 19_999, 19_999), (u128::MAX - 1, u128::MAX - 1, 1)]);
    }

    #[test]
    fn nothing_is_known_where_nothing_was_added() {
        let all = Gap { first: PaymentId::ZERO, last: PaymentId::MAX };
        assert_eq!(Spans::default().gap(PaymentId(5)), Some(all));
        assert!(!Gap::NONE.contains(PaymentId(5)));
    }

    /// Ids of every kind: in time, far above and below, at the ends, close together, anywhere.
    fn id() -> impl Strategy<Value = u128> {
        prop_oneof![
            8 => (0..5_000_u64).prop_map(in_time),
            1 => (0..5_000_u64).prop_map(|number| in_time(number) + (3_600_000 << 80)),
            1 => any::<u128>(),
            1 => 0..300_u128,
            1 => (0..300_u128).prop_map(|below| u128::MAX - below),
        ]
    }

    fn ids() -> impl Strategy<Value = Vec<u128>> {
        let len = prop_oneof![0..4_usize, SPANS_MAX - 1..SPANS_MAX + 2, 0..1_000_usize];
        let anywhere = len.prop_flat_map(|len| prop::collection::vec(any::<u128>(), len));
        prop_oneof![prop::collection::vec(id(), 0..1_000), anywhere]
    }

    proptest! {
        #[test]
        fn an_id_that_was_added_is_in_no_gap(
            ids in ids(), sorted in any::<bool>(), probes in prop::collection::vec(id(), 50),
        ) {
            let mut ids = ids;
            if sorted {
                ids.sort_unstable();
            }
            let set: BTreeSet<u128> = ids.iter().copied().collect();
            let spans = added(ids.iter().copied());
            check(&spans, &set, &probes, SPANS_MAX);
            prop_assert_eq!(spans.iter().map(|span| span.ids).sum::<u64>(), ids.len() as u64);
        }

        #[test]
        fn spans_of_spans_hold_all_that_each_holds(
            parts in prop::collection::vec(ids(), 0..5),
            spans_max in prop_oneof![Just(1_usize), 2..40_usize],
            probes in prop::collection::vec(id(), 50),
        ) {
            let each: Vec<Spans> = parts.iter().map(|ids| added(ids.iter().copied())).collect();
            let all = Spans::of(each.iter().flat_map(Spans::iter).copied(), spans_max);
            let set = parts.into_iter().flatten().collect();
            check(&all, &set, &probes, spans_max);
        }
    }
}
