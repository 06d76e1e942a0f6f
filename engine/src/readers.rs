//! Readers: consume questions about payments that are not in memory, produce what the runs know of
//! them.
//!
//! Guarantees that deciding waits for no disk because somebody reads an old payment, and that an answer
//! is as of the question's place in the sequence, because the history that is asked is as of then. It
//! goes back to the sequencer, to be released in turn, when all that was decided before it is durable.

use std::{sync::Arc, thread::JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use millrace_ledger::{History, PaymentId, PaymentView, StoredPayment};

use crate::{JournalError, PaymentReadError, submission::Reply, threads};

/// So many runs are read at once.
pub(crate) const THREADS: usize = 4;

/// So many questions may wait to be read: more are refused at once.
pub(crate) const QUESTIONS_MAX: usize = 1_024;

/// Where the answer to a read goes.
pub(crate) type ReadReply = Reply<Result<Option<PaymentView>, PaymentReadError>>;

/// A payment to be looked for.
#[derive(Debug)]
struct Question {
    id: PaymentId,
    history: Arc<dyn History>,
    reply: ReadReply,
}

/// What history said, and who asked.
#[derive(Debug)]
pub(crate) struct Recalled {
    pub(crate) found: Result<Option<StoredPayment>, PaymentReadError>,
    pub(crate) reply: ReadReply,
}

/// Asks history on threads of its own. Dropped, it gives up what was not read yet.
#[derive(Debug)]
pub(crate) struct Readers {
    /// `None` when no more is asked. Answers always find room: there are never more of them than
    /// questions that were taken and are not answered.
    ways: Option<(Sender<Question>, Sender<Recalled>)>,
    given_up: Receiver<Question>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts the threads. Their answers come out of the channel.
    pub(crate) fn start() -> Result<(Self, Receiver<Recalled>), JournalError> {
        let (questions, asked) = bounded(QUESTIONS_MAX);
        let (answers, recalled) = unbounded();
        let reader = |number: usize| {
            let (asked, answers) = (asked.clone(), answers.clone());
            threads::spawn(&format!("reader-{number}"), move || read_all(&asked, &answers))
        };
        let threads = (0..THREADS).map(reader).collect::<Result<_, _>>()?;
        Ok((Self { ways: Some((questions, answers)), given_up: asked, threads }, recalled))
    }

    /// Has a payment looked for.
    ///
    /// # Errors
    /// When reading is too far behind: the reply comes back.
    pub(crate) fn ask(
        &self,
        id: PaymentId,
        history: Arc<dyn History>,
        reply: ReadReply,
    ) -> Result<(), ReadReply> {
        let question = Question { id, history, reply };
        match &self.ways {
            Some((questions, _)) => {
                questions.try_send(question).map_err(|refused| refused.into_inner().reply)
            }
            None => Err(question.reply),
        }
    }

    /// From here on nothing is asked. The channel of answers ends behind the last one.
    pub(crate) fn end(&mut self) {
        self.ways = None;
    }
}

impl Drop for Readers {
    /// Waits for the threads: they must not hold a run when another engine may have the directory.
    fn drop(&mut self) {
        self.end();
        self.given_up.try_iter().for_each(drop);
        for thread in self.threads.drain(..) {
            // One that panicked has said so, and nothing depends on it any more.
            let _ = thread.join();
        }
    }
}

fn read_all(asked: &Receiver<Question>, answers: &Sender<Recalled>) {
    for Question { id, history, reply } in asked {
        // Whoever does not wait any more is not worth a look at a disk.
        if reply.is_closed() {
            continue;
        }
        // A mere read decides nothing: where it fails, only whoever asked is told.
        let found = history.find(id).map_err(PaymentReadError::Unreadable);
        let found = found.inspect_err(|error| tracing::error!(%error, "can't read a payment"));
        // Runs that were merged away are deleted here rather than where the answer is taken.
        drop(history);
        if answers.send(Recalled { found, reply }).is_err() {
            return;
        }
    }
}
