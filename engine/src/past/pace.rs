//! The pace of a merge beside payments. Consumes how long it has been going on and how many generations
//! were written meanwhile, produces how many rows it may have written by now.
//!
//! Runs in order of time are merged for fewer files, which nobody waits for. At full speed, such a
//! merge took a third of the payments' rate for seconds; so it goes on as payments do, and is done when
//! three quarters of the runs are there that are merged next. While there are few payments, it goes on
//! by the clock. Runs among each other are merged as fast as it gets, because every look-up waits for that; and where
//! such runs come while one in order goes on, that one is brought to its end as fast.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::merge::RUNS_IN_ORDER_MIN;

/// A merge is done after so many generations.
const GENERATIONS: u64 = RUNS_IN_ORDER_MIN as u64 * 3 / 4;
/// Whatever payments do, it goes on like this: 46 MB a second are written.
const ROWS_PER_S_MIN: u64 = 1 << 20;
/// How soon it notices that it may go on, or is to stop.
const WAIT: Duration = Duration::from_millis(2);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pace {
    /// Rows of all runs; `None` where it does not wait for payments.
    rows: Option<u64>,
    began: Instant,
    /// The newest generation when it began.
    generation: u64,
}

impl Pace {
    /// Of a merge of so many rows that begins now; `None` for one that others wait for.
    pub(super) fn of(rows: Option<u64>, newest_generation: u64) -> Self {
        Self { rows, began: Instant::now(), generation: newest_generation }
    }

    /// The newest generation when it began.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Rows that may be written, after so long and up to this generation.
    fn rows_max(&self, elapsed: Duration, newest_generation: u64) -> u64 {
        let Some(rows) = self.rows else { return u64::MAX };
        let by_time = elapsed.as_millis() * u128::from(ROWS_PER_S_MIN) / 1_000;
        let generations = newest_generation.saturating_sub(self.generation);
        let by_payments = u128::from(rows) * u128::from(generations) / u128::from(GENERATIONS);
        u64::try_from(by_time.max(by_payments)).unwrap_or(u64::MAX)
    }

    /// Waits until another row may follow these. `true` when it is to stop.
    pub(super) fn wait(
        &self,
        rows: u64,
        newest_generation: impl Fn() -> u64,
        stop: impl Fn() -> bool,
    ) -> bool {
        while !stop() {
            if rows <= self.rows_max(self.began.elapsed(), newest_generation()) {
                return false;
            }
            thread::sleep(WAIT);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn pace(rows: Option<u64>) -> Pace {
        Pace { rows, began: Instant::now(), generation: 300 }
    }

    #[test]
    fn a_merge_goes_on_with_payments_or_with_time() {
        let s = Duration::from_secs;
        for (rows, elapsed, newest, expected) in [
            (None, s(0), 300, u64::MAX),
            (Some(192_000_000), s(0), 300, 0),
            (Some(192_000_000), s(0), 301, 1_000_000),
            (Some(192_000_000), s(1), 301, 1 << 20),
            (Some(192_000_000), s(1), 492, 192_000_000),
            (Some(192_000_000), s(100), 300, 100 << 20),
            (Some(u64::MAX), Duration::MAX, u64::MAX, u64::MAX),
        ] {
            assert_eq!(pace(rows).rows_max(elapsed, newest), expected, "{elapsed:?}, {newest}");
        }
    }

    #[test]
    fn whoever_waits_goes_on_with_the_next_generation_and_ends_when_told() {
        let asked = Cell::new(0);
        let newest = || {
            asked.set(asked.get() + 1);
            if asked.get() < 3 { 300 } else { 301 }
        };
        let endless = pace(Some(u64::MAX / 2));
        assert!(!endless.wait(1 << 50, newest, || false));
        assert_eq!(asked.get(), 3, "it looked until there was a generation");
        assert!(endless.wait(u64::MAX, || 300, || true));
    }
}
