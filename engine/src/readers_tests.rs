//! Reads of payments that are not in memory, while the disk does not answer: payments go on, who asks for
//! too much is told so at once, and whoever was taken is answered, also by an engine that stops.

use std::{
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_ledger::{
    ApproveAll, EventSeq, History, HistoryError, Ledger, LedgerConfig, PaymentId, Span, Spans,
    StoredPayment, Timestamp,
};
use tokio::sync::oneshot;

use crate::{
    Command, Crew, Engine, EngineConfig, Feed, JournalError, PaymentReadError,
    commit::Log,
    desk::Recovered,
    frame::{FrameBuffer, FrameHash},
    readers::{self, QUESTIONS_MAX},
    submission::{Expired, Reply},
    two_accounts::{payment, two_accounts},
    upkeep::Upkeep,
};

/// Nothing greater is in history.
const NEWEST: u128 = 1_000;

/// A disk that answers no question before it is told to.
#[derive(Clone, Debug, Default)]
struct Stuck {
    answers: Arc<(Mutex<bool>, Condvar)>,
    looked: Arc<AtomicUsize>,
}

impl Stuck {
    fn answer(&self) {
        *self.answers.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.answers.1.notify_all();
    }
}

impl History for Stuck {
    fn spans(&self) -> Arc<Spans> {
        let all = Span { first: PaymentId::ZERO, last: PaymentId(NEWEST), ids: NEWEST as u64 };
        Arc::new(Spans::of([all], 1))
    }

    fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*answers {
            answers = self.answers.1.wait(answers).unwrap_or_else(PoisonError::into_inner);
        }
        match id.0 % 3 {
            0 => Ok(None),
            1 => Ok(Some(StoredPayment { id, seq: EventSeq(7), ..StoredPayment::default() })),
            _ => Err(HistoryError { id, why: "its page is damaged".to_owned() }),
        }
    }

    fn as_of_now(&self) -> Arc<dyn History> {
        Arc::new(self.clone())
    }
}

/// A log that keeps nothing.
struct Nowhere;

impl Log for Nowhere {
    fn append(
        &mut self,
        _: &mut FrameBuffer,
        _: EventSeq,
        _: Timestamp,
    ) -> Result<FrameHash, JournalError> {
        Ok(FrameHash::default())
    }

    fn head(&self) -> FrameHash {
        FrameHash::default()
    }
}

fn engine(history: &Stuck, directory: &Path) -> Engine {
    let config = LedgerConfig { history: Arc::new(history.clone()), ..LedgerConfig::default() };
    let state = Recovered {
        ledger: Ledger::with_config(config),
        gate: ApproveAll,
        workers: Crew::new(1).expect("starts"),
        upkeep: Upkeep::none(),
    };
    let feed = Feed::new(directory, EventSeq(0));
    Engine::start_with(&EngineConfig::new(directory), state, Nowhere, feed, None).expect("starts")
}

type Answer<T> = oneshot::Receiver<Result<T, Expired>>;

async fn submit<T>(engine: &Engine, command: impl FnOnce(Reply<T>) -> Command) -> Answer<T> {
    let (reply, answer) = oneshot::channel();
    let room = Instant::now() + Duration::from_secs(120);
    engine.submitter().submit(command(reply), None, room).await.expect("there is room");
    answer
}

async fn open_accounts(engine: &Engine) {
    let (specs, acts) = (two_accounts(), Vec::new());
    let opened = submit(engine, |reply| Command::CreateAccounts { specs, acts, reply }).await;
    opened.await.expect("answered").expect("in time");
}

async fn pay(engine: &Engine, id: u128) {
    let (payments, contexts) = (vec![payment(id)], Vec::new());
    let paid = submit(engine, |reply| Command::Payments { payments, contexts, reply }).await;
    let paid = paid.await.expect("answered").expect("in time");
    assert!(paid[0].outcome.is_accepted(), "{paid:?}");
}

#[tokio::test]
async fn payments_go_on_while_the_disk_does_not_answer() {
    let (history, directory) = (Stuck::default(), tempfile::tempdir().expect("a directory"));
    let engine = engine(&history, directory.path());
    open_accounts(&engine).await;
    let mut answers = Vec::new();
    for number in 0..2_000 {
        let id = PaymentId(1 + number % NEWEST);
        answers.push((id, submit(&engine, |reply| Command::GetPayment { id, reply }).await));
        if number % 100 == 0 {
            pay(&engine, NEWEST + 1 + number).await;
        }
    }
    // What is in memory, and what can't be in history, is answered at once.
    let in_memory = PaymentId(NEWEST + 1);
    let read = submit(&engine, |reply| Command::GetPayment { id: in_memory, reply }).await;
    assert!(read.await.expect("answered").expect("in time").expect("read").is_some());
    let unknown = PaymentId(NEWEST + 9_999);
    let read = submit(&engine, |reply| Command::GetPayment { id: unknown, reply }).await;
    assert!(read.await.expect("answered").expect("in time").expect("read").is_none());

    history.answer();
    let (mut read, mut refused) = (0, 0);
    for (id, answer) in answers {
        let found = answer.await.expect("answered").expect("in time");
        if found == Err(PaymentReadError::Busy) {
            refused += 1;
            continue;
        }
        read += 1;
        match (id.0 % 3, found) {
            (0, Ok(None)) => {}
            (1, Ok(Some(view))) => assert_eq!((view.payment.id, view.seq), (id, EventSeq(7))),
            (2, Err(PaymentReadError::Unreadable(error))) => assert_eq!(error.id, id),
            (_, found) => panic!("{id}: {found:?}"),
        }
    }
    assert!(read >= QUESTIONS_MAX && refused > 0, "{read} were read, {refused} refused");
    pay(&engine, NEWEST + 10_000).await;
    engine.stop().expect("stops");
}

#[tokio::test]
async fn an_engine_that_stops_answers_what_was_asked_before() {
    let (history, directory) = (Stuck::default(), tempfile::tempdir().expect("a directory"));
    let engine = engine(&history, directory.path());
    open_accounts(&engine).await;
    let mut answers = Vec::new();
    for number in 0..500 {
        let id = PaymentId(1 + 3 * number % NEWEST);
        answers.push((id, submit(&engine, |reply| Command::GetPayment { id, reply }).await));
    }
    let stopped = tokio::task::spawn_blocking(|| engine.stop());
    history.answer();
    stopped.await.expect("no panic").expect("stops");
    for (id, answer) in answers {
        let found = answer.await.expect("answered").expect("in time");
        assert_ne!(found, Err(PaymentReadError::Busy), "{id}");
    }
}

/// Those that a thread was at already are finished; the disk is not asked for the others.
#[tokio::test]
async fn reads_that_were_given_up_are_not_done() {
    let (history, directory) = (Stuck::default(), tempfile::tempdir().expect("a directory"));
    let engine = engine(&history, directory.path());
    open_accounts(&engine).await;
    for round in 0..20 {
        for number in 0..100 {
            let id = PaymentId(1 + number);
            drop(submit(&engine, |reply| Command::GetPayment { id, reply }).await);
        }
        pay(&engine, NEWEST + 1 + round).await;
    }
    history.answer();
    tokio::task::spawn_blocking(|| engine.stop()).await.expect("no panic").expect("stops");
    let looked = history.looked.load(Ordering::Relaxed);
    assert!(looked <= readers::THREADS, "{looked}");
}
