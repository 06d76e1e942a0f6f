//! The service under a simulated clock, with providers that fail as they like and crashes at any
//! moment: what is promised of deliveries holds all the same.

#[path = "../../../../tests/common/mod.rs"]
#[allow(unreachable_pub)]
mod common;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use millrace_ledger::EventSeq;
use proptest::prelude::*;

use self::{
    common::START_NS,
    world::{Mood, NS_PER_S, OWNERS, World, at},
};
use super::super::{Channel, DeliveryConfig, Preferences, StateKind};

#[derive(Clone, Debug)]
enum Step {
    Pay(u128, u128),
    Plan,
    Finish(usize, Mood, bool),
    Pass(u64),
    Crash,
    ReadAgain,
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop_oneof![
        4 => Just(Mood::Takes),
        1 => Just(Mood::TakesInSilence),
        2 => Just(Mood::Fails),
        1 => Just(Mood::Throttles),
        1 => Just(Mood::Refuses),
    ];
    let pair =
        (1..=OWNERS, 1..OWNERS).prop_map(|(from, step)| (from, (from + step - 1) % OWNERS + 1));
    prop_oneof![
        4 => pair.prop_map(|(from, to)| Step::Pay(from, to)),
        4 => Just(Step::Plan),
        6 => (any::<usize>(), mood, prop::bool::weighted(0.2))
            .prop_map(|(number, mood, crashes)| Step::Finish(number, mood, crashes)),
        3 => (1_u64..120).prop_map(Step::Pass),
        1 => Just(Step::Crash),
        1 => Just(Step::ReadAgain),
    ]
}

fn delivery() -> DeliveryConfig {
    DeliveryConfig {
        attempts_max: 6,
        backoff_max_ms: 60_000,
        recipient_max: 4,
        recipient_window_s: 300,
        breaker_failures: 3,
        ..DeliveryConfig::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever fails and crashes: every notification arrives at least once, unless it was refused
    /// or tried too often; what arrives again has the same key and says the same; an event that is
    /// read again tells nothing new.
    #[test]
    fn everything_arrives_at_least_once_with_one_key(
        steps in prop::collection::vec(step(), 1..60),
        digest_s in prop::sample::select(vec![None, Some(300)]),
    ) {
        let preferences = Preferences { digest_s, ..Preferences::default() };
        let mut world = World::new(delivery(), &preferences);
        let mut payments = 0;
        let mut refused = 0;
        for step in steps {
            match step {
                Step::Pay(from, to) => {
                    payments += 1;
                    world.pay(from, to);
                }
                Step::Plan => world.plan(),
                Step::Finish(number, mood, crashes) => {
                    refused += u32::from(mood == Mood::Refuses);
                    world.finish(number, mood, crashes);
                }
                Step::Pass(seconds) => world.pass(seconds),
                Step::Crash => world.crash(),
                Step::ReadAgain => world.read(),
            }
        }
        world.settle_all();
        let told = world.told();
        // Payer and payee, by three channels.
        prop_assert_eq!(told.len(), payments * 6);
        let ids: BTreeSet<_> = told.iter().map(|told| told.id).collect();
        prop_assert_eq!(ids.len(), told.len());

        let arrivals = world.arrivals();
        let mut messages: BTreeMap<&str, &[u64]> = BTreeMap::new();
        let mut keys: BTreeMap<u64, &str> = BTreeMap::new();
        for arrival in &arrivals {
            let ids = *messages.entry(&arrival.key).or_insert(&arrival.ids);
            prop_assert_eq!(ids, &arrival.ids, "one key, two messages");
            for id in &arrival.ids {
                let key = *keys.entry(*id).or_insert(&arrival.key);
                prop_assert_eq!(key, &arrival.key, "one notification, two keys");
            }
        }
        for told in &told {
            match told.state.kind() {
                StateKind::Delivered => prop_assert_eq!(told.channel, Channel::InApp),
                StateKind::Sent => {
                    prop_assert!(keys.contains_key(&told.id), "never arrived: {told:?}");
                }
                StateKind::Dead => prop_assert!(refused > 0 || told.attempts >= 6, "{told:?}"),
                other => prop_assert!(false, "{other:?}: {told:?}"),
            }
        }
        for arrival in &arrivals {
            let owner = told.iter().find(|told| told.id == arrival.ids[0]).expect("is there").owner;
            let expected = match arrival.channel {
                Channel::Email => format!("owner{owner}@example.com"),
                _ => format!("+42000{owner}"),
            };
            prop_assert_eq!(&arrival.to, &expected);
        }
    }

    /// Without crashes, nobody gets more than the limit in any window, however much there is to
    /// tell, and nothing in quiet hours.
    #[test]
    fn limits_and_quiet_hours_hold(
        steps in prop::collection::vec(step(), 1..60),
        digest_s in prop::sample::select(vec![None, Some(300)]),
    ) {
        // The history starts at 8:30 in UTC, half past nine in Prague.
        let preferences: Preferences = serde_json::from_value(serde_json::json!({
            "time_zone": "Europe/Prague",
            "quiet_hours": { "from": "09:40", "to": "10:10" },
            "digest_s": digest_s,
        })).expect("preferences");
        let mut world = World::new(delivery(), &preferences);
        for step in steps {
            match step {
                Step::Pay(from, to) => world.pay(from, to),
                Step::Plan => world.plan(),
                // Planned and handed over within a second, as the dispatcher does.
                Step::Finish(..) | Step::Crash | Step::ReadAgain => {}
                Step::Pass(seconds) => world.pass(seconds),
            }
            while !world.under_way.is_empty() {
                world.finish(0, Mood::Takes, false);
            }
        }
        world.settle_all();
        let arrivals = world.arrivals();
        let window_ns = 300 * NS_PER_S;
        for arrival in &arrivals {
            let since_start = (arrival.at.0 - START_NS) / NS_PER_S;
            prop_assert!(!(600..2_400).contains(&since_start), "{since_start} s is quiet");
            let within = arrivals
                .iter()
                .filter(|other| (other.channel, &other.to) == (arrival.channel, &arrival.to))
                .filter(|other| other.at <= arrival.at && other.at.0 + window_ns > arrival.at.0)
                .count();
            prop_assert!(within <= 4, "{within} messages in a window");
        }
    }
}

#[test]
fn a_digest_is_what_was_told_in_its_window() {
    let preferences = Preferences { digest_s: Some(600), ..Preferences::default() };
    let mut world = World::new(delivery(), &preferences);
    for second in [1, 2, 3, 601] {
        world.now = at(second);
        world.pay(1, 2);
    }
    world.now = at(599);
    world.plan();
    assert!(world.under_way.is_empty(), "the window is not over");
    world.now = at(600);
    world.plan();
    let mut sizes: Vec<_> = world.under_way.iter().map(|job| job.members.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 3, 3, 3], "payer and payee, by two channels");
    let subject = world.under_way[0].envelope.subject.clone();
    assert_eq!(subject, "3 messages about your accounts");
    // It fails, and another is due before it is tried again: it stays what it was.
    while !world.under_way.is_empty() {
        world.finish(0, Mood::TakesInSilence, false);
    }
    world.crash();
    world.now = at(1_300);
    world.settle_all();
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for arrival in world.arrivals() {
        by_key.entry(arrival.key).or_default().push(arrival.ids.len());
    }
    let mut sizes: Vec<_> = by_key.into_values().collect();
    sizes.sort_unstable();
    let (single, digest) = (vec![1], vec![3, 3]);
    assert_eq!(
        sizes,
        [vec![single; 4], vec![digest; 4]].concat(),
        "each digest twice with its key, and the later payment by itself"
    );
}

/// It arrived, and nobody knows: what comes later may not join it in a message with another key.
#[test]
fn what_went_alone_before_a_crash_goes_alone_again() {
    let preferences = Preferences { digest_s: Some(300), ..Preferences::default() };
    let mut world = World::new(delivery(), &preferences);
    world.pay(1, 2);
    world.now = at(300);
    world.plan();
    assert_eq!(world.under_way.len(), 4, "payer and payee, by two channels");
    for crashes in [false, false, false, true] {
        world.finish(0, Mood::Takes, crashes);
    }
    world.pay(1, 2);
    world.now = at(700);
    world.settle_all();
    let mut keys: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for arrival in world.arrivals() {
        for id in arrival.ids {
            keys.entry(id).or_default().insert(arrival.key.clone());
        }
    }
    assert_eq!(keys.len(), 8, "two payments");
    assert!(keys.values().all(|keys| keys.len() == 1), "{keys:?}");
}

#[test]
fn a_provider_that_fails_is_left_alone_and_tried_with_one() {
    let mut world =
        World::new(DeliveryConfig { recipient_max: 100, ..delivery() }, &Preferences::default());
    for _ in 0..8 {
        world.pay(1, 2);
    }
    world.plan();
    assert_eq!(world.under_way.len(), 32);
    while !world.under_way.is_empty() {
        world.finish(0, Mood::Fails, false);
    }
    assert!(world.told().iter().all(|told| told.channel == Channel::InApp || told.attempts == 1));
    // Backed off for a second or so, and open for 30.
    world.now = at(29);
    world.plan();
    assert!(world.under_way.is_empty());
    world.now = at(31);
    world.plan();
    let channels: BTreeSet<_> = world.under_way.iter().map(|job| job.envelope.channel).collect();
    assert_eq!((world.under_way.len(), channels.len()), (2, 2), "one by each channel");
    while !world.under_way.is_empty() {
        world.finish(0, Mood::Takes, false);
    }
    world.plan();
    assert_eq!(world.under_way.len(), 30, "closed again");
}

#[test]
fn what_is_old_is_kept_but_not_sent() {
    let mut world = World::new(delivery(), &Preferences::default());
    world.pay(1, 2);
    world.now = at(86_401);
    world.plan();
    assert!(world.under_way.is_empty());
    let told = world.told();
    let suppressed = told.iter().filter(|told| told.state.kind() == StateKind::Suppressed).count();
    assert_eq!(suppressed, 4, "{told:?}");
    // Somebody asks for one all the same.
    let id = told.iter().find(|told| told.channel == Channel::Sms).expect("is there").id;
    let (_, inbox, _) = world.parts();
    inbox.resend(id).expect("is kept").expect("is there");
    world.settle_all();
    let arrivals = world.arrivals();
    assert_eq!(arrivals.len(), 1);
    assert!(arrivals[0].key.ends_with("-again1"), "{arrivals:?}");
}

/// A hold of two days is announced a day before its end; one that was captured, or is shorter, is
/// not.
#[test]
fn a_hold_is_announced_before_it_ends() {
    let mut world = World::new(delivery(), &Preferences::default());
    let day_s = 86_400;
    world.history.authorize(1, 1, 2, 500, 2 * day_s);
    world.history.authorize(2, 1, 2, 600, 2 * day_s);
    world.history.capture(3, 2, (1, 2), 600, true);
    world.history.authorize(4, 1, 2, 700, day_s);
    world.history.authorize(5, 1, 2, 800, 2 * day_s);
    world.history.capture(6, 5, (1, 2), 300, false);
    world.read();
    let announced = |world: &mut World| -> Vec<String> {
        let told = world.told();
        let announced = told.iter().filter(|told| told.subject.contains("are reserved until"));
        announced
            .filter(|told| told.channel == Channel::InApp)
            .map(|told| {
                assert_eq!(told.owner, 2, "the payee is told");
                told.subject.split(' ').next().unwrap_or_default().to_owned()
            })
            .collect()
    };
    world.pass(u64::from(day_s) - 1);
    assert_eq!(announced(&mut world), Vec::<String>::new());
    world.crash();
    world.pass(1);
    assert_eq!(announced(&mut world), ["5.00", "5.00"], "what is left of each");
    world.pass(1);
    world.read();
    world.crash();
    world.pass(1);
    assert_eq!(announced(&mut world).len(), 2, "once");
}

#[test]
fn what_is_too_old_to_keep_is_removed() {
    let mut world = World::new(delivery(), &Preferences::default());
    world.pay(1, 2);
    world.settle_all();
    world.pass(80 * 86_400);
    world.pay(2, 1);
    assert_eq!(world.told().len(), 12);
    world.pass(20 * 86_400);
    world.settle_all();
    let left = world.told();
    assert_eq!(left.len(), 6);
    assert!(left.iter().all(|told| told.seq == EventSeq(5)), "{left:?}");
    world.pass(200 * 86_400);
    let newest = left.last().expect("is there").id;
    assert_eq!(world.told().len(), 1, "the newest stays");
    world.crash();
    world.pay(1, 2);
    assert_eq!(world.told()[1].id, newest + 1, "no number is used twice");
}
