//! Places: consumes a text and offsets into it, produces lines and columns.
//!
//! Guarantees that the offset of a character in an expression leads to that character in the file
//! that the expression stands in, through TOML's quotes and escapes.

/// Part of a text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the start of one to the end of another.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }

    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Something wrong in an expression, before it is known where in a file that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) span: Span,
    pub(crate) problem: String,
    pub(crate) help: String,
}

impl Fault {
    pub(crate) fn new(span: Span, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span, problem: problem.into(), help: help.into() }
    }

    /// The same with advice that fits better.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }
}

/// A TOML string, and where each of its bytes comes from.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) text: String,
    offsets: Offsets,
}

#[derive(Clone, Debug)]
enum Offsets {
    /// As it stands in the file, from here on.
    Verbatim(usize),
    /// One for each byte, and one for the end.
    Escaped(Vec<usize>),
    /// Not known to the byte: the string as a whole.
    Whole(Span),
}

impl Located {
    /// A text that is a file of its own.
    pub(crate) fn alone(text: &str) -> Self {
        Self { text: text.to_owned(), offsets: Offsets::Verbatim(0) }
    }

    /// `span` is the string with its quotes. TOML hands out a part of the file itself where there
    /// was nothing to unescape.
    pub(crate) fn new(file: &str, text: &str, span: Span) -> Self {
        let start = (text.as_ptr() as usize).wrapping_sub(file.as_ptr() as usize);
        let verbatim = file.get(start..).is_some_and(|rest| rest.starts_with(text));
        let offsets = if verbatim {
            Offsets::Verbatim(start)
        } else {
            let offsets = unescape(span.of(file), span.start);
            let right = offsets.len() == text.len() + 1;
            if right { Offsets::Escaped(offsets) } else { Offsets::Whole(span) }
        };
        Self { text: text.to_owned(), offsets }
    }

    /// Where in the file a part of the text stands.
    pub(crate) fn in_file(&self, part: Span) -> Span {
        match &self.offsets {
            Offsets::Verbatim(start) => Span::new(start + part.start, start + part.end),
            Offsets::Escaped(offsets) => {
                let last = offsets.len() - 1;
                Span::new(offsets[part.start.min(last)], offsets[part.end.min(last)])
            }
            Offsets::Whole(span) => *span,
        }
    }
}

/// For each byte of what a quoted TOML string means, the offset in the file that it comes from.
fn unescape(quoted: &str, start: usize) -> Vec<usize> {
    let multiline = quoted.starts_with("\"\"\"") && quoted.len() >= 6;
    let quotes = if multiline { 3 } else { 1 };
    let mut offsets = Vec::with_capacity(quoted.len());
    let mut at = quotes;
    if multiline {
        // The line break right behind the quotes is not part of the string.
        at +=
            ["\r\n", "\n"].iter().find(|end| quoted[3..].starts_with(**end)).map_or(0, |e| e.len());
    }
    let end = quoted.len().saturating_sub(quotes);
    while at < end {
        let Some(character) = quoted[at..].chars().next() else { break };
        let (bytes, length) = match character {
            '\\' => escape(&quoted[at..end]),
            other => (other.len_utf8(), other.len_utf8()),
        };
        offsets.extend(std::iter::repeat_n(start + at, bytes));
        at += length;
    }
    offsets.push(start + end);
    offsets
}

/// How many bytes an escape means and how many it is written in.
fn escape(text: &str) -> (usize, usize) {
    let digits = match text.as_bytes().get(1) {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            let rest = text[1..].trim_start_matches([' ', '\t', '\r', '\n']);
            return (0, text.len() - rest.len());
        }
        _ => return (1, 2),
    };
    let code = text.get(2..2 + digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    (code.and_then(char::from_u32).map_or(0, char::len_utf8), 2 + digits)
}

/// Line and column of an offset, from 1 on, and the line itself. Columns are characters.
pub(crate) fn place(text: &str, offset: usize) -> (usize, usize, &str) {
    let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let before = &text[..offset.unwrap_or(0)];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1, line)
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    #[test]
    fn each_character_is_found_where_the_file_has_it() {
        // However the string is quoted, `X` leads to the one in the file.
        for file in [
            "when = 'a X b'",
            "when = \"a X b\"",
            "when = \"a \\\"q\\\" X b\"",
            "when = \"\\u00e9\\t\\x41\\U0001F600 X\"",
            "when = \"\u{e9}\\n X\"",
            "when = '''\n  a\n  X'''",
            "when = \"\"\"\n  a \\\n   \\\"  X b\"\"\"",
            "when = \"\"\"a\\\"\r\n X\"\"\"",
        ] {
            let table = DeTable::parse(file).expect("TOML");
            let (_, value) = table.get_ref().iter().next().expect("one key");
            let toml::de::DeValue::String(text) = value.get_ref() else { panic!("a string") };
            let located = Located::new(file, text, Span::new(value.span().start, value.span().end));
            let at = located.text.find('X').expect("it has one");
            let found = located.in_file(Span::new(at, at + 1));
            assert_eq!(found.of(file), "X", "{file:?} {located:?}");
        }
    }

    #[test]
    fn places_count_from_one_in_characters() {
        let text = "one\ntw\u{f6} x\n";
        for (offset, line, column) in [(0, 1, 1), (3, 1, 4), (4, 2, 1), (9, 2, 5), (99, 3, 1)] {
            let (found_line, found_column, _) = place(text, offset);
            assert_eq!((found_line, found_column), (line, column), "offset {offset}");
        }
    }
}
