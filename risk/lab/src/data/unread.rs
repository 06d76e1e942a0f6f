//! Columns that nothing is read from: consumes their cells and the labels while a file is read,
//! produces a warning for each that gives the label away.
//!
//! Guarantees bounded memory, whatever the cells hold: of a column with more than [`VALUES_MAX`]
//! distinct values, only its usual value and all others are told apart.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{
    leaks::{Leak, LeakPlace, LeakSign},
    separation::{Group, marked, roc_auc},
};

/// With more distinct values than this, a column is no set of categories.
const VALUES_MAX: usize = 256;

/// A longer cell is text, and its column no set of categories.
const VALUE_BYTES_MAX: usize = 128;

/// The table is only ever asked, never walked, so the seed does not show in any result.
const HASHER: FixedState = FixedState::with_seed(0);

/// What the columns that are not read tell of the labels.
#[derive(Debug, Default)]
pub(super) struct UnreadColumns(Vec<Column>);

#[derive(Debug)]
struct Column {
    name: String,
    /// Its place in a line.
    place: usize,
    empty: Group,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    Categories(Categories),
    Many { usual: Value, others: Group },
}

#[derive(Debug, Default)]
struct Categories {
    values: Vec<Value>,
    numbers: HashTable<u32>,
    /// Cells repeat: the value of the payment before is looked at first.
    last: usize,
}

#[derive(Clone, Debug, Default)]
struct Value {
    bytes: Box<[u8]>,
    group: Group,
}

impl UnreadColumns {
    /// For the columns of these places in the header.
    pub(super) fn new(header: &[String], places: &[usize]) -> Self {
        let column = |place: &usize| Column {
            name: header[*place].clone(),
            place: *place,
            empty: Group::default(),
            cells: Cells::Categories(Categories::default()),
        };
        Self(places.iter().map(column).collect())
    }

    /// Takes the cells of a payment over; `cell` gives the one at a place.
    pub(super) fn take<'a>(&mut self, is_fraud: bool, cell: impl Fn(usize) -> &'a [u8]) {
        for column in &mut self.0 {
            column.take(cell(column.place), is_fraud);
        }
    }

    /// The columns that give the label away.
    pub(super) fn leaks(&self) -> Vec<Leak> {
        let leak = |column: &Column| {
            column.sign().map(|sign| Leak {
                column: column.name.clone(),
                place: LeakPlace::Unread,
                sign,
            })
        };
        self.0.iter().filter_map(leak).collect()
    }
}

impl Column {
    fn take(&mut self, cell: &[u8], is_fraud: bool) {
        // Most cells begin with a letter or a digit, and need no second look.
        let is_filled = cell.first().is_some_and(u8::is_ascii_graphic);
        if !is_filled && cell.trim_ascii().is_empty() {
            self.empty.add(is_fraud);
            return;
        }
        match &mut self.cells {
            Cells::Many { usual, .. } if *usual.bytes == *cell => usual.group.add(is_fraud),
            Cells::Many { others, .. } => others.add(is_fraud),
            Cells::Categories(categories) => match categories.group_of(cell) {
                Some(group) => group.add(is_fraud),
                None => {
                    let (usual, mut others) = categories.usual_and_others();
                    others.add(is_fraud);
                    self.cells = Cells::Many { usual, others };
                }
            },
        }
    }

    /// Looks at whether it is filled in first, then at its values.
    fn sign(&self) -> Option<LeakSign> {
        let (values, mut filled) = (self.values(), Group::default());
        values.iter().for_each(|(_, group)| filled.join(*group));
        let filling = [filled, self.empty];
        if roc_auc(&filling).is_some() {
            return Some(LeakSign::FilledByLabel);
        }
        let of_values = || {
            let empty = ("is empty".to_owned(), self.empty);
            let (words, groups): (Vec<_>, Vec<_>) = values.iter().cloned().chain([empty]).unzip();
            match roc_auc(&groups) {
                Some(auc) => Some(LeakSign::Separates(auc)),
                None => marked(&groups, |value| words[value].clone()),
            }
        };
        marked(&filling, |empty| ["is filled in", "is empty"][empty].to_owned()).or_else(of_values)
    }

    /// What its cells that are filled in hold, in words.
    fn values(&self) -> Vec<(String, Group)> {
        let named = |value: &Value, is: &str| {
            (format!("{is} \"{}\"", String::from_utf8_lossy(&value.bytes)), value.group)
        };
        match &self.cells {
            Cells::Categories(categories) => {
                categories.values.iter().map(|value| named(value, "is")).collect()
            }
            Cells::Many { usual, others } => {
                vec![named(usual, "is"), (named(usual, "is not").0, *others)]
            }
        }
    }
}

impl Categories {
    /// What was counted of this value, or `None` if there are too many by now.
    fn group_of(&mut self, cell: &[u8]) -> Option<&mut Group> {
        let is_last = self.values.get(self.last).is_some_and(|last| *last.bytes == *cell);
        if !is_last {
            self.last = self.number(cell)?;
        }
        Some(&mut self.values[self.last].group)
    }

    fn number(&mut self, cell: &[u8]) -> Option<usize> {
        let (values, hash) = (&mut self.values, HASHER.hash_one(cell));
        let found = self.numbers.find(hash, |number| *values[*number as usize].bytes == *cell);
        if let Some(number) = found {
            return Some(*number as usize);
        }
        let number = values.len();
        if number == VALUES_MAX || cell.len() > VALUE_BYTES_MAX {
            return None;
        }
        values.push(Value { bytes: cell.into(), group: Group::default() });
        self.numbers.insert_unique(hash, number as u32, |number| {
            HASHER.hash_one(&*values[*number as usize].bytes)
        });
        Some(number)
    }

    /// The most frequent value so far, and all others together.
    fn usual_and_others(&self) -> (Value, Group) {
        let most = self.values.iter().enumerate().max_by_key(|(_, value)| value.group.all);
        let mut others = Group::default();
        for (number, value) in self.values.iter().enumerate() {
            if most.is_none_or(|(most, _)| most != number) {
                others.join(value.group);
            }
        }
        (most.map_or_else(Value::default, |(_, value)| value.clone()), others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cell of a column, from the row and its label.
    type Cell = fn(usize, bool) -> String;

    fn or_empty(is_filled: bool, text: String) -> String {
        if is_filled { text } else { String::new() }
    }

    /// Of 8,000 payments, every fortieth is fraud.
    const FRAUDS: usize = 200;

    #[test]
    fn columns_are_judged_as_the_table_says() {
        let table: [(&str, Cell, Option<&str>); 14] = [
            (
                "filled for frauds only",
                |row, is_fraud| or_empty(is_fraud, format!("10.{}", row % 3)),
                Some("whether column x is filled in tells the label"),
            ),
            (
                "filled for legitimate payments only",
                |row, is_fraud| or_empty(!is_fraud, row.to_string()),
                Some("whether column x is filled in tells the label"),
            ),
            (
                "filled for three frauds of five",
                |row, is_fraud| or_empty(is_fraud && row / 40 % 5 < 3, row.to_string()),
                Some(
                    "where column x is filled in, 100.0 % are fraud, and 60.0 % of all frauds are there",
                ),
            ),
            (
                "filled for two frauds of five",
                |row, is_fraud| or_empty(is_fraud && row / 40 % 5 < 2, row.to_string()),
                None,
            ),
            (
                "the label in words",
                |_, is_fraud| if is_fraud { "bad" } else { "good" }.to_owned(),
                Some("column x alone separates fraud with a ROC AUC of 1.0000"),
            ),
            (
                "values of frauds, of which some have a usual one",
                |row, is_fraud| match (is_fraud, row / 40 % 5) {
                    (true, 0) => "stolen".to_owned(),
                    (true, 1 | 2) => "lost".to_owned(),
                    _ => format!("code {}", row % 7),
                },
                Some("where column x is \"stolen\" or another of 2 values, 100.0 % are fraud"),
            ),
            (
                "an amount that is charged back, else nothing",
                |row, is_fraud| if is_fraud { format!("{row}.50") } else { "0.00".to_owned() },
                Some("column x alone separates fraud"),
            ),
            ("never filled in", |_, _| String::new(), None),
            ("always the same", |_, _| "EUR".to_owned(), None),
            ("one of its own each", |row, _| format!("session {row}"), None),
            ("two payments share one", |row, _| format!("order {}", row / 2), None),
            ("a category", |row, _| format!("branch {}", row % 37), None),
            (
                "a category in which fraud is frequent",
                |row, is_fraud| format!("risk {}", if is_fraud { row / 40 % 3 } else { row % 3 }),
                None,
            ),
            ("long texts", |row, _| format!("{row} {}", "text ".repeat(40)), None),
        ];
        for (what, cell, expected) in table {
            let mut unread = UnreadColumns::new(&["read".to_owned(), "x".to_owned()], &[1]);
            let mut frauds = 0;
            for row in 0..8_000 {
                let is_fraud = row % 40 == 7;
                frauds += usize::from(is_fraud);
                let cell = cell(row, is_fraud);
                unread.take(is_fraud, |place| {
                    assert_eq!(place, 1, "only what is not read is looked at");
                    cell.as_bytes()
                });
            }
            assert_eq!(frauds, FRAUDS);
            let told = unread.leaks().first().map(ToString::to_string);
            match (&told, expected) {
                (None, None) => (),
                (Some(told), Some(expected)) => {
                    assert!(told.starts_with(expected), "{what}: {told}");
                    assert!(told.contains("; it is not read now"), "{what}: {told}");
                }
                _ => panic!("{what}: {told:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn few_payments_per_value_prove_nothing() {
        // Ten frauds in 300 payments, 150 values of two payments each.
        let mut unread = UnreadColumns::new(&["x".to_owned()], &[0]);
        for row in 0..300_usize {
            let cell = (row / 2).to_string();
            unread.take(row % 30 == 0, |_| cell.as_bytes());
        }
        assert_eq!(unread.leaks(), []);
    }
}
