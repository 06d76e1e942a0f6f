//! Where many holds are overdue, time goes on in steps, and in each step the holds that are due by then expire
//! first. Payments go on between the steps, unless time is far behind the clock.

use std::{sync::Arc, thread, time::Duration};

use crossbeam_channel::{bounded, unbounded};
use millrace_ledger::{
    Amount, ApproveAll, Decision, Ledger, LedgerConfig, Operation, Payment, PaymentId, Timestamp,
};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    Command, Crew,
    commit::{Batch, Release},
    desk::{BEHIND_MAX, BatchLimits, Recovered},
    sequence::Sequencer,
    stats::EngineStats,
    submission::{Message, Submission},
    two_accounts::{ledger_of_two, payment},
    upkeep::Upkeep,
};

/// Ten holds may expire in one, and sixteen times as many where they are late by years. Time may be years
/// behind, too.
const LIMITS: BatchLimits =
    BatchLimits { events_max: 40, bytes_max: 1 << 20, behind_max: Duration::MAX };
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

/// The batches that come of these payments, which wait in the queue, one in a request.
fn decided(ledger: Ledger, limits: BatchLimits, payments: Vec<Payment>) -> Vec<Batch> {
    let (queue, queued) = unbounded();
    let (committer, committed) = unbounded::<Batch>();
    let (_spent, spares) = unbounded();
    let room = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let mut answers = Vec::new();
    for payment in payments {
        let (reply, answer) = oneshot::channel();
        answers.push(answer);
        let command = Command::Payments { payments: vec![payment], contexts: Vec::new(), reply };
        let _room = room.clone().try_acquire_owned().expect("there is room");
        let submission = Submission { command, deadline: None, _room };
        queue.send(Message::Submission(submission)).expect("open");
    }
    queue.send(Message::Stop).expect("open");
    let state = Recovered {
        ledger,
        gate: ApproveAll,
        workers: Crew::new(1).expect("starts"),
        upkeep: Upkeep::none(),
    };
    Sequencer::new(state, limits, queued, committer, spares, EngineStats::default())
        .expect("starts")
        .run()
        .expect("no history is read");
    committed.iter().collect()
}

/// Of each batch: events and answers, and its time in seconds after the first hold's time-out.
fn batches(ledger: Ledger, requests: u128) -> Vec<(u32, u32, i64)> {
    let seconds = |time: Timestamp| (time.0 / S) as i64 - 1_001;
    let told = |batch: &Batch| (batch.frame.event_count(), batch.answers, seconds(batch.time));
    decided(ledger, LIMITS, (1..=requests).map(payment).collect()).iter().map(told).collect()
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

/// Expiries take no room from payments, in events or in bytes: here, as with the defaults, as many as can expire
/// fill a frame's bytes.
#[test]
fn expiries_leave_payments_their_room() {
    let limits = BatchLimits { bytes_max: 160 * 128, ..LIMITS };
    let made: Vec<_> = (1..=1_000).map(|at_s| (at_s, 1)).collect();
    let found = decided(with_holds(&made), limits, (1..=70).map(payment).collect());
    let answers: Vec<_> = found.iter().map(|batch| batch.answers).collect();
    assert_eq!(answers, [40, 30]);
}

/// A server was down while a thousand holds came due, one a second. A hold that is made as it is back is not
/// made at a time long gone, or it would expire at once.
#[test]
fn a_hold_is_open_for_its_seconds_although_others_are_overdue() {
    let limits = BatchLimits { behind_max: BEHIND_MAX, ..LIMITS };
    let made: Vec<_> = (1..=1_000).map(|at_s| (at_s, 1)).collect();
    let (operation, timeout_s) = (Operation::Authorize, 100);
    let hold = Payment { operation, timeout_s, ..payment(1) };
    let (operation, original, amount) = (Operation::Capture, hold.id, Amount::ALL);
    let capture = Payment { id: PaymentId(99), operation, original, amount, ..Payment::default() };
    let others = (2..=60).map(payment);
    let payments: Vec<_> = [hold].into_iter().chain(others).chain([capture]).collect();
    let found = decided(with_holds(&made), limits, payments);
    let replies =
        found.iter().flat_map(|batch| &batch.releases).flat_map(|release| match release {
            Release::Payments(_, replies) => replies.clone(),
            _ => Vec::new(),
        });
    let replies: Vec<_> = replies.collect();
    assert_eq!(replies.len(), 61);
    assert!(replies.iter().all(|reply| reply.outcome.is_accepted()), "{replies:?}");
    let expired: u32 = found.iter().map(|batch| batch.frame.event_count() - batch.answers).sum();
    assert_eq!(expired, 1_000);
    let first_paid = found.iter().position(|batch| batch.answers > 0);
    assert_eq!(first_paid, Some(6), "six batches of 160 go first, and the last 40 with payments");
}

/// The batch before takes long to be synced, and the one that is open waits: what comes a while later is not
/// decided at the time when it was begun, or a hold would be open for less than its seconds.
#[test]
fn a_batch_that_waits_takes_nothing_after_a_while() {
    let behind_max = Duration::from_millis(50);
    let (queue, queued) = unbounded();
    let (committer, committed) = bounded::<Batch>(0);
    let (_spent, spares) = unbounded();
    let room = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let mut answers = Vec::new();
    let mut submit = |id| {
        let (reply, answer) = oneshot::channel();
        answers.push(answer);
        let (payments, contexts) = (vec![payment(id)], Vec::new());
        let command = Command::Payments { payments, contexts, reply };
        let _room = room.clone().try_acquire_owned().expect("there is room");
        let submission = Submission { command, deadline: None, _room };
        queue.send(Message::Submission(submission)).expect("open");
    };
    let state = Recovered {
        ledger: with_holds(&[]),
        gate: ApproveAll,
        workers: Crew::new(1).expect("starts"),
        upkeep: Upkeep::none(),
    };
    let limits = BatchLimits { behind_max, ..LIMITS };
    let stats = EngineStats::default();
    let sequencer = Sequencer::new(state, limits, queued, committer, spares, stats);
    let sequencer = thread::spawn(move || sequencer.expect("starts").run());
    submit(1);
    thread::sleep(2 * behind_max);
    submit(2);
    thread::sleep(2 * behind_max);
    let first = committed.recv().expect("a batch");
    queue.send(Message::Stop).expect("open");
    let second = committed.recv().expect("a batch");
    assert_eq!((first.answers, second.answers), (1, 1));
    assert!(second.time.0 - first.time.0 >= 2 * behind_max.as_nanos() as u64);
    sequencer.join().expect("no panic").expect("no history is read");
}

/// Holds of many generations that expire at once fill generations as payments do, though they have no
/// rows of their own: else the one that is open would grow with them.
#[test]
fn expiries_fill_generations() {
    let config = LedgerConfig { generation_payments_max: 1_000, ..LedgerConfig::default() };
    let mut ledger = ledger_of_two(config);
    ledger.begin_batch(Timestamp(S), &mut Vec::new());
    for request in 0..20 {
        let hold =
            |id| Payment { operation: Operation::Authorize, timeout_s: 1_000, ..payment(id) };
        let holds: Vec<_> = (request * 1_000 + 1..=request * 1_000 + 1_000).map(hold).collect();
        ledger.decide(&holds, &mut ApproveAll, |_| {}).expect("no history is asked");
        assert!(ledger.generation_is_full());
        ledger.close_generation().expect("it has payments");
    }
    let time = Timestamp(2_000 * S);
    let (mut all, mut expired, mut changed) = (0, Vec::new(), Vec::new());
    while ledger.next_expiry().is_some_and(|at| at <= time) {
        expired.clear();
        ledger.begin_batch_within(time, 100, &mut expired);
        all += expired.len();
        let carries = ledger.carry_on(expired.len());
        if ledger.generation_is_full() {
            assert!(!carries, "closing would carry on all that is left at once");
            let generation = ledger.close_generation().expect("it has payments");
            changed.push(generation.payments().count());
        }
    }
    assert_eq!((all, changed), (20_000, vec![1_000; 20]));
}
