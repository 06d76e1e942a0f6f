//! An id in pieces that need no wider alignment than four bytes: what lies beside it in a table is
//! not filled up to sixteen.

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words([u32; 4]);

impl Words {
    #[inline]
    pub(crate) fn of(id: u128) -> Self {
        Self([id as u32, (id >> 32) as u32, (id >> 64) as u32, (id >> 96) as u32])
    }

    #[inline]
    pub(crate) fn number(self) -> u128 {
        let Self([a, b, c, d]) = self;
        u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64 | u128::from(d) << 96
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_comes_back(id in any::<u128>()) {
            prop_assert_eq!(Words::of(id).number(), id);
        }
    }
}
