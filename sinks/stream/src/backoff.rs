//! How long to wait before trying again: twice as long each time, up to a maximum, with jitter so that
//! many who lost one server don't come back at one moment.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_secs(5);

/// Waits between tries.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How often it failed since it worked.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The wait after one more failure: half to all of a span that doubles.
    pub(crate) fn next(&mut self) -> Duration {
        let span = FIRST.saturating_mul(1 << self.failures.min(16)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        // Random enough: the standard library seeds each one anew.
        let random = RandomState::new().hash_one(self.failures) >> 32;
        span / 2 + (span / 2).mul_f64(random as f64 / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_maximum_and_start_again() {
        let mut backoff = Backoff::default();
        for span_ms in [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let wait = backoff.next();
            let span = Duration::from_millis(span_ms);
            assert!(span / 2 <= wait && wait <= span, "{wait:?} of {span:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
