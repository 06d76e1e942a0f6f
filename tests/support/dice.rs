//! Seeded chance (SplitMix64): a failing run tells its seed, and `MILLRACE_TEST_SEED` repeats it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// The seed that was asked for, else a new one; printed for whoever reads a failure.
    pub(crate) fn seeded(test: &str) -> Self {
        let asked_for = std::env::var("MILLRACE_TEST_SEED").ok();
        let seed = match asked_for.map(|text| text.parse()) {
            Some(seed) => seed.expect("MILLRACE_TEST_SEED is a number"),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                since.expect("now is after 1970").as_nanos() as u64
            }
        };
        println!("{test}: repeat with MILLRACE_TEST_SEED={seed}");
        Self { state: seed }
    }

    /// From 0 up to, but not including, `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    pub(crate) fn duration_below(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(bound.as_micros() as u64))
    }
}
