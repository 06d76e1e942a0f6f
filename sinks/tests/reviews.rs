//! The review desk, from events to what analysts read: what is open and whose it is, what is known
//! of a payment, which policies were set.

mod common;

use std::collections::BTreeMap;

use common::{CZK, History, START_NS, account, payment};
use millrace_ledger::{EventSeq, RejectReason, RiskDecision};
use millrace_risk::{
    desk::{HoldEnd, OpenPage, ReviewKind},
    evidence::Reason,
};
use millrace_sinks::{ReviewStore, ReviewsConfig, ReviewsSink, Sink as _, SinkError};

fn open(dir: &std::path::Path) -> (ReviewsSink, ReviewStore) {
    ReviewsSink::open(dir, &ReviewsConfig::default()).expect("opens")
}

fn stored(history: &History, batch_events: usize) -> (tempfile::TempDir, ReviewStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) = open(dir.path());
    sink.apply(&history.batches(batch_events)).expect("applies");
    (dir, store)
}

fn bank() -> History {
    let mut bank = History::default();
    bank.open(1, CZK);
    bank.open(2, CZK);
    bank
}

/// Every way in which a hold of risk goes on and ends.
fn busy_day() -> History {
    use RiskDecision::{Challenge, Review};
    let mut day = bank();
    for id in 1..=9 {
        day.hold_by_risk(id, 100, if id == 3 || id == 4 { Challenge } else { Review });
    }
    day.claim(1, "ann");
    day.claim(2, "bob");
    day.release(2, "bob");
    day.claim(2, "ann");
    day.capture(20, 3, (1, 2), 100, true);
    // A part of it: the rest is still held.
    day.capture(21, 5, (1, 2), 40, false);
    day.capture(22, 6, (1, 2), 40, false);
    day.void(23, 6, (1, 2), 60);
    day.expire(7, (1, 2), 100);
    // Resolved, and the capture that follows; resolved, and the capture was refused.
    day.claim(8, "bob");
    day.resolve(8, "bob", true);
    day.capture(24, 8, (1, 2), 100, true);
    day.resolve(9, "bob", true);
    day.reject_capture(25, 9, RejectReason::CreditAccountFrozen);
    day
}

fn open_ids(store: &ReviewStore, kind: ReviewKind, claimed_by: Option<&str>) -> Vec<u128> {
    let claimed_by = claimed_by.map(str::to_owned);
    let page = OpenPage { kind, claimed_by, limit: 100, after_seq: 0 };
    let found = store.open_reviews(&page).expect("reads");
    assert_eq!(found.next_after_seq, None);
    found.reviews.iter().map(|found| found.event.payment.id.0 - payment(0).0).collect()
}

/// The same at every size of batch: what one batch makes and ends is never seen as open.
#[test]
fn a_review_is_open_until_its_money_has_moved() {
    for batch_events in [1, 3, 100] {
        let (_dir, store) = stored(&busy_day(), batch_events);
        for (kind, claimed_by, expected) in [
            (ReviewKind::Review, None, vec![1, 2, 5, 9]),
            (ReviewKind::Review, Some("ann"), vec![1, 2]),
            (ReviewKind::Review, Some("bob"), vec![]),
            (ReviewKind::Review, Some(""), vec![5, 9]),
            (ReviewKind::Challenge, None, vec![4]),
        ] {
            assert_eq!(open_ids(&store, kind, claimed_by), expected, "{kind:?} {claimed_by:?}");
        }
        // Payment, how it ended, what is left, whose it is, what was decided.
        for (id, end, left, claim, resolution) in [
            (1, None, 100, Some("ann"), None),
            (3, Some(HoldEnd::Captured), 0, None, None),
            (5, None, 60, None, None),
            (6, Some(HoldEnd::Voided), 0, None, None),
            (7, Some(HoldEnd::Expired), 0, None, None),
            (8, Some(HoldEnd::Captured), 0, Some("bob"), Some(true)),
            (9, None, 100, None, Some(true)),
        ] {
            let found = store.by_payment(payment(id)).expect("reads").expect("is there");
            let standing = found.standing.expect("was held");
            let claimed_by = standing.claim.as_ref().map(|claim| claim.by.as_str());
            let decided = standing.resolution.as_ref().map(|resolution| resolution.approve);
            let found = (standing.end, standing.left_minor, claimed_by, decided);
            assert_eq!(found, (end, left, claim, resolution), "payment {id}");
        }
    }
}

#[test]
fn a_decision_has_what_explains_it() {
    let mut history = bank();
    history.pay(1, 1, 2, 100);
    history.hold_by_risk(2, 100, RiskDecision::Review);
    history.reject(3, 1, 2, 100, RejectReason::RiskDeclined);
    history.reject(4, 1, 9, 100, RejectReason::CreditAccountUnknown);
    history.authorize(5, 1, 2, 100, 0);
    history.report(1, "ann", true);
    history.report(1, "bob", false);
    let (_dir, store) = stored(&history, 2);
    let known = |id| store.by_payment(payment(id)).expect("reads");
    let held = known(2).expect("is there");
    assert_eq!((held.event.seq, held.event.payment.debit), (EventSeq(4), account(1)));
    assert_eq!(held.event.verdict.rule.as_str(), "odd");
    assert_eq!(held.time.0, START_NS + 1_000_000_000);
    let evidence = held.evidence.expect("is there");
    let reason = Reason { feature: 3, value: 9.0, contribution: 0.25 };
    assert_eq!((evidence.score, evidence.reasons), (Some(0.5), vec![reason]));
    assert_eq!(held.context, history.events[3].context);
    let expires_at = held.standing.expect("is held").expires_at_ns;
    assert_eq!(expires_at, Some(held.time.0 + 60_000_000_000));
    let declined = known(3).expect("is there");
    assert_eq!((declined.evidence, declined.standing), (None, None));
    assert_eq!(declined.event.verdict.rule.as_str(), "velocity");
    for id in [1, 4, 5, 99] {
        assert_eq!(known(id), None, "{id}: risk approved it, or did not look");
    }
    let report = store.report(payment(1)).expect("reads").expect("was reported");
    assert_eq!((report.fraud, report.deed.by.as_str(), report.deed.seq), (false, "bob", 9));
    assert_eq!(report.deed.why, "reason 9");
    assert_eq!(store.report(payment(2)).expect("reads"), None);
}

/// Policies count from 1 over restarts, whatever the batches were.
#[test]
fn policies_are_counted_and_paged() {
    let mut history = bank();
    for number in 1..=7 {
        history.set_policy("ann", &format!("policy {number}"));
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    for batch in history.batches(2) {
        let (mut sink, _store) = open(dir.path());
        sink.apply(&[batch]).expect("applies");
    }
    let (_sink, store) = open(dir.path());
    let page = |before, limit| -> Vec<(u32, String)> {
        let found = store.policies(before, limit).expect("reads");
        found.into_iter().map(|policy| (policy.number, policy.name)).collect()
    };
    let expected: Vec<_> = (1..=7).rev().map(|n| (n, format!("policy {n}"))).collect();
    assert_eq!(page(None, 10), expected);
    assert_eq!(page(Some(5), 2), expected[3..5]);
    assert_eq!(page(Some(1), 2), []);
}

/// Pages of any size, with and without a filter, join to the whole list.
#[test]
fn pages_join_to_the_whole_list() {
    let mut history = bank();
    let mut claimed = BTreeMap::new();
    for id in 1..=60 {
        history.hold_by_risk(id, 100, RiskDecision::Review);
        if id % 3 == 0 {
            history.claim(id, if id % 2 == 0 { "ann" } else { "anna" });
            claimed.insert(id, id % 2 == 0);
        }
    }
    let (_dir, store) = stored(&history, 7);
    for (claimed_by, expected) in [
        (None, (1..=60).collect::<Vec<u128>>()),
        (Some("ann"), claimed.iter().filter(|(_, ann)| **ann).map(|(id, _)| *id).collect()),
        (Some(""), (1..=60).filter(|id| !claimed.contains_key(id)).collect()),
    ] {
        assert_eq!(open_ids(&store, ReviewKind::Review, claimed_by), expected, "{claimed_by:?}");
        for limit in [1, 7, 60, 61] {
            let (mut joined, mut after_seq) = (Vec::new(), 0);
            loop {
                let claimed_by = claimed_by.map(str::to_owned);
                let kind = ReviewKind::Review;
                let page = OpenPage { kind, claimed_by, limit, after_seq };
                let found = store.open_reviews(&page).expect("reads");
                assert!(found.reviews.len() <= limit);
                joined.extend(found.reviews.iter().map(|it| it.event.payment.id.0 - payment(0).0));
                match found.next_after_seq {
                    Some(next) => after_seq = next,
                    None => break,
                }
            }
            assert_eq!(joined, expected, "{claimed_by:?} in pages of {limit}");
        }
    }
}

fn everything(store: &ReviewStore) -> String {
    let page = |kind| OpenPage { kind, limit: 100, ..OpenPage::default() };
    let kinds = [ReviewKind::Review, ReviewKind::Challenge];
    let open = kinds.map(|kind| store.open_reviews(&page(kind)).expect("reads"));
    let known = (1..30).map(|id| store.by_payment(payment(id)).expect("reads"));
    format!("{:?} {open:?} {:?}", store.applied_seq(), known.collect::<Vec<_>>())
}

/// The store may stop after any commit, and the feed may come again from earlier.
#[test]
fn a_restart_after_any_batch_ends_in_the_same_state() {
    let history = busy_day();
    let batches = history.batches(2);
    let (_dir, store) = stored(&history, 2);
    let expected = everything(&store);
    for stopped_after in 0..=batches.len() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut sink, _) = open(dir.path());
        sink.apply(&batches[..stopped_after]).expect("applies");
        drop(sink);
        let (mut sink, store) = open(dir.path());
        assert_eq!(sink.next_seq(), store.applied_seq().next());
        for batch in &batches {
            sink.apply(std::slice::from_ref(batch)).expect("skips what it has");
        }
        assert_eq!(everything(&store), expected, "stopped after {stopped_after}");
    }
}

#[test]
fn a_gap_stops_the_sink_and_changes_nothing() {
    let batches = busy_day().batches(1);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) = open(dir.path());
    sink.apply(&batches[..5]).expect("applies");
    let before = everything(&store);
    let error = sink.apply(&[batches[5].clone(), batches[7].clone()]).expect_err("7 is missing");
    assert!(matches!(error, SinkError::Gap { expected: EventSeq(7), .. }), "{error}");
    assert_eq!(everything(&store), before, "all or nothing");
}

/// An act of a later version is left out; the rest goes on.
#[test]
fn an_act_that_is_not_known_here_is_left_out() {
    let mut history = busy_day();
    history.claim(1, "ann");
    let last = history.events.last_mut().expect("is there");
    last.context = bytes::Bytes::from_static(b"{\"actor\":\"ann\",\"why\":\"x\",\"act\":\"new\"}");
    history.claim(5, "bob");
    let (_dir, store) = stored(&history, 100);
    assert_eq!(open_ids(&store, ReviewKind::Review, Some("bob")), [5]);
}
