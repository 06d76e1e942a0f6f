//! Rows: consumes the cells of one line, produces a payment or the first cell that is wrong.

use super::{
    cell::{self, Problem},
    columns::{Places, Role},
    error::RowError,
    line::Line,
    payments::Payment,
};

/// Longest part of a cell or of a line that an error shows.
const SHOWN_CHARS: usize = 40;

const NOT_UTF8: Problem = "is not UTF-8; save the file as UTF-8";

/// A line under its header.
pub(super) struct Row<'a> {
    pub(super) line: &'a Line,
    pub(super) buffer: &'a [u8],
    pub(super) header: &'a [String],
    pub(super) places: &'a Places,
}

impl<'a> Row<'a> {
    /// The payment of the line. The error's line is for the caller to fill in.
    pub(super) fn payment(&self) -> Result<Payment<'a>, Box<RowError>> {
        let (cells, columns) = (self.line.len(), self.header.len());
        if cells != columns {
            let problem = format!(
                "has {cells} cells, the header has {columns}; quote cells that hold the delimiter"
            );
            return Err(Box::new(RowError { problem, ..RowError::default() }));
        }
        let is_reported = self.cell(Role::ReportedAt).is_some_and(|(_, bytes)| !bytes.is_empty());
        Ok(Payment {
            id: self.text(Role::PaymentId)?,
            at: self.parsed(Role::Time, cell::time)?.unwrap_or_default(),
            payer: self.name(Role::Payer)?,
            payee: self.name(Role::Payee)?,
            amount: self.parsed(Role::Amount, cell::amount)?.unwrap_or_default(),
            is_fraud: self.parsed(Role::Label, cell::label)?.unwrap_or_default(),
            reported_at: match is_reported {
                true => self.parsed(Role::ReportedAt, cell::time)?,
                false => None,
            },
        })
    }

    /// The further columns, after [`Self::payment`] has counted the cells.
    pub(super) fn contexts(&self) -> Result<Vec<&'a str>, Box<RowError>> {
        let text = |place: &usize| self.utf8(*place, self.line.cell(self.buffer, *place));
        self.places.contexts.iter().map(text).collect()
    }

    fn cell(&self, role: Role) -> Option<(usize, &'a [u8])> {
        self.places.of(role).map(|place| (place, self.line.cell(self.buffer, place)))
    }

    fn parsed<T>(
        &self,
        role: Role,
        parse: fn(&[u8]) -> Result<T, Problem>,
    ) -> Result<Option<T>, Box<RowError>> {
        self.cell(role)
            .map(|(place, bytes)| parse(bytes).map_err(|problem| self.wrong(place, bytes, problem)))
            .transpose()
    }

    fn text(&self, role: Role) -> Result<&'a str, Box<RowError>> {
        self.cell(role).map_or(Ok(""), |(place, bytes)| self.utf8(place, bytes))
    }

    fn name(&self, role: Role) -> Result<&'a str, Box<RowError>> {
        match self.cell(role) {
            Some((place, b"")) => Err(self.wrong(place, b"", cell::EMPTY)),
            _ => self.text(role),
        }
    }

    fn utf8(&self, place: usize, bytes: &'a [u8]) -> Result<&'a str, Box<RowError>> {
        std::str::from_utf8(bytes).map_err(|_| self.wrong(place, bytes, NOT_UTF8))
    }

    fn wrong(&self, place: usize, bytes: &[u8], problem: Problem) -> Box<RowError> {
        Box::new(RowError {
            line: 0,
            column: self.header[place].clone(),
            value: shown(bytes),
            problem: problem.to_owned(),
        })
    }
}

/// As much of a cell or a line as an error shows.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
