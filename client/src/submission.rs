//! Submission: consumes a file's rows, sends their payments over one stream, produces a summary.
//!
//! Guarantees: payments reach the server in the file's order, because all of them travel on one
//! stream (a capture never overtakes its authorization); every row that can be sent is answered
//! before the run succeeds; what was not answered when a stream was lost is sent again, in order,
//! with the same ids, so nothing is lost and nothing is paid twice.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use millrace_protos::{
    REQUEST_ITEMS_MAX,
    v1::{PaymentOutcome, StreamPaymentsRequest},
};
use tokio::{sync::mpsc, task, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    CallError, Connection, FileError, ReadError, RefusedFile, RefusedFileError, RefusedRows, Row,
    Summary,
    batches::{Batch, Batcher},
    connection::is_temporary,
    retry::Patience,
    summary::Tally,
};

/// Batches that are read ahead of the stream.
const READ_AHEAD: usize = 2;

/// How to send.
#[derive(Clone, Debug)]
pub struct SubmitOptions {
    /// Payments per request; at most 8,192. A longer linked group is a request of its own.
    pub batch_rows: usize,
    /// Requests that may be unanswered at a time.
    pub in_flight: usize,
    /// A request that is unanswered for so long counts as lost.
    pub answer_timeout: Duration,
    /// Without any answer for so long, through all attempts, the run ends with an error.
    pub give_up_after: Duration,
}

impl Default for SubmitOptions {
    fn default() -> Self {
        Self {
            batch_rows: 1_024,
            in_flight: 8,
            answer_timeout: Duration::from_secs(30),
            give_up_after: Duration::from_secs(60),
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows that were sent at least once.
    pub sent: u64,
    /// Rows that were answered.
    pub answered: u64,
}

/// Why a run ended early. What was answered stays so: running it again with the same file and
/// mapping continues, and pays nothing twice.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The file can't be read to its end.
    #[error(transparent)]
    File(#[from] FileError),
    /// The refused rows can't be written.
    #[error(transparent)]
    RefusedFile(#[from] RefusedFileError),
    /// Waiting would not help.
    #[error("{call}; {answered} rows were answered before, and running it again continues")]
    Call {
        /// What the server says.
        call: CallError,
        /// Rows answered so far.
        answered: u64,
    },
    /// Waiting did not help.
    #[error(
        "gave up after {after_s} s without an answer: {call}; {answered} rows were answered \
         before, and running it again continues"
    )]
    GaveUp {
        /// How long was waited, in seconds.
        after_s: u64,
        /// The last failure.
        call: CallError,
        /// Rows answered so far.
        answered: u64,
    },
    /// The answers don't fit the questions.
    #[error("the server's answer does not fit the request: {complaint}")]
    Protocol {
        /// What does not fit.
        complaint: String,
    },
}

/// Why a stream ended.
enum StreamEnd {
    /// Another stream may do.
    Lost(Status),
    /// No other stream would do.
    Failed(SubmitError),
}

/// A request that waits for its answer.
struct Unanswered {
    batch: Batch,
    sent_at: Instant,
}

/// One file on its way.
pub struct Submission<P> {
    connection: Connection,
    options: SubmitOptions,
    window: VecDeque<Unanswered>,
    tally: Tally,
    patience: Patience,
    sent: u64,
    progress: P,
}

impl<P: FnMut(Progress)> Submission<P> {
    /// Prepares to send; `progress` is called whenever rows were sent or answered.
    #[must_use]
    pub fn new(connection: Connection, mut options: SubmitOptions, progress: P) -> Self {
        options.batch_rows = options.batch_rows.clamp(1, REQUEST_ITEMS_MAX);
        options.in_flight = options.in_flight.max(1);
        let patience = Patience::new(options.give_up_after);
        let window = VecDeque::with_capacity(options.in_flight);
        Self { connection, options, window, tally: Tally::default(), patience, sent: 0, progress }
    }

    /// Sends every row and waits for every answer.
    ///
    /// # Errors
    /// See [`SubmitError`]; running it again continues.
    pub async fn run<R>(mut self, rows: R, refused: RefusedFile) -> Result<Summary, SubmitError>
    where
        R: Iterator<Item = Result<Row, ReadError>> + Send + 'static,
    {
        let started = Instant::now();
        let batch_rows = self.options.batch_rows;
        let (sender, mut batches) = mpsc::channel(READ_AHEAD);
        // Reading blocks on the disk, and unpacking takes as long as sending: a thread of its own.
        let reader = task::spawn_blocking(move || read(rows, refused, batch_rows, &sender));
        self.send_all(&mut batches).await?;
        let refused_rows = match reader.await {
            Ok(refused_rows) => refused_rows?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        Ok(self.tally.finish(refused_rows, started.elapsed()))
    }

    async fn send_all(&mut self, batches: &mut mpsc::Receiver<Batch>) -> Result<(), SubmitError> {
        loop {
            // A stream is opened only with something to say on it: some servers answer the
            // opening with the first response.
            if self.window.is_empty() {
                let Some(batch) = batches.recv().await else { return Ok(()) };
                self.admit(batch);
            }
            match self.stream(batches).await {
                Ok(()) => return Ok(()),
                Err(StreamEnd::Failed(error)) => return Err(error),
                Err(StreamEnd::Lost(status)) => self.wait_after(&status).await?,
            }
        }
    }

    /// Sends on one stream until all is answered or the stream is lost.
    async fn stream(&mut self, batches: &mut mpsc::Receiver<Batch>) -> Result<(), StreamEnd> {
        let (requests, outbound) = mpsc::channel(self.options.in_flight);
        for unanswered in &mut self.window {
            unanswered.sent_at = Instant::now();
            send(&requests, &unanswered.batch);
        }
        let answer_timeout = self.options.answer_timeout;
        let mut client = self.connection.payments();
        let opening = client.stream_payments(ReceiverStream::new(outbound));
        let mut inbound = match time::timeout(answer_timeout, opening).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(self.ended(status)),
            Err(_) => return Err(StreamEnd::Lost(unanswered_for(answer_timeout))),
        };
        let mut input_ended = false;
        while !(input_ended && self.window.is_empty()) {
            let has_room = self.window.len() < self.options.in_flight;
            tokio::select! {
                batch = batches.recv(), if has_room && !input_ended => match batch {
                    Some(batch) => {
                        send(&requests, &batch);
                        self.admit(batch);
                    }
                    None => input_ended = true,
                },
                answer = time::timeout(answer_timeout, inbound.message()),
                    if !self.window.is_empty() => match answer {
                    Ok(Ok(Some(response))) => self.answer(&response.outcomes)?,
                    Ok(Ok(None)) => {
                        let early = "the stream ended before everything was answered";
                        return Err(StreamEnd::Lost(Status::unavailable(early)));
                    }
                    Ok(Err(status)) => return Err(self.ended(status)),
                    Err(_) => return Err(StreamEnd::Lost(unanswered_for(answer_timeout))),
                },
            }
        }
        Ok(())
    }

    fn admit(&mut self, batch: Batch) {
        if self.window.is_empty() {
            // Nothing was owed until now.
            self.patience.progress();
        }
        self.sent += batch.len() as u64;
        self.window.push_back(Unanswered { batch, sent_at: Instant::now() });
        self.report();
    }

    /// Answers come in the order of the requests, one outcome per payment.
    fn answer(&mut self, outcomes: &[PaymentOutcome]) -> Result<(), StreamEnd> {
        let protocol = |complaint| StreamEnd::Failed(SubmitError::Protocol { complaint });
        let Some(Unanswered { batch, sent_at }) = self.window.pop_front() else {
            return Err(protocol("it came without a request".to_owned()));
        };
        let (sent, answered) = (batch.len(), outcomes.len());
        if sent != answered {
            return Err(protocol(format!("{answered} outcomes for {sent} payments")));
        }
        for ((line, payment), outcome) in batch.lines.iter().zip(&batch.payments).zip(outcomes) {
            if outcome.payment_id != payment.payment_id {
                return Err(protocol(format!("line {line} got the outcome of another payment")));
            }
            self.tally.count(*line, payment, outcome);
        }
        self.tally.latency(sent_at.elapsed());
        self.patience.progress();
        self.report();
        Ok(())
    }

    fn report(&mut self) {
        (self.progress)(Progress { sent: self.sent, answered: self.tally.answered() });
    }

    fn ended(&self, status: Status) -> StreamEnd {
        if is_temporary(&status) {
            return StreamEnd::Lost(status);
        }
        let (call, answered) = (self.connection.explain(&status), self.tally.answered());
        StreamEnd::Failed(SubmitError::Call { call, answered })
    }

    async fn wait_after(&mut self, status: &Status) -> Result<(), SubmitError> {
        match self.patience.next_wait() {
            Some(wait) => {
                time::sleep(wait).await;
                Ok(())
            }
            None => Err(SubmitError::GaveUp {
                after_s: self.options.give_up_after.as_secs(),
                call: self.connection.explain(status),
                answered: self.tally.answered(),
            }),
        }
    }
}

fn send(requests: &mpsc::Sender<StreamPaymentsRequest>, batch: &Batch) {
    let request = StreamPaymentsRequest { payments: batch.payments.clone() };
    // The queue holds as many requests as the window, so it is never full. It is closed when the
    // stream is lost, which the next read of an answer reports.
    let _ = requests.try_send(request);
}

fn unanswered_for(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer for {} s", timeout.as_secs()))
}

/// Reads rows into batches, in a thread of its own, until there are no more or nobody wants them.
fn read(
    rows: impl Iterator<Item = Result<Row, ReadError>>,
    mut refused: RefusedFile,
    batch_rows: usize,
    batches: &mpsc::Sender<Batch>,
) -> Result<RefusedRows, SubmitError> {
    let mut batcher = Batcher::new(batch_rows);
    for row in rows {
        let full = match row {
            Ok(row) => batcher.push(row.line, row.payment),
            Err(ReadError::Row(error)) => {
                refused.push(error)?;
                None
            }
            Err(ReadError::File(error)) => return Err(error.into()),
        };
        if full.is_some_and(|batch| batches.blocking_send(batch).is_err()) {
            // The run failed: an incomplete file of refused rows would only mislead.
            return Ok(RefusedRows::default());
        }
    }
    for batch in batcher.finish() {
        if batches.blocking_send(batch).is_err() {
            return Ok(RefusedRows::default());
        }
    }
    Ok(refused.finish()?)
}
