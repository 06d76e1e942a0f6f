//! Text templates: consumes a row's cells, produces text such as `{payee_bank}-{payee_account}`
//! filled in. Guarantees that a column which the header lacks is found before the first row.

use std::{borrow::Cow, fmt, str::FromStr};

use csv::ByteRecord;
use serde::{Deserialize, Deserializer, de};

use crate::row_error::{Defect, RowReason};

/// Text with `{column}` in it; `{{` and `}}` stand for the braces themselves. Without a column it
/// is a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part<Column> {
    Text(String),
    Column(Column),
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without a column and `}`.
    #[error(
        "`{{` must be followed by a column's name and `}}` (write `{{{{` for the brace itself)"
    )]
    Unclosed,
    /// `}` without `{`.
    #[error("`}}` closes nothing (write `}}}}` for the brace itself)")]
    Unopened,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(source: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(TemplateError::Unopened);
            }
            let (column, after) = rest.split_once('}').ok_or(TemplateError::Unclosed)?;
            if column.is_empty() || column.contains('{') {
                return Err(TemplateError::Unclosed);
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Column(column.to_owned()));
            rest = after;
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }
}

impl Template {
    /// The columns that it names, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Column(column) => Some(column.as_str()),
        })
    }

    /// The text itself when the template names no column.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether two columns meet with nothing between them, so that `1` and `23` would read like
    /// `12` and `3`.
    pub(crate) fn is_ambiguous(&self) -> bool {
        let meet = |pair: &[Part<String>]| matches!(pair, [Part::Column(_), Part::Column(_)]);
        self.parts.windows(2).any(meet)
    }

    /// Finds the columns in a header.
    ///
    /// # Errors
    /// The name of the first column that the header lacks.
    pub(crate) fn bind(&self, header: &[String]) -> Result<Bound, String> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            parts.push(match part {
                Part::Text(text) => Part::Text(text.clone()),
                Part::Column(name) => {
                    let index = header.iter().position(|column| column == name);
                    Part::Column(index.ok_or_else(|| name.clone())?)
                }
            });
        }
        let columns = self.columns().collect::<Vec<_>>().join(", ");
        Ok(Bound { parts, columns })
    }
}

/// A template whose columns are positions in a header.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    parts: Vec<Part<usize>>,
    /// The names of its columns, for errors.
    pub(crate) columns: String,
}

/// A template's text for one row.
#[derive(Debug)]
pub(crate) struct Filled<'a> {
    /// Cells are trimmed: spaces around a value are an editor's, not the value's.
    pub(crate) text: Cow<'a, str>,
    /// A column that the template names has nothing in this row.
    pub(crate) has_empty_cell: bool,
}

impl Bound {
    pub(crate) fn is_constant(&self) -> bool {
        self.columns.is_empty()
    }

    pub(crate) fn fill<'a>(&'a self, record: &'a ByteRecord) -> Result<Filled<'a>, Defect> {
        if let [part] = self.parts.as_slice() {
            let text = self.part(part, record)?;
            let has_empty_cell = text.is_empty();
            return Ok(Filled { text: Cow::Borrowed(text), has_empty_cell });
        }
        let mut text = String::new();
        let mut has_empty_cell = false;
        for part in &self.parts {
            let piece = self.part(part, record)?;
            has_empty_cell |= piece.is_empty();
            text.push_str(piece);
        }
        Ok(Filled { text: Cow::Owned(text), has_empty_cell })
    }

    fn part<'a>(
        &'a self,
        part: &'a Part<usize>,
        record: &'a ByteRecord,
    ) -> Result<&'a str, Defect> {
        match part {
            Part::Text(text) => Ok(text),
            Part::Column(index) => cell(record, *index)
                .map_err(|value| Defect::new(&self.columns, value, RowReason::NotUtf8)),
        }
    }
}

/// A cell without the spaces around it; `Err` has what can be shown of one that is not UTF-8.
pub(crate) fn cell(record: &ByteRecord, index: usize) -> Result<&str, String> {
    let bytes = record.get(index).unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.trim()),
        Err(_) => Err(String::from_utf8_lossy(bytes).into_owned()),
    }
}

impl<'de> Deserialize<'de> for Template {
    /// Text, or a whole number for the fields that are numbers.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;
        impl de::Visitor<'_> for TextOrNumber {
            type Value = Template;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text with {columns} in it")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Template, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Template, E> {
                Ok(Template { parts: vec![Part::Text(number.to_string())] })
            }
        }
        deserializer.deserialize_any(TextOrNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_braces_are_filled_in() {
        let header = ["bank", "account", "note"].map(str::to_owned);
        let record = ByteRecord::from(vec!["YZ", " 871 ", ""]);
        for (template, text, has_empty_cell) in [
            ("{bank}-{account}", "YZ-871", false),
            ("{account}", "871", false),
            ("payer {account}", "payer 871", false),
            ("fixed", "fixed", false),
            ("{{{bank}}}", "{YZ}", false),
            ("{bank} {note}", "YZ ", true),
            ("{note}", "", true),
        ] {
            let template: Template = template.parse().expect("a template");
            let bound = template.bind(&header).expect("known columns");
            let filled = bound.fill(&record).expect("UTF-8");
            assert_eq!((&*filled.text, filled.has_empty_cell), (text, has_empty_cell));
        }
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for (text, error) in [
            ("{bank", TemplateError::Unclosed),
            ("{}", TemplateError::Unclosed),
            ("{a{b}", TemplateError::Unclosed),
            ("bank}", TemplateError::Unopened),
        ] {
            assert_eq!(text.parse::<Template>(), Err(error), "{text}");
        }
        let template: Template = "{bank} {iban}".parse().expect("a template");
        assert_eq!(template.bind(&["bank".to_owned()]).expect_err("no iban"), "iban");
        let ambiguous = |text: &str| text.parse::<Template>().expect("a template").is_ambiguous();
        assert!(ambiguous("{bank}{account}"));
        assert!(!ambiguous("{bank}-{account}"));
    }
}
