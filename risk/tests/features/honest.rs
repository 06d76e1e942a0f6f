//! Payments that nobody reports are honest after some time, without an event that says so.

use std::collections::BTreeMap;

use millrace_ledger::Timestamp;
use millrace_risk::features::{
    Attempt, Catalogue, EntityKey, Label, ProfileLimits, Profiles, Statistic,
};
use proptest::prelude::*;

use crate::{
    naive::SECOND,
    stream::{Event, START, events},
};

const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const RUNS: [&str; 4] = ["fraud_average", "fraud_run_age", "fraud_run_gap", "since_honest"];

/// The runs of payees, whose payments are honest after two days.
fn catalogue(bucket: &str, more: &str) -> Catalogue {
    let mut text = format!(
        "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\n\
         honest_after = \"2d\"\n{bucket}\n"
    );
    for statistic in RUNS {
        text += &format!(
            "[[feature]]\nname = \"{statistic}\"\nentity = \"payee\"\nstatistic = \"{statistic}\"\n{more}\n"
        );
    }
    Catalogue::parse(&text).expect("right")
}

/// A payment that may still become honest.
struct Waiting {
    at: u64,
    is_reported: bool,
    /// A later payment of the bucket was reported before this one came.
    came_after_report: bool,
}

/// All payments of an entity, and the labels that count, in their order.
#[derive(Default)]
struct Entity {
    waiting: Vec<Waiting>,
    /// How many payments, when the newest was paid, whether they are fraud.
    known: Vec<(i32, u64, bool)>,
    settled: u64,
    last: u64,
}

/// Keeps every payment, and looks through all of them each time.
struct Naive {
    after: u64,
    bucket: u64,
    entities: BTreeMap<EntityKey, Entity>,
}

impl Naive {
    /// The time when all payments of a payment's bucket are honest.
    fn due(&self, at: u64) -> u64 {
        at / self.bucket * self.bucket + self.bucket + self.after
    }

    /// A bucket has at most 65,536 parts, whose length is a power of two.
    fn rounded(&self, at: u64) -> u64 {
        let from = at / self.bucket * self.bucket;
        let part = (0..64).map(|bit| 1 << bit).find(|part| part * 65_536 >= self.bucket);
        let part = part.expect("there is one");
        from + (at - from) / part * part
    }

    fn settle(&mut self, key: EntityKey, now: u64) {
        let mut entity = self.entities.remove(&key).unwrap_or_default();
        entity.settled = entity.settled.max(now);
        let mut buckets: Vec<_> = entity.waiting.iter().map(|one| one.at / self.bucket).collect();
        buckets.sort_unstable();
        buckets.dedup();
        for bucket in buckets {
            if self.due(bucket * self.bucket) > entity.settled {
                continue;
            }
            let is_its = |one: &&Waiting| one.at / self.bucket == bucket;
            let its: Vec<_> = entity.waiting.iter().filter(is_its).collect();
            // Where the newest was taken out, those that were there are of the bucket's beginning.
            let honest: Vec<_> = its.iter().filter(|one| !one.is_reported).collect();
            let newest = self.newest(&its).unwrap_or(bucket * self.bucket);
            if !honest.is_empty() {
                entity.known.push((honest.len() as i32, newest, false));
            }
            entity.waiting.retain(|one| one.at / self.bucket != bucket);
        }
        self.entities.insert(key, entity);
    }

    fn newest(&self, its: &[&Waiting]) -> Option<u64> {
        let counted = its.iter().filter(|one| one.came_after_report);
        counted.map(|one| self.rounded(one.at)).max()
    }

    fn pay(&mut self, attempt: &Attempt<'_>) -> [f64; 4] {
        let (key, at) = (attempt.entities[1], attempt.at.0);
        if key.is_absent() {
            return [f64::NAN; 4];
        }
        let last = self.entities.get(&key).map_or(0, |entity| entity.last);
        self.settle(key, at.max(last));
        let due = self.due(at);
        let entity = self.entities.get_mut(&key).expect("just settled");
        entity.last = entity.last.max(at);
        if due <= entity.settled {
            entity.known.push((1, at, false));
        } else {
            entity.waiting.push(Waiting { at, is_reported: false, came_after_report: true });
        }
        entity.read()
    }

    fn report(&mut self, label: &Label<'_>, is_unusual: bool) {
        let (key, at) = (label.entities[1], label.paid_at.0);
        if key.is_absent() {
            return;
        }
        self.settle(key, label.at.0);
        let (bucket, rounded) = (at / self.bucket, self.rounded(at));
        let mut entity = self.entities.remove(&key).expect("just settled");
        let its: Vec<_> =
            entity.waiting.iter().filter(|one| one.at / self.bucket == bucket).collect();
        let takes_newest = self.newest(&its) == Some(rounded);
        if let Some(one) = entity.waiting.iter_mut().find(|one| one.at == at && !one.is_reported) {
            one.is_reported = true;
        }
        let its = entity.waiting.iter_mut().filter(|one| one.at / self.bucket == bucket);
        its.for_each(|one| one.came_after_report &= !takes_newest);
        if !is_unusual {
            entity.known.push((1, at, true));
        }
        self.entities.insert(key, entity);
    }
}

impl Entity {
    /// In the order of [`RUNS`].
    fn read(&self) -> [f64; 4] {
        let seconds = |from: u64| self.last.saturating_sub(from) as f64 / SECOND as f64;
        let average = self.known.iter().fold(0.0, |average, (payments, _, is_fraud)| {
            let left = 0.5_f64.powi(*payments);
            if *is_fraud { average * left + (1.0 - left) } else { average * left }
        });
        // A run ends where payments turn out to be honest that were paid after it began.
        let mut run: Option<(u64, Option<u64>)> = None;
        let mut honest: Option<u64> = None;
        for (_, at, is_fraud) in &self.known {
            match (is_fraud, run) {
                (true, None) => run = Some((*at, honest)),
                (true, Some(_)) => {}
                (false, _) => {
                    honest = honest.max(Some(*at));
                    run = run.filter(|(from, _)| at < from).map(|(from, _)| (from, honest));
                }
            }
        }
        let gap = run.and_then(|(from, honest)| Some(from.saturating_sub(honest?)));
        [
            average,
            run.map_or(f64::NAN, |(from, _)| seconds(from)),
            gap.map_or(f64::NAN, |gap| gap as f64 / SECOND as f64),
            honest.map_or(f64::NAN, seconds),
        ]
    }
}

/// Rows, bit by bit, and what was counted.
fn run<'a>(catalogue: &Catalogue, events: impl IntoIterator<Item = &'a Event>) -> Vec<u32> {
    let mut profiles = Profiles::new(catalogue.clone(), ProfileLimits::default());
    let (mut row, mut bits) = (vec![0.0; catalogue.len()], Vec::new());
    for event in events {
        if let Some(label) = event.label() {
            profiles.label(&label);
        }
        if let Some(attempt) = event.attempt() {
            profiles.observe(&attempt, &mut row);
            bits.extend(row.iter().map(|value: &f32| value.to_bits()));
        }
    }
    bits
}

fn is_honest(event: &Event) -> bool {
    event.label().is_some_and(|label| !label.fraud)
}

/// The same payments, each with a label as old as it takes to be honest, before payments of that
/// moment.
fn told_exactly_after(after: u64, events: &[Event], frauds: &[bool]) -> Vec<Event> {
    let attempts = events.iter().filter_map(Event::attempt);
    let paid: Vec<_> = attempts.map(|one| (one.at.0, one.amount, one.entities)).collect();
    let mut told: Vec<_> = Vec::new();
    for ((at, amount, keys), fraud) in paid.iter().zip(frauds.iter().cycle()) {
        let (amount, keys) = (*amount, keys.to_vec());
        let known = at + after;
        let label = Event::Known {
            at: known,
            paid_at: *at,
            amount,
            keys: keys.clone(),
            fraud: *fraud,
            takes_back: false,
        };
        told.push((known, 0, label));
        told.push((*at, 1, Event::Paid { at: *at, amount, keys }));
    }
    told.sort_by_key(|(at, order, _)| (*at, *order));
    told.into_iter().map(|(.., event)| event).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever comes late, early or out of order.
    #[test]
    fn runs_equal_a_look_through_all_payments(events in events(120, 3), bucket in 0..3_usize) {
        let (text, bucket) = [
            ("", DAY * 2 / 28 / SECOND * SECOND + SECOND),
            ("honest_bucket = \"6h\"", 6 * HOUR),
            ("honest_bucket = \"1d\"", DAY),
        ][bucket];
        let catalogue = catalogue(text, "");
        let mut naive = Naive { after: 2 * DAY, bucket, entities: BTreeMap::new() };
        let mut profiles = Profiles::new(catalogue.clone(), ProfileLimits::default());
        let mut row = [0.0; 4];
        for (n, event) in events.iter().enumerate() {
            if let Some(label) = event.label() {
                profiles.label(&label);
                if label.fraud {
                    naive.report(&label, false);
                }
            }
            let Some(attempt) = event.attempt() else { continue };
            profiles.observe(&attempt, &mut row);
            for ((name, value), expected) in RUNS.iter().zip(&row).zip(naive.pay(&attempt)) {
                let value = f64::from(*value);
                let same = value.is_nan() && expected.is_nan()
                    || (value - expected).abs() <= 1e-6 * (1.0 + expected.abs());
                prop_assert!(same, "event {n}, {name}: {value}, not {expected}");
            }
        }
    }

    /// Labels that say honest change nothing, whenever they come.
    #[test]
    fn to_tell_frauds_is_enough(events in events(200, 4), frauds in prop::collection::vec(prop::bool::weighted(0.3), 40)) {
        let mine = catalogue("", "except = \"payer\"\ntimes = 1.5\nusual = \"10d\"");
        for catalogue in [mine, Catalogue::standard()] {
            let after = catalogue.entities()[1].honest_after.expect("both have it");
            let after = if after.to_string() == "2d" { 2 * DAY } else { 7 * DAY };
            let told = told_exactly_after(after, &events, &frauds);
            for all in [&events, &told] {
                let some = all.iter().filter(|event| !is_honest(event));
                prop_assert_eq!(run(&catalogue, all), run(&catalogue, some));
            }
        }
    }
}

/// One payee, whose payments are honest after two days in buckets of six hours.
struct Story {
    profiles: Profiles,
}

impl Story {
    fn new(more: &str) -> Self {
        let catalogue = catalogue("honest_bucket = \"6h\"", more);
        Self { profiles: Profiles::new(catalogue, ProfileLimits::default()) }
    }

    /// Average, run's age, run's gap and time since honest, in hours.
    fn pay(&mut self, hour: u64) -> [f32; 4] {
        let mut row = [0.0; 4];
        let at = Timestamp(START + hour * HOUR);
        let entities = &[EntityKey(1), EntityKey(2)];
        self.profiles.observe(&Attempt { at, amount: 10.0, entities }, &mut row);
        let [average, age, gap, since] = row;
        [average, age / 3_600.0, gap / 3_600.0, since / 3_600.0]
    }

    fn report(&mut self, hour: u64, paid_hour: u64, amount: f64) {
        self.label(hour, paid_hour, amount, true);
    }

    fn take_back(&mut self, hour: u64, paid_hour: u64) {
        self.label(hour, paid_hour, 10.0, false);
    }

    fn label(&mut self, hour: u64, paid_hour: u64, amount: f64, fraud: bool) {
        let [at, paid_at] = [hour, paid_hour].map(|hour| Timestamp(START + hour * HOUR));
        let (entities, takes_back) = (&[EntityKey(1), EntityKey(2)], !fraud);
        self.profiles.label(&Label { at, paid_at, amount, entities, fraud, takes_back });
    }
}

fn assert_row(found: [f32; 4], expected: [f32; 4]) {
    for (name, (found, expected)) in RUNS.iter().zip(found.into_iter().zip(expected)) {
        // Times are rounded down by half a second or so.
        let same = found.is_nan() && expected.is_nan() || (found - expected).abs() < 2e-4;
        assert!(same, "{name}: {found}, not {expected}");
    }
}

const NONE: f32 = f32::NAN;

/// A run that was a mistake is over at once, and its payment waits again, as if nobody had reported it.
#[test]
fn what_is_taken_back_waits_again() {
    let mut story = Story::new("");
    story.pay(1);
    story.report(2, 1, 10.0);
    assert_row(story.pay(3), [0.5, 2.0, NONE, NONE]);
    story.take_back(4, 1);
    assert_row(story.pay(5), [0.5, NONE, NONE, NONE]);
    // Reported once more, it waits no more: two payments of the first bucket turn out to be honest.
    story.report(6, 1, 10.0);
    assert_row(story.pay(7), [0.75, 6.0, NONE, NONE]);
    assert_row(story.pay(54), [0.1875, NONE, NONE, 49.0]);
    // All three of the first bucket, where the report is taken back for good.
    let mut story = Story::new("");
    story.pay(1);
    story.pay(3);
    story.report(4, 3, 10.0);
    story.take_back(5, 3);
    assert_row(story.pay(54), [0.125, NONE, NONE, 51.0]);
}

/// START is midnight, so buckets end at 6, 12, 18 and 24 hours.
#[test]
fn a_bucket_is_honest_when_its_end_is_old_enough() {
    let mut story = Story::new("");
    story.pay(1);
    story.pay(4);
    assert_row(story.pay(53), [0.0, NONE, NONE, NONE]);
    assert_row(story.pay(54), [0.0, NONE, NONE, 50.0]);
    // Those of hours 53 and 54 are due at 102 and 108.
    assert_row(story.pay(103), [0.0, NONE, NONE, 50.0]);
}

#[test]
fn a_fraud_is_fraud_and_never_honest() {
    let mut story = Story::new("");
    for hour in [1, 10, 20, 30] {
        story.pay(hour);
    }
    // Reported at once: what was paid before it, and is honest later, does not end its run.
    story.report(31, 30, 10.0);
    assert_row(story.pay(32), [0.5, 2.0, NONE, NONE]);
    assert_row(story.pay(59), [0.25, 29.0, 29.0, 58.0]);
    assert_row(story.pay(60), [0.125, 30.0, 20.0, 50.0]);
    assert_row(story.pay(72), [0.0625, 42.0, 10.0, 52.0]);
    // Hour 32 was paid after it, in the bucket that ends at 36.
    assert_row(story.pay(83), [0.0625, 53.0, 10.0, 63.0]);
    assert_row(story.pay(84), [0.03125, NONE, NONE, 52.0]);
}

#[test]
fn a_late_report_counts_from_then_on() {
    let mut story = Story::new("");
    story.pay(1);
    story.pay(2);
    story.pay(40);
    assert_row(story.pay(60), [0.0, NONE, NONE, 58.0]);
    story.report(70, 1, 10.0);
    assert_row(story.pay(71), [0.5, 70.0, 0.0, 69.0]);
    // Until the next payment is known to be honest: the one of hour 40 is at 42 + 48.
    assert_row(story.pay(89), [0.5, 88.0, 0.0, 87.0]);
    assert_row(story.pay(90), [0.25, NONE, NONE, 50.0]);
}

/// Neither fraud nor honest.
#[test]
fn a_fraud_that_points_at_its_payer_is_left_out() {
    let mut story = Story::new("except = \"payer\"\ntimes = 2\nusual = \"10d\"");
    story.pay(1);
    story.pay(7);
    story.report(8, 7, 500.0);
    assert_row(story.pay(54), [0.0, NONE, NONE, 53.0]);
    assert_row(story.pay(60), [0.0, NONE, NONE, 59.0]);
    assert_row(story.pay(101), [0.0, NONE, NONE, 100.0]);
    assert_row(story.pay(108), [0.0, NONE, NONE, 54.0]);
}

/// The newest payment's time is unknown when that payment is taken out.
#[test]
fn the_bucket_s_beginning_stands_for_what_is_not_known() {
    let mut story = Story::new("");
    story.pay(7);
    story.pay(8);
    story.pay(9);
    story.report(20, 9, 10.0);
    assert_row(story.pay(60), [0.125, 51.0, 3.0, 54.0]);
}

/// Whoever is silent for long, or pays more than a slot can count, is honest as well.
#[test]
fn many_payments_and_long_silence() {
    let mut story = Story::new("");
    story.pay(1);
    story.report(2, 1, 10.0);
    for _ in 0..70_000 {
        story.pay(3);
    }
    assert_row(story.pay(9_000), [0.0, NONE, NONE, 8_997.0]);
    story.pay(9_001);
    assert_row(story.pay(20_000), [0.0, NONE, NONE, 20_000.0 - 9_001.0]);
}

#[test]
fn statistics_of_runs_are_those() {
    for (feature, name) in catalogue("", "").features().iter().zip(RUNS) {
        assert!(feature.statistic.is_of_runs(), "{name}");
        assert_eq!(feature.statistic.name(), name);
    }
    assert!(!Statistic::SinceFraud.is_of_runs());
}
