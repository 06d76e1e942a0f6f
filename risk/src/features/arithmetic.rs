//! Exponentials and logarithms: consumes plain numbers, produces the same bits on every machine.
//!
//! The standard library leaves both to the platform, whose last bits differ. A replay has to
//! give the features that the first run gave, so only additions, multiplications and divisions
//! are used here, which IEEE 754 defines to the bit.

/// Halvings after which nothing is left: a counter of a million would be a 10^-54th.
const HALVINGS_MAX: f64 = 200.0;

/// `2^-x` for `x >= 0`; zero from 200 on. The relative error is below 3e-10, and there is no step
/// where the whole part of `x` changes.
///
/// `1 + f q(f)`, where `q` meets `(2^-f - 1) / f` in the Chebyshev nodes of 0..1 and in 1.
#[inline]
pub(super) fn exp2_neg(x: f64) -> f64 {
    if x >= HALVINGS_MAX {
        return 0.0;
    }
    let whole = x as u32;
    let f = x - f64::from(whole);
    let f2 = f * f;
    // In pairs (Estrin's scheme), because a chain of seven multiplications takes twice as long.
    let low = (-0.693_147_180_434_874_8 + f * 0.240_226_494_693_782_07)
        + f2 * (-0.055_503_911_736_475_01 + f * 0.009_616_939_198_593_974);
    let high = (-0.001_329_912_470_009_813 + f * 0.000_148_862_834_881_517_4)
        + f2 * -0.000_011_292_085_898_986_89;
    let fraction = 1.0 + f * (low + f2 * f2 * high);
    fraction * f64::from_bits(u64::from(1023 - whole) << 52)
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
    2.0 * z * series + exponent * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_and_whole_numbers_are_exact() {
        assert_eq!(exp2_neg(0.0), 1.0);
        assert_eq!(exp2_neg(200.0), 0.0);
        assert_eq!(exp2_neg(f64::INFINITY), 0.0);
        for whole in 0..200_u32 {
            assert_eq!(exp2_neg(f64::from(whole)), f64::exp2(-f64::from(whole)));
        }
    }

    proptest! {
        #[test]
        fn equals_the_platform_s(x in 0.0..199.9_f64, step in 0.0..0.01_f64, y in 1e-6..1e9_f64) {
            let (near, far) = (exp2_neg(x), exp2_neg(x + step));
            prop_assert!((near / f64::exp2(-x) - 1.0).abs() < 3.5e-10);
            prop_assert!(far <= near, "it never rises");
            prop_assert!((ln(y) - y.ln()).abs() < 1e-9);
        }
    }
}
