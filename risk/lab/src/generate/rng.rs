//! Random numbers: consumes a seed and the number of a stream, produces numbers that are the same
//! on every machine.
//!
//! xoshiro256++ seeded by SplitMix64, as its authors advise (Blackman and Vigna, "Scrambled linear
//! pseudorandom number generators", 2021). Not for secrets.

use super::arithmetic::{exp2, ln};

/// SplitMix64's step. One-to-one, so that different numbers stay different.
pub(super) fn mix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A mix of 32 bits, one-to-one (Wellons' `lowbias32`).
pub(super) fn mix32(x: u32) -> u32 {
    let mut z = x ^ (x >> 16);
    z = z.wrapping_mul(0x7feb_352d);
    z = (z ^ (z >> 15)).wrapping_mul(0x846c_a68b);
    z ^ (z >> 16)
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// One of the independent streams of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut z = mix64(seed) ^ mix64(stream.wrapping_mul(0xd134_2543_de82_ef95));
        let state = std::array::from_fn(|_| {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix64(z)
        });
        Self { state }
    }

    pub(super) fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in 0 to `bound - 1`. The bias of the multiplication (Lemire, 2019, without its
    /// rejection) is below `bound` / 2^64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "nothing is below 0");
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// An index of a list of `len` items.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// An index that prefers the front: half of the draws fall into the first quarter.
    pub(super) fn index_skewed(&mut self, len: usize) -> usize {
        let u = self.unit();
        // Below `len` also after rounding, because u * u < 1 - 2^-53.
        ((u * u * len as f64) as usize).min(len - 1)
    }

    /// Uniform in `min` to `max`, both included.
    pub(super) fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.below(max - min + 1)
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in [`min`, `max`).
    pub(super) fn within(&mut self, min: f64, max: f64) -> f64 {
        min + (max - min) * self.unit()
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -ln(1.0 - self.unit())
    }

    /// Nearly normal with mean 0 and deviation 1, never beyond 3.5: the sum of four uniform
    /// numbers of 16 bits.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
        // Each has variance 1/12, so the sum's deviation is sqrt(1/3).
        (sum as f64 / 65_535.0 - 2.0) * 1.732_050_807_568_877_2
    }

    /// A factor around 1 whose binary logarithm is normal with deviation `spread`.
    pub(super) fn factor(&mut self, spread: f64) -> f64 {
        exp2(spread * self.normal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_authors() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let expected = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!(std::array::from_fn(|_| rng.bits()), expected);
        // SplitMix64 from 0.
        assert_eq!(mix64(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn streams_differ() {
        let first = |seed, stream| Rng::new(seed, stream).bits();
        let mut firsts: Vec<_> =
            (0..30).flat_map(|seed| (0..30).map(move |stream| first(seed, stream))).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 900);
    }

    #[test]
    fn distributions_have_the_stated_moments() {
        let mut rng = Rng::new(1, 1);
        let count = 200_000;
        let moments = |draw: &mut dyn FnMut() -> f64| {
            let draws: Vec<f64> = (0..count).map(|_| draw()).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(count);
            let variance =
                draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(count);
            (mean, variance.sqrt())
        };
        let near = |(mean, deviation): (f64, f64), expected: (f64, f64)| {
            (mean - expected.0).abs() < 0.02 && (deviation - expected.1).abs() < 0.02
        };
        assert!(near(moments(&mut || rng.unit()), (0.5, 0.2887)));
        assert!(near(moments(&mut || rng.normal()), (0.0, 1.0)));
        assert!(near(moments(&mut || rng.exponential()), (1.0, 1.0)));
        assert!(near(moments(&mut || rng.between(1, 6) as f64), (3.5, 1.708)));
        let front = (0..count).filter(|_| rng.index_skewed(1_000) < 250).count();
        assert!((98_000..102_000).contains(&front), "{front}");
    }
}
