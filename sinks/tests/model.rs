//! The embedded read model against a naive one: random histories, every filter, page and moment,
//! compared with what a walk over all events gives.

mod common;

use std::collections::BTreeMap;

use common::{CZK, History, START_NS, account, payment};
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    AccountId, Balances, Event, EventSeq, LedgerId, Operation, PaymentEvent, PaymentId,
    RejectReason, RiskDecision, Status, Timestamp,
};
use millrace_protos::v1::PaymentContext;
use millrace_sinks::{
    GraphqlSink, ReadStore, Sink as _,
    graphql::{
        PaymentView,
        model::{
            AsOf, CountAndSum, HoldQuery, Order, OutcomeKind, PageQuery, PaymentQuery, TimeRange,
            Total, TotalsBy, TotalsQuery,
        },
    },
};
use prost::Message as _;

const ACCOUNTS: u128 = 5;
const HOUR_NS: u64 = 3_600_000_000_000;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % bound
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}

/// Payments of all kinds, holds that end in all ways, ten minutes between batches.
fn history(seed: u64, payments: u128) -> (History, Vec<FeedBatch>) {
    let mut dice = Dice(seed);
    let mut history = History::default();
    for number in 1..=ACCOUNTS {
        history.open(number, CZK);
    }
    let mut holds: Vec<(u128, (u128, u128), u128)> = Vec::new();
    let mut settled: Vec<(u128, (u128, u128))> = Vec::new();
    for number in 1..=payments {
        let debit = u128::from(dice.below(ACCOUNTS as u64)) + 1;
        let credit = debit % ACCOUNTS + 1;
        let minor = u128::from(dice.below(500)) + 100;
        match dice.below(12) {
            0..4 => {
                history.pay(number, debit, credit, minor);
                settled.push((number, (debit, credit)));
            }
            4..6 => {
                history.authorize(number, debit, credit, minor, 60);
                holds.push((number, (debit, credit), minor));
            }
            6 => history.review(number, debit, credit, minor),
            7 if !settled.is_empty() => {
                let (original, sides) = dice.pick(&settled);
                history.refund(number, original, sides, 1);
            }
            8..11 if !holds.is_empty() => {
                let (hold, sides, left) =
                    holds.swap_remove(dice.below(holds.len() as u64) as usize);
                match dice.below(4) {
                    0 => {
                        history.capture(number, hold, sides, left / 2, false);
                        holds.push((hold, sides, left - left / 2));
                    }
                    1 => history.capture(number, hold, sides, left, true),
                    2 => history.void(number, hold, sides, left),
                    _ => history.expire(hold, sides, left),
                }
            }
            _ => {
                let reason = dice.pick(&[
                    RejectReason::InsufficientFunds,
                    RejectReason::RiskDeclined,
                    RejectReason::CreditAccountUnknown,
                ]);
                history.reject(number, debit, credit, minor, reason);
            }
        }
    }
    for event in &mut history.events {
        let context = PaymentContext {
            reference: dice.pick(&["", "rent", "coffee", "coffee "]).to_owned(),
            ..PaymentContext::default()
        };
        event.context = context.encode_to_vec().into();
    }
    let mut batches = Vec::new();
    let mut rest = history.events.as_slice();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at((dice.below(6) as usize + 1).min(rest.len()));
        let time = Timestamp(START_NS + batches.len() as u64 * 600_000_000_000);
        batches.push(FeedBatch { time, events: batch.to_vec() });
        rest = after;
    }
    (history, batches)
}

fn stored(batches: &[FeedBatch], at_once: usize) -> (tempfile::TempDir, ReadStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) = GraphqlSink::open(dir.path(), &common::patient()).expect("opens");
    for batches in batches.chunks(at_once) {
        sink.apply(batches).expect("applies");
    }
    (dir, store)
}

/// Each payment event with its time and reference, oldest first.
fn decided(batches: &[FeedBatch]) -> Vec<(PaymentEvent, Timestamp, String)> {
    let events =
        batches.iter().flat_map(|batch| batch.events.iter().map(move |event| (event, batch)));
    let payments = events.filter_map(|(event, batch)| match &event.event {
        Event::Payment(payment) => {
            let context = PaymentContext::decode(&*event.context).expect("is well formed");
            Some((*payment, batch.time, context.reference))
        }
        _ => None,
    });
    payments.collect()
}

fn seqs(views: &[PaymentView]) -> Vec<EventSeq> {
    views.iter().map(|view| view.event.seq).collect()
}

/// What a page of a list is, told by cutting the list.
fn cut(list: &[EventSeq], page: &PageQuery) -> Vec<EventSeq> {
    let place = |seq| list.iter().position(|found| *found == seq);
    // The cursors of these tests are members of the list, or of none at all.
    let start = page.after.and_then(place).map_or(0, |place| place + 1);
    let end = page.before.and_then(place).unwrap_or(list.len());
    let within = if start < end { &list[start..end] } else { &[] };
    match page.from_end {
        true => within[within.len().saturating_sub(page.limit)..].to_vec(),
        false => within[..within.len().min(page.limit)].to_vec(),
    }
}

#[test]
fn every_filter_in_every_direction_finds_what_a_walk_finds() {
    for (seed, at_once) in [(1, 1), (2, 7), (3, 10_000)] {
        let (_, batches) = history(seed, 400);
        let (_dir, store) = stored(&batches, at_once);
        let all = decided(&batches);
        let mut dice = Dice(seed + 100);
        let mut found_any = 0;
        for _ in 0..600 {
            let mut maybe = |odds| dice.below(odds) == 0;
            let with = [maybe(2), maybe(3), maybe(3), maybe(3), maybe(4), maybe(5), maybe(4)];
            let (with_from, with_to) = (maybe(3), maybe(3));
            let time = |dice: &mut Dice| {
                let half_batches = dice.below(2 * batches.len() as u64 + 4);
                Timestamp(START_NS - 600_000_000_000 + half_batches * 300_000_000_000)
            };
            let outcomes = [
                OutcomeKind::Settled,
                OutcomeKind::Held,
                OutcomeKind::Voided,
                OutcomeKind::Rejected,
            ];
            let reasons = [RejectReason::InsufficientFunds, RejectReason::AmountZero];
            let decisions = [RiskDecision::Approve, RiskDecision::Review, RiskDecision::Decline];
            let mut query = PaymentQuery {
                order: dice.pick(&[Order::NewestFirst, Order::OldestFirst]),
                account: with[0].then(|| account(u128::from(dice.below(7)))),
                reference: with[1].then(|| dice.pick(&["rent", "coffee", "tea", ""]).to_owned()),
                status: with[2].then(|| dice.pick(&outcomes)),
                reject_reason: with[3].then(|| dice.pick(&reasons)).filter(|_| with[2]),
                risk_decision: with[4].then(|| dice.pick(&decisions)),
                ledger: with[5].then(|| LedgerId(dice.pick(&[CZK, 978]))),
                amount_min: with[6].then(|| u128::from(dice.below(600))),
                amount_max: with[6].then(|| u128::from(dice.below(600)) + 200),
                from_time: with_from.then(|| time(&mut dice)),
                to_time: with_to.then(|| time(&mut dice)),
                ..PaymentQuery::all(PageQuery::first(1))
            };
            let passes = |(event, time, reference): &&(PaymentEvent, Timestamp, String)| {
                let minor = event.outcome.amount.0;
                let sides = [event.payment.debit, event.payment.credit];
                let status = event.outcome.status;
                query.account.is_none_or(|account| sides.contains(&account))
                    && query.reference.as_ref().is_none_or(|wanted| wanted == reference)
                    && query.status.is_none_or(|wanted| wanted == status.into())
                    && query.reject_reason.is_none_or(|why| status == Status::Rejected(why))
                    && query.risk_decision.is_none_or(|said| said == event.verdict.decision)
                    && query.ledger.is_none_or(|ledger| ledger == event.payment.ledger)
                    && query.amount_min.is_none_or(|least| minor >= least)
                    && query.amount_max.is_none_or(|most| minor <= most)
                    && query.from_time.is_none_or(|from| *time >= from)
                    && query.to_time.is_none_or(|to| *time < to)
            };
            // Nobody lists payments whose reference is empty: it is no reference.
            let mut list: Vec<_> = match query.reference.as_deref() {
                Some("") => Vec::new(),
                _ => all.iter().filter(passes).map(|(event, ..)| event.seq).collect(),
            };
            if query.order == Order::NewestFirst {
                list.reverse();
            }
            found_any += usize::from(!list.is_empty());
            let cursor = |dice: &mut Dice| (!list.is_empty()).then(|| dice.pick(&list));
            for _ in 0..3 {
                query.page = PageQuery {
                    after: if dice.below(2) == 0 { cursor(&mut dice) } else { None },
                    before: if dice.below(3) == 0 { cursor(&mut dice) } else { None },
                    limit: dice.pick(&[1, 3, 10, 1_000]),
                    from_end: dice.below(2) == 0,
                };
                let slice = store.payments(&query).expect("reads");
                let page = &query.page;
                let expected = cut(&list, page);
                assert_eq!(seqs(&slice.items), expected, "{query:?}");
                let whole = cut(&list, &PageQuery { limit: usize::MAX, ..*page });
                let more = whole.len() > expected.len();
                let (before, after) = (more && page.from_end, more && !page.from_end);
                assert_eq!(slice.more_before, before || page.after.is_some(), "{query:?}");
                assert_eq!(slice.more_after, after || page.before.is_some(), "{query:?}");
            }
        }
        assert!(found_any > 150, "the questions are worth asking: {found_any}");
    }
}

#[test]
fn balances_are_known_as_of_every_event_and_every_time() {
    let (_, batches) = history(9, 250);
    let (_dir, store) = stored(&batches, 5);
    let mut standing: BTreeMap<AccountId, (Balances, EventSeq, Timestamp)> = BTreeMap::new();
    for batch in &batches {
        for FeedEvent { event, .. } in &batch.events {
            let (seq, time) = (event.seq(), batch.time);
            let changes: Vec<(AccountId, Balances)> = match event {
                Event::Payment(paid) if paid.outcome.is_accepted() => {
                    let both = paid.balances.expect("both are known");
                    [paid.payment.debit, paid.payment.credit].into_iter().zip(both).collect()
                }
                Event::HoldExpired(expired) => {
                    [expired.debit, expired.credit].into_iter().zip(expired.balances).collect()
                }
                Event::Account(opened) => vec![(opened.account.spec.id, Balances::default())],
                Event::Payment(_) | Event::Act(_) => Vec::new(),
            };
            for (id, balances) in changes {
                standing.insert(id, (balances, seq, time));
            }
            compare(&store, AsOf::Seq(seq), &standing);
        }
        for off in [0, 1, 599_999_999_999] {
            compare(&store, AsOf::Time(Timestamp(batch.time.0 + off)), &standing);
        }
    }
    compare(&store, AsOf::Seq(EventSeq(u64::MAX)), &standing);
    compare(&store, AsOf::Time(Timestamp(u64::MAX)), &standing);
    compare(&store, AsOf::Seq(EventSeq(0)), &BTreeMap::new());
    compare(&store, AsOf::Time(Timestamp(START_NS - 1)), &BTreeMap::new());
}

fn compare(
    store: &ReadStore,
    at: AsOf,
    standing: &BTreeMap<AccountId, (Balances, EventSeq, Timestamp)>,
) {
    for number in 1..=ACCOUNTS + 1 {
        let found = store.balances_at(account(number), at).expect("reads");
        let found = found.map(|found| (found.balances, found.changed_at, found.changed_time));
        assert_eq!(found, standing.get(&account(number)).copied(), "account {number}, {at:?}");
    }
}

#[test]
fn open_holds_are_those_of_which_something_is_left() {
    let (_, batches) = history(4, 300);
    for at_once in [1, 10_000] {
        let (_dir, store) = stored(&batches, at_once);
        let all = decided(&batches);
        for number in (1..=ACCOUNTS).map(Some).chain([None]) {
            let account = number.map(account);
            let mut expected: Vec<_> = all
                .iter()
                .filter(|(event, ..)| {
                    let sides = [event.payment.debit, event.payment.credit];
                    let view = store.payment(event.payment.id).expect("reads").expect("is there");
                    event.outcome.status == Status::Held
                        && account.is_none_or(|account| sides.contains(&account))
                        && view.state.expect("has the id").left > 0
                })
                .map(|(event, ..)| event.seq)
                .collect();
            assert!(expected.len() > 3, "the question is worth asking");
            let holds = |order, page| {
                let query = HoldQuery { page, order, account };
                seqs(&store.holds(&query).expect("reads").items)
            };
            assert_eq!(holds(Order::OldestFirst, PageQuery::first(1_000)), expected);
            expected.reverse();
            assert_eq!(holds(Order::NewestFirst, PageQuery::first(1_000)), expected);
            let last = PageQuery { from_end: true, ..PageQuery::first(2) };
            assert_eq!(holds(Order::NewestFirst, last), cut(&expected, &last));
        }
    }
}

#[test]
fn follow_ups_are_all_that_name_the_original() {
    let (_, batches) = history(5, 400);
    let (_dir, store) = stored(&batches, 3);
    let all = decided(&batches);
    let mut several = 0;
    for number in 1..=400 {
        let original = payment(number);
        let naming = all.iter().filter(|(event, ..)| event.payment.original == original);
        let expected: Vec<_> = naming.map(|(event, ..)| event.seq).collect();
        several += usize::from(expected.len() > 1);
        for page in [
            PageQuery::first(100),
            PageQuery::first(1),
            PageQuery { from_end: true, ..PageQuery::first(1) },
            PageQuery { after: expected.first().copied(), ..PageQuery::first(100) },
        ] {
            let found = store.refunds(original, page).expect("reads");
            assert_eq!(seqs(&found.items), cut(&expected, &page), "payment {number}");
        }
    }
    assert!(several > 3, "the question is worth asking");
    let none = store.refunds(PaymentId(77), PageQuery::first(10)).expect("reads");
    assert_eq!(none.items, []);
}

#[test]
fn totals_add_up_by_hour_by_day_and_in_all() {
    let (_, batches) = history(6, 800);
    for at_once in [1, 10_000] {
        let (_dir, store) = stored(&batches, at_once);
        let bound = |hours: u64| Timestamp(START_NS + hours * HOUR_NS);
        for (from, to) in [
            (None, None),
            (Some(bound(1)), None),
            (None, Some(bound(30))),
            (Some(bound(3)), Some(bound(20))),
            (Some(bound(20)), Some(bound(3))),
        ] {
            for (by, group_ns) in
                [(TotalsBy::Hour, HOUR_NS), (TotalsBy::Day, 24 * HOUR_NS), (TotalsBy::Ledger, 0)]
            {
                let range = TimeRange { from, to };
                let expected = naive_totals(&batches, range, group_ns);
                for ledger in [None, Some(LedgerId(CZK)), Some(LedgerId(978))] {
                    let query = TotalsQuery { ledger, by, range };
                    let wanted =
                        |total: &&Total| ledger.is_none_or(|ledger| ledger == total.ledger);
                    let expected: Vec<_> = expected.iter().filter(wanted).copied().collect();
                    assert_eq!(store.totals(&query).expect("reads"), expected, "{query:?}");
                }
            }
        }
    }
}

/// `group_ns` of 0 is one group.
fn naive_totals(batches: &[FeedBatch], range: TimeRange, group_ns: u64) -> Vec<Total> {
    let mut totals: BTreeMap<(LedgerId, u64), [CountAndSum; 4]> = BTreeMap::new();
    for (event, time, _) in decided(batches) {
        let hour = time.0 - time.0 % HOUR_NS;
        let within =
            range.from.is_none_or(|from| hour >= from.0) && range.to.is_none_or(|to| hour < to.0);
        if within {
            let start = if group_ns == 0 { 0 } else { hour - hour % group_ns };
            let sums = totals.entry((event.payment.ledger, start)).or_default();
            let sum = &mut sums[OutcomeKind::from(event.outcome.status) as usize - 1];
            sum.count += 1;
            sum.minor += event.outcome.amount.0;
        }
    }
    let total = |((ledger, start), [settled, held, voided, rejected]): (_, [CountAndSum; 4])| {
        let start = (group_ns != 0).then_some(Timestamp(start));
        Total { ledger, start, settled, held, voided, rejected }
    };
    totals.into_iter().map(total).collect()
}

/// A place that an event is skipped at is a place like any other.
#[test]
fn a_skipped_event_moves_the_place_and_nothing_else() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    history.pay(1, 1, 2, 500);
    history.pay(2, 1, 2, 500);
    let batches = history.batches(1);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) = GraphqlSink::open(dir.path(), &common::patient()).expect("opens");
    sink.apply(&batches[..2]).expect("applies");
    sink.skip(EventSeq(3), batches[2].time, "as the test asks").expect("skips");
    assert_eq!((sink.next_seq(), store.applied_seq()), (EventSeq(4), EventSeq(3)));
    sink.apply(&batches[3..]).expect("goes on");
    assert_eq!(store.payment(payment(1)).expect("reads"), None);
    let found = store.payments(&PaymentQuery::all(PageQuery::first(9))).expect("reads").items;
    assert_eq!(seqs(&found), [EventSeq(4)]);
    assert_eq!(found[0].event.payment.operation, Operation::Pay);
}
