//! What became of a file: consumes outcomes in the order of its rows, produces counts and sums.
//!
//! Guarantees that each payment counts once, by its first outcome, however often its row stands in
//! the file and however often it was sent: a run that was resumed reports the whole file.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    time::Duration,
};

use hdrhistogram::Histogram;
use millrace_ledger::{Currency, LedgerId, Sum};
use millrace_protos::v1::{
    Operation, Payment, PaymentOutcome, PaymentStatus, RejectReason, RiskDecision,
};

use crate::refused::RefusedRows;

/// How many rejected rows are kept per reason to be shown.
const SHOWN_MAX: usize = 3;

/// Stands for a currency that neither the row nor an earlier row of the file names: ISO 4217's own
/// code for "no currency".
const NO_CURRENCY: &str = "XXX";

/// An hour; what takes longer counts as an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// What became of a file.
#[derive(Debug)]
pub struct Summary {
    /// Rows that were sent and answered: those settled, held, voided, rejected and `duplicates`.
    pub submitted: u64,
    /// Payments whose money moved.
    pub settled: u64,
    /// Payments whose money is reserved.
    pub held: u64,
    /// Of these, payments that wait for a risk analyst.
    pub held_for_review: u64,
    /// Payments that released a hold.
    pub voided: u64,
    /// Rejected payments by reason, such as `INSUFFICIENT_FUNDS`.
    pub rejected: BTreeMap<String, u64>,
    /// The first few rejected rows of each reason.
    pub rejected_rows: BTreeMap<String, Vec<RejectedRow>>,
    /// Answers that were a first outcome again: sent in an earlier run, sent again after a lost
    /// connection, or a duplicate row.
    pub replayed: u64,
    /// Rows whose payment an earlier row of the file already was. They count nowhere else.
    pub duplicates: u64,
    /// Rows that could not be sent.
    pub refused_rows: RefusedRows,
    /// Minor units that PAY and CAPTURE moved, by currency code.
    pub settled_minor: BTreeMap<&'static str, Sum>,
    /// Minor units that REFUND moved back, by currency code.
    pub refunded_minor: BTreeMap<&'static str, Sum>,
    /// Microseconds from a request to its answer.
    pub latency_us: Histogram<u64>,
    /// From the first row to the last answer.
    pub elapsed: Duration,
}

/// A rejected row, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Its line in the file.
    pub line: u64,
    /// Its payment.
    pub payment_id: u128,
    /// The rule or limit that declined it; empty for other reasons.
    pub risk_reason: String,
}

/// Counts outcomes.
#[derive(Debug)]
pub(crate) struct Tally {
    summary: Summary,
    /// Every payment that was answered, and its ledger (ISO numbers fit 16 bits; 0 is unknown).
    /// Bytes rather than a number as key: they pack into 18 bytes an entry instead of 32.
    seen: HashMap<[u8; 16], u16>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        Self {
            summary: Summary {
                submitted: 0,
                settled: 0,
                held: 0,
                held_for_review: 0,
                voided: 0,
                rejected: BTreeMap::new(),
                rejected_rows: BTreeMap::new(),
                replayed: 0,
                duplicates: 0,
                refused_rows: RefusedRows::default(),
                settled_minor: BTreeMap::new(),
                refunded_minor: BTreeMap::new(),
                latency_us: latency_us.expect("constant bounds are valid"),
                elapsed: Duration::ZERO,
            },
            seen: HashMap::new(),
        }
    }
}

impl Tally {
    pub(crate) fn answered(&self) -> u64 {
        self.summary.submitted
    }

    pub(crate) fn latency(&mut self, latency: Duration) {
        self.summary.latency_us.saturating_record(latency.as_micros() as u64);
    }

    /// Takes the outcome of the payment on `line`.
    pub(crate) fn count(&mut self, line: u64, payment: &Payment, outcome: &PaymentOutcome) {
        let summary = &mut self.summary;
        summary.submitted += 1;
        summary.replayed += u64::from(outcome.replayed);
        let ledger = match payment.ledger {
            0 => self.seen.get(&payment.original_payment_id.to_be_bytes()).copied().unwrap_or(0),
            ledger => ledger as u16,
        };
        match self.seen.entry(payment.payment_id.to_be_bytes()) {
            Entry::Occupied(_) if outcome.replayed => {
                summary.duplicates += 1;
                return;
            }
            // The id again, but with other content: a refusal of its own.
            Entry::Occupied(_) => {}
            Entry::Vacant(vacant) => {
                vacant.insert(ledger);
            }
        }
        match PaymentStatus::try_from(outcome.status).unwrap_or_default() {
            PaymentStatus::Settled => {
                summary.settled += 1;
                summary.add_settled(payment, outcome, ledger);
            }
            PaymentStatus::Held => {
                let review = outcome.risk_decision == RiskDecision::Review as i32;
                summary.held_for_review += u64::from(review);
                summary.held += 1;
            }
            PaymentStatus::Voided => summary.voided += 1,
            PaymentStatus::Rejected | PaymentStatus::Unspecified => {
                summary.add_rejected(line, outcome);
            }
        }
    }

    pub(crate) fn finish(self, refused_rows: RefusedRows, elapsed: Duration) -> Summary {
        Summary { refused_rows, elapsed, ..self.summary }
    }
}

impl Summary {
    /// All rejected payments.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    fn add_settled(&mut self, payment: &Payment, outcome: &PaymentOutcome, ledger: u16) {
        let moved = u128::from(outcome.amount_minor) | u128::from(outcome.amount_minor_high) << 64;
        let currency = Currency::of_ledger(LedgerId(u32::from(ledger)));
        let code = currency.map_or(NO_CURRENCY, |currency| currency.code);
        let sums = match payment.operation == Operation::Refund as i32 {
            true => &mut self.refunded_minor,
            false => &mut self.settled_minor,
        };
        *sums.entry(code).or_default() += moved;
    }

    fn add_rejected(&mut self, line: u64, outcome: &PaymentOutcome) {
        let reason = reason_name(outcome.reject_reason);
        *self.rejected.entry(reason.clone()).or_default() += 1;
        let shown = self.rejected_rows.entry(reason).or_default();
        if shown.len() < SHOWN_MAX {
            shown.push(RejectedRow {
                line,
                payment_id: outcome.payment_id,
                risk_reason: outcome.risk_reason.clone(),
            });
        }
    }
}

/// The reason's name without the prefix that protobuf gives it; a number that this client doesn't
/// know yet stays a number.
#[must_use]
pub fn reason_name(reason: i32) -> String {
    match RejectReason::try_from(reason) {
        Ok(reason) => reason.as_str_name().trim_start_matches("REJECT_REASON_").to_owned(),
        Err(_) => format!("REASON_{reason}"),
    }
}
