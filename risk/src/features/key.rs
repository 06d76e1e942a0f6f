//! Entity keys: consumes the kind and the id of an entity, produces 64 bits that stand for it.
//!
//! Guarantees the same key on every machine and in every version, because snapshots keep keys. The
//! hash is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).

use pulp::{Arch, Simd, WithSimd};

/// Ids that are hashed in one go.
const LANES: usize = 32;

/// Stands for one entity among those of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKey(pub u64);

impl EntityKey {
    /// There is no such entity: the payment names no device, for example.
    pub const ABSENT: Self = Self(0);

    /// The key of an entity. Never absent.
    #[must_use]
    pub fn of(kind: &str, id: &[u8]) -> Self {
        KeyMaker::new(kind).key(id)
    }

    /// The key of an ordered pair of entities; absent where one of them is.
    #[must_use]
    pub fn pair(first: Self, second: Self) -> Self {
        if first.is_absent() || second.is_absent() {
            return Self::ABSENT;
        }
        let mut hash = SipHash::new(PAIR_SEED, 0);
        hash.word(first.0);
        hash.word(second.0);
        Self::present(hash.finish(16 << 56))
    }

    /// Whether there is no such entity.
    #[must_use]
    pub fn is_absent(self) -> bool {
        self == Self::ABSENT
    }

    fn present(hash: u64) -> Self {
        Self(hash.max(1))
    }
}

/// Makes the keys of one kind of entity, so that the name of the kind is hashed once.
#[derive(Clone, Copy, Debug)]
pub struct KeyMaker {
    seed: u64,
}

impl KeyMaker {
    /// For this kind of entity.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self { seed: sip(KIND_SEED, 0, kind.as_bytes()) }
    }

    /// The key of the entity of this id. Never absent.
    #[must_use]
    pub fn key(&self, id: &[u8]) -> EntityKey {
        EntityKey::present(sip(self.seed, KIND_SEED, id))
    }

    /// Writes the keys of the entities whose ids are these numbers, each 16 bytes with the highest first:
    /// one to every so many places of `keys`, from the first on. They are hashed side by side.
    ///
    /// # Panics
    /// If there are fewer places than ids, or every is none.
    pub fn put_keys_of_numbers(&self, ids: &[u128], keys: &mut [EntityKey], every: usize) {
        assert!(keys.len().div_ceil(every) >= ids.len(), "each id has a place for its key");
        Arch::new().dispatch(Hashes { seed: self.seed, ids, keys, every });
    }
}

const KIND_SEED: u64 = 0x6d69_6c6c_7261_6365;
const PAIR_SEED: u64 = 0x7061_6972_6f66_7477;

fn sip(key0: u64, key1: u64, bytes: &[u8]) -> u64 {
    let mut hash = SipHash::new(key0, key1);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash.word(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hash.finish(u64::from_le_bytes(last) | (bytes.len() as u64) << 56)
}

/// The hashes of numbers, as a task that can be compiled for several processors.
struct Hashes<'a> {
    seed: u64,
    ids: &'a [u128],
    keys: &'a mut [EntityKey],
    every: usize,
}

impl WithSimd for Hashes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let places = self.keys.chunks_mut(self.every * LANES);
        for (ids, keys) in self.ids.chunks(LANES).zip(places) {
            let (mut high, mut low, mut hashes) = ([0; LANES], [0; LANES], [0; LANES]);
            for ((high, low), id) in high.iter_mut().zip(&mut low).zip(ids) {
                (*high, *low) = ((id >> 64) as u64, *id as u64);
            }
            for ((hash, high), low) in hashes.iter_mut().zip(high).zip(low) {
                let mut sip = SipHash::new(self.seed, KIND_SEED);
                sip.word(high.swap_bytes());
                sip.word(low.swap_bytes());
                *hash = sip.finish(16 << 56);
            }
            for (key, hash) in keys.iter_mut().step_by(self.every).zip(&hashes[..ids.len()]) {
                *key = EntityKey::present(*hash);
            }
        }
    }
}

struct SipHash([u64; 4]);

impl SipHash {
    #[inline(always)]
    fn new(key0: u64, key1: u64) -> Self {
        Self([
            key0 ^ 0x736f_6d65_7073_6575,
            key1 ^ 0x646f_7261_6e64_6f6d,
            key0 ^ 0x6c79_6765_6e65_7261,
            key1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    #[inline(always)]
    fn finish(mut self, last: u64) -> u64 {
        self.word(last);
        self.0[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.0.iter().fold(0, |all, word| all ^ word)
    }

    #[inline(always)]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots keep keys: a change here makes every profile a stranger to its entity.
    #[test]
    fn keys_stay_what_they_are() {
        assert_eq!(EntityKey::of("payer", b""), EntityKey(0x6b6e_c628_c94f_8973));
        let sixteen = EntityKey::of("payer", b"0123456789abcdef");
        assert_eq!(sixteen, EntityKey(0x9d9f_898f_5b87_9f2d));
        assert_eq!(EntityKey::pair(EntityKey(1), EntityKey(2)), EntityKey(0x820f_643b_4d20_2588));
    }

    /// The standard library's hasher is SipHash-1-3 with a key of zeros.
    #[test]
    fn the_hash_is_siphash_1_3() {
        let bytes: Vec<u8> = (0..40).collect();
        for len in 0..bytes.len() {
            let mut theirs = std::hash::DefaultHasher::new();
            std::hash::Hasher::write(&mut theirs, &bytes[..len]);
            assert_eq!(sip(0, 0, &bytes[..len]), std::hash::Hasher::finish(&theirs), "{len} bytes");
        }
    }

    #[test]
    fn numbers_side_by_side_have_the_keys_of_their_bytes() {
        let maker = KeyMaker::new("payer");
        let id = |n: u128| n.wrapping_mul(0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978) ^ n << 100;
        for (count, every) in [(0, 1), (1, 2), (31, 1), (32, 3), (33, 2), (100, 2)] {
            let ids: Vec<_> = (0..count).map(id).collect();
            let mut keys = vec![EntityKey(9); ids.len() * every];
            maker.put_keys_of_numbers(&ids, &mut keys, every);
            for (place, key) in keys.iter().enumerate() {
                let expected = match place % every {
                    0 => maker.key(&ids[place / every].to_be_bytes()),
                    _ => EntityKey(9),
                };
                assert_eq!(*key, expected, "{count} ids, place {place}");
            }
        }
    }

    #[test]
    fn kinds_and_orders_differ() {
        let (one, other) = (EntityKey::of("payer", b"7"), EntityKey::of("payee", b"7"));
        assert_ne!(one, other);
        assert_ne!(EntityKey::pair(one, other), EntityKey::pair(other, one));
        assert_eq!(EntityKey::pair(one, EntityKey::ABSENT), EntityKey::ABSENT);
        assert_eq!(EntityKey::pair(EntityKey::ABSENT, one), EntityKey::ABSENT);
    }
}
