//! The exponential function in plain arithmetic: consumes a number, produces `e` to its power, the
//! same to the last bit on every machine and in every build, which a system's own may not be.

use pulp::{Arch, Simd, WithSimd};

/// Numbers that are taken side by side.
const LANES: usize = 8;

/// Added and taken away again, it rounds to a whole number.
const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `1 / n!` from the highest power down.
const INVERSE_FACTORIALS: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
];

/// `e^x` of each to within 1e-15 of it, relatively. Beyond 700 either way it is as at 700. Without a
/// branch, so that several are computed at a time.
///
/// By Cody and Waite: `x = k ln 2 + r`, a series for `e^r`, and `k` into the exponent.
#[inline(always)]
pub(super) fn exp_all<const N: usize>(x: [f64; N]) -> [f64; N] {
    let mut r = [0.0; N];
    let mut powers = [0.0; N];
    for ((r, power), x) in r.iter_mut().zip(&mut powers).zip(x) {
        let x = x.clamp(-700.0, 700.0);
        let rounded = x * std::f64::consts::LOG2_E + ROUNDER;
        let k = rounded - ROUNDER;
        *r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
        // Of a rounded number, the low bits are k.
        *power = f64::from_bits(rounded.to_bits().wrapping_add(1_023) << 52);
    }
    let mut series = [0.0; N];
    for term in INVERSE_FACTORIALS {
        for (sum, r) in series.iter_mut().zip(&r) {
            *sum = *sum * r + term;
        }
    }
    for (series, power) in series.iter_mut().zip(&powers) {
        *series *= power;
    }
    series
}

/// See [`exp_all`].
pub(super) fn exp(x: f64) -> f64 {
    exp_all([x])[0]
}

/// `1 / (1 + e^-x)`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// [`sigmoid`] of each number times the slope, in its place: to the bit, and side by side.
pub(super) fn sigmoid_all(slope: f64, numbers: &mut [f64]) {
    Arch::new().dispatch(Sigmoids { slope, numbers });
}

/// A task that can be compiled for several processors.
struct Sigmoids<'a> {
    slope: f64,
    numbers: &'a mut [f64],
}

impl WithSimd for Sigmoids<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (whole, rest) = self.numbers.as_chunks_mut::<LANES>();
        for numbers in whole {
            let mut negated = [0.0; LANES];
            for (negated, number) in negated.iter_mut().zip(&*numbers) {
                *negated = -(self.slope * number);
            }
            for (number, exp) in numbers.iter_mut().zip(exp_all(negated)) {
                *number = 1.0 / (1.0 + exp);
            }
        }
        for number in rest {
            *number = sigmoid(self.slope * *number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_as_close_as_a_float_can_be() {
        for step in -69_999..=69_999 {
            let x = f64::from(step) / 100.0 + 0.001;
            let (ours, theirs) = (exp(x), x.exp());
            assert!(((ours - theirs) / theirs).abs() < 1e-15, "{x}: {ours} and {theirs}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert!(sigmoid(f64::NEG_INFINITY) < 1e-300 && sigmoid(f64::INFINITY) == 1.0);
    }

    /// As it was before several were taken at a time: one by one, with `k` as a whole number.
    fn naive(x: f64) -> f64 {
        let x = x.clamp(-700.0, 700.0);
        let k = (x * std::f64::consts::LOG2_E + ROUNDER) - ROUNDER;
        let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
        let series = INVERSE_FACTORIALS.iter().fold(0.0, |sum, term| sum * r + term);
        series * f64::from_bits(((k as i64 + 1_023) as u64) << 52)
    }

    #[test]
    fn side_by_side_is_one_by_one_to_the_bit() {
        let ends = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 1e-300, 699.99, -700.01, 709.0];
        let between = (-9_000..9_000).map(|step| f64::from(step) * 0.083_1);
        let all: Vec<_> = ends.into_iter().chain(between).collect();
        for len in [1, 7, 8, 9, all.len()] {
            let mut together = all[..len].to_vec();
            sigmoid_all(1.3, &mut together);
            for (x, together) in all.iter().zip(together) {
                assert_eq!(exp(*x).to_bits(), naive(*x).to_bits(), "{x}");
                let alone = 1.0 / (1.0 + naive(-(1.3 * x)));
                assert_eq!(together.to_bits(), alone.to_bits(), "{x} among {len}");
            }
        }
        assert!(exp(f64::NAN).is_nan());
    }
}
