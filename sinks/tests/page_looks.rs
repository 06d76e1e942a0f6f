//! A page looks at so much and no more: one that is cut short names the place to go on from, and the
//! pages together are what a walk finds, from either end.

mod common;

use common::{History, account, bank};
use millrace_ledger::{Event, EventSeq, PaymentEvent, RiskDecision};
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, ReadStore, Sink as _,
    graphql::{
        LimitsConfig,
        model::{Order, OutcomeKind, PageQuery, PaymentQuery, Stop},
    },
};

const LOOKS: u64 = 64;

fn stored(history: &History) -> (tempfile::TempDir, ReadStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let limits = LimitsConfig { page_looks: LOOKS, ..LimitsConfig::default() };
    let config = GraphqlConfig { limits, ..GraphqlConfig::default() };
    let (mut sink, store) = GraphqlSink::open(dir.path(), &config).expect("opens");
    sink.apply(&history.batches(50)).expect("applies");
    (dir, store)
}

fn payments(history: &History) -> Vec<PaymentEvent> {
    let events = history.events.iter().filter_map(|event| match event.event {
        Event::Payment(payment) => Some(payment),
        _ => None,
    });
    events.collect()
}

/// Walks to the end, page by page; what was found, oldest first, and in how many pages.
fn walk(store: &ReadStore, mut query: PaymentQuery) -> (Vec<EventSeq>, u64) {
    let from_end = query.page.from_end;
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let slice = store.payments(&query).expect("in time");
        pages += 1;
        let seqs: Vec<_> = slice.items.iter().map(|view| view.event.seq).collect();
        let (more, end) = match from_end {
            true => (slice.more_before, seqs.first()),
            false => (slice.more_after, seqs.last()),
        };
        let on = match slice.stopped_at {
            Some(Stop::Before(place)) if from_end => Some(EventSeq(place)),
            Some(Stop::After(place)) if !from_end => Some(EventSeq(place)),
            Some(stop) => panic!("{stop:?} is the wrong way"),
            None => end.copied(),
        };
        found.extend(seqs);
        if !more {
            found.sort_unstable();
            return (found, pages);
        }
        let from = if from_end { &mut query.page.before } else { &mut query.page.after };
        assert!(on.is_some() && *from != on, "it goes on, from {from:?} to {on:?}");
        *from = on;
    }
}

#[test]
fn a_page_that_finds_too_little_stops_and_goes_on_where_it_stopped() {
    let mut history = bank();
    for id in 100..1_600_u128 {
        history.pay(id, 1 + id % 2, 2 - id % 2, 100 + id * 7_919 % 500);
    }
    let (_dir, store) = stored(&history);
    let all = payments(&history);
    let everything = PaymentQuery::all(PageQuery::first(10));
    let nothing = PaymentQuery { amount_min: Some(1 << 100), ..everything.clone() };
    let few = PaymentQuery { amount_min: Some(595), amount_max: Some(599), ..everything.clone() };
    let of_account =
        PaymentQuery { account: Some(account(2)), amount_max: Some(1), ..everything.clone() };
    let settled = PaymentQuery {
        status: Some(OutcomeKind::Settled),
        risk_decision: Some(RiskDecision::Approve),
        amount_min: Some(1 << 100),
        ..everything
    };
    for query in [nothing, few, of_account, settled] {
        let passes = |event: &&PaymentEvent| {
            let minor = event.outcome.amount.0;
            let sides = [event.payment.debit, event.payment.credit];
            query.account.is_none_or(|account| sides.contains(&account))
                && query.status.is_none_or(|wanted| wanted == event.outcome.status.into())
                && query.amount_min.is_none_or(|least| minor >= least)
                && query.amount_max.is_none_or(|most| minor <= most)
        };
        let expected: Vec<_> = all.iter().filter(passes).map(|event| event.seq).collect();
        for (order, from_end) in [
            (Order::NewestFirst, false),
            (Order::NewestFirst, true),
            (Order::OldestFirst, false),
            (Order::OldestFirst, true),
        ] {
            let mut query = PaymentQuery { order, ..query.clone() };
            query.page.from_end = from_end;
            let by_scan = query.account.is_none() && query.status.is_none();
            let (found, pages) = walk(&store, query.clone());
            assert_eq!(found, expected, "{query:?}");
            assert!(pages > 10, "{query:?} was no work: {pages} pages");
            if by_scan && expected.is_empty() {
                // One look for each payment: no page did more, and none stopped before.
                assert_eq!(pages, (all.len() as u64).div_ceil(LOOKS));
            }
        }
    }
}
