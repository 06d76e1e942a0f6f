//! The read model's store, from events to views: what it says of payments and accounts, how it
//! pages, and how it restarts.

mod common;
#[path = "common/lists.rs"]
mod lists;

use std::path::Path;

use common::{CZK, History, account, bank, payment};
use millrace_ledger::{
    AccountId, AccountState, Amount, EventSeq, LedgerId, Operation, OwnerId, PaymentId,
    RejectReason, RiskDecision, Status,
};
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, ReadStore, Sink as _, SinkError,
    graphql::{
        PaymentState,
        model::{AccountPage, TimeRange},
    },
};

fn open(dir: &Path) -> (GraphqlSink, ReadStore) {
    GraphqlSink::open(dir, &common::patient()).expect("opens")
}

fn stored(history: &History, batch_events: usize) -> (tempfile::TempDir, ReadStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) = open(dir.path());
    sink.apply(&history.batches(batch_events)).expect("applies");
    (dir, store)
}

/// Everything that can be read, as text to compare.
fn everything(store: &ReadStore) -> String {
    let mut text = format!("{} {:?}\n", store.applied_seq(), store.applied_time());
    for view in store.accounts(AccountPage::first(1_000)).expect("reads").items {
        text += &format!("{view:?}\n");
        let payments =
            lists::payments(store, Some(view.account.spec.id), None, 1_000).expect("reads");
        text += &format!("{:?}\n", payments.iter().map(|view| view.event.seq).collect::<Vec<_>>());
    }
    for view in lists::payments(store, None, None, 1_000).expect("reads") {
        text += &format!("{view:?}\n");
    }
    for number in 1..4 {
        let whole = TimeRange::default();
        let history = lists::history(store, account(number), whole, None, 1_000).expect("reads");
        let expired = lists::timed_out(store, Some(account(number)), None, 1_000).expect("reads");
        text += &format!("{history:?}\n{expired:?}\n");
    }
    text += &format!("{:?}\n", lists::timed_out(store, None, None, 1_000).expect("reads"));
    text
}

#[test]
fn payments_stand_as_later_events_left_them() {
    use PaymentState as S;
    let (_dir, store) = stored(&bank(), 4);
    for (number, seq, state, amount, left, released) in [
        (1, 3, S::Settled, 245_200, 200_000, 0),
        (2, 4, S::HoldCaptured, 10_000, 0, 0),
        (3, 5, S::Settled, 4_000, 4_000, 0),
        (4, 6, S::Settled, 6_000, 6_000, 0),
        (5, 7, S::HoldVoided, 2_500, 0, 2_500),
        (6, 8, S::Released, 2_500, 0, 0),
        (7, 9, S::HoldExpired, 900, 0, 900),
        (8, 11, S::Settled, 45_200, 0, 0),
        (9, 12, S::HoldOpen, 77_700, 77_700, 0),
        (10, 13, S::Refused, 0, 0, 0),
        (14, 18, S::Refused, 0, 0, 0),
    ] {
        let view = store.payment(payment(number)).expect("reads").expect("is there");
        let row = view.state.expect("has the id");
        assert_eq!(
            (row.seq, row.state, row.amount, row.left, row.released),
            (EventSeq(seq), state, amount, left, released),
            "payment {number}"
        );
        assert_eq!(view.event.payment.id, payment(number));
    }
    assert_eq!(store.payment(payment(77)).expect("reads"), None);
}

#[test]
fn a_payment_reads_back_as_it_was_decided() {
    let history = bank();
    let (_dir, store) = stored(&history, 4);
    let views = lists::payments(&store, None, None, 100).expect("reads");
    let mut found: Vec<_> = views.iter().map(|view| view.event).collect();
    found.reverse();
    let events = history.events.iter().filter_map(|event| match &event.event {
        millrace_ledger::Event::Payment(payment) => Some(*payment),
        _ => None,
    });
    assert_eq!(found, events.collect::<Vec<_>>());
    let review = store.payment(payment(9)).expect("reads").expect("is there");
    assert_eq!(review.event.verdict.decision, RiskDecision::Review);
    let context = review.context.expect("has one");
    assert_eq!(context.reference, "coffee \"to go\"");
    assert_eq!(context.ip_address, "192.0.2.7");
}

/// A reused id is refused, and that refusal is an event of the same id. It must not hide the
/// payment that has the id; but it is in the list of what happened.
#[test]
fn a_refused_reuse_of_an_id_does_not_hide_the_payment() {
    for batch_events in [1, 100] {
        let (_dir, store) = stored(&bank(), batch_events);
        let view = store.payment(payment(1)).expect("reads").expect("is there");
        assert_eq!(view.event.outcome.status, Status::Settled);
        let listed = lists::payments(&store, None, Some(EventSeq(17)), 1).expect("reads");
        assert_eq!(listed[0].event.payment.id, payment(1));
        let reuse = Status::Rejected(RejectReason::IdReusedAmountDiffers);
        assert_eq!((listed[0].event.outcome.status, listed[0].state), (reuse, None));
    }
}

/// Refused for its form, corrected, sent again under the same id: the id is the last one's.
#[test]
fn an_id_that_a_refusal_left_free_can_be_taken() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    history.reject(1, 1, 2, 0, RejectReason::AmountZero);
    let (_dir, store) = stored(&history, 1);
    let refused = store.payment(payment(1)).expect("reads").expect("is there");
    assert_eq!(refused.state.expect("has the id").state, PaymentState::RefusedIdFree);
    history.pay(1, 1, 2, 500);
    let (_dir, store) = stored(&history, 1);
    let view = store.payment(payment(1)).expect("reads").expect("is there");
    assert_eq!((view.event.seq, view.event.outcome.amount), (EventSeq(4), Amount(500)));
}

#[test]
fn accounts_stand_as_the_last_event_left_them() {
    let history = bank();
    for batch_events in [1, 4, 100] {
        let (_dir, store) = stored(&history, batch_events);
        for (number, state, opened_at, balances_at) in [
            (1, AccountState::Open, 1, 22),
            (2, AccountState::Frozen, 2, 22),
            (3, AccountState::Open, 19, 19),
        ] {
            let view = store.account(account(number)).expect("reads").expect("is there");
            assert_eq!(view.account.state, state);
            assert_eq!(view.account.balances, history.balances(number), "account {number}");
            assert_eq!(view.opened_at, EventSeq(opened_at), "account {number}");
            assert_eq!(view.balances_at, EventSeq(balances_at), "account {number}");
        }
        let first = store.account(account(1)).expect("reads").expect("is there").account.spec;
        assert_eq!((first.owner, first.credit_limit), (OwnerId(0xabc), Amount(5_000)));
        assert_eq!(store.account(account(9)).expect("reads"), None);
    }
}

#[test]
fn money_is_conserved_per_ledger() {
    let (_dir, store) = stored(&bank(), 4);
    let sums = store.conservation().expect("reads");
    let czk = &sums[0];
    assert_eq!((czk.ledger, czk.holds()), (LedgerId(203), true));
    assert_eq!(czk.sums.debits_posted, (245_200 + 10_000 + 45_200 + 1 + 2).into());
    let held = 77_700.into();
    assert_eq!((czk.sums.debits_pending, czk.sums.credits_pending), (held, held));
    assert_eq!((sums[1].ledger, sums[1].sums.debits_posted), (LedgerId(392), 0.into()));
    assert_eq!(sums.len(), 2);
}

/// An account's payments lie in rows of many; pages must not depend on where the rows end.
#[test]
fn pages_join_to_the_whole_list() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    history.open(3, CZK);
    for number in 0..3_000 {
        let (debit, credit) = if number % 3 == 0 { (2, 3) } else { (1, 2) };
        history.pay(number + 1, debit, credit, 1 + number);
    }
    for batch_events in [7, 2_500] {
        let (_dir, store) = stored(&history, batch_events);
        for (account, expected) in [(Some(account(1)), 2_000), (None, 3_000)] {
            let whole = lists::payments(&store, account, None, 10_000).expect("reads");
            assert_eq!(whole.len(), expected);
            assert!(whole.is_sorted_by(|a, b| a.event.seq > b.event.seq), "newest first");
            for page in [1, 199, 1_024] {
                let mut joined = Vec::new();
                let mut before = None;
                loop {
                    let found = lists::payments(&store, account, before, page).expect("reads");
                    let Some(last) = found.last() else { break };
                    before = Some(last.event.seq);
                    joined.extend(found);
                }
                assert!(joined == whole, "pages of {page}");
            }
        }
    }
}

#[test]
fn accounts_page_in_the_order_of_their_ids() {
    let mut history = History::default();
    for number in [5, 3, 9, 1] {
        history.open(number, CZK);
    }
    let (_dir, store) = stored(&history, 2);
    let ids = |after, limit| -> Vec<AccountId> {
        let found = store
            .accounts(AccountPage { after, ..AccountPage::first(limit) })
            .expect("reads")
            .items;
        found.iter().map(|view| view.account.spec.id).collect()
    };
    assert_eq!(ids(None, 2), [account(1), account(3)]);
    assert_eq!(ids(Some(account(3)), 2), [account(5), account(9)]);
    assert_eq!(ids(Some(account(9)), 2), []);
}

/// The store may stop after any commit, and the feed may come again from earlier.
#[test]
fn a_restart_after_any_batch_ends_in_the_same_state() {
    let history = bank();
    let batches = history.batches(2);
    let (_dir, store) = stored(&history, 2);
    let expected = everything(&store);
    for stopped_after in 0..=batches.len() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut sink, store) = open(dir.path());
        sink.apply(&batches[..stopped_after]).expect("applies");
        drop((sink, store));
        let (mut sink, store) = open(dir.path());
        assert_eq!(store.applied_seq(), EventSeq(2 * stopped_after as u64));
        assert_eq!(sink.next_seq(), store.applied_seq().next());
        for batch in &batches {
            sink.apply(std::slice::from_ref(batch)).expect("skips what it has");
        }
        assert_eq!(everything(&store), expected, "stopped after {stopped_after}");
    }
}

#[test]
fn a_gap_stops_the_sink_and_changes_nothing() {
    let history = bank();
    let batches = history.batches(1);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) = open(dir.path());
    sink.apply(&batches[..5]).expect("applies");
    let before = everything(&store);
    let error = sink.apply(&[batches[5].clone(), batches[7].clone()]).expect_err("7 is missing");
    assert!(matches!(error, SinkError::Gap { expected: EventSeq(7), .. }), "{error}");
    assert_eq!(everything(&store), before, "all or nothing");
    sink.apply(&batches).expect("goes on where it was");
    assert_eq!(store.applied_seq(), EventSeq(22));
}

/// A kill while the store was being created left half a store once, which did not open again.
#[test]
fn a_store_whose_creation_was_cut_short_is_created_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let unfinished = dir.path().join("store.new");
    std::fs::create_dir(&unfinished).expect("created");
    std::fs::write(unfinished.join("lock"), b"").expect("written");
    let (mut sink, store) = open(dir.path());
    sink.apply(&bank().batches(4)).expect("applies");
    assert_eq!(store.applied_seq(), EventSeq(22));
    assert!(!unfinished.exists());
}

/// Rewrites the format of a closed store; `None` removes it.
fn set_format(dir: &Path, format: Option<u32>) {
    let database = fjall::Database::builder(dir.join("store")).open().expect("opens");
    let meta = database.keyspace("meta", fjall::KeyspaceCreateOptions::default).expect("opens");
    match format {
        Some(format) => meta.insert("format", format.to_be_bytes()).expect("written"),
        None => meta.remove("format").expect("removed"),
    }
    database.persist(fjall::PersistMode::SyncAll).expect("synced");
}

/// An earlier version's store lacks tables that its events would have filled. Queries that answered
/// from the empty ones would be wrong, and payments must not wait until somebody removes it.
#[test]
fn a_store_of_an_earlier_version_is_built_anew() {
    let history = bank();
    let (dir, store) = stored(&history, 4);
    let expected = everything(&store);
    drop(store);
    set_format(dir.path(), Some(1));
    // A removal that was cut short is finished.
    std::fs::create_dir_all(dir.path().join("store.old/keyspaces")).expect("created");
    let (mut sink, store) = open(dir.path());
    assert_eq!(sink.next_seq(), EventSeq::FIRST);
    assert_eq!(lists::payments(&store, None, None, 10).expect("reads"), []);
    assert!(!dir.path().join("store.old").exists());
    sink.apply(&history.batches(4)).expect("applies");
    assert_eq!(everything(&store), expected);
    drop((sink, store));
    let (sink, store) = open(dir.path());
    assert_eq!(sink.next_seq(), EventSeq(23), "once is enough");
    assert_eq!(everything(&store), expected);
}

/// What a later version wrote is not this one's to remove, and damage is not an earlier version.
#[test]
fn a_store_of_a_later_version_or_none_is_refused_and_kept() {
    for (format, said) in [
        (Some(4), "has format 4, this program writes 3. Start the later version"),
        (None, "is damaged at the row format"),
    ] {
        let (dir, store) = stored(&bank(), 4);
        drop(store);
        set_format(dir.path(), format);
        let opened = GraphqlSink::open(dir.path(), &GraphqlConfig::default());
        let error = opened.err().expect("is refused").to_string();
        assert!(error.contains(said), "{error}");
        assert!(error.contains("rebuilt from the journal"), "{error}");
        set_format(dir.path(), Some(3));
        assert_eq!(open(dir.path()).0.next_seq(), EventSeq(23), "nothing is lost");
    }
}

#[test]
fn a_store_that_is_open_is_not_opened_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let _first = open(dir.path());
    let second = GraphqlSink::open(dir.path(), &GraphqlConfig::default());
    let error = second.err().expect("is in use");
    assert!(matches!(error, SinkError::InUse { .. }), "{error}");
}

#[test]
fn ids_that_no_payment_has_are_no_payment() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    history.pay(1, 1, 2, 5);
    let (_dir, store) = stored(&history, 1);
    assert_eq!(store.payment(PaymentId::ZERO).expect("reads"), None);
    let view = store.payment(payment(1)).expect("reads").expect("is there");
    assert_eq!(view.event.payment.operation, Operation::Pay);
}
