//! Splits: consumes payments, days and the delay of labels, produces the rows to train and to test
//! on.

use std::ops::Range;

use millrace_ledger::Timestamp;
use serde::Serialize;

use super::{
    day::{Day, DaySpan, LabelDelay},
    error::DataError,
    payments::Payments,
};

/// Days of training that the book's standard split has.
pub const BOOK_TRAINING_DAYS: u32 = 7;

/// The rows of these days, if they hold both fraud and legitimate payments.
///
/// # Errors
/// When there is no payment in them, or they are all of one class.
pub fn training_rows(payments: &Payments, span: &DaySpan) -> Result<Range<usize>, DataError> {
    let rows = payments.rows_of(span)?;
    both_classes(span, rows.clone().map(|row| payments.is_fraud()[row]))?;
    Ok(rows)
}

fn both_classes(span: &DaySpan, labels: impl Iterator<Item = bool>) -> Result<(), DataError> {
    let (mut frauds, mut rows) = (0, 0);
    labels.for_each(|is_fraud| {
        frauds += usize::from(is_fraud);
        rows += 1;
    });
    let label = match (frauds, rows - frauds) {
        (0, _) => "not fraud",
        (_, 0) => "fraud",
        _ => return Ok(()),
    };
    Err(DataError::OneClass { span: span.to_string(), rows, label })
}

/// Which payments a model is tested on.
///
/// A customer who is known to be compromised when a test day begins has their card blocked, so that
/// a model gets no credit for finding them again: from that day on, their payments are left out.
/// Known at the beginning of a day is each fraud whose label has arrived by then (the payment's
/// time and the delay are over, or the file's own time of report is), and that was paid on or after
/// `known_since`: who was blocked earlier has a new card. This is the rule of "Reproducible Machine
/// Learning for Credit Card Fraud Detection" (function `get_train_test_set`), for any days and any
/// delay; there, `known_since` is the first day of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TestSplit {
    /// The days to test on.
    pub test: DaySpan,
    /// How long after a payment its label is known.
    pub label_delay: LabelDelay,
    /// Frauds before this day block nobody.
    pub known_since: Day,
}

impl TestSplit {
    /// The book's standard: frauds count from [`BOOK_TRAINING_DAYS`] before the day whose labels
    /// are just known when the test begins.
    #[must_use]
    pub fn standard(test: DaySpan, label_delay: LabelDelay) -> Self {
        let known_since = test.first().back(label_delay.days_up() + BOOK_TRAINING_DAYS);
        Self { test, label_delay, known_since }
    }

    /// The rows to test on, in order of time.
    ///
    /// # Errors
    /// When there is no payment in the days, or what is left is all of one class.
    pub fn rows(&self, payments: &Payments) -> Result<Vec<u32>, DataError> {
        let mut rows = Vec::new();
        let blocked_from = self.blocked_from(payments);
        let span = payments.rows_of(&self.test)?;
        for row in span.clone() {
            let midnight = Day::of(payments.at()[row]).start();
            // A label that arrives at midnight itself is too late for the day that begins.
            if blocked_from[payments.payer()[row] as usize].is_none_or(|known| known >= midnight) {
                rows.push(row as u32);
            }
        }
        if rows.is_empty() {
            return Err(DataError::NobodyLeft { span: self.test.to_string(), rows: span.len() });
        }
        both_classes(&self.test, rows.iter().map(|row| payments.is_fraud()[*row as usize]))?;
        Ok(rows)
    }

    /// For each payer, the moment at which the first of their frauds that count becomes known.
    fn blocked_from(&self, payments: &Payments) -> Vec<Option<Timestamp>> {
        let mut known = vec![None; payments.payers().len()];
        let since = payments.at().partition_point(|at| *at < self.known_since.start());
        for row in (since..payments.len()).filter(|row| payments.is_fraud()[*row]) {
            let delayed = self.label_delay.after(payments.at()[row]);
            let at = payments.reported_at(row).unwrap_or(delayed);
            let first: &mut Option<Timestamp> = &mut known[payments.payer()[row] as usize];
            *first = Some(first.map_or(at, |first| first.min(at)));
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Payment, PaymentsBuilder};

    /// Day, hour, payer, whether it is fraud, hours until it was reported, whether it is tested.
    type Row = (u32, u64, &'static str, bool, Option<u64>, bool);

    /// The test is on days 20 and 21, the delay is 3 days where no report is told, and what is known
    /// counts since day 12.
    const PAYMENTS: [Row; 14] = [
        (11, 9, "forgotten", true, None, false),
        (12, 9, "blocked", true, None, false),
        (15, 9, "told late", true, Some(120), false),
        (16, 23, "just known", true, None, false),
        (17, 0, "known next day", true, None, false),
        (19, 9, "told early", true, Some(1), false),
        (20, 1, "forgotten", false, None, true),
        (20, 2, "blocked", false, None, false),
        (20, 3, "just known", false, None, false),
        (20, 4, "known next day", true, None, true),
        (20, 5, "told early", false, None, false),
        (20, 6, "told late", false, None, true),
        (21, 4, "known next day", true, None, false),
        (21, 6, "told late", false, None, false),
    ];

    #[test]
    fn known_customers_leave_the_test_as_the_table_says() {
        let mut builder = PaymentsBuilder::new(&[], true);
        let hour = 3_600 * 1_000_000_000;
        for (day, hours, payer, is_fraud, reported_h, _) in PAYMENTS {
            let at = Timestamp(Day(day).start().0 + hours * hour);
            let reported_at = reported_h.map(|hours| Timestamp(at.0 + hours * hour));
            let payment =
                Payment { id: "", at, payer, payee: "q", amount: 1.0, is_fraud, reported_at };
            builder.push(&payment, &[]);
        }
        let payments = builder.finish();
        let test = DaySpan::new(Day(20), Day(21)).expect("a right span");
        let split = TestSplit { test, label_delay: LabelDelay::days(3), known_since: Day(12) };
        let rows = split.rows(&payments).expect("both classes");
        let expected: Vec<u32> =
            (0..PAYMENTS.len() as u32).filter(|row| PAYMENTS[*row as usize].5).collect();
        assert_eq!(rows, expected);

        let quiet = DaySpan::new(Day(21), Day(21)).expect("a right span");
        let error = TestSplit { test: quiet, ..split }.rows(&payments).expect_err("nobody is left");
        assert!(matches!(error, DataError::NobodyLeft { rows: 2, .. }), "{error}");
        let frauds = DaySpan::new(Day(11), Day(19)).expect("a right span");
        let error = training_rows(&payments, &frauds).expect_err("one class");
        let expected = "all 6 payments of 1970-01-12..1970-01-20 are labelled fraud; both fraud and legitimate payments are needed: take a longer span, or check the label column (in a journal, payments are fraud once they are reported with `millrace risk report-fraud`)";
        assert_eq!(error.to_string(), expected);
    }
}
