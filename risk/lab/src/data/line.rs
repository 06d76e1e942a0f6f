//! Lines: consumes bytes of a CSV file, produces the cells of one line after the other.
//!
//! Guarantees that a line without quotes costs one look at each of its bytes and no copy. A quoted
//! cell may hold the delimiter and doubled quotes, not a line break.

use std::ops::Range;

/// The cells of one line.
#[derive(Debug, Default)]
pub(super) struct Line {
    cells: Vec<Range<usize>>,
    /// The cells' text where quotes had to be taken off.
    unquoted: Vec<u8>,
    is_quoted: bool,
}

impl Line {
    /// Splits the line that begins at the buffer's start. Returns how many bytes it takes with its
    /// line feed, or `None` if the buffer ends before the line does.
    pub(super) fn split(&mut self, buffer: &[u8], delimiter: u8) -> Option<usize> {
        self.cells.clear();
        self.is_quoted = false;
        let mut start = 0;
        for (at, byte) in buffer.iter().enumerate() {
            if *byte == delimiter {
                self.cells.push(start..at);
                start = at + 1;
            } else if *byte == b'\n' {
                let end = if at > start && buffer[at - 1] == b'\r' { at - 1 } else { at };
                self.cells.push(start..end);
                return Some(at + 1);
            } else if *byte == b'"' {
                return self.split_quoted(buffer, delimiter);
            }
        }
        None
    }

    /// The same for a line that has a quote somewhere.
    fn split_quoted(&mut self, buffer: &[u8], delimiter: u8) -> Option<usize> {
        let end = buffer.iter().position(|byte| *byte == b'\n')?;
        let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
        self.cells.clear();
        self.unquoted.clear();
        self.is_quoted = true;
        let (mut start, mut inside, mut bytes) = (0, false, line.iter().peekable());
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' if inside && bytes.peek() == Some(&&b'"') => {
                    self.unquoted.push(b'"');
                    bytes.next();
                }
                b'"' => inside = !inside,
                _ if *byte == delimiter && !inside => {
                    self.cells.push(start..self.unquoted.len());
                    start = self.unquoted.len();
                }
                _ => self.unquoted.push(*byte),
            }
        }
        self.cells.push(start..self.unquoted.len());
        Some(end + 1)
    }

    /// How many cells the line has: at least one.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is nothing in the line.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.is_empty()) && self.cells.len() <= 1
    }

    /// A cell of the line that was split from this buffer.
    pub(super) fn cell<'a>(&'a self, buffer: &'a [u8], place: usize) -> &'a [u8] {
        let text = if self.is_quoted { self.unquoted.as_slice() } else { buffer };
        &text[self.cells[place].clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_the_table_says() {
        for (text, delimiter, expected, taken) in [
            ("a,b\nc", b',', Some(vec!["a", "b"]), 4),
            ("a,b\r\n", b',', Some(vec!["a", "b"]), 5),
            (",\n", b',', Some(vec!["", ""]), 2),
            ("\n", b',', Some(vec![""]), 1),
            ("a;b,c\n", b';', Some(vec!["a", "b,c"]), 6),
            ("a\tb\n", b'\t', Some(vec!["a", "b"]), 4),
            ("\"a,b\",\"say \"\"x\"\"\",c\r\n", b',', Some(vec!["a,b", "say \"x\"", "c"]), 21),
            ("a,b", b',', None, 0),
            ("a,\"b", b',', None, 0),
        ] {
            let mut line = Line::default();
            let result = line.split(text.as_bytes(), delimiter);
            assert_eq!(result, expected.is_some().then_some(taken), "{text}");
            let Some(expected) = expected else { continue };
            let cells: Vec<_> = (0..line.len()).map(|at| line.cell(text.as_bytes(), at)).collect();
            let expected: Vec<_> = expected.iter().map(|cell| cell.as_bytes()).collect();
            assert_eq!(cells, expected, "{text}");
        }
    }
}
