//! Fields of a catalogue: consumes TOML with its positions, produces typed values, and keeps every
//! problem with its line.

use std::{cell::RefCell, fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::features::Span;

/// What is wrong with a catalogue: all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the feature catalogue can't be used: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct CatalogueError {
    /// In the order of the file.
    pub problems: Vec<CatalogueProblem>,
}

/// One problem, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CatalogueProblem {
    /// Counted from one.
    pub line: usize,
    /// The entity or the feature, if it has a name.
    pub name: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for CatalogueProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, name, what } = self;
        match name.is_empty() {
            true => write!(f, "line {line}: {what}"),
            false => write!(f, "line {line}, {name:?}: {what}"),
        }
    }
}

/// Collects problems.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: RefCell<Vec<CatalogueProblem>>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, found: RefCell::default() }
    }

    pub(super) fn add(&self, at: usize, name: &str, what: impl Into<String>) {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let problem = CatalogueProblem { line, name: name.to_owned(), what: what.into() };
        self.found.borrow_mut().push(problem);
    }

    /// Goes on only if nothing is wrong.
    pub(super) fn none(&self) -> Result<(), CatalogueError> {
        let mut problems = self.found.take();
        problems.sort();
        if problems.is_empty() { Ok(()) } else { Err(CatalogueError { problems }) }
    }
}

/// One table of the file, whose fields are asked for by name.
pub(super) struct Fields<'a> {
    table: &'a DeTable<'a>,
    at: Range<usize>,
    problems: &'a Problems<'a>,
    pub(super) name: String,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        table: &'a DeTable<'a>,
        at: Range<usize>,
        problems: &'a Problems<'a>,
    ) -> Self {
        let name = table.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default();
        Self { table, at, problems, name: name.to_owned(), asked: RefCell::default() }
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    fn typed<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            let found = match value.get_ref().as_str() {
                Some(text) => format!("{text:?}"),
                None => format!("a value of type {}", value.get_ref().type_str()),
            };
            self.problem(key, format!("{key} must be {expected}, not {found}"));
        }
        read
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        self.typed(key, "text in quotes", |value| value.as_str())
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    pub(super) fn number(&self, key: &'static str) -> Option<f64> {
        self.typed(key, "a finite number", |value| {
            let text = match value {
                DeValue::Integer(integer) => integer.as_str(),
                DeValue::Float(float) => float.as_str(),
                _ => return None,
            };
            text.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
        })
    }

    pub(super) fn span(&self, key: &'static str) -> Option<Span> {
        let expected = "a whole number of s, m, h, d or w, such as \"90s\" or \"7d\"";
        self.typed(key, expected, |value| value.as_str().and_then(Span::parse))
    }

    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<&'a str>> {
        self.typed(key, "a list of names, such as [\"payer\", \"payee\"]", |value| match value {
            DeValue::String(one) => Some(vec![one.as_ref()]),
            DeValue::Array(array) => array.iter().map(|item| item.get_ref().as_str()).collect(),
            _ => None,
        })
    }

    pub(super) fn tables(&self, key: &'static str) -> Vec<Fields<'a>> {
        let tables = self.typed(key, "a list of tables", |value| {
            let items = value.as_array()?.iter();
            let fields = items.map(|item| {
                Some(Fields::new(item.get_ref().as_table()?, item.span(), self.problems))
            });
            fields.collect::<Option<Vec<_>>>()
        });
        tables.unwrap_or_default()
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// One of a few names; what is missing or unknown is a problem.
    pub(super) fn one_of<T>(
        &self,
        key: &'static str,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        named: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let found = named(text);
        if found.is_none() {
            self.problem(key, format!("{key} {text:?} is unknown{}", advice(text, names)));
        }
        found
    }

    /// Remembers a problem with this field, or with the whole table where the field is missing.
    pub(super) fn problem(&self, key: &str, what: impl Into<String>) {
        let at = self.table.get_key_value(key).map_or(self.at.start, |(key, _)| key.span().start);
        self.problems.add(at, &self.name, what);
    }

    /// What nobody asked for is a problem.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table {
            let word: &str = key.get_ref();
            if !asked.contains(&word) {
                let advice = advice(word, asked.iter());
                let what = format!("there is no setting {word:?} here{advice}");
                self.problems.add(key.span().start, &self.name, what);
            }
        }
    }
}

/// Names the nearest known word, or all of them where none is near and they are few.
pub(super) fn advice(text: &str, names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let likeness = |name: &str| strsim::jaro_winkler(text, name);
    let nearest = names
        .iter()
        .map(AsRef::as_ref)
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    match nearest {
        Some(nearest) if likeness(nearest) > 0.75 => format!(": did you mean {nearest:?}?"),
        Some(_) if names.len() <= 30 => {
            let all: Vec<_> = names.iter().map(AsRef::as_ref).collect();
            format!(": there are {}", all.join(", "))
        }
        _ => String::new(),
    }
}
