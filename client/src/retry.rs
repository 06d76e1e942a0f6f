//! Patience: consumes temporary failures, produces waits that double up to a limit, and the moment
//! to give up.

use std::time::{Duration, Instant};

use tonic::Status;

use crate::connection::{CallError, Connection, is_temporary};

const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// How long to go on without any progress.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    last_progress: Instant,
    wait: Duration,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, last_progress: Instant::now(), wait: WAIT_MIN }
    }

    /// Something was answered.
    pub(crate) fn progress(&mut self) {
        self.last_progress = Instant::now();
        self.wait = WAIT_MIN;
    }

    /// How long to wait before the next attempt; `None` when it is time to give up.
    pub(crate) fn next_wait(&mut self) -> Option<Duration> {
        let wait = self.wait;
        self.wait = (wait * 2).min(WAIT_MAX);
        (self.last_progress.elapsed() + wait <= self.limit).then_some(wait)
    }
}

/// Makes a call until it succeeds, fails for good, or patience ends. The call must be idempotent.
pub(crate) async fn call<T, F: Future<Output = Result<tonic::Response<T>, Status>>>(
    connection: &Connection,
    limit: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, CallError> {
    let mut patience = Patience::new(limit);
    loop {
        let status = match attempt().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => status,
        };
        match patience.next_wait().filter(|_| is_temporary(&status)) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(connection.explain(&status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let mut patience = Patience::new(Duration::from_secs(3_600));
        let waits: Vec<u128> =
            (0..8).filter_map(|_| patience.next_wait()).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        patience.progress();
        assert_eq!(patience.next_wait(), Some(WAIT_MIN));
        assert_eq!(Patience::new(Duration::ZERO).next_wait(), None);
    }
}
