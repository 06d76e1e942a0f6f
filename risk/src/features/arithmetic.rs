//! Exponentials and logarithms: consumes plain numbers, produces the same bits on every machine.
//!
//! The standard library leaves both to the platform, whose last bits differ. A replay has to
//! give the features that the first run gave, so only additions, multiplications and divisions
//! are used here, which IEEE 754 defines to the bit.

use std::f64::consts::LN_2;

/// Halvings after which nothing is left: a counter of a million would be a 10^-54th.
const HALVINGS_MAX: f64 = 200.0;

/// Adding it rounds to a whole number, which is then in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// `2^-x` of each `x >= 0`; zero from 200 on. The relative error is below 2e-10, and there is no
/// step where the nearest whole number changes. Without a branch, so that several are computed at
/// a time.
///
/// `1 + f q(f)`, where `q` meets `(2^-f - 1) / f` in the Chebyshev nodes of -0.5..0.5 and at both
/// ends.
#[inline(always)]
pub(super) fn exp2_neg<const N: usize>(x: [f64; N]) -> [f64; N] {
    let mut left = [0.0; N];
    for (left, x) in left.iter_mut().zip(x) {
        let within = if x < HALVINGS_MAX { x } else { HALVINGS_MAX };
        let rounded = within + ROUND;
        let f = within - (rounded - ROUND);
        let f2 = f * f;
        // In pairs (Estrin's scheme), because a chain of seven multiplications takes twice as long.
        let low = (f * 0.240_226_509_340_977_17 - LN_2)
            + f2 * (-0.055_504_108_848_185_18 + f * 0.009_618_053_396_623_841);
        let high = (-0.001_333_349_986_024_758_8 + f * 0.000_154_630_866_432_346_2)
            + f2 * -0.000_015_298_587_483_530_82;
        let fraction = 1.0 + f * (low + f2 * f2 * high);
        // The low bits of the exponent are all that is left of ROUND after the shift.
        let scale = f64::from_bits(1023_u64.wrapping_sub(rounded.to_bits()) << 52);
        *left = if x < HALVINGS_MAX { fraction * scale } else { 0.0 };
    }
    left
}

/// Natural logarithm of `x > 0`: `ln m + e ln 2`, with `ln m = 2 atanh((m - 1) / (m + 1))` for the
/// mantissa. Good to 1e-9.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = f64::from((bits >> 52) as i32 - 1023);
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let z2 = z * z;
    let series = (0..9).rev().fold(0.0, |sum, n| sum * z2 + 1.0 / f64::from(2 * n + 1));
    2.0 * z * series + exponent * LN_2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_and_whole_numbers_are_exact() {
        assert_eq!(exp2_neg([0.0, 200.0, f64::INFINITY]), [1.0, 0.0, 0.0]);
        for whole in 0..200_u32 {
            assert_eq!(exp2_neg([f64::from(whole)]), [f64::exp2(-f64::from(whole))]);
        }
    }

    proptest! {
        #[test]
        fn equals_the_platform_s(x in 0.0..199.9_f64, step in 0.0..0.01_f64, y in 1e-6..1e9_f64) {
            let [near, far] = exp2_neg([x, x + step]);
            prop_assert!((near / f64::exp2(-x) - 1.0).abs() < 2e-10);
            prop_assert!(far <= near, "it never rises");
            prop_assert!((ln(y) - y.ln()).abs() < 1e-9);
        }
    }
}
