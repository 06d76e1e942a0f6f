//! Balance histories and holds that timed out, from events to views: what is in them, what is not,
//! and how they page.

mod common;
#[path = "common/lists.rs"]
mod lists;

use common::{CZK, History, START_NS, account, bank, payment};
use millrace_ledger::{Event, EventSeq, RejectReason, Timestamp};
use millrace_sinks::{
    GraphqlSink, ReadStore, Sink as _,
    graphql::{BalanceChange, HistoryRow, model::TimeRange},
};

fn stored(history: &History, batch_events: usize) -> (tempfile::TempDir, ReadStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) = GraphqlSink::open(dir.path(), &common::patient()).expect("opens");
    sink.apply(&history.batches(batch_events)).expect("applies");
    (dir, store)
}

fn whole(store: &ReadStore, number: u128) -> Vec<HistoryRow> {
    lists::history(store, account(number), TimeRange::default(), None, 10_000).expect("reads")
}

/// Row by row, what the bank's events made of account 1.
#[test]
fn every_event_that_changed_the_balances_is_in_the_history() {
    use BalanceChange as C;
    // Debits pending and posted, credits pending and posted.
    let expected = [
        (3, C::Settled, 1, [0, 245_200, 0, 0]),
        (4, C::Held, 2, [10_000, 245_200, 0, 0]),
        (5, C::Captured, 3, [6_000, 249_200, 0, 0]),
        (6, C::Captured, 4, [0, 255_200, 0, 0]),
        (7, C::Held, 5, [2_500, 255_200, 0, 0]),
        (8, C::Voided, 6, [0, 255_200, 0, 0]),
        (9, C::Held, 7, [0, 255_200, 900, 0]),
        (10, C::Expired, 7, [0, 255_200, 0, 0]),
        (11, C::Refunded, 8, [0, 255_200, 0, 45_200]),
        (12, C::Held, 9, [77_700, 255_200, 0, 45_200]),
        // 13 to 18 are refused, 19 opens an account, 20 freezes one.
        (21, C::Settled, 15, [77_700, 255_200, 0, 45_201]),
        (22, C::Settled, 16, [77_700, 255_202, 0, 45_201]),
    ];
    for batch_events in [1, 4, 100] {
        let (_dir, store) = stored(&bank(), batch_events);
        let mut found = whole(&store, 1);
        found.reverse();
        let shown = found.iter().map(|row| {
            let b = row.balances;
            let counters = [b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted];
            (row.seq, row.change, row.payment, counters)
        });
        let expected = expected.map(|(seq, change, number, counters)| {
            (EventSeq(seq), change, payment(number), counters)
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "batches of {batch_events}");
        for row in found {
            let batch = (row.seq.0 - 1) / batch_events as u64;
            assert_eq!(row.time, Timestamp(START_NS + batch * 1_000_000_000), "{}", row.seq);
        }
    }
}

#[test]
fn an_account_that_did_not_ask_has_none() {
    let (_dir, store) = stored(&bank(), 4);
    for number in [2, 3, 99] {
        assert_eq!(whole(&store, number), [], "account {number}");
    }
}

/// The newest entry is what the account shows, whatever the sizes of batches and commits, and
/// across restarts: the sink has to know again which accounts asked.
#[test]
fn the_history_ends_with_the_balances_of_the_account() {
    let mut history = History::default();
    for number in 1..=6 {
        match number % 2 {
            0 => history.open(number, CZK),
            _ => history.open_keeping(number, CZK),
        }
    }
    let mut random = 7_u64;
    for number in 1..400 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let debit = u128::from(random >> 33) % 6 + 1;
        let credit = debit % 6 + 1;
        match random >> 60 {
            0..5 => history.pay(number, debit, credit, u128::from(random >> 50) + 1),
            5..10 => {
                history.authorize(number, debit, credit, 700, 60);
                history.expire(number, (debit, credit), 700);
            }
            _ => history.reject(number, debit, credit, 5, RejectReason::InsufficientFunds),
        }
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    for at_once in history.batches(7).chunks(3) {
        let (mut sink, _store) = GraphqlSink::open(dir.path(), &common::patient()).expect("opens");
        sink.apply(at_once).expect("applies");
    }
    let (_sink, store) = GraphqlSink::open(dir.path(), &common::patient()).expect("opens");
    let (_other_dir, at_once) = stored(&history, 5_000);
    for number in 1..=6 {
        let found = whole(&store, number);
        let changes = history.events.iter().filter(|event| match &event.event {
            Event::Payment(event) => {
                let sides = [event.payment.debit, event.payment.credit];
                event.outcome.is_accepted() && sides.contains(&account(number))
            }
            Event::HoldExpired(event) => [event.debit, event.credit].contains(&account(number)),
            Event::Account(_) | Event::Act(_) => false,
        });
        let expected = if number % 2 == 0 { 0 } else { changes.count() };
        assert_eq!(found.len(), expected, "account {number}");
        let seqs = |rows: &[HistoryRow]| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
        assert_eq!(seqs(&found), seqs(&whole(&at_once, number)));
        if let Some(newest) = found.first() {
            assert_eq!(newest.balances, history.balances(number), "account {number}");
        }
    }
}

/// Pages by cursor, and all ranges of time, compared with what a filter over the whole list gives.
#[test]
fn pages_and_times_cut_the_history_where_they_say() {
    let mut history = History::default();
    history.open_keeping(1, CZK);
    history.open(2, CZK);
    history.open_keeping(3, CZK);
    for number in 0..200 {
        let credit = if number % 3 == 0 { 1 } else { 3 };
        history.pay(number + 1, 2, credit, 1 + number);
    }
    let (_dir, store) = stored(&history, 7);
    let all = whole(&store, 1);
    assert_eq!(all.len(), 67);
    assert!(all.is_sorted_by(|a, b| a.seq > b.seq), "newest first");
    let read =
        |range, than, limit| lists::history(&store, account(1), range, than, limit).expect("reads");
    for page in [1, 10, 66, 67, 68] {
        let mut joined: Vec<HistoryRow> = Vec::new();
        loop {
            let before = joined.last().map(|row| row.seq);
            let found = read(TimeRange::default(), before, page);
            if found.is_empty() {
                break;
            }
            joined.extend(found);
        }
        assert_eq!(joined, all, "pages of {page}");
    }
    // Batches are a second apart: every second, and half a second off, in any combination.
    let times = (0..70).map(|half| Timestamp(START_NS - 1_000_000_000 + half * 500_000_000));
    let bounds: Vec<_> = std::iter::once(None).chain(times.map(Some)).collect();
    for &from in &bounds {
        for &to in &bounds {
            for before in [None, Some(EventSeq(100)), Some(EventSeq(1))] {
                let wanted = |row: &&HistoryRow| {
                    from.is_none_or(|from| row.time >= from)
                        && to.is_none_or(|to| row.time < to)
                        && before.is_none_or(|before| row.seq < before)
                };
                let expected: Vec<_> = all.iter().filter(wanted).copied().take(20).collect();
                let found = read(TimeRange { from, to }, before, 20);
                assert_eq!(found, expected, "{from:?} {to:?} {before:?}");
            }
        }
    }
}

#[test]
fn holds_that_timed_out_are_listed_newest_first() {
    let mut history = History::default();
    for number in 1..=4 {
        history.open(number, CZK);
    }
    history.authorize(1, 1, 2, 1_000, 60);
    history.authorize(2, 3, 1, 2_000, 60);
    history.authorize(3, 3, 4, 3_000, 60);
    history.authorize(4, 1, 2, 4_000, 60);
    history.capture(5, 1, (1, 2), 400, false);
    history.void(6, 4, (1, 2), 4_000);
    history.expire(2, (3, 1), 2_000);
    history.expire(1, (1, 2), 600);
    history.expire(3, (3, 4), 3_000);
    for batch_events in [1, 3, 100] {
        let (_dir, store) = stored(&history, batch_events);
        let listed = |number: Option<u128>, before, limit| {
            let found =
                lists::timed_out(&store, number.map(account), before, limit).expect("reads");
            let shown = found.iter().map(|found| {
                assert_eq!(found.hold.state.expect("has the id").released, found.released);
                (found.seq.0, found.hold.event.payment.id, found.released)
            });
            shown.collect::<Vec<_>>()
        };
        let (first, second, third) =
            ((11, payment(2), 2_000), (12, payment(1), 600), (13, payment(3), 3_000));
        assert_eq!(listed(None, None, 10), [third, second, first]);
        assert_eq!(listed(None, Some(EventSeq(13)), 1), [second]);
        assert_eq!(listed(Some(1), None, 10), [second, first]);
        assert_eq!(listed(Some(1), Some(EventSeq(12)), 10), [first]);
        assert_eq!(listed(Some(2), None, 10), [second]);
        assert_eq!(listed(Some(3), None, 1), [third]);
        assert_eq!(listed(Some(4), None, 10), [third]);
        assert_eq!(listed(Some(99), None, 10), []);
        let view = lists::timed_out(&store, None, None, 1).expect("reads").remove(0);
        let batch = 12 / batch_events as u64;
        assert_eq!(view.time, Timestamp(START_NS + batch * 1_000_000_000));
        assert_eq!((view.hold.event.payment.debit, view.hold.event.seq), (account(3), EventSeq(7)));
    }
}
