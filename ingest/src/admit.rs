//! Admission: consumes a validated command with its deadline, produces the answer or a refusal.
//!
//! Guarantees that an expired request is dropped before it is sequenced and never after: from the
//! moment it is sequenced, it is carried out whether or not its sender still waits.

use std::time::{Duration, Instant};

use http::HeaderMap;
use millrace_engine::{
    Command, SubmitError, Submitter,
    submission::{Expired, Reply},
};
use tokio::sync::{oneshot, watch};

use crate::status::Refusal;

/// What the services share.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) submitter: Submitter,
    /// How long a request waits for room in the queue.
    pub(crate) queue_wait_max: Duration,
    /// Turns true when the server stops taking requests.
    pub(crate) draining: watch::Receiver<bool>,
}

/// An answer that is on its way.
pub(crate) struct Pending<T> {
    answer: oneshot::Receiver<Result<T, Expired>>,
    deadline: Option<Instant>,
}

impl Admission {
    /// Queues a command.
    pub(crate) async fn submit<T>(
        &self,
        deadline: Option<Instant>,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<Pending<T>, Refusal> {
        if *self.draining.borrow() {
            return Err(Refusal::Draining);
        }
        self.queue(deadline, command).await
    }

    /// Queues a command that completes what is journaled already, also while the server drains.
    pub(crate) async fn follow_up<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<Pending<T>, Refusal> {
        self.queue(None, command).await
    }

    async fn queue<T>(
        &self,
        deadline: Option<Instant>,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<Pending<T>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let patience = Instant::now() + self.queue_wait_max;
        let room_deadline = deadline.map_or(patience, |deadline| deadline.min(patience));
        match self.submitter.submit(command(reply), deadline, room_deadline).await {
            Ok(()) => Ok(Pending { answer, deadline }),
            Err(SubmitError::QueueFull) if deadline.is_some_and(|at| at <= Instant::now()) => {
                Err(Refusal::DeadlinePassedInQueue)
            }
            Err(SubmitError::QueueFull) => Err(Refusal::QueueFull),
            Err(SubmitError::Stopped) => Err(Refusal::Draining),
        }
    }
}

impl<T> Pending<T> {
    /// Waits until the answer is durable, or its deadline has passed.
    pub(crate) async fn answer(self) -> Result<T, Refusal> {
        let answer = match self.deadline {
            None => self.answer.await,
            // The engine may still tell, a moment later, that it dropped the request.
            Some(deadline) => tokio::time::timeout_at(deadline.into(), self.answer)
                .await
                .map_err(|_| Refusal::DeadlinePassed)?,
        };
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Expired)) => Err(Refusal::DeadlinePassedInQueue),
            Err(_) => Err(Refusal::EngineStopped),
        }
    }
}

/// When the caller stops waiting, as its `grpc-timeout` header says.
pub(crate) fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(value.checked_mul(3_600)?),
        "M" => Duration::from_secs(value.checked_mul(60)?),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_header_is_read_in_all_its_units() {
        for (text, ms) in
            [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("400m", 400), ("5000u", 5)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("ascii"));
            let left = deadline(&headers).expect("a deadline") - Instant::now();
            let expected = Duration::from_millis(ms);
            assert!(left <= expected && left + Duration::from_secs(1) > expected, "{text}");
        }
        for text in ["", "S", "5", "5x", "-5S"] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("ascii"));
            assert_eq!(deadline(&headers), None, "{text:?}");
        }
    }
}
