//! Payments don't wait for all holds that are overdue: time goes on in steps, and in each step the holds that
//! are due by then expire first.

use std::sync::Arc;

use crossbeam_channel::unbounded;
use millrace_ledger::{ApproveAll, Decision, Ledger, LedgerConfig, Operation, Payment, Timestamp};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    Command, Crew,
    commit::Batch,
    desk::{BatchLimits, Recovered},
    sequence::Sequencer,
    stats::EngineStats,
    submission::{Message, Submission},
    two_accounts::{ledger_of_two, payment},
    upkeep::Upkeep,
};

/// Ten holds may expire in one, and sixteen times as many where they are late by years.
const LIMITS: BatchLimits = BatchLimits { events_max: 40, bytes_max: 1 << 20 };
const S: u64 = 1_000_000_000;

/// A ledger with so many holds made at each of these moments; all of them are overdue by far.
fn with_holds(made: &[(u64, u128)]) -> Ledger {
    let mut ledger = ledger_of_two(LedgerConfig::default());
    let mut id = 1_000;
    for (at_s, count) in made {
        ledger.begin_batch(Timestamp(at_s * S), &mut Vec::new());
        for _ in 0..*count {
            id += 1;
            let (operation, timeout_s) = (Operation::Authorize, 1_000);
            let hold = Payment { operation, timeout_s, ..payment(id) };
            let held = |decision: &Decision| assert!(matches!(decision, Decision::New(_)));
            ledger.decide(&[hold], &mut ApproveAll, held).expect("no history is asked");
        }
    }
    ledger
}

/// What comes of so many requests of one payment that wait in the queue: events and answers of each batch,
/// and its time in seconds after the first hold's time-out.
fn batches(ledger: Ledger, requests: u128) -> Vec<(u32, u32, i64)> {
    let (queue, queued) = unbounded();
    let (committer, committed) = unbounded::<Batch>();
    let (_spent, spares) = unbounded();
    let room = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let mut answers = Vec::new();
    for id in 1..=requests {
        let (reply, answer) = oneshot::channel();
        answers.push(answer);
        let (payments, contexts) = (vec![payment(id)], Vec::new());
        let command = Command::Payments { payments, contexts, reply };
        let _room = room.clone().try_acquire_owned().expect("there is room");
        queue
            .send(Message::Submission(Submission { command, deadline: None, _room }))
            .expect("open");
    }
    queue.send(Message::Stop).expect("open");
    let state =
        Recovered { ledger, gate: ApproveAll, workers: Crew::new(1), upkeep: Upkeep::none() };
    let stats = EngineStats::default();
    Sequencer::new(state, LIMITS, queued, committer, spares, stats)
        .run()
        .expect("no history is read");
    let seconds = |time: Timestamp| (time.0 / S) as i64 - 1_001;
    let told = |batch: Batch| (batch.frame.event_count(), batch.answers, seconds(batch.time));
    committed.iter().map(told).collect()
}

#[test]
fn payments_go_on_between_holds_that_are_overdue() {
    // One hold per second: 160 of them, then as many payments as a batch has room for.
    let made: Vec<_> = (1..=1_000).map(|at_s| (at_s, 1)).collect();
    assert_eq!(batches(with_holds(&made), 1), [(161, 1, 159)]);
    assert_eq!(batches(with_holds(&made), 70), [(200, 40, 159), (190, 30, 319)]);
}

#[test]
fn no_more_expire_at_once_than_fit_whatever_moments_they_have() {
    for (made, expected) in [
        // A second's that do not fit wait for the next batch.
        (vec![(1, 100), (2, 100), (3, 100)], (101, 1, 0)),
        (vec![(1, 60), (2, 100), (3, 1)], (161, 1, 1)),
        // 160 are due in all: this batch is of its own time, which is years later.
        (vec![(1, 60), (2, 100)], (161, 1, i64::MAX)),
    ] {
        let found = batches(with_holds(&made), 1);
        let [(events, answers, seconds)] = found[..] else { panic!("{made:?}: {found:?}") };
        let seconds = if seconds > 1_000_000_000 { i64::MAX } else { seconds };
        assert_eq!((events, answers, seconds), expected, "{made:?}");
    }
}

#[test]
fn holds_of_one_moment_that_do_not_fit_go_first() {
    let found = batches(with_holds(&[(1, 400), (2, 3)]), 2);
    let [(160, 0, 0), (160, 0, 0), (events, answers, _)] = found[..] else { panic!("{found:?}") };
    assert_eq!(
        (events, answers),
        (80 + 3 + 2, 2),
        "what is left of them fits, and so do all others"
    );
}
