//! Unequal choice in constant time: consumes weights, produces numbers drawn with them.
//!
//! Walker's alias method, with the table made as Vose (1991) does: each column holds its own number
//! and one other, so a draw is one column and one toss, whatever the weights are.

use crate::{Numbers, below};

/// Draws numbers below the count of its weights, each as often as its weight says.
#[derive(Clone, Debug)]
pub struct AliasTable {
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Tosses below it, of 2^32, take the column's own number.
    own_below: u32,
    /// What the other tosses take.
    other: u32,
}

impl AliasTable {
    /// A table of weights that are above 0, at least one and fewer than 2^32 of them.
    #[must_use]
    pub fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut left: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let (mut light, mut heavy): (Vec<u32>, Vec<u32>) =
            (0..left.len() as u32).partition(|&number| left[number as usize] < 1.0);
        // What is in neither list at the end differs from 1 by rounding only: it owns its column.
        let mut columns: Vec<Column> =
            (0..left.len() as u32).map(|other| Column { own_below: u32::MAX, other }).collect();
        while let (Some(small), Some(&large)) = (light.pop(), heavy.last()) {
            let share = left[small as usize];
            columns[small as usize] =
                Column { own_below: (share * f64::from(u32::MAX)) as u32, other: large };
            left[large as usize] -= 1.0 - share;
            if left[large as usize] < 1.0 {
                heavy.pop();
                light.push(large);
            }
        }
        Self { columns }
    }

    /// Zipf's law with exponent 1: of `count` numbers in an order of their own, the one at rank `r`
    /// has the weight 1/`r`. The order is shuffled because accounts that are busy were not opened
    /// one after the other.
    #[must_use]
    pub fn zipf(count: u32, numbers: &mut Numbers) -> Self {
        let mut weights: Vec<f64> = (1..=count).map(|rank| 1.0 / f64::from(rank)).collect();
        shuffle(&mut weights, numbers);
        Self::new(&weights)
    }

    /// The number that is drawn.
    pub fn draw(&self, numbers: &mut Numbers) -> u32 {
        let number = numbers.draw();
        let place = below(self.columns.len() as u32, (number >> 32) as u32);
        let column = self.columns[place as usize];
        if (number as u32) < column.own_below { place } else { column.other }
    }
}

/// Puts the items into an order that looks random (Fisher and Yates).
pub(crate) fn shuffle<T>(items: &mut [T], numbers: &mut Numbers) {
    for last in (1..items.len()).rev() {
        items.swap(last, numbers.draw_below(last as u32 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the table takes each number, by its columns, not by drawing.
    fn shares(table: &AliasTable) -> Vec<f64> {
        let mut shares = vec![0.0; table.columns.len()];
        for (place, column) in table.columns.iter().enumerate() {
            let own = f64::from(column.own_below) / f64::from(u32::MAX);
            shares[place] += own / table.columns.len() as f64;
            shares[column.other as usize] += (1.0 - own) / table.columns.len() as f64;
        }
        shares
    }

    #[test]
    fn the_columns_add_up_to_the_weights() {
        for weights in [vec![1.0], vec![1.0, 1.0], vec![8.0, 1.0, 1.0], vec![0.1, 100.0, 3.0, 0.1]]
        {
            let sum: f64 = weights.iter().sum();
            for (share, weight) in shares(&AliasTable::new(&weights)).iter().zip(&weights) {
                assert!((share - weight / sum).abs() < 1e-8, "{share} for {weight} of {sum}");
            }
        }
    }

    #[test]
    fn zipf_has_the_harmonic_shares_and_draws_them() {
        let (count, draws) = (1_000, 400_000);
        let mut numbers = Numbers(7);
        let table = AliasTable::zipf(count, &mut numbers);
        let mut expected = shares(&table);
        let mut drawn = vec![0_u32; count as usize];
        (0..draws).for_each(|_| drawn[table.draw(&mut numbers) as usize] += 1);
        assert!(expected[0] < 0.05, "the busiest account was not opened first");
        expected.sort_by(|a, b| b.total_cmp(a));
        drawn.sort_by(|a, b| b.cmp(a));
        let harmonic: f64 = (1..=count).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 3, 10, 100] {
            let share = 1.0 / harmonic / f64::from(rank);
            assert!((expected[rank as usize - 1] - share).abs() < 1e-7, "rank {rank}");
            let drawn = f64::from(drawn[rank as usize - 1]) / f64::from(draws);
            assert!((drawn / share - 1.0).abs() < 0.1, "rank {rank}: {drawn} for {share}");
        }
    }
}
