//! The runner against scripted sources and sinks. Waits are of milliseconds here; how long they
//! usually are is a matter of `backoff`.

mod script;
mod shown;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::Timestamp;
use millrace_risk::acts::{ActKind, QuarantinedEvent};
use proptest::prelude::*;

use self::script::{
    Complaint, NAME, Outcome, PACE, PATIENCE, Recorder, Script, begin, begin_with, end, event,
    eventually, locked,
};
use super::{
    drive::{FOUND_IN_A_ROW_MAX, TRIES},
    *,
};
use crate::{Ask, Done, QuarantineDesk, SinkError};

#[test]
fn a_sink_follows_from_its_cursor_to_the_end_and_stops_when_told() {
    let handle = begin(Recorder::new([]), Script::new(40_000, 1));
    assert_eq!(handle.name(), NAME);
    assert!(handle.applied_seq() >= EventSeq(10), "known before anything is applied");
    assert!(eventually(|| handle.applied_seq() == EventSeq(40_000)));
    assert!(eventually(|| handle.watch().status().age_s == 0.0), "nothing is left");
    let status = handle.watch().status();
    assert_eq!((status.state, status.lag_events), (SinkState::Following, Some(0)));
    assert_eq!((status.head_seq, status.error), (Some(40_000), None));
    let watch = handle.watch();
    end(handle);
    assert_eq!((watch.status().state, watch.error()), (SinkState::Stopped, None));
}

/// Today's outage may last a night: nothing gives up.
#[test]
fn what_may_pass_is_tried_again_without_end() {
    let busy = (0..100).map(|_| Outcome::IsBusy);
    let sink = Recorder::new([Outcome::Applies].into_iter().chain(busy));
    let record = Arc::clone(&sink.record);
    let source = Script::new(40_000, 1);
    let away = SourceError { text: "the source is away".into(), transient: true };
    locked(&source.failures).extend(std::iter::repeat_n(away, 100));
    let handle = begin(sink, source);
    assert!(eventually(|| handle.applied_seq() == EventSeq(40_000)));
    assert_eq!(handle.error(), None);
    end(handle);
    assert!(locked(&record).applied.iter().copied().eq(11..=40_000), "each once, in order");
}

#[test]
fn a_sink_that_waits_says_so_and_for_what_and_stops_when_told() {
    let source = Script::new(40_000, 1);
    let away = SourceError { text: "the source is away".into(), transient: true };
    locked(&source.failures).extend(std::iter::repeat_n(away, 1_000_000));
    let handle = begin(Recorder::new([]), source);
    assert!(eventually(|| handle.watch().status().failures > 3));
    let status = handle.watch().status();
    assert_eq!(status.state, SinkState::Retrying);
    assert_eq!(status.error.as_deref(), Some("the source is away"));
    assert!(status.age_s > 0.0, "nobody knows what waits there");
    assert_eq!(handle.error(), None, "it has not stopped");
    end(handle);
}

#[test]
fn what_no_retry_helps_stops_the_sink_and_is_told() {
    let lost = SourceError { text: "the stream lost events".into(), transient: false };
    for (outcome, lost, said) in [
        (Outcome::IsDamaged, None, "counter is in use"),
        (Outcome::Panics, None, "the counter sink panicked"),
        (Outcome::Applies, Some(lost), "the stream lost events"),
    ] {
        let source = Script::new(40_000, 1);
        locked(&source.failures).extend(lost);
        let handle = begin(Recorder::new([outcome]), source);
        assert!(eventually(|| handle.error().is_some()), "{said}");
        let error = handle.error().expect("is there");
        assert!(error.starts_with(said), "{error}");
        assert_eq!(handle.applied_seq(), EventSeq(10), "{said}");
        assert_eq!(handle.watch().status().state, SinkState::Stopped);
        handle.join();
    }
}

/// Monitoring that stands still with what it watches shows nothing.
#[test]
fn the_lag_grows_although_the_reader_stands_still() {
    let last = Arc::new(AtomicU64::new(7));
    let known = Arc::clone(&last);
    let head = Head::new(move || match known.load(Ordering::Acquire) {
        0 => None,
        last => Some(EventSeq(last)),
    });
    let progress = Arc::new(Progress::new(NAME, EventSeq(8), head));
    let watch = progress.watch();
    let now = || {
        let status = watch.status();
        (status.state, status.head_seq, status.lag_events, status.age_s > 0.0)
    };
    assert_eq!(now(), (SinkState::Following, Some(7), Some(0), false));
    progress.note_failure("a service is away", 3, Duration::from_secs(1));
    assert_eq!(now(), (SinkState::Retrying, Some(7), Some(0), false), "there is nothing to do");
    last.store(9, Ordering::Release);
    assert!(eventually(|| now() == (SinkState::Retrying, Some(9), Some(2), true)));
    progress.note_recovery();
    progress.note_reached(EventSeq(9));
    assert_eq!(now(), (SinkState::Following, Some(9), Some(0), false));
    progress.note_end(Some("it is damaged".to_owned()));
    last.store(12, Ordering::Release);
    assert!(eventually(|| now() == (SinkState::Stopped, Some(12), Some(3), true)));
    last.store(0, Ordering::Release);
    assert_eq!(now(), (SinkState::Stopped, None, None, true), "nobody knows");
}

/// A gap is never poison: what comes after it would be wrong.
#[test]
fn a_gap_stops_the_sink_although_there_is_a_quarantine() {
    let root = tempfile::tempdir().expect("a temporary directory");
    struct Gap;
    impl Source for Gap {
        type Reader = u64;
        fn reader(&self, from: EventSeq) -> Result<u64, SourceError> {
            Ok(from.0 + 1)
        }
        fn next(seq: &mut u64, _: Duration) -> Result<Option<FeedBatch>, SourceError> {
            Ok(Some(FeedBatch { time: Timestamp(1), events: vec![event(*seq)] }))
        }
    }
    let quarantine = Quarantine::open(root.path(), NAME).expect("opens");
    let handle = start(Box::new(Recorder::new([])), Gap, Some(quarantine), PACE);
    assert!(eventually(|| handle.error().is_some()));
    let error = handle.error().expect("is there");
    assert!(error.starts_with("counter: event 12 came where 11 was due"), "{error}");
    handle.join();
    assert_eq!(QuarantineDesk::new(root.path()).list(None).expect("lists"), []);
}

#[test]
fn an_event_is_tried_five_times_and_then_quarantined_with_the_reason() {
    for complaint in [Complaint::Named, Complaint::Unnamed] {
        let root = tempfile::tempdir().expect("a temporary directory");
        let sink = Recorder::poisoned_by([20], complaint);
        let record = Arc::clone(&sink.record);
        // One event at a time, so that an attempt is a try of this event.
        sink.record.lock().expect("is free").attempts = 0;
        let handle = begin_with(sink, Script::new(20, 1), root.path());
        assert!(eventually(|| handle.applied_seq() == EventSeq(20)));
        let status = handle.watch().status();
        assert_eq!((status.quarantined, status.state), (1, SinkState::Following));
        end(handle);
        let record = locked(&record);
        assert!(record.applied.iter().copied().eq(11..20));
        assert_eq!(record.skipped.len(), 1);
        let (seq, reason) = &record.skipped[0];
        let entries = QuarantineDesk::new(root.path()).list(Some(NAME)).expect("lists");
        assert_eq!(entries.len(), 1);
        let entry = &entries[0];
        assert_eq!((entry.seq, *seq, entry.tries), (20, 20, TRIES));
        assert_eq!((&entry.reason, entry.kind.as_str()), (reason, "account"));
        let said = if complaint == Complaint::Named { "it is odd" } else { "refused something" };
        assert!(reason.contains(said), "{reason}");
        assert_eq!(entry.batch().expect("reads").events, [event(20)]);
    }
}

#[test]
fn an_event_that_works_at_a_later_try_is_not_quarantined() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sink = Recorder::poisoned_by([15], Complaint::Named);
    let (poison, record) = (Arc::clone(&sink.poison), Arc::clone(&sink.record));
    let healing = thread::spawn(move || {
        // The first try fails with the batch, the next ones alone.
        assert!(eventually(|| locked(&record).attempts >= 3));
        locked(&poison).clear();
    });
    let quarantine = Quarantine::open(root.path(), NAME).expect("opens");
    let slow = Pace { first: Duration::from_millis(200), ..Pace::USUAL };
    let handle = start(Box::new(sink), Script::new(20, 10), Some(quarantine), slow);
    assert!(eventually(|| handle.applied_seq() == EventSeq(20)));
    healing.join().expect("healed");
    end(handle);
    assert_eq!(QuarantineDesk::new(root.path()).list(None).expect("lists"), []);
}

#[test]
fn without_a_quarantine_or_a_way_to_skip_a_poison_event_stops_the_sink() {
    let handle = begin(Recorder::poisoned_by([15], Complaint::Named), Script::new(20, 10));
    assert!(eventually(|| handle.error().is_some()));
    let error = handle.error().expect("is there");
    assert!(error.contains("event 15 can't be processed: it is odd"), "{error}");
    assert_eq!(handle.applied_seq(), EventSeq(14), "what came before it is processed");
    handle.join();

    let root = tempfile::tempdir().expect("a temporary directory");
    let sink = Recorder { skips: false, ..Recorder::poisoned_by([15], Complaint::Named) };
    let handle = begin_with(sink, Script::new(20, 10), root.path());
    assert!(eventually(|| handle.error().is_some()));
    let error = handle.error().expect("is there");
    assert!(error.contains("this sink can't leave one out"), "{error}");
    assert!(error.contains("it is odd"), "{error}");
    handle.join();
}

/// A database that refuses everything is not the events' fault.
#[test]
fn a_sink_that_can_process_nothing_stops_before_all_is_quarantined() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sink = Recorder::poisoned_by(30..100_000, Complaint::Unnamed);
    let handle = begin_with(sink, Script::new(100_000, 50), root.path());
    assert!(eventually(|| handle.error().is_some()));
    let error = handle.error().expect("is there");
    assert!(error.contains("hardly what is at fault"), "{error}");
    handle.join();
    let entries = QuarantineDesk::new(root.path()).list(None).expect("lists");
    assert_eq!(entries.len(), FOUND_IN_A_ROW_MAX as usize);
}

/// Acts behind the events: each orders one thing.
fn ordered() -> Script {
    let named =
        |event| QuarantinedEvent { sink: NAME.to_owned(), event, payment: None, account: None };
    let acts = [
        (31, ActKind::ReplayEvent(named(12))),
        (32, ActKind::DropEvent(named(13))),
        (33, ActKind::ReplayEvent(named(14))),
        (34, ActKind::ReplayEvent(named(15))),
    ];
    Script { acts: acts.into(), ..Script::new(20, 10) }
}

/// Whoever asks waits for an answer; the sink goes on meanwhile.
#[test]
fn entries_are_replayed_and_dropped_while_the_sink_runs() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sink = Recorder::poisoned_by([12, 13, 14], Complaint::Named);
    let (poison, record) = (Arc::clone(&sink.poison), Arc::clone(&sink.record));
    let handle = begin_with(sink, ordered(), root.path());
    assert!(eventually(|| handle.applied_seq() == EventSeq(20)));
    let desk = QuarantineDesk::new(root.path());
    let seqs = || desk.list(None).expect("lists").iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(seqs(), [12, 13, 14]);
    assert!(desk.is_running(NAME).expect("looks"));

    let answer = desk.ask(NAME, 12, Ask::Replay, EventSeq(31), PATIENCE).expect("asks");
    let Done::FailedAgain(reason) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("it is odd"), "{reason}");
    let entry = desk.entry(NAME, 12).expect("reads").expect("stays");
    assert_eq!((entry.tries, entry.replay_error), (TRIES + 1, Some(reason)));

    locked(&poison).clear();
    assert_eq!(
        desk.ask(NAME, 12, Ask::Replay, EventSeq(31), PATIENCE).expect("asks"),
        Done::Replayed
    );
    let order = EventSeq(32);
    let unordered = desk.ask(NAME, 14, Ask::Drop, order, PATIENCE).expect("asks");
    let Done::FailedAgain(reason) = unordered else { panic!("{unordered:?}") };
    assert!(reason.contains("event 32 of the journal does not order to drop event 14"), "{reason}");
    let by_hand = root.path().join(NAME).join(format!("{:020}.drop", 14));
    std::fs::write(&by_hand, "").expect("is written");
    assert!(eventually(|| !by_hand.exists()), "a request that names no act is taken away");
    assert_eq!(seqs(), [13, 14], "and nothing is dropped");
    assert_eq!(desk.ask(NAME, 13, Ask::Drop, order, PATIENCE).expect("asks"), Done::Dropped);
    assert_eq!(seqs(), [14]);
    assert_eq!(locked(&record).replayed, [12]);
    assert!(eventually(|| handle.watch().status().quarantined == 1));
    assert_eq!(handle.applied_seq(), EventSeq(20));
    end(handle);

    assert!(!desk.is_running(NAME).expect("looks"));
    assert_eq!(
        desk.ask(NAME, 14, Ask::Replay, EventSeq(33), PATIENCE).expect("asks"),
        Done::AtNextStart
    );
    assert_eq!(seqs(), [14]);
    let sink = Recorder { next_seq: 21, record: Arc::clone(&record), ..Recorder::new([]) };
    let handle = begin_with(sink, ordered(), root.path());
    assert!(eventually(|| seqs().is_empty()));
    assert_eq!(locked(&record).replayed, [12, 14]);
    end(handle);
}

/// The process dies when the entry is written and the cursor has not passed the event: the event is
/// due again. When it works now, nothing must be left to replay.
#[test]
fn an_entry_that_the_cursor_has_not_passed_is_tried_in_its_place() {
    for still_bad in [true, false] {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut before = Quarantine::open(root.path(), NAME).expect("opens");
        let entry = crate::Entry::new(NAME, Timestamp(1), &event(15), "as before", TRIES);
        before.put(&entry).expect("is written");
        drop(before);
        let desk = QuarantineDesk::new(root.path());
        let asked = desk.ask(NAME, 15, Ask::Replay, EventSeq(34), PATIENCE).expect("asks");
        assert_eq!(asked, Done::AtNextStart);
        let sink = match still_bad {
            true => Recorder::poisoned_by([15], Complaint::Named),
            false => Recorder::new([]),
        };
        let record = Arc::clone(&sink.record);
        let handle = begin_with(sink, Script::new(20, 10), root.path());
        assert!(eventually(|| handle.applied_seq() == EventSeq(20)));
        let skipped = locked(&record).skipped.len();
        let expected = usize::from(still_bad);
        assert_eq!((skipped, desk.list(None).expect("lists").len()), (expected, expected));
        assert_eq!(locked(&record).applied.contains(&15), !still_bad, "its effect is there once");
        end(handle);
        assert!(locked(&record).replayed.is_empty(), "its request fell away, or failed again");
    }
}

/// One that is built anew takes over while events flow, and readers are switched only when it has
/// all that the other one had.
#[test]
fn a_sink_is_replaced_while_it_runs() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sink = Recorder::poisoned_by([100, 200], Complaint::Named);
    let handle = begin_with(sink, Script::new(30_000, 7), root.path());
    assert!(eventually(|| handle.applied_seq() == EventSeq(30_000)));
    let before = QuarantineDesk::new(root.path()).list(None).expect("lists");
    assert_eq!(before.len(), 2);

    // It is behind: it has yet to catch up from 5000 on. Event 200 can't be processed there either.
    let fresh = Recorder { next_seq: 5_000, ..Recorder::new([]) };
    let record = Arc::clone(&fresh.record);
    let seen = Arc::new(Mutex::new(None));
    let (told, applied) = (Arc::clone(&seen), Arc::clone(&fresh.record));
    handle.replacer().offer(Replacement {
        sink: Box::new(fresh),
        skipped: vec![EventSeq(200)],
        switch: Box::new(move |sink| {
            *locked(&told) = locked(&applied).applied.last().copied();
            Ok(Switched::Taken(sink))
        }),
    });
    assert!(eventually(|| locked(&seen).is_some()));
    assert_eq!(*locked(&seen), Some(30_000), "switched when it had caught up, not before");
    assert!(locked(&record).applied.iter().copied().eq(5_000..=30_000), "each once, in order");
    assert!(eventually(|| handle.watch().status().quarantined == 1));
    let after = QuarantineDesk::new(root.path()).list(None).expect("lists");
    assert_eq!(after.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [200]);
    assert_eq!((handle.applied_seq(), handle.error()), (EventSeq(30_000), None));
    end(handle);
}

/// The one that was there goes on where it stood, and nothing leaves its quarantine.
#[test]
fn a_replacement_that_is_refused_changes_nothing() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sink = Recorder::poisoned_by([15], Complaint::Named);
    let handle = begin_with(sink, Script::new(30, 7), root.path());
    assert!(eventually(|| handle.applied_seq() == EventSeq(30)));
    // As a sink that was closed and is opened again, it may stand earlier.
    let again = Recorder { next_seq: 25, ..Recorder::new([]) };
    let record = Arc::clone(&again.record);
    handle.replacer().offer(Replacement {
        sink: Box::new(Recorder::new([])),
        skipped: Vec::new(),
        switch: Box::new(|new| {
            drop(new);
            Ok(Switched::Refused(Box::new(again)))
        }),
    });
    assert!(eventually(|| locked(&record).applied.last() == Some(&30)));
    assert!(locked(&record).applied.iter().copied().eq(25..=30), "each once, in order");
    assert_eq!(QuarantineDesk::new(root.path()).list(None).expect("lists").len(), 1);
    assert_eq!(handle.error(), None);
    end(handle);
}

#[test]
fn readers_that_can_not_be_switched_stop_the_sink() {
    let handle = begin(Recorder::new([]), Script::new(20, 7));
    assert!(eventually(|| handle.applied_seq() == EventSeq(20)));
    handle.replacer().offer(Replacement {
        sink: Box::new(Recorder::new([])),
        skipped: Vec::new(),
        switch: Box::new(|_| Err(SinkError::InUse { path: "the readers".into() })),
    });
    assert!(eventually(|| handle.error().is_some()));
    assert!(handle.error().expect("is there").starts_with("the readers is in use"));
    handle.join();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However batches lie and wherever poison lies: what can be processed is, in order and once,
    /// and the rest is in the quarantine.
    #[test]
    fn exactly_the_poison_events_are_quarantined(
        poison in prop::collection::btree_set(11_u64..400, 0..12),
        batch_events in 1_u64..90,
        named: bool,
    ) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let complaint = if named { Complaint::Named } else { Complaint::Unnamed };
        let sink = Recorder::poisoned_by(poison.iter().copied(), complaint);
        let record = Arc::clone(&sink.record);
        let handle = begin_with(sink, Script::new(400, batch_events), root.path());
        prop_assert!(eventually(|| handle.applied_seq() == EventSeq(400)), "{:?}", handle.error());
        end(handle);
        let record = locked(&record);
        let good: Vec<u64> = (11..=400).filter(|seq| !poison.contains(seq)).collect();
        prop_assert_eq!(&record.applied, &good);
        let skipped: Vec<u64> = record.skipped.iter().map(|(seq, _)| *seq).collect();
        prop_assert_eq!(&skipped, &Vec::from_iter(poison.iter().copied()));
        let entries = QuarantineDesk::new(root.path()).list(None).expect("lists");
        let entries: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
        prop_assert_eq!(entries, skipped);
        // Five tries and about two halvings per binary digit for each, not one try per event.
        let most = 10 + poison.len() * (TRIES as usize + 2 * 10);
        prop_assert!(record.attempts <= most + 400 / batch_events as usize, "{}", record.attempts);
    }
}
