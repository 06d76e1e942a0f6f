//! Waits between attempts: exponential, up to a limit, with jitter that depends on the message and
//! the attempt alone.

use std::time::Duration;

/// The wait after `attempts` failed ones: between half and all of `first` times two for each attempt
/// before the last, and of `longest`.
pub(super) fn wait(attempts: u32, first: Duration, longest: Duration, seed: u128) -> Duration {
    let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let full = first.saturating_mul(doubled).min(longest);
    full.mul_f64(0.5 + 0.5 * fraction(seed, attempts))
}

/// A number from 0 to 1 that looks random (SplitMix64).
fn fraction(seed: u128, attempts: u32) -> f64 {
    let mut x = (seed as u64) ^ (seed >> 64) as u64 ^ u64::from(attempts);
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_double_up_to_the_longest(attempts in 1_u32..80, seed: u128) {
            let (first, longest) = (Duration::from_secs(1), Duration::from_secs(600));
            let found = wait(attempts, first, longest, seed);
            let full = f64::min(600.0, 2_f64.powi(attempts as i32 - 1));
            let seconds = found.as_secs_f64();
            prop_assert!(seconds >= full / 2.0 - 1e-6 && seconds <= full + 1e-6, "{seconds} of {full}");
            prop_assert_eq!(found, wait(attempts, first, longest, seed));
        }
    }

    #[test]
    fn messages_that_failed_together_come_again_apart() {
        let waits: std::collections::BTreeSet<_> = (0..100_u128)
            .map(|seed| {
                wait(8, Duration::from_secs(1), Duration::from_secs(600), seed << 64).as_millis()
            })
            .collect();
        assert!(waits.len() > 90, "{} different waits of 100", waits.len());
    }
}
