//! What differs between two lists, and what a list would have touched: consumes lists and payments of the
//! past, produces counts, entries and the first few payments.

use millrace_ledger::Timestamp;
use millrace_risk::{
    policy::TEXTS,
    rules::{List, ListEntry},
};
use millrace_risk_lab::data::{Names, Payments};
use serde::Serialize;

/// Payments that are told one by one.
const PAYMENTS_TOLD: usize = 20;

/// Entries that came, went, or have another expiry, reason or author.
#[derive(Default)]
pub(crate) struct Difference<'a> {
    pub(crate) added: Vec<ListEntry<'a>>,
    pub(crate) removed: Vec<ListEntry<'a>>,
    pub(crate) changed: Vec<(ListEntry<'a>, ListEntry<'a>)>,
}

impl<'a> Difference<'a> {
    pub(crate) fn between(before: Option<&'a List>, after: &'a List) -> Self {
        let mut difference = Self::default();
        for entry in after.entries() {
            match before.and_then(|before| before.get(entry.value)) {
                None => difference.added.push(entry),
                Some(old) if old != entry => difference.changed.push((old, entry)),
                Some(_) => {}
            }
        }
        let old = before.into_iter().flat_map(List::entries);
        difference.removed.extend(old.filter(|entry| after.get(entry.value).is_none()));
        difference
    }
}

/// Payments that have a listed value in one of their texts.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Touched {
    /// Payments that were looked at.
    pub(crate) rows: u64,
    pub(crate) payments: u64,
    pub(crate) money: f64,
    pub(crate) frauds: u64,
    pub(crate) money_frauds: f64,
    /// By the text that is listed, most first. A payment counts in each.
    pub(crate) texts: Vec<TouchedText>,
    /// The first ones.
    pub(crate) first: Vec<TouchedPayment>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TouchedText {
    pub(crate) text: &'static str,
    pub(crate) payments: u64,
    pub(crate) frauds: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct TouchedPayment {
    pub(crate) payment: String,
    #[serde(skip)]
    pub(crate) row: usize,
    pub(crate) text: &'static str,
    pub(crate) value: String,
    pub(crate) is_fraud: bool,
}

impl Touched {
    /// Of payments from `since` on, those that `of` (any text if empty) lists at their time.
    pub(crate) fn of(list: &List, payments: &Payments, of: &[String], since: Timestamp) -> Self {
        let columns: Vec<_> = TEXTS
            .iter()
            .filter(|text| of.is_empty() || of.iter().any(|it| it == *text))
            .filter_map(|text| Some((*text, column(payments, text)?)))
            .collect();
        let mut found = Self::default();
        let mut texts: Vec<_> =
            columns.iter().map(|(text, _)| TouchedText { text, payments: 0, frauds: 0 }).collect();
        let first = payments.at().partition_point(|at| *at < since);
        for row in first..payments.len() {
            let (at, is_fraud) = (payments.at()[row], payments.is_fraud()[row]);
            found.rows += 1;
            let mut is_first = true;
            for ((text, (names, numbers)), count) in columns.iter().zip(&mut texts) {
                let value = names.name(numbers[row]);
                if value.is_empty() || !list.contains(value, at) {
                    continue;
                }
                count.payments += 1;
                count.frauds += u64::from(is_fraud);
                if std::mem::take(&mut is_first) {
                    found.add(payments, row, text, value);
                }
            }
        }
        texts.retain(|text| text.payments > 0);
        texts.sort_by_key(|text| std::cmp::Reverse(text.payments));
        found.texts = texts;
        found
    }

    fn add(&mut self, payments: &Payments, row: usize, text: &'static str, value: &str) {
        let (amount, is_fraud) = (payments.amount()[row], payments.is_fraud()[row]);
        self.payments += 1;
        self.money += amount;
        self.frauds += u64::from(is_fraud);
        self.money_frauds += if is_fraud { amount } else { 0.0 };
        if self.first.len() < PAYMENTS_TOLD {
            let (payment, value) = (payments.id(row).to_owned(), value.to_owned());
            self.first.push(TouchedPayment { payment, row, text, value, is_fraud });
        }
    }
}

/// The values of a text, by payment.
fn column<'a>(payments: &'a Payments, text: &str) -> Option<(&'a Names, &'a [u32])> {
    match text {
        "payer" => Some((payments.payers(), payments.payer())),
        "payee" => Some((payments.payees(), payments.payee())),
        other => {
            let context = payments.context(other.strip_prefix("context.")?)?;
            Some((&context.names, &context.values))
        }
    }
}
