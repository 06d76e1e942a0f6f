//! A scripted source and a sink that records what it is given.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountEvent, AccountSpec, AccountState, ActEvent, Balances, Event, Timestamp,
};
use millrace_risk::acts::{Act, ActKind};

use super::super::*;
use crate::{SinkError, sink::is_due};

pub(super) const NAME: &str = "counter";
pub(super) const PACE: Pace =
    Pace { first: Duration::from_millis(1), cap: Duration::from_millis(4) };
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Hands out events in batches of a size, up to the last, and fails before as it is told.
pub(super) struct Script {
    pub(super) last_seq: u64,
    pub(super) batch_events: u64,
    pub(super) failures: Shared<VecDeque<SourceError>>,
    /// Events that are acts, wherever the others end.
    pub(super) acts: BTreeMap<u64, ActKind>,
}

pub(super) type Shared<T> = Arc<Mutex<T>>;

pub(super) fn locked<T>(shared: &Shared<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Script {
    pub(super) fn new(last_seq: u64, batch_events: u64) -> Self {
        Self { last_seq, batch_events, failures: Shared::default(), acts: BTreeMap::new() }
    }
}

pub(super) struct Place {
    next_seq: u64,
    last_seq: u64,
    batch_events: u64,
    failures: Shared<VecDeque<SourceError>>,
}

pub(super) fn event(seq: u64) -> FeedEvent {
    let (spec, state, balances) = (AccountSpec::default(), AccountState::Open, Balances::default());
    let account = Account { spec, state, balances };
    let event = AccountEvent { seq: EventSeq(seq), change: None, account };
    FeedEvent {
        event: Event::Account(event),
        context: Vec::new().into(),
        evidence: Vec::new().into(),
    }
}

impl Source for Script {
    type Reader = Place;

    fn reader(&self, from: EventSeq) -> Result<Place, SourceError> {
        Ok(Place {
            next_seq: from.0,
            last_seq: self.last_seq,
            batch_events: self.batch_events,
            failures: Arc::clone(&self.failures),
        })
    }

    fn head(&self) -> Head {
        let last = EventSeq(self.last_seq);
        Head::new(move || Some(last))
    }

    fn event(&self, seq: EventSeq) -> Result<Option<FeedEvent>, SourceError> {
        let act = |kind: &ActKind| {
            let act = Act { actor: "ann".to_owned(), why: "why".to_owned(), act: kind.clone() };
            let event = Event::Act(ActEvent { seq });
            FeedEvent { event, context: act.to_bytes().into(), evidence: Vec::new().into() }
        };
        Ok(self.acts.get(&seq.0).map(act))
    }

    fn next(place: &mut Place, timeout: Duration) -> Result<Option<FeedBatch>, SourceError> {
        if let Some(failure) = locked(&place.failures).pop_front() {
            return Err(failure);
        }
        if place.next_seq > place.last_seq {
            thread::sleep(timeout.min(Duration::from_millis(1)));
            return Ok(None);
        }
        let end = (place.next_seq + place.batch_events).min(place.last_seq + 1);
        let events = (place.next_seq..end).map(event).collect();
        place.next_seq = end;
        Ok(Some(FeedBatch { time: Timestamp(1), events }))
    }
}

/// What a [`Recorder`] did; it outlives the sink.
#[derive(Default)]
pub(super) struct Record {
    pub(super) applied: Vec<u64>,
    pub(super) skipped: Vec<(u64, String)>,
    pub(super) replayed: Vec<u64>,
    pub(super) attempts: usize,
}

/// How a [`Recorder`] takes an event that it can't process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// It names the event.
    Named,
    /// It only says that something failed.
    Unnamed,
}

/// Records what it is given, each event once, in order.
pub(super) struct Recorder {
    pub(super) next_seq: u64,
    pub(super) record: Shared<Record>,
    /// Before each apply, one of these.
    pub(super) script: VecDeque<Outcome>,
    pub(super) poison: Shared<BTreeSet<u64>>,
    pub(super) complaint: Complaint,
    pub(super) skips: bool,
}

pub(super) enum Outcome {
    Applies,
    IsBusy,
    IsDamaged,
    Panics,
}

impl Recorder {
    pub(super) fn new(script: impl IntoIterator<Item = Outcome>) -> Self {
        Self {
            next_seq: 11,
            record: Shared::default(),
            script: script.into_iter().collect(),
            poison: Shared::default(),
            complaint: Complaint::Named,
            skips: true,
        }
    }

    pub(super) fn poisoned_by(events: impl IntoIterator<Item = u64>, complaint: Complaint) -> Self {
        let poison = Arc::new(Mutex::new(events.into_iter().collect()));
        Self { poison, complaint, ..Self::new([]) }
    }

    fn complain(&self, seq: u64) -> Result<(), SinkError> {
        let bad = locked(&self.poison).contains(&seq);
        match self.complaint {
            _ if !bad => Ok(()),
            Complaint::Named => Err(SinkError::Poison {
                sink: NAME,
                seq: EventSeq(seq),
                problem: "it is odd".into(),
            }),
            Complaint::Unnamed => Err(SinkError::Service {
                service: "a service".into(),
                problem: "it refused something".into(),
                transient: false,
            }),
        }
    }
}

impl Sink for Recorder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        EventSeq(self.next_seq)
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        locked(&self.record).attempts += 1;
        match self.script.pop_front().unwrap_or(Outcome::Applies) {
            Outcome::Applies => {}
            Outcome::IsBusy => {
                let busy = io::Error::from(io::ErrorKind::ResourceBusy);
                return Err(SinkError::io("write to", "counter")(busy));
            }
            Outcome::IsDamaged => return Err(SinkError::InUse { path: "counter".into() }),
            Outcome::Panics => panic!("as the test asks"),
        }
        let seqs = batches.iter().flat_map(|batch| &batch.events).map(|event| event.event.seq().0);
        let seqs: Vec<u64> = seqs.filter(|seq| *seq >= self.next_seq).collect();
        let mut next_seq = self.next_seq;
        for &seq in &seqs {
            assert!(is_due(NAME, EventSeq(next_seq), EventSeq(seq))?, "each event once");
            self.complain(seq)?;
            next_seq += 1;
        }
        self.next_seq = next_seq;
        locked(&self.record).applied.extend(seqs);
        Ok(())
    }

    fn skip(&mut self, seq: EventSeq, _: Timestamp, reason: &str) -> Result<(), SinkError> {
        if !self.skips {
            return Err(SinkError::NotSkippable { sink: NAME, seq });
        }
        assert!(is_due(NAME, EventSeq(self.next_seq), seq)?);
        self.next_seq += 1;
        locked(&self.record).skipped.push((seq.0, reason.to_owned()));
        Ok(())
    }

    fn replay(&mut self, batch: &FeedBatch) -> Result<(), SinkError> {
        let seq = batch.events[0].event.seq();
        self.complain(seq.0)?;
        locked(&self.record).replayed.push(seq.0);
        Ok(())
    }
}

pub(super) fn begin(sink: Recorder, source: Script) -> SinkHandle {
    start(Box::new(sink), source, None, PACE)
}

pub(super) fn begin_with(sink: Recorder, source: Script, root: &Path) -> SinkHandle {
    let quarantine = Quarantine::open(root, NAME).expect("opens");
    start(Box::new(sink), source, Some(quarantine), PACE)
}

/// Waits until it holds, for longer than anything takes.
pub(super) fn eventually(holds: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

pub(super) fn end(handle: SinkHandle) {
    handle.stop();
    handle.join();
}
