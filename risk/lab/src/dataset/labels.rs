//! Labels as events: consumes payments and the delay of their labels, produces what became known of
//! each payment, in the order in which it became known.

use millrace_ledger::Timestamp;

use crate::data::{LabelDelay, Payments};

/// What became known of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// When.
    pub(super) at: Timestamp,
    /// The payment's row.
    pub(super) row: u32,
    pub(super) fraud: bool,
    /// It was reported as fraud before.
    pub(super) takes_back: bool,
}

/// All that becomes known of the first payments until `end`. Of one moment, the earlier payment
/// comes first.
///
/// A fraud is known when the file says so, else after the delay; what a journal was told is known as it
/// was told, one report after the other. A payment of which nothing bad is
/// known after the delay is taken for genuine then, even if it turns out to be fraud later: nobody
/// could know.
pub(super) fn known_until(
    payments: &Payments,
    delay: LabelDelay,
    count: usize,
    end: Timestamp,
) -> Vec<Known> {
    if !payments.has_labels() {
        return Vec::new();
    }
    let mut known = Vec::with_capacity(count);
    let mut reports = payments.reports().chunk_by(|one, next| one.row == next.row).peekable();
    for row in 0..count {
        let its = reports.next_if(|reports| reports[0].row as usize == row).unwrap_or_default();
        // Labels of one moment come before its payments, and nothing is known of a payment before it.
        let soonest = Timestamp(payments.at()[row].0 + 1);
        let quiet = delay.after(payments.at()[row]).max(soonest);
        let fraud = payments.is_fraud()[row];
        let reported = payments.reported_at(row).filter(|_| fraud);
        let at = if fraud { reported.unwrap_or(quiet) } else { quiet };
        let at = at.max(soonest);
        let row = row as u32;
        let Some(first) = its.first() else {
            if at > quiet {
                known.push(Known { at: quiet, row, fraud: false, takes_back: false });
            }
            known.push(Known { at, row, fraud, takes_back: false });
            continue;
        };
        // Whoever is taken for genuine already need not be told to be.
        let is_news = first.is_fraud || first.at <= quiet;
        if first.at > quiet {
            known.push(Known { at: quiet, row, fraud: false, takes_back: false });
        }
        known.extend(its.iter().skip(usize::from(!is_news)).map(|report| Known {
            at: report.at.max(soonest),
            row,
            fraud: report.is_fraud,
            takes_back: report.takes_back,
        }));
    }
    known.retain(|known| known.at <= end);
    known.sort_by_key(|known| (known.at, known.row));
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Payment, PaymentsBuilder};

    /// Hours of payment, of report, and whether it is fraud; the delay is two hours. A report from before
    /// the payment counts right after it.
    #[test]
    fn labels_come_when_they_are_known() {
        let hour = 3_600 * 1_000_000_000;
        let mut builder = PaymentsBuilder::new(&[], true);
        for (at, reported, is_fraud) in
            [(1, None, false), (1, Some(9), true), (2, Some(1), true), (4, None, true)]
        {
            builder.push(
                &Payment {
                    id: "",
                    at: Timestamp(at * hour),
                    payer: "p",
                    payee: "q",
                    amount: 1.0,
                    is_fraud,
                    reported_at: reported.map(|at| Timestamp(at * hour)),
                },
                &[],
            );
        }
        let payments = builder.finish();
        let delay: LabelDelay = "2h".parse().expect("a delay");
        let told = |end: u64| -> Vec<_> {
            let known = known_until(&payments, delay, 4, Timestamp(end * hour));
            known.iter().map(|known| (known.at.0 / hour, known.row, known.fraud)).collect()
        };
        let all = [(2, 2, true), (3, 0, false), (3, 1, false), (6, 3, true), (9, 1, true)];
        assert_eq!(told(99), all);
        assert_eq!(told(3), all[..3]);
    }
}
