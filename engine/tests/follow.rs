//! Another process follows the journal: it sees what is durable, never more, and all of it.

mod support;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use millrace_engine::Feed;
use millrace_ledger::EventSeq;
use proptest::prelude::*;
use support::{feed_from, journal, open_accounts, pay, segments, start};

/// Waits until the follower knows of the event.
fn knows(feed: &Feed, seq: EventSeq) -> bool {
    let give_up = Instant::now() + Duration::from_secs(120);
    while feed.durable_seq() < seq && Instant::now() < give_up {
        thread::sleep(Duration::from_millis(1));
    }
    feed.durable_seq() == seq
}

#[test]
fn a_follower_never_sees_more_than_is_durable_and_in_the_end_all_of_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let follower = Feed::follow(directory.path()).expect("waits for a journal");
    assert_eq!(follower.durable_seq(), EventSeq(0));
    assert_eq!(follower.journal_id().expect("reads"), None);
    let (engine, _) = start(directory.path()).expect("starts");
    let own = engine.feed();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut reader = follower.reader(EventSeq::FIRST);
            let mut read = Vec::new();
            while !done.load(Ordering::Acquire) || follower.durable_seq() >= reader.next_seq() {
                // In this order: the engine's own may only be further on.
                let seen = follower.durable_seq();
                assert!(seen <= own.durable_seq(), "{seen} is not durable yet");
                if let Some(batch) = reader.next(Duration::ZERO).expect("reads") {
                    assert!(reader.next_seq().0 - 1 <= own.durable_seq().0);
                    read.extend(batch.events);
                }
            }
            read
        });
        open_accounts(&engine);
        (1..=300).for_each(|id| pay(&engine, id));
        // Answers are sent before other processes are told.
        assert!(knows(&follower, EventSeq(303)));
        done.store(true, Ordering::Release);
        assert_eq!(watcher.join().expect("no panic"), feed_from(&engine, 1));
    });
    assert_eq!(follower.journal_id().expect("reads"), own.journal_id().expect("reads"));
}

/// The note is not synced: a power loss may leave an older one, or none.
#[test]
fn a_lost_or_older_note_is_written_anew_by_the_engine() {
    let directory = journal();
    let note = directory.path().join("durable");
    for left in [None, Some(Vec::new()), Some(vec![0; 32]), Some(fs::read(&note).expect("reads"))] {
        match &left {
            Some(bytes) => fs::write(&note, bytes).expect("written"),
            None => fs::remove_file(&note).expect("removed"),
        }
        let follower = Feed::follow(directory.path()).expect("follows");
        assert!(follower.durable_seq() <= EventSeq(support::EVENTS), "{left:?}");
        let (engine, _) = start(directory.path()).expect("starts");
        assert!(knows(&follower, EventSeq(support::EVENTS)), "{left:?}");
        engine.stop().expect("stops");
    }
}

/// Somebody put another journal there. What is known of the first one is kept, and nothing of the
/// other believed.
#[test]
fn the_note_of_another_journal_is_none() {
    let (first, other) = (journal(), journal());
    let follower = Feed::follow(first.path()).expect("follows");
    assert_eq!(follower.durable_seq(), EventSeq(support::EVENTS));
    let (engine, _) = start(other.path()).expect("starts");
    pay(&engine, 1_000);
    engine.stop().expect("stops");
    fs::copy(other.path().join("durable"), first.path().join("durable")).expect("copied");
    assert_eq!(follower.durable_seq(), EventSeq(support::EVENTS));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// However a note is changed, nobody reads past what is durable.
    #[test]
    fn a_changed_note_says_nothing(place in 0_usize..32, bit in 0_u8..8, len in 0_usize..40) {
        let directory = journal();
        let note = directory.path().join("durable");
        let mut bytes = fs::read(&note).expect("reads");
        bytes[place] ^= 1 << bit;
        bytes.resize(len, 0);
        fs::write(&note, &bytes).expect("written");
        let follower = Feed::follow(directory.path()).expect("follows");
        prop_assert_eq!(follower.durable_seq(), EventSeq(0));
        let read = follower.reader(EventSeq::FIRST).next(Duration::ZERO).expect("reads");
        prop_assert_eq!(read, None);
    }
}

/// The hash of an event's frame tells whether two journals have one past.
#[test]
fn each_event_has_the_hash_of_its_frame() {
    let directory = journal();
    let follower = Feed::follow(directory.path()).expect("follows");
    assert_eq!(follower.first_seq().expect("reads"), Some(EventSeq::FIRST));
    let mut reader = follower.reader(EventSeq::FIRST);
    let mut hashes = Vec::new();
    while let Some(batch) = reader.next(Duration::ZERO).expect("reads") {
        for event in batch.events {
            let hash = follower.chain_hash(event.event.seq()).expect("reads");
            assert_eq!(hash, Some(reader.chain_hash()), "event {}", event.event.seq());
        }
        hashes.push(reader.chain_hash());
    }
    assert!(segments(directory.path()).len() > 3);
    assert_eq!(follower.chain_hash(EventSeq(support::EVENTS + 1)).expect("reads"), None);
    let frames = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), frames, "no two frames have one hash");
    let other = journal();
    let other = Feed::follow(other.path()).expect("follows");
    let last = EventSeq(support::EVENTS);
    assert_ne!(other.chain_hash(last).expect("reads"), follower.chain_hash(last).expect("reads"));
}
