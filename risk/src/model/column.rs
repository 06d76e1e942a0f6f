//! Columns: consumes rows of features, produces the numbers that the nodes of trees compare.
//!
//! Guarantees that one comparison, `number > threshold`, is all that a node needs, whatever its rule
//! for missing values: a missing value is NaN, which is greater than nothing, so it goes left; where
//! it has to go right, the node looks at the negated feature and its children change places.

/// Rows that are scored side by side.
pub(super) const LANES: usize = 16;

/// LightGBM takes values this near to zero for zero where zero stands for a missing value.
pub(super) const ZERO_MAX: f32 = 1e-35;

/// How a feature becomes a column. The numbers are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Form {
    /// The feature.
    Plain = 0,
    /// The feature with its sign changed.
    Negated = 1,
    /// The feature, a missing value as zero.
    MissingAsZero = 2,
    /// The feature, zero as a missing value.
    ZeroAsMissing = 3,
    /// The same, with its sign changed.
    ZeroAsMissingNegated = 4,
}

impl Form {
    const ALL: [Self; 5] = [
        Self::Plain,
        Self::Negated,
        Self::MissingAsZero,
        Self::ZeroAsMissing,
        Self::ZeroAsMissingNegated,
    ];

    /// The form of this number, if there is one.
    pub(super) fn of_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// One feature in one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Column {
    pub(super) feature: u32,
    pub(super) form: Form,
}

impl Column {
    /// The key that a node compares.
    pub(super) fn of(self, row: &[f32]) -> u32 {
        key(self.formed(row[self.feature as usize]))
    }

    #[inline(always)]
    fn formed(self, value: f32) -> f32 {
        let unless_zero = || if value.abs() <= ZERO_MAX { f32::NAN } else { value };
        match self.form {
            Form::Plain => value,
            Form::Negated => -value,
            Form::MissingAsZero if value.is_nan() => 0.0,
            Form::MissingAsZero => value,
            Form::ZeroAsMissing => unless_zero(),
            Form::ZeroAsMissingNegated => -unless_zero(),
        }
    }
}

/// A whole number for a float: in the same order, zeros alike, NaN below all others. Comparing keys
/// takes half the instructions of comparing floats, and vectors of them pick without branches.
#[inline(always)]
pub(super) fn key(number: f32) -> u32 {
    let bits = (number + 0.0).to_bits(); // -0 + 0 is +0
    let all_if_negative = (bits.cast_signed() >> 31).cast_unsigned();
    let key = bits ^ (all_if_negative | 1 << 31);
    if number.is_nan() { 0 } else { key }
}

/// The float of a key; of NaN's, some NaN.
pub(super) fn number_of(key: u32) -> f32 {
    let all_if_positive = (key.cast_signed() >> 31).cast_unsigned();
    f32::from_bits(key ^ (!all_if_positive | 1 << 31))
}

/// Writes a tile: for each column, the keys of up to [`LANES`] rows next to each other. Lanes beyond
/// the last row hold anything.
///
/// In two passes: a vector that was just written number by number has to wait until all of them have left
/// for memory, and here it is read much later.
#[inline(always)]
pub(super) fn fill_tile(columns: &[Column], rows: &[f32], stride: usize, tile: &mut [u32]) {
    for (column, lanes) in columns.iter().zip(tile.as_chunks_mut::<LANES>().0) {
        let feature = column.feature as usize;
        for (lane, row) in lanes.iter_mut().zip(rows.chunks_exact(stride)) {
            *lane = row[feature].to_bits();
        }
    }
    for (column, lanes) in columns.iter().zip(tile.as_chunks_mut::<LANES>().0) {
        if column.form != Form::Plain {
            for lane in &mut *lanes {
                *lane = column.formed(f32::from_bits(*lane)).to_bits();
            }
        }
        for lane in lanes {
            *lane = key(f32::from_bits(*lane));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{key, number_of};

    #[test]
    fn keys_are_in_the_order_of_their_numbers() {
        let tiny = f32::from_bits(1);
        let negative = [f32::NEG_INFINITY, f32::MIN, -1.5, -1e-40, -tiny];
        let ascending = [negative.as_slice(), &[0.0, tiny, 1e-40, 1.5, f32::MAX, f32::INFINITY]];
        let keys: Vec<_> = ascending.concat().into_iter().map(key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert!(ascending.concat().iter().all(|number| number_of(key(*number)) == *number));
        assert_eq!(key(-0.0), key(0.0));
        assert!(number_of(key(f32::NAN)).is_nan());
        assert!(key(f32::NAN) < keys[0] && key(-f32::NAN) < keys[0]);
    }
}
