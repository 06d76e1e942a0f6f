//! A run from its first row to its last. Consumes pages one by one, produces rows in the order of
//! their ids; one page is in memory.

use std::sync::Arc;

use millrace_ledger::{PaymentId, StoredPayment};

use super::{
    page::{Page, id_of},
    row::{self, MalformedRow},
    run::Run,
};
use crate::JournalError;

/// The rows of a run as bytes.
#[derive(Debug)]
pub(super) struct Rows {
    run: Arc<Run>,
    part: usize,
    /// Number of the next page.
    next_page: usize,
    page: Option<Page>,
    /// Rows of this page that were handed out.
    handed_out: u16,
}

impl Rows {
    pub(super) fn new(run: Arc<Run>) -> Self {
        Self { run, part: 0, next_page: 0, page: None, handed_out: 0 }
    }

    /// Goes on to the next row. Its id, or `None` at the end.
    pub(super) fn advance(&mut self) -> Result<Option<PaymentId>, JournalError> {
        if let Some(page) = &mut self.page
            && self.handed_out > 0
            && page.advance().is_err()
        {
            return Err(self.malformed());
        }
        if self.page.as_ref().is_none_or(|page| self.handed_out == page.rows())
            && !self.turn_page()?
        {
            return Ok(None);
        }
        self.handed_out += 1;
        match self.page.as_ref().map(Page::row) {
            Some(Ok(Some(row))) => Ok(Some(id_of(row))),
            _ => Err(self.malformed()),
        }
    }

    /// Reads the next page. `false` at the end.
    fn turn_page(&mut self) -> Result<bool, JournalError> {
        while self.run.pages_of(self.part).is_some_and(|pages| self.next_page >= pages.end) {
            self.part += 1;
        }
        let bytes = self.page.take().map(Page::into_bytes).unwrap_or_default();
        self.handed_out = 0;
        if self.run.pages_of(self.part).is_none() {
            return Ok(false);
        }
        self.page = Some(self.run.page(self.part, self.next_page, bytes)?);
        self.next_page += 1;
        Ok(true)
    }

    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// The part and the number of the page whose first row was come to; `None` within a page.
    pub(super) fn page_begun(&self) -> Option<(usize, usize)> {
        (self.handed_out == 1).then(|| (self.part, self.next_page - 1))
    }

    /// Goes on to the first row of this page. Its id, or `None` where there is no such page.
    pub(super) fn skip_to(&mut self, page: usize) -> Result<Option<PaymentId>, JournalError> {
        assert!(page >= self.next_page, "rows are read forwards");
        self.next_page = page;
        self.handed_out = self.page.as_ref().map_or(0, Page::rows);
        self.advance()
    }

    /// The row that was come to.
    pub(super) fn row(&self) -> &[u8] {
        let row = self.page.as_ref().and_then(|page| page.row().ok()?);
        row.expect("asked for after a row was come to")
    }

    pub(super) fn malformed(&self) -> JournalError {
        self.run.malformed(self.part, self.next_page.saturating_sub(1))
    }
}

/// The payments of a run. Ends after an error.
#[derive(Debug)]
pub(crate) struct Payments {
    rows: Option<Rows>,
}

impl Payments {
    pub(super) fn new(rows: Rows) -> Self {
        Self { rows: Some(rows) }
    }
}

impl Iterator for Payments {
    type Item = Result<StoredPayment, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.as_mut()?;
        let payment = match rows.advance() {
            Ok(None) => None,
            Ok(Some(_)) => Some(row::decode(rows.row()).map_err(|MalformedRow| rows.malformed())),
            Err(error) => Some(Err(error)),
        };
        if !matches!(payment, Some(Ok(_))) {
            self.rows = None;
        }
        payment
    }
}
