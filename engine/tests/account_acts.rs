//! Who asked for an account to be opened or changed: an act in the journal, right before what it asked
//! for, in the same frame; none where nothing came of it.

mod support;

use bytes::Bytes;
use millrace_engine::{AccountReply, Command, Engine};
use millrace_ledger::{
    AccountChange, AccountId, AccountOutcome, AccountSpec, Code, Event, LedgerId,
};
use support::{ask, feed_from, start};

fn open(engine: &Engine, ids: &[u128], acts: &[&'static str]) -> Vec<AccountReply> {
    let account = |id: &u128| AccountSpec {
        id: AccountId(*id),
        ledger: LedgerId(203),
        code: Code(1),
        ..AccountSpec::default()
    };
    let specs = ids.iter().map(account).collect();
    let acts = acts.iter().copied().map(Bytes::from).collect();
    ask(engine, |reply| Command::CreateAccounts { specs, acts, reply })
}

fn change(
    engine: &Engine,
    id: u128,
    change: AccountChange,
    act: Option<&'static str>,
) -> AccountOutcome {
    let (id, act) = (AccountId(id), act.map(Bytes::from));
    ask(engine, |reply| Command::UpdateAccount { id, change, act, reply }).outcome
}

/// `act ann opens`, `opened 1`, …
fn story(engine: &Engine) -> Vec<String> {
    let told = |event: millrace_engine::FeedEvent| match &event.event {
        Event::Act(_) => format!("act {}", String::from_utf8_lossy(&event.context)),
        Event::Account(event) => {
            let what = event.change.map_or("opened".to_owned(), |change| format!("{change:?}"));
            format!("{what} {}", event.account.spec.id.0)
        }
        other => panic!("{other:?}"),
    };
    feed_from(engine, 1).into_iter().map(told).collect()
}

#[test]
fn an_act_comes_before_what_it_asked_for_and_only_if_something_came_of_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (engine, _) = start(directory.path()).expect("starts");
    open(&engine, &[1, 2], &["ann opens two", "and their last"]);
    open(&engine, &[3], &[]);
    open(&engine, &[1, 3], &["ann opens what is there"]);
    let opened = open(&engine, &[3, 4, 0], &["bob opens one of three"]);
    assert_eq!(opened.iter().filter(|reply| reply.seq.is_some()).count(), 1);
    for (id, asked, act, outcome) in [
        (1, AccountChange::Freeze, Some("ann freezes"), "Updated"),
        (1, AccountChange::Freeze, Some("ann freezes again"), "Unchanged"),
        (9, AccountChange::Freeze, Some("ann freezes nobody"), "Rejected(AccountUnknown)"),
        (1, AccountChange::Close, Some("bob closes"), "Updated"),
        (1, AccountChange::Freeze, Some("bob freezes"), "Rejected(AccountClosed)"),
        (2, AccountChange::Close, None, "Updated"),
    ] {
        assert_eq!(format!("{:?}", change(&engine, id, asked, act)), outcome, "{act:?}");
    }
    let expected = [
        "act ann opens two",
        "act and their last",
        "opened 1",
        "opened 2",
        "opened 3",
        "act bob opens one of three",
        "opened 4",
        "act ann freezes",
        "Freeze 1",
        "act bob closes",
        "Close 1",
        "Close 2",
    ];
    assert_eq!(story(&engine), expected);
    engine.stop().expect("stops");
    // It all reads back, and goes on.
    let (engine, _) = start(directory.path()).expect("starts again");
    assert_eq!(story(&engine), expected);
    let reopened = change(&engine, 1, AccountChange::Reopen, Some("ann"));
    assert_eq!(reopened, AccountOutcome::Updated);
    engine.stop().expect("stops");
}
