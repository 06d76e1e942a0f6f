//! A bank of three owners, its outbox, and providers that take messages as they are told.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use millrace_ledger::Timestamp;

use super::{
    super::{
        super::{
            Channel, DeliveryConfig, Inbox, InboxQuery, Notification, NotifyConfig, OutboxSink,
            Preferences, RuleConfig,
            deliver::{Accepted, Class, Delivering, Envelope, Provider, Providers, Refused},
            service::parts,
        },
        scheduler::{Delivered, Job, Scheduler},
    },
    common::{CZK, History, START_NS},
};
use crate::Sink as _;

pub(super) const NS_PER_S: u64 = 1_000_000_000;

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(START_NS + seconds * NS_PER_S)
}

/// A message that reached a receiver.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    pub(super) channel: Channel,
    pub(super) to: String,
    pub(super) key: String,
    pub(super) ids: Vec<u64>,
}

/// How a provider takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Takes,
    /// It takes the message, and its answer is lost.
    TakesInSilence,
    Fails,
    Throttles,
    Refuses,
}

/// Takes messages as it is told, and remembers those that arrived.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) mood: Arc<Mutex<Mood>>,
    pub(super) arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Provider for Fake {
    fn deliver(&self, envelope: Arc<Envelope>, now: Timestamp) -> Delivering {
        let mood = *self.mood.lock().expect("nobody panicked");
        if matches!(mood, Mood::Takes | Mood::TakesInSilence) {
            self.arrivals.lock().expect("nobody panicked").push(Arrival {
                at: now,
                channel: envelope.channel,
                to: envelope.to.clone(),
                key: envelope.key.clone(),
                ids: envelope.items.iter().map(|item| item.id).collect(),
            });
        }
        let refused = |class| Err(Refused { text: format!("{mood:?}"), class });
        let result = match mood {
            Mood::Takes => Ok(Accepted::Sent),
            Mood::TakesInSilence | Mood::Fails => refused(Class::Transient { after: None }),
            Mood::Throttles => refused(Class::Throttled { after: Some(Duration::from_secs(20)) }),
            Mood::Refuses => refused(Class::Permanent),
        };
        Box::pin(async move { result })
    }
}

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) config: NotifyConfig,
    pub(super) fake: Fake,
    pub(super) history: History,
    pub(super) now: Timestamp,
    pub(super) running: Option<(OutboxSink, Inbox, Scheduler)>,
    pub(super) under_way: Vec<Job>,
}

/// Owner `n` has account `n`.
pub(super) const OWNERS: u128 = 3;

impl World {
    pub(super) fn new(delivery: DeliveryConfig, preferences: &Preferences) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let owner = |number: u128| {
            let entry = serde_json::json!({
                "email": format!("owner{number}@example.com"),
                "phone": format!("+42000{number}"),
                "preferences": preferences,
            });
            (uuid::Uuid::from_u128(number).to_string(), entry)
        };
        let owners: BTreeMap<_, _> = (1..=OWNERS).map(owner).collect();
        let path = dir.path().join("owners.json");
        let text = serde_json::json!({ "owners": owners }).to_string();
        fs::write(&path, text).expect("written");
        let rules = NotifyConfig::default().rules.into_iter().map(|rule| RuleConfig {
            channels: vec![Channel::InApp, Channel::Email, Channel::Sms],
            ..rule
        });
        let config = NotifyConfig {
            rules: rules.collect(),
            owners: path,
            delivery,
            ..NotifyConfig::default()
        };
        let fake = Fake { mood: Arc::new(Mutex::new(Mood::Takes)), arrivals: Arc::default() };
        let mut world = Self {
            dir,
            config,
            fake,
            history: History::default(),
            now: at(0),
            running: None,
            under_way: Vec::new(),
        };
        for number in 1..=OWNERS {
            world.history.open_owned(number, CZK, number);
        }
        world.start();
        world
    }

    pub(super) fn start(&mut self) {
        let mut providers = Providers::default();
        for channel in [Channel::Email, Channel::Sms] {
            providers.set(channel, Arc::new(self.fake.clone()));
        }
        let dir: &Path = self.dir.path();
        let (sink, inbox, scheduler, _) = parts(dir, &self.config, providers).expect("opens");
        self.running = Some((sink, inbox, scheduler));
    }

    /// All that is in memory is gone, results of deliveries with it.
    pub(super) fn crash(&mut self) {
        self.under_way.clear();
        self.running = None;
        self.start();
    }

    pub(super) fn parts(&mut self) -> &mut (OutboxSink, Inbox, Scheduler) {
        self.running.as_mut().expect("runs")
    }

    /// Reads the whole history, most of it once more, with events at the time they have now.
    pub(super) fn read(&mut self) {
        let now = self.now;
        let mut batches = self.history.batches(5);
        let (sink, ..) = self.parts();
        let next = sink.next_seq();
        for batch in &mut batches {
            if batch.events.iter().any(|event| event.event.seq() >= next) {
                batch.time = now;
            }
        }
        sink.apply(&batches).expect("applies");
    }

    pub(super) fn pay(&mut self, from: u128, to: u128) {
        let id = self.history.events.len() as u128 + 1;
        self.history.pay(id, from, to, 100);
        self.read();
    }

    pub(super) fn plan(&mut self) {
        let now = self.now;
        let (_, _, scheduler) = self.parts();
        let jobs = scheduler.plan(now).expect("plans").jobs;
        self.under_way.extend(jobs);
    }

    /// Delivers what was planned `number`-th, and notes its result unless a crash comes first.
    pub(super) fn finish(&mut self, number: usize, mood: Mood, crashes: bool) {
        if self.under_way.is_empty() {
            return;
        }
        *self.fake.mood.lock().expect("nobody panicked") = mood;
        let job = self.under_way.swap_remove(number % self.under_way.len());
        let now = self.now;
        let (_, _, scheduler) = self.parts();
        let delivering = scheduler.deliver(&job, now);
        let result = futures_util::FutureExt::now_or_never(delivering).expect("does not wait");
        if crashes {
            self.crash();
        } else {
            let (_, _, scheduler) = self.parts();
            scheduler.settle(&[Delivered { job, result }], now).expect("settles");
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = Timestamp(self.now.0 + seconds * NS_PER_S);
        let now = self.now;
        let (_, _, scheduler) = self.parts();
        scheduler.keep_house(now).expect("keeps house");
    }

    /// Providers are well again, and time passes until nothing is left to do.
    pub(super) fn settle_all(&mut self) {
        for _ in 0..2_000 {
            self.plan();
            while !self.under_way.is_empty() {
                self.finish(0, Mood::Takes, false);
            }
            if self.told().iter().all(|told| !told.state.is_open()) {
                return;
            }
            self.pass(60);
        }
        panic!("something is never delivered: {:?}", self.told());
    }

    pub(super) fn told(&mut self) -> Vec<Notification> {
        let (_, inbox, _) = self.parts();
        let mut told = inbox.list(InboxQuery::default(), None, usize::MAX).expect("lists");
        told.reverse();
        told
    }

    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.fake.arrivals.lock().expect("nobody panicked").clone()
    }
}
