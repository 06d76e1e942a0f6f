//! Doubts: consumes payments of a file, produces warnings of what it says that can hardly be so.

use std::collections::HashSet;

use super::Payments;

/// One sentence for each thing that whoever made the file should look at.
#[must_use]
pub fn doubts_of_payments(payments: &Payments) -> Vec<String> {
    [known_early(payments), ids_twice(payments)].into_iter().flatten().collect()
}

/// Frauds that were known before they were paid.
fn known_early(payments: &Payments) -> Option<String> {
    let is_early = |row: &usize| {
        let reported = payments.reported_at(*row);
        payments.is_fraud()[*row] && reported.is_some_and(|at| at < payments.at()[*row])
    };
    let mut early = (0..payments.len()).filter(is_early);
    let first = early.next()?;
    let count = early.count() + 1;
    let first = shown(payments, first);
    let frauds = if count == 1 { "1 fraud was".to_owned() } else { format!("{count} frauds were") };
    Some(format!(
        "{frauds} known before being paid ({first} is the first), which can't be, and counts as known at \
         once: check the time zones of both columns"
    ))
}

/// Ids that stand in more than one row.
fn ids_twice(payments: &Payments) -> Option<String> {
    let order = |row: usize| (payments.id(row).len(), payments.id(row));
    // Most files count their payments, and need no set.
    if (1..payments.len()).all(|row| order(row - 1) < order(row)) {
        return None;
    }
    let mut seen = HashSet::with_capacity(payments.len());
    let mut twice = (0..payments.len()).filter(|row| {
        let id = payments.id(*row);
        !id.is_empty() && !seen.insert(id)
    });
    let first = twice.next()?;
    let count = twice.count() + 1;
    let first = shown(payments, first);
    let rows = if count == 1 { "1 row has".to_owned() } else { format!("{count} rows have") };
    Some(format!(
        "{rows} the payment id of another row ({first} is the first), and each counts: leave out what \
         stands there twice"
    ))
}

fn shown(payments: &Payments, row: usize) -> String {
    match payments.id(row) {
        "" => format!("row {}", row + 1),
        id => format!("payment {id}"),
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::Timestamp;

    use super::*;
    use crate::data::{Payment, PaymentsBuilder};

    fn doubts(rows: &[(&str, Option<u64>, bool)]) -> Vec<String> {
        let mut builder = PaymentsBuilder::new(&[], true);
        for (id, reported, is_fraud) in rows {
            let (at, payer, payee) = (Timestamp(100), "p", "q");
            let reported_at = reported.map(Timestamp);
            let is_fraud = *is_fraud;
            builder
                .push(&Payment { id, at, payer, payee, amount: 1.0, is_fraud, reported_at }, &[]);
        }
        doubts_of_payments(&builder.finish())
    }

    #[test]
    fn what_can_hardly_be_is_told() {
        assert_eq!(
            doubts(&[("1", None, true), ("2", Some(100), true), ("10", Some(5), false)]),
            [""; 0]
        );
        assert_eq!(doubts(&[("", None, true), ("", None, false)]), [""; 0]);
        assert_eq!(
            doubts(&[("b", Some(99), true), ("a", Some(100), true), ("b", Some(3), true)]),
            [
                "2 frauds were known before being paid (payment b is the first), which can't be, and counts \
                 as known at once: check the time zones of both columns",
                "1 row has the payment id of another row (payment b is the first), and each counts: \
                 leave out what stands there twice",
            ]
        );
        assert!(doubts(&[("", Some(3), true)])[0].contains("(row 1 is the first)"));
    }
}
