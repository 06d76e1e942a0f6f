//! Random numbers that are the same in every run: SplitMix64.

#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of them, each as likely as its weight says.
    pub(crate) fn weighed<T: Copy>(&mut self, of: &[(T, usize)]) -> T {
        let mut at = self.below(of.iter().map(|(_, weight)| weight).sum());
        for (it, weight) in of {
            match at.checked_sub(*weight) {
                Some(less) => at = less,
                None => return *it,
            }
        }
        unreachable!("the number is less than the sum of the weights")
    }
}
