//! Sketches: consumes keys, produces about how many different ones there were.
//!
//! HyperLogLog (Flajolet et al., 2007) with 128 registers of four bits in eight words: the standard
//! error is 1.04 / sqrt(128) = 9 %, less for small numbers, which linear counting answers
//! (Whang et al., 1990). Registers hold up to 15, so it counts up to about two million.

use crate::features::arithmetic::ln;

pub(super) const SKETCH_WORDS: usize = 8;
const REGISTERS: u64 = 128;
const RANK_MAX: u64 = 15;
const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// Adds a key.
pub(super) fn add(sketch: &mut [u64], key: u64) {
    // Keys need not be hashes, so this is one (the finalizer of MurmurHash3).
    let mut hash = key;
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ hash >> 33).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    let register = hash % REGISTERS;
    let rank = (u64::from((hash >> 7).trailing_zeros()) + 1).min(RANK_MAX);
    let (word, shift) = ((register / 16) as usize, register % 16 * 4);
    if sketch[word] >> shift & RANK_MAX < rank {
        sketch[word] = sketch[word] & !(RANK_MAX << shift) | rank << shift;
    }
}

/// Takes over all keys of another sketch.
pub(super) fn merge(sketch: &mut [u64; SKETCH_WORDS], other: &[u64]) {
    for (word, other) in sketch.iter_mut().zip(other) {
        let low = greater(*word & LOW, *other & LOW);
        let high = greater(*word >> 4 & LOW, *other >> 4 & LOW);
        *word = low | high << 4;
    }
}

/// Byte by byte.
fn greater(one: u64, other: u64) -> u64 {
    let (one, other) = (one.to_le_bytes(), other.to_le_bytes());
    u64::from_le_bytes(std::array::from_fn(|n| one[n].max(other[n])))
}

/// About how many keys there are.
pub(super) fn estimate(sketch: &[u64; SKETCH_WORDS]) -> f64 {
    let (mut zeros, mut sum) = (0_u32, 0.0);
    for word in sketch {
        for register in 0..16 {
            let rank = word >> (register * 4) & RANK_MAX;
            zeros += u32::from(rank == 0);
            sum += 1.0 / f64::from(1_u32 << rank);
        }
    }
    let registers = REGISTERS as f64;
    let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
    match zeros {
        128 => 0.0,
        1.. if raw <= 2.5 * registers => registers * ln(registers / f64::from(zeros)),
        _ => raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_near_and_grow_with_the_number() {
        for (keys, error) in [
            (0_u64, 0.0),
            (1, 0.01),
            (5, 0.15),
            (30, 0.15),
            (200, 0.2),
            (5_000, 0.25),
            (500_000, 0.3),
        ] {
            for salt in 0..5_u64 {
                let (mut all, mut halves) = ([0; SKETCH_WORDS], [[0; SKETCH_WORDS]; 2]);
                for key in 0..keys {
                    let key = key + salt * 1_000_000;
                    add(&mut all, key);
                    add(&mut all, key);
                    add(&mut halves[(key % 2) as usize], key);
                }
                let estimated = estimate(&all);
                let off = (estimated - keys as f64).abs();
                assert!(off <= keys as f64 * error, "{keys} keys: {estimated}");
                let [mut one, other] = halves;
                merge(&mut one, &other);
                assert_eq!(one, all, "two halves are a whole");
            }
        }
    }
}
