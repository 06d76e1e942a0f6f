//! Waits between tries: consumes how often something failed in a row, produces a wait. Each is
//! drawn from a range that doubles with every failure, up to a cap.
//!
//! The upper half of the range is drawn from, so that a wait is never trifling, and many consumers
//! that lost the same service do not come back in step.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

/// How waits grow.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest wait after a first failure.
    pub first: Duration,
    /// The longest of all.
    pub cap: Duration,
}

impl Pace {
    /// What suits services that people start again.
    pub const USUAL: Self = Self { first: Duration::from_millis(100), cap: Duration::from_secs(5) };

    /// After so many failures before this one.
    fn longest_wait(self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.cap)
    }
}

/// Counts failures in a row, and says how long to wait after each.
#[derive(Debug)]
pub struct Backoff {
    pace: Pace,
    failures: u32,
    dice: u64,
}

impl Backoff {
    /// Before any failure.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, failures: 0, dice: RandomState::new().build_hasher().finish() }
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Something worked: the next wait is a short one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let longest = self.pace.longest_wait(self.failures);
        self.failures = self.failures.saturating_add(1);
        let half = longest / 2;
        half + Duration::from_nanos(self.draw() % (half.as_nanos() as u64 + 1))
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<u128> = (0..12).map(|n| Pace::USUAL.longest_wait(n).as_millis()).collect();
        let expected = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000];
        assert_eq!(waits, expected);
        assert_eq!(Pace::USUAL.longest_wait(u32::MAX), Duration::from_secs(5));
    }

    #[test]
    fn a_wait_is_drawn_from_the_upper_half() {
        let mut backoff = Backoff::new(Pace::USUAL);
        for round in 0..200 {
            let mut drawn = Vec::new();
            for failures in 0..14 {
                assert_eq!(backoff.failures(), failures);
                let (wait, longest) = (backoff.next_wait(), Pace::USUAL.longest_wait(failures));
                assert!(longest / 2 <= wait && wait <= longest, "{round}: {wait:?} of {longest:?}");
                drawn.push(wait);
            }
            backoff.reset();
            assert!(drawn[9..].windows(2).any(|pair| pair[0] != pair[1]), "waits are drawn");
        }
    }

    #[test]
    fn two_consumers_do_not_keep_step() {
        let waits = |mut backoff: Backoff| (0..8).map(|_| backoff.next_wait()).collect::<Vec<_>>();
        assert_ne!(waits(Backoff::new(Pace::USUAL)), waits(Backoff::new(Pace::USUAL)));
    }
}
