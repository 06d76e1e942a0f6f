//! What a stream consists of: consumes payments, produces counts per pattern and a picture of the
//! first two weeks.

use std::collections::{BTreeMap, HashSet};

use jiff::{ToSpan as _, civil::Date};
use serde::Serialize;

use super::payment::{FraudPattern, GeneratedPayment, Lookalike};

const HOUR_S: u64 = 3_600;
const HOURS_SHOWN: usize = 14 * 24;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Counts of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Everything.
    pub all: Counts,
    /// What is fraud.
    pub fraud: Counts,
    /// By pattern; those that did not happen are not there.
    pub patterns: BTreeMap<FraudPattern, Counts>,
    /// By look-alike; those that did not happen are not there.
    pub lookalikes: BTreeMap<Lookalike, Counts>,
    /// Payments per hour from midnight of the first day, for two weeks.
    pub payments_per_hour: Vec<u64>,
    #[serde(skip)]
    first_day: Option<u64>,
    /// Numbers of the cases seen: as much memory as there are cases.
    #[serde(skip)]
    cases: HashSet<u64>,
}

/// Payments of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Payments.
    pub payments: u64,
    /// Frauds or look-alikes that they are part of.
    pub cases: u64,
    /// Their sum.
    pub amount_minor: u128,
    /// Sum of the times from a payment to its report.
    pub report_delay_s_total: u64,
}

impl Counts {
    /// Mean time from a payment to its report, in days.
    #[must_use]
    pub fn report_delay_days_mean(&self) -> f64 {
        self.report_delay_s_total as f64 / self.payments.max(1) as f64 / 86_400.0
    }

    fn add(&mut self, payment: &GeneratedPayment, is_new_case: bool) {
        self.payments += 1;
        self.cases += u64::from(is_new_case);
        self.amount_minor += u128::from(payment.amount_minor);
        if let Some(known_at) = payment.label_known_at {
            self.report_delay_s_total += (known_at.0 - payment.at.0) / 1_000_000_000;
        }
    }
}

impl Summary {
    /// Counts a payment; they come in order of time.
    pub fn add(&mut self, payment: &GeneratedPayment) {
        let is_new_case = payment.episode > 0 && self.cases.insert(payment.episode);
        self.all.add(payment, is_new_case);
        if let Some(pattern) = payment.label {
            self.fraud.add(payment, is_new_case);
            self.patterns.entry(pattern).or_default().add(payment, is_new_case);
        }
        if let Some(lookalike) = payment.lookalike {
            self.lookalikes.entry(lookalike).or_default().add(payment, is_new_case);
        }
        let hour = payment.at.0 / 1_000_000_000 / HOUR_S;
        let first_day = *self.first_day.get_or_insert(hour / 24);
        let nth = usize::try_from(hour - first_day * 24).unwrap_or(usize::MAX);
        if nth < HOURS_SHOWN {
            self.payments_per_hour.resize(self.payments_per_hour.len().max(nth + 1), 0);
            self.payments_per_hour[nth] += 1;
        }
    }

    /// Share of fraud among all payments.
    #[must_use]
    pub fn fraud_share(&self) -> f64 {
        self.fraud.payments as f64 / self.all.payments.max(1) as f64
    }

    /// A line per day of the first two weeks, a bar per hour.
    #[must_use]
    pub fn picture(&self) -> String {
        let most = self.payments_per_hour.iter().max().copied().unwrap_or_default().max(1);
        let first_day = i64::try_from(self.first_day.unwrap_or_default()).unwrap_or_default();
        let mut date = Date::constant(1970, 1, 1).saturating_add(first_day.days());
        let mut text = String::new();
        for hours in self.payments_per_hour.chunks(24) {
            let bars: String =
                hours.iter().map(|count| BARS[(count * 8 / (most + 1)) as usize]).collect();
            let total: u64 = hours.iter().sum();
            let weekday = format!("{:?}", date.weekday());
            text += &format!("  {weekday:.3} {date} {bars:<24} {total:>9}\n");
            date = date.saturating_add(1.day());
        }
        text
    }
}
