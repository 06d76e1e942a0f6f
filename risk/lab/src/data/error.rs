//! Errors of a file: consumes what went wrong, produces sentences with file, line, column and what
//! to do.

use std::{fmt, io};

use serde::Serialize;

/// One row that can't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// Counted from 1, the header included.
    pub line: u64,
    /// The column's header; empty where the whole row is wrong.
    pub column: String,
    /// The cell, cut if it is long.
    pub value: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl fmt::Display for RowError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column.as_str() {
            "" => write!(out, "line {}: {}", self.line, self.problem),
            column => {
                write!(
                    out,
                    "line {}, column {column}: \"{}\" {}",
                    self.line, self.value, self.problem
                )
            }
        }
    }
}

/// The first rows that can't be read, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowErrors {
    /// How many rows can't be read.
    pub count: u64,
    /// The first of them, at most [`Self::FIRST_MAX`].
    pub first: Vec<RowError>,
}

impl RowErrors {
    /// How many are told one by one.
    pub const FIRST_MAX: usize = 10;

    pub(super) fn push(&mut self, error: RowError) {
        self.count += 1;
        if self.first.len() < Self::FIRST_MAX {
            self.first.push(error);
        }
    }
}

impl fmt::Display for RowErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.first {
            write!(out, "\n  {error}")?;
        }
        match self.count.saturating_sub(self.first.len() as u64) {
            0 => Ok(()),
            more => write!(out, "\n  and {more} more"),
        }
    }
}

/// Why a file of payments can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Not readable.
    #[error("{file}: can't be read: {error}; check the path and its permissions")]
    Io {
        /// Its path.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// A gzip stream that is cut or altered.
    #[error(
        "{file}: the compressed data is damaged or cut after line {line}: {error}; fetch or write the file again"
    )]
    Gzip {
        /// Its path.
        file: String,
        /// The last line that was whole.
        line: u64,
        /// What the decoder says.
        error: io::Error,
    },
    /// Nothing in it.
    #[error(
        "{file}: is empty; the first line must name the columns, such as time,payer,payee,amount,label"
    )]
    Empty {
        /// Its path.
        file: String,
    },
    /// A header and nothing else.
    #[error("{file}: has a header but no payments; write one row per payment below it")]
    NoRows {
        /// Its path.
        file: String,
    },
    /// The first line is already a payment.
    #[error(
        "{file}: the first line is \"{first}\", which looks like a payment; put a header above it, such as time,payer,payee,amount,label"
    )]
    NoHeader {
        /// Its path.
        file: String,
        /// The line, cut if it is long.
        first: String,
    },
    /// A role has no column.
    #[error(
        "{file}: no column for {column}; the header is: {header}{nearest}; name it so in the first line, or map it as ROLE=HEADER"
    )]
    ColumnMissing {
        /// Its path.
        file: String,
        /// The role and the names that were looked for.
        column: String,
        /// The file's header.
        header: String,
        /// A near header, or nothing.
        nearest: String,
    },
    /// Two columns of one name.
    #[error("{file}: two columns are called \"{column}\"; rename one of them")]
    ColumnTwice {
        /// Its path.
        file: String,
        /// The name.
        column: String,
    },
    /// Rows that can't be read.
    #[error("{file}: {} cannot be read:{errors}", rows(errors.count))]
    Rows {
        /// Its path.
        file: String,
        /// Which.
        errors: RowErrors,
    },
    /// A line of more than a mebibyte.
    #[error("{file}: line {line} is longer than 1 MiB; is this a CSV file?")]
    LineTooLong {
        /// Its path.
        file: String,
        /// The line.
        line: u64,
    },
    /// Time goes back.
    #[error(
        "{file}: line {line} is earlier than the line before it ({at} after {before}); sort the file by time, or ask for it to be sorted while it is read"
    )]
    Unsorted {
        /// Its path.
        file: String,
        /// The line.
        line: u64,
        /// Its time.
        at: String,
        /// The time of the line before.
        before: String,
    },
    /// No payment in a span.
    #[error("no payments from {span}; the data spans {all}")]
    NothingInSpan {
        /// The span asked for.
        span: String,
        /// The span that there is.
        all: String,
    },
    /// All payments of a test are of customers whose cards are blocked.
    #[error(
        "all {rows} payments of {span} are of customers known to be compromised by then, so none is left to test on; take a longer span, or let fewer days count as known"
    )]
    NobodyLeft {
        /// The span asked for.
        span: String,
        /// How many were left out.
        rows: usize,
    },
    /// All labels are the same.
    #[error(
        "all {rows} payments of {span} are labelled {label}; both fraud and legitimate payments are needed: take a longer span, or check the label column (in a journal, payments are fraud once they are reported with `millrace risk report-fraud`)"
    )]
    OneClass {
        /// Where was looked.
        span: String,
        /// How many.
        rows: usize,
        /// `fraud` or `not fraud`.
        label: &'static str,
    },
}

fn rows(count: u64) -> String {
    match count {
        1 => "1 row".to_owned(),
        _ => format!("{count} rows"),
    }
}
