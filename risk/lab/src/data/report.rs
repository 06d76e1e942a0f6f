//! Reports: what a journal was told of its payments, one after the other.

use millrace_ledger::Timestamp;

use super::{Payments, PaymentsBuilder};

/// Somebody said whether a payment was fraud. What is said last counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The payment's row.
    pub row: u32,
    /// When this became known: never before the report of the same payment that came before.
    pub at: Timestamp,
    /// Whether it was.
    pub is_fraud: bool,
    /// The report before said that it was fraud; features take out what they counted for it.
    pub takes_back: bool,
}

impl Payments {
    /// All reports, by payment, each payment's in the order in which they came. Labels of files, which
    /// say no more than how it ended, are none.
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }
}

impl PaymentsBuilder {
    /// Labels a payment that was added, in the order of adding. It may be labelled again.
    ///
    /// # Panics
    /// When there are not so many payments.
    pub fn report(&mut self, mut report: Report) {
        let all = &mut self.payments;
        let row = report.row as usize;
        all.is_fraud[row] = report.is_fraud;
        all.reported_at.resize(all.at.len(), Timestamp(0));
        report.at = report.at.max(all.reported_at[row]);
        all.reported_at[row] = report.at;
        all.reports.push(report);
    }
}

/// Sorts reports by payment, whose rows have become these.
pub(super) fn sorted(reports: &mut [Report], new_rows: impl Fn(u32) -> u32) {
    reports.iter_mut().for_each(|report| report.row = new_rows(report.row));
    // Stable: each payment's stay in their order.
    reports.sort_by_key(|report| report.row);
}
