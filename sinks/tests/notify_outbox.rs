//! The outbox, from events to inboxes: who is told what, in which words, and what owners can do
//! about it.

mod common;

use std::{fs, path::Path};

use common::{CZK, History, account, bank, payment};
use millrace_ledger::{RejectReason, RiskDecision, Timestamp};
use millrace_sinks::{
    NotifyConfig, NotifyService, Sink, SinkError,
    notify::{
        Channel, DeliveryState, EventKind, FileConfig, Inbox, InboxQuery, LowBalanceConfig, Mute,
        Notification, Preferences, ProviderConfig, RuleConfig, SecretConfig, StateKind, Threshold,
        WebhookConfig,
    },
};
use serde_json::json;
use tempfile::TempDir;

/// A service with an outbox, and no dispatcher that runs.
struct Service {
    sink: Box<dyn Sink>,
    inbox: Inbox,
}

fn open(dir: &Path, config: &NotifyConfig) -> Service {
    let service = NotifyService::open(dir, config).expect("opens");
    Service { sink: service.sink, inbox: service.inbox.expect("an outbox has an inbox") }
}

fn told(config: &NotifyConfig, history: &History) -> (TempDir, Service, Vec<Notification>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = open(dir.path(), config);
    service.sink.apply(&history.batches(4)).expect("applies");
    let mut told = service.inbox.list(InboxQuery::default(), None, 1_000).expect("lists");
    told.reverse();
    (dir, service, told)
}

fn in_inboxes() -> NotifyConfig {
    NotifyConfig::default()
}

/// Directory of owners, beside the store.
fn with_owners(dir: &Path, owners: &serde_json::Value) -> NotifyConfig {
    let path = dir.join("owners.json");
    fs::write(&path, json!({ "owners": owners }).to_string()).expect("written");
    NotifyConfig { owners: path, ..NotifyConfig::default() }
}

fn uuid(owner: u128) -> String {
    uuid::Uuid::from_u128(owner).to_string()
}

/// Everything that can happen to an account of owner 1, and what its owner reads.
#[test]
fn each_event_tells_its_owners() {
    let mut history = History::default();
    history.open_owned(1, CZK, 1);
    history.open(2, CZK);
    history.pay(1, 2, 1, 500_000);
    history.pay(2, 1, 2, 245_200);
    history.authorize(3, 1, 2, 10_000, 3_600);
    history.capture(4, 3, (1, 2), 10_000, true);
    history.authorize(5, 1, 2, 2_500, 0);
    history.void(6, 5, (1, 2), 2_500);
    history.authorize(7, 1, 2, 900, 60);
    history.expire(7, (1, 2), 900);
    history.refund(8, 2, (1, 2), 45_200);
    history.review(9, 1, 2, 77_700);
    history.reject(10, 1, 2, 9_999_900, RejectReason::InsufficientFunds);
    history.reject(11, 1, 2, 100, RejectReason::RiskDeclined);
    history.hold_by_risk(12, 30_000, RiskDecision::Challenge);
    history.pay(13, 2, 1, 1);
    history.freeze(1);
    history.freeze(2);
    let (_dir, _service, told) = told(&in_inboxes(), &history);
    let found: Vec<_> = told
        .iter()
        .map(|told| {
            assert_eq!((told.owner, told.account, told.channel), (1, account(1), Channel::InApp));
            assert_eq!(told.state, DeliveryState::Delivered);
            format!("{} {}: {}", told.seq, told.kind.name(), told.subject)
        })
        .collect();
    let expected = "\
        3 settled: You received 5,000.00 CZK
        4 settled: You paid 2,452.00 CZK
        5 held: 100.00 CZK reserved
        6 settled: You paid 100.00 CZK
        7 held: 25.00 CZK reserved
        8 voided: 25.00 CZK free again
        9 held: 9.00 CZK reserved
        10 expired: 9.00 CZK free again
        11 refunded: You got back 452.00 CZK
        12 review: 777.00 CZK are being checked
        13 rejected: Payment of 99,999.00 CZK refused
        14 security: We stopped a payment of 1.00 CZK
        15 security: Did you pay 300.00 CZK?
        16 settled: You received 0.01 CZK
        17 security: Your account is frozen";
    let expected: Vec<_> = expected.lines().map(str::trim).collect();
    assert_eq!(found, expected);
    let refused = &told[10];
    assert_eq!(refused.payment, Some(payment(10)));
    assert!(refused.body.contains("was refused: insufficient funds."), "{}", refused.body);
    assert!(refused.body.contains("Time: 20 November 2026, 08:30 UTC"), "{}", refused.body);
    assert_eq!(told.last().expect("was told").payment, None);
}

/// The most specific kind that has a rule is told.
#[test]
fn rules_choose_what_is_told_and_how() {
    let mut history = History::default();
    history.open_owned(1, CZK, 1);
    history.open_owned(2, CZK, 2);
    history.open_owned(3, 392, 3);
    history.open_owned(4, 392, 4);
    history.pay(1, 1, 2, 99_999);
    history.pay(2, 1, 2, 100_000);
    history.pay(3, 3, 4, 500);
    history.review(4, 1, 2, 100);
    history.reject(5, 1, 2, 1, RejectReason::RiskDeclined);
    history.reject(6, 1, 2, 1, RejectReason::InsufficientFunds);
    let czk = |minimum: &str| RuleConfig {
        currency: Some("CZK".into()),
        minimum: Some(minimum.into()),
        ..RuleConfig::any(EventKind::Settled)
    };
    let config = NotifyConfig {
        rules: vec![
            RuleConfig {
                template: Some("large: {{ amount }}\nto {{ role }}".into()),
                ..czk("1000.00")
            },
            RuleConfig {
                owners: vec![uuid::Uuid::from_u128(4)],
                ..RuleConfig::any(EventKind::Settled)
            },
            RuleConfig::any(EventKind::Held),
            RuleConfig {
                reasons: vec!["RISK_DECLINED".into()],
                ..RuleConfig::any(EventKind::Rejected)
            },
        ],
        ..in_inboxes()
    };
    let (_dir, _service, told) = told(&config, &history);
    let found: Vec<_> = told
        .iter()
        .map(|told| format!("{} {} {}: {}", told.seq, told.owner, told.kind.name(), told.subject))
        .collect();
    assert_eq!(
        found,
        [
            "6 1 settled: large: 1,000.00",
            "6 2 settled: large: 1,000.00",
            "7 4 settled: You received 500 JPY",
            "8 1 held: 1.00 CZK reserved",
            "9 1 rejected: Payment of 0.01 CZK refused",
        ]
    );
    assert_eq!(told[1].body, "to payee");
}

#[test]
fn owners_are_told_in_their_language_and_time_and_by_their_addresses() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let owners = json!({
        uuid(1): { "name": "Jan", "locale": "cs", "time_zone": "Europe/Prague", "phone": "+420777" },
        uuid(2): { "time_zone": "America/New_York" },
    });
    let sms = ProviderConfig {
        enabled: true,
        url: "https://sms.example/".into(),
        ..ProviderConfig::default()
    };
    let config = NotifyConfig {
        sms,
        rules: vec![RuleConfig {
            channels: vec![Channel::InApp, Channel::Sms],
            ..RuleConfig::any(EventKind::Settled)
        }],
        ..with_owners(dir.path(), &owners)
    };
    let mut history = History::default();
    history.open_owned(1, CZK, 1);
    history.open_owned(2, CZK, 2);
    history.pay(1, 1, 2, 123_456_789);
    let mut service = open(dir.path(), &config);
    service.sink.apply(&history.batches(4)).expect("applies");
    let told = service.inbox.list(InboxQuery::default(), None, 10).expect("lists");
    let found: Vec<_> = told
        .iter()
        .rev()
        .map(|told| (told.owner, told.channel, told.recipient.as_str(), told.subject.as_str()))
        .collect();
    let czech = "Zaplatili jste 1\u{a0}234\u{a0}567,89 CZK";
    assert_eq!(
        found,
        [
            (1, Channel::InApp, "", czech),
            (1, Channel::Sms, "+420777", czech),
            (2, Channel::InApp, "", "You received 1,234,567.89 CZK"),
        ],
        "the second has no telephone"
    );
    assert!(told[2].body.contains("Čas: 20. 11. 2026 09:30 CET"), "{}", told[2].body);
    assert!(told[0].body.contains("Time: 20 November 2026, 03:30 EST"), "{}", told[0].body);
    assert_eq!(told[1].state, DeliveryState::Pending);
}

/// Told once when the balance falls below the threshold, and not again while it stays there.
#[test]
fn a_balance_that_becomes_low_is_told_once() {
    let mut history = History::default();
    history.open_owned(1, CZK, 1);
    history.open_owned(2, CZK, 2);
    history.pay(1, 2, 1, 100_000);
    history.pay(2, 1, 2, 49_999);
    history.pay(3, 1, 2, 1);
    history.authorize(4, 1, 2, 2, 0);
    history.pay(5, 1, 2, 10_000);
    history.capture(6, 4, (1, 2), 2, true);
    history.pay(7, 2, 1, 60_000);
    history.pay(8, 1, 2, 90_000);
    let low = |below: &str| NotifyConfig {
        low_balance: vec![LowBalanceConfig { currency: "CZK".into(), below: below.into() }],
        rules: vec![RuleConfig::any(EventKind::LowBalance)],
        ..in_inboxes()
    };
    let subjects = |told: &[Notification]| -> Vec<String> {
        told.iter().map(|told| format!("{} {}: {}", told.seq, told.owner, told.subject)).collect()
    };
    let (_dir, service, all) = told(&low("500.00"), &history);
    assert_eq!(
        subjects(&all),
        ["6 1: Only 499.98 CZK left", "10 1: Only 99.98 CZK left"],
        "the reservation made it low; then it was filled up, and became low again"
    );
    assert!(all[0].body.contains("less than 500.00 CZK"), "{}", all[0].body);
    drop(service);

    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = open(dir.path(), &low("500.00"));
    let own = Preferences {
        low_balance: vec![Threshold { ledger: CZK, minor: 30_000 }],
        ..Preferences::default()
    };
    service.inbox.set_preferences(1, &own).expect("kept");
    service.sink.apply(&history.batches(4)).expect("applies");
    let all = service.inbox.list(InboxQuery::default(), None, 10).expect("lists");
    assert_eq!(subjects(&all), ["10 1: Only 99.98 CZK left"], "the owner's own threshold");
}

#[test]
fn owners_say_what_they_want_to_be_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let owners = json!({ uuid(1): { "preferences": { "muted": [{ "kind": "held" }] } } });
    let config = with_owners(dir.path(), &owners);
    let mut service = open(dir.path(), &config);
    let from_directory = service.inbox.preferences(1).expect("reads");
    assert_eq!(from_directory.muted, [Mute { kind: Some(EventKind::Held), channel: None }]);
    let mut history = History::default();
    history.open_owned(1, CZK, 1);
    history.open(2, CZK);
    history.authorize(1, 1, 2, 100, 0);
    history.pay(2, 1, 2, 100);
    service.sink.apply(&history.batches(4)).expect("applies");

    let own = Preferences {
        minimum: vec![Threshold { ledger: CZK, minor: 1_000 }],
        ..Preferences::default()
    };
    service.inbox.set_preferences(1, &own).expect("kept");
    assert_eq!(service.inbox.preferences(1).expect("reads"), own, "in the place of the others");
    history.pay(3, 1, 2, 999);
    history.authorize(4, 1, 2, 1_000, 0);
    history.reject(5, 1, 2, 1, RejectReason::RiskDeclined);
    service.sink.apply(&history.batches(4)).expect("applies");
    let wrong = Preferences { time_zone: Some("Nowhere".into()), ..Preferences::default() };
    let error = service.inbox.set_preferences(1, &wrong).expect_err("no such zone").to_string();
    assert!(error.contains("no time zone \"Nowhere\""), "{error}");

    drop(service);
    let service = open(dir.path(), &config);
    assert_eq!(service.inbox.preferences(1).expect("reads"), own, "after a restart");
    let told = service.inbox.list(InboxQuery::default(), None, 10).expect("lists");
    let kinds: Vec<_> = told.iter().rev().map(|told| (told.seq.0, told.kind)).collect();
    assert_eq!(
        kinds,
        [(4, EventKind::Settled), (6, EventKind::Held), (7, EventKind::Security)],
        "a security alert however small"
    );
}

#[test]
fn a_directory_that_changes_is_read_again_and_a_wrong_one_is_not_used() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = with_owners(dir.path(), &json!({ uuid(1): { "locale": "cs" } }));
    let mut service = open(dir.path(), &config);
    let mut history = History::default();
    history.open_owned(1, CZK, 1);
    history.open(2, CZK);
    let mut subject = |directory: Option<&str>, id: u128| {
        if let Some(text) = directory {
            fs::write(&config.owners, text).expect("written");
        }
        history.pay(id, 1, 2, 100);
        service.sink.apply(&history.batches(4)).expect("applies");
        let told = service.inbox.list(InboxQuery::default(), None, 1).expect("lists");
        told[0].subject.clone()
    };
    assert_eq!(subject(None, 1), "Zaplatili jste 1,00 CZK");
    let english = json!({ "owners": { uuid(1): { "locale": "en-GB" } } }).to_string();
    assert_eq!(subject(Some(&english), 2), "You paid 1.00 CZK");
    assert_eq!(subject(Some("{ not JSON"), 3), "You paid 1.00 CZK", "the one before stays");
    let czech = json!({ "owners": { uuid(1): { "locale": "cs-CZ" } } }).to_string();
    assert_eq!(subject(Some(&czech), 4), "Zaplatili jste 1,00 CZK");
    fs::remove_file(&config.owners).expect("removed");
    assert_eq!(subject(None, 5), "Zaplatili jste 1,00 CZK", "it is not there for a moment");
}

#[test]
fn an_inbox_is_paged_filtered_and_marked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = NotifyConfig {
        file: FileConfig { enabled: true, ..FileConfig::default() },
        rules: vec![RuleConfig {
            channels: vec![Channel::InApp, Channel::File],
            ..RuleConfig::any(EventKind::Settled)
        }],
        ..in_inboxes()
    };
    let mut history = History::default();
    for number in 1..=3 {
        history.open_owned(number, CZK, number % 2);
    }
    history.open_owned(4, CZK, 1);
    history.pay(1, 1, 4, 10);
    history.pay(2, 2, 3, 10);
    history.pay(3, 3, 1, 10);
    let mut service = open(dir.path(), &config);
    service.sink.apply(&history.batches(2)).expect("applies");
    let inbox = &service.inbox;
    let ids = |query: InboxQuery, before, limit| -> Vec<u64> {
        let told = inbox.list(query, before, limit).expect("lists");
        told.iter().map(|told| told.id).collect()
    };
    let all = InboxQuery::default();
    // Owner 0 is nobody: account 2 tells nobody.
    assert_eq!(ids(all, None, 100), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(inbox.latest_id(), 10);
    assert_eq!(ids(all, Some(8), 3), [7, 6, 5]);
    assert_eq!(ids(all, Some(3), 3), [2, 1]);
    assert_eq!(ids(InboxQuery { owner: Some(1), ..all }, Some(3), 9), [2, 1]);
    assert_eq!(ids(InboxQuery { owner: Some(2), ..all }, None, 9), [0; 0]);
    assert_eq!(ids(InboxQuery { payment: Some(payment(2)), ..all }, None, 9), [6, 5]);
    assert_eq!(ids(InboxQuery { account: Some(account(4)), ..all }, None, 9), [4, 3]);
    let pending = InboxQuery { state: Some(StateKind::Pending), ..all };
    assert_eq!(ids(pending, None, 9), [10, 8, 6, 4, 2]);
    assert_eq!(ids(InboxQuery { account: Some(account(4)), ..pending }, None, 9), [4]);

    let read = inbox.mark_read(5, Timestamp(7)).expect("kept").expect("is there");
    assert_eq!(read.read, Some(Timestamp(7)));
    let again = inbox.mark_read(5, Timestamp(9)).expect("kept").expect("is there");
    assert_eq!(again.read, Some(Timestamp(7)), "the first time counts");
    assert_eq!(inbox.mark_read(11, Timestamp(7)).expect("reads"), None);
    let unread = InboxQuery { unread_only: true, payment: Some(payment(2)), ..all };
    assert_eq!(ids(unread, None, 9), [6]);
    assert_eq!(inbox.get(5).expect("reads").expect("is there").read, Some(Timestamp(7)));
    assert_eq!(inbox.get(99).expect("reads"), None);
    let resent = inbox.resend(5).expect("kept").expect("is there");
    assert_eq!(resent.state, DeliveryState::Delivered, "it is where it belongs");
    let waiting = inbox.resend(6).expect("kept").expect("is there");
    assert_eq!(waiting.state, DeliveryState::Pending, "it waits already");
}

/// However the events come in pieces, and whatever is read again, the outbox is the same.
#[test]
fn events_that_come_again_tell_nothing_new() {
    let history = bank();
    let (_dir, _service, expected) = told(&in_inboxes(), &history);
    assert!(expected.len() > 10, "{}", expected.len());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let batches = history.batches(4);
    for last in 0..batches.len() {
        let mut service = open(dir.path(), &in_inboxes());
        service.sink.apply(&batches[..=last]).expect("applies");
    }
    let service = open(dir.path(), &in_inboxes());
    let mut found = service.inbox.list(InboxQuery::default(), None, 1_000).expect("lists");
    found.reverse();
    assert_eq!(found, expected);
}

/// A template that fails for one event stops nothing else: the event is skipped, and told once when
/// it is replayed, however often that is.
#[test]
fn an_event_that_can_not_be_told_is_skipped_and_told_later() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let with_template = |text: &str| NotifyConfig {
        rules: vec![RuleConfig {
            template: Some(text.into()),
            ..RuleConfig::any(EventKind::Settled)
        }],
        ..in_inboxes()
    };
    let mut history = History::default();
    history.open_owned(1, CZK, 1);
    history.open(2, CZK);
    for minor in [1, 2, 3] {
        history.pay(minor, 1, 2, minor);
    }
    let batches = history.batches(1);
    let fails = "{{ 1 // (0 if amount == \"0.02\" else 1) }} {{ amount }}";
    let mut service = open(dir.path(), &with_template(fails));
    let error = service.sink.apply(&batches).expect_err("can't be rendered");
    let SinkError::Poison { seq, .. } = error else { panic!("{error}") };
    assert_eq!(seq.0, 4);
    service.sink.apply(&batches[..3]).expect("applies what comes before");
    service.sink.skip(seq, batches[3].time, "can't be rendered").expect("skips");
    service.sink.apply(&batches).expect("applies the rest");
    assert_eq!(service.sink.next_seq().0, 6);
    drop(service);

    let mut service = open(dir.path(), &with_template("ok {{ amount }}"));
    assert_eq!(service.sink.next_seq().0, 6);
    for _ in 0..2 {
        service.sink.replay(&batches[3]).expect("replays");
    }
    assert_eq!(service.sink.next_seq().0, 6);
    let told = service.inbox.list(InboxQuery::default(), None, 10).expect("lists");
    let told: Vec<_> = told.iter().rev().map(|told| told.subject.as_str()).collect();
    assert_eq!(told, ["1 0.01", "1 0.03", "ok 0.02"]);
}

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let templates = dir.path().join("templates");
    fs::create_dir_all(templates.join("en")).expect("created");
    fs::write(templates.join("en/held.txt"), "{{ amont }}").expect("written");
    let owners = |text: &str, name: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        NotifyConfig { owners: path, ..NotifyConfig::default() }
    };
    let zone = json!({ "owners": { uuid(1): { "time_zone": "Mars" } } }).to_string();
    let mail = json!({ "owners": { uuid(1): { "email": "nobody" } } }).to_string();
    let key = json!({ "owners": { uuid(1): { "fax": "1" } } }).to_string();
    let default = NotifyConfig::default;
    let webhook = |secret: SecretConfig| NotifyConfig {
        webhook: WebhookConfig { enabled: true, secret, ..WebhookConfig::default() },
        ..default()
    };
    let env = SecretConfig { env: "MILLRACE_TEST_NO_SECRET".into(), ..SecretConfig::default() };
    let low = LowBalanceConfig { currency: "CZK".into(), below: "1.005".into() };
    let mut no_attempts = default();
    no_attempts.delivery.attempts_max = 0;
    let mut no_host = default();
    (no_host.email.enabled, no_host.email.host) = (true, String::new());
    let mut no_password = default();
    (no_password.email.enabled, no_password.email.username) = (true, "user".into());
    let channels = vec![Channel::Sms];
    let off = RuleConfig { channels, ..RuleConfig::any(EventKind::Held) };
    let zone_setting = NotifyConfig { time_zone: "Mars".into(), ..default() };
    for (config, said) in [
        (NotifyConfig { templates, ..default() }, "en/held.txt, line 1: \"amont\" is unknown"),
        (
            NotifyConfig { locale: "english".into(), ..default() },
            "sinks.notify.locale: \"english\"",
        ),
        (zone_setting, "sinks.notify.time_zone: there is no time zone \"Mars\""),
        (NotifyConfig { low_balance: vec![low], ..default() }, "sinks.notify.low_balance: below"),
        (NotifyConfig { rules: vec![off], ..default() }, "it names channel sms, which is off"),
        (no_attempts, "sinks.notify.delivery.attempts_max: 0"),
        (no_host, "sinks.notify.email.host: it is empty"),
        (no_password, "sinks.notify.email.password: username needs a password"),
        (webhook(SecretConfig::default()), "sinks.notify.webhook.secret: webhooks are signed"),
        (webhook(env), "MILLRACE_TEST_NO_SECRET is not set"),
        (owners(&zone, "zone"), "zone is damaged at owner"),
        (owners(&mail, "mail"), "email \"nobody\""),
        (owners(&key, "key"), "unknown field `fax`"),
        (owners("{", "json"), "json is damaged at line 1, column 1"),
        (NotifyConfig { owners: dir.path().join("none"), ..default() }, "could not read"),
    ] {
        let store = tempfile::tempdir().expect("a temporary directory");
        let error = NotifyService::open(store.path(), &config).err().expect(said).to_string();
        assert!(error.contains(said), "{error}\nand not: {said}");
    }
}
