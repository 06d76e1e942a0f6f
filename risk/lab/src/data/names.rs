//! Names: consumes the text of customers, terminals and the like, produces small numbers for them.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Distinct texts, numbered in the order in which they first occurred.
#[derive(Clone, Debug, Default)]
pub struct Names {
    text: String,
    ends: Vec<usize>,
    numbers: HashTable<u32>,
}

/// The table is only ever asked, never walked, so the seed does not show in any result.
const HASHER: FixedState = FixedState::with_seed(0);

impl Names {
    /// The number of this text, a new one if it has not occurred before.
    ///
    /// # Panics
    /// Beyond four thousand million distinct texts.
    pub fn number(&mut self, name: &str) -> u32 {
        let hash = HASHER.hash_one(name.as_bytes());
        let (text, ends) = (&self.text, &self.ends);
        if let Some(number) =
            self.numbers.find(hash, |number| of(text, ends, *number) == name.as_bytes())
        {
            return *number;
        }
        let number = u32::try_from(self.ends.len()).expect("fewer than 2^32 distinct names");
        self.text.push_str(name);
        self.ends.push(self.text.len());
        let (text, ends) = (&self.text, &self.ends);
        self.numbers.insert_unique(hash, number, |number| HASHER.hash_one(of(text, ends, *number)));
        number
    }

    /// The text that has this number.
    ///
    /// # Panics
    /// When nothing has this number.
    #[must_use]
    pub fn name(&self, number: u32) -> &str {
        &self.text[range(&self.ends, number)]
    }

    /// How many distinct texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len() as u32).map(|number| self.name(number))
    }
}

fn range(ends: &[usize], number: u32) -> std::ops::Range<usize> {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    start..ends[number]
}

fn of<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a [u8] {
    &text.as_bytes()[range(ends, number)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_keeps_its_number() {
        let mut names = Names::default();
        for round in 0..2 {
            for n in 0..1_000_u32 {
                assert_eq!(names.number(&format!("c{n}")), n, "round {round}");
            }
        }
        assert_eq!((names.len(), names.name(0), names.name(999)), (1_000, "c0", "c999"));
        assert_eq!(names.number(""), 1_000, "an absent name is a name");
        assert!(names.iter().eq((0..1_000).map(|n| format!("c{n}")).chain([String::new()])));
    }
}
