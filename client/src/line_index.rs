//! Line numbers: consumes bytes on their way to the CSV reader, tells on which line an offset is.
//!
//! The CSV reader's own count starts a record before the empty lines and the second half of a
//! Windows line end that it skips, so it is off by one just where people count by hand.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

/// Passes bytes on and remembers where lines start, as far as the reader behind it has read ahead.
pub(crate) struct LineIndex<R> {
    inner: R,
    offset: u64,
    line: u64,
    at_line_start: bool,
    /// Offset and number of the lines that are not empty, in order.
    starts: VecDeque<(u64, u64)>,
}

impl<R: Read> LineIndex<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, offset: 0, line: 1, at_line_start: true, starts: VecDeque::new() }
    }

    /// The line of the first non-empty line at or after `offset`. Offsets must not go back.
    pub(crate) fn line_from(&mut self, offset: u64) -> u64 {
        while self.starts.front().is_some_and(|(start, _)| *start < offset) {
            self.starts.pop_front();
        }
        self.starts.front().map_or(self.line, |(_, line)| *line)
    }
}

impl<R: Read> Read for LineIndex<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for byte in &buffer[..read] {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.at_line_start = true;
                }
                b'\r' => {}
                _ if self.at_line_start => {
                    self.starts.push_back((self.offset, self.line));
                    self.at_line_start = false;
                }
                _ => {}
            }
            self.offset += 1;
        }
        Ok(read)
    }
}
