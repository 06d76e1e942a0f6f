//! Logarithm and powers of two from additions, multiplications and divisions only: consumes a
//! number, produces the same bits on every machine.
//!
//! IEEE 754 rounds these operations exactly and leaves `exp` and `ln` to each system's mathematics
//! library, so the standard ones would make a seed mean different payments on different machines.

/// log2(e).
const LOG2_E: f64 = std::f64::consts::LOG2_E;
const LN_2: f64 = std::f64::consts::LN_2;

/// Natural logarithm of a positive, normal number; relative error below 1e-11.
///
/// ln m = 2 artanh((m - 1) / (m + 1)), by its series, for the mantissa m in [0.7, 1.42).
pub(super) fn ln(x: f64) -> f64 {
    debug_assert!(x.is_normal() && x > 0.0, "ln({x})");
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1_023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1_023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    2.0 * s * sum + exponent as f64 * LN_2
}

/// 2 to the power of `x`, for x in -1,000 to 1,000; relative error below 1e-11.
pub(super) fn exp2(x: f64) -> f64 {
    debug_assert!(x.abs() <= 1_000.0, "exp2({x})");
    let whole = (x + 0.5).floor();
    let y = (x - whole) * LN_2;
    // Taylor's series of e^y for |y| <= 0.35.
    let mut sum = 1.0;
    for n in [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0] {
        sum = 1.0 + sum * y / n;
    }
    sum * f64::from_bits(((whole as i64 + 1_023) as u64) << 52)
}

/// 1 - e^-x for x >= 0: the share of what is left that a step of an exponential takes.
pub(super) fn share_taken(x: f64) -> f64 {
    1.0 - exp2(-(x * LOG2_E).min(1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_close_to_the_library_as_stated() {
        for step in 1..20_000 {
            let x = f64::from(step) * 0.000_71;
            assert!((ln(x) - x.ln()).abs() <= 1e-11 * x.ln().abs().max(0.1), "ln({x})");
            let y = x - 7.0;
            assert!((exp2(y) / y.exp2() - 1.0).abs() < 1e-11, "exp2({y})");
            assert!((share_taken(x) + (-x).exp_m1()).abs() < 1e-11, "share_taken({x})");
        }
    }

    #[test]
    fn bits_are_pinned() {
        assert_eq!(ln(10.0).to_bits(), PINNED[0], "{:#x}", ln(10.0).to_bits());
        assert_eq!(exp2(0.3).to_bits(), PINNED[1], "{:#x}", exp2(0.3).to_bits());
        assert_eq!(exp2(-41.7).to_bits(), PINNED[2], "{:#x}", exp2(-41.7).to_bits());
    }

    /// The same formulas, computed by another program (Python's floats).
    const PINNED: [u64; 3] = [0x4002_6bb1_bbb5_5515, 0x3ff3_b2c4_7bff_8325, 0x3d53_b2c4_7bff_831a];
}
