//! The exponential function in plain arithmetic: consumes a number, produces `e` to its power, the
//! same to the last bit on every machine and in every build, which a system's own may not be.

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

/// `e^x` to within 1e-15 of it, relatively. Beyond 700 either way it is as at 700.
///
/// By Cody and Waite: `x = k ln 2 + r`, a series for `e^r`, and `k` into the exponent.
pub(super) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let k = (x * std::f64::consts::LOG2_E + ROUNDER) - ROUNDER;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let series = INVERSE_FACTORIALS.iter().fold(0.0, |sum, term| sum * r + term);
    series * f64::from_bits(((k as i64 + 1_023) as u64) << 52)
}

/// `1 / (1 + e^-x)`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
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
}
